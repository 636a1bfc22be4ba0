//! Ports: where the host finds inputs, outputs and states.

use isa::{Hemisphere, Placement, Port, PortKind};

use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::Graph;
use crate::lower::flow::Kernels;
use crate::lower::storage::{Frame, Location, Region, Role, Storage, StorageId, Unit};
use crate::schedule::Schedule;

/// All ports, in order of arrays. A state has a port under the name of its input, and an output port under that of its output.
pub(crate) fn ports(
    graph: &Graph,
    kernels: &Kernels,
    schedule: &Schedule,
    lanes: usize,
) -> Result<Vec<Port>, Diagnostic> {
    let mut ports: Vec<Port> = Vec::new();
    for (id, array) in kernels.storages.arrays.iter() {
        for (kind, name) in names(graph, array) {
            let shape: Vec<u32> = graph.shape(array.node).iter().map(|&axis| axis as u32).collect();
            if shape.contains(&0) {
                // Nothing lies anywhere.
                let parts = Vec::new();
                ports.push(Port { name: name.clone(), kind, element: array.element, shape, parts });
                continue;
            }
            for copy in 1..kernels.storages.plan.copies(array.region(), array.element.bytes()) {
                let (element, parts) = (array.element, parts(id, array, kernels, schedule, (copy, lanes))?);
                ports.push(Port { name: name.clone(), kind, element, shape: shape.clone(), parts });
            }
            let parts = parts(id, array, kernels, schedule, (0, lanes))?;
            let port = Port { name: name.clone(), kind, element: array.element, shape, parts };
            if let Role::State(_, output) = &array.role
                && !ports.iter().any(|old| old.name == *output)
            {
                ports.push(Port { name: output.clone(), kind: PortKind::Output, ..port.clone() });
            }
            ports.push(port);
        }
    }
    Ok(ports)
}

/// What the host calls an array. Outputs that are known before the program runs are read from the memory image.
fn names<'a>(graph: &'a Graph, array: &'a Storage) -> Vec<(PortKind, &'a String)> {
    match &array.role {
        Role::Input(name) => vec![(PortKind::Input, name)],
        Role::Output(name) => vec![(PortKind::Output, name)],
        Role::State(name, _) => vec![(PortKind::State, name)],
        Role::Constant => {
            let plain = array.units.iter().all(|unit| matches!(unit.region, Region::Group(..)));
            let outputs = graph.outputs.iter().filter(|(_, node)| plain && *node == array.node);
            outputs.map(|(name, _)| (PortKind::Output, name)).collect()
        }
        Role::Mask { .. } | Role::Temporary => Vec::new(),
    }
}

/// Consecutive batches in one region each; or, of an array in one stripe, consecutive rows and chunks.
fn parts(
    id: StorageId,
    array: &Storage,
    kernels: &Kernels,
    schedule: &Schedule,
    (copy, lanes): (u16, usize),
) -> Result<Vec<Placement>, Diagnostic> {
    let width = array.element.bytes();
    let plan = &kernels.storages.plan;
    let scattered = array.batches == 1
        && array.tile_rows == array.rows
        && (array.units.len() > 1 || array.frame.is_some());
    let place = |region: Region, (first, word): (u32, u32), (batches, rows): (u32, u32), columns: usize| {
        let base = schedule.bases.base(id, region);
        let base = base.ok_or_else(|| Diagnostic::new(Kind::Bug, "emit", format!("{id} has no address")))?;
        let (tile_rows, rows_per_stripe) =
            if scattered { (rows, rows) } else { (array.tile_rows, array.rows_per_stripe) };
        let stripe = |stripe: u32| -> Vec<(Hemisphere, u16)> {
            (0..width)
                .map(|byte| (region.hemisphere(), plan.slice(region, first + stripe, width, byte) + copy))
                .collect()
        };
        Ok(Placement {
            batches,
            rows,
            columns: columns as u32,
            broadcast: array.broadcast,
            tile_rows,
            rows_per_stripe,
            address: base + word,
            stripes: (0..tile_rows.div_ceil(rows_per_stripe)).map(stripe).collect(),
        })
    };
    if scattered {
        let pieces = pieces(array, lanes).into_iter();
        return pieces
            .map(|(at, rows, columns)| place(at.region, (at.stripe, at.word), (1, rows), columns))
            .collect();
    }
    // A batch whose tiles lie side by side, or in both hemispheres, is several pieces.
    let place_of = |unit: &Unit| (unit.region, unit.stripe);
    let beside = |units: &[Unit]| units.windows(2).any(|pair| place_of(&pair[0]) != place_of(&pair[1]));
    if array.units.chunks(array.tiles() as usize).any(beside) {
        let next =
            |a: &Unit, b: &Unit| (a.region, a.stripe, a.word + a.words()) == (b.region, b.stripe, b.word);
        let runs = array.units.chunk_by(next);
        return runs
            .map(|units| {
                let rows = units.iter().map(|unit| unit.rows).sum();
                place(units[0].region, (units[0].stripe, units[0].word), (1, rows), array.columns)
            })
            .collect();
    }
    let mut runs: Vec<(Region, (u32, u32), u32)> = Vec::new();
    for batch in 0..array.batches {
        let unit = array.units[(batch * array.tiles()) as usize];
        match runs.last_mut() {
            Some((last, (stripe, _), batches)) if (*last, *stripe) == (unit.region, unit.stripe) => {
                *batches += 1
            }
            _ => runs.push((unit.region, (unit.stripe, unit.word), 1)),
        }
    }
    let whole = |(region, word, batches)| place(region, word, (batches, array.rows), array.columns);
    runs.into_iter().map(whole).collect()
}

/// An array in several pieces: for each range of rows that lie one after the other, each chunk, with its place, rows and columns.
fn pieces(array: &Storage, lanes: usize) -> Vec<(Location, u32, usize)> {
    let images = |frame: Frame| array.rows / (frame.framed()[0] * frame.framed()[1]);
    let rows = array.frame.map_or(array.rows, |frame| images(frame) * frame.size[0] * frame.size[1]);
    let at = |row: u32, chunk: u32| array.locate(array.row(row), chunk);
    let follows = |row: u32| {
        (0..array.chunks).all(|chunk| {
            let (one, next) = (at(row - 1, chunk), at(row, chunk));
            next == Location { word: one.word + 1, ..one }
        })
    };
    let mut pieces = Vec::new();
    let mut first = 0;
    for row in 1..=rows {
        if row < rows && follows(row) {
            continue;
        }
        for chunk in 0..array.chunks {
            let columns = lanes.min(array.columns - chunk as usize * lanes);
            pieces.push((at(first, chunk), row - first, columns));
        }
        first = row;
    }
    pieces
}

//! Ports: where the host finds inputs, outputs and states.

use isa::{Hemisphere, Placement, Port, PortKind};

use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::Graph;
use crate::lower::flow::Kernels;
use crate::lower::storage::{Region, Role, Storage, StorageId};
use crate::schedule::Schedule;

/// All ports, in order of arrays. A state has a port under the name of its input, and an output port under that of its output.
pub(crate) fn ports(graph: &Graph, kernels: &Kernels, schedule: &Schedule) -> Result<Vec<Port>, Diagnostic> {
    let mut ports: Vec<Port> = Vec::new();
    for (id, array) in kernels.storages.arrays.iter() {
        let (kind, name) = match &array.role {
            Role::Input(name) => (PortKind::Input, name),
            Role::Output(name) => (PortKind::Output, name),
            Role::State(name, _) => (PortKind::State, name),
            Role::Constant | Role::Mask { .. } | Role::Temporary => continue,
        };
        let shape = graph.shape(array.node).iter().map(|&axis| axis as u32).collect();
        for copy in 1..kernels.storages.plan.copies(array.region(), array.element.bytes()) {
            let (element, parts) = (array.element, parts(id, array, kernels, schedule, copy)?);
            let shape = graph.shape(array.node).iter().map(|&axis| axis as u32).collect();
            ports.push(Port { name: name.clone(), kind, element, shape, parts });
        }
        let parts = parts(id, array, kernels, schedule, 0)?;
        let port = Port { name: name.clone(), kind, element: array.element, shape, parts };
        if let Role::State(_, output) = &array.role
            && !ports.iter().any(|old| old.name == *output)
        {
            ports.push(Port { name: output.clone(), kind: PortKind::Output, ..port.clone() });
        }
        ports.push(port);
    }
    Ok(ports)
}

/// Consecutive batches in one region each.
fn parts(
    id: StorageId,
    array: &Storage,
    kernels: &Kernels,
    schedule: &Schedule,
    copy: u16,
) -> Result<Vec<Placement>, Diagnostic> {
    let tiles = array.tiles();
    let mut runs: Vec<(Region, u32, u32)> = Vec::new();
    for batch in 0..array.batches {
        let unit = array.units[(batch * tiles) as usize];
        match runs.last_mut() {
            Some((last, _, batches)) if *last == unit.region => *batches += 1,
            _ => runs.push((unit.region, unit.word, 1)),
        }
    }
    let width = array.element.bytes();
    let plan = &kernels.storages.plan;
    runs.into_iter()
        .map(|(region, word, batches)| {
            let base = schedule.bases.base(id, region);
            let base =
                base.ok_or_else(|| Diagnostic::new(Kind::Bug, "emit", format!("{id} has no address")))?;
            let count = array.tile_rows.div_ceil(array.rows_per_stripe);
            let stripe = |stripe: u32| -> Vec<(Hemisphere, u16)> {
                (0..width)
                    .map(|byte| (region.hemisphere(), plan.slice(region, stripe, width, byte) + copy))
                    .collect()
            };
            Ok(Placement {
                batches,
                rows: array.rows,
                columns: array.columns as u32,
                broadcast: array.broadcast,
                tile_rows: array.tile_rows,
                rows_per_stripe: array.rows_per_stripe,
                address: base + word,
                stripes: (0..count).map(stripe).collect(),
            })
        })
        .collect()
}

//! Pointwise groups: which vectors go into a pass through the VXM, and what comes out where.

use std::collections::BTreeSet;
use std::ops::Range;

use isa::Chip;
use isa::instruction::VxmOp;

use super::alu::{AluOp, AluProgram, Value};
use super::arrays::{Arrays, Forms};
use super::context::Context;
use super::flow::Flow;
use super::fuse::GroupProgram;
use super::pad::{Pad, Pads};
use super::pass::{Feed, Pass};
use super::storage::{MaskKind, Region, StorageId};
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::NodeId;

/// Lowers a group of pointwise nodes: one pass, or several where results lie in the same slices, which write one vector a cycle.
pub fn pointwise(
    context: &Context<'_>,
    arrays: &Arrays,
    chip: &Chip,
    program: &GroupProgram,
    pads: &mut Pads,
) -> Result<Vec<Flow>, Diagnostic> {
    let node = program.results[0].0;
    let mut space = space(context, chip, node);
    if let Some(halved) = arrays.forms[node].plain.filter(|&id| arrays.storages.arrays[id].is_banded()) {
        // One half of the rows after the other, so that passes are long.
        space.sort_by_key(|&(row, chunk)| arrays.storages.arrays[halved].locate(row, chunk).region);
    }
    let mut feeds = Vec::new();
    let mut input_pads = Vec::new();
    for input in &program.inputs {
        let rows = context.rows_for(input.node, &input.target);
        let base = context.base(input.node);
        let storage = plain(arrays, base)?;
        let broadcast = arrays.storages.arrays[storage].broadcast;
        let vectors =
            space.iter().map(|&(row, chunk)| (rows[row as usize], if broadcast { 0 } else { chunk }));
        feeds.push(Feed { storage, vectors: vectors.collect() });
        input_pads.push(if broadcast { Pad::Unknown } else { pads.of(context, base) });
    }
    let values = pads.through(&program.alu, &input_pads);
    let mut alu = program.alu.clone();
    let mut results = Vec::new();
    for &(node, value) in &program.results {
        let forms = arrays.forms[node];
        let (value, pad) =
            clean(context, arrays, chip, (node, value, values.value(value)), &space, &mut feeds, &mut alu);
        pads.set(node, pad);
        results.push((forms, value));
    }
    let mut flows = Vec::new();
    for part in pieces(arrays, &space, &feeds, &results) {
        let pass = Pass { chip, arrays, node, name: "pointwise", space: &space[part.clone()] };
        let feeds = cut(&feeds, &part);
        for batch in batches(arrays, &results, space[part.start]) {
            let (alu, batch) = needed(&alu, &batch);
            flows.push(pass.flow(&feeds, &alu, &batch)?);
        }
    }
    Ok(flows)
}

/// Vectors from which on a pass is cut in parts, which may begin before all of its operands are there.
const LONG: usize = 24;
/// Parts at most.
const MOST_PARTS: usize = 4;

/// Ranges of a pass in which each 32-bit array lies in one region: these are passes of their own, which may go side by side.
pub fn pieces(
    arrays: &Arrays,
    space: &[(u32, u32)],
    feeds: &[Feed],
    results: &[(Forms, Value)],
) -> Vec<Range<usize>> {
    let region =
        |id: StorageId, (row, chunk): (u32, u32)| arrays.storages.arrays[id].locate(row, chunk).region;
    let spread = |id: StorageId| arrays.storages.arrays[id].units.len() > 1;
    let feeds: Vec<&Feed> = feeds.iter().filter(|feed| spread(feed.storage)).collect();
    let plain: Vec<StorageId> =
        results.iter().filter_map(|(forms, _)| forms.plain).filter(|&id| spread(id)).collect();
    let same = |one: usize, other: usize| {
        feeds.iter().all(|f| region(f.storage, f.vectors[one]) == region(f.storage, f.vectors[other]))
            && plain.iter().all(|&id| region(id, space[one]) == region(id, space[other]))
    };
    let mut pieces: Vec<Range<usize>> = Vec::new();
    for at in 0..space.len() {
        match pieces.last_mut() {
            Some(last) if same(last.start, at) => last.end = at + 1,
            _ => pieces.push(at..at + 1),
        }
    }
    let parts = |piece: Range<usize>| {
        let length = piece.len().div_ceil(piece.len().div_ceil(LONG).min(MOST_PARTS));
        piece.clone().step_by(length).map(move |from| from..(from + length).min(piece.end))
    };
    pieces.into_iter().flat_map(parts).collect()
}

/// A range of the vectors of each input.
pub fn cut(feeds: &[Feed], part: &Range<usize>) -> Vec<Feed> {
    let cut = |feed: &Feed| Feed { storage: feed.storage, vectors: feed.vectors[part.clone()].to_vec() };
    feeds.iter().map(cut).collect()
}

/// Results that one pass writes: where to, and what.
type Batch = Vec<(Forms, Value)>;

/// Results in as few batches as have all their arrays in regions of their own; 32-bit arrays where a vector says.
fn batches(arrays: &Arrays, results: &[(Forms, Value)], (row, chunk): (u32, u32)) -> Vec<Batch> {
    let mut batches: Vec<(BTreeSet<Region>, Batch)> = Vec::new();
    for &(forms, value) in results {
        let pairs = forms.halves.into_iter().chain(forms.indices.into_iter().flatten()).flatten();
        let regions =
            forms.striped.into_iter().chain(pairs).flat_map(|id| arrays.storages.arrays[id].regions());
        let plain = forms.plain.map(|id| arrays.storages.arrays[id].locate(row, chunk).region);
        let regions: BTreeSet<Region> = regions.map(|(region, _)| region).chain(plain).collect();
        match batches.iter_mut().find(|(used, _)| used.is_disjoint(&regions)) {
            Some((used, batch)) => {
                used.extend(regions);
                batch.push((forms, value));
            }
            None => batches.push((regions, vec![(forms, value)])),
        }
    }
    batches.into_iter().map(|(_, batch)| batch).collect()
}

/// The operations that a batch of results needs.
fn needed(alu: &AluProgram, results: &[(Forms, Value)]) -> (AluProgram, Batch) {
    let mut wanted = vec![false; alu.ops.len()];
    let mark = |value: Value, wanted: &mut Vec<bool>| {
        if let Value::Op(n) = value {
            wanted[n] = true;
        }
    };
    results.iter().for_each(|(_, value)| mark(*value, &mut wanted));
    for (n, op) in alu.ops.iter().enumerate().rev() {
        if wanted[n] {
            mark(op.a, &mut wanted);
            op.b.into_iter().for_each(|b| mark(b, &mut wanted));
        }
    }
    let place = |value: Value| match value {
        Value::Op(n) => Value::Op(wanted[..n].iter().filter(|&&wanted| wanted).count()),
        other => other,
    };
    let kept = alu.ops.iter().zip(&wanted).filter(|(_, wanted)| **wanted);
    let ops = kept.map(|(op, _)| AluOp { op: op.op, a: place(op.a), b: op.b.map(place) }).collect();
    (AluProgram { ops }, results.iter().map(|&(forms, value)| (forms, place(value))).collect())
}

/// Copies a tensor from its 32-bit array into the forms that products want, if any.
pub fn convert(
    context: &Context<'_>,
    arrays: &Arrays,
    chip: &Chip,
    node: NodeId,
    pads: &mut Pads,
) -> Result<Vec<Flow>, Diagnostic> {
    let forms = Forms { plain: None, ..arrays.forms[node] };
    if forms.halves.is_none() && forms.striped.is_none() && forms.indices[0].is_none() {
        return Ok(Vec::new());
    }
    let space = space(context, chip, node);
    let mut feeds = vec![Feed { storage: plain(arrays, node)?, vectors: space.clone() }];
    let mut alu = AluProgram::default();
    let pad = pads.of(context, node);
    let (value, _) = clean(context, arrays, chip, (node, Value::Input(0), pad), &space, &mut feeds, &mut alu);
    pieces(arrays, &space, &feeds, &[])
        .into_iter()
        .map(|part| {
            let pass = Pass { chip, arrays, node, name: "convert", space: &space[part.clone()] };
            pass.flow(&cut(&feeds, &part), &alu, &[(forms, value)])
        })
        .collect()
}

/// Rows and chunks of a tensor, in the order of its words.
pub fn space(context: &Context<'_>, chip: &Chip, node: NodeId) -> Vec<(u32, u32)> {
    let (rows, columns) = (context.rows(node) as u32, context.columns(node));
    let chunks = columns.div_ceil(chip.lanes).max(1) as u32;
    (0..chunks).flat_map(|chunk| (0..rows).map(move |row| (row, chunk))).collect()
}

/// A value with zeros past its last column, if a product is to use it: masks it where that is not known to be so.
fn clean(
    context: &Context<'_>,
    arrays: &Arrays,
    chip: &Chip,
    (node, value, pad): (NodeId, Value, Pad),
    space: &[(u32, u32)],
    feeds: &mut Vec<Feed>,
    alu: &mut AluProgram,
) -> (Value, Pad) {
    let columns = context.columns(node);
    let forms = arrays.forms[node];
    let operand = forms.halves.is_some() || forms.striped.is_some();
    if !operand || pad == Pad::Known(0) || columns.is_multiple_of(chip.lanes) {
        return (value, pad);
    }
    let last = columns.div_ceil(chip.lanes) as u32 - 1;
    let storage = arrays.masks[&(columns % chip.lanes, MaskKind::Zero)];
    let feed =
        Feed { storage, vectors: space.iter().map(|&(_, chunk)| (u32::from(chunk == last), 0)).collect() };
    let input = feeds.iter().position(|old| *old == feed).unwrap_or_else(|| {
        feeds.push(feed);
        feeds.len() - 1
    });
    (alu.push(VxmOp::And, value, Some(Value::Input(input))), Pad::Known(0))
}

/// The 32-bit array of a tensor.
pub fn plain(arrays: &Arrays, base: NodeId) -> Result<StorageId, Diagnostic> {
    arrays.forms[base].plain.ok_or_else(|| {
        Diagnostic::new(Kind::Bug, "no-array", format!("{base} is read by the VXM but has no 32-bit array"))
    })
}

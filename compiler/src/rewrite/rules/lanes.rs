//! Slices and signed rearrangements of lanes of `x W`, as rotary embeddings and fused projections make them, moved into the
//! constant weights: a lane move of activations is a trip through the SXM, of weights it is free.

use egg::Id;

use super::layout::through_transpose;
use super::{CONCAT, Rule, SLICE, Site};
use crate::graph::{BinaryOp, Op, UnaryOp};

/// The group.
pub(super) fn rules() -> Vec<Rule> {
    let rule = |name, on, apply| Rule { name, group: "lanes", on, apply };
    vec![
        rule("lane-concat-into-weights", CONCAT, concat_into_weights),
        rule("lane-slice-into-weights", SLICE, slice_into_weights),
    ]
}

/// How many operators may lie between the rearrangement and the product.
const DEPTH: usize = 10;

/// A stretch of an axis, perhaps negated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    negative: bool,
    start: usize,
    count: usize,
    step: usize,
}

/// What becomes of each block of an axis: the parts, one after the other.
#[derive(Clone, Debug)]
struct LaneMap {
    block: usize,
    parts: Vec<Part>,
}

impl LaneMap {
    fn signed(&self) -> bool {
        self.parts.iter().any(|part| part.negative)
    }

    /// Without the signs.
    fn unsigned(&self) -> LaneMap {
        let parts = self.parts.iter().map(|part| Part { negative: false, ..*part }).collect();
        LaneMap { block: self.block, parts }
    }

    /// Length that an axis has afterwards.
    fn length(&self, before: usize) -> usize {
        before / self.block * self.parts.iter().map(|part| part.count).sum::<usize>()
    }
}

// concat(± slice(x W), ± x W, …) = x (W P), P the signed selection of columns; also through transposes, reshapes to
// heads, sums and scales between the product and the slices
fn concat_into_weights(site: &mut Site<'_>) {
    let Op::Concat { axis } = *site.op() else { return };
    let inputs = site.inputs();
    if site.constant(site.class()) {
        return;
    }
    for (x, part) in stretches(site, inputs[0], axis) {
        let mut parts = vec![part];
        for &input in &inputs[1..] {
            let same = stretches(site, input, axis).into_iter().find(|&(other, _)| other == x);
            parts.extend(same.map(|(_, part)| part));
        }
        if parts.len() == inputs.len() {
            let map = LaneMap { block: site.shape(x)[axis], parts };
            let result = apply(site, x, axis, &map, DEPTH);
            site.equal(result);
        }
    }
}

// slice(x W) = x slice(W)
fn slice_into_weights(site: &mut Site<'_>) {
    let Op::Slice { axis, start, count, step } = *site.op() else { return };
    let x = site.input(0);
    if site.constant(x) {
        return;
    }
    let map =
        LaneMap { block: site.shape(x)[axis], parts: vec![Part { negative: false, start, count, step }] };
    let result = apply(site, x, axis, &map, DEPTH);
    site.equal(result);
}

/// What a tensor is a stretch of, along an axis; at least of itself.
fn stretches(site: &Site<'_>, id: Id, axis: usize) -> Vec<(Id, Part)> {
    let mut found = Vec::new();
    let mut slices = |id: Id, negative: bool| {
        found.push((id, Part { negative, start: 0, count: site.shape(id)[axis], step: 1 }));
        for (op, inputs) in site.ops(id) {
            if let Op::Slice { axis: along, start, count, step } = op
                && along == axis
            {
                let part = Part { negative, start, count, step };
                found.push((inputs[0], part));
                for x in site.unaries(inputs[0], UnaryOp::Neg) {
                    found.push((x, Part { negative: !negative, ..part }));
                }
            }
        }
    };
    slices(id, false);
    for positive in site.unaries(id, UnaryOp::Neg) {
        slices(positive, true);
    }
    found
}

/// The map applied to `x` along an axis, where that reaches constant weights.
fn apply(site: &mut Site<'_>, x: Id, axis: usize, map: &LaneMap, depth: usize) -> Option<Id> {
    if site.constant(x) {
        return rearrange(site, x, axis, map);
    }
    let depth = depth.checked_sub(1)?;
    let shape = site.shape(x);
    for (op, inputs) in site.ops(x) {
        let result = match &op {
            Op::MatMul { transpose_b } if axis + 1 == shape.len() && site.constant(inputs[1]) => {
                let columns = site.shape(inputs[1]).len() - 1 - usize::from(*transpose_b);
                let weights = rearrange(site, inputs[1], columns, map);
                weights.and_then(|weights| site.matmul(inputs[0], weights, *transpose_b))
            }
            Op::Transpose { permutation } => {
                let inner = apply(site, inputs[0], permutation[axis], map, depth);
                inner.and_then(|inner| through_transpose(site, permutation, inner))
            }
            Op::Reshape { .. } => behind_reshape(site, inputs[0], &shape, axis, map, depth),
            Op::Unary(UnaryOp::Neg) => {
                let inner = apply(site, inputs[0], axis, map, depth);
                inner.and_then(|inner| site.unary(UnaryOp::Neg, inner))
            }
            Op::Binary(op @ (BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div)) => {
                behind_binary(site, *op, [inputs[0], inputs[1]], shape.len() - axis, map, depth)
            }
            _ => None,
        };
        if result.is_some() {
            return result;
        }
    }
    None
}

/// Through a reshape that splits an axis whose last part is ours: `[.., h·d] → [.., h, d]`.
fn behind_reshape(
    site: &mut Site<'_>,
    x: Id,
    to: &[usize],
    axis: usize,
    map: &LaneMap,
    depth: usize,
) -> Option<Id> {
    let from = site.shape(x);
    let below: usize = to[axis + 1..].iter().product();
    // The axis of x with as many elements behind it, that is a multiple of ours.
    let inner = (0..from.len()).find(|&inner| {
        from[inner + 1..].iter().product::<usize>() == below
            && from[inner].is_multiple_of(to[axis])
            && from[inner] > 1
    })?;
    let moved = apply(site, x, inner, map, depth)?;
    let mut shape = to.to_vec();
    shape[axis] = map.length(to[axis]);
    site.reshape(moved, shape)
}

/// Through a pointwise operator: sums take the signs to both sides, products and quotients to the left one or the other.
fn behind_binary(
    site: &mut Site<'_>,
    op: BinaryOp,
    operands: [Id; 2],
    from_end: usize,
    map: &LaneMap,
    depth: usize,
) -> Option<Id> {
    let axes = operands.map(|id| {
        let shape = site.shape(id);
        shape.len().checked_sub(from_end).filter(|&axis| shape[axis] != 1)
    });
    let linear = matches!(op, BinaryOp::Mul | BinaryOp::Div);
    let carrier = if axes[0].is_some() { 0 } else { 1 };
    if op == BinaryOp::Div && carrier == 1 && map.signed() {
        return None;
    }
    let mut results = operands;
    for i in [0, 1] {
        let map = if linear && i != carrier { map.unsigned() } else { map.clone() };
        match axes[i] {
            Some(axis) => results[i] = apply(site, operands[i], axis, &map, depth)?,
            // One number for all lanes: its sign cannot differ.
            None if map.signed() => return None,
            None => {}
        }
    }
    site.binary(op, results[0], results[1])
}

/// The map as a constant expression.
fn rearrange(site: &mut Site<'_>, constant: Id, axis: usize, map: &LaneMap) -> Option<Id> {
    let shape = site.shape(constant);
    let blocks = shape[axis].checked_div(map.block).filter(|blocks| blocks * map.block == shape[axis])?;
    let mut split = shape.clone();
    split.splice(axis..=axis, [blocks, map.block]);
    let (source, axis) =
        if blocks == 1 { (constant, axis) } else { (site.reshape(constant, split)?, axis + 1) };
    let mut parts = Vec::new();
    for part in &map.parts {
        let slice = Op::Slice { axis, start: part.start, count: part.count, step: part.step };
        let stretch = site.add(slice, &[source])?;
        parts.push(if part.negative { site.unary(UnaryOp::Neg, stretch)? } else { stretch });
    }
    let joined = if parts.len() == 1 { parts[0] } else { site.add(Op::Concat { axis }, &parts)? };
    let mut result = shape;
    let axis = if blocks == 1 { axis } else { axis - 1 };
    result[axis] = map.length(result[axis]);
    site.reshape(joined, result)
}

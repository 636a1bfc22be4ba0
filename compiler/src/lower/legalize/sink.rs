//! Moves that cost nothing: kept on rows, folded into constants and host inputs, or carried through pointwise operators to
//! where they are free.

use super::builder::{Builder, Move};
use super::view::{free_transpose, last, shape_above};
use crate::graph::{NodeId, Op, TensorType, shape};

/// x in another shape, if that needs no lane moves.
pub(super) fn reshape(b: &mut Builder, x: NodeId, shape: &[usize]) -> Option<NodeId> {
    // Scalars live as [1]; inside constant expressions shapes are the model's.
    let shape = if shape.is_empty() && !b.is_constant(x) { &[1] } else { shape };
    if b.graph.shape(x) == shape {
        return Some(x);
    }
    tried(b, x, Move::Reshape(shape.to_vec()), |b| reshaped(b, x, shape))
}

/// x with its axes in another order, if that needs neither lane moves nor another product.
pub(super) fn transpose(b: &mut Builder, x: NodeId, permutation: &[usize]) -> Option<NodeId> {
    if permutation.iter().copied().eq(0..permutation.len()) {
        return Some(x);
    }
    tried(b, x, Move::Transpose(permutation.to_vec()), |b| transposed(b, x, permutation))
}

fn tried(
    b: &mut Builder,
    x: NodeId,
    change: Move,
    attempt: impl FnOnce(&mut Builder) -> Option<NodeId>,
) -> Option<NodeId> {
    if let Some(&known) = b.moved.get(&(x, change.clone())) {
        return known;
    }
    let result = attempt(b);
    b.moved.insert((x, change), result);
    result
}

fn reshaped(b: &mut Builder, x: NodeId, shape: &[usize]) -> Option<NodeId> {
    let plain = Op::Reshape { shape: shape.to_vec() };
    if b.is_constant(x) {
        return Some(b.emit(plain, &[x]));
    }
    let keeps_lanes = last(b.graph.shape(x)) == last(shape);
    match b.op(x).clone() {
        Op::Reshape { .. } => {
            let inner = b.input(x);
            if let Some(moved) = reshape(b, inner, shape) {
                return Some(moved);
            }
        }
        Op::Input(name) if !keeps_lanes => {
            if b.states.contains(&name) {
                return None;
            }
            let ty = TensorType::new(b.element(x), shape);
            return Some(b.emit_typed(Op::Input(name), &[], ty));
        }
        Op::MatMul { .. } if !keeps_lanes => {
            return split_product(b, x, shape).or_else(|| join_product(b, x, shape));
        }
        _ => {}
    }
    if keeps_lanes {
        return Some(b.emit(plain, &[x]));
    }
    let turns = last(b.graph.shape(x)) == 1 || last(shape) == 1;
    match b.op(x).clone() {
        // Work is repeated only where that is the price of not moving lanes of a few small tensors.
        op @ (Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast(_)) if turns || !b.is_shared(x) => {
            let groups = groups(b.graph.shape(x), shape);
            let operands: Option<Vec<NodeId>> =
                b.inputs(x).into_iter().map(|operand| reshape_operand(b, operand, x, &groups)).collect();
            let moved = b.pointwise(op, &operands?);
            if b.graph.shape(moved) == shape {
                return Some(moved);
            }
            Some(super::view::expand(b, moved, shape))
        }
        Op::Transpose { permutation } => {
            // Moving axes of length 1 is a reshape.
            let inner = b.input(x);
            is_reshape(b.graph.shape(inner), &permutation).then(|| reshape(b, inner, shape)).flatten()
        }
        _ => None,
    }
}

/// Axes of a shape that together become axes of another.
struct Group {
    from: Vec<usize>,
    to: Vec<usize>,
}

/// The finest grouping in which both sides of every group have as many elements.
fn groups(from: &[usize], to: &[usize]) -> Vec<Group> {
    let (mut i, mut j) = (0, 0);
    let mut groups = Vec::new();
    while i < from.len() || j < to.len() {
        let (start_i, start_j) = (i, j);
        let (mut a, mut b) = (1, 1);
        if i < from.len() {
            a = from[i];
            i += 1;
        }
        if j < to.len() {
            b = to[j];
            j += 1;
        }
        while a != b {
            if a < b {
                a *= from[i];
                i += 1;
            } else {
                b *= to[j];
                j += 1;
            }
        }
        groups.push(Group { from: from[start_i..i].to_vec(), to: to[start_j..j].to_vec() });
    }
    groups
}

/// An operand of a pointwise node, in the shape that broadcasts to the node's new one.
fn reshape_operand(b: &mut Builder, operand: NodeId, node: NodeId, groups: &[Group]) -> Option<NodeId> {
    let full = b.shape(node);
    let own = padded(b.graph.shape(operand), full.len());
    let mut target = Vec::new();
    let mut at = 0;
    let mut mixed = false;
    for group in groups {
        let part = &own[at..at + group.from.len()];
        at += group.from.len();
        if part == group.from {
            target.extend(&group.to);
        } else if part.iter().all(|&n| n == 1) {
            target.extend(group.to.iter().map(|_| 1));
        } else {
            mixed = true;
            target.extend(&group.to);
        }
    }
    if !mixed {
        return reshape(b, operand, &target);
    }
    if !b.is_constant(operand) {
        return None;
    }
    // A constant may be written out as far as its groups need.
    let mut written = Vec::new();
    let mut at = 0;
    for group in groups {
        let part = &own[at..at + group.from.len()];
        at += group.from.len();
        written.extend(if part.iter().all(|&n| n == 1) { part } else { &group.from[..] });
    }
    let expanded = super::view::expand(b, operand, &written);
    reshape(b, expanded, &target)
}

/// Leading axes of a shape, brought to a rank.
fn rows(shape: &[usize], rank: usize) -> Vec<usize> {
    let mut shape = padded(shape, rank);
    shape.pop();
    shape
}

fn padded(shape: &[usize], rank: usize) -> Vec<usize> {
    let mut padded = vec![1; rank - shape.len()];
    padded.extend(shape);
    padded
}

/// [.., S, H · D] = NT(a, W) with constant W, asked for as [.., S, H, D]: a batched product with W cut into heads.
fn split_product(b: &mut Builder, x: NodeId, shape: &[usize]) -> Option<NodeId> {
    let [a, w] = b.inputs(x)[..] else { return None };
    let from = last(b.graph.shape(x));
    let w_shape = b.shape(w);
    if last(shape) == 1
        || b.is_shared(x)
        || !b.is_constant(w)
        || w_shape[..w_shape.len() - 2].iter().any(|&n| n != 1)
    {
        return None;
    }
    if *b.op(x) != (Op::MatMul { transpose_b: true }) {
        return None;
    }
    let rows = shape_above(shape, from).filter(|rows| !rows.is_empty() && rows.len() + 1 < shape.len())?;
    let k = last(&w_shape);
    let heads = &shape[rows.len()..shape.len() - 1];
    let (outer, s) = rows.split_at(rows.len() - 1);
    let a = reshape(b, a, &[outer, &vec![1; heads.len()][..], s, &[k]].concat())?;
    let w = reshape(b, w, &[&shape[rows.len()..], &[k]].concat())?;
    let product = b.emit(Op::MatMul { transpose_b: true }, &[a, w]);
    let mut permutation: Vec<usize> = (0..outer.len()).collect();
    permutation.push(outer.len() + heads.len());
    permutation.extend(outer.len()..outer.len() + heads.len());
    permutation.push(shape.len() - 1);
    Some(free_transpose(b, product, &permutation))
}

/// The other way round: [.., heads, 1, D] = NT(a, W) with constant W [heads, D, k], asked for with some heads side by side on the lanes.
fn join_product(b: &mut Builder, x: NodeId, shape: &[usize]) -> Option<NodeId> {
    let [a, w] = b.inputs(x)[..] else { return None };
    let (from, to) = (b.shape(x), last(shape));
    let (w_shape, d, k) = (b.shape(w), last(&from), last(b.graph.shape(a)));
    let columns = w_shape.iter().product::<usize>() / k;
    let rows = b.shape(a).iter().product::<usize>() / k;
    // Rows of a come first, and each meets all of W.
    let leading = w_shape.len() - 2;
    let outer_first = from[..from.len() - 2 - leading].iter().product::<usize>() == rows;
    if *b.op(x) != (Op::MatMul { transpose_b: true })
        || b.is_shared(x)
        || !b.is_constant(w)
        || !to.is_multiple_of(d)
        || !columns.is_multiple_of(to)
        || from[from.len() - 2] != 1
        || !(rows == 1 || outer_first)
    {
        return None;
    }
    let a = reshape(b, a, &[rows, 1, 1, k])?;
    let w = reshape(b, w, &[columns / to, to, k])?;
    let product = b.emit(Op::MatMul { transpose_b: true }, &[a, w]);
    reshape(b, product, shape)
}

/// Whether a transpose only moves axes of length 1.
pub(super) fn is_reshape(shape: &[usize], permutation: &[usize]) -> bool {
    let moved: Vec<usize> = permutation.iter().copied().filter(|&axis| shape[axis] != 1).collect();
    moved.is_sorted()
}

fn transposed(b: &mut Builder, x: NodeId, permutation: &[usize]) -> Option<NodeId> {
    if b.is_constant(x) {
        return Some(b.emit(Op::Transpose { permutation: permutation.to_vec() }, &[x]));
    }
    let shape = b.shape(x);
    let keeps_last = permutation[permutation.len() - 1] == permutation.len() - 1;
    if is_reshape(&shape, permutation) {
        let target: Vec<usize> = permutation.iter().map(|&axis| shape[axis]).collect();
        return reshape(b, x, &target);
    }
    if let Op::Transpose { permutation: first } = b.op(x).clone() {
        let both: Vec<usize> = permutation.iter().map(|&axis| first[axis]).collect();
        let inner = b.input(x);
        return transpose(b, inner, &both);
    }
    if keeps_last {
        return Some(free_transpose(b, x, permutation));
    }
    match b.op(x).clone() {
        op @ (Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast(_)) if !b.is_shared(x) => {
            let mut operands = Vec::new();
            for operand in b.inputs(x) {
                let whole = padded(b.graph.shape(operand), shape.len());
                let whole = reshape(b, operand, &whole)?;
                operands.push(transpose(b, whole, permutation)?);
            }
            Some(b.pointwise(op, &operands))
        }
        Op::Expand { .. } => {
            let inner = b.input(x);
            let moved = transpose(b, inner, permutation)?;
            let target: Vec<usize> = permutation.iter().map(|&axis| shape[axis]).collect();
            Some(super::view::expand(b, moved, &target))
        }
        Op::MatMul { .. } => transposed_product(b, x, permutation),
        _ => None,
    }
}

/// NT(a, b) with its last axes exchanged is NT(b, a); of a product with the identity only the other operand is left.
fn transposed_product(b: &mut Builder, x: NodeId, permutation: &[usize]) -> Option<NodeId> {
    let leading = permutation.len() - 2;
    // Bring the result's rows into order after the exchange, so any order of the leading axes will do.
    let exchanges = permutation[leading + 1] == leading;
    if !exchanges || b.is_shared(x) || *b.op(x) != (Op::MatMul { transpose_b: true }) {
        return None;
    }
    let turned = match b.exchanged(x) {
        Some(original) if b.rank(original) == permutation.len() => original,
        _ => {
            let [left, right] = b.inputs(x)[..] else { return None };
            b.emit(Op::MatMul { transpose_b: true }, &[right, left])
        }
    };
    // `turned` has axes (.., old last, old second to last); the permutation speaks of the old ones.
    let rest: Vec<usize> = permutation
        .iter()
        .map(|&axis| {
            if axis == leading {
                leading + 1
            } else if axis == leading + 1 {
                leading
            } else {
                axis
            }
        })
        .collect();
    transpose(b, turned, &rest)
}

/// Joins pointwise expressions of one form along the last axis by joining their constants, as the doubled angles of a rotary
/// embedding need it. Nothing where an operand that is not constant has lanes of its own.
pub(super) fn concat(b: &mut Builder, parts: &[NodeId], axis: usize) -> Option<NodeId> {
    let first = parts[0];
    let rank = b.rank(first);
    if parts.iter().all(|&part| b.is_constant(part)) {
        return Some(b.emit(Op::Concat { axis }, parts));
    }
    let op = b.op(first).clone();
    let pointwise = matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast(_));
    if axis + 1 != rank || !pointwise || parts.iter().any(|&part| *b.op(part) != op || b.is_constant(part)) {
        return None;
    }
    let mut operands = Vec::new();
    for i in 0..b.inputs(first).len() {
        let column: Vec<NodeId> = parts.iter().map(|&part| b.inputs(part)[i]).collect();
        let lanes: Vec<usize> = column.iter().map(|&x| last(b.graph.shape(x))).collect();
        if column.iter().all(|&x| x == column[0]) && lanes[0] == 1 {
            operands.push(column[0]);
            continue;
        }
        if column.iter().all(|&x| b.is_constant(x)) {
            let mut whole = Vec::new();
            if column.iter().any(|&x| rows(b.graph.shape(x), rank) != rows(b.graph.shape(column[0]), rank)) {
                return None;
            }
            for (&x, &part) in column.iter().zip(parts) {
                let mut target = padded(b.graph.shape(x), rank);
                target[axis] = last(b.graph.shape(part));
                whole.push(super::view::expand(b, x, &target));
            }
            operands.push(b.emit(Op::Concat { axis }, &whole));
            continue;
        }
        if column
            .iter()
            .zip(parts)
            .any(|(&x, &part)| b.rank(x) != rank || last(b.graph.shape(x)) != last(b.graph.shape(part)))
        {
            return None;
        }
        operands.push(concat(b, &column, axis)?);
    }
    let shapes =
        operands.iter().try_fold(Vec::new(), |sum, &x| shape::broadcast(&sum, b.graph.shape(x)).ok());
    let total: usize = parts.iter().map(|&part| last(b.graph.shape(part))).sum();
    (shapes?.last() == Some(&total)).then(|| b.pointwise(op, &operands))
}

/// A piece of the last axis of a product with constant weights, through pointwise operators: the product with a piece of the weights.
pub(super) fn slice_product(
    b: &mut Builder,
    x: NodeId,
    start: usize,
    count: usize,
    step: usize,
) -> Option<NodeId> {
    let shape = b.shape(x);
    let piece = |axis: usize| Op::Slice { axis, start, count, step };
    if b.is_constant(x) {
        return Some(b.emit(piece(shape.len() - 1), &[x]));
    }
    match b.op(x).clone() {
        Op::MatMul { transpose_b: true } => {
            let [a, w] = b.inputs(x)[..] else { return None };
            if !b.is_constant(w) || count < 2 {
                return None;
            }
            let w = b.emit(piece(b.rank(w) - 2), &[w]);
            Some(b.emit(Op::MatMul { transpose_b: true }, &[a, w]))
        }
        op @ (Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast(_)) => {
            let mut operands = Vec::new();
            for operand in b.inputs(x) {
                let whole = last(b.graph.shape(operand)) == last(&shape);
                if whole && b.is_shared(operand) && !b.is_constant(operand) {
                    return None;
                }
                operands.push(if whole { slice_product(b, operand, start, count, step)? } else { operand });
            }
            Some(b.pointwise(op, &operands))
        }
        _ => None,
    }
}

//! Changes of shape and order of runtime tensors: which are free, which move lanes, which are products with an identity matrix.

use super::builder::Builder;
use super::sink;
use crate::graph::{BinaryOp, ElementType, NodeId, Op, ReduceOp, UnaryOp};

/// x in another shape, elements in the same order. An empty shape becomes [1].
pub(super) fn reshape(b: &mut Builder, x: NodeId, shape: &[usize]) -> NodeId {
    if let Some(moved) = sink::reshape(b, x, shape) {
        return moved;
    }
    let from = last(b.graph.shape(x));
    let to = last(shape);
    let rows = b.shape(x).iter().product::<usize>() / from;
    if from == 1 {
        let columns = free(b, x, &[rows / to, to, 1]);
        let turned = column_to_row(b, columns);
        return free(b, turned, shape);
    }
    if to == 1 {
        let row = free(b, x, &[rows, 1, from]);
        let turned = row_to_column(b, row);
        return free(b, turned, shape);
    }
    // Merging and splitting lanes go by way of the shortest length that both are parts of.
    let common = from / gcd(from, to) * to;
    let mut merged = x;
    if common != from {
        let mut tail = shape_above(shape, common).unwrap_or_else(|| vec![rows * from / common]);
        tail.extend([common / from, from]);
        merged = free(b, x, &tail);
        tail.truncate(tail.len() - 2);
        tail.push(common);
        merged = b.emit(Op::Reshape { shape: tail }, &[merged]);
    }
    if common != to {
        let mut tail = shape_above(shape, common).unwrap_or_else(|| vec![rows * from / common]);
        tail.push(common);
        merged = free(b, merged, &tail);
        tail.pop();
        tail.extend([common / to, to]);
        merged = b.emit(Op::Reshape { shape: tail }, &[merged]);
    }
    free(b, merged, shape)
}

/// Axes of a shape in front of those whose product is `length`.
pub(super) fn shape_above(shape: &[usize], length: usize) -> Option<Vec<usize>> {
    let mut product = 1;
    for (i, &n) in shape.iter().enumerate().rev() {
        product *= n;
        if product == length {
            return Some(shape[..i].to_vec());
        }
    }
    None
}

/// A reshape that keeps the last axis.
fn free(b: &mut Builder, x: NodeId, shape: &[usize]) -> NodeId {
    let mut base = x;
    if let Op::Reshape { .. } = b.op(x)
        && last(b.graph.shape(b.input(x))) == last(shape)
    {
        base = b.input(x);
    }
    if b.graph.shape(base) == shape {
        return base;
    }
    b.emit(Op::Reshape { shape: shape.to_vec() }, &[base])
}

/// [.., 1, n] → [.., n, 1]: row i of n copies keeps lane i, and the lanes are summed. Exact.
fn row_to_column(b: &mut Builder, x: NodeId) -> NodeId {
    let element = b.element(x);
    if element == ElementType::Bool {
        let real = b.cast(ElementType::F32, x);
        let turned = row_to_column(b, real);
        return b.cast(ElementType::Bool, turned);
    }
    let diagonal = spread(b, x);
    let axis = b.rank(x) - 1;
    super::reduce::reduce(b, ReduceOp::Sum, axis, diagonal)
}

/// [.., n, 1] → [.., 1, n]: row i keeps lane i of its broadcast element, and the rows are summed. Exact.
fn column_to_row(b: &mut Builder, x: NodeId) -> NodeId {
    let diagonal = spread(b, x);
    let axis = b.rank(x) - 2;
    super::reduce::halving(b, axis, diagonal, |b, x, y| match b.element(x) {
        ElementType::Bool => b.binary(BinaryOp::Or, x, y),
        _ => b.binary(BinaryOp::Add, x, y),
    })
}

/// A vector on the diagonal of a matrix of zeros.
fn spread(b: &mut Builder, x: NodeId) -> NodeId {
    let shape = b.shape(x);
    let n = shape.iter().rev().take(2).product();
    let diagonal = b.diagonal(n);
    let zero = b.zero(b.element(x));
    b.select(diagonal, x, zero)
}

/// x with its axes in another order.
pub(super) fn transpose(b: &mut Builder, x: NodeId, permutation: &[usize]) -> NodeId {
    if let Some(moved) = sink::transpose(b, x, permutation) {
        return moved;
    }
    if let Op::Transpose { permutation: first } = b.op(x).clone() {
        let both: Vec<usize> = permutation.iter().map(|&axis| first[axis]).collect();
        let inner = b.input(x);
        return transpose(b, inner, &both);
    }
    if sink::is_reshape(b.graph.shape(x), permutation) {
        let target: Vec<usize> = permutation.iter().map(|&axis| b.graph.shape(x)[axis]).collect();
        return reshape(b, x, &target);
    }
    if b.element(x) == ElementType::I8 {
        // Binary16 holds every one of them.
        let real = b.cast(ElementType::F32, x);
        let turned = transpose(b, real, permutation);
        return b.cast(ElementType::I8, turned);
    }
    let source = permutation[permutation.len() - 1];
    let old_last = permutation.len() - 1;
    // Another axis comes last: bring it next to the last axis, exchange the two, and bring the old last axis to its place.
    let mut rows: Vec<usize> =
        permutation.iter().copied().filter(|&a| a != source && a != old_last).collect();
    let place = permutation.iter().position(|&a| a == old_last).unwrap_or(0);
    let leading = rows.len();
    rows.extend([source, old_last]);
    let near = free_transpose(b, x, &rows);
    let exchanged = exchange(b, near);
    let mut finish: Vec<usize> = (0..leading).collect();
    finish.insert(place, leading);
    finish.push(leading + 1);
    free_transpose(b, exchanged, &finish)
}

/// A transpose that leaves the last axis last.
pub(super) fn free_transpose(b: &mut Builder, x: NodeId, permutation: &[usize]) -> NodeId {
    if permutation.iter().copied().eq(0..permutation.len()) {
        return x;
    }
    if let Op::Transpose { permutation: first } = b.op(x).clone() {
        let both: Vec<usize> = permutation.iter().map(|&axis| first[axis]).collect();
        let inner = b.input(x);
        return free_transpose(b, inner, &both);
    }
    b.emit(Op::Transpose { permutation: permutation.to_vec() }, &[x])
}

/// Integers of at most so many elements are turned one by one.
const FEW_INTEGERS: usize = 1 << 13;

/// [.., m, n] → [.., n, m] as a product with the identity, which holds 22 bits of a number. A few integers are turned as columns of one element each,
/// which are rows; more of them in parts.
fn exchange(b: &mut Builder, x: NodeId) -> NodeId {
    let rank = b.rank(x);
    if let Some(original) = b.exchanged(x) {
        return original;
    }
    if let [front @ .., m, n] = &b.shape(x)[..]
        && (*m == 1 || *n == 1)
    {
        return reshape(b, x, &[front, &[*n, *m]].concat());
    }
    if let Op::Reshape { shape } = b.op(x).clone()
        && let Some(original) = b.exchanged(b.input(x))
        && b.graph.shape(original)[b.rank(original) - 1] == shape[rank - 2]
    {
        // Other axes in front of the same matrices.
        let target = [&shape[..rank - 2], &[shape[rank - 1], shape[rank - 2]]].concat();
        return b.emit(Op::Reshape { shape: target }, &[original]);
    }
    match b.element(x) {
        ElementType::F32 => {
            let identity = b.identity(b.graph.shape(x)[rank - 1]);
            b.emit(Op::MatMul { transpose_b: true }, &[identity, x])
        }
        ElementType::Bool => {
            let real = b.cast(ElementType::F32, x);
            let turned = exchange(b, real);
            b.cast(ElementType::Bool, turned)
        }
        ElementType::I32 if b.graph.nodes[x].ty.elements() <= FEW_INTEGERS => {
            let shape = b.shape(x);
            let (front, m, n) = (&shape[..rank - 2], shape[rank - 2], shape[rank - 1]);
            let columns = reshape(b, x, &[front, &[m, n, 1]].concat());
            let order: Vec<usize> = (0..rank - 2).chain([rank - 1, rank - 2, rank]).collect();
            let turned = free_transpose(b, columns, &order);
            reshape(b, turned, &[front, &[n, m]].concat())
        }
        ElementType::I32 => in_parts(b, x, exchange),
        ElementType::I8 | ElementType::F8 => {
            let mut permutation: Vec<usize> = (0..rank).collect();
            permutation.swap(rank - 1, rank - 2);
            b.emit(Op::Transpose { permutation }, &[x])
        }
    }
}

/// So many bits of an integer are moved by one product, at any precision: binary16 holds them.
const PART: i32 = 11;

/// Integers moved in parts, as real numbers: a product of one 1 and zeros moves each, and they are put together again.
fn in_parts(b: &mut Builder, x: NodeId, moved: impl Fn(&mut Builder, NodeId) -> NodeId) -> NodeId {
    let mask = b.integer((1 << PART) - 1);
    let mut whole: Option<NodeId> = None;
    for first in (0..i32::BITS as i32).step_by(PART as usize) {
        let by = b.integer(first);
        // The last part has the sign.
        let mut part = if first == 0 { x } else { b.binary(BinaryOp::ShiftRight, x, by) };
        if first + PART < i32::BITS as i32 {
            part = b.binary(BinaryOp::And, part, mask);
        }
        let real = b.cast(ElementType::F32, part);
        let real = moved(b, real);
        let real = b.unary(UnaryOp::Round, real);
        let part = b.cast(ElementType::I32, real);
        let part = if first == 0 { part } else { b.binary(BinaryOp::ShiftLeft, part, by) };
        whole = Some(whole.map_or(part, |whole| b.binary(BinaryOp::Or, whole, part)));
    }
    whole.unwrap_or(x)
}

/// x with its last two axes exchanged.
pub(super) fn exchange_last(b: &mut Builder, x: NodeId) -> NodeId {
    let rank = b.rank(x);
    let mut permutation: Vec<usize> = (0..rank).collect();
    permutation.swap(rank - 1, rank - 2);
    transpose(b, x, &permutation)
}

/// x repeated along its axes of length 1; new axes come in front.
pub(super) fn expand(b: &mut Builder, x: NodeId, shape: &[usize]) -> NodeId {
    let base = if let Op::Expand { .. } = b.op(x) { b.input(x) } else { x };
    let mut padded = vec![1; shape.len() - b.rank(base)];
    padded.extend(b.shape(base));
    let padded = reshape(b, base, &padded);
    if b.graph.shape(padded) == shape {
        return padded;
    }
    b.emit(Op::Expand { shape: shape.to_vec() }, &[padded])
}

/// Elements start, start + step, … of an axis.
pub(super) fn slice(
    b: &mut Builder,
    x: NodeId,
    axis: usize,
    start: usize,
    count: usize,
    step: usize,
) -> NodeId {
    let shape = b.shape(x);
    let step = if count <= 1 { 1 } else { step };
    if count == shape[axis] {
        return x;
    }
    if matches!(b.op(x), Op::Expand { .. }) && b.graph.shape(b.input(x))[axis] == 1 {
        let mut target = shape;
        target[axis] = count;
        let inner = b.input(x);
        return expand(b, inner, &target);
    }
    let on_lanes = axis + 1 == shape.len() && !b.is_constant(x);
    if on_lanes && count == 1 {
        return lane(b, x, start);
    }
    if on_lanes && step != 1 && matches!(b.element(x), ElementType::F32 | ElementType::I32) {
        return columns(b, x, &(0..count).map(|i| start + i * step).collect::<Vec<_>>());
    }
    b.emit(Op::Slice { axis, start, count, step }, &[x])
}

/// One lane, in all lanes: all others are zeroed, and the lanes are summed. Exact.
fn lane(b: &mut Builder, x: NodeId, at: usize) -> NodeId {
    let element = b.element(x);
    if element == ElementType::Bool {
        let real = b.cast(ElementType::F32, x);
        let only = lane(b, real, at);
        return b.cast(ElementType::Bool, only);
    }
    let axis = b.rank(x) - 1;
    let only = b.only(at, b.graph.shape(x)[axis]);
    let zero = b.zero(element);
    let kept = b.select(only, x, zero);
    super::reduce::reduce(b, ReduceOp::Sum, axis, kept)
}

/// Zeros, or another value as constants, before and after the elements of an axis.
pub(super) fn pad(
    b: &mut Builder,
    x: NodeId,
    axis: usize,
    (before, after): (usize, usize),
    value: u32,
) -> NodeId {
    if before + after == 0 {
        return x;
    }
    if value == 0 || b.is_constant(x) {
        return b.emit(Op::Pad { axis, before, after, value }, &[x]);
    }
    let mut shape = b.shape(x);
    let value = b.scalar(b.element(x), value);
    let [before, after] = [before, after].map(|length| {
        shape[axis] = length;
        expand(b, value, &shape)
    });
    concat(b, &[before, x, after], axis)
}

/// Chosen elements of the last axis, as a product with a matrix of zeros and ones.
pub(super) fn columns(b: &mut Builder, x: NodeId, chosen: &[usize]) -> NodeId {
    if b.element(x) == ElementType::I32 {
        return in_parts(b, x, |b, part| columns(b, part, chosen));
    }
    let shape = b.shape(x);
    let width = last(&shape);
    let selection = b.selection(chosen, width);
    let matrix = if shape.len() == 1 { reshape(b, x, &[1, width]) } else { x };
    let product = b.emit(Op::MatMul { transpose_b: true }, &[matrix, selection]);
    let mut target = shape;
    target.pop();
    target.push(chosen.len());
    reshape(b, product, &target)
}

/// Tensors one after the other along an axis; empty ones are left out.
pub(super) fn concat(b: &mut Builder, parts: &[NodeId], axis: usize) -> NodeId {
    let full: Vec<NodeId> = parts.iter().copied().filter(|&x| b.graph.shape(x)[axis] != 0).collect();
    match full[..] {
        [] => parts[0],
        [only] => only,
        _ => {
            let moved = sink::concat(b, &full, axis).or_else(|| signed(b, &full, axis));
            moved.unwrap_or_else(|| b.emit(Op::Concat { axis }, &full))
        }
    }
}

/// Pieces of lanes joined again, some of them negated (a rotary embedding's half turn): only moves, then one product with signs.
fn signed(b: &mut Builder, parts: &[NodeId], axis: usize) -> Option<NodeId> {
    let mut signs = Vec::new();
    let mut pieces = Vec::new();
    for &part in parts {
        let negated = *b.op(part) == Op::Unary(UnaryOp::Neg) && b.element(part) == ElementType::F32;
        let piece = if negated { b.input(part) } else { part };
        if !matches!(b.op(piece), Op::Slice { axis: own, .. } if *own == axis) || b.is_constant(piece) {
            return None;
        }
        signs.resize(signs.len() + b.graph.shape(piece)[axis], if negated { -1.0 } else { 1.0 });
        pieces.push(piece);
    }
    if axis + 1 != b.rank(parts[0]) || signs.iter().all(|&sign| sign == 1.0) {
        return None;
    }
    let joined = b.emit(Op::Concat { axis }, &pieces);
    let signs = b.vector(&signs);
    Some(b.binary(BinaryOp::Mul, joined, signs))
}

/// Length of the last axis; 1 for a scalar.
pub(super) fn last(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(1)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

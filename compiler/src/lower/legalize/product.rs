//! Matrix products: operands by rows, one copy of a key or value head per group of query heads.

use super::builder::Builder;
use super::{gather, pointwise, reduce, sink, view};
use crate::graph::{BinaryOp, ElementType, NodeId, Op, ReduceOp};

/// Most elements that the planes sum beside a product. More would keep them longer than a way through the SXM takes, which they need not wait for.
const MOST_SUMMED: usize = 1 << 17;

/// left · right, or left · rightᵀ.
pub(super) fn matmul(b: &mut Builder, left: NodeId, right: NodeId, transpose_b: bool) -> NodeId {
    if b.is_constant(left) && b.is_constant(right) {
        return b.emit(Op::MatMul { transpose_b }, &[left, right]);
    }
    if view::last(b.graph.shape(left)) == 1 {
        // An outer product needs no sums: it stays exact as a pointwise product.
        let [left, right] = [left, right].map(|side| wide(b, side));
        let row = if transpose_b { view::exchange_last(b, right) } else { right };
        return b.binary(BinaryOp::Mul, left, row);
    }
    let right_shape = b.graph.shape(right);
    if right_shape[right_shape.len() - if transpose_b { 2 } else { 1 }] == 1 {
        // One column is a sum over lanes, which leaves it in all lanes.
        let [left, right] = [left, right].map(|side| wide(b, side));
        let row = if transpose_b { right } else { view::exchange_last(b, right) };
        let products = b.binary(BinaryOp::Mul, left, row);
        let axis = b.rank(products) - 1;
        return reduce::reduce(b, ReduceOp::Sum, axis, products);
    }
    let (rows, exchange) = by_rows(b, right, transpose_b);
    if let Some(product) = grouped(b, left, rows, exchange) {
        return product;
    }
    let rows = if exchange { view::exchange_last(b, rows) } else { rows };
    b.emit(Op::MatMul { transpose_b: true }, &[left, rows])
}

/// What pointwise operators take of bytes: the same numbers, wide.
fn wide(b: &mut Builder, x: NodeId) -> NodeId {
    match b.element(x) {
        ElementType::I8 => b.cast(ElementType::I32, x),
        ElementType::F8 => b.cast(ElementType::F32, x),
        _ => x,
    }
}

/// Where a product is divided by the sums of its own left rows, as after a softmax: those sums by the planes, as a product with ones beside it. Each
/// is in every lane of the quotient, without a way through the SXM. Only what is not negative: lanes past the quotient have sums of zero, and with the
/// least positive number in their place the quotient is zero there.
pub(super) fn sum_beside(b: &mut Builder, product: NodeId, sums: NodeId) -> Option<NodeId> {
    let Op::Reduce { op: ReduceOp::Sum, axis } = *b.op(sums) else { return None };
    let rows = b.input(sums);
    let product = same_rows(b, product);
    let [left, right] = b.inputs(product)[..] else { return None };
    let of_planes = *b.op(product) == (Op::MatMul { transpose_b: true }) && !b.is_constant(right);
    if !of_planes || axis + 1 != b.rank(rows) || same_rows(b, left) != same_rows(b, rows) {
        return None;
    }
    let few = b.shape(rows).iter().product::<usize>() <= MOST_SUMMED;
    if !few || !pointwise::is_never_negative(b, rows) {
        return None;
    }
    let (columns, outputs) = (view::last(b.graph.shape(rows)), view::last(b.graph.shape(product)));
    let ones = b.ones(outputs, columns);
    let sums = b.emit(Op::MatMul { transpose_b: true }, &[rows, ones]);
    let least = b.real(pointwise::SMALLEST);
    Some(b.binary(BinaryOp::Max, sums, least))
}

/// What a tensor is a view of that has the same rows in the same order.
fn same_rows(b: &Builder, x: NodeId) -> NodeId {
    match b.op(x) {
        Op::Reshape { shape } if view::last(shape) == view::last(b.graph.shape(b.input(x))) => {
            same_rows(b, b.input(x))
        }
        _ => x,
    }
}

/// A right operand, and whether its last axes must still be exchanged: not where it was a cheap transpose anyway.
fn by_rows(b: &mut Builder, right: NodeId, transpose_b: bool) -> (NodeId, bool) {
    if transpose_b {
        return (right, false);
    }
    if let Some(choice) = gather::choice(b, right) {
        let turned = b.emit(Op::Transpose { permutation: vec![0, 2, 1] }, &[choice.table]);
        return (choice.matrices(b, turned), false);
    }
    if let Some(original) = b.exchanged(right) {
        return (original, false);
    }
    let rank = b.rank(right);
    let mut permutation: Vec<usize> = (0..rank).collect();
    permutation.swap(rank - 2, rank - 1);
    match sink::transpose(b, right, &permutation) {
        Some(rows) => (rows, false),
        None => (right, true),
    }
}

/// A product whose right operand repeats each matrix for several of the left ones (grouped-query attention): the left
/// matrices of a group are put under each other, and the right one is used once.
fn grouped(b: &mut Builder, left: NodeId, right: NodeId, exchange: bool) -> Option<NodeId> {
    let (core, groups) = once_per_group(b, right)?;
    let shape = b.shape(left);
    let rank = shape.len();
    let head = rank.checked_sub(3)?;
    if rank != b.rank(core) || shape[head] != b.shape(right)[head] {
        return None;
    }
    let mut tall = shape.clone();
    tall[head] = groups;
    tall[head + 1] = shape[head] / groups * shape[head + 1];
    let left = sink::reshape(b, left, &tall)?;
    let core = if exchange { view::exchange_last(b, core) } else { core };
    let product = b.emit(Op::MatMul { transpose_b: true }, &[left, core]);
    let mut result = b.shape(product);
    result[head] = shape[head];
    result[head + 1] = shape[head + 1];
    sink::reshape(b, product, &result)
}

/// For a tensor [.., g · r, n, k] that is [.., g, n, k] with each matrix repeated r times in place: the latter, and g.
fn once_per_group(b: &mut Builder, x: NodeId) -> Option<(NodeId, usize)> {
    let shape = b.shape(x);
    let head = shape.len().checked_sub(3)?;
    if b.is_constant(x) {
        return None;
    }
    let expanded = match b.op(x) {
        Op::Expand { .. } => x,
        Op::Reshape { .. } if matches!(b.op(b.input(x)), Op::Expand { .. }) => b.input(x),
        _ => return None,
    };
    let wide = b.shape(expanded);
    let inner = b.input(expanded);
    let narrow = b.shape(inner);
    // The builder keeps the rank in Expand, so axes of `narrow` and `wide` correspond.
    let repeated: Vec<usize> = (0..wide.len()).filter(|&axis| narrow[axis] != wide[axis]).collect();
    let &[.., repeat] = &repeated[..] else { return None };
    let heads_end = wide.len().checked_sub(2)?;
    let leads_agree = wide.get(..head) == Some(&shape[..head]) && narrow.get(..head) == Some(&shape[..head]);
    // Every repeated axis is one of those that make up the heads, and nothing but ones follows the first of them.
    let first = repeated[0];
    if !leads_agree || wide[heads_end..] != shape[head + 1..] || first < head || repeat >= heads_end {
        return None;
    }
    if narrow[first..heads_end].iter().any(|&n| n != 1) {
        return None;
    }
    let groups = narrow[head..first].iter().product();
    let target = [&shape[..head], &[groups], &shape[head + 1..]].concat();
    Some((sink::reshape(b, inner, &target)?, groups))
}

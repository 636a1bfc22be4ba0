//! Reductions and softmax.

use super::builder::Builder;
use super::{pointwise, view};
use crate::graph::{BinaryOp, ElementType, NodeId, Op, ReduceOp, UnaryOp};

/// One axis to length 1.
pub(super) fn reduce(b: &mut Builder, op: ReduceOp, axis: usize, x: NodeId) -> NodeId {
    let length = b.graph.shape(x)[axis];
    if b.is_constant(x) || length == 0 {
        return b.emit(Op::Reduce { op, axis }, &[x]);
    }
    if length == 1 {
        return x;
    }
    if axis + 1 != b.rank(x) {
        let how = match op {
            ReduceOp::Sum => BinaryOp::Add,
            ReduceOp::Max => BinaryOp::Max,
            ReduceOp::Min => BinaryOp::Min,
        };
        return halving(b, axis, x, |b, x, y| b.binary(how, x, y));
    }
    match op {
        ReduceOp::Sum | ReduceOp::Max => b.emit(Op::Reduce { op, axis }, &[x]),
        ReduceOp::Min if b.element(x) == ElementType::I32 => {
            // The other way round, which the least integer has no negative for.
            let minus = b.integer(-1);
            let other = b.binary(BinaryOp::Xor, x, minus);
            let greatest = b.emit(Op::Reduce { op: ReduceOp::Max, axis }, &[other]);
            b.binary(BinaryOp::Xor, greatest, minus)
        }
        ReduceOp::Min => {
            let minus = b.unary(UnaryOp::Neg, x);
            let greatest = b.emit(Op::Reduce { op: ReduceOp::Max, axis }, &[minus]);
            b.unary(UnaryOp::Neg, greatest)
        }
    }
}

/// So many rows are combined in one pass.
const FEW: usize = 4;

/// Combines the halves of a row axis until few rows are left, and then these; odd rows wait for the end.
pub(super) fn halving(
    b: &mut Builder,
    axis: usize,
    x: NodeId,
    combine: impl Fn(&mut Builder, NodeId, NodeId) -> NodeId,
) -> NodeId {
    let mut rest = x;
    let mut odd = Vec::new();
    loop {
        let length = b.graph.shape(rest)[axis];
        let half = length / 2;
        if length <= FEW {
            let rows: Vec<NodeId> = (0..length).map(|at| view::slice(b, rest, axis, at, 1, 1)).collect();
            rest = rows.into_iter().reduce(|sum, row| combine(b, sum, row)).unwrap_or(rest);
            break;
        }
        if length % 2 == 1 {
            odd.push(view::slice(b, rest, axis, half, 1, 1));
        }
        let low = view::slice(b, rest, axis, 0, half, 1);
        let high = view::slice(b, rest, axis, length - half, half, 1);
        rest = combine(b, low, high);
    }
    odd.into_iter().fold(rest, |sum, part| combine(b, sum, part))
}

/// e^(x − max) / sum along an axis.
pub(super) fn softmax(b: &mut Builder, axis: usize, x: NodeId) -> NodeId {
    if b.is_constant(x) {
        return b.emit(Op::Softmax { axis }, &[x]);
    }
    let max = reduce(b, ReduceOp::Max, axis, x);
    let below = b.binary(BinaryOp::Sub, x, max);
    let exp = b.unary(UnaryOp::Exp, below);
    let sum = reduce(b, ReduceOp::Sum, axis, exp);
    let scale = pointwise::recip(b, sum);
    b.binary(BinaryOp::Mul, exp, scale)
}

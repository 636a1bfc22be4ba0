//! Pointwise operators in terms of those that the vector ALUs have.

use super::builder::Builder;
use super::{divide, power, product, special};
use crate::graph::{BinaryOp, ElementType, NodeId, Op, ReduceOp, UnaryOp};

/// Smallest argument of rsqrt in a square root: keeps 0 · rsqrt(0) from being not a number.
pub(super) const SMALLEST: f32 = 1e-38;

/// Operators that follow a value back to see that it is not negative look this far.
const DEPTH: usize = 12;

/// A one-operand function.
pub(super) fn unary(b: &mut Builder, op: UnaryOp, x: NodeId) -> NodeId {
    if b.is_constant(x) {
        return b.unary(op, x);
    }
    match op {
        UnaryOp::Recip => recip(b, x),
        UnaryOp::Sqrt => sqrt(b, x),
        UnaryOp::Sigmoid => {
            // The argument of rsqrt is at least 1; e^−x = ∞ gives 0.
            let minus = b.unary(UnaryOp::Neg, x);
            let exp = b.unary(UnaryOp::Exp, minus);
            let one = b.real(1.0);
            let sum = b.binary(BinaryOp::Add, one, exp);
            recip(b, sum)
        }
        UnaryOp::Erf => special::erf(b, x),
        UnaryOp::Sin => special::sine(b, x),
        UnaryOp::Cos => special::cosine(b, x),
        UnaryOp::Log => special::logarithm(b, x),
        UnaryOp::Atan => special::arc_tangent(b, x),
        UnaryOp::Neg
        | UnaryOp::Abs
        | UnaryOp::Exp
        | UnaryOp::Rsqrt
        | UnaryOp::Tanh
        | UnaryOp::Relu
        | UnaryOp::Floor
        | UnaryOp::Round
        | UnaryOp::Not
        | UnaryOp::RoundF16
        | UnaryOp::Mantissa
        | UnaryOp::Exponent
        | UnaryOp::Bits => b.unary(op, x),
    }
}

/// A two-operand function.
pub(super) fn binary(b: &mut Builder, op: BinaryOp, x: NodeId, y: NodeId) -> NodeId {
    let real = b.element(x) == ElementType::F32;
    if b.is_constant(x) && b.is_constant(y) {
        return b.binary(op, x, y);
    }
    match op {
        BinaryOp::Div if real => {
            let y = product::sum_beside(b, x, y).unwrap_or(y);
            let reciprocal = recip(b, y);
            scale(b, x, reciprocal)
        }
        BinaryOp::Mul if real => {
            let quotient = |b: &mut Builder, x, y| {
                let divisor = reciprocal_of(b, y)?;
                let sums = product::sum_beside(b, x, divisor)?;
                let reciprocal = recip(b, sums);
                Some(b.binary(BinaryOp::Mul, x, reciprocal))
            };
            let quotient = quotient(b, x, y).or_else(|| quotient(b, y, x));
            quotient.unwrap_or_else(|| b.binary(op, x, y))
        }
        BinaryOp::Pow => power::power(b, x, y),
        BinaryOp::Quotient => divide::quotient(b, x, y),
        BinaryOp::Mod if real => divide::remainder(b, x, y),
        BinaryOp::Mod => divide::integer_remainder(b, x, y),
        BinaryOp::Div => divide::integer_quotient(b, x, y),
        BinaryOp::Add
        | BinaryOp::Sub
        | BinaryOp::Mul
        | BinaryOp::Max
        | BinaryOp::Min
        | BinaryOp::Less
        | BinaryOp::LessEqual
        | BinaryOp::Equal
        | BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Xor
        | BinaryOp::ShiftLeft
        | BinaryOp::ShiftRight => b.binary(op, x, y),
    }
}

/// x · factor, where a factor or an x of one costs nothing.
fn scale(b: &mut Builder, x: NodeId, factor: NodeId) -> NodeId {
    let one = b.uniform(x) == Some(1.0) && b.rank(x) <= b.rank(factor);
    if one && b.shape(x).iter().all(|&n| n == 1) { factor } else { b.binary(BinaryOp::Mul, x, factor) }
}

/// 1 / x, as rsqrt(|x|)² with x's sign.
pub(super) fn recip(b: &mut Builder, x: NodeId) -> NodeId {
    if b.is_constant(x) {
        return b.unary(UnaryOp::Recip, x);
    }
    if let Some(root) = square_root_of(b, x) {
        return b.unary(UnaryOp::Rsqrt, root);
    }
    let positive = is_never_negative(b, x);
    let magnitude = if positive { x } else { b.unary(UnaryOp::Abs, x) };
    let root = b.unary(UnaryOp::Rsqrt, magnitude);
    let square = b.binary(BinaryOp::Mul, root, root);
    if positive {
        return square;
    }
    let zero = b.real(0.0);
    let negative = b.binary(BinaryOp::Less, x, zero);
    let minus = b.unary(UnaryOp::Neg, square);
    b.select(negative, minus, square)
}

/// If x was made by [`recip`] of what is not negative, its argument.
fn reciprocal_of(b: &Builder, x: NodeId) -> Option<NodeId> {
    let [root, other] = b.inputs(x)[..] else { return None };
    let square = *b.op(x) == Op::Binary(BinaryOp::Mul) && root == other;
    (square && *b.op(root) == Op::Unary(UnaryOp::Rsqrt)).then(|| b.input(root))
}

/// sqrt x, as x · rsqrt x; 0 for 0.
pub(super) fn sqrt(b: &mut Builder, x: NodeId) -> NodeId {
    let smallest = b.real(SMALLEST);
    let above = b.binary(BinaryOp::Max, x, smallest);
    let root = b.unary(UnaryOp::Rsqrt, above);
    b.binary(BinaryOp::Mul, x, root)
}

/// If x was made by [`sqrt`], its argument: then 1 / x is one rsqrt. Views between are not looked through.
fn square_root_of(b: &Builder, x: NodeId) -> Option<NodeId> {
    let [argument, root] = b.inputs(x)[..] else { return None };
    if *b.op(x) != Op::Binary(BinaryOp::Mul) || *b.op(root) != Op::Unary(UnaryOp::Rsqrt) {
        return None;
    }
    let above = b.input(root);
    let is_max = *b.op(above) == Op::Binary(BinaryOp::Max);
    (is_max && b.input(above) == argument)
        .then_some(argument)
        .filter(|_| b.uniform(b.inputs(above)[1]) == Some(f64::from(SMALLEST)))
}

/// Whether a tensor has no negative element whatever the inputs are.
pub(super) fn is_never_negative(b: &Builder, x: NodeId) -> bool {
    not_negative(b, x, DEPTH)
}

fn not_negative(b: &Builder, x: NodeId, depth: usize) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let inputs = b.inputs(x);
    let follow = |i: usize| not_negative(b, inputs[i], depth);
    match b.op(x) {
        Op::Unary(op) => match op {
            UnaryOp::Abs | UnaryOp::Exp | UnaryOp::Rsqrt | UnaryOp::Relu | UnaryOp::Sigmoid => true,
            UnaryOp::RoundF16 | UnaryOp::Floor | UnaryOp::Round => follow(0),
            UnaryOp::Sqrt => true,
            UnaryOp::Neg
            | UnaryOp::Log
            | UnaryOp::Recip
            | UnaryOp::Tanh
            | UnaryOp::Erf
            | UnaryOp::Sin
            | UnaryOp::Cos
            | UnaryOp::Atan
            | UnaryOp::Not
            | UnaryOp::Mantissa
            | UnaryOp::Exponent
            | UnaryOp::Bits => false,
        },
        Op::Binary(BinaryOp::Mul) => inputs[0] == inputs[1] || (follow(0) && follow(1)),
        Op::Binary(BinaryOp::Add | BinaryOp::Min) => follow(0) && follow(1),
        Op::Binary(BinaryOp::Max) => follow(0) || follow(1),
        Op::Select => follow(1) && follow(2),
        Op::Reduce { op: ReduceOp::Sum | ReduceOp::Max | ReduceOp::Min, .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Expand { .. } => follow(0),
        Op::Constant(_) => b.uniform(x).is_some_and(|x| x >= 0.0),
        _ => false,
    }
}

//! Division: quotients as binary32 rounds them, remainders, integers, and reals as whole numbers.

use super::builder::Builder;
use super::pointwise::recip;
use crate::graph::{BinaryOp, ElementType, NodeId, UnaryOp};

/// 2^12 + 1: a product with it separates the upper half of a mantissa (Veltkamp).
const SPLITTER: f32 = 4097.0;
/// Reals from here on are whole, or become the greatest integer.
const ALL_WHOLE: f32 = 1_073_741_824.0;

/// x / y, rounded to the nearest: an estimate, and what it leaves of x divided again. Within one unit in the last place where a divisor is above 2^126 or
/// a quotient above 2^114.
pub(super) fn quotient(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    let inverse = recip(b, y);
    let estimate = b.binary(BinaryOp::Mul, x, inverse);
    let left = rest(b, x, estimate, y);
    let correction = b.binary(BinaryOp::Mul, left, inverse);
    let better = b.binary(BinaryOp::Add, estimate, correction);
    // What is infinite leaves no number.
    let number = b.binary(BinaryOp::Equal, better, better);
    b.select(number, better, estimate)
}

/// x − q y where q is nearly x / y: exact, as the products of halves of mantissas are.
fn rest(b: &mut Builder, x: NodeId, q: NodeId, y: NodeId) -> NodeId {
    let (q, y) = (halves(b, q), halves(b, y));
    let pairs = [(q[0], y[0]), (q[0], y[1]), (q[1], y[0]), (q[1], y[1])];
    pairs.into_iter().fold(x, |x, (q, y)| {
        let product = b.binary(BinaryOp::Mul, q, y);
        b.binary(BinaryOp::Sub, x, product)
    })
}

/// x as a sum of two numbers of half its bits.
fn halves(b: &mut Builder, x: NodeId) -> [NodeId; 2] {
    let splitter = b.real(SPLITTER);
    let large = b.binary(BinaryOp::Mul, x, splitter);
    let above = b.binary(BinaryOp::Sub, large, x);
    let high = b.binary(BinaryOp::Sub, large, above);
    [high, b.binary(BinaryOp::Sub, x, high)]
}

/// Floor or Round of any real number: what the ALUs do by way of integers holds for those that fit.
pub(super) fn whole(b: &mut Builder, op: UnaryOp, x: NodeId) -> NodeId {
    let rounded = b.unary(op, x);
    if b.is_constant(x) {
        return rounded;
    }
    let size = b.unary(UnaryOp::Abs, x);
    let limit = b.real(ALL_WHOLE);
    let fits = b.binary(BinaryOp::Less, size, limit);
    b.select(fits, rounded, x)
}

/// A real number as an integer: toward zero, saturated, zero for NaN.
pub(super) fn truncated(b: &mut Builder, x: NodeId) -> NodeId {
    let floor = b.unary(UnaryOp::Floor, x);
    let integer = b.cast(ElementType::I32, floor);
    let zero = b.real(0.0);
    let negative = b.binary(BinaryOp::Less, x, zero);
    let cut = b.binary(BinaryOp::Less, floor, x);
    let up = b.binary(BinaryOp::And, negative, cut);
    let up = b.cast(ElementType::I32, up);
    b.binary(BinaryOp::Add, integer, up)
}

/// x mod y of reals, with the sign of y; exact while |x / y| is below 2^44, and no number from there on.
pub(super) fn remainder(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    let inverse = recip(b, y);
    let mut left = x;
    for _ in 0..2 {
        let times = b.binary(BinaryOp::Mul, left, inverse);
        let times = whole(b, UnaryOp::Round, times);
        let less = rest(b, left, times, y);
        // Nothing of an infinite y is taken away.
        let zero = b.real(0.0);
        let none = b.binary(BinaryOp::Equal, times, zero);
        left = b.select(none, left, less);
    }
    let [left_size, size] = [left, y].map(|value| b.unary(UnaryOp::Abs, value));
    let (zero, none) = (b.real(0.0), b.real(f32::NAN));
    let beyond = b.binary(BinaryOp::Less, size, left_size);
    let left = b.select(beyond, none, left);
    with_sign(b, left, y, zero)
}

/// A remainder that is nearest to zero as one with the sign of the divisor.
fn with_sign(b: &mut Builder, rest: NodeId, y: NodeId, zero: NodeId) -> NodeId {
    let none = b.binary(BinaryOp::Equal, rest, zero);
    let some = b.unary(UnaryOp::Not, none);
    let (negative, below) = (b.binary(BinaryOp::Less, rest, zero), b.binary(BinaryOp::Less, y, zero));
    let differ = b.binary(BinaryOp::Xor, negative, below);
    let wrong = b.binary(BinaryOp::And, differ, some);
    let more = b.binary(BinaryOp::Add, rest, y);
    b.select(wrong, more, rest)
}

/// A quotient of integers near x / y, and what it leaves of x, at most a little more than half of y.
///
/// The reciprocal in binary32 has 22 bits: a first estimate is off by 2^10 at most, what it leaves fits 32 bits, and a second one is off by one half.
fn nearest(b: &mut Builder, x: NodeId, y: NodeId) -> (NodeId, NodeId) {
    let real = b.cast(ElementType::F32, y);
    let inverse = recip(b, real);
    let (mut left, mut sum) = (x, None);
    for _ in 0..2 {
        let real = b.cast(ElementType::F32, left);
        let times = b.binary(BinaryOp::Mul, real, inverse);
        let times = b.unary(UnaryOp::Round, times);
        let times = b.cast(ElementType::I32, times);
        let product = b.binary(BinaryOp::Mul, times, y);
        left = b.binary(BinaryOp::Sub, left, product);
        sum = Some(sum.map_or(times, |sum| b.binary(BinaryOp::Add, sum, times)));
    }
    (sum.unwrap_or(left), left)
}

/// x / y of integers, toward zero; exact. Division by zero gives any number.
pub(super) fn integer_quotient(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    let (q, left) = nearest(b, x, y);
    let (zero, one, minus) = (b.integer(0), b.integer(1), b.integer(-1));
    let none = b.binary(BinaryOp::Equal, left, zero);
    let some = b.unary(UnaryOp::Not, none);
    let [x, left, y] = [x, left, y].map(|value| b.binary(BinaryOp::Less, value, zero));
    // What is left has the sign of x, or q is one too far from zero.
    let beyond = b.binary(BinaryOp::Xor, x, left);
    let beyond = b.binary(BinaryOp::And, beyond, some);
    let below = b.binary(BinaryOp::Xor, x, y);
    let unit = b.select(below, minus, one);
    let unit = b.select(beyond, unit, zero);
    b.binary(BinaryOp::Sub, q, unit)
}

/// x mod y of integers, with the sign of y; exact. Of a y of zero it is any number.
pub(super) fn integer_remainder(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    let (_, left) = nearest(b, x, y);
    let zero = b.integer(0);
    with_sign(b, left, y, zero)
}

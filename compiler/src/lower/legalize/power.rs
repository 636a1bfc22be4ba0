//! Powers: of a known exponent as products and roots, of any other by logarithm and exponential function.

use super::builder::Builder;
use super::pointwise::{recip, sqrt};
use super::{divide, special, view};
use crate::graph::{BinaryOp, NodeId, UnaryOp};

/// Bits of the whole exponents whose powers are products.
const BITS: u32 = 5;

/// x^y. Products and roots where y is one constant of a whole or half number up to 16.
pub(super) fn power(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    if let Some(base) = b.uniform(x).filter(|&base| base > 0.0) {
        let logarithm = b.real(base.ln() as f32);
        let exponent = b.binary(BinaryOp::Mul, y, logarithm);
        return b.unary(UnaryOp::Exp, exponent);
    }
    let exponent = b.uniform(y).filter(|y| (y * 2.0).fract() == 0.0 && y.abs() <= 16.0);
    match exponent {
        Some(exponent) if b.rank(y) <= b.rank(x) && b.shape(y).iter().all(|&n| n == 1) => {
            known(b, x, exponent)
        }
        _ => any(b, x, y),
    }
}

/// x^exponent for a whole or half number.
fn known(b: &mut Builder, x: NodeId, exponent: f64) -> NodeId {
    let whole = exponent.abs().trunc() as u32;
    let half = exponent.fract() != 0.0;
    if whole == 0 && half {
        return if exponent > 0.0 { sqrt(b, x) } else { b.unary(UnaryOp::Rsqrt, x) };
    }
    let mut result = half.then(|| sqrt(b, x));
    let mut square = x;
    for bit in 0..u32::BITS - whole.leading_zeros() {
        if bit > 0 {
            square = b.binary(BinaryOp::Mul, square, square);
        }
        if whole >> bit & 1 == 1 {
            result = Some(result.map_or(square, |product| b.binary(BinaryOp::Mul, product, square)));
        }
    }
    match result {
        Some(result) if exponent < 0.0 => recip(b, result),
        Some(result) => result,
        None => {
            let one = b.real(1.0);
            let shape = b.shape(x);
            view::expand(b, one, &shape)
        }
    }
}

/// x^y for any two reals. Products for whole y below 2^5, so that whole powers that fit 24 bits are exact; else e^(y log |x|), whose relative error is that of
/// its exponent: up to 2^-22 |y log x|, 2e-5 at most where the result is finite.
fn any(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    let (zero, one, half, two) = (b.real(0.0), b.real(1.0), b.real(0.5), b.real(2.0));
    let [base, size] = [x, y].map(|value| b.unary(UnaryOp::Abs, value));
    let floor = divide::whole(b, UnaryOp::Floor, size);
    let whole = b.binary(BinaryOp::Equal, floor, size);
    let logarithm = special::logarithm(b, base);
    let exponent = b.binary(BinaryOp::Mul, y, logarithm);
    let power = b.unary(UnaryOp::Exp, exponent);
    // One to the power of infinity is one.
    let unit = b.binary(BinaryOp::Equal, base, one);
    let power = b.select(unit, one, power);
    let halved = b.binary(BinaryOp::Mul, size, half);
    let halved = divide::whole(b, UnaryOp::Floor, halved);
    let doubled = b.binary(BinaryOp::Mul, halved, two);
    let even = b.binary(BinaryOp::Equal, doubled, size);
    let minus = b.unary(UnaryOp::Neg, power);
    let signed = b.select(even, power, minus);
    let none = b.real(f32::NAN);
    let signed = b.select(whole, signed, none);
    let negative = b.binary(BinaryOp::Less, x, zero);
    let power = b.select(negative, signed, power);

    let product = product(b, x, size);
    let inverse = recip(b, product);
    let below = b.binary(BinaryOp::Less, y, zero);
    let product = b.select(below, inverse, product);
    let limit = b.real((1 << BITS) as f32);
    let small = b.binary(BinaryOp::Less, size, limit);
    let small = b.binary(BinaryOp::And, whole, small);
    b.select(small, product, power)
}

/// x^n for a whole n of few bits: the squares that its bits say.
fn product(b: &mut Builder, x: NodeId, n: NodeId) -> NodeId {
    let (one, half, two) = (b.real(1.0), b.real(0.5), b.real(2.0));
    let (mut square, mut left, mut product) = (x, n, one);
    for bit in 0..BITS {
        if bit > 0 {
            square = b.binary(BinaryOp::Mul, square, square);
        }
        let halved = b.binary(BinaryOp::Mul, left, half);
        let halved = b.unary(UnaryOp::Floor, halved);
        let doubled = b.binary(BinaryOp::Mul, halved, two);
        let even = b.binary(BinaryOp::Equal, doubled, left);
        let factor = b.select(even, one, square);
        product = b.binary(BinaryOp::Mul, product, factor);
        left = halved;
    }
    product
}

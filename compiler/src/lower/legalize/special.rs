//! Error function, sine, cosine, arc tangent and logarithm as polynomials over the vector ALUs' operators.

use super::builder::Builder;
use super::pointwise::recip;
use crate::graph::{BinaryOp, NodeId, UnaryOp};
use std::f32::consts::{FRAC_PI_2, FRAC_PI_4};

/// Abramowitz and Stegun, 7.1.26: coefficients of t, t², …
const ERF: [f32; 5] = [0.254_829_6, -0.284_496_72, 1.421_413_8, -1.453_152, 1.061_405_4];
/// The factor of |x| in t = 1 / (1 + p |x|).
const ERF_P: f32 = 0.327_591_1;

/// π/2 in three parts (Cody and Waite). The first two have 11 significant bits, so their products with a quadrant number below
/// 2^13 are exact.
const HALF_PI: [f32; 3] = [1.570_312_5, 4.837_513e-4, 7.549_79e-8];

/// sin r = r + r³ (c0 + c1 r² + c2 r⁴) for |r| <= π/4 (Cephes, sinf).
const SIN: [f32; 3] = [-0.166_666_55, 8.332_161e-3, -1.951_529_6e-4];
/// cos r = 1 − r²/2 + r⁴ (c0 + c1 r² + c2 r⁴) for |r| <= π/4 (Cephes, cosf).
const COS: [f32; 3] = [4.166_664_6e-2, -1.388_731_6e-3, 2.443_315_7e-5];

/// atan t = t + t³ (c0 + c1 t² + …) for |t| <= tan π/8 (Cephes, atanf).
const ATAN: [f32; 4] = [-0.333_329_5, 0.199_777_11, -0.138_776_86, 8.053_745e-2];
/// Tangents of π/8 and 3π/8, between which the middle range lies.
const TAN: [f32; 2] = [0.414_213_57, 2.414_213_7];

/// log (1 + f) = f − f²/2 + s (f²/2 + z (c0 + c1 z + c2 z² + c3 z³)) with s = f / (2 + f) and z = s², for √½ <= 1 + f < √2 (FreeBSD, logf).
const LOG: [f32; 4] = [0.666_666_6, 0.400_009_73, 0.284_987_87, 0.242_790_79];
/// Natural logarithm of 2 in two parts; products of the first with an exponent are exact.
const LN_2: [f32; 2] = [0.693_138_1, 9.058_001e-6];

/// log x, within two units in the last place: of the mantissa as a polynomial, and of the exponent. Zero gives −∞; what is negative, no number. Numbers
/// below the least normal one are no numbers for it, either: they give less than −87.
pub(super) fn logarithm(b: &mut Builder, x: NodeId) -> NodeId {
    let (mantissa, exponent) = (b.unary(UnaryOp::Mantissa, x), b.unary(UnaryOp::Exponent, x));
    let (one, half, zero) = (b.real(1.0), b.real(0.5), b.real(0.0));
    let f = b.binary(BinaryOp::Sub, mantissa, one);
    let above = b.binary(BinaryOp::Add, mantissa, one);
    let inverse = recip(b, above);
    let s = b.binary(BinaryOp::Mul, f, inverse);
    let z = b.binary(BinaryOp::Mul, s, s);
    let series = polynomial(b, z, &LOG);
    let series = b.binary(BinaryOp::Mul, series, z);
    let square = b.binary(BinaryOp::Mul, f, f);
    let square = b.binary(BinaryOp::Mul, square, half);
    let series = b.binary(BinaryOp::Add, series, square);
    let series = b.binary(BinaryOp::Mul, series, s);
    let [high, low] = LN_2.map(|part| {
        let part = b.real(part);
        b.binary(BinaryOp::Mul, exponent, part)
    });
    let series = b.binary(BinaryOp::Add, series, low);
    let series = b.binary(BinaryOp::Sub, square, series);
    let series = b.binary(BinaryOp::Sub, f, series);
    let log = b.binary(BinaryOp::Add, high, series);
    // No number stays none.
    let nothing = b.binary(BinaryOp::Mul, x, zero);
    let log = b.binary(BinaryOp::Add, log, nothing);
    let (least, most) = (b.real(f32::MIN_POSITIVE), b.real(f32::MAX));
    let infinite = b.binary(BinaryOp::Less, most, x);
    let log = b.select(infinite, x, log);
    let root = b.unary(UnaryOp::Rsqrt, x);
    let below = b.unary(UnaryOp::Neg, root);
    let outside = b.binary(BinaryOp::Less, x, least);
    b.select(outside, below, log)
}

/// erf x = sign x · (1 − (a1 t + … + a5 t⁵) e^−x²): absolute error below 1.5e-7 before rounding.
pub(super) fn erf(b: &mut Builder, x: NodeId) -> NodeId {
    let magnitude = b.unary(UnaryOp::Abs, x);
    let p = b.real(ERF_P);
    let one = b.real(1.0);
    let scaled = b.binary(BinaryOp::Mul, magnitude, p);
    let denominator = b.binary(BinaryOp::Add, scaled, one);
    let t = recip(b, denominator);
    let inner = polynomial(b, t, &ERF);
    let series = b.binary(BinaryOp::Mul, inner, t);
    let square = b.binary(BinaryOp::Mul, x, x);
    let minus = b.unary(UnaryOp::Neg, square);
    let exp = b.unary(UnaryOp::Exp, minus);
    let tail = b.binary(BinaryOp::Mul, series, exp);
    let result = b.binary(BinaryOp::Sub, one, tail);
    let zero = b.real(0.0);
    let negative = b.binary(BinaryOp::Less, x, zero);
    let minus = b.unary(UnaryOp::Neg, result);
    b.select(negative, minus, result)
}

/// atan x, within 3e-7 of its size: of x, of (|x| − 1) / (|x| + 1) or of −1 / |x|, whichever is small, and the angle that this leaves out.
pub(super) fn arc_tangent(b: &mut Builder, x: NodeId) -> NodeId {
    let size = b.unary(UnaryOp::Abs, x);
    let [zero, one, minus] = [0.0, 1.0, -1.0].map(|value| b.real(value));
    let [low, high, quarter, half] = [TAN[0], TAN[1], FRAC_PI_4, FRAC_PI_2].map(|value| b.real(value));
    let (middle, large) = (b.binary(BinaryOp::Less, low, size), b.binary(BinaryOp::Less, high, size));
    let (less, more) = (b.binary(BinaryOp::Sub, size, one), b.binary(BinaryOp::Add, size, one));
    let mut choose = |large_one, middle_one, small_one| {
        let rest = b.select(middle, middle_one, small_one);
        b.select(large, large_one, rest)
    };
    let (angle, above, below) =
        (choose(half, quarter, zero), choose(minus, less, size), choose(size, more, one));
    let inverse = recip(b, below);
    let tangent = b.binary(BinaryOp::Mul, above, inverse);
    let square = b.binary(BinaryOp::Mul, tangent, tangent);
    let series = polynomial(b, square, &ATAN);
    let cube = b.binary(BinaryOp::Mul, square, tangent);
    let series = b.binary(BinaryOp::Mul, series, cube);
    let arc = b.binary(BinaryOp::Add, tangent, series);
    let arc = b.binary(BinaryOp::Add, angle, arc);
    let negative = b.binary(BinaryOp::Less, x, zero);
    let minus = b.unary(UnaryOp::Neg, arc);
    b.select(negative, minus, arc)
}

/// c0 + c1 x + c2 x² + …
fn polynomial(b: &mut Builder, x: NodeId, coefficients: &[f32]) -> NodeId {
    let (&last, rest) = coefficients.split_last().unwrap_or((&0.0, &[]));
    let mut result = b.real(last);
    for &coefficient in rest.iter().rev() {
        let coefficient = b.real(coefficient);
        let product = b.binary(BinaryOp::Mul, result, x);
        result = b.binary(BinaryOp::Add, product, coefficient);
    }
    result
}

/// An angle as a multiple of π/2 and a rest.
struct Quadrant {
    /// Sine of the rest.
    sine: NodeId,
    /// Cosine of the rest.
    cosine: NodeId,
    /// Whether the multiple is odd.
    odd: NodeId,
    /// The multiple modulo 2, as a real: 0 or 1.
    parity: NodeId,
    /// Half the multiple, rounded down.
    half: NodeId,
}

/// sin x; absolute error below 1e-6 for |x| up to 10,000, growing beyond.
pub(super) fn sine(b: &mut Builder, x: NodeId) -> NodeId {
    let q = quadrant(b, x);
    let value = b.select(q.odd, q.cosine, q.sine);
    signed(b, value, q.half)
}

/// cos x; accuracy as [`sine`].
pub(super) fn cosine(b: &mut Builder, x: NodeId) -> NodeId {
    let q = quadrant(b, x);
    let value = b.select(q.odd, q.sine, q.cosine);
    let turned = b.binary(BinaryOp::Add, q.half, q.parity);
    signed(b, value, turned)
}

/// Equal nodes are made once, so sine and cosine of one angle share this.
fn quadrant(b: &mut Builder, x: NodeId) -> Quadrant {
    let (per_radian, half) = (b.real(std::f32::consts::FRAC_2_PI), b.real(0.5));
    let turns = b.binary(BinaryOp::Mul, x, per_radian);
    let shifted = b.binary(BinaryOp::Add, turns, half);
    let multiple = b.unary(UnaryOp::Floor, shifted);
    let mut rest = x;
    for part in HALF_PI {
        let part = b.real(part);
        let product = b.binary(BinaryOp::Mul, multiple, part);
        rest = b.binary(BinaryOp::Sub, rest, product);
    }
    let square = b.binary(BinaryOp::Mul, rest, rest);

    let series = polynomial(b, square, &SIN);
    let cube = b.binary(BinaryOp::Mul, square, rest);
    let correction = b.binary(BinaryOp::Mul, series, cube);
    let sine = b.binary(BinaryOp::Add, rest, correction);

    let series = polynomial(b, square, &COS);
    let fourth = b.binary(BinaryOp::Mul, square, square);
    let correction = b.binary(BinaryOp::Mul, series, fourth);
    let one = b.real(1.0);
    let halved = b.binary(BinaryOp::Mul, square, half);
    let parabola = b.binary(BinaryOp::Sub, one, halved);
    let cosine = b.binary(BinaryOp::Add, parabola, correction);

    let (half, parity) = halve(b, multiple);
    let odd = b.binary(BinaryOp::Equal, parity, one);
    Quadrant { sine, cosine, odd, parity, half }
}

/// floor(n / 2) and n modulo 2 of a whole number.
fn halve(b: &mut Builder, n: NodeId) -> (NodeId, NodeId) {
    let (half, two) = (b.real(0.5), b.real(2.0));
    let exact = b.binary(BinaryOp::Mul, n, half);
    let floor = b.unary(UnaryOp::Floor, exact);
    let doubled = b.binary(BinaryOp::Mul, floor, two);
    let parity = b.binary(BinaryOp::Sub, n, doubled);
    (floor, parity)
}

/// value · (−1)^n.
fn signed(b: &mut Builder, value: NodeId, n: NodeId) -> NodeId {
    let (_, parity) = halve(b, n);
    let (one, two) = (b.real(1.0), b.real(2.0));
    let doubled = b.binary(BinaryOp::Mul, parity, two);
    let sign = b.binary(BinaryOp::Sub, one, doubled);
    b.binary(BinaryOp::Mul, value, sign)
}

//! Arithmetic, bit by bit: what the ALUs, the formats on streams, and the matrix planes compute.
//!
//! Every result is a function of the operand bits alone, the same on any host. To that end each operation that can make a
//! NaN makes this one: [`NAN`] (on an F16 group: `0x7e00`). Pass, the integer and the bitwise operations copy bits as they are.

use half::f16;

use crate::instruction::VxmOp;
use crate::stream::Format;

/// The only NaN that arithmetic makes, as bits of an f32.
pub const NAN: u32 = 0x7fc0_0000;

/// The bits of `value`, any NaN replaced by [`NAN`].
pub fn bits(value: f32) -> u32 {
    if value.is_nan() { NAN } else { value.to_bits() }
}

/// What an ALU makes of its operands; `b` is ignored by operations with one operand.
pub fn alu(op: VxmOp, a: u32, b: u32) -> u32 {
    let (x, y) = (f32::from_bits(a), f32::from_bits(b));
    let (i, j) = (a as i32, b as i32);
    match op {
        VxmOp::Pass => a,
        VxmOp::Add => bits(x + y),
        VxmOp::Sub => bits(x - y),
        VxmOp::Mul => bits(x * y),
        VxmOp::Max => max(x, y),
        VxmOp::Min => min(x, y),
        VxmOp::Less => mask(x < y),
        VxmOp::Equal => mask(x == y),
        VxmOp::IntAdd => a.wrapping_add(b),
        VxmOp::IntSub => a.wrapping_sub(b),
        VxmOp::IntMul => a.wrapping_mul(b),
        VxmOp::IntMax => i.max(j) as u32,
        VxmOp::IntMin => i.min(j) as u32,
        VxmOp::IntLess => mask(i < j),
        VxmOp::IntEqual => mask(i == j),
        VxmOp::And => a & b,
        VxmOp::Or => a | b,
        VxmOp::Xor => a ^ b,
        VxmOp::ShiftLeft => a << (b % 32),
        VxmOp::ShiftRight => a >> (b % 32),
        VxmOp::ShiftRightSigned => (i >> (b % 32)) as u32,
        VxmOp::Relu => max(x, 0.0),
        VxmOp::Exp => bits(libm::exp(f64::from(x)) as f32),
        VxmOp::Tanh => bits(libm::tanh(f64::from(x)) as f32),
        VxmOp::Rsqrt => bits((1.0 / f64::from(x).sqrt()) as f32),
        VxmOp::RoundF16 => widen(Format::F16, narrow(Format::F16, a)),
        VxmOp::ToInt => x.round_ties_even() as i32 as u32,
        VxmOp::ToFloat => bits(i as f32),
    }
}

/// A mask: all ones or zero.
fn mask(holds: bool) -> u32 {
    if holds { u32::MAX } else { 0 }
}

/// The greater; NaN if either is; +0 of two unlike zeros.
fn max(x: f32, y: f32) -> u32 {
    if x.is_nan() || y.is_nan() {
        NAN
    } else if x == y {
        x.to_bits() & y.to_bits()
    } else if x > y {
        x.to_bits()
    } else {
        y.to_bits()
    }
}

/// The lesser; NaN if either is; −0 of two unlike zeros.
fn min(x: f32, y: f32) -> u32 {
    if x.is_nan() || y.is_nan() {
        NAN
    } else if x == y {
        x.to_bits() | y.to_bits()
    } else if x < y {
        x.to_bits()
    } else {
        y.to_bits()
    }
}

/// The 32-bit word that an ALU sees of a stream group's bytes (in the low bits of `bits`, the rest ignored).
pub fn widen(format: Format, bits: u32) -> u32 {
    match format {
        Format::I8 => bits as u8 as i8 as i32 as u32,
        Format::F16 => self::bits(f16::from_bits(bits as u16).to_f32()),
        Format::I32 | Format::F32 => bits,
    }
}

/// The stream group's bytes, in the low bits, for an ALU's result: I8 saturates an integer, F16 rounds an f32 to nearest even.
pub fn narrow(format: Format, word: u32) -> u32 {
    match format {
        Format::I8 => u32::from((word as i32).clamp(-128, 127) as u8),
        Format::F16 => u32::from(to_f16(f32::from_bits(word)).to_bits()),
        Format::I32 | Format::F32 => word,
    }
}

/// Nearest binary16, ties to even; overflow gives infinity.
fn to_f16(value: f32) -> f16 {
    if value.is_nan() { f16::from_bits(0x7e00) } else { f16::from_f32(value) }
}

/// Splits an f32 into binary16 parts, as bits: `high = f16(x)` and `low = f16((x − high) × 2^11)`. The low part is 0 where the high part is not
/// finite. [`join_f16`] gives back 22 significant bits of any x that is normal as binary16.
pub fn split_f16(value: f32) -> (u16, u16) {
    let high = to_f16(value);
    if !high.is_finite() {
        return (high.to_bits(), 0);
    }
    // Exact: the difference has at most 13 significant bits, and 2^11 only moves the exponent.
    let rest = (value - high.to_f32()) * 2048.0;
    (high.to_bits(), to_f16(rest).to_bits())
}

/// `high + low × 2^−11`, in f32, where both are finite.
pub fn join_f16(high: u16, low: u16) -> f32 {
    f16::from_bits(high).to_f32() + f16::from_bits(low).to_f32() / 2048.0
}

/// A plane's product for one output, F16: each product is exact in f64, the sum runs in f64 over the lanes in order, and is rounded to
/// f32 once. The bits of an f32. Lanes past the end of the shorter slice count as zero.
pub fn dot_f16(weights: &[u16], activations: &[u16]) -> u32 {
    let wide = |bits: u16| f16::from_bits(bits).to_f64();
    let mut sum = 0.0;
    for (&weight, &activation) in weights.iter().zip(activations) {
        sum += wide(weight) * wide(activation);
    }
    bits(sum as f32)
}

/// A plane's product for one output, I8: exact, modulo 2^32. The bits of an i32.
pub fn dot_i8(weights: &[i8], activations: &[i8]) -> u32 {
    let products = weights.iter().zip(activations).map(|(&w, &x)| i32::from(w) * i32::from(x));
    products.fold(0i32, i32::wrapping_add) as u32
}

/// What ACC makes of its accumulator and a product: f32 addition for F16, i32 addition modulo 2^32 for I8. `format` is that of the
/// activations.
pub fn accumulate(format: Format, sum: u32, product: u32) -> u32 {
    match format {
        Format::F16 | Format::F32 => alu(VxmOp::Add, sum, product),
        Format::I8 | Format::I32 => alu(VxmOp::IntAdd, sum, product),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: f32 = f32::INFINITY;

    #[test]
    fn float_operations() {
        let check = |op, a: f32, b: f32, expected: f32| {
            let result = alu(op, a.to_bits(), b.to_bits());
            assert_eq!(result, bits(expected), "{op:?} {a} {b}: {} not {expected}", f32::from_bits(result));
        };
        let nan = f32::from_bits(0xffa0_1234); // negative, signalling, with a payload
        check(VxmOp::Add, INF, -INF, f32::NAN);
        check(VxmOp::Add, nan, 1.0, f32::NAN);
        check(VxmOp::Mul, 0.0, -INF, f32::NAN);
        check(VxmOp::Sub, 1.0, 1.0, 0.0);
        check(VxmOp::Max, nan, 1.0, f32::NAN);
        check(VxmOp::Max, 1.0, nan, f32::NAN);
        check(VxmOp::Min, nan, -INF, f32::NAN);
        check(VxmOp::Max, -0.0, 0.0, 0.0);
        check(VxmOp::Max, 0.0, -0.0, 0.0);
        check(VxmOp::Min, 0.0, -0.0, -0.0);
        check(VxmOp::Max, -3.0, -2.0, -2.0);
        check(VxmOp::Min, -3.0, -2.0, -3.0);
        check(VxmOp::Relu, -0.0, 9.0, 0.0);
        check(VxmOp::Relu, nan, 9.0, f32::NAN);
        check(VxmOp::Relu, 2.5, 9.0, 2.5);
        check(VxmOp::Exp, 0.0, 9.0, 1.0);
        check(VxmOp::Exp, -INF, 9.0, 0.0);
        check(VxmOp::Exp, 89.0, 9.0, INF);
        check(VxmOp::Exp, 1.0, 9.0, std::f32::consts::E);
        check(VxmOp::Tanh, INF, 9.0, 1.0);
        check(VxmOp::Tanh, -0.0, 9.0, -0.0);
        check(VxmOp::Rsqrt, 0.0, 9.0, INF);
        check(VxmOp::Rsqrt, -0.0, 9.0, -INF);
        check(VxmOp::Rsqrt, -1.0, 9.0, f32::NAN);
        check(VxmOp::Rsqrt, 0.25, 9.0, 2.0);
        check(VxmOp::RoundF16, 2049.0, 9.0, 2048.0);
        check(VxmOp::RoundF16, 2051.0, 9.0, 2052.0);
        check(VxmOp::RoundF16, 65519.9, 9.0, 65504.0);
        check(VxmOp::RoundF16, 65520.0, 9.0, INF);
        check(VxmOp::RoundF16, nan, 9.0, f32::NAN);
        assert_eq!(alu(VxmOp::Pass, nan.to_bits(), 0), 0xffa0_1234);
    }

    #[test]
    fn masks_integers_and_conversions() {
        let check = |op, a: u32, b: u32, expected: u32| {
            assert_eq!(alu(op, a, b), expected, "{op:?} {a:#x} {b:#x}");
        };
        let f = f32::to_bits;
        check(VxmOp::Less, f(-0.0), f(0.0), 0);
        check(VxmOp::Less, f(-1.0), f(0.0), u32::MAX);
        check(VxmOp::Equal, f(-0.0), f(0.0), u32::MAX);
        check(VxmOp::Equal, NAN, NAN, 0);
        check(VxmOp::IntAdd, u32::MAX, 2, 1);
        check(VxmOp::IntSub, 0, 1, u32::MAX);
        check(VxmOp::IntMul, 0x8000_0001, 2, 2);
        check(VxmOp::IntMax, u32::MAX, 0, 0);
        check(VxmOp::IntMin, u32::MAX, 0, u32::MAX);
        check(VxmOp::IntLess, i32::MIN as u32, 0, u32::MAX);
        check(VxmOp::IntEqual, 7, 7, u32::MAX);
        check(VxmOp::And, 12, 10, 8);
        check(VxmOp::Or, 12, 10, 14);
        check(VxmOp::Xor, 12, 10, 6);
        check(VxmOp::ShiftLeft, 1, 33, 2);
        check(VxmOp::ShiftRight, 0x8000_0000, 31, 1);
        check(VxmOp::ShiftRightSigned, 0x8000_0000, 31, u32::MAX);
        check(VxmOp::ToInt, f(2.5), 0, 2);
        check(VxmOp::ToInt, f(-3.5), 0, -4i32 as u32);
        check(VxmOp::ToInt, f(3e9), 0, i32::MAX as u32);
        check(VxmOp::ToInt, f(-INF), 0, i32::MIN as u32);
        check(VxmOp::ToInt, NAN, 0, 0);
        check(VxmOp::ToFloat, 16_777_217, 0, f(16_777_216.0));
        check(VxmOp::ToFloat, 16_777_219, 0, f(16_777_220.0));
    }

    #[test]
    fn formats_on_streams() {
        for (format, word, narrow_bits, wide) in [
            (Format::I8, 127, 127, 127),
            (Format::I8, 128, 127, 127),
            (Format::I8, -129i32 as u32, 0x80, -128i32 as u32),
            (Format::F16, 1.0f32.to_bits(), 0x3c00, 1.0f32.to_bits()),
            (Format::F16, 1e9f32.to_bits(), 0x7c00, INF.to_bits()),
            (Format::F16, 2f32.powi(-25).to_bits(), 0, 0),
            (Format::F16, 2f32.powi(-24).to_bits(), 1, 2f32.powi(-24).to_bits()),
            (Format::F16, 0xff80_0001, 0x7e00, NAN),
            (Format::I32, 0x8000_0000, 0x8000_0000, 0x8000_0000),
            (Format::F32, 0xff80_0001, 0xff80_0001, 0xff80_0001),
        ] {
            assert_eq!(narrow(format, word), narrow_bits, "{format:?} {word:#x}");
            assert_eq!(widen(format, narrow_bits), wide, "{format:?} {narrow_bits:#x}");
        }
        assert_eq!(widen(Format::I8, 0x1234_56ff), u32::MAX, "only the low byte counts");
        assert_eq!(widen(Format::F16, 0xfe55), NAN);
    }

    #[test]
    fn split_keeps_22_bits() {
        for value in [1.0f32, -std::f32::consts::PI, 1e-3, 65000.0, 0.333_333_34, -0.0, 6.2e-5] {
            let (high, low) = split_f16(value);
            let back = join_f16(high, low);
            assert!((back - value).abs() <= value.abs() * 2f32.powi(-22), "{value} {back}");
        }
        assert_eq!(split_f16(1e9), (0x7c00, 0));
        assert_eq!(split_f16(f32::NAN), (0x7e00, 0));
        assert_eq!(join_f16(0x7c00, 0), INF);
    }

    #[test]
    fn products_round_once_and_integers_wrap() {
        let half = |value: f32| f16::from_f32(value).to_bits();
        // 2^30 + 2^-20 · 2 − 2^30: an f32 sum would lose the small terms.
        let weights = [half(32768.0), half(2f32.powi(-10)), half(2f32.powi(-10)), half(-32768.0)];
        let inputs = [half(32768.0), half(2f32.powi(-10)), half(2f32.powi(-10)), half(32768.0)];
        assert_eq!(dot_f16(&weights, &inputs), 2f32.powi(-19).to_bits());
        assert_eq!(dot_f16(&[half(INF)], &[0]), NAN);
        assert_eq!(dot_i8(&[-128, 127], &[-128, 127]), 16384 + 16129);
        assert_eq!(accumulate(Format::I8, i32::MAX as u32, 1), i32::MIN as u32);
        assert_eq!(accumulate(Format::F16, 1.0f32.to_bits(), 2.0f32.to_bits()), 3.0f32.to_bits());
    }
}

//! Arithmetic, bit by bit: what the ALUs, the formats on streams, and the matrix planes compute.
//!
//! Every result is a function of the operand bits alone, the same on any host. To that end each operation that can make a
//! NaN makes this one: [`NAN`] (on an F16 group: `0x7e00`). Pass, the integer and the bitwise operations copy bits as they are. F8 has one
//! NaN of each sign, and its conversions keep the sign.

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
        // No operand is of four bits.
        Format::I8 | Format::I4 | Format::F4 | Format::F8Wide => bits as u8 as i8 as i32 as u32,
        Format::F8 => from_f8(bits as u8).to_bits(),
        Format::F16 => self::bits(f16::from_bits(bits as u16).to_f32()),
        Format::I32 | Format::F32 => bits,
    }
}

/// A weight of four bits (in the low bits of `code`) times the scale of its block, in binary16, rounded to nearest even. A code of any other
/// format than I4 and F4 counts as I4.
pub fn scaled(format: Format, code: u8, scale: u16) -> u16 {
    let code = code & 0xf;
    let value = match format {
        // e2m1: the codes without signs, in order.
        Format::F4 => {
            let magnitude = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][usize::from(code & 7)];
            if code & 8 == 0 { magnitude } else { -magnitude }
        }
        // The sign moves to the top of the byte, and back with copies of itself.
        _ => f32::from((code << 4) as i8 >> 4),
    };
    // Both have few bits, so their product is exact before it is rounded.
    to_f16(value * f16::from_bits(scale).to_f32()).to_bits()
}

/// The stream group's bytes, in the low bits, for an ALU's result: I8 saturates an integer; F8 and F16 round an f32 to nearest even, and F8
/// saturates it.
pub fn narrow(format: Format, word: u32) -> u32 {
    match format {
        // No result is of four bits, either.
        Format::I8 | Format::I4 | Format::F4 | Format::F8Wide => {
            u32::from((word as i32).clamp(-128, 127) as u8)
        }
        Format::F8 => u32::from(to_f8(f32::from_bits(word))),
        Format::F16 => u32::from(to_f16(f32::from_bits(word)).to_bits()),
        Format::I32 | Format::F32 => word,
    }
}

/// Nearest binary16, ties to even; overflow gives infinity.
fn to_f16(value: f32) -> f16 {
    if value.is_nan() { f16::from_bits(0x7e00) } else { f16::from_f32(value) }
}

/// The greatest number of F8.
pub const F8_MOST: f32 = 448.0;

/// The number with these bits of F8 (sign, four bits of exponent with bias 7, three of mantissa), exactly; a NaN keeps its sign.
pub fn from_f8(bits: u8) -> f32 {
    let sign = u32::from(bits & 0x80) << 24;
    let magnitude = match bits & 0x7f {
        0x7f => NAN,
        // Subnormal: multiples of 2^-9.
        small @ 0..8 => (f32::from(small) / 512.0).to_bits(),
        // Exponents of F8 lie 120 lower than those of f32.
        normal => (u32::from(normal) << 20) + (120 << 23),
    };
    f32::from_bits(sign | magnitude)
}

/// The nearest F8 number, ties to even, at most ±[`F8_MOST`]; a NaN keeps its sign.
pub fn to_f8(value: f32) -> u8 {
    let sign = u8::from(value.is_sign_negative()) << 7;
    if value.is_nan() {
        return sign | 0x7f;
    }
    let magnitude = value.abs().min(F8_MOST);
    let code = if magnitude < 1.0 / 64.0 {
        // Exact up to the rounding: 512 is a power of two. 8 is the code of the least normal number.
        (magnitude * 512.0).round_ties_even() as u32
    } else {
        // A carry into the exponent is as it should be.
        let bits = magnitude.to_bits();
        ((bits + 0x7_ffff + (bits >> 20 & 1)) >> 20) - (120 << 3)
    };
    sign | code as u8
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

/// A plane's product for one output, F8: as [`dot_f16`]. Here the sum in f64 is exact whatever the order, as all products are multiples of
/// 2^-18 below 2^18, and so the result is the exact sum, rounded once. The bits of an f32.
pub fn dot_f8(weights: &[u8], activations: &[u8]) -> u32 {
    let mut sum = 0.0;
    for (&weight, &activation) in weights.iter().zip(activations) {
        sum += f64::from(from_f8(weight)) * f64::from(from_f8(activation));
    }
    bits(sum as f32)
}

/// A plane's product for one output, I8: exact, modulo 2^32. The bits of an i32.
pub fn dot_i8(weights: &[i8], activations: &[i8]) -> u32 {
    let products = weights.iter().zip(activations).map(|(&w, &x)| i32::from(w) * i32::from(x));
    products.fold(0i32, i32::wrapping_add) as u32
}

/// What ACC makes of its accumulator and a product: f32 addition for F8 and F16, i32 addition modulo 2^32 for I8. `format` is that of the
/// activations.
pub fn accumulate(format: Format, sum: u32, product: u32) -> u32 {
    match format {
        Format::I8 | Format::I32 => alu(VxmOp::IntAdd, sum, product),
        _ => alu(VxmOp::Add, sum, product),
    }
}

#[cfg(test)]
mod tests;

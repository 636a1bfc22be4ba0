//! Arithmetic by hand: special values, ties, what rounds and what does not.

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

#[test]
fn weights_of_four_bits_are_their_values_times_a_scale() {
    let bits = |value: f32| f16::from_f32(value).to_bits();
    // The nearest binary16 number; there is one NaN only.
    let nearest = |value: f32| narrow(Format::F16, value.to_bits()) as u16;
    for scale in [1.0, 0.5, -3.0, 0.0, 2f32.powi(-24), 65504.0, f32::INFINITY] {
        for code in 0..16u8 {
            let signed = if code < 8 { f32::from(code) } else { f32::from(code) - 16.0 };
            let expected = nearest(signed * scale);
            assert_eq!(scaled(Format::I4, code, bits(scale)), expected, "{code} by {scale}");
            // e2m1 by its definition: two bits of exponent, biased by 1, and one of mantissa.
            let (exponent, mantissa) = (code >> 1 & 3, f32::from(code & 1));
            let magnitude = match exponent {
                0 => mantissa / 2.0,
                _ => (1.0 + mantissa / 2.0) * f32::from(1u8 << (exponent - 1)),
            };
            let value = if code < 8 { magnitude } else { -magnitude };
            assert_eq!(scaled(Format::F4, code, bits(scale)), nearest(value * scale), "{code} by {scale}");
        }
    }
}

#[test]
fn all_codes_of_f8_go_round_and_lie_where_the_format_says() {
    for code in 0..=u8::MAX {
        let value = from_f8(code);
        assert_eq!(to_f8(value), code, "{code:#04x} {value}");
        assert_eq!(narrow(Format::F8, widen(Format::F8, code.into())), code.into());
        assert_eq!(value.is_nan(), code & 0x7f == 0x7f);
        assert_eq!(value.is_sign_negative(), code >= 0x80);
        if value.is_nan() {
            continue;
        }
        let (exponent, mantissa) = (i32::from(code >> 3 & 15), f64::from(code & 7));
        let magnitude = if exponent == 0 {
            mantissa / 8.0 * 2f64.powi(-6)
        } else {
            (1.0 + mantissa / 8.0) * 2f64.powi(exponent - 7)
        };
        assert_eq!(f64::from(value.abs()), magnitude, "{code:#04x}");
        assert_eq!(f16::from_f32(value).to_f32().to_bits(), value.to_bits(), "F8 is part of F16");
    }
    assert_eq!(from_f8(0x7e), F8_MOST);
    assert_eq!(from_f8(0x01), 2f32.powi(-9));
    assert_eq!(from_f8(0x38), 1.0);
    assert_eq!(widen(Format::F8, 0x1234_5638), 1.0f32.to_bits(), "only the low byte counts");
    assert_eq!((widen(Format::F8, 0x7f), widen(Format::F8, 0xff)), (NAN, NAN | 1 << 31));
}

#[test]
fn f8_rounds_to_nearest_even_and_saturates() {
    let tiny = 2f32.powi(-10);
    let above = |value: f32| f32::from_bits(value.to_bits() + 1);
    let below = |value: f32| f32::from_bits(value.to_bits() - 1);
    for (value, code) in [
        (0.0, 0x00),
        // Half of the least number is a tie, and goes to zero, which is even.
        (tiny, 0x00),
        (above(tiny), 0x01),
        (3.0 * tiny, 0x02),
        (below(3.0 * tiny), 0x01),
        // From the greatest subnormal number, 7 · 2^-9, to the least normal one, 2^-6.
        (14.0 * tiny, 0x07),
        (15.0 * tiny, 0x08),
        (below(15.0 * tiny), 0x07),
        (16.0 * tiny, 0x08),
        // Between 1, 1.125 and 1.25.
        (1.0625, 0x38),
        (above(1.0625), 0x39),
        (1.1875, 0x3a),
        (below(1.1875), 0x39),
        // A carry into the exponent: between 1.875 and 2.
        (1.9375, 0x40),
        (448.0, 0x7e),
        (464.0, 0x7e),
        (480.0, 0x7e),
        (1e30, 0x7e),
        (INF, 0x7e),
        (f32::MIN_POSITIVE, 0x00),
        (f32::NAN, 0x7f),
    ] {
        assert_eq!(to_f8(value), code, "{value:e}");
        assert_eq!(to_f8(-value), code | 0x80, "-{value:e}");
    }
    assert_eq!(narrow(Format::F8, 0xffa0_1234), 0xff);
    assert_eq!(narrow(Format::F8, 0x7f80_0001), 0x7f);
}

#[test]
fn every_f32_becomes_a_nearest_f8_number() {
    let values: Vec<f64> = (0..0x7f).map(|code| f64::from(from_f8(code))).collect();
    for step in 0..0x7f80u32 {
        for low in [0, 1, 0x7fff, 0x8000, 0xffff] {
            let value = f32::from_bits(step << 16 | low);
            let code = usize::from(to_f8(value));
            let error = |code: usize| (f64::from(value.min(F8_MOST)) - values[code]).abs();
            let neighbours = code.saturating_sub(1)..=(code + 1).min(0x7e);
            for other in neighbours.filter(|other| *other != code) {
                let even = code.is_multiple_of(2);
                let right = error(code) < error(other) || error(code) == error(other) && even;
                assert!(right, "{value:e} became {code:#04x}, not {other:#04x}");
            }
        }
    }
}

#[test]
fn products_of_f8_are_exact_sums_rounded_once() {
    // As integers, in units of 2^-18, nothing is ever rounded but the result.
    let units = |code: u8| (f64::from(from_f8(code)) * 512.0) as i64;
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let code = (state >> 56) as u8;
        if code & 0x7f == 0x7f { code & 0x80 } else { code }
    };
    for _ in 0..2000 {
        let weights: Vec<u8> = (0..320).map(|_| next()).collect();
        let inputs: Vec<u8> = (0..320).map(|_| next()).collect();
        let sum: i64 = weights.iter().zip(&inputs).map(|(&w, &x)| units(w) * units(x)).sum();
        // Both steps to f32 are one: the integer has at most 45 bits, which f64 holds, and scaling is exact.
        let expected = (sum as f64 / 262_144.0) as f32;
        assert_eq!(dot_f8(&weights, &inputs), expected.to_bits());
        let backward = |codes: &[u8]| codes.iter().rev().copied().collect::<Vec<u8>>();
        assert_eq!(dot_f8(&backward(&weights), &backward(&inputs)), expected.to_bits(), "in any order");
        let halves = |codes: &[u8]| -> Vec<u16> {
            codes.iter().map(|code| f16::from_f32(from_f8(*code)).to_bits()).collect()
        };
        assert_eq!(dot_f16(&halves(&weights), &halves(&inputs)), expected.to_bits(), "as binary16");
    }
    // 448 · 448 + 2^-18 − 448 · 448: an f32 sum would lose the small term.
    assert_eq!(dot_f8(&[0x7e, 0x01, 0x7e], &[0x7e, 0x01, 0xfe]), 2f32.powi(-18).to_bits());
    assert_eq!(dot_f8(&[0xff, 0], &[0, 0]), NAN);
    assert_eq!(dot_f8(&[0], &[0x7f]), NAN);
    assert_eq!(dot_f8(&[0x80], &[0x38]), 0, "sums begin at +0");
    assert_eq!(accumulate(Format::F8, 1.0f32.to_bits(), 2.0f32.to_bits()), 3.0f32.to_bits());
}

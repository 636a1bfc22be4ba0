//! Exp, Tanh and Rsqrt of 16 lanes, called by compiled chains: the bits of `isa::numeric::alu`, faster.
//!
//! The reference computes in f64, correct to a unit or two, and rounds to f32. Here an f64 approximation of at least 2^-44 relative
//! precision is rounded to f32 instead, wherever it lies so far from the middle between two f32 numbers that the reference's value must
//! be on the same side of it. Other lanes, about one in 2^17, are left to the reference.

use isa::instruction::VxmOp;
use isa::numeric;

use super::half::Halves;

/// Lanes that a helper computes at once.
const LANES: usize = 16;

/// Computes in place.
type Helper = unsafe extern "C" fn(*mut u32);

/// What chains call.
#[derive(Clone, Copy)]
pub(super) struct Helpers {
    pub(super) halves: Halves,
    pub(super) exp: Helper,
    pub(super) tanh: Helper,
    pub(super) rsqrt: Helper,
}

impl Helpers {
    /// The best for this host.
    pub(super) fn new() -> Helpers {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                return avx512::helpers(Halves::new());
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return avx2::helpers(Halves::new());
            }
        }
        portable::helpers(Halves::new())
    }
}

/// The three functions, compiled for some processor features.
macro_rules! helpers {
    ($name:ident, $fused:literal, $($features:literal)?) => {
        mod $name {
            use super::{Halves, Helpers, LANES};

            pub(super) fn helpers(halves: Halves) -> Helpers {
                Helpers { halves, exp, tanh, rsqrt }
            }

            $(#[target_feature(enable = $features)])?
            unsafe extern "C" fn exp(words: *mut u32) {
                // SAFETY: a chain hands over a block of its own.
                super::exp::<$fused>(unsafe { &mut *words.cast::<[u32; LANES]>() });
            }

            $(#[target_feature(enable = $features)])?
            unsafe extern "C" fn tanh(words: *mut u32) {
                // SAFETY: as above.
                super::tanh::<$fused>(unsafe { &mut *words.cast::<[u32; LANES]>() });
            }

            $(#[target_feature(enable = $features)])?
            unsafe extern "C" fn rsqrt(words: *mut u32) {
                // SAFETY: as above.
                super::rsqrt(unsafe { &mut *words.cast::<[u32; LANES]>() });
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
helpers!(avx512, true, "avx512f,avx512dq,avx512vl,fma");
#[cfg(target_arch = "x86_64")]
helpers!(avx2, true, "avx2,fma");
helpers!(portable, false,);

/// How near the middle between two f32 numbers an approximation is not trusted, in units of its last place: 2^-42, relatively.
const DOUBT: u64 = 1 << 10;

/// Whether the f32 nearest to `value` is that nearest to everything within [`DOUBT`] of it.
#[inline(always)]
fn is_safe(value: f64) -> bool {
    const MIDDLE: u64 = 1 << 28;
    // What is left of the bits that f32 has no room for, relative to the start of the doubtful interval.
    let rest = value.to_bits().wrapping_add(DOUBT).wrapping_sub(MIDDLE) & ((1 << 29) - 1);
    rest > 2 * DOUBT
}

/// a × b + c, rounded once or twice; either is precise enough.
#[inline(always)]
fn madd<const FUSED: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// 2^k and e^r − 1 with x = k·ln 2 + r, |r| ≤ ln 2 / 2; |x| < 1000.
#[inline(always)]
fn split<const FUSED: bool>(x: f64) -> (f64, f64) {
    /// Added to a small number, it leaves the nearest integer in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let shifted = madd::<FUSED>(x, std::f64::consts::LOG2_E, ROUND);
    let k = shifted - ROUND;
    let scale = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1.0f64.to_bits()));
    let r = madd::<FUSED>(k, -LN2_LOW, madd::<FUSED>(k, -LN2_HIGH, x));
    // Taylor: what follows is less than r^13 / 13!, which is under 2^-50 of r. Added up in pairs, which do not wait for each other.
    let (r2, c) = (r * r, madd::<FUSED>);
    let a0 = c(r, 0.5, 1.0);
    let a1 = c(r, 1.0 / 24.0, 1.0 / 6.0);
    let a2 = c(r, 1.0 / 720.0, 1.0 / 120.0);
    let a3 = c(r, 1.0 / 40_320.0, 1.0 / 5_040.0);
    let a4 = c(r, 1.0 / 3_628_800.0, 1.0 / 362_880.0);
    let a5 = c(r, 1.0 / 479_001_600.0, 1.0 / 39_916_800.0);
    let r4 = r2 * r2;
    let (b0, b1, b2) = (c(a1, r2, a0), c(a3, r2, a2), c(a5, r2, a4));
    let sum = c(c(b2, r4, b1), r4, b0);
    (scale, sum * r)
}

/// e^x, where it is normal as f32.
#[inline(always)]
fn exp_of<const FUSED: bool>(x: f64) -> f64 {
    let (scale, rest) = split::<FUSED>(x);
    madd::<FUSED>(scale, rest, scale)
}

/// tanh x = (e^2x − 1) / (e^2x + 1) of positive x; nothing cancels in e^2x − 1 as split gives it.
#[inline(always)]
fn tanh_of<const FUSED: bool>(x: f64) -> f64 {
    let (scale, rest) = split::<FUSED>(2.0 * x);
    let less_one = madd::<FUSED>(scale, rest, scale - 1.0);
    less_one / (less_one + 2.0)
}

#[inline(always)]
fn exp<const FUSED: bool>(words: &mut [u32; LANES]) {
    let (mut results, mut doubtful) = ([0u32; LANES], [false; LANES]);
    for (word, (result, doubtful)) in words.iter().zip(results.iter_mut().zip(&mut doubtful)) {
        let x = f32::from_bits(*word);
        let inside = (-87.0..=88.5).contains(&x);
        let value = exp_of::<FUSED>(if inside { f64::from(x) } else { 0.0 });
        // Below −104 it is less than half of the least subnormal, above 89 more than the greatest number.
        let outside = if x < 0.0 { 0 } else { f32::INFINITY.to_bits() };
        let outside = if x.is_nan() { numeric::NAN } else { outside };
        *result = if inside { (value as f32).to_bits() } else { outside };
        *doubtful = if inside { !is_safe(value) } else { (-104.0..=89.0).contains(&x) };
    }
    finish(VxmOp::Exp, words, &results, &doubtful);
}

#[inline(always)]
fn tanh<const FUSED: bool>(words: &mut [u32; LANES]) {
    let (mut results, mut doubtful) = ([0u32; LANES], [false; LANES]);
    for (word, (result, doubtful)) in words.iter().zip(results.iter_mut().zip(&mut doubtful)) {
        let x = f32::from_bits(*word);
        let (size, sign) = (x.abs(), *word & 0x8000_0000);
        let inside = (1.0 / 8192.0..=10.0).contains(&size);
        let value = tanh_of::<FUSED>(if inside { f64::from(size) } else { 1.0 });
        // Nearer to zero x^3 / 3 is lost in rounding, and further off so is 1 − tanh x.
        let outside = if size < 1.0 { *word } else { sign | 1.0f32.to_bits() };
        let outside = if x.is_nan() { numeric::NAN } else { outside };
        *result = if inside { sign | (value as f32).to_bits() } else { outside };
        *doubtful = inside & !is_safe(value);
    }
    finish(VxmOp::Tanh, words, &results, &doubtful);
}

/// Nothing is in doubt: square root and division are exact to the last bit.
#[inline(always)]
fn rsqrt(words: &mut [u32; LANES]) {
    for word in words {
        let value = (1.0 / f64::from(f32::from_bits(*word)).sqrt()) as f32;
        // As numeric::bits, which is not compiled for these features.
        *word = if value.is_nan() { numeric::NAN } else { value.to_bits() };
    }
}

/// Puts the results in place, doubtful ones computed anew.
#[inline(always)]
fn finish(op: VxmOp, words: &mut [u32; LANES], results: &[u32; LANES], doubtful: &[bool; LANES]) {
    if doubtful.iter().fold(false, |any, doubtful| any | doubtful) {
        settle(op, words, results, doubtful);
    } else {
        *words = *results;
    }
}

#[cold]
fn settle(op: VxmOp, words: &mut [u32; LANES], results: &[u32; LANES], doubtful: &[bool; LANES]) {
    for (word, (result, doubtful)) in words.iter_mut().zip(results.iter().zip(doubtful)) {
        *word = if *doubtful { numeric::alu(op, *word, 0) } else { *result };
    }
}

#[cfg(test)]
mod tests;

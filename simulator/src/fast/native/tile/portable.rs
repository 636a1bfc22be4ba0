//! Kernels in plain Rust, for hosts without better.

use isa::numeric;

use super::activations::{as_half, to_f64};
use super::{Line, ROWS};

/// F16: sums of one block of rows, rounded to f32.
pub(super) fn halves<const V: usize>(lines: &[Line], inputs: &[[f64; V]], results: &mut [[u32; ROWS]; V]) {
    let mut sums = [[0.0f64; ROWS]; V];
    for (line, values) in lines.iter().zip(inputs) {
        let weights = line.0.map(to_f64);
        for (sums, value) in sums.iter_mut().zip(values) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight * value);
        }
    }
    for (results, sums) in results.iter_mut().zip(sums) {
        *results = sums.map(|sum| numeric::bits(sum as f32));
    }
}

/// F8: sums of one block of rows, rounded to f32.
pub(super) fn quarters<const V: usize>(
    lines: &[Line],
    inputs: &[[[f64; 2]; V]],
    results: &mut [[u32; ROWS]; V],
) {
    let mut sums = [[0.0f64; ROWS]; V];
    for (line, values) in lines.iter().zip(inputs) {
        let weights = line.0.map(|pair| pair.to_le_bytes().map(|byte| to_f64(as_half(byte))));
        for (sums, [first, second]) in sums.iter_mut().zip(values) {
            for (sum, [a, b]) in sums.iter_mut().zip(weights) {
                *sum += a * first + b * second;
            }
        }
    }
    for (results, sums) in results.iter_mut().zip(sums) {
        *results = sums.map(|sum| numeric::bits(sum as f32));
    }
}

/// I8: sums of one block of rows.
pub(super) fn bytes<const V: usize>(lines: &[Line], inputs: &[[i32; V]], results: &mut [[u32; ROWS]; V]) {
    let mut sums = [[0i32; ROWS]; V];
    for (line, values) in lines.iter().zip(inputs) {
        let weights = line.0.map(|pair| pair.to_le_bytes().map(|byte| i32::from(byte as i8)));
        for (sums, &value) in sums.iter_mut().zip(values) {
            let (first, second) = (i32::from(value as i16), value >> 16);
            for (sum, [a, b]) in sums.iter_mut().zip(weights) {
                *sum = sum.wrapping_add(a * first + b * second);
            }
        }
    }
    for (results, sums) in results.iter_mut().zip(sums) {
        *results = sums.map(|sum| sum as u32);
    }
}

//! Signals: windows and the Fourier transform, which is a product with cosines and sines.

use super::convolution::{Window, convolve};
use super::{Translate, one};
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length, normalize};
use crate::graph::{BinaryOp, Op};
use std::f64::consts::PI;

/// Longest transform that is a product.
const MAX_LENGTH: usize = 1 << 13;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "HannWindow" => |c| window(c, &[0.5, 0.5]),
        "HammingWindow" => |c| window(c, &[25.0 / 46.0, 21.0 / 46.0]),
        "BlackmanWindow" => |c| window(c, &[0.42, 0.5, 0.08]),
        "MelWeightMatrix" => mel_weights,
        "DFT" => transform,
        "STFT" => short_time_transform,
        _ => return None,
    })
}

/// An input of one whole number that is known; nothing where it is left out.
fn known_length(c: &Call<'_>, index: usize, what: &str) -> Outcome<Option<usize>> {
    let value = c.optional_ints(index, what)?.and_then(|values| values.first().copied());
    let value = value.map(length).transpose()?;
    match value {
        Some(long) if long > MAX_LENGTH => {
            Err(Issue::Unsupported(format!("its {what} is {long}, at most {MAX_LENGTH} is supported")))
        }
        value => Ok(value),
    }
}

/// The alternating sum of cosines with these factors.
fn window(c: &mut Call<'_>, factors: &[f64]) -> Outcome<Vec<Value>> {
    let size = known_length(c, 0, "size")?.ok_or_else(|| Issue::Invalid("its size is missing".to_owned()))?;
    let whole = if c.int("periodic", 1) != 0 { size } else { size.saturating_sub(1) }.max(1);
    let at = |place: usize| -> f32 {
        let angle = 2.0 * PI * place as f64 / whole as f64;
        let term = |(k, factor): (usize, &f64)| {
            let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
            sign * factor * (k as f64 * angle).cos()
        };
        factors.iter().enumerate().map(term).sum::<f64>() as f32
    };
    Ok(vec![Value::known(Tensor::f32([size], (0..size).map(at).collect::<Vec<_>>()))])
}

/// Triangles over the bins of a spectrum, evenly apart as the ear hears: bands, transform length, sampling rate, lowest and highest frequency.
fn mel_weights(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let whole = |index, what: &str| {
        known_length(c, index, what)?.ok_or_else(|| Issue::Invalid(format!("its {what} is missing")))
    };
    let (bands, n) = (whole(0, "num_mel_bins")?, whole(1, "dft_length")?);
    let rate = c.known_ints(2, "sample_rate")?.first().copied().unwrap_or(0).max(1) as f64;
    let edge = |index: usize| -> Outcome<f64> {
        let known = c.input(index)?.tensor().and_then(|tensor| tensor.as_f32()?.first().copied());
        known.map(f64::from).ok_or_else(|| {
            Issue::Unsupported("its edges depend on the data of the model's inputs".to_owned())
        })
    };
    let mel = |frequency: f64| 2595.0 * (1.0 + frequency / 700.0).log10();
    let (low, high) = (mel(edge(3)?), mel(edge(4)?));
    let step = (high - low) / (bands + 2) as f64;
    let bin = |band: usize| {
        let frequency = 700.0 * (10f64.powf((band as f64 * step + low) / 2595.0) - 1.0);
        ((n + 1) as f64 * frequency / rate).floor().max(0.0) as usize
    };
    let mut weights = vec![0.0; (n / 2 + 1) * bands];
    for band in 0..bands {
        let [from, peak, to] = [bin(band), bin(band + 1), bin(band + 2)];
        for at in from..=to.max(peak) {
            let rises = if peak == from { 1.0 } else { (at - from) as f32 / (peak - from) as f32 };
            let falls = if to == peak { 0.0 } else { to.saturating_sub(at) as f32 / (to - peak) as f32 };
            if let Some(weight) = weights.get_mut(at * bands + band) {
                *weight = if at < peak || at == peak && to == peak { rises } else { falls };
            }
        }
    }
    Ok(vec![Value::known(Tensor::f32([n / 2 + 1, bands], weights))])
}

/// cos or sin of 2π k t / n, [count, bins].
fn waves(n: usize, count: usize, bins: usize, of: fn(f64) -> f64) -> Tensor {
    // The product is taken modulo n, so that the angle is small and exact.
    let at = move |t: usize, k: usize| of(2.0 * PI * ((t * k) % n) as f64 / n as f64) as f32;
    let all = (0..count).flat_map(|t| (0..bins).map(move |k| at(t, k)));
    Tensor::f32([count, bins], all.collect::<Vec<_>>())
}

/// Of real or complex numbers along an axis; forwards or back, all of it or the first half.
fn transform(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
    let shape = c.ty(&x).shape;
    let rank = shape.len();
    let (inverse, onesided) = (c.int("inverse", 0) != 0, c.int("onesided", 0) != 0);
    let axis = match c.opset {
        ..20 => c.int("axis", 1),
        _ => c.optional_ints(2, "axis")?.and_then(|axes| axes.first().copied()).unwrap_or(-2),
    };
    let axis = normalize(axis, rank)?;
    let parts = shape.last().copied().unwrap_or(0);
    if axis + 1 >= rank || !matches!(parts, 1 | 2) {
        return Err(Issue::Invalid(format!(
            "axis {axis} of {shape:?}, whose last axis is real and imaginary part"
        )));
    }
    // The other half of a spectrum of reals is the mirror of the one.
    let from_half = inverse && onesided;
    let whole = if from_half { 2 * shape[axis].saturating_sub(1) } else { shape[axis] };
    let n = known_length(c, 1, "dft_length")?.unwrap_or(whole);
    if n == 0 || n > MAX_LENGTH {
        return Err(Issue::Unsupported(format!(
            "a transform of {n} elements; 1 to {MAX_LENGTH} are supported"
        )));
    }
    let half = n / 2 + 1;
    let count = shape[axis].min(if from_half { half } else { n });
    let bins = if onesided && !inverse { half } else { n };
    let build = &mut *c.build;
    // The axis last, each part by itself.
    let mut order: Vec<usize> = (0..rank - 1).filter(|&other| other != axis).collect();
    order.push(axis);
    let mut part = |start: usize| -> Outcome {
        let part = build.element(&x, rank - 1, start)?;
        let part = build.apply(Op::Transpose { permutation: order.clone() }, &[part])?;
        build.apply(Op::Slice { axis: rank - 2, start: 0, count, step: 1 }, &[part])
    };
    let real = part(0)?;
    let imaginary = if parts == 2 { Some(part(1)?) } else { None };
    let scale = if inverse { 1.0 / n as f32 } else { 1.0 };
    let twice = |t: usize| if from_half && t != 0 && 2 * t != n { 2.0 } else { 1.0 };
    let weights = Value::known(Tensor::f32([count, 1], (0..count).map(twice).collect::<Vec<f32>>()));
    // Forwards the angle turns backwards.
    let turn = if inverse { scale } else { -scale };
    let mut matrix = |of, by: f32| -> Outcome {
        let waves = build.with_real(BinaryOp::Mul, &Value::known(waves(n, count, bins, of)), by)?;
        build.binary(BinaryOp::Mul, &waves, &weights)
    };
    let (cos, sin) = (matrix(f64::cos, scale)?, matrix(f64::sin, turn)?);
    let mut both = [product(build, &real, &cos)?, product(build, &real, &sin)?];
    if let Some(imaginary) = imaginary {
        let across = product(build, &imaginary, &sin)?;
        both[0] = build.binary(BinaryOp::Sub, &both[0], &across)?;
        let along = product(build, &imaginary, &cos)?;
        both[1] = build.binary(BinaryOp::Add, &both[1], &along)?;
    }
    let mut back: Vec<usize> = (0..rank - 2).collect();
    back.insert(axis, rank - 2);
    let parts = if from_half { &both[..1] } else { &both };
    joined(build, parts, &back).map(one)
}

fn product(build: &mut Builder, a: &Value, b: &Value) -> Outcome {
    super::matrix::with_vectors(build, a, b, super::matrix::product)
}

/// Parts, each with its axes in this order, side by side along a new last axis.
fn joined(build: &mut Builder, parts: &[Value], order: &[usize]) -> Outcome {
    let mut columns = Vec::new();
    for part in parts {
        let op = Op::Transpose { permutation: order.to_vec() };
        let part = build.apply(op, std::slice::from_ref(part))?;
        let shape = [build.shape(&part), vec![1]].concat();
        columns.push(build.reshape(&part, shape)?);
    }
    build.apply(Op::Concat { axis: order.len() }, &columns)
}

/// Of each frame of a real signal [batch, length(, 1)]: a convolution with windowed cosines and sines. Signal, step, window, frame length.
fn short_time_transform(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
    let shape = c.ty(&x).shape;
    let (batch, long) = match shape[..] {
        [batch, long] | [batch, long, 1] => (batch, long),
        _ => {
            return Err(Issue::Unsupported(format!(
                "a signal of shape {shape:?}; [batch, length, 1] is supported"
            )));
        }
    };
    let step = known_length(c, 1, "frame_step")?.filter(|&step| step > 0);
    let step = step.ok_or_else(|| Issue::Invalid("its frame_step is missing".to_owned()))?;
    let shaped = c.optional(2);
    let of_window = shaped.as_ref().map(|window| c.ty(window).elements());
    let n = known_length(c, 3, "frame_length")?.or(of_window).filter(|n| (1..=long).contains(n));
    let n =
        n.ok_or_else(|| Issue::Invalid("its frame_length is missing, or longer than the signal".to_owned()))?;
    let bins = if c.int("onesided", 1) != 0 { n / 2 + 1 } else { n };
    let build = &mut *c.build;
    let mut kernels = Vec::new();
    for (of, sign) in [(f64::cos as fn(f64) -> f64, 1.0), (f64::sin, -1.0)] {
        let waves = build.with_real(BinaryOp::Mul, &Value::known(waves(n, n, bins, of)), sign)?;
        let mut own = build.apply(Op::Transpose { permutation: vec![1, 0] }, &[waves])?;
        if let Some(window) = &shaped {
            own = build.binary(BinaryOp::Mul, &own, window)?;
        }
        kernels.push(own);
    }
    let kernels = build.apply(Op::Concat { axis: 0 }, &kernels)?;
    let kernels = build.reshape(&kernels, vec![2 * bins, 1, n])?;
    let signal = build.reshape(&x, vec![batch, 1, long])?;
    let frames = Window { kernel: vec![n], strides: vec![step], padding: vec![[0, 0]], dilations: vec![1] };
    let all = convolve(build, &signal, &kernels, None, &frames, 1)?;
    let mut half = |start: usize| {
        build.apply(Op::Slice { axis: 1, start, count: bins, step: 1 }, std::slice::from_ref(&all))
    };
    let parts = [half(0)?, half(bins)?];
    joined(build, &parts, &[0, 2, 1]).map(one)
}

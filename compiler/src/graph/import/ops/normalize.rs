//! Normalisations, in terms of reductions and pointwise operators.

use super::pool::{raised, root};
use super::reduce::mean;
use super::{Translate, convolution, one};
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length, normalize};
use crate::graph::{BinaryOp, Op, ReduceOp, UnaryOp};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "LayerNormalization" => layer,
        "RMSNormalization" => root_mean_square,
        "BatchNormalization" => batch,
        "InstanceNormalization" => instance,
        "GroupNormalization" => group,
        "LpNormalization" => to_length,
        "MeanVarianceNormalization" => mean_variance,
        "LRN" => local_response,
        _ => return None,
    })
}

/// 1 / sqrt(mean(x²) + epsilon) along axes.
fn inverse_deviation(build: &mut Builder, x: &Value, axes: &[usize], epsilon: f32) -> Outcome {
    let square = build.binary(BinaryOp::Mul, x, x)?;
    let variance = mean(build, &square, axes)?;
    let variance = build.with_real(BinaryOp::Add, &variance, epsilon)?;
    build.unary(UnaryOp::Rsqrt, &variance)
}

fn axes(c: &Call<'_>, x: &Value) -> Outcome<Vec<usize>> {
    let rank = c.ty(x).shape.len();
    Ok((c.axis(-1, rank)?..rank).collect())
}

/// x less its mean, over its deviation, times a scale, plus an offset; the mean and one over the deviation.
pub(super) fn layer_normalized(
    build: &mut Builder,
    x: &Value,
    [scale, offset]: [Option<&Value>; 2],
    axes: &[usize],
    epsilon: f32,
) -> Outcome<[Value; 3]> {
    let center = mean(build, x, axes)?;
    let apart = build.binary(BinaryOp::Sub, x, &center)?;
    let inverse = inverse_deviation(build, &apart, axes, epsilon)?;
    let mut y = build.binary(BinaryOp::Mul, &apart, &inverse)?;
    for (op, by) in [(BinaryOp::Mul, scale), (BinaryOp::Add, offset)] {
        if let Some(by) = by {
            y = build.binary(op, &y, by)?;
        }
    }
    Ok([y, center, inverse])
}

/// x over its root mean square, times a scale; one over the root mean square.
pub(super) fn root_mean_square_normalized(
    build: &mut Builder,
    x: &Value,
    scale: &Value,
    axes: &[usize],
    epsilon: f32,
) -> Outcome<[Value; 2]> {
    let inverse = inverse_deviation(build, x, axes, epsilon)?;
    let y = build.binary(BinaryOp::Mul, x, &inverse)?;
    Ok([build.binary(BinaryOp::Mul, &y, scale)?, inverse])
}

fn layer(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, scale) = (c.input(0)?, c.input(1)?);
    let (axes, epsilon) = (axes(c, &x)?, c.float("epsilon", 1e-5));
    let offset = c.optional(2);
    layer_normalized(c.build, &x, [Some(&scale), offset.as_ref()], &axes, epsilon).map(Vec::from)
}

pub(super) fn root_mean_square(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, scale) = (c.input(0)?, c.input(1)?);
    let (axes, epsilon) = (axes(c, &x)?, c.float("epsilon", 1e-5));
    root_mean_square_normalized(c.build, &x, &scale, &axes, epsilon).map(Vec::from)
}

/// x · scale + bias, with one of each for each channel (axis 1).
fn per_channel(c: &mut Call<'_>, x: &Value, scale: &Value, bias: &Value) -> Outcome {
    let rank = c.ty(x).shape.len();
    let scale = convolution::along_channels(c.build, scale, rank)?;
    let bias = convolution::along_channels(c.build, bias, rank)?;
    let y = c.build.binary(BinaryOp::Mul, x, &scale)?;
    c.build.binary(BinaryOp::Add, &y, &bias)
}

/// Each channel of each image on its own.
fn instance(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, scale, bias) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let axes: Vec<usize> = (2..c.ty(&x).shape.len()).collect();
    let epsilon = c.float("epsilon", 1e-5);
    let [y, ..] = layer_normalized(c.build, &x, [None; 2], &axes, epsilon)?;
    per_channel(c, &y, &scale, &bias).map(one)
}

/// Groups of channels together. Before version 21 there is one scale for each group.
fn group(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, scale, bias) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let shape = c.ty(&x).shape;
    let groups = length(c.int("num_groups", 0))?;
    let &[n, channels, ..] = &shape[..] else {
        return Err(Issue::Invalid(format!("groups of channels of {shape:?}")));
    };
    if groups == 0 || channels % groups != 0 {
        return Err(Issue::Invalid(format!("{groups} groups of {channels} channels")));
    }
    let inside = channels / groups * shape[2..].iter().product::<usize>();
    let grouped = c.build.reshape(&x, vec![n, groups, inside])?;
    let epsilon = c.float("epsilon", 1e-5);
    let [y, ..] = layer_normalized(c.build, &grouped, [None; 2], &[2], epsilon)?;
    if groups != channels && c.ty(&scale).elements() == groups {
        let y = per_channel(c, &y, &scale, &bias)?;
        return c.build.reshape(&y, shape).map(one);
    }
    let y = c.build.reshape(&y, shape)?;
    per_channel(c, &y, &scale, &bias).map(one)
}

/// To length 1 along an axis, where it is not zero.
fn to_length(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
    let axis = c.axis(-1, c.ty(&x).shape.len())?;
    let p = c.int("p", 2);
    let powers = raised(c.build, &x, p)?;
    let sum = c.build.apply(Op::Reduce { op: ReduceOp::Sum, axis }, &[powers])?;
    let norm = root(c.build, &sum, p)?;
    let none = c.build.binary(BinaryOp::Equal, &norm, &Value::real(0.0))?;
    let norm = c.build.apply(Op::Select, &[none, Value::real(1.0), norm])?;
    c.build.binary(BinaryOp::Div, &x, &norm).map(one)
}

/// What keeps a deviation from being zero.
const LEAST_DEVIATION: f32 = 1e-9;

fn mean_variance(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
    let rank = c.ty(&x).shape.len();
    let axes = c.ints("axes").unwrap_or(&[0, 2, 3]);
    let axes = axes.iter().map(|&axis| normalize(axis, rank)).collect::<Outcome<Vec<_>>>()?;
    let center = mean(c.build, &x, &axes)?;
    let apart = c.build.binary(BinaryOp::Sub, &x, &center)?;
    let square = c.build.binary(BinaryOp::Mul, &apart, &apart)?;
    let variance = mean(c.build, &square, &axes)?;
    let deviation = c.build.unary(UnaryOp::Sqrt, &variance)?;
    let deviation = c.build.with_real(BinaryOp::Add, &deviation, LEAST_DEVIATION)?;
    c.build.binary(BinaryOp::Div, &apart, &deviation).map(one)
}

/// Longest row of channels that is added one by one.
const MAX_CHANNELS: usize = 64;

/// x / (bias + alpha / size · Σ x²)^beta over the channels next to each.
fn local_response(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
    let shape = c.ty(&x).shape;
    let size = length(c.int("size", 0))?;
    if shape.len() < 2 || size == 0 {
        return Err(Issue::Invalid(format!("{size} channels of {shape:?}")));
    }
    if size > MAX_CHANNELS {
        return Err(Issue::Unsupported(format!(
            "{size} channels at once; at most {MAX_CHANNELS} are supported"
        )));
    }
    let square = c.build.binary(BinaryOp::Mul, &x, &x)?;
    let (before, after) = ((size - 1) / 2, size / 2);
    let square = c.build.apply(Op::Pad { axis: 1, before, after, value: 0 }, &[square])?;
    let mut sum = Value::real(0.0);
    for start in 0..size {
        let slice = Op::Slice { axis: 1, start, count: shape[1], step: 1 };
        let part = c.build.apply(slice, std::slice::from_ref(&square))?;
        sum = c.build.binary(BinaryOp::Add, &sum, &part)?;
    }
    let sum = c.build.with_real(BinaryOp::Mul, &sum, c.float("alpha", 1e-4) / size as f32)?;
    let base = c.build.with_real(BinaryOp::Add, &sum, c.float("bias", 1.0))?;
    let log = c.build.unary(UnaryOp::Log, &base)?;
    let log = c.build.with_real(BinaryOp::Mul, &log, -c.float("beta", 0.75))?;
    let factor = c.build.unary(UnaryOp::Exp, &log)?;
    c.build.binary(BinaryOp::Mul, &x, &factor).map(one)
}

/// As it learns: with the mean and variance of what it gets, which go into the recorded ones.
fn learning(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, scale, bias) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let rank = c.ty(&x).shape.len();
    let axes: Vec<usize> = (0..rank).filter(|&axis| axis != 1).collect();
    let center = mean(c.build, &x, &axes)?;
    let apart = c.build.binary(BinaryOp::Sub, &x, &center)?;
    let square = c.build.binary(BinaryOp::Mul, &apart, &apart)?;
    let variance = mean(c.build, &square, &axes)?;
    let raised = c.build.with_real(BinaryOp::Add, &variance, c.float("epsilon", 1e-5))?;
    let inverse = c.build.unary(UnaryOp::Rsqrt, &raised)?;
    let y = c.build.binary(BinaryOp::Mul, &apart, &inverse)?;
    let y = per_channel(c, &y, &scale, &bias)?;
    let momentum = c.float("momentum", 0.9);
    let mut recorded = |input: usize, now: &Value| {
        let old = c.input(input)?;
        let now = c.build.reshape(now, c.build.shape(&old))?;
        let old = c.build.with_real(BinaryOp::Mul, &old, momentum)?;
        let now = c.build.with_real(BinaryOp::Mul, &now, 1.0 - momentum)?;
        c.build.binary(BinaryOp::Add, &old, &now)
    };
    Ok(vec![y, recorded(3, &center)?, recorded(4, &variance)?])
}

/// As it runs, with the recorded mean and variance of each channel (axis 1).
fn batch(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
    if c.int("training_mode", 0) != 0 {
        return learning(c);
    }
    let rank = c.ty(&x).shape.len();
    let mut channel = |input: usize| {
        let value = c.input(input)?;
        let mut shape = vec![1; rank.saturating_sub(1)];
        if let Some(first) = shape.first_mut() {
            *first = c.build.shape(&value).iter().product();
        }
        c.build.reshape(&value, shape)
    };
    let (scale, bias, center, variance) = (channel(1)?, channel(2)?, channel(3)?, channel(4)?);
    let variance = c.build.with_real(BinaryOp::Add, &variance, c.float("epsilon", 1e-5))?;
    let inverse = c.build.unary(UnaryOp::Rsqrt, &variance)?;
    let factor = c.build.binary(BinaryOp::Mul, &inverse, &scale)?;
    if let Some(y) = convolution::normalized(c.build, &x, [&center, &factor, &bias])? {
        return Ok(vec![y]);
    }
    let apart = c.build.binary(BinaryOp::Sub, &x, &center)?;
    let y = c.build.binary(BinaryOp::Mul, &apart, &factor)?;
    c.build.binary(BinaryOp::Add, &y, &bias).map(one)
}

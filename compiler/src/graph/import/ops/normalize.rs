//! Normalisations, in terms of reductions and pointwise operators.

use super::reduce::mean;
use super::{Translate, convolution};
use crate::graph::import::build::{Builder, Outcome, Value};
use crate::graph::import::call::Call;
use crate::graph::{BinaryOp, UnaryOp};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "LayerNormalization" => layer,
        "RMSNormalization" => root_mean_square,
        "BatchNormalization" => batch,
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

/// As it runs, with the recorded mean and variance of each channel (axis 1).
fn batch(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
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
    c.build.binary(BinaryOp::Add, &y, &bias).map(|y| vec![y])
}

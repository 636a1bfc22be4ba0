//! Normalisations, in terms of reductions and pointwise operators.

use super::reduce::mean;
use super::{Translate, convolution};
use crate::graph::import::build::{Outcome, Value};
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
fn inverse_deviation(c: &mut Call<'_>, x: &Value, axes: &[usize]) -> Outcome {
    let epsilon = c.float("epsilon", 1e-5);
    let square = c.build.binary(BinaryOp::Mul, x, x)?;
    let variance = mean(c.build, &square, axes)?;
    let variance = c.build.with_real(BinaryOp::Add, &variance, epsilon)?;
    c.build.unary(UnaryOp::Rsqrt, &variance)
}

fn axes(c: &Call<'_>, x: &Value) -> Outcome<Vec<usize>> {
    let rank = c.ty(x).shape.len();
    Ok((c.axis(-1, rank)?..rank).collect())
}

fn layer(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, scale) = (c.input(0)?, c.input(1)?);
    let axes = axes(c, &x)?;
    let center = mean(c.build, &x, &axes)?;
    let apart = c.build.binary(BinaryOp::Sub, &x, &center)?;
    let inverse = inverse_deviation(c, &apart, &axes)?;
    let y = c.build.binary(BinaryOp::Mul, &apart, &inverse)?;
    let mut y = c.build.binary(BinaryOp::Mul, &y, &scale)?;
    if let Some(bias) = c.optional(2) {
        y = c.build.binary(BinaryOp::Add, &y, &bias)?;
    }
    Ok(vec![y, center, inverse])
}

fn root_mean_square(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, scale) = (c.input(0)?, c.input(1)?);
    let axes = axes(c, &x)?;
    let inverse = inverse_deviation(c, &x, &axes)?;
    let y = c.build.binary(BinaryOp::Mul, &x, &inverse)?;
    c.build.binary(BinaryOp::Mul, &y, &scale).map(|y| vec![y])
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

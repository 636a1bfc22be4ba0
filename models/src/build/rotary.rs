//! Rotary angles: frequencies, stretched for long texts where the model says so, and the turning of vectors.

use std::f64::consts::PI;

use compiler::graph::eval::Tensor;
use compiler::graph::{BinaryOp, ElementType, NodeId, Op, UnaryOp};

use super::parts::{Made, Parts};
use crate::config::{Positions, Stretch, Yarn};

/// Frequencies of the angles that half of `dim` elements are turned by, in radians a token, and a factor of their cosines and sines. Of the
/// angles, the first part `turned` is as `theta` says; the rest is zero.
fn frequencies(dim: usize, theta: f64, turned: f64, stretch: Option<Stretch>) -> (Vec<f64>, f64) {
    let half = dim / 2;
    let plain = |i: usize| theta.powf(-((2 * i) as f64) / dim as f64);
    let count = (turned * half as f64) as usize;
    let stretched = |i: usize| match stretch {
        _ if i >= count => 0.0,
        None => plain(i),
        Some(Stretch::Linear { factor }) => plain(i) / factor,
        Some(Stretch::Yarn(yarn)) => blend(plain(i), yarn.factor, 1.0 - slowness(yarn, i, dim, theta)),
        Some(Stretch::Llama3 { factor, low, high, trained }) => {
            let turns = trained * plain(i) / (2.0 * PI);
            blend(plain(i), factor, ((turns - low) / (high - low)).clamp(0.0, 1.0))
        }
    };
    let sharpened = match stretch {
        Some(Stretch::Yarn(yarn)) => match yarn.mscale {
            Some((mscale, all)) => sharpening(yarn.factor, mscale) / sharpening(yarn.factor, all),
            None => sharpening(yarn.factor, 1.0),
        },
        Some(Stretch::Linear { .. } | Stretch::Llama3 { .. }) | None => 1.0,
    };
    ((0..half).map(stretched).collect(), sharpened)
}

/// A frequency of which the part `kept` stays and the rest is slowed.
fn blend(frequency: f64, factor: f64, kept: f64) -> f64 {
    frequency * kept + frequency / factor * (1.0 - kept)
}

/// How far the angle of number i lies between the fast ones (0) and the slow ones (1).
fn slowness(yarn: Yarn, i: usize, dim: usize, theta: f64) -> f64 {
    // The number, which need not be whole, of the angle that turns so often in the longest text trained on.
    let number = |turns: f64| dim as f64 * (yarn.trained / (turns * 2.0 * PI)).ln() / (2.0 * theta.ln());
    let (mut first, mut last) = (number(yarn.fast), number(yarn.slow));
    if yarn.truncate {
        (first, last) = (first.floor(), last.ceil());
    }
    let (first, last) = (first.max(0.0), last.min(dim as f64 - 1.0));
    // A blend of no length is a step.
    let length = if first == last { 0.001 } else { last - first };
    ((i as f64 - first) / length).clamp(0.0, 1.0)
}

/// What YaRN multiplies by so that scores of long texts stay sharp.
fn sharpening(factor: f64, weight: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 }
}

/// What scores of latent attention are multiplied by, beside one over the root of the length.
pub(super) fn score_factor(positions: Positions) -> f64 {
    match positions {
        Positions::Rotary {
            stretch: Some(Stretch::Yarn(Yarn { factor, mscale: Some((_, all)), .. })),
            ..
        } => sharpening(factor, all).powi(2),
        Positions::Rotary { .. } | Positions::Learned { .. } => 1.0,
    }
}

impl Parts<'_> {
    /// Cosines and sines of the angles at a position, each [dim]: those of the first half of the elements twice.
    pub(super) fn rotary(
        &mut self,
        position: NodeId,
        dim: usize,
        (theta, turned): (f64, f64),
    ) -> Result<(NodeId, NodeId), String> {
        let stretch = match self.config.positions {
            Positions::Rotary { stretch, .. } => stretch,
            Positions::Learned { .. } => None,
        };
        let (frequencies, factor) = frequencies(dim, theta, turned, stretch);
        let both: Vec<f32> = (0..dim).map(|i| frequencies[i % (dim / 2)] as f32).collect();
        let inverse = self.constant(Tensor::f32([dim], both), "rotary.inverse_frequency");
        let position = self.push(Op::Cast(ElementType::F32), &[position], "rotary")?;
        let angle = self.binary(BinaryOp::Mul, inverse, position, "rotary")?;
        let cos = self.unary(UnaryOp::Cos, angle, "rotary.cos")?;
        let sin = self.unary(UnaryOp::Sin, angle, "rotary.sin")?;
        if factor == 1.0 {
            return Ok((cos, sin));
        }
        let factor = factor as f32;
        Ok((self.scaled(cos, factor, "rotary.cos")?, self.scaled(sin, factor, "rotary.sin")?))
    }

    /// x cos + [−x₂, x₁] sin, over the last axis.
    pub(super) fn rotate(&mut self, x: NodeId, (cos, sin): (NodeId, NodeId), name: &str) -> Made {
        let shape = self.graph.shape(x);
        let (axis, half) = (shape.len().saturating_sub(1), shape.last().map_or(0, |dim| dim / 2));
        let (first, second) = (self.slice(x, 0, half, name)?, self.slice(x, half, half, name)?);
        let second = self.unary(UnaryOp::Neg, second, name)?;
        let turned = self.push(Op::Concat { axis }, &[second, first], name)?;
        let x = self.binary(BinaryOp::Mul, x, cos, name)?;
        let turned = self.binary(BinaryOp::Mul, turned, sin, name)?;
        self.binary(BinaryOp::Add, x, turned, name)
    }
}

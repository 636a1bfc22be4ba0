//! What ONNX Runtime fuses into one: normalisations with what is added before them, activations with their bias, products with a
//! transpose.

use super::activation::{gelu_by_erf, gelu_by_tanh};
use super::matrix::{product, transposed};
use super::normalize::{layer_normalized, root_mean_square_normalized};
use super::{Translate, one};
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Issue, Outcome, Value};
use crate::graph::import::call::Call;
use crate::graph::{BinaryOp, Op, ReduceOp, UnaryOp};

/// Its optimiser writes this one into ONNX's own domain.
pub(super) fn translator(operator: &str) -> Option<Translate> {
    (operator == "SimplifiedLayerNormalization").then_some(super::normalize::root_mean_square)
}

/// Operators of ONNX Runtime's own domain.
pub(super) fn contributed(operator: &str) -> Option<Translate> {
    Some(match operator {
        "SimplifiedLayerNormalization" => super::normalize::root_mean_square,
        "SkipSimplifiedLayerNormalization" => |c| skip(c, true),
        "SkipLayerNormalization" => |c| skip(c, false),
        "EmbedLayerNormalization" => embedded,
        "Gelu" | "BiasGelu" => |c| {
            let x = with_bias(c)?;
            gelu_by_erf(c.build, &x).map(one)
        },
        "FastGelu" => |c| {
            let x = with_bias(c)?;
            gelu_by_tanh(c.build, &x).map(one)
        },
        "QuickGelu" => quick_gelu,
        "FusedMatMul" => fused_product,
        _ => return None,
    })
}

fn with_bias(c: &mut Call<'_>) -> Outcome {
    let x = c.input(0)?;
    match c.optional(1) {
        Some(bias) => c.build.binary(BinaryOp::Add, &x, &bias),
        None => Ok(x),
    }
}

/// x · sigmoid(alpha x).
fn quick_gelu(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
    let steep = c.build.with_real(BinaryOp::Mul, &x, c.float("alpha", 1.702))?;
    let gate = c.build.unary(UnaryOp::Sigmoid, &steep)?;
    c.build.binary(BinaryOp::Mul, &x, &gate).map(one)
}

/// The sum of x, skip and bias, normalised: the result, two that are for training, and the sum.
fn skip(c: &mut Call<'_>, simplified: bool) -> Outcome<Vec<Value>> {
    let (x, beside, scale) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let mut sum = c.build.binary(BinaryOp::Add, &x, &beside)?;
    if let Some(bias) = c.optional(if simplified { 3 } else { 4 }) {
        sum = c.build.binary(BinaryOp::Add, &sum, &bias)?;
    }
    let axis = c.ty(&sum).shape.len().saturating_sub(1);
    // Unlike ONNX's own, these have a smaller epsilon where none is given.
    let epsilon = c.float("epsilon", 1e-12);
    let [y, center, inverse] = if simplified {
        let [y, inverse] = root_mean_square_normalized(c.build, &sum, &scale, &[axis], epsilon)?;
        [y, inverse.clone(), inverse]
    } else {
        layer_normalized(c.build, &sum, [Some(&scale), c.optional(3).as_ref()], &[axis], epsilon)?
    };
    Ok(vec![y, center, inverse, sum])
}

/// Words, kinds of words, and their three tables; scale, offset, mask, positions. The sum of rows, normalised.
fn embedded(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let ids = c.input(0)?;
    let [batch, words] = c.ty(&ids).shape[..] else {
        return Err(Issue::Invalid("token ids that are not [batch, sequence]".to_owned()));
    };
    let row = |c: &mut Call<'_>, table: Value, at: Value| c.build.apply(Op::Gather { axis: 0 }, &[table, at]);
    let mut sum = row(c, c.input(2)?, ids)?;
    let place = match c.optional(8) {
        Some(positions) => row(c, c.input(3)?, positions)?,
        None => {
            let table = c.input(3)?;
            c.build.apply(Op::Slice { axis: 0, start: 0, count: words, step: 1 }, &[table])?
        }
    };
    sum = c.build.binary(BinaryOp::Add, &sum, &place)?;
    if let Some(kinds) = c.optional(1) {
        let kind = row(c, c.input(4)?, kinds)?;
        sum = c.build.binary(BinaryOp::Add, &sum, &kind)?;
    }
    let (scale, offset) = (c.input(5)?, c.input(6)?);
    let epsilon = c.float("epsilon", 1e-12);
    let [y, ..] = layer_normalized(c.build, &sum, [Some(&scale), Some(&offset)], &[2], epsilon)?;
    let mut outputs = vec![y];
    if c.wants(1) {
        let counts = match c.optional(7) {
            Some(mask) => c.build.apply(Op::Reduce { op: ReduceOp::Sum, axis: 1 }, &[mask])?,
            None => Value::known(Tensor::i32([batch], vec![0; batch])),
        };
        outputs.push(c.build.reshape(&counts, vec![batch])?);
        outputs.push(sum);
    }
    Ok(outputs)
}

/// alpha · op(A) · op(B) of the last two axes.
fn fused_product(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    if c.int("transBatchA", 0) != 0 || c.int("transBatchB", 0) != 0 {
        return Err(Issue::Unsupported("transposed batches (transBatchA, transBatchB)".to_owned()));
    }
    let (mut a, mut b) = (c.input(0)?, c.input(1)?);
    for (x, name) in [(&mut a, "transA"), (&mut b, "transB")] {
        if c.int(name, 0) != 0 {
            *x = transposed(c.build, x)?;
        }
    }
    let y = super::matrix::with_vectors(c.build, &a, &b, product)?;
    c.build.with_real(BinaryOp::Mul, &y, c.float("alpha", 1.0)).map(one)
}

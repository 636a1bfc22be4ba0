//! Mixtures of experts, as ONNX Runtime fuses them: MoE, and QMoE with weights of few bits.
//!
//! Every expert runs, and the shares of those that are not chosen are zero: the schedule does not depend on the choice.

use super::Translate;
use super::activation::gelu_by_tanh;
use super::blocks::of_rows;
use super::reduce::first_of_greatest;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, Op, ReduceOp, UnaryOp};

/// Operators of ONNX Runtime's own domain.
pub(super) fn contributed(operator: &str) -> Option<Translate> {
    Some(match operator {
        "MoE" => |c| {
            let layer = |c: &Call<'_>, at: usize| Layer { weights: c.optional(at), bias: c.optional(at + 1) };
            let layers = [layer(c, 2), layer(c, 4), layer(c, 6)];
            mixture(c, layers)
        },
        "QMoE" => |c| {
            let layers = [quantized(c, 2, 11)?, quantized(c, 5, 12)?, quantized(c, 8, 13)?];
            if c.optional(14).is_some() {
                return Err(Issue::Unsupported("weights of the choice apart from its scores".to_owned()));
            }
            mixture(c, layers)
        },
        _ => return None,
    })
}

/// Weights of all experts [experts, out, in], and their bias [experts, out].
struct Layer {
    weights: Option<Value>,
    bias: Option<Value>,
}

/// A layer of few bits: weights, scales and bias from `at` on, zero points at `zeros`.
fn quantized(c: &mut Call<'_>, at: usize, zeros: usize) -> Outcome<Layer> {
    let bias = c.optional(at + 2);
    let (Some(packed), Some(scales)) = (c.optional(at), c.optional(at + 1)) else {
        return Ok(Layer { weights: None, bias });
    };
    let (bits, block) = (c.int("expert_weight_bits", 4), length(c.int("block_size", 0))?);
    let zero = c.optional(zeros);
    Ok(Layer { weights: Some(of_rows(c.build, [&packed, &scales], zero, bits, block)?), bias })
}

/// Of gate, down and up, in the order in which they stand.
fn mixture(c: &mut Call<'_>, [first, down, third]: [Layer; 3]) -> Outcome<Vec<Value>> {
    let (x, scores) = (c.input(0)?, c.input(1)?);
    let shape = c.ty(&x).shape;
    let hidden = shape.last().copied().unwrap_or(1);
    let rows = c.ty(&x).elements() / hidden.max(1);
    let flat = c.build.reshape(&x, vec![1, rows, hidden])?;
    let inner = match c.text("activation_type", "relu").as_str() {
        "swiglu" => gated(c, &flat, first, third)?,
        kind => {
            let inner = applied(c.build, &flat, &first)?;
            let inner = activated(c.build, kind, &inner)?;
            match third.weights {
                Some(_) => {
                    let other = applied(c.build, &flat, &third)?;
                    c.build.binary(BinaryOp::Mul, &inner, &other)?
                }
                None => inner,
            }
        }
    };
    let each = applied(c.build, &inner, &down)?;
    let experts = c.ty(&each).shape[0];
    let scores = c.build.reshape(&scores, vec![rows, experts])?;
    let shares = shares(c, &scores)?;
    let shares = c.build.apply(Op::Transpose { permutation: vec![1, 0] }, &[shares])?;
    let shares = c.build.reshape(&shares, vec![experts, rows, 1])?;
    let each = c.build.binary(BinaryOp::Mul, &each, &shares)?;
    let sum = c.build.apply(Op::Reduce { op: ReduceOp::Sum, axis: 0 }, &[each])?;
    Ok(vec![c.build.reshape(&sum, shape)?])
}

/// A layer of all experts: [experts or 1, rows, in] to [experts, rows, out].
fn applied(build: &mut Builder, x: &Value, layer: &Layer) -> Outcome {
    let weights = layer.weights.clone().ok_or_else(|| Issue::Invalid("weights are missing".to_owned()))?;
    let y = build.apply(Op::MatMul { transpose_b: true }, &[x.clone(), weights])?;
    match &layer.bias {
        Some(bias) => {
            let shape = build.shape(bias);
            let [experts, out] = shape[..] else {
                return Err(Issue::Invalid(format!("a bias of shape {shape:?}")));
            };
            let bias = build.reshape(bias, vec![experts, 1, out])?;
            build.binary(BinaryOp::Add, &y, &bias)
        }
        None => Ok(y),
    }
}

fn activated(build: &mut Builder, kind: &str, x: &Value) -> Outcome {
    match kind {
        "relu" => build.unary(UnaryOp::Relu, x),
        "gelu" => gelu_by_tanh(build, x),
        "silu" => {
            let gate = build.unary(UnaryOp::Sigmoid, x)?;
            build.binary(BinaryOp::Mul, x, &gate)
        }
        "identity" => Ok(x.clone()),
        other => Err(Issue::Unsupported(format!("activation_type `{other}`"))),
    }
}

/// gate · sigmoid(alpha · gate) · (up + beta), both limited. Gate and up are columns of one matrix by turns, its halves, or two matrices.
fn gated(c: &mut Call<'_>, x: &Value, first: Layer, third: Layer) -> Outcome {
    let (alpha, beta) = (c.float("activation_alpha", 1.0), c.float("activation_beta", 0.0));
    let limit = c.float("swiglu_limit", f32::INFINITY);
    let fusion = c.int("swiglu_fusion", 0);
    let mut part = |value: &Option<Value>, which: usize| -> Outcome<Option<Value>> {
        let Some(value) = value else { return Ok(None) };
        let all = c.build.shape(value).get(1).copied().unwrap_or(0);
        let (start, step) = if fusion == 1 { (which, 2) } else { (which * all / 2, 1) };
        let op = Op::Slice { axis: 1, start, count: all / 2, step };
        c.build.apply(op, std::slice::from_ref(value)).map(Some)
    };
    let [gate, up] = match fusion {
        0 => [first, third],
        1 | 2 => {
            let mut half = |which| -> Outcome<Layer> {
                Ok(Layer { weights: part(&first.weights, which)?, bias: part(&first.bias, which)? })
            };
            [half(0)?, half(1)?]
        }
        other => return Err(Issue::Invalid(format!("swiglu_fusion is {other}"))),
    };
    let build = &mut *c.build;
    let (mut gate, mut up) = (applied(build, x, &gate)?, applied(build, x, &up)?);
    if limit.is_finite() {
        gate = build.with_real(BinaryOp::Min, &gate, limit)?;
        up = build.with_real(BinaryOp::Min, &up, limit)?;
        up = build.with_real(BinaryOp::Max, &up, -limit)?;
    }
    let steep = build.with_real(BinaryOp::Mul, &gate, alpha)?;
    let open = build.unary(UnaryOp::Sigmoid, &steep)?;
    let gate = build.binary(BinaryOp::Mul, &gate, &open)?;
    let up = build.with_real(BinaryOp::Add, &up, beta)?;
    build.binary(BinaryOp::Mul, &gate, &up)
}

/// The share of each expert, [rows, experts]: those of the k greatest scores have one.
fn shares(c: &mut Call<'_>, scores: &Value) -> Outcome {
    let k = length(c.int("k", 1))?;
    let normalized = c.int("normalize_routing_weights", 0) != 0;
    if c.int("use_sparse_mixer", 0) != 0 {
        return Err(Issue::Unsupported("the sparse mixer".to_owned()));
    }
    let build = &mut *c.build;
    let (mut rest, mut chosen): (Value, Option<Value>) = (scores.clone(), None);
    for _ in 0..k {
        let here = first_of_greatest(build, &rest, 1)?;
        rest = build.apply(Op::Select, &[here.clone(), Value::real(f32::NEG_INFINITY), rest])?;
        chosen = Some(match chosen {
            Some(before) => build.binary(BinaryOp::Or, &before, &here)?,
            None => here,
        });
    }
    let chosen = chosen.ok_or_else(|| Issue::Invalid("no expert is chosen (k = 0)".to_owned()))?;
    let all = build.apply(Op::Softmax { axis: 1 }, std::slice::from_ref(scores))?;
    let shares = build.apply(Op::Select, &[chosen, all, Value::real(0.0)])?;
    if !normalized {
        return Ok(shares);
    }
    // The greatest have at least their part of one: the sum is never small.
    let sum = build.apply(Op::Reduce { op: ReduceOp::Sum, axis: 1 }, std::slice::from_ref(&shares))?;
    build.binary(BinaryOp::Div, &shares, &sum)
}

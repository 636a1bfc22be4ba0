//! Activations, hyperbolic and inverse functions, in terms of the graph's functions.

use super::{Translate, one};
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::Call;
use crate::graph::{BinaryOp, Op, UnaryOp};

/// From here on e^x is so large that Mish is x.
const MISH_LIMIT: f32 = 20.0;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "Softplus" => |c| of(c, softplus),
        "LeakyRelu" => |c| named(c, "leakyrelu", 0.01, 0.0),
        "PRelu" => |c| {
            let (a, slope) = (c.input(0)?, c.input(1)?);
            leaky(c.build, &a, &slope).map(one)
        },
        "HardSigmoid" => |c| named(c, "hardsigmoid", 0.2, 0.5),
        "HardSwish" => |c| {
            let a = c.input(0)?;
            let gate = hard_sigmoid(c.build, &a, 1.0 / 6.0, 0.5)?;
            c.build.binary(BinaryOp::Mul, &a, &gate).map(one)
        },
        "Elu" => |c| named(c, "elu", 1.0, 0.0),
        "Selu" => |c| {
            let (a, gamma, alpha) = (c.input(0)?, c.float("gamma", 1.050_701), c.float("alpha", 1.673_263_2));
            elu(c.build, &a, gamma, alpha, 1.0).map(one)
        },
        "Celu" => |c| {
            let (a, alpha) = (c.input(0)?, c.float("alpha", 1.0));
            elu(c.build, &a, 1.0, alpha, 1.0 / alpha).map(one)
        },
        "Swish" => |c| {
            let (a, alpha) = (c.input(0)?, c.float("alpha", 1.0));
            swish(c.build, &a, alpha).map(one)
        },
        "SwiGLU" => |c| {
            let (a, factor, alpha) = (c.input(0)?, c.input(1)?, c.float("alpha", 1.0));
            let gate = swish(c.build, &a, alpha)?;
            c.build.binary(BinaryOp::Mul, &gate, &factor).map(one)
        },
        "Mish" => |c| of(c, mish),
        "ThresholdedRelu" => |c| named(c, "thresholdedrelu", 1.0, 0.0),
        "Shrink" => shrink,
        "Softsign" => |c| of(c, softsign),
        "Sinh" => |c| of(c, |b, a| hyperbolic(b, a, BinaryOp::Sub)),
        "Cosh" => |c| of(c, |b, a| hyperbolic(b, a, BinaryOp::Add)),
        "Tan" => |c| of(c, tan),
        "Atan" => |c| of(c, |b, a| b.unary(UnaryOp::Atan, a)),
        "Asin" => |c| of(c, arc_sine),
        "Acos" => |c| of(c, arc_cosine),
        "Asinh" => |c| of(c, area_sine),
        "Acosh" => |c| of(c, area_cosine),
        "Atanh" => |c| of(c, area_tangent),
        "Gelu" => gelu,
        _ => return None,
    })
}

/// A function of the node's one input.
fn of(c: &mut Call<'_>, function: fn(&mut Builder, &Value) -> Outcome) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    function(c.build, &a).map(one)
}

/// An activation whose parameters are the node's attributes.
fn named(c: &mut Call<'_>, name: &str, alpha: f32, beta: f32) -> Outcome<Vec<Value>> {
    let (a, alpha, beta) = (c.input(0)?, c.float("alpha", alpha), c.float("beta", beta));
    Activation { name: name.to_owned(), alpha, beta }.apply(c.build, &a).map(one)
}

/// An activation of a recurrent operator.
#[derive(Clone, Debug)]
pub(super) struct Activation {
    name: String,
    alpha: f32,
    beta: f32,
}

impl Activation {
    /// The activation of a name in any case, and whether it takes the parameters alpha and beta, with what they are if they are not given.
    pub(super) fn parameters(name: &str) -> Outcome<[Option<f32>; 2]> {
        Ok(match name.to_lowercase().as_str() {
            "relu" | "tanh" | "sigmoid" | "softsign" | "softplus" => [None, None],
            "leakyrelu" => [Some(0.01), None],
            "thresholdedrelu" | "elu" => [Some(1.0), None],
            "affine" => [Some(1.0), Some(0.0)],
            "scaledtanh" => [Some(1.0), Some(1.0)],
            "hardsigmoid" => [Some(0.2), Some(0.5)],
            _ => return Err(Issue::Invalid(format!("there is no activation `{name}`"))),
        })
    }

    /// An activation with its parameters.
    pub(super) fn new(name: &str, alpha: f32, beta: f32) -> Activation {
        Activation { name: name.to_lowercase(), alpha, beta }
    }

    /// Its value.
    pub(super) fn apply(&self, build: &mut Builder, a: &Value) -> Outcome {
        let Activation { name, alpha, beta } = self;
        match name.as_str() {
            "relu" => build.unary(UnaryOp::Relu, a),
            "tanh" => build.unary(UnaryOp::Tanh, a),
            "sigmoid" => build.unary(UnaryOp::Sigmoid, a),
            "softsign" => softsign(build, a),
            "softplus" => softplus(build, a),
            "leakyrelu" => leaky(build, a, &Value::real(*alpha)),
            "thresholdedrelu" => {
                let above = build.binary(BinaryOp::Less, &Value::real(*alpha), a)?;
                build.apply(Op::Select, &[above, a.clone(), Value::real(0.0)])
            }
            "elu" => elu(build, a, 1.0, *alpha, 1.0),
            "affine" => {
                let scaled = times(build, a.clone(), *alpha)?;
                build.with_real(BinaryOp::Add, &scaled, *beta)
            }
            "scaledtanh" => {
                let scaled = times(build, a.clone(), *beta)?;
                let tanh = build.unary(UnaryOp::Tanh, &scaled)?;
                times(build, tanh, *alpha)
            }
            "hardsigmoid" => hard_sigmoid(build, a, *alpha, *beta),
            other => Err(Issue::Invalid(format!("there is no activation `{other}`"))),
        }
    }
}

/// max(x, 0) + log(1 + e^−|x|), which does not overflow.
fn softplus(build: &mut Builder, a: &Value) -> Outcome {
    let size = build.unary(UnaryOp::Abs, a)?;
    let size = build.unary(UnaryOp::Neg, &size)?;
    let tail = build.unary(UnaryOp::Exp, &size)?;
    let tail = log_of_one_more(build, &tail)?;
    let head = build.unary(UnaryOp::Relu, a)?;
    build.binary(BinaryOp::Add, &head, &tail)
}

/// log(1 + x), as exact for small x as for others: what rounding did to the sum, it did to the logarithm (Kahan).
fn log_of_one_more(build: &mut Builder, x: &Value) -> Outcome {
    let sum = build.with_real(BinaryOp::Add, x, 1.0)?;
    let added = build.with_real(BinaryOp::Sub, &sum, 1.0)?;
    let log = build.unary(UnaryOp::Log, &sum)?;
    let ratio = build.binary(BinaryOp::Div, x, &added)?;
    let scaled = build.binary(BinaryOp::Mul, &log, &ratio)?;
    let none = build.with_real(BinaryOp::Equal, &added, 0.0)?;
    let endless = build.with_real(BinaryOp::Equal, x, f32::INFINITY)?;
    let same = build.binary(BinaryOp::Or, &none, &endless)?;
    build.apply(Op::Select, &[same, x.clone(), scaled])
}

/// max(x, 0) + slope · min(x, 0).
fn leaky(build: &mut Builder, a: &Value, slope: &Value) -> Outcome {
    let above = build.unary(UnaryOp::Relu, a)?;
    let below = build.with_real(BinaryOp::Min, a, 0.0)?;
    let below = build.binary(BinaryOp::Mul, &below, slope)?;
    build.binary(BinaryOp::Add, &above, &below)
}

/// min(max(alpha x + beta, 0), 1)
fn hard_sigmoid(build: &mut Builder, a: &Value, alpha: f32, beta: f32) -> Outcome {
    let a = build.with_real(BinaryOp::Mul, a, alpha)?;
    let a = build.with_real(BinaryOp::Add, &a, beta)?;
    let a = build.unary(UnaryOp::Relu, &a)?;
    build.with_real(BinaryOp::Min, &a, 1.0)
}

/// a · factor, with nothing to do for a factor of one.
fn times(build: &mut Builder, a: Value, factor: f32) -> Outcome {
    if factor == 1.0 { Ok(a) } else { build.with_real(BinaryOp::Mul, &a, factor) }
}

/// gamma (max(x, 0) + alpha (e^(steepness min(x, 0)) − 1)).
fn elu(build: &mut Builder, a: &Value, gamma: f32, alpha: f32, steepness: f32) -> Outcome {
    let below = build.with_real(BinaryOp::Min, a, 0.0)?;
    let below = times(build, below, steepness)?;
    let power = build.unary(UnaryOp::Exp, &below)?;
    let less = build.with_real(BinaryOp::Sub, &power, 1.0)?;
    let below = times(build, less, alpha)?;
    let above = build.unary(UnaryOp::Relu, a)?;
    let sum = build.binary(BinaryOp::Add, &above, &below)?;
    times(build, sum, gamma)
}

/// x · sigmoid(alpha x).
pub(super) fn swish(build: &mut Builder, a: &Value, alpha: f32) -> Outcome {
    let steep = times(build, a.clone(), alpha)?;
    let gate = build.unary(UnaryOp::Sigmoid, &steep)?;
    build.binary(BinaryOp::Mul, a, &gate)
}

/// x tanh(log(1 + e^x)), which is x n / (n + 2) with n = e^x (e^x + 2).
fn mish(build: &mut Builder, a: &Value) -> Outcome {
    let limited = build.with_real(BinaryOp::Min, a, MISH_LIMIT)?;
    let power = build.unary(UnaryOp::Exp, &limited)?;
    let more = build.with_real(BinaryOp::Add, &power, 2.0)?;
    let n = build.binary(BinaryOp::Mul, &power, &more)?;
    let more = build.with_real(BinaryOp::Add, &n, 2.0)?;
    let gate = build.binary(BinaryOp::Div, &n, &more)?;
    build.binary(BinaryOp::Mul, a, &gate)
}

/// x + bias below −lambd, x − bias above lambd, and zero between.
fn shrink(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (a, bias, limit) = (c.input(0)?, c.float("bias", 0.0), c.float("lambd", 0.5));
    let below = c.build.binary(BinaryOp::Less, &a, &Value::real(-limit))?;
    let above = c.build.binary(BinaryOp::Less, &Value::real(limit), &a)?;
    let (more, less) =
        (c.build.with_real(BinaryOp::Add, &a, bias)?, c.build.with_real(BinaryOp::Sub, &a, bias)?);
    let outside = c.build.apply(Op::Select, &[above, less, Value::real(0.0)])?;
    c.build.apply(Op::Select, &[below, more, outside]).map(one)
}

/// x / (1 + |x|).
fn softsign(build: &mut Builder, a: &Value) -> Outcome {
    let size = build.unary(UnaryOp::Abs, a)?;
    let size = build.with_real(BinaryOp::Add, &size, 1.0)?;
    build.binary(BinaryOp::Div, a, &size)
}

/// (e^x ± e^−x) / 2.
fn hyperbolic(build: &mut Builder, a: &Value, op: BinaryOp) -> Outcome {
    let minus = build.unary(UnaryOp::Neg, a)?;
    let (grows, falls) = (build.unary(UnaryOp::Exp, a)?, build.unary(UnaryOp::Exp, &minus)?);
    let both = build.binary(op, &grows, &falls)?;
    build.with_real(BinaryOp::Mul, &both, 0.5)
}

fn tan(build: &mut Builder, a: &Value) -> Outcome {
    let (sine, cosine) = (build.unary(UnaryOp::Sin, a)?, build.unary(UnaryOp::Cos, a)?);
    build.binary(BinaryOp::Div, &sine, &cosine)
}

/// 1 − x and 1 + x.
fn around_one(build: &mut Builder, a: &Value) -> Outcome<[Value; 2]> {
    let one = Value::real(1.0);
    Ok([build.binary(BinaryOp::Sub, &one, a)?, build.binary(BinaryOp::Add, &one, a)?])
}

/// atan(x / √((1 − x) (1 + x))).
fn arc_sine(build: &mut Builder, a: &Value) -> Outcome {
    let [less, more] = around_one(build, a)?;
    let square = build.binary(BinaryOp::Mul, &less, &more)?;
    let root = build.unary(UnaryOp::Rsqrt, &square)?;
    let tangent = build.binary(BinaryOp::Mul, a, &root)?;
    build.unary(UnaryOp::Atan, &tangent)
}

/// 2 atan(√((1 − x) / (1 + x))).
fn arc_cosine(build: &mut Builder, a: &Value) -> Outcome {
    let [less, more] = around_one(build, a)?;
    // A root of the quotient would make a number of the infinite one.
    let above = build.unary(UnaryOp::Sqrt, &less)?;
    let below = build.unary(UnaryOp::Rsqrt, &more)?;
    let tangent = build.binary(BinaryOp::Mul, &above, &below)?;
    let half = build.unary(UnaryOp::Atan, &tangent)?;
    build.with_real(BinaryOp::Mul, &half, 2.0)
}

/// log(1 + t) with t = |x| + x² / (1 + √(1 + x²)), and the sign of x.
fn area_sine(build: &mut Builder, a: &Value) -> Outcome {
    let size = build.unary(UnaryOp::Abs, a)?;
    let square = build.binary(BinaryOp::Mul, a, a)?;
    let more = build.with_real(BinaryOp::Add, &square, 1.0)?;
    let root = build.unary(UnaryOp::Sqrt, &more)?;
    let below = build.with_real(BinaryOp::Add, &root, 1.0)?;
    let part = build.binary(BinaryOp::Div, &square, &below)?;
    let sum = build.binary(BinaryOp::Add, &size, &part)?;
    let area = log_of_one_more(build, &sum)?;
    let minus = build.unary(UnaryOp::Neg, &area)?;
    let negative = build.with_real(BinaryOp::Less, a, 0.0)?;
    build.apply(Op::Select, &[negative, minus, area])
}

/// log(1 + t + √(t (t + 2))) with t = x − 1.
fn area_cosine(build: &mut Builder, a: &Value) -> Outcome {
    let t = build.with_real(BinaryOp::Sub, a, 1.0)?;
    let more = build.with_real(BinaryOp::Add, a, 1.0)?;
    let square = build.binary(BinaryOp::Mul, &t, &more)?;
    let root = build.unary(UnaryOp::Sqrt, &square)?;
    let sum = build.binary(BinaryOp::Add, &t, &root)?;
    log_of_one_more(build, &sum)
}

/// ½ log(1 + 2 x / (1 − x)), of |x| and with its sign.
fn area_tangent(build: &mut Builder, a: &Value) -> Outcome {
    let size = build.unary(UnaryOp::Abs, a)?;
    let [less, _] = around_one(build, &size)?;
    let double = build.with_real(BinaryOp::Mul, &size, 2.0)?;
    let ratio = build.binary(BinaryOp::Div, &double, &less)?;
    let area = log_of_one_more(build, &ratio)?;
    let area = build.with_real(BinaryOp::Mul, &area, 0.5)?;
    let minus = build.unary(UnaryOp::Neg, &area)?;
    let negative = build.with_real(BinaryOp::Less, a, 0.0)?;
    build.apply(Op::Select, &[negative, minus, area])
}

fn gelu(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    match c.text("approximate", "none").as_str() {
        "none" => gelu_by_erf(c.build, &a).map(one),
        "tanh" => gelu_by_tanh(c.build, &a).map(one),
        other => Err(Issue::Invalid(format!("approximate is `{other}`, not none or tanh"))),
    }
}

/// x/2 · (1 + erf(x / √2)).
pub(super) fn gelu_by_erf(build: &mut Builder, a: &Value) -> Outcome {
    let scaled = build.with_real(BinaryOp::Mul, a, std::f32::consts::FRAC_1_SQRT_2)?;
    let gate = build.unary(UnaryOp::Erf, &scaled)?;
    half_gated(build, a, &gate)
}

/// x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))).
pub(super) fn gelu_by_tanh(build: &mut Builder, a: &Value) -> Outcome {
    let square = build.binary(BinaryOp::Mul, a, a)?;
    let factor = build.with_real(BinaryOp::Mul, &square, 0.044715)?;
    let factor = build.with_real(BinaryOp::Add, &factor, 1.0)?;
    let inner = build.binary(BinaryOp::Mul, a, &factor)?;
    let inner = build.with_real(BinaryOp::Mul, &inner, (2.0 / std::f64::consts::PI).sqrt() as f32)?;
    let gate = build.unary(UnaryOp::Tanh, &inner)?;
    half_gated(build, a, &gate)
}

fn half_gated(build: &mut Builder, a: &Value, gate: &Value) -> Outcome {
    let gate = build.with_real(BinaryOp::Add, gate, 1.0)?;
    let half = build.with_real(BinaryOp::Mul, a, 0.5)?;
    build.binary(BinaryOp::Mul, &half, &gate)
}

//! Pointwise operators, casts, and activations in terms of them.

use super::{Translate, one};
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::Call;
use crate::graph::{BinaryOp, ElementType, Op, UnaryOp};
use crate::onnx::proto::tensor_proto::DataType;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "Neg" => |c| unary(c, UnaryOp::Neg),
        "Abs" => |c| unary(c, UnaryOp::Abs),
        "Exp" => |c| unary(c, UnaryOp::Exp),
        "Log" => |c| unary(c, UnaryOp::Log),
        "Sqrt" => |c| unary(c, UnaryOp::Sqrt),
        "Reciprocal" => |c| unary(c, UnaryOp::Recip),
        "Tanh" => |c| unary(c, UnaryOp::Tanh),
        "Sigmoid" => |c| unary(c, UnaryOp::Sigmoid),
        "Erf" => |c| unary(c, UnaryOp::Erf),
        "Sin" => |c| unary(c, UnaryOp::Sin),
        "Cos" => |c| unary(c, UnaryOp::Cos),
        "Floor" => |c| unary(c, UnaryOp::Floor),
        "Round" => |c| unary(c, UnaryOp::Round),
        "Not" => |c| unary(c, UnaryOp::Not),
        "Relu" => relu,
        "Ceil" => ceil,
        "Sign" => sign,
        "Softplus" => softplus,
        "LeakyRelu" => leaky_relu,
        "PRelu" => prelu,
        "HardSigmoid" => |c| hard_sigmoid(c, c.float("alpha", 0.2), c.float("beta", 0.5)).map(one),
        "HardSwish" => hard_swish,
        "Elu" => |c| elu(c, 1.0, c.float("alpha", 1.0), 1.0),
        "Selu" => |c| elu(c, c.float("gamma", 1.050_701), c.float("alpha", 1.673_263_2), 1.0),
        "Celu" => |c| elu(c, 1.0, c.float("alpha", 1.0), 1.0 / c.float("alpha", 1.0)),
        "Swish" => swish,
        "ThresholdedRelu" => thresholded_relu,
        "Shrink" => shrink,
        "Softsign" => softsign,
        "Sinh" => |c| hyperbolic(c, BinaryOp::Sub),
        "Cosh" => |c| hyperbolic(c, BinaryOp::Add),
        "Tan" => tan,
        "Gelu" => gelu,
        "Add" => |c| binary(c, BinaryOp::Add),
        "Sub" => |c| binary(c, BinaryOp::Sub),
        "Mul" => |c| binary(c, BinaryOp::Mul),
        "Div" => |c| binary(c, BinaryOp::Div),
        "Mod" => modulo,
        "And" => |c| binary(c, BinaryOp::And),
        "Or" => |c| binary(c, BinaryOp::Or),
        "Xor" => |c| binary(c, BinaryOp::Xor),
        "Equal" => |c| binary(c, BinaryOp::Equal),
        "Less" => |c| binary(c, BinaryOp::Less),
        "LessOrEqual" => |c| binary(c, BinaryOp::LessEqual),
        "Greater" => |c| swapped(c, BinaryOp::Less),
        "GreaterOrEqual" => |c| swapped(c, BinaryOp::LessEqual),
        "Pow" => pow,
        "Max" => |c| variadic(c, BinaryOp::Max).map(one),
        "Min" => |c| variadic(c, BinaryOp::Min).map(one),
        "Sum" => |c| variadic(c, BinaryOp::Add).map(one),
        "Mean" => mean,
        "Clip" => clip,
        "Where" => |c| c.build.apply(Op::Select, &[c.input(0)?, c.input(1)?, c.input(2)?]).map(one),
        "Cast" => cast,
        "CastLike" => cast_like,
        "IsNaN" => is_nan,
        "IsInf" => is_inf,
        "Identity" => |c| c.input(0).map(one),
        "Dropout" => dropout,
        _ => return None,
    })
}

fn unary(c: &mut Call<'_>, op: UnaryOp) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    c.build.unary(op, &a).map(one)
}

fn binary(c: &mut Call<'_>, op: BinaryOp) -> Outcome<Vec<Value>> {
    let (a, b) = operands(c)?;
    c.build.binary(op, &a, &b).map(one)
}

fn swapped(c: &mut Call<'_>, op: BinaryOp) -> Outcome<Vec<Value>> {
    let (a, b) = operands(c)?;
    c.build.binary(op, &b, &a).map(one)
}

/// Before version 7 the second operand's axes may be said to lie from `axis` of the first on.
fn operands(c: &mut Call<'_>) -> Outcome<(Value, Value)> {
    let (a, b) = (c.input(0)?, c.input(1)?);
    let (rank, mut shape) = (c.ty(&a).shape.len(), c.ty(&b).shape);
    if c.opset >= 7 || c.int("broadcast", 0) == 0 || c.attribute("axis").is_none() {
        return Ok((a, b));
    }
    let after = c.axis(0, rank)? + shape.len();
    shape.extend(std::iter::repeat_n(1, rank.saturating_sub(after)));
    Ok((a, c.build.reshape(&b, shape)?))
}

fn variadic(c: &mut Call<'_>, op: BinaryOp) -> Outcome {
    let all = c.all()?;
    all[1..].iter().try_fold(all[0].clone(), |a, b| c.build.binary(op, &a, b))
}

fn mean(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let sum = variadic(c, BinaryOp::Add)?;
    c.build.with_real(BinaryOp::Div, &sum, c.inputs.len() as f32).map(one)
}

/// Zero of a value's own type.
fn zero(c: &Call<'_>, a: &Value) -> Value {
    match c.ty(a).element {
        ElementType::I32 => Value::integer(0),
        _ => Value::real(0.0),
    }
}

fn relu(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    match c.ty(&a).element {
        ElementType::I32 => c.build.binary(BinaryOp::Max, &a, &Value::integer(0)).map(one),
        _ => c.build.unary(UnaryOp::Relu, &a).map(one),
    }
}

fn ceil(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let below = c.build.unary(UnaryOp::Neg, &a)?;
    let below = c.build.unary(UnaryOp::Floor, &below)?;
    c.build.unary(UnaryOp::Neg, &below).map(one)
}

fn sign(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let element = c.ty(&a).element;
    let zero = zero(c, &a);
    let above = c.build.binary(BinaryOp::Less, &zero, &a)?;
    let below = c.build.binary(BinaryOp::Less, &a, &zero)?;
    let above = c.build.cast(&above, element)?;
    let below = c.build.cast(&below, element)?;
    c.build.binary(BinaryOp::Sub, &above, &below).map(one)
}

/// max(x, 0) + log(1 + e^−|x|), which does not overflow.
fn softplus(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let size = c.build.unary(UnaryOp::Abs, &a)?;
    let size = c.build.unary(UnaryOp::Neg, &size)?;
    let tail = c.build.unary(UnaryOp::Exp, &size)?;
    let tail = c.build.with_real(BinaryOp::Add, &tail, 1.0)?;
    let tail = c.build.unary(UnaryOp::Log, &tail)?;
    let head = c.build.unary(UnaryOp::Relu, &a)?;
    c.build.binary(BinaryOp::Add, &head, &tail).map(one)
}

fn leaky(c: &mut Call<'_>, a: &Value, slope: &Value) -> Outcome<Vec<Value>> {
    let above = c.build.unary(UnaryOp::Relu, a)?;
    let below = c.build.with_real(BinaryOp::Min, a, 0.0)?;
    let below = c.build.binary(BinaryOp::Mul, &below, slope)?;
    c.build.binary(BinaryOp::Add, &above, &below).map(one)
}

fn leaky_relu(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (a, slope) = (c.input(0)?, Value::real(c.float("alpha", 0.01)));
    leaky(c, &a, &slope)
}

fn prelu(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (a, slope) = (c.input(0)?, c.input(1)?);
    leaky(c, &a, &slope)
}

/// min(max(alpha x + beta, 0), 1)
fn hard_sigmoid(c: &mut Call<'_>, alpha: f32, beta: f32) -> Outcome {
    let a = c.input(0)?;
    let a = c.build.with_real(BinaryOp::Mul, &a, alpha)?;
    let a = c.build.with_real(BinaryOp::Add, &a, beta)?;
    let a = c.build.unary(UnaryOp::Relu, &a)?;
    c.build.with_real(BinaryOp::Min, &a, 1.0)
}

fn hard_swish(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let gate = hard_sigmoid(c, 1.0 / 6.0, 0.5)?;
    c.build.binary(BinaryOp::Mul, &a, &gate).map(one)
}

/// a · factor, with nothing to do for a factor of one.
fn times(c: &mut Call<'_>, a: Value, factor: f32) -> Outcome {
    if factor == 1.0 { Ok(a) } else { c.build.with_real(BinaryOp::Mul, &a, factor) }
}

/// gamma (max(x, 0) + alpha (e^(steepness min(x, 0)) − 1)).
fn elu(c: &mut Call<'_>, gamma: f32, alpha: f32, steepness: f32) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let below = c.build.with_real(BinaryOp::Min, &a, 0.0)?;
    let below = times(c, below, steepness)?;
    let power = c.build.unary(UnaryOp::Exp, &below)?;
    let less = c.build.with_real(BinaryOp::Sub, &power, 1.0)?;
    let below = times(c, less, alpha)?;
    let above = c.build.unary(UnaryOp::Relu, &a)?;
    let sum = c.build.binary(BinaryOp::Add, &above, &below)?;
    times(c, sum, gamma).map(one)
}

/// x · sigmoid(alpha x).
fn swish(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (a, alpha) = (c.input(0)?, c.float("alpha", 1.0));
    let steep = times(c, a.clone(), alpha)?;
    let gate = c.build.unary(UnaryOp::Sigmoid, &steep)?;
    c.build.binary(BinaryOp::Mul, &a, &gate).map(one)
}

/// x above the threshold, and zero up to it.
fn thresholded_relu(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (a, threshold) = (c.input(0)?, Value::real(c.float("alpha", 1.0)));
    let above = c.build.binary(BinaryOp::Less, &threshold, &a)?;
    c.build.apply(Op::Select, &[above, a, Value::real(0.0)]).map(one)
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
fn softsign(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let size = c.build.unary(UnaryOp::Abs, &a)?;
    let size = c.build.with_real(BinaryOp::Add, &size, 1.0)?;
    c.build.binary(BinaryOp::Div, &a, &size).map(one)
}

/// (e^x ± e^−x) / 2.
fn hyperbolic(c: &mut Call<'_>, op: BinaryOp) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let minus = c.build.unary(UnaryOp::Neg, &a)?;
    let (grows, falls) = (c.build.unary(UnaryOp::Exp, &a)?, c.build.unary(UnaryOp::Exp, &minus)?);
    let both = c.build.binary(op, &grows, &falls)?;
    c.build.with_real(BinaryOp::Mul, &both, 0.5).map(one)
}

fn tan(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let (sine, cosine) = (c.build.unary(UnaryOp::Sin, &a)?, c.build.unary(UnaryOp::Cos, &a)?);
    c.build.binary(BinaryOp::Div, &sine, &cosine).map(one)
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

fn modulo(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let element = c.ty(&c.input(0)?).element;
    if element == ElementType::F32 || c.int("fmod", 0) != 0 {
        return Err(Issue::Unsupported("only the integer remainder (fmod = 0) is supported".to_owned()));
    }
    binary(c, BinaryOp::Mod)
}

/// Powers with a known simple exponent become products and roots.
fn pow(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (a, exponent) = (c.input(0)?, c.input(1)?);
    let element = c.ty(&a).element;
    let exponent = c.build.cast(&exponent, ElementType::F32)?;
    let known = exponent.tensor().and_then(super::super::build::uniform).map(f32::from_bits);
    let keeps_shape = {
        let (a, e) = (c.ty(&a).shape, c.ty(&exponent).shape);
        crate::graph::shape::broadcast(&a, &e).as_ref() == Ok(&a)
    };
    if let (Some(exponent), true, ElementType::F32) = (known, keeps_shape, element) {
        let build = &mut *c.build;
        let simple = match exponent {
            1.0 => Some(a.clone()),
            2.0 => Some(build.binary(BinaryOp::Mul, &a, &a)?),
            3.0 => {
                let square = build.binary(BinaryOp::Mul, &a, &a)?;
                Some(build.binary(BinaryOp::Mul, &square, &a)?)
            }
            0.5 => Some(build.unary(UnaryOp::Sqrt, &a)?),
            -0.5 => Some(build.unary(UnaryOp::Rsqrt, &a)?),
            -1.0 => Some(build.unary(UnaryOp::Recip, &a)?),
            _ => None,
        };
        if let Some(simple) = simple {
            return Ok(vec![simple]);
        }
    }
    let base = c.build.cast(&a, ElementType::F32)?;
    let power = c.build.binary(BinaryOp::Pow, &base, &exponent)?;
    c.build.cast(&power, element).map(one)
}

fn clip(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let mut a = c.input(0)?;
    for (input, name, op) in [(1, "min", BinaryOp::Max), (2, "max", BinaryOp::Min)] {
        // Before version 11 the limits are attributes.
        if let Some(limit) = c.optional(input).or(c.attribute(name).map(|limit| Value::real(limit.f()))) {
            a = c.build.binary(op, &a, &limit)?;
        }
    }
    Ok(vec![a])
}

fn cast(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let to = c.int("to", 0);
    let data_type = i32::try_from(to).ok().and_then(|to| DataType::try_from(to).ok());
    let data_type = data_type
        .ok_or_else(|| Issue::Invalid(format!("it casts to element type {to}, which does not exist")))?;
    let element = element(data_type)
        .ok_or_else(|| Issue::Unsupported(format!("it casts to {}", data_type.as_str_name())))?;
    if data_type == DataType::Float8e4m3fn {
        if c.int("saturate", 1) == 0 {
            return Err(Issue::Unsupported("a cast to float8 without saturation (saturate = 0)".to_owned()));
        }
        let narrow = c.build.cast(&a, ElementType::F8)?;
        return c.build.cast(&narrow, element).map(one);
    }
    c.build.cast(&a, element).map(one)
}

/// The graph's element type for one of ONNX's.
pub(in crate::graph::import) fn element(data_type: DataType) -> Option<ElementType> {
    match data_type {
        DataType::Float
        | DataType::Double
        | DataType::Float16
        | DataType::Bfloat16
        | DataType::Float8e4m3fn => Some(ElementType::F32),
        DataType::Int64
        | DataType::Int32
        | DataType::Int16
        | DataType::Int8
        | DataType::Uint64
        | DataType::Uint32
        | DataType::Uint16
        | DataType::Uint8
        | DataType::Int4
        | DataType::Uint4 => Some(ElementType::I32),
        DataType::Bool => Some(ElementType::Bool),
        _ => None,
    }
}

fn cast_like(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (a, like) = (c.input(0)?, c.input(1)?);
    let element = c.ty(&like).element;
    c.build.cast(&a, element).map(one)
}

/// Only a NaN differs from itself.
fn is_nan(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let same = c.build.binary(BinaryOp::Equal, &a, &a)?;
    c.build.unary(UnaryOp::Not, &same).map(one)
}

fn is_inf(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let (negative, positive) = (c.int("detect_negative", 1) != 0, c.int("detect_positive", 1) != 0);
    let (what, which) = match (negative, positive) {
        (true, false) => (a, f32::NEG_INFINITY),
        (false, true) => (a, f32::INFINITY),
        (true, true) => (c.build.unary(UnaryOp::Abs, &a)?, f32::INFINITY),
        (false, false) => {
            let shape = c.ty(&a).shape;
            let none = Value::known(crate::graph::eval::Tensor::bool([], [false]));
            return c.build.apply(Op::Expand { shape }, &[none]).map(one);
        }
    };
    c.build.with_real(BinaryOp::Equal, &what, which).map(one)
}

/// A model that is run does not drop anything.
fn dropout(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let mut outputs = vec![a.clone()];
    if c.wants(1) {
        let shape = c.ty(&a).shape;
        let all = Value::known(crate::graph::eval::Tensor::bool([], [true]));
        outputs.push(c.build.apply(Op::Expand { shape }, &[all])?);
    }
    Ok(outputs)
}

//! Functions, comparisons and casts, element by element.

use super::arithmetic::{width, wrap};
use super::formats::Few;
use super::{Translate, one};
use crate::graph::import::build::{Issue, Outcome, Value};
use crate::graph::import::call::Call;
use crate::graph::{BinaryOp, ElementType, Op, UnaryOp};
use crate::onnx::proto::tensor_proto::DataType;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
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
        "And" => |c| binary(c, BinaryOp::And),
        "Or" => |c| binary(c, BinaryOp::Or),
        "Xor" => |c| binary(c, BinaryOp::Xor),
        "Equal" => |c| binary(c, BinaryOp::Equal),
        "Less" => |c| binary(c, BinaryOp::Less),
        "LessOrEqual" => |c| binary(c, BinaryOp::LessEqual),
        "Greater" => |c| swapped(c, BinaryOp::Less),
        "GreaterOrEqual" => |c| swapped(c, BinaryOp::LessEqual),
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
pub(super) fn operands(c: &mut Call<'_>) -> Outcome<(Value, Value)> {
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
    let to = c.int("to", 0);
    let data_type = i32::try_from(to).ok().and_then(|to| DataType::try_from(to).ok());
    let data_type = data_type
        .ok_or_else(|| Issue::Invalid(format!("it casts to element type {to}, which does not exist")))?;
    cast_to(c, data_type).map(one)
}

/// The first input as another type of the model: integers that do not fit keep their low bits.
fn cast_to(c: &mut Call<'_>, to: DataType) -> Outcome {
    let a = c.input(0)?;
    let element =
        element(to).ok_or_else(|| Issue::Unsupported(format!("it casts to {}", to.as_str_name())))?;
    let saturate = c.int("saturate", 1) != 0;
    if to == DataType::Float8e4m3fn && saturate {
        let narrow = c.build.cast(&a, ElementType::F8)?;
        return c.build.cast(&narrow, element);
    }
    if let Some(few) = Few::of(to) {
        let real = c.build.cast(&a, ElementType::F32)?;
        return few.nearest(c.build, &real, saturate);
    }
    let from = c.kind(0);
    let value = c.build.cast(&a, element)?;
    if from.is_ok_and(|from| from == DataType::Bool || fits(from, to)) {
        Ok(value)
    } else {
        wrap(c.build, &value, to)
    }
}

/// Whether all integers of a type are of another.
fn fits(from: DataType, to: DataType) -> bool {
    match (width(from), width(to)) {
        (Some((own, true)), Some((other, true))) | (Some((own, false)), Some((other, false))) => own <= other,
        (Some((own, false)), Some((other, true))) => own < other,
        _ => false,
    }
}

/// The graph's element type for one of ONNX's.
pub(in crate::graph::import) fn element(data_type: DataType) -> Option<ElementType> {
    match data_type {
        DataType::Float
        | DataType::Double
        | DataType::Float16
        | DataType::Bfloat16
        | DataType::Float8e4m3fn
        | DataType::Float8e4m3fnuz
        | DataType::Float8e5m2
        | DataType::Float8e5m2fnuz
        | DataType::Float4e2m1 => Some(ElementType::F32),
        DataType::Int64
        | DataType::Int32
        | DataType::Int16
        | DataType::Int8
        | DataType::Uint64
        | DataType::Uint32
        | DataType::Uint16
        | DataType::Uint8
        | DataType::Int4
        | DataType::Uint4
        | DataType::Int2
        | DataType::Uint2 => Some(ElementType::I32),
        DataType::Bool => Some(ElementType::Bool),
        _ => None,
    }
}

fn cast_like(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    if let Ok(to) = c.kind(1) {
        return cast_to(c, to).map(one);
    }
    let (a, element) = (c.input(0)?, c.ty(&c.input(1)?).element);
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

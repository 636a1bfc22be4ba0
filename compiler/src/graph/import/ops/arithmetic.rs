//! Sums, products, quotients, remainders and powers. Integers wrap in the width of the model's own type up to 32 bits.

use super::Translate;
use super::pointwise::operands;
use crate::graph::import::build::{Builder, Outcome, Value, uniform};
use crate::graph::import::call::Call;
use crate::graph::{BinaryOp, ElementType, Op, UnaryOp, shape};
use crate::onnx::proto::tensor_proto::DataType;

/// Bits of whole exponents of integers that are looked at: with so many, all powers but those of −1, 0 and 1 are beyond 32 bits.
const EXPONENT_BITS: i32 = 6;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "Neg" => |c| unary(c, UnaryOp::Neg),
        "Abs" => |c| unary(c, UnaryOp::Abs),
        "Add" => |c| binary(c, BinaryOp::Add),
        "Sub" => |c| binary(c, BinaryOp::Sub),
        "Mul" => |c| binary(c, BinaryOp::Mul),
        "Div" => |c| binary(c, BinaryOp::Div),
        "Mod" => modulo,
        "Pow" => pow,
        _ => return None,
    })
}

fn unary(c: &mut Call<'_>, op: UnaryOp) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let result = c.build.unary(op, &a)?;
    wrapped(c, result)
}

fn binary(c: &mut Call<'_>, op: BinaryOp) -> Outcome<Vec<Value>> {
    let (a, b) = operands(c)?;
    let result = c.build.binary(op, &a, &b)?;
    wrapped(c, result)
}

/// A result of the type of the first input.
fn wrapped(c: &mut Call<'_>, result: Value) -> Outcome<Vec<Value>> {
    match c.kind(0) {
        Ok(kind) => wrap(c.build, &result, kind).map(|value| vec![value]),
        Err(_) => Ok(vec![result]),
    }
}

/// Bits of an integer type, and whether it has a sign.
pub(super) fn width(kind: DataType) -> Option<(i32, bool)> {
    Some(match kind {
        DataType::Int2 => (2, true),
        DataType::Uint2 => (2, false),
        DataType::Int4 => (4, true),
        DataType::Uint4 => (4, false),
        DataType::Int8 => (8, true),
        DataType::Uint8 => (8, false),
        DataType::Int16 => (16, true),
        DataType::Uint16 => (16, false),
        DataType::Int32 => (32, true),
        DataType::Uint32 => (32, false),
        DataType::Int64 => (64, true),
        DataType::Uint64 => (64, false),
        _ => return None,
    })
}

/// Integers modulo the width of a type, where that is less than 32 bits.
pub(super) fn wrap(build: &mut Builder, value: &Value, kind: DataType) -> Outcome {
    let Some((bits @ ..32, signed)) = width(kind) else { return Ok(value.clone()) };
    if build.ty(value).element != ElementType::I32 {
        return Ok(value.clone());
    }
    if !signed {
        return build.binary(BinaryOp::And, value, &Value::integer((1 << bits) - 1));
    }
    // Up and down again, so that the sign fills the upper bits.
    let by = Value::integer(32 - bits);
    let top = build.binary(BinaryOp::ShiftLeft, value, &by)?;
    build.binary(BinaryOp::ShiftRight, &top, &by)
}

/// With the sign of the divisor; with `fmod` with that of the dividend.
fn modulo(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (a, b) = (c.input(0)?, c.input(1)?);
    if c.int("fmod", 0) == 0 {
        return c.build.binary(BinaryOp::Mod, &a, &b).map(|value| vec![value]);
    }
    if c.ty(&a).element == ElementType::I32 {
        let quotient = c.build.binary(BinaryOp::Div, &a, &b)?;
        let product = c.build.binary(BinaryOp::Mul, &quotient, &b)?;
        return c.build.binary(BinaryOp::Sub, &a, &product).map(|value| vec![value]);
    }
    let sizes = [c.build.unary(UnaryOp::Abs, &a)?, c.build.unary(UnaryOp::Abs, &b)?];
    let rest = c.build.apply(Op::Binary(BinaryOp::Mod), &sizes)?;
    let minus = c.build.unary(UnaryOp::Neg, &rest)?;
    let negative = c.build.with_real(BinaryOp::Less, &a, 0.0)?;
    Ok(vec![c.build.apply(Op::Select, &[negative, minus, rest])?])
}

/// Powers with a known simple exponent become products and roots; those of integers by integers stay integers.
fn pow(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (a, exponent) = operands(c)?;
    let element = c.ty(&a).element;
    if element == ElementType::I32 && c.ty(&exponent).element == ElementType::I32 {
        let power = integer_power(c.build, &a, &exponent)?;
        return wrapped(c, power);
    }
    let exponent = c.build.cast(&exponent, ElementType::F32)?;
    if element == ElementType::F32
        && let Some(simple) = simple_power(c.build, &a, &exponent)?
    {
        return Ok(vec![simple]);
    }
    let base = c.build.cast(&a, ElementType::F32)?;
    let power = c.build.binary(BinaryOp::Pow, &base, &exponent)?;
    let power = c.build.cast(&power, element)?;
    wrapped(c, power)
}

/// A power of reals with one known exponent that is a product or a root.
fn simple_power(build: &mut Builder, a: &Value, exponent: &Value) -> Outcome<Option<Value>> {
    let known = exponent.tensor().and_then(uniform).map(f32::from_bits);
    let (from, by) = (build.shape(a), build.shape(exponent));
    let Some(known) = known.filter(|_| shape::broadcast(&from, &by).as_ref() == Ok(&from)) else {
        return Ok(None);
    };
    Ok(Some(match known {
        1.0 => a.clone(),
        2.0 => build.binary(BinaryOp::Mul, a, a)?,
        3.0 => {
            let square = build.binary(BinaryOp::Mul, a, a)?;
            build.binary(BinaryOp::Mul, &square, a)?
        }
        0.5 => build.unary(UnaryOp::Sqrt, a)?,
        -0.5 => build.unary(UnaryOp::Rsqrt, a)?,
        -1.0 => build.unary(UnaryOp::Recip, a)?,
        _ => return Ok(None),
    }))
}

/// a^n of integers, modulo 2^32: the squares that the bits of n say. A negative power is zero but of 1 and −1.
fn integer_power(build: &mut Builder, a: &Value, n: &Value) -> Outcome {
    let (zero, one) = (Value::integer(0), Value::integer(1));
    let size = build.unary(UnaryOp::Abs, n)?;
    // Of an exponent beyond the bits only its parity matters.
    let limit = 1 << (EXPONENT_BITS - 1);
    let odd = build.binary(BinaryOp::And, &size, &one)?;
    let large = build.binary(BinaryOp::Add, &odd, &Value::integer(limit))?;
    let fits = build.binary(BinaryOp::Less, &size, &Value::integer(limit))?;
    let size = build.apply(Op::Select, &[fits, size, large])?;
    let (mut square, mut power) = (a.clone(), one.clone());
    for bit in 0..EXPONENT_BITS {
        if bit > 0 {
            square = build.binary(BinaryOp::Mul, &square, &square)?;
        }
        let set = build.binary(BinaryOp::And, &size, &Value::integer(1 << bit))?;
        let clear = build.binary(BinaryOp::Equal, &set, &zero)?;
        let factor = build.apply(Op::Select, &[clear, one.clone(), square.clone()])?;
        power = build.binary(BinaryOp::Mul, &power, &factor)?;
    }
    let base = build.unary(UnaryOp::Abs, a)?;
    let unit = build.binary(BinaryOp::Equal, &base, &one)?;
    let inverse = build.apply(Op::Select, &[unit, power.clone(), zero.clone()])?;
    let negative = build.binary(BinaryOp::Less, n, &zero)?;
    build.apply(Op::Select, &[negative, inverse, power])
}

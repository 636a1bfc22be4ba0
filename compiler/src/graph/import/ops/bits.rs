//! Integers bit by bit, in the width of the model's own type.

use super::Translate;
use super::arithmetic::{width, wrap};
use crate::graph::import::build::{Issue, Outcome, Value};
use crate::graph::import::call::Call;
use crate::graph::{BinaryOp, ElementType, Op, UnaryOp};
use crate::onnx::proto::tensor_proto::DataType;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "BitwiseAnd" => |c| binary(c, BinaryOp::And),
        "BitwiseOr" => |c| binary(c, BinaryOp::Or),
        "BitwiseXor" => |c| binary(c, BinaryOp::Xor),
        "BitwiseNot" => not,
        "BitShift" => shift,
        "BitCast" => bit_cast,
        _ => return None,
    })
}

/// Integers have their sign, or zeros, in all bits above their own: so have these of two.
fn binary(c: &mut Call<'_>, op: BinaryOp) -> Outcome<Vec<Value>> {
    let (a, b) = (c.input(0)?, c.input(1)?);
    c.build.binary(op, &a, &b).map(|value| vec![value])
}

fn unsigned(kind: DataType) -> Issue {
    let name = kind.as_str_name();
    Issue::Unsupported(format!(
        "its {name} would be 2^31 or more, and integers are held in 32 bits with a sign"
    ))
}

fn not(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (a, kind) = (c.input(0)?, c.kind(0)?);
    if matches!(kind, DataType::Uint32 | DataType::Uint64) {
        return Err(unsigned(kind));
    }
    let other = c.build.binary(BinaryOp::Xor, &a, &Value::integer(-1))?;
    wrap(c.build, &other, kind).map(|value| vec![value])
}

/// Shifts by nothing that is less than zero or not less than the width leave no bit but the sign. What is beyond 32 bits then saturates.
fn shift(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (a, by, kind) = (c.input(0)?, c.input(1)?, c.kind(0)?);
    let (bits, _) =
        width(kind).ok_or_else(|| Issue::Invalid(format!("{} is shifted", kind.as_str_name())))?;
    let build = &mut *c.build;
    let (zero, most) = (Value::integer(0), Value::integer(31));
    let positive = build.binary(BinaryOp::LessEqual, &zero, &by)?;
    let less = build.binary(BinaryOp::Less, &by, &Value::integer(bits))?;
    let inside = build.binary(BinaryOp::And, &positive, &less)?;
    let by = build.binary(BinaryOp::Min, &by, &most)?;
    let by = build.apply(Op::Select, &[inside.clone(), by, most])?;
    match node_direction(c)? {
        true => c.build.binary(BinaryOp::ShiftRight, &a, &by).map(|value| vec![value]),
        false => {
            let build = &mut *c.build;
            let mut moved = build.binary(BinaryOp::ShiftLeft, &a, &by)?;
            if bits == 64 || kind == DataType::Uint32 {
                let back = build.binary(BinaryOp::ShiftRight, &moved, &by)?;
                let fits = build.binary(BinaryOp::Equal, &back, &a)?;
                let negative = build.binary(BinaryOp::Less, &a, &zero)?;
                let limits = [negative, Value::integer(i32::MIN), Value::integer(i32::MAX)];
                let limit = build.apply(Op::Select, &limits)?;
                moved = build.apply(Op::Select, &[fits, moved, limit])?;
            }
            let kept = build.apply(Op::Select, &[inside, moved, zero])?;
            wrap(build, &kept, kind).map(|value| vec![value])
        }
    }
}

/// Whether it shifts to the right.
fn node_direction(c: &Call<'_>) -> Outcome<bool> {
    match c.text("direction", "").as_str() {
        "RIGHT" => Ok(true),
        "LEFT" => Ok(false),
        other => Err(Issue::Invalid(format!("direction is `{other}`, not LEFT or RIGHT"))),
    }
}

/// The same bits as another type of the same width.
fn bit_cast(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (a, from) = (c.input(0)?, c.kind(0)?);
    let to = i32::try_from(c.int("to", 0)).ok().and_then(|to| DataType::try_from(to).ok());
    let to = to.ok_or_else(|| Issue::Invalid("it names no element type".to_owned()))?;
    let one = |value: Value| vec![value];
    match (from, to) {
        _ if from == to => Ok(one(a)),
        (DataType::Float, DataType::Int32) | (DataType::Int32, DataType::Float) => {
            c.build.unary(UnaryOp::Bits, &a).map(one)
        }
        (DataType::Bool, DataType::Int8 | DataType::Uint8) => c.build.cast(&a, ElementType::I32).map(one),
        _ => match (width(from), width(to)) {
            (Some((own @ ..32, _)), Some((other, _))) if own == other => wrap(c.build, &a, to).map(one),
            _ => Err(Issue::Unsupported(format!(
                "of {} as {}; only between float and int32, and integers of up to 16 bits",
                from.as_str_name(),
                to.as_str_name()
            ))),
        },
    }
}

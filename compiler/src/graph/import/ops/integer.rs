//! Products of bytes: MatMulInteger, QLinearMatMul, and ONNX Runtime's mixtures of them with scales.
//!
//! Bytes are multiplied as signed ones: (a − x)(b − y) = ab − (row sums of a) y − x (column sums of b) + kxy, where
//! a and b are signed and x and y their zero points (128 lower for unsigned bytes). It is all exact modulo 2^32.

use super::Translate;
use super::matrix::with_vectors;
use super::quantize::{dynamic, is_zero, lowered, narrow, quantized};
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::Call;
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp};
use crate::onnx::proto::tensor_proto::DataType;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "MatMulInteger" => |c| product(c, [0, 1], [2, 3]).map(|y| vec![y]),
        "QLinearMatMul" => linear,
        _ => return None,
    })
}

/// Operators of ONNX Runtime's own domain.
pub(super) fn contributed(operator: &str) -> Option<Translate> {
    Some(match operator {
        "DynamicQuantizeMatMul" => dynamic_product,
        "MatMulIntegerToFloat" => product_to_real,
        _ => return None,
    })
}

/// Signed bytes, and what is to be subtracted from them (I32).
#[derive(Clone, Debug)]
pub(super) struct Bytes {
    pub(super) value: Value,
    pub(super) zero: Value,
}

/// A tensor of bytes with its zero point.
pub(super) fn bytes(
    build: &mut Builder,
    value: &Value,
    kind: DataType,
    zero: Option<Value>,
) -> Outcome<Bytes> {
    let zero = zero.unwrap_or_else(|| Value::integer(0));
    match kind {
        DataType::Int8 => Ok(Bytes { value: narrow(build, value, ElementType::I8)?, zero }),
        DataType::Uint8 => {
            let lower = lowered(build, value)?;
            let value = narrow(build, &lower, ElementType::I8)?;
            Ok(Bytes { value, zero: build.binary(BinaryOp::Sub, &zero, &Value::integer(128))? })
        }
        other => Err(Issue::Invalid(format!("an input is of {}, not bytes", other.as_str_name()))),
    }
}

/// The integer product of the inputs at two places, with zero points at two others.
fn product(c: &mut Call<'_>, at: [usize; 2], zeros: [usize; 2]) -> Outcome {
    let a = bytes(c.build, &c.input(at[0])?, c.kind(at[0])?, c.optional(zeros[0]))?;
    let b = bytes(c.build, &c.input(at[1])?, c.kind(at[1])?, c.optional(zeros[1]))?;
    multiply(c.build, a, b)
}

fn multiply(build: &mut Builder, mut a: Bytes, b: Bytes) -> Outcome {
    // A zero point for each row of a stands in a column.
    let rows = build.shape(&a.zero);
    if let [rows] = rows[..]
        && rows > 1
    {
        a.zero = build.reshape(&a.zero, vec![rows, 1])?;
    }
    let zeros = [flat(build, a.zero)?, flat(build, b.zero)?];
    with_vectors(build, &a.value, &b.value, |build, a, b| {
        let [zero_a, zero_b] = &zeros;
        let mut y = build.apply(Op::MatMul { transpose_b: false }, &[a.clone(), b.clone()])?;
        let sum = |build: &mut Builder, of: &Value, axis: usize| {
            let wide = build.cast(of, ElementType::I32)?;
            build.apply(Op::Reduce { op: ReduceOp::Sum, axis }, &[wide])
        };
        let (shape_a, shape_b) = (build.shape(a), build.shape(b));
        if !is_zero(zero_b) {
            let rows = sum(build, a, shape_a.len() - 1)?;
            let less = build.binary(BinaryOp::Mul, &rows, zero_b)?;
            y = build.binary(BinaryOp::Sub, &y, &less)?;
        }
        if !is_zero(zero_a) {
            let columns = sum(build, b, shape_b.len() - 2)?;
            let less = build.binary(BinaryOp::Mul, &columns, zero_a)?;
            y = build.binary(BinaryOp::Sub, &y, &less)?;
        }
        if !is_zero(zero_a) && !is_zero(zero_b) {
            let k = i32::try_from(shape_a[shape_a.len() - 1]).unwrap_or(i32::MAX);
            let more = build.binary(BinaryOp::Mul, zero_a, &Value::integer(k))?;
            let more = build.binary(BinaryOp::Mul, &more, zero_b)?;
            y = build.binary(BinaryOp::Add, &y, &more)?;
        }
        Ok(y)
    })
}

/// A tensor of one element without axes.
pub(super) fn flat(build: &mut Builder, value: Value) -> Outcome {
    if build.ty(&value).elements() == 1 { build.reshape(&value, vec![]) } else { Ok(value) }
}

/// Sums of products as reals: y × (a's scale × b's scale).
pub(super) fn scaled(build: &mut Builder, y: &Value, a: &Value, b: &Value) -> Outcome {
    let scale = build.binary(BinaryOp::Mul, a, b)?;
    let y = build.cast(y, ElementType::F32)?;
    build.binary(BinaryOp::Mul, &y, &scale)
}

/// The scale of a's rows or of all of it.
fn row_scale(build: &mut Builder, scale: Value) -> Outcome {
    match build.shape(&scale)[..] {
        [rows] if rows > 1 => build.reshape(&scale, vec![rows, 1]),
        _ => flat(build, scale),
    }
}

fn linear(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let y = product(c, [0, 3], [2, 5])?;
    let (a, b) = (c.input(1)?, c.input(4)?);
    let (a, b) = (row_scale(c.build, a)?, flat(c.build, b)?);
    let y = scaled(c.build, &y, &a, &b)?;
    requantized(c, &y, 6).map(|y| vec![y])
}

/// Reals to the type, scale and zero point of the output, which stand at `at` and after it. One scale for the whole.
pub(super) fn requantized(c: &mut Call<'_>, y: &Value, at: usize) -> Outcome {
    let scale = flat(c.build, c.input(at)?)?;
    let zero = match c.optional(at + 1) {
        Some(zero) => Some(flat(c.build, zero)?),
        None => None,
    };
    let ratio = c.build.binary(BinaryOp::Div, y, &scale)?;
    quantized(c.build, &ratio, zero.filter(|zero| !is_zero(zero)).as_ref(), c.kind(at + 1)?)
}

/// A × B with A quantised on the way: A, B, B's scale, B's zero point, bias.
fn dynamic_product(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (a, b_scale) = (c.input(0)?, c.input(2)?);
    let b = bytes(c.build, &c.input(1)?, c.kind(1)?, c.optional(3))?;
    let y = quantized_product(c.build, &a, b, b_scale)?;
    with_bias(c, y, 4)
}

/// Reals, quantised as a whole, times bytes with their scale: reals.
pub(super) fn quantized_product(build: &mut Builder, a: &Value, b: Bytes, b_scale: Value) -> Outcome {
    let [quantized, scale, zero] = dynamic(build, a)?;
    let a = bytes(build, &quantized, DataType::Uint8, Some(zero))?;
    let y = multiply(build, a, b)?;
    let b_scale = flat(build, b_scale)?;
    scaled(build, &y, &scale, &b_scale)
}

/// A × B as reals: A, B, their scales, their zero points, bias.
fn product_to_real(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let y = product(c, [0, 1], [4, 5])?;
    let (a, b) = (c.input(2)?, c.input(3)?);
    let (a, b) = (row_scale(c.build, a)?, flat(c.build, b)?);
    let y = scaled(c.build, &y, &a, &b)?;
    with_bias(c, y, 6)
}

fn with_bias(c: &mut Call<'_>, y: Value, at: usize) -> Outcome<Vec<Value>> {
    match c.optional(at) {
        Some(bias) => c.build.binary(BinaryOp::Add, &y, &bias).map(|y| vec![y]),
        None => Ok(vec![y]),
    }
}

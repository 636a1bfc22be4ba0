//! To few bits and back: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear.
//!
//! Tensors of 8 and 4 bits stay wide here (I32, or F32 for float8), with values of their range: a Cast to I8 or F8 makes
//! them so, and a Cast back gives the wide tensor. Who multiplies bytes takes what is between the two ([`narrow`]).
//! Constants of few bits keep their encoding: what is made of them stays an expression.

use super::Translate;
use crate::graph::import::build::{Builder, Issue, Outcome, Value, uniform};
use crate::graph::import::call::Call;
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp, UnaryOp};
use crate::onnx::proto::tensor_proto::DataType;

/// Constants of few bits with more elements than this are weights, which stay in their encoding.
const SMALL: usize = 16;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "QuantizeLinear" => quantize_linear,
        "DequantizeLinear" => dequantize_linear,
        "DynamicQuantizeLinear" => |c| {
            let x = c.input(0)?;
            dynamic(c.build, &x).map(|quantized| quantized.to_vec())
        },
        _ => return None,
    })
}

/// Least and greatest integer of a type of few bits.
pub(super) fn range(data_type: DataType) -> Option<(i32, i32)> {
    Some(match data_type {
        DataType::Int8 => (-128, 127),
        DataType::Uint8 => (0, 255),
        DataType::Int16 => (-32_768, 32_767),
        DataType::Uint16 => (0, 65_535),
        DataType::Int4 => (-8, 7),
        DataType::Uint4 => (0, 15),
        _ => return None,
    })
}

/// Whether all elements are known to be zero.
pub(super) fn is_zero(value: &Value) -> bool {
    value.tensor().and_then(uniform) == Some(0)
}

fn quantize_linear(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
    let shape = c.ty(&x).shape;
    let to = output_type(c)?;
    let scale = spread(c, &c.input(1)?, &shape)?;
    let zero = match c.optional(2).filter(|zero| !is_zero(zero)) {
        Some(zero) => Some(spread(c, &zero, &shape)?),
        None => None,
    };
    let x = c.build.cast(&x, ElementType::F32)?;
    let ratio = c.build.binary(BinaryOp::Div, &x, &scale)?;
    if to == DataType::Float8e4m3fn && c.int("saturate", 1) == 0 {
        return Err(Issue::Unsupported("float8 without saturation (saturate = 0)".to_owned()));
    }
    quantized(c.build, &ratio, zero.as_ref(), to).map(|y| vec![y])
}

/// The type that QuantizeLinear makes: its zero point's, or the one that it names.
fn output_type(c: &Call<'_>) -> Outcome<DataType> {
    if c.optional(2).is_some() {
        return c.kind(2);
    }
    let named = i32::try_from(c.int("output_dtype", 0)).unwrap_or(0);
    match DataType::try_from(named) {
        Ok(DataType::Undefined) => Ok(DataType::Uint8),
        Ok(named) => Ok(named),
        Err(_) => Err(Issue::Invalid(format!("element type {named} does not exist"))),
    }
}

/// round(ratio) + zero, saturated to the range of a type; halves to even.
pub(super) fn quantized(build: &mut Builder, ratio: &Value, zero: Option<&Value>, to: DataType) -> Outcome {
    if to == DataType::Float8e4m3fn {
        if zero.is_some() {
            return Err(Issue::Unsupported("float8 with a zero point other than 0".to_owned()));
        }
        let narrow = build.cast(ratio, ElementType::F8)?;
        return build.cast(&narrow, ElementType::F32);
    }
    let (low, high) =
        range(to).ok_or_else(|| Issue::Unsupported(format!("it quantises to {}", to.as_str_name())))?;
    let bytes = matches!(to, DataType::Int8 | DataType::Uint8);
    // Unsigned bytes are held 128 lower, as signed ones.
    let shift = if to == DataType::Uint8 { 128 } else { 0 };
    let zero = match zero {
        Some(zero) => build.binary(BinaryOp::Sub, zero, &Value::integer(shift))?,
        None => Value::integer(-shift),
    };
    let mut y = ratio.clone();
    // The cast to I8 rounds, but only what nothing has been added to.
    if !(bytes && is_zero(&zero)) {
        let zero = build.cast(&zero, ElementType::F32)?;
        y = build.unary(UnaryOp::Round, &y)?;
        y = build.binary(BinaryOp::Add, &y, &zero)?;
    }
    if bytes {
        y = build.cast(&y, ElementType::I8)?;
        y = build.cast(&y, ElementType::I32)?;
        return build.binary(BinaryOp::Add, &y, &Value::integer(shift));
    }
    y = build.with_real(BinaryOp::Max, &y, low as f32)?;
    y = build.with_real(BinaryOp::Min, &y, high as f32)?;
    build.cast(&y, ElementType::I32)
}

fn dequantize_linear(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let mut x = c.input(0)?;
    let ty = c.ty(&x);
    let few_bits = ty.element == ElementType::F32 || c.kind(0).is_ok_and(|kind| range(kind).is_some());
    if few_bits && ty.elements() > SMALL && x.tensor().is_some() {
        x = Value::Node(c.build.node(&x)?);
    }
    let scale = spread(c, &c.input(1)?, &ty.shape)?;
    let mut zero = c.optional(2);
    // Unsigned bytes that are held as signed ones are read as such, with a zero point as much lower.
    if c.kind(0) == Ok(DataType::Uint8)
        && let Some(base) = signed_base(c.build, &x)?
    {
        x = base;
        let old = zero.unwrap_or_else(|| Value::integer(0));
        zero = Some(c.build.binary(BinaryOp::Sub, &old, &Value::integer(128))?);
    }
    let mut y = c.build.cast(&x, ElementType::F32)?;
    if let Some(zero) = zero.filter(|zero| !is_zero(zero)) {
        let zero = spread(c, &zero, &ty.shape)?;
        let zero = c.build.cast(&zero, ElementType::F32)?;
        y = c.build.binary(BinaryOp::Sub, &y, &zero)?;
    }
    c.build.binary(BinaryOp::Mul, &y, &scale).map(|y| vec![y])
}

/// A scale or zero point in a shape that broadcasts to the tensor's: of the whole, of each index of an axis, or of blocks along it.
fn spread(c: &mut Call<'_>, value: &Value, shape: &[usize]) -> Outcome {
    let own = c.ty(value).shape;
    if own.len() <= 1 && own.iter().product::<usize>() == 1 {
        return c.build.reshape(value, vec![]);
    }
    let disagree = || Issue::Invalid(format!("a scale of shape {own:?} for a tensor of shape {shape:?}"));
    let axis = c.axis(1, shape.len())?;
    if own.len() == 1 {
        if own[0] != shape[axis] {
            return Err(disagree());
        }
        let mut along = vec![1; shape.len()];
        along[axis] = own[0];
        return c.build.reshape(value, along);
    }
    let block = usize::try_from(c.int("block_size", 0)).unwrap_or(0);
    spread_blocks(c.build, value, &Blocks { shape: shape.to_vec(), axis, block })
}

/// Blocks along an axis of a tensor.
pub(super) struct Blocks {
    pub(super) shape: Vec<usize>,
    pub(super) axis: usize,
    /// Elements of a block; 0 where each is one.
    pub(super) block: usize,
}

/// A value for each block, for each of its elements.
pub(super) fn spread_blocks(build: &mut Builder, value: &Value, blocks: &Blocks) -> Outcome {
    let Blocks { shape, axis, block } = blocks;
    let (axis, block, own) = (*axis, *block, build.shape(value));
    let mut expected = shape.clone();
    if block > 0 {
        expected[axis] = shape[axis].div_ceil(block);
    }
    if own != expected {
        return Err(Issue::Invalid(format!("a scale of shape {own:?} for a tensor of shape {shape:?}")));
    }
    if block <= 1 {
        return Ok(value.clone());
    }
    // Written out it would be as large as the tensor.
    let value = Value::Node(build.node(value)?);
    let insert = |length: usize| [&own[..=axis], &[length], &own[axis + 1..]].concat();
    let value = build.reshape(&value, insert(1))?;
    let value = build.apply(Op::Expand { shape: insert(block) }, &[value])?;
    let mut joined = own.clone();
    joined[axis] *= block;
    let value = build.reshape(&value, joined)?;
    build.apply(Op::Slice { axis, start: 0, count: shape[axis], step: 1 }, &[value])
}

/// y, its scale and its zero point, of unsigned bytes whose range is that of the data, zero included.
pub(super) fn dynamic(build: &mut Builder, x: &Value) -> Outcome<[Value; 3]> {
    let rank = build.shape(x).len();
    // Axis by axis: the elements need not lie in the order of the model's axes.
    let mut bound = |op: ReduceOp, with: BinaryOp| {
        let found =
            (0..rank).rev().try_fold(x.clone(), |x, axis| build.apply(Op::Reduce { op, axis }, &[x]))?;
        let found = build.reshape(&found, vec![])?;
        build.with_real(with, &found, 0.0)
    };
    let (least, most) = (bound(ReduceOp::Min, BinaryOp::Min)?, bound(ReduceOp::Max, BinaryOp::Max)?);
    let width = build.binary(BinaryOp::Sub, &most, &least)?;
    let scale = build.with_real(BinaryOp::Div, &width, 255.0)?;
    // Zeros throughout have no width; any scale is right for them.
    let none = build.with_real(BinaryOp::Equal, &width, 0.0)?;
    let scale = build.apply(Op::Select, &[none, Value::real(1.0), scale])?;
    let zero = build.binary(BinaryOp::Div, &least, &scale)?;
    let zero = build.unary(UnaryOp::Neg, &zero)?;
    let zero = build.with_real(BinaryOp::Max, &zero, 0.0)?;
    let zero = build.with_real(BinaryOp::Min, &zero, 255.0)?;
    let zero = build.unary(UnaryOp::Round, &zero)?;
    let zero = build.cast(&zero, ElementType::I32)?;
    let ratio = build.binary(BinaryOp::Div, x, &scale)?;
    let y = quantized(build, &ratio, Some(&zero), DataType::Uint8)?;
    Ok([y, scale, zero])
}

/// A wide tensor of eight-bit values as one of eight bits: the one that it was widened from, where it was.
pub(super) fn narrow(build: &mut Builder, value: &Value, element: ElementType) -> Outcome {
    let Value::Node(id) = value else { return build.cast(value, element) };
    let node = &build.graph.nodes[*id];
    let Some(&input) = node.inputs.first() else { return build.cast(value, element) };
    match node.op.clone() {
        Op::Cast(_) if build.graph.ty(input).element == element => Ok(Value::Node(input)),
        op if moves(&op) => {
            let inner = narrow(build, &Value::Node(input), element)?;
            build.apply(op, &[inner])
        }
        _ => build.cast(value, element),
    }
}

/// A tensor of unsigned bytes, 128 lower.
pub(super) fn lowered(build: &mut Builder, value: &Value) -> Outcome {
    match signed_base(build, value)? {
        Some(base) => Ok(base),
        None => build.binary(BinaryOp::Sub, value, &Value::integer(128)),
    }
}

/// What 128 was added to, where that is how unsigned bytes came about.
fn signed_base(build: &mut Builder, value: &Value) -> Outcome<Option<Value>> {
    let Value::Node(id) = value else { return Ok(None) };
    let node = &build.graph.nodes[*id];
    match (node.op.clone(), node.inputs.clone().as_slice()) {
        (Op::Binary(BinaryOp::Add), &[inner, by]) if is_128(build, by) => Ok(Some(Value::Node(inner))),
        (op, &[inner]) if moves(&op) => match signed_base(build, &Value::Node(inner))? {
            Some(base) => build.apply(op, &[base]).map(Some),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

fn is_128(build: &Builder, node: crate::graph::NodeId) -> bool {
    let node = &build.graph.nodes[node];
    let Op::Constant(constant) = &node.op else { return false };
    let value = crate::graph::eval::Tensor::decode(constant, &node.ty).ok().flatten();
    node.ty.shape.is_empty() && value.is_some_and(|value| value.as_i32() == Some(&[128]))
}

/// Whether an operator puts the elements of its one operand elsewhere, whatever they are.
fn moves(op: &Op) -> bool {
    matches!(op, Op::Reshape { .. } | Op::Transpose { .. } | Op::Slice { .. } | Op::Expand { .. })
}

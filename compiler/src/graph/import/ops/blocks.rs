//! Weights of few bits with a scale for each block, as ONNX Runtime packs them: MatMulNBits and GatherBlockQuantized.
//!
//! They stay in their encoding: what is made of them is an expression of constants.

use super::quantize::{Blocks, spread_blocks};
use super::{Translate, one};
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length, normalize};
use crate::graph::{BinaryOp, Constant, ElementType, Encoding, Op, TensorType};
use crate::onnx::proto::tensor_proto::DataType;
use bytes::Bytes;

/// Operators of ONNX Runtime's own domain.
pub(super) fn contributed(operator: &str) -> Option<Translate> {
    Some(match operator {
        "MatMulNBits" => product,
        "GatherBlockQuantized" => gather,
        _ => return None,
    })
}

/// Whole numbers of so many bits that lie in bytes, the first in the lowest bits: as a tensor of this shape, whose rows start anew at a byte.
fn unpacked(build: &mut Builder, packed: &Value, bits: i64, shape: Vec<usize>) -> Outcome {
    let constant = build.source(packed).filter(|source| source.encoding == Encoding::U8);
    let bytes = match constant.map(|source| source.bytes.clone()) {
        Some(bytes) => bytes,
        None => return Err(Issue::Unsupported("weights of few bits that are no constants".to_owned())),
    };
    let row = shape.last().copied().unwrap_or(1);
    let per_byte = match bits {
        2 | 4 | 8 => 8 / bits as usize,
        _ => return Err(Issue::Unsupported(format!("weights of {bits} bits"))),
    };
    let rows: usize = shape[..shape.len().saturating_sub(1)].iter().product();
    let stride = row.div_ceil(per_byte);
    if let Some(bytes) = &bytes
        && rows * stride != bytes.len()
    {
        return Err(Issue::Invalid(format!("{} bytes for {shape:?} numbers of {bits} bits", bytes.len())));
    }
    let mask = ((1u32 << bits) - 1) as u8;
    let (encoding, bytes) = match bits {
        4 if row.is_multiple_of(per_byte) => (Encoding::U4, bytes),
        8 => (Encoding::U8, bytes),
        // No encoding has these: a byte each.
        _ => {
            let number = |own: &[u8], at: usize| own[at / per_byte] >> (at % per_byte * bits as usize) & mask;
            let apart = |bytes: Bytes| -> Bytes {
                let rows = bytes.chunks(stride.max(1));
                rows.flat_map(|own| (0..row).map(move |at| number(own, at))).collect::<Vec<u8>>().into()
            };
            (Encoding::U8, bytes.map(apart))
        }
    };
    let ty = TensorType { element: ElementType::I32, shape };
    let origin = build.origin.clone();
    let constant = Constant { encoding, bytes };
    Ok(Value::Node(build.graph.push_typed(Op::Constant(constant), &[], ty, &origin)))
}

/// (q − zero) · scale, with a zero point and a scale for each block of an axis.
fn dequantized(build: &mut Builder, q: &Value, zero: &Value, scales: &Value, blocks: &Blocks) -> Outcome {
    let (zero, scales) = (build.cast(zero, ElementType::F32)?, spread_blocks(build, scales, blocks)?);
    let zero = if build.shape(&zero).is_empty() { zero } else { spread_blocks(build, &zero, blocks)? };
    let q = build.cast(q, ElementType::F32)?;
    let q = build.binary(BinaryOp::Sub, &q, &zero)?;
    build.binary(BinaryOp::Mul, &q, &scales)
}

/// Matrices of few bits [.., n, bytes] with scales [.., n, blocks], or [.., n] of one a row: as reals [.., n, k]. A block of 0: a row.
pub(super) fn of_rows(
    build: &mut Builder,
    [packed, scales]: [&Value; 2],
    zero: Option<Value>,
    bits: i64,
    block: usize,
) -> Outcome {
    let mut shape = build.shape(packed);
    let axis = shape.len().saturating_sub(1);
    if let Some(last) = shape.last_mut() {
        *last *= 8 / usize::try_from(bits).unwrap_or(8).clamp(1, 8);
    }
    let k = shape[axis];
    let block = if block == 0 { k } else { block };
    let q = unpacked(build, packed, bits, shape.clone())?;
    let per_block = [&shape[..axis], &[k.div_ceil(block.max(1))]].concat();
    let scales = build.reshape(scales, per_block.clone())?;
    let zero = match zero {
        Some(zero) => unpacked(build, &zero, bits, per_block)?,
        None => Value::integer(middle(bits)),
    };
    dequantized(build, &q, &zero, &scales, &Blocks { shape, axis, block })
}

/// The zero point of unsigned numbers of so many bits where none is given.
fn middle(bits: i64) -> i32 {
    1 << (bits - 1).clamp(0, 30)
}

/// A [.., K] × the transpose of B [N, K]: A, B's bytes [N, blocks, bytes], scales, zero points, order of K, bias.
fn product(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (k, n) = (length(c.int("K", 0))?, length(c.int("N", 0))?);
    let (bits, block) = (c.int("bits", 4), length(c.int("block_size", 32))?.max(1));
    let (a, packed, scales) = (c.input(0)?, c.input(1)?, c.input(2)?);
    if c.optional(4).is_some() {
        return Err(Issue::Unsupported("an order of the columns (g_idx)".to_owned()));
    }
    let count = k.div_ceil(block);
    let q = unpacked(c.build, &packed, bits, vec![n, count * block])?;
    let scales = c.build.reshape(&scales, vec![n, count])?;
    let zero = match c.optional(3) {
        None => Value::integer(middle(bits)),
        Some(zero) if c.ty(&zero).element == ElementType::F32 => c.build.reshape(&zero, vec![n, count])?,
        Some(zero) => unpacked(c.build, &zero, bits, vec![n, count])?,
    };
    let blocks = Blocks { shape: vec![n, count * block], axis: 1, block };
    let b = dequantized(c.build, &q, &zero, &scales, &blocks)?;
    let b = c.build.apply(Op::Slice { axis: 1, start: 0, count: k, step: 1 }, &[b])?;
    let y = super::matrix::with_vectors(c.build, &a, &b, |build, a, b| {
        build.apply(Op::MatMul { transpose_b: true }, &[a.clone(), b.clone()])
    })?;
    match c.optional(5) {
        Some(bias) => c.build.binary(BinaryOp::Add, &y, &bias).map(one),
        None => Ok(vec![y]),
    }
}

/// Rows of a table of few bits: the table, indices, scales, zero points.
fn gather(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (table, indices, scales) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let bits = c.int("bits", 4);
    let mut shape = c.ty(&table).shape;
    let rank = shape.len();
    let axis = normalize(c.int("gather_axis", 0), rank)?;
    let along = normalize(c.int("quantize_axis", 1), rank)?;
    let block = length(c.int("block_size", 128))?.max(1);
    // Bytes hold several numbers of the last axis; ONNX's own types of few bits say so themselves.
    let packed = c.kind(0) == Ok(DataType::Uint8);
    let (q, center) = if packed {
        let per_byte = 8 / usize::try_from(bits).unwrap_or(8).clamp(1, 8);
        if let Some(last) = shape.last_mut() {
            *last *= per_byte;
        }
        (unpacked(c.build, &table, bits, shape.clone())?, middle(bits))
    } else {
        (Value::Node(c.build.node(&table)?), 0)
    };
    let blocks = Blocks { axis: along, block, shape };
    let zero = match c.optional(3) {
        None => Value::integer(center),
        Some(zero) if packed => unpacked(c.build, &zero, bits, c.ty(&scales).shape)?,
        Some(zero) => zero,
    };
    let rows = dequantized(c.build, &q, &zero, &scales, &blocks)?;
    c.build.apply(Op::Gather { axis }, &[rows, indices]).map(one)
}

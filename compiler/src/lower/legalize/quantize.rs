//! Products with constant weights in few bits.
//!
//! Of four bits they are blocks with a scale each, which the planes make binary16 of; activations are binary16 as well. Of eight bits there is a scale
//! for each row of weights, fixed, and one for each row of activations, found at run time.
//!
//! I8 activations are two parts of eight bits, x ≈ (256 high + low) · scale: fifteen bits of the greatest of the row, and the weights still pass
//! once. F8 activations are one part.

use super::builder::Builder;
use super::constants;
use super::gather::{self, Choice};
use super::precision::with_products;
use crate::Precision;
use crate::graph::blocks::BLOCK;
use crate::graph::{BinaryOp, ElementType, Few, Graph, NodeId, Op, ReduceOp, UnaryOp, eval::Tensor};
use isa::Chip;

/// What the greatest activation of a row becomes: 127 · 256 in two parts of I8, and the greatest F8.
const MOST_I8: f32 = 32512.0;
const MOST_F8: f32 = 448.0;
/// Rows of zeros are scaled as if their greatest element were this.
const LEAST: f32 = 1e-18;

/// Replaces products of real activations with constant weights, where these have few bits: as they are published, or as the precision says.
pub(super) fn quantize(graph: &Graph, precision: Precision, chip: &Chip) -> Graph {
    let few = |graph: &Graph, right: NodeId| match precision {
        Precision::Int4 => Some(published(graph, right).unwrap_or(Few::Int4)),
        _ => published(graph, right).filter(|&few| takes(chip, few)),
    };
    with_products(graph, |b, left, right| {
        let real = b.element(left) == ElementType::F32;
        let choice = gather::choice(b, right);
        let table = choice.as_ref().map_or(right, |choice| choice.table);
        let exact = constants::is_identity(&b.graph, right)
            || constants::is_ones(&b.graph, right)
            || b.graph.holds_truths(right);
        if !real || exact || b.is_constant(left) || !b.is_constant(table) {
            return None;
        }
        match (few(&b.graph, table), precision) {
            (Some(few), _) => {
                let blocks = b.emit(Op::Blocks(few), &[table]);
                let weights = choice.map_or(blocks, |choice| choice.matrices(b, blocks));
                Some(b.emit(Op::MatMul { transpose_b: true }, &[left, weights]))
            }
            (None, Precision::Int8) => Some(product(b, left, (table, choice), ElementType::I8)),
            (None, Precision::Fp8) => Some(product(b, left, (table, choice), ElementType::F8)),
            (None, Precision::Int4 | Precision::Fp16 | Precision::Fp32) => None,
        }
    })
}

/// Whether the planes of a chip load weights in such blocks.
pub fn takes(chip: &Chip, few: Few) -> bool {
    chip.mxm.formats.contains(&few.format()) && chip.block_lanes() == BLOCK
}

/// The blocks that all matrices of a constant expression are published in. What is only scaled, moved or put together stays in them; where blocks
/// change by that they are made anew.
fn published(graph: &Graph, node: NodeId) -> Option<Few> {
    let data = &graph.nodes[node];
    match &data.op {
        Op::Constant(constant) => constant.encoding.blocks(),
        Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concat { .. }
        | Op::Cast(ElementType::F32)
        | Op::Binary(BinaryOp::Mul) => {
            // Factors of rows and columns do not count.
            let most = data.inputs.iter().map(|&input| graph.nodes[input].ty.elements()).max()?;
            let factor =
                |input: NodeId| matches!(data.op, Op::Binary(_)) && graph.nodes[input].ty.elements() < most;
            let mut found = data.inputs.iter().filter(|&&input| !factor(input));
            let first = published(graph, *found.next()?)?;
            found.all(|&input| published(graph, input) == Some(first)).then_some(first)
        }
        _ => None,
    }
}

/// A product with constant weights, or with those that are chosen of them.
fn product(
    b: &mut Builder,
    left: NodeId,
    (table, choice): (NodeId, Option<Choice>),
    element: ElementType,
) -> NodeId {
    let integer = element == ElementType::I8;
    let (mut weights, mut weight_scale) = weights(b, table, element);
    if let Some(choice) = choice {
        (weights, weight_scale) = (choice.matrices(b, weights), choice.rows(b, weight_scale));
    }
    let most = greatest(b, left);
    let limit = if integer { MOST_I8 } else { MOST_F8 };
    // 1 / most, as the VXM has it.
    let root = b.unary(UnaryOp::Rsqrt, most);
    let inverse = b.binary(BinaryOp::Mul, root, root);
    let limits = b.real(limit);
    let factor = b.binary(BinaryOp::Mul, inverse, limits);
    let sums = if integer {
        let parts = parts(b, left, factor);
        let sums = b.emit(Op::MatMul { transpose_b: true }, &[parts, weights]);
        let real = b.cast(ElementType::F32, sums);
        let high = part(b, real, 0);
        let low = part(b, real, 1);
        let shift = b.real(256.0);
        let shifted = b.binary(BinaryOp::Mul, high, shift);
        b.binary(BinaryOp::Add, shifted, low)
    } else {
        let scaled = b.binary(BinaryOp::Mul, left, factor);
        let narrow = b.cast(element, scaled);
        b.emit(Op::MatMul { transpose_b: true }, &[narrow, weights])
    };
    let unit = b.real(1.0 / limit);
    let scale = b.binary(BinaryOp::Mul, most, unit);
    let by_row = b.binary(BinaryOp::Mul, sums, scale);
    b.binary(BinaryOp::Mul, by_row, weight_scale)
}

/// Weights [.., n, k] in eight bits, and their scales [.., 1, n].
fn weights(b: &mut Builder, weights: NodeId, element: ElementType) -> (NodeId, NodeId) {
    let most = greatest(b, weights);
    let unit = b.real(if element == ElementType::I8 { 1.0 / 127.0 } else { 1.0 / MOST_F8 });
    let scale = b.binary(BinaryOp::Mul, most, unit);
    let scaled = b.binary(BinaryOp::Div, weights, scale);
    let narrow = b.cast(element, scaled);
    let rank = b.rank(scale);
    let mut permutation: Vec<usize> = (0..rank).collect();
    permutation.swap(rank - 2, rank - 1);
    (narrow, b.emit(Op::Transpose { permutation }, &[scale]))
}

/// Greatest magnitude of each row, never zero.
fn greatest(b: &mut Builder, x: NodeId) -> NodeId {
    let size = b.unary(UnaryOp::Abs, x);
    let axis = b.rank(x) - 1;
    let most = b.emit(Op::Reduce { op: ReduceOp::Max, axis }, &[size]);
    let least = b.real(LEAST);
    b.binary(BinaryOp::Max, most, least)
}

/// [2, ..]: the high part of x · factor, integers below 2^15, and the low one. Both come from x by the same operations with other factors,
/// so that all of it is one pass through the VXM. Powers of two are exact, so the factors may be taken first.
fn parts(b: &mut Builder, x: NodeId, factor: NodeId) -> NodeId {
    let mut pair = |high: f32, low: f32| {
        let mut shape = vec![1; b.rank(x) + 1];
        shape[0] = 2;
        let tensor = Tensor::f32(shape, [high, low]);
        b.emit_typed(Op::Constant(tensor.to_constant()), &[], tensor.ty())
    };
    let (share, whole, of_high) = (pair(1.0 / 256.0, 1.0 / 256.0), pair(0.0, 1.0), pair(1.0, -256.0));
    let (share, whole) = (b.binary(BinaryOp::Mul, factor, share), b.binary(BinaryOp::Mul, factor, whole));
    let shifted = b.binary(BinaryOp::Mul, x, share);
    let high = b.unary(UnaryOp::Round, shifted);
    // The high part, or what it leaves.
    let taken = b.binary(BinaryOp::Mul, high, of_high);
    let scaled = b.binary(BinaryOp::Mul, x, whole);
    let both = b.binary(BinaryOp::Add, taken, scaled);
    b.cast(ElementType::I8, both)
}

/// One of the first axis, without that axis.
fn part(b: &mut Builder, x: NodeId, start: usize) -> NodeId {
    let slice = b.emit(Op::Slice { axis: 0, start, count: 1, step: 1 }, &[x]);
    let shape = b.shape(x)[1..].to_vec();
    b.emit(Op::Reshape { shape }, &[slice])
}

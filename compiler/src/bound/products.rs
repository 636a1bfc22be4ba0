//! What each product asks of the MXM: weights that must be loaded, passes that must be made.

use std::collections::BTreeMap;

use cranelift_entity::SecondaryMap;

use super::convolution::Meetings;
use super::cost::Operands;
use super::machine::Machine;
use super::rows::{self, Rows};
use crate::graph::blocks::BLOCK;
use crate::graph::{ElementType, Graph, NodeId, Op};

/// One runtime product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Product {
    /// Its node.
    pub(super) node: NodeId,
    /// Vectors of one byte per lane that its right operand is.
    pub(super) weights: u64,
    /// Those of them that no product before it loads.
    pub(super) fresh: u64,
    /// Whether the right operand is in SRAM before the program starts.
    pub(super) stored: bool,
    /// Passes of an activation vector through a tile.
    pub(super) passes: u64,
    /// Elements of the result that differ from each other for most inputs.
    pub(super) elements: u64,
    /// Encoding of the operands.
    pub(super) operands: Operands,
}

/// All products, with the passes that they must make together.
#[derive(Clone, Debug, Default)]
pub(super) struct Products {
    /// In graph order.
    pub(super) list: Vec<Product>,
    /// Index in the list.
    pub(super) of: SecondaryMap<NodeId, Option<u32>>,
    /// Passes by encoding; products with one left operand may share them.
    pub(super) passes: Vec<(Operands, u64)>,
}

/// What the products of one left operand have in common.
#[derive(Default)]
struct Left {
    /// Distinct pairs of a left and a right row, by right operand.
    pairs: BTreeMap<NodeId, u64>,
    /// The most rows that one product takes.
    rows: u64,
    /// The most passes per chunk that one product needs.
    passes: u64,
    chunks: u64,
}

/// Finds all runtime products.
pub(super) fn products(
    graph: &Graph,
    machine: &Machine<'_>,
    constant: &SecondaryMap<NodeId, bool>,
) -> Products {
    let mut found = Products::default();
    let mut loaded: BTreeMap<NodeId, Vec<bool>> = BTreeMap::new();
    let mut lefts: BTreeMap<(NodeId, u64), (Operands, Left)> = BTreeMap::new();
    let tile = u64::from(machine.chip.mxm.rows).max(1);
    for (node, data) in graph.nodes.iter() {
        let [a, b] = data.inputs[..] else { continue };
        let meetings = Meetings::of(graph, node);
        if constant[node] || !(matches!(data.op, Op::MatMul { .. }) || meetings.is_some()) {
            continue;
        }
        let element = |node: NodeId| -> ElementType { graph.nodes[node].ty.element };
        let operands = Operands::of(element(a), element(b));
        let (left, right) = (rows::rows(graph, a), weights(graph, constant, b));
        let table = graph.choice(right.base).filter(|_| !constant[right.base]).map(|(table, _)| table);
        let vectors =
            |rows: &Rows, node| if rows.flat { 1 } else { machine.vectors(rows::columns(graph, node)) };
        let width = vectors(&right, b) * operands.bytes();
        let bytes = |rows: u64| match graph.nodes[table.unwrap_or(b)].op {
            // Four bits an element, and two bytes a block.
            Op::Blocks(_) => vectors(&right, b) * rows * (4 * BLOCK as u64 + 16) / (8 * BLOCK as u64),
            _ if element(right.base) == ElementType::F8 => vectors(&right, b) * rows,
            _ => rows * width,
        };
        let seen =
            loaded.entry(right.base).or_insert_with(|| vec![false; rows::row_count(graph, right.base)]);
        let used = |at: usize| meetings.as_ref().is_none_or(|m| m.used[at % m.used.len()]);
        let weights: Vec<u32> =
            right.rows.iter().enumerate().filter(|(at, _)| used(*at)).map(|(_, &row)| row).collect();
        let (all, fresh) = mark(&weights, seen);
        let chunks = vectors(&left, a);
        let (pairs, elements, rows, passes) = match &meetings {
            // What is expanded may meet the same rows.
            Some(_) if left.expanded || right.expanded => (1, 1, 1, 1),
            Some(meetings) => {
                (meetings.pairs(), elements(graph, node), meetings.rows(), meetings.passes(tile))
            }
            None => {
                let (pairs, per_row) = pairs(graph, node, &left, &right);
                (pairs, pairs, left_rows(&left), left_rows(&left) * per_row.div_ceil(tile).max(1))
            }
        };
        found.of[node] = Some(found.list.len() as u32);
        found.list.push(Product {
            node,
            weights: bytes(all),
            fresh: bytes(fresh),
            stored: table.is_some()
                || constant[right.base]
                || matches!(graph.nodes[right.base].op, Op::Input(_)),
            passes: passes * chunks,
            elements,
            operands,
        });
        // Left operands of another length have other chunks.
        let key = (left.base, operands.bytes());
        let (_, shared) = lefts.entry(key).or_insert_with(|| (operands, Left::default()));
        let known = shared.pairs.entry(right.base).or_default();
        *known = pairs.max(*known);
        shared.rows = shared.rows.max(rows);
        shared.passes = shared.passes.max(passes);
        shared.chunks = if shared.chunks == 0 { chunks } else { shared.chunks.min(chunks) };
    }
    for (operands, left) in lefts.into_values() {
        let pairs: u64 = left.pairs.values().sum();
        let passes = left.chunks * left.passes.max(left.rows).max(pairs.div_ceil(tile));
        match found.passes.iter_mut().find(|(other, _)| *other == operands) {
            Some((_, sum)) => *sum += passes,
            None => found.passes.push((operands, passes)),
        }
    }
    found
}

/// The rows of a right operand. Those that an index chooses may all be of the same matrix.
fn weights(graph: &Graph, constant: &SecondaryMap<NodeId, bool>, node: NodeId) -> Rows {
    let mut shown = rows::rows(graph, node);
    if graph.choice(shown.base).is_some() && !constant[shown.base] {
        let matrix = graph.shape(shown.base).iter().rev().nth(1).map_or(1, |&n| n as u32);
        shown.rows.iter_mut().for_each(|row| *row %= matrix);
        shown.expanded = true;
    }
    shown
}

/// Elements of a node's tensor.
fn elements(graph: &Graph, node: NodeId) -> u64 {
    graph.shape(node).iter().map(|&n| n as u64).product()
}

/// Different rows of a left operand.
fn left_rows(left: &Rows) -> u64 {
    if left.expanded { rows::distinct(&left.rows) } else { left.rows.len() as u64 }
}

/// Distinct rows, and those of them that nobody marked before; marks them.
fn mark(rows: &[u32], seen: &mut [bool]) -> (u64, u64) {
    let mut fresh = 0;
    for &row in rows {
        if let Some(seen) = seen.get_mut(row as usize)
            && !std::mem::replace(seen, true)
        {
            fresh += 1;
        }
    }
    (rows::distinct(rows), fresh)
}

/// Pairs of a row of the left and a row of the right tensor that a product surely multiplies, and how many there are of each left row at least.
///
/// Without expanded operands they are the elements of the result: every axis longer than 1 is one of the left or of the right operand, and all left
/// rows meet equally many. Else each meets at least the different rows of one matrix.
fn pairs(graph: &Graph, node: NodeId, left: &Rows, right: &Rows) -> (u64, u64) {
    let shape = graph.shape(node);
    if !left.expanded && !right.expanded {
        let elements: u64 = shape.iter().map(|&n| n as u64).product();
        return (elements, elements / left_rows(left).max(1));
    }
    let n = shape.last().copied().unwrap_or(1).max(1);
    let matrix = right.rows.chunks(n).map(rows::distinct).min().unwrap_or(0);
    ((rows::distinct(&left.rows) * matrix).max(rows::distinct(&right.rows)), matrix)
}

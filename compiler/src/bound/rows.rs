//! Which rows of which tensor an operand shows.
//!
//! Operators that only rearrange rows make no new vectors, so that two operands may show the same ones, which may then be loaded once.

use crate::graph::{ElementType, Graph, NodeId, Op};

/// An operand as rows of the tensor that it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    /// The tensor.
    pub(super) base: NodeId,
    /// Its row for each row of the operand.
    pub(super) rows: Vec<u32>,
    /// Whether some rows or columns stand more than once.
    pub(super) expanded: bool,
    /// Whether all columns are equal.
    pub(super) flat: bool,
}

/// Length of the last axis.
pub(super) fn columns(graph: &Graph, node: NodeId) -> usize {
    graph.shape(node).last().copied().unwrap_or(1)
}

/// Product of all axes but the last.
pub(super) fn row_count(graph: &Graph, node: NodeId) -> usize {
    let shape = graph.shape(node);
    shape[..shape.len().saturating_sub(1)].iter().product()
}

/// Whether a node shows rows of its first input as they are. (An Append shows the state's.)
pub(super) fn is_view(graph: &Graph, node: NodeId) -> bool {
    let data = &graph.nodes[node];
    let last = data.ty.shape.len().saturating_sub(1);
    match &data.op {
        Op::Reshape { .. } => columns(graph, node) == columns(graph, data.inputs[0]),
        Op::Transpose { permutation } => permutation.last().is_none_or(|&axis| axis == last),
        Op::Slice { axis, .. } => *axis != last,
        Op::Expand { .. } => graph.shape(data.inputs[0]).len() == data.ty.shape.len(),
        Op::Append { .. } => true,
        Op::Cast(ElementType::F32) => graph.nodes[data.inputs[0]].ty.element == ElementType::F8,
        _ => false,
    }
}

/// The rows that a node shows.
pub(super) fn rows(graph: &Graph, node: NodeId) -> Rows {
    let mut chain = Vec::new();
    let mut base = node;
    while is_view(graph, base) {
        chain.push(base);
        base = graph.nodes[base].inputs[0];
    }
    let mut shown =
        Rows { base, rows: (0..row_count(graph, base) as u32).collect(), expanded: false, flat: false };
    for &view in chain.iter().rev() {
        through(graph, view, &mut shown);
    }
    shown
}

fn through(graph: &Graph, view: NodeId, shown: &mut Rows) {
    let data = &graph.nodes[view];
    let source = graph.shape(data.inputs[0]);
    let leading = source.len().saturating_sub(1);
    let mut steps = strides(&source[..leading]);
    let dims = &data.ty.shape[..data.ty.shape.len().saturating_sub(1)];
    let picked = match &data.op {
        Op::Transpose { permutation } => {
            let steps: Vec<usize> = permutation[..leading].iter().map(|&axis| steps[axis]).collect();
            pick(&shown.rows, dims, &steps, 0)
        }
        Op::Slice { axis, start, step, .. } => {
            let offset = start * steps[*axis];
            steps[*axis] *= step;
            pick(&shown.rows, dims, &steps, offset)
        }
        Op::Expand { .. } => {
            shown.expanded |= source != data.ty.shape;
            shown.flat |= source[leading..] != data.ty.shape[leading..];
            return shown.rows = broadcast(&shown.rows, source, dims);
        }
        _ => return,
    };
    shown.rows = picked;
}

/// The rows of a tensor of `shape` for each row of the tensor with leading axes `dims` that it is broadcast to.
pub(super) fn broadcast(rows: &[u32], shape: &[usize], dims: &[usize]) -> Vec<u32> {
    let own = &shape[..shape.len().saturating_sub(1)];
    let missing = dims.len().saturating_sub(own.len());
    let mut steps = vec![0; dims.len()];
    for ((place, &length), stride) in steps[missing..].iter_mut().zip(own).zip(strides(own)) {
        *place = if length == 1 { 0 } else { stride };
    }
    pick(rows, dims, &steps, 0)
}

fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}

fn pick(rows: &[u32], dims: &[usize], steps: &[usize], offset: usize) -> Vec<u32> {
    let total = dims.iter().product();
    let mut index = vec![0; dims.len()];
    let mut at = offset;
    let mut picked = Vec::with_capacity(total);
    for _ in 0..total {
        picked.extend(rows.get(at));
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            at += steps[axis];
            if index[axis] < dims[axis] {
                break;
            }
            at -= dims[axis] * steps[axis];
            index[axis] = 0;
        }
    }
    picked
}

/// How many different rows there are.
pub(super) fn distinct(rows: &[u32]) -> u64 {
    let mut sorted = rows.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.len() as u64
}

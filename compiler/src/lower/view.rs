//! Tensors as rows of vectors: which rows of which computed array a tensor shows.
//!
//! Operators that only rearrange rows (and leave the last axis alone) move no data: their result is a list of rows of what they view.

use cranelift_entity::SecondaryMap;

use crate::graph::{ElementType, Graph, NodeId, Op};

/// A tensor as rows of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The node whose array it shows (a state's input stands for the state at any time).
    pub base: NodeId,
    /// Row of the array for each row of the tensor, in row-major order.
    pub rows: Vec<u32>,
}

/// Length of the last axis.
pub fn columns(graph: &Graph, node: NodeId) -> usize {
    graph.shape(node).last().copied().unwrap_or(1)
}

/// Product of the leading axes.
pub fn row_count(graph: &Graph, node: NodeId) -> usize {
    let shape = graph.shape(node);
    shape[..shape.len().saturating_sub(1)].iter().product()
}

/// Whether a node only rearranges rows of its first input.
pub fn is_view(graph: &Graph, node: NodeId) -> bool {
    let data = &graph.nodes[node];
    let rank = data.ty.shape.len();
    match &data.op {
        Op::Reshape { .. } => columns(graph, data.inputs[0]) == columns(graph, node),
        Op::Transpose { permutation } => permutation.last().is_none_or(|&axis| axis + 1 == rank),
        Op::Slice { axis, .. } => axis + 1 != rank,
        Op::Expand { .. } => true,
        Op::Append { .. } => true,
        // What the planes make of a cache in eight bits.
        Op::Cast(ElementType::F32) => graph.nodes[data.inputs[0]].ty.element == ElementType::F8,
        Op::Concat { axis } => axis + 1 != rank && one_source(graph, node),
        _ => false,
    }
}

/// Whether all operands of a node are slices of one tensor, so that joined along rows they show it in another order.
fn one_source(graph: &Graph, node: NodeId) -> bool {
    let source = |input: NodeId| match graph.nodes[input].op {
        Op::Slice { axis, .. } if axis + 1 != graph.shape(input).len() => Some(graph.nodes[input].inputs[0]),
        _ => None,
    };
    let inputs = &graph.nodes[node].inputs;
    source(inputs[0]).is_some() && inputs.iter().all(|&input| source(input) == source(inputs[0]))
}

/// The view of every node in `wanted` terms: constants and computed nodes show themselves.
pub fn views(graph: &Graph, constant: &SecondaryMap<NodeId, bool>) -> SecondaryMap<NodeId, Option<View>> {
    let mut views: SecondaryMap<NodeId, Option<View>> = SecondaryMap::new();
    for (node, data) in graph.nodes.iter() {
        let view = if !constant[node] && is_view(graph, node) {
            let sources = data.inputs.iter().map(|&input| views[input].clone());
            match &data.op {
                Op::Concat { axis } => {
                    sources.collect::<Option<Vec<View>>>().map(|sources| joined(graph, node, *axis, &sources))
                }
                _ => views[data.inputs[0]].clone().map(|source| through(graph, node, source)),
            }
        } else {
            let rows = row_count(graph, node);
            (!constant[node] || rows <= u32::MAX as usize).then(|| View {
                base: node,
                rows: if constant[node] { Vec::new() } else { (0..rows as u32).collect() },
            })
        };
        views[node] = view;
    }
    views
}

/// All rows of a constant's own array, which [`views`] leaves out since weights have many.
pub fn own_rows(graph: &Graph, node: NodeId) -> Vec<u32> {
    (0..row_count(graph, node) as u32).collect()
}

/// Rows of views of one base, one view after the other along an axis.
fn joined(graph: &Graph, node: NodeId, axis: usize, sources: &[View]) -> View {
    let data = &graph.nodes[node];
    let outer: usize = data.ty.shape[..axis].iter().product();
    let mut rows = Vec::new();
    for index in 0..outer {
        for source in sources {
            let length = source.rows.len() / outer;
            rows.extend(&source.rows[index * length..][..length]);
        }
    }
    View { base: sources[0].base, rows }
}

fn through(graph: &Graph, node: NodeId, source: View) -> View {
    let data = &graph.nodes[node];
    let input = data.inputs[0];
    let rows = match &data.op {
        Op::Transpose { permutation } => {
            let shape = graph.shape(input);
            let axes = &permutation[..permutation.len().saturating_sub(1)];
            let strides = strides(&shape[..shape.len().saturating_sub(1)]);
            let dims: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
            let steps: Vec<usize> = axes.iter().map(|&axis| strides[axis]).collect();
            gather_rows(&source.rows, &dims, &steps, 0)
        }
        Op::Slice { axis, start, step, .. } => {
            let shape = graph.shape(input);
            let mut strides = strides(&shape[..shape.len() - 1]);
            let offset = start * strides[*axis];
            strides[*axis] *= step;
            let dims = &data.ty.shape[..data.ty.shape.len() - 1];
            gather_rows(&source.rows, dims, &strides, offset)
        }
        Op::Expand { .. } => broadcast_rows(&source.rows, graph.shape(input), &data.ty.shape),
        _ => source.rows,
    };
    View { base: source.base, rows }
}

/// Rows of a tensor of `shape` for each row of a tensor of `target` shape that it is broadcast to (last axes aside).
pub fn broadcast_rows(rows: &[u32], shape: &[usize], target: &[usize]) -> Vec<u32> {
    let leading = target.len().saturating_sub(1);
    let own = &shape[..shape.len().saturating_sub(1)];
    let own_strides = strides(own);
    let mut steps = vec![0; leading];
    for (axis, (&length, &stride)) in own.iter().zip(&own_strides).enumerate() {
        let place = leading - own.len() + axis;
        steps[place] = if length == 1 { 0 } else { stride };
    }
    gather_rows(rows, &target[..leading], &steps, 0)
}

fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (0..dims.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * dims[axis + 1];
    }
    strides
}

fn gather_rows(rows: &[u32], dims: &[usize], steps: &[usize], offset: usize) -> Vec<u32> {
    let total: usize = dims.iter().product();
    let mut index = vec![0; dims.len()];
    let mut result = Vec::with_capacity(total);
    for _ in 0..total {
        let at: usize = offset + index.iter().zip(steps).map(|(i, s)| i * s).sum::<usize>();
        result.push(rows[at]);
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            if index[axis] < dims[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    result
}

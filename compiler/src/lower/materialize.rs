//! Copies of tensors that cannot be used as they lie: outputs that are views, operands of products that are not whole matrices or
//! images.
//!
//! A copy is a cast to the same type, which is a pass through the VXM.

use super::context::Context;
use super::view::is_view;
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::{Graph, NodeId, Op};

/// Adds copies where the kernels need them.
pub fn materialize(graph: Graph) -> Result<Graph, Diagnostic> {
    let context = Context::new(&graph)?;
    let mut copied = Graph { name: graph.name.clone(), ..Graph::default() };
    let mut map: cranelift_entity::SecondaryMap<NodeId, NodeId> =
        cranelift_entity::SecondaryMap::with_default(NodeId::from_u32(0));
    for (node, data) in graph.nodes.iter() {
        let mut inputs: Vec<NodeId> = data.inputs.iter().map(|&input| map[input]).collect();
        // A convolution is of whole images as they lie.
        if matches!(data.op, Op::Conv { .. }) && !context.constant[node] {
            let view = context.view(data.inputs[0]);
            let whole = context.rows(view.base) == view.rows.len()
                && view.rows.iter().enumerate().all(|(at, &row)| at == row as usize);
            if !whole {
                inputs[0] = copy(&mut copied, inputs[0], &data.origin);
            }
        }
        if matches!(data.op, Op::MatMul { .. }) && !context.constant[node] {
            let right = data.inputs[1];
            if !whole_matrices(&context, right) {
                inputs[1] = copy(&mut copied, inputs[1], &data.origin);
            }
        }
        map[node] = copied.push_typed(data.op.clone(), &inputs, data.ty.clone(), &data.origin);
    }
    copied.inputs = graph.inputs.iter().map(|&input| map[input]).collect();
    let mut used: Vec<NodeId> = Vec::new();
    for (name, node) in &graph.outputs {
        let base = context.base(*node);
        let computed = !context.constant[*node] && !matches!(graph.nodes[base].op, Op::Input(_));
        let fresh = computed && !is_view(&graph, *node) && !used.contains(node);
        used.push(*node);
        let output = if fresh { map[*node] } else { copy(&mut copied, map[*node], name) };
        copied.outputs.push((name.clone(), output));
    }
    for state in &graph.states {
        let mut state = state.clone();
        let appended = context.base(state.output) == state.input;
        if !appended {
            let message = format!("state {} is not its input with rows appended", state.output_name);
            return Err(Diagnostic::new(Kind::Unsupported, "cannot-lower", message));
        }
        state.input = map[state.input];
        state.output = map[state.output];
        copied.states.push(state);
    }
    Ok(copied)
}

fn copy(graph: &mut Graph, node: NodeId, origin: &str) -> NodeId {
    let ty = graph.nodes[node].ty.clone();
    graph.push_typed(Op::Cast(ty.element), &[node], ty, origin)
}

/// Whether each matrix (last two axes) of a tensor is a whole matrix of what it shows, rows in order.
fn whole_matrices(context: &Context<'_>, node: NodeId) -> bool {
    if context.constant[node] {
        return true;
    }
    let shape = context.graph.shape(node);
    let rows = shape[shape.len() - 2];
    let base = context.base(node);
    let own = context.graph.shape(base);
    let whole =
        own.len() >= 2 && own[own.len() - 2] == rows && context.columns(base) == context.columns(node);
    whole
        && context.view(node).rows.chunks(rows).all(|matrix| {
            (matrix[0] as usize).is_multiple_of(rows)
                && matrix.iter().enumerate().all(|(i, &row)| row as usize == matrix[0] as usize + i)
        })
}

//! Caches in eight bits: states that nothing but products take, as their right operands, in e4m3. The planes make binary16 of it.

use std::collections::BTreeSet;

use cranelift_entity::SecondaryMap;

use super::appends_columns;
use super::precision::rebuilt;
use crate::graph::{ElementType, Graph, NodeId, Op, TensorType};
use crate::lower::view::is_view;

/// The legal graph with such states, and what shows them, in e4m3: an Append rounds what it appends, and a Cast is before each product.
pub fn narrow(graph: &Graph) -> Graph {
    let narrow = narrowed(graph);
    rebuilt(graph, |b, id, inputs| {
        let node = &graph.nodes[id];
        let mut inputs = inputs.to_vec();
        if matches!(node.op, Op::MatMul { .. }) && narrow.contains(&node.inputs[1]) {
            inputs[1] = b.cast(ElementType::F32, inputs[1]);
        }
        let element = if narrow.contains(&id) { ElementType::F8 } else { node.ty.element };
        b.emit_typed(node.op.clone(), &inputs, TensorType::new(element, node.ty.shape.clone()))
    })
}

/// The nodes of such states, and those that show them.
fn narrowed(graph: &Graph) -> BTreeSet<NodeId> {
    let mut users: SecondaryMap<NodeId, Vec<NodeId>> = SecondaryMap::new();
    for (id, node) in graph.nodes.iter() {
        node.inputs.iter().for_each(|&input| users[input].push(id));
    }
    let mut states: Vec<(NodeId, BTreeSet<NodeId>)> = graph
        .states
        .iter()
        .filter(|state| graph.nodes[state.input].ty.element == ElementType::F32)
        .filter_map(|state| shown(graph, &users, state.input).map(|shown| (state.input, shown)))
        .collect();
    // Recent rows are what is appended to a state by columns: both or neither.
    loop {
        let all: BTreeSet<NodeId> = states.iter().flat_map(|(_, shown)| shown.iter().copied()).collect();
        let agrees = |node: &NodeId| {
            let data = &graph.nodes[*node];
            !appends_columns(data) || data.inputs[..2].iter().all(|input| all.contains(input))
        };
        let before = states.len();
        states.retain(|(_, shown)| {
            shown.iter().all(agrees)
                && shown
                    .iter()
                    .flat_map(|&node| &users[node])
                    .all(|user| !appends_columns(&graph.nodes[*user]) || agrees(user) && all.contains(user))
        });
        if states.len() == before {
            return all;
        }
    }
}

/// What shows a state, with itself; nothing if anything but products takes that.
fn shown(
    graph: &Graph,
    users: &SecondaryMap<NodeId, Vec<NodeId>>,
    state: NodeId,
) -> Option<BTreeSet<NodeId>> {
    let mut shown = BTreeSet::from([state]);
    let mut work = vec![state];
    while let Some(node) = work.pop() {
        if graph.outputs.iter().any(|(_, output)| *output == node) {
            return None;
        }
        for &user in &users[node] {
            let data = &graph.nodes[user];
            let first = data.inputs[0] == node;
            match data.op {
                Op::MatMul { .. } if !first && data.inputs[1] == node => {}
                Op::Append { .. } if first => work.extend(shown.insert(user).then_some(user)),
                Op::Append { .. } if appends_columns(data) && data.inputs[1] == node => {}
                // The recent rows of a state by columns are transposed.
                Op::Transpose { .. } | Op::Reshape { .. } => work.extend(shown.insert(user).then_some(user)),
                _ if is_view(graph, user) && data.inputs.len() == 1 => {
                    work.extend(shown.insert(user).then_some(user))
                }
                _ => return None,
            }
        }
    }
    Some(shown)
}

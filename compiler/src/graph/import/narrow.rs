//! Inputs of eight bits that are taken as such.

use crate::graph::{ElementType, Graph, NodeId, Op};
use crate::onnx::proto::tensor_proto::DataType;
use cranelift_entity::SecondaryMap;
use std::collections::BTreeMap;

/// Inputs of int8 and float8 that are used only where they are cast to I8 or F8 become inputs of that type; `types`: the model's.
/// All others are wide, as integers and reals are everywhere else.
pub(super) fn inputs(mut graph: Graph, types: &BTreeMap<String, DataType>) -> Graph {
    let mut users: SecondaryMap<NodeId, Vec<NodeId>> = SecondaryMap::new();
    for (id, node) in graph.nodes.iter() {
        node.inputs.iter().for_each(|&input| users[input].push(id));
    }
    let mut stands_for: SecondaryMap<NodeId, Option<NodeId>> = SecondaryMap::new();
    for &input in &graph.inputs {
        let Op::Input(name) = &graph.nodes[input].op else { continue };
        let element = match types.get(name) {
            Some(DataType::Int8) => ElementType::I8,
            Some(DataType::Float8e4m3fn) => ElementType::F8,
            _ => continue,
        };
        let given = graph.outputs.iter().any(|(_, output)| *output == input);
        let cast = |&user: &NodeId| graph.nodes[user].op == Op::Cast(element);
        if !given && !users[input].is_empty() && users[input].iter().all(cast) {
            users[input].iter().for_each(|&user| stands_for[user] = Some(input));
            graph.nodes[input].ty.element = element;
        }
    }
    let replaced = |id: &mut NodeId| *id = stands_for[*id].unwrap_or(*id);
    graph.nodes.values_mut().flat_map(|node| &mut node.inputs).for_each(replaced);
    // Outputs are wide: what is cast for them is cast back, so that none is the cast itself.
    graph
}

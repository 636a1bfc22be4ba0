//! Removal of nodes that nothing needs.

use crate::graph::{Graph, NodeId, Op, eval};
use std::collections::{BTreeMap, BTreeSet};

/// The graph without dead nodes. Every input name keeps at least one node: its first, where none is used; all nodes that
/// are left are listed in `inputs`, those of one name next to each other.
pub(super) fn prune(graph: &Graph) -> Graph {
    let mut roots: Vec<NodeId> = graph.outputs.iter().map(|(_, node)| *node).collect();
    roots.extend(graph.states.iter().flat_map(|state| [state.input, state.output]));
    let mut live = eval::ancestors(graph, &roots);
    let used = |name: &Op, live: &BTreeSet<NodeId>| live.iter().any(|&node| graph.nodes[node].op == *name);
    for &input in &graph.inputs {
        if !used(&graph.nodes[input].op, &live) {
            live.insert(input);
        }
    }
    let mut pruned = Graph { name: graph.name.clone(), ..Graph::default() };
    let mut map: BTreeMap<NodeId, NodeId> = BTreeMap::new();
    for &id in &live {
        let node = &graph.nodes[id];
        let inputs: Vec<NodeId> = node.inputs.iter().map(|input| map[input]).collect();
        map.insert(id, pruned.push_typed(node.op.clone(), &inputs, node.ty.clone(), &node.origin));
    }
    pruned.outputs = graph.outputs.iter().map(|(name, node)| (name.clone(), map[node])).collect();
    pruned.states = graph.states.clone();
    for state in &mut pruned.states {
        (state.input, state.output) = (map[&state.input], map[&state.output]);
    }
    let mut listed = BTreeSet::new();
    for &input in &graph.inputs {
        let of_name = live.iter().filter(|&&node| graph.nodes[node].op == graph.nodes[input].op);
        for node in of_name.map(|node| map[node]) {
            if listed.insert(node) {
                pruned.inputs.push(node);
            }
        }
    }
    pruned
}

//! Exchanges along axes that only some chips have links for, and what stages hand to each other over such links: said as steps that each take one
//! hop. Parts are gathered in a node, cross to the other node, and go to the chips they belong to.

use cranelift_entity::SecondaryMap;

use crate::graph::{Gates, Graph, NodeId, Op, TensorType};
use crate::links::{Axis, Links};

/// The graph of one chip of a group with such exchanges in steps.
///
/// # Errors
/// A sentence, where shapes do not agree: a bug of whoever made the graph.
pub fn route(graph: Graph, links: &Links) -> Result<Graph, String> {
    let handed = links.arrivals.iter().chain(&links.departures);
    let gated = handed.clone().any(|transfer| transfer.gates.is_some())
        || links.axes.iter().any(|axis| !axis.ways.is_empty());
    if !gated {
        return Ok(graph);
    }
    let mut router = Router { graph: Graph::default(), origin: String::new() };
    let mut map: SecondaryMap<NodeId, NodeId> = SecondaryMap::with_default(NodeId::from_u32(0));
    for (id, node) in graph.nodes.iter() {
        router.origin.clone_from(&node.origin);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|&input| map[input]).collect();
        let axis = match node.op {
            Op::AllGather { chips, stride, .. } => links.axis(chips, stride),
            Op::AllToAll { stride } => links.axis(node.ty.shape[0], stride),
            _ => None,
        };
        map[id] = match (&node.op, axis.filter(|axis| !axis.ways.is_empty())) {
            (Op::AllGather { padded, .. }, Some(axis)) => router.gather(axis, inputs[0], *padded)?,
            (Op::AllToAll { .. }, Some(axis)) => router.exchange(axis, inputs[0])?,
            (Op::Input(name), _) => match links.arrival(name).and_then(|transfer| transfer.gates.as_ref()) {
                Some(gates) => router.arrival(name, gates, &node.ty)?,
                None => router.graph.push_typed(node.op.clone(), &[], node.ty.clone(), &node.origin),
            },
            _ => router.graph.push_typed(node.op.clone(), &inputs, node.ty.clone(), &node.origin),
        };
    }
    let mut made = router.graph;
    made.name.clone_from(&graph.name);
    made.inputs = graph.inputs.iter().map(|&input| map[input]).collect();
    // The tensor that arrives is not the part that the chip gets of it.
    for input in &mut made.inputs {
        while let Some(&arrived) = made.nodes[*input].inputs.first() {
            *input = arrived;
        }
    }
    made.states = graph.states.clone();
    for state in &mut made.states {
        (state.input, state.output) = (map[state.input], map[state.output]);
    }
    for (name, node) in &graph.outputs {
        let mut node = map[*node];
        if let Some(gates) = links.departure(name).and_then(|transfer| transfer.gates.as_ref()) {
            let origin = made.nodes[node].origin.clone();
            node = made.push(in_node(gates), &[node], &origin)?;
        }
        made.outputs.push((name.clone(), node));
    }
    Ok(made)
}

/// What brings the parts of a node to each of its chips.
fn in_node(gates: &Gates) -> Op {
    Op::AllGather { chips: gates.node, stride: 1, padded: None }
}

struct Router {
    graph: Graph,
    origin: String,
}

impl Router {
    fn push(&mut self, op: Op, inputs: &[NodeId]) -> Result<NodeId, String> {
        self.graph.push(op, inputs, &self.origin)
    }

    fn arrival(&mut self, name: &str, gates: &Gates, part: &TensorType) -> Result<NodeId, String> {
        let ty = TensorType { shape: [&[gates.each], &part.shape[..]].concat(), ..part.clone() };
        let brought = self.graph.push_typed(Op::Input(name.to_owned()), &[], ty, &self.origin);
        self.push(Op::FromGates(gates.clone()), &[brought])
    }

    /// What the chips so far behind along an axis have: of parts [node, ..] that each node gathered.
    fn crossed(&mut self, axis: &Axis, distance: usize, parts: NodeId) -> Result<NodeId, String> {
        let gates = axis.ways[distance - 1].gates.clone();
        let (chips, stride) = (axis.chips, axis.stride);
        let brought = self.push(Op::Cross { chips, stride, distance, gates: gates.clone() }, &[parts])?;
        self.push(Op::FromGates(gates), &[brought])
    }

    fn gather(&mut self, axis: &Axis, own: NodeId, padded: Option<usize>) -> Result<NodeId, String> {
        let parts = self.push(in_node(&axis.ways[0].gates), &[own])?;
        let mut all = vec![own];
        for distance in 1..axis.chips {
            all.push(self.crossed(axis, distance, parts)?);
        }
        let shape = self.graph.shape(own).to_vec();
        let last = shape.len().saturating_sub(1);
        for part in &mut all {
            *part = match padded {
                Some(padded) => {
                    let after = padded - shape[last];
                    self.push(Op::Pad { axis: last, before: 0, after, value: 0 }, &[*part])?
                }
                None => self.push(Op::Reshape { shape: [&[1], &shape[..]].concat() }, &[*part])?,
            };
        }
        self.push(Op::Concat { axis: if padded.is_some() { last } else { 0 } }, &all)
    }

    fn exchange(&mut self, axis: &Axis, own: NodeId) -> Result<NodeId, String> {
        let rest = self.graph.shape(own)[1..].to_vec();
        let node = axis.ways[0].gates.node;
        let mut all = Vec::new();
        for distance in 0..axis.chips {
            let slice = Op::Slice { axis: 0, start: distance, count: 1, step: 1 };
            let mut part = self.push(slice, &[own])?;
            if distance > 0 {
                let parts = self.push(in_node(&axis.ways[0].gates), &[part])?;
                let parts = self.push(Op::Reshape { shape: [&[node], &rest[..]].concat() }, &[parts])?;
                let crossed = self.crossed(axis, distance, parts)?;
                part = self.push(Op::Reshape { shape: [&[1], &rest[..]].concat() }, &[crossed])?;
            }
            all.push(part);
        }
        self.push(Op::Concat { axis: 0 }, &all)
    }
}

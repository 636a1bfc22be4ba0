//! Products in binary32: each operand becomes two binary16 parts, high and low, whose products are summed.

use super::builder::Builder;
use super::view::last;
use super::{constants, gather};
use crate::graph::{BinaryOp, Graph, NodeId, Op, UnaryOp};
use cranelift_entity::SecondaryMap;
use std::collections::BTreeMap;

/// The low part is kept scaled by this, so that it is a normal binary16 number wherever the high part is one.
const LOW_SCALE: f32 = 2048.0;

/// Replaces every runtime product and convolution by those of parts.
pub(super) fn split(graph: &Graph) -> Graph {
    let mut parts = Parts::default();
    rebuilt(graph, |b, id, inputs| {
        let op = &graph.nodes[id].op;
        match (op, inputs) {
            (Op::MatMul { transpose_b: true } | Op::Conv { .. }, &[left, right])
                if !b.is_constant(left) || !b.is_constant(right) =>
            {
                Split { b, parts: &mut parts, op }.product(left, right)
            }
            _ => b.emit_typed(op.clone(), inputs, graph.nodes[id].ty.clone()),
        }
    })
}

/// The graph with some of its products replaced: `product` says by what, from their operands.
pub(super) fn with_products(
    graph: &Graph,
    mut product: impl FnMut(&mut Builder, NodeId, NodeId) -> Option<NodeId>,
) -> Graph {
    rebuilt(graph, |b, id, inputs| {
        let node = &graph.nodes[id];
        let replaced = match node.op {
            Op::MatMul { transpose_b: true } => product(b, inputs[0], inputs[1]),
            _ => None,
        };
        replaced.unwrap_or_else(|| b.emit_typed(node.op.clone(), inputs, node.ty.clone()))
    })
}

/// The graph made anew, node by node: `make` says what becomes of a node, from what has become of its inputs.
pub(super) fn rebuilt(
    graph: &Graph,
    mut make: impl FnMut(&mut Builder, NodeId, &[NodeId]) -> NodeId,
) -> Graph {
    let mut b = Builder::default();
    let mut map: SecondaryMap<NodeId, NodeId> = SecondaryMap::with_default(NodeId::from_u32(0));
    for (id, node) in graph.nodes.iter() {
        b.origin.clone_from(&node.origin);
        let inputs: Vec<NodeId> = node.inputs.iter().map(|&input| map[input]).collect();
        map[id] = make(&mut b, id, &inputs);
    }
    let mut result = b.graph;
    result.name.clone_from(&graph.name);
    result.inputs = graph.inputs.iter().map(|&input| map[input]).collect();
    result.outputs = graph.outputs.iter().map(|(name, node)| (name.clone(), map[*node])).collect();
    result.states = graph.states.clone();
    for state in &mut result.states {
        (state.input, state.output) = (map[state.input], map[state.output]);
    }
    result
}

/// Parts of tensors that were split already: x ≈ high + low / LOW_SCALE. No low part: the high part is exact.
type Parts = BTreeMap<NodeId, (NodeId, Option<NodeId>)>;

struct Split<'a> {
    b: &'a mut Builder,
    parts: &'a mut Parts,
    /// The product: linear in each operand.
    op: &'a Op,
}

impl Split<'_> {
    fn product(&mut self, left: NodeId, right: NodeId) -> NodeId {
        let (left_high, left_low) = self.parts(left);
        let (right_high, right_low) = self.parts(right);
        let high = self.of_parts(left_high, right_high);
        let cross = right_low.map(|low| self.of_parts(left_high, low));
        let other = left_low.map(|low| self.of_parts(low, right_high));
        let low = match (cross, other) {
            (Some(x), Some(y)) => self.b.binary(BinaryOp::Add, x, y),
            (Some(x), None) | (None, Some(x)) => x,
            (None, None) => return high,
        };
        let scale = self.b.real(1.0 / LOW_SCALE);
        let scaled = self.b.binary(BinaryOp::Mul, low, scale);
        let sum = self.b.binary(BinaryOp::Add, high, scaled);
        if matches!(self.op, Op::MatMul { .. }) && constants::is_identity(&self.b.graph, left) {
            // A transpose's parts are the transposed parts.
            self.parts.insert(sum, (high, Some(low)));
        }
        sum
    }

    fn of_parts(&mut self, left: NodeId, right: NodeId) -> NodeId {
        self.b.emit(self.op.clone(), &[left, right])
    }

    /// Parts of a tensor, computed once for all its users and all its free views.
    fn parts(&mut self, x: NodeId) -> (NodeId, Option<NodeId>) {
        if let Some(&known) = self.parts.get(&x) {
            return known;
        }
        let parts = self.new_parts(x);
        self.parts.insert(x, parts);
        parts
    }

    fn new_parts(&mut self, x: NodeId) -> (NodeId, Option<NodeId>) {
        let b = &mut self.b;
        // Bytes and small floats are exact as they are.
        if b.graph.ty(x).element.is_narrow() || b.is_constant(x) && constants::fits_f16(&b.graph, x) {
            return (x, None);
        }
        if let Some(choice) = gather::choice(b, x) {
            let (high, low) = self.parts(choice.table);
            let [high, low] = [Some(high), low].map(|table| Some(choice.matrices(self.b, table?)));
            return (high.unwrap_or(x), low);
        }
        let op = b.op(x).clone();
        let free_view = match &op {
            Op::Reshape { shape } => last(shape) == last(b.graph.shape(b.input(x))),
            Op::Transpose { .. } | Op::Expand { .. } => true,
            _ => false,
        };
        if free_view {
            let inner = b.input(x);
            let (high, low) = self.parts(inner);
            return (self.b.emit(op.clone(), &[high]), low.map(|low| self.b.emit(op, &[low])));
        }
        let high = b.unary(UnaryOp::RoundF16, x);
        let rest = b.binary(BinaryOp::Sub, x, high);
        let scale = b.real(LOW_SCALE);
        let scaled = b.binary(BinaryOp::Mul, rest, scale);
        (high, Some(b.unary(UnaryOp::RoundF16, scaled)))
    }
}

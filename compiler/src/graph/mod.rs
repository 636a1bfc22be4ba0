//! The model graph: typed tensors and a small closed set of operators.
//!
//! A graph is a list of nodes in topological order; a node makes one tensor. Broadcasting is numpy's. All shapes are
//! known. Semantics of each operator: [`op::Op`]; what a graph computes: [`eval`].

pub mod op;
pub mod f8;
pub mod blocks;
pub mod shape;
pub mod verify;
pub mod fold;
pub mod chain;
pub mod eval;
pub mod text;
pub mod import;

use bytes::Bytes;
use cranelift_entity::{EntityRef, PrimaryMap, entity_impl};
use petgraph::graph::DiGraph;

pub use crate::links::Gates;
pub use blocks::Few;
pub use op::{BinaryOp, Op, ReduceOp, UnaryOp};

/// A node, and the tensor it makes; prints as `n3`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);
entity_impl!(NodeId, "n");

/// Element type of a tensor. Foreign types are mapped on import: f16, bf16 and f64 to F32, all integers to I32 (saturated).
/// I8 and F8 are what products of eight bits take: they are made by Cast, moved, multiplied, and cast back, nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ElementType {
    /// Real number; the evaluator computes in binary32.
    F32,
    /// 32-bit integer.
    I32,
    /// Truth value.
    Bool,
    /// Signed integer of eight bits.
    I8,
    /// Real number of eight bits: [`f8::F8`].
    F8,
}

/// Type of a tensor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorType {
    /// Element type.
    pub element: ElementType,
    /// Axis lengths; empty for a scalar.
    pub shape: Vec<usize>,
}

/// How a constant's bytes encode its elements (little-endian, row-major).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// binary64.
    F64,
    /// binary32.
    F32,
    /// binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// Signed integers of 64, 32, 16 and 8 bits.
    I64,
    /// 32 bits.
    I32,
    /// 16 bits.
    I16,
    /// 8 bits.
    I8,
    /// Unsigned 8 bits.
    U8,
    /// One byte, 0 or 1.
    Bool,
    /// [`f8::F8`], one byte.
    F8E4M3,
    /// Signed 4 bits, two's complement: two elements a byte, the first in the low half. What is left of the last byte is ignored.
    I4,
    /// Unsigned 4 bits, as I4.
    U4,
    /// A matrix [.., inputs, outputs] in blocks of 32 inputs ([`blocks::Few::Int4`]): the elements as I4, then the scales
    /// [.., inputs / 32, outputs]. The value is element times scale.
    Int4,
    /// As that, elements and scales of [`blocks::Few::Mxfp4`].
    Mxfp4,
}

/// A constant tensor's content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Constant {
    /// Encoding of `bytes`.
    pub encoding: Encoding,
    /// Elements, or nothing where the model does not bring its weights. May be a view of a mapped file.
    pub bytes: Option<Bytes>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// Tensors it takes; all have smaller ids.
    pub inputs: Vec<NodeId>,
    /// Tensor it makes.
    pub ty: TensorType,
    /// The model's name for where this came from (an ONNX node or initializer name); may be empty.
    pub origin: String,
}

impl Node {
    /// Whether it is a product whose right operand, and only that, is this tensor.
    pub fn multiplies_by(&self, id: NodeId) -> bool {
        matches!(self.op, Op::MatMul { .. }) && self.inputs[1] == id && self.inputs[0] != id
    }
}

/// A decoder state (a KV cache): an input that an output replaces, kept in SRAM from step to step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The [`Op::Input`] node, of the full capacity's shape. Zero before the first step.
    pub input: NodeId,
    /// The node that holds the new state; an [`Op::Append`] to `input`.
    pub output: NodeId,
    /// The model's name of the input (`past_key_values.0.key`).
    pub input_name: String,
    /// The model's name of the output (`present.0.key`).
    pub output_name: String,
}

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// Name of the model.
    pub name: String,
    /// All nodes; ids are in topological order.
    pub nodes: PrimaryMap<NodeId, Node>,
    /// Inputs that the host gives each time, in the model's order (names are in the nodes); states are not among them.
    pub inputs: Vec<NodeId>,
    /// Outputs, with the model's names; states are not among them.
    pub outputs: Vec<(String, NodeId)>,
    /// States.
    pub states: Vec<State>,
}

impl Graph {
    /// Adds a node; its type follows from its operator and inputs. For operators whose type does not follow (Input, Constant) use
    /// [`Graph::push_typed`]. Errors name what does not agree.
    pub fn push(&mut self, op: Op, inputs: &[NodeId], origin: &str) -> Result<NodeId, String> {
        let types = inputs
            .iter()
            .map(|&input| {
                self.nodes
                    .get(input)
                    .map(|node| &node.ty)
                    .ok_or_else(|| format!("{} refers to {input}, which is not in the graph", op.name()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let ty = shape::infer(&op, &types)?;
        Ok(self.push_typed(op, inputs, ty, origin))
    }

    /// Adds a node of a given type.
    pub fn push_typed(&mut self, op: Op, inputs: &[NodeId], ty: TensorType, origin: &str) -> NodeId {
        self.nodes.push(Node { op, inputs: inputs.to_vec(), ty, origin: origin.to_owned() })
    }

    /// Type of a node's tensor.
    pub fn ty(&self, node: NodeId) -> &TensorType {
        &self.nodes[node].ty
    }

    /// Shape of a node's tensor.
    pub fn shape(&self, node: NodeId) -> &[usize] {
        &self.nodes[node].ty.shape
    }

    /// Of matrices that an index chooses from a tensor [v, n, k]: that tensor, and the index.
    pub fn choice(&self, node: NodeId) -> Option<(NodeId, NodeId)> {
        let Node { op, inputs, .. } = &self.nodes[node];
        let matrices = *op == (Op::Gather { axis: 0 }) && self.shape(inputs[0]).len() == 3;
        matrices.then(|| (inputs[0], inputs[1]))
    }

    /// Whether a constant expression is truths as numbers: zeros and ones in any order, which every format holds exactly.
    pub fn holds_truths(&self, node: NodeId) -> bool {
        let Node { op, inputs, .. } = &self.nodes[node];
        match op {
            Op::Constant(constant) => constant.encoding == Encoding::Bool,
            Op::Cast(_)
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Concat { .. }
            | Op::Expand { .. } => inputs.iter().all(|&input| self.holds_truths(input)),
            _ => false,
        }
    }
}

/// The graph's edges for graph algorithms, from each tensor to the nodes that take it. Node indices are the ids' numbers.
pub fn topology(graph: &Graph) -> DiGraph<NodeId, ()> {
    let mut edges = DiGraph::with_capacity(graph.nodes.len(), graph.nodes.len());
    let at: Vec<_> = graph.nodes.keys().map(|id| edges.add_node(id)).collect();
    for (id, node) in graph.nodes.iter() {
        for input in &node.inputs {
            edges.add_edge(at[input.index()], at[id.index()], ());
        }
    }
    edges
}

//! Cleaning: constant expressions with small values, operators that do nothing, equal nodes, dead nodes.

use super::eval::{self, Tensor};
use super::{BinaryOp, Constant, Encoding, Graph, Node, NodeId, Op, TensorType, topology};
use cranelift_entity::{PrimaryMap, SecondaryMap};
use indexmap::IndexMap;
use petgraph::visit::{Dfs, Reversed};

/// A value of at most so many elements is written down wherever it comes from.
const SMALL: usize = 1 << 12;
/// A value of at most so many elements is written down where it comes from small ones (tables of sines, masks).
const TABLE: usize = 1 << 16;
/// What is made of weights of few bits, of more elements than this, is not written down: they are recognised by their encoding.
const PACKED: usize = 64;
/// Operands above this many elements are not evaluated, however small the result is.
const LARGE: usize = 1 << 24;

/// A graph of the same meaning. Constant expressions are evaluated where their values are small (large weights stay
/// expressions, and expressions whose bytes are absent or that have no value stay as they are); identity Reshape,
/// Transpose, Expand, Cast, Slice, Pad and Concat vanish; a Reshape of a Reshape is one; equal nodes are merged; nodes that
/// no output needs are removed. Declared inputs and states stay.
pub fn fold(graph: Graph) -> Graph {
    let graph = prune(graph);
    let mut folder = Folder {
        known: SecondaryMap::new(),
        packed: SecondaryMap::new(),
        seen: IndexMap::new(),
        new: Graph::default(),
    };
    let mut map: SecondaryMap<NodeId, Option<NodeId>> = SecondaryMap::with_capacity(graph.nodes.len());
    // Inputs of nodes come before them, so that their places are known.
    let at = |map: &SecondaryMap<NodeId, Option<NodeId>>, id: NodeId| map[id].unwrap_or(id);
    for (id, node) in graph.nodes {
        let inputs = node.inputs.iter().map(|&input| at(&map, input)).collect();
        map[id] = Some(folder.add(Node { inputs, ..node }));
    }
    let mut new = folder.new;
    new.name = graph.name;
    new.inputs = graph.inputs.iter().map(|&id| at(&map, id)).collect();
    new.outputs = graph.outputs.into_iter().map(|(name, id)| (name, at(&map, id))).collect();
    new.states = graph.states;
    for state in &mut new.states {
        state.input = at(&map, state.input);
        state.output = at(&map, state.output);
    }
    prune(new)
}

/// Removes the nodes that neither outputs nor states need; declared inputs stay.
pub fn prune(graph: Graph) -> Graph {
    let edges = topology(&graph);
    let mut walk = Dfs::empty(Reversed(&edges));
    let states = graph.states.iter().flat_map(|state| [state.input, state.output]);
    let roots = graph.inputs.iter().copied().chain(graph.outputs.iter().map(|&(_, id)| id)).chain(states);
    walk.stack = roots.map(|id| petgraph::graph::NodeIndex::new(id.as_u32() as usize)).collect();
    let mut live: SecondaryMap<NodeId, bool> = SecondaryMap::with_capacity(graph.nodes.len());
    while let Some(at) = walk.next(Reversed(&edges)) {
        live[edges[at]] = true;
    }
    let mut map: SecondaryMap<NodeId, NodeId> = SecondaryMap::with_default(NodeId::from_u32(0));
    let mut nodes = PrimaryMap::new();
    for (id, mut node) in graph.nodes {
        if live[id] {
            node.inputs.iter_mut().for_each(|input| *input = map[*input]);
            map[id] = nodes.push(node);
        }
    }
    let mut graph = Graph { nodes, ..graph };
    graph.inputs.iter_mut().for_each(|id| *id = map[*id]);
    graph.outputs.iter_mut().for_each(|(_, id)| *id = map[*id]);
    for state in &mut graph.states {
        state.input = map[state.input];
        state.output = map[state.output];
    }
    graph
}

/// What makes two nodes the same. Large constants are the same where they lie at the same place: to read them all would
/// cost more than it gains. Only looked up, never walked.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Content(Encoding, Vec<u8>, TensorType),
    Place(Encoding, usize, TensorType),
    Op(Op, Vec<NodeId>, TensorType),
}

fn key(node: &Node) -> Option<Key> {
    match &node.op {
        // Inputs are declared one by one; what is absent is not known to be the same.
        Op::Input(_) | Op::Constant(Constant { bytes: None, .. }) => None,
        Op::Constant(Constant { encoding, bytes: Some(bytes) }) => Some(if bytes.len() <= SMALL {
            Key::Content(*encoding, bytes.to_vec(), node.ty.clone())
        } else {
            Key::Place(*encoding, bytes.as_ptr().addr(), node.ty.clone())
        }),
        op => Some(Key::Op(op.clone(), node.inputs.clone(), node.ty.clone())),
    }
}

struct Folder {
    /// Whether a new node's value is known.
    known: SecondaryMap<NodeId, bool>,
    /// Whether a new node is a constant of few bits, or its elements as other numbers or at other places.
    packed: SecondaryMap<NodeId, bool>,
    seen: IndexMap<Key, NodeId>,
    new: Graph,
}

impl Folder {
    /// The new node for an old one whose inputs are new already.
    fn add(&mut self, mut node: Node) -> NodeId {
        if let (Op::Reshape { .. }, Some(&input)) = (&node.op, node.inputs.first())
            && let Op::Reshape { .. } = self.new.nodes[input].op
        {
            node.inputs.clone_from(&self.new.nodes[input].inputs);
        }
        if self.is_identity(&node) {
            return node.inputs[0];
        }
        let packed = self.is_packed(&node);
        if !packed && let Some(value) = self.value(&node) {
            node.op = Op::Constant(value.to_constant());
            node.inputs.clear();
        }
        let known = match &node.op {
            Op::Input(_) => false,
            Op::Constant(constant) => constant.bytes.is_some(),
            _ => node.inputs.iter().all(|&input| self.known[input]),
        };
        let key = key(&node);
        if let Some(&same) = key.as_ref().and_then(|key| self.seen.get(key)) {
            return same;
        }
        let id = self.new.nodes.push(node);
        self.known[id] = known;
        self.packed[id] = packed;
        key.map(|key| self.seen.insert(key, id));
        id
    }

    /// Whether a node's tensor is its first input.
    fn is_identity(&self, node: &Node) -> bool {
        let same_type = || self.new.nodes[node.inputs[0]].ty == node.ty;
        match &node.op {
            Op::Reshape { .. } | Op::Expand { .. } | Op::Cast(_) | Op::Slice { .. } | Op::Pad { .. } => {
                same_type()
            }
            Op::Transpose { permutation } => permutation.iter().copied().eq(0..permutation.len()),
            Op::Concat { .. } => node.inputs.len() == 1,
            _ => false,
        }
    }

    fn is_packed(&self, node: &Node) -> bool {
        match &node.op {
            Op::Constant(Constant { encoding, .. }) => {
                encoding.element_bits() <= 8 && *encoding != Encoding::Bool && node.ty.elements() > PACKED
            }
            Op::Cast(_)
            | Op::Binary(BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul)
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Concat { .. } => node.inputs.iter().any(|&input| self.packed[input]),
            _ => false,
        }
    }

    /// The value of an operator on known inputs, if it is worth writing down.
    fn value(&self, node: &Node) -> Option<Tensor> {
        let elements = |id: &NodeId| self.new.nodes[*id].ty.elements();
        let largest = node.inputs.iter().map(elements).max()?;
        let result = node.ty.elements();
        // An Expand says more than its elements do.
        let table = result <= TABLE && largest <= SMALL && !matches!(node.op, Op::Expand { .. });
        // Elements of eight bits have no constants; who takes them takes the expression.
        let worth = ((result <= SMALL && largest <= LARGE) || table) && !node.ty.element.is_narrow();
        if !worth || !node.inputs.iter().all(|&input| self.known[input]) {
            return None;
        }
        // What has no value (an index out of range) stays, and is reported by whoever needs it.
        let inputs: Vec<Tensor> = node
            .inputs
            .iter()
            .map(|&input| eval::constant(&self.new, input).ok().flatten())
            .collect::<Option<_>>()?;
        eval::apply(&node.op, &inputs.iter().collect::<Vec<_>>()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{ElementType, UnaryOp};

    /// Constants vanish into one, a Reshape of a Reshape and a Transpose that moves nothing go, equal nodes are one, dead
    /// nodes go, a dead input stays.
    #[test]
    fn folds() {
        let mut graph = Graph::default();
        let f32s = |shape: &[usize]| TensorType::new(ElementType::F32, shape);
        let constant = |graph: &mut Graph, value: Tensor| {
            graph.push_typed(Op::Constant(value.to_constant()), &[], value.ty(), "")
        };
        let unused = graph.push_typed(Op::Input("unused".into()), &[], f32s(&[1]), "");
        let x = graph.push_typed(Op::Input("x".into()), &[], f32s(&[2, 3]), "");
        let one = constant(&mut graph, Tensor::f32([], [1.0]));
        let two = constant(&mut graph, Tensor::f32([3], [2.0; 3]));
        let three = graph.push(Op::Binary(BinaryOp::Add), &[one, two], "three").unwrap();
        let dead = graph.push(Op::Unary(UnaryOp::Exp), &[x], "").unwrap();
        let flat = graph.push(Op::Reshape { shape: vec![6] }, &[x], "").unwrap();
        let same = graph.push(Op::Reshape { shape: vec![2, 3] }, &[flat], "").unwrap();
        let same = graph.push(Op::Transpose { permutation: vec![0, 1] }, &[same], "").unwrap();
        let a = graph.push(Op::Binary(BinaryOp::Mul), &[same, three], "a").unwrap();
        let b = graph.push(Op::Binary(BinaryOp::Mul), &[x, three], "b").unwrap();
        let sum = graph.push(Op::Binary(BinaryOp::Add), &[a, b], "sum").unwrap();
        graph.inputs = vec![unused, x];
        graph.outputs = vec![("sum".into(), sum), ("three".into(), three)];
        assert!(graph.nodes.is_valid(dead));

        let folded = fold(graph.clone());
        folded.verify().unwrap();
        let names: Vec<&str> = folded.nodes.values().map(|node| node.op.name()).collect();
        assert_eq!(names, ["input", "input", "constant", "mul", "add"]);
        let inputs = [("x".to_owned(), Tensor::f32([2, 3], [0., 1., 2., 3., 4., 5.]))].into();
        assert_eq!(eval::evaluate(&folded, &inputs, None), eval::evaluate(&graph, &inputs, None));
        assert_eq!(fold(folded.clone()), folded);
    }

    /// Elements of eight bits have no constants: they stay casts of wider ones. What follows from them is written down.
    #[test]
    fn eight_bits_stay_casts() {
        let mut graph = Graph::default();
        let bytes = Some(vec![1, 2].into());
        let ty = TensorType::new(ElementType::I32, [1, 2]);
        let held = Op::Constant(Constant { encoding: Encoding::I8, bytes });
        let held = graph.push_typed(held, &[], ty, "");
        let narrow = graph.push(Op::Cast(ElementType::I8), &[held], "").unwrap();
        let turned = graph.push(Op::Transpose { permutation: vec![1, 0] }, &[narrow], "").unwrap();
        let product = graph.push(Op::MatMul { transpose_b: false }, &[narrow, turned], "").unwrap();
        graph.outputs = vec![("narrow".into(), turned), ("product".into(), product)];
        let folded = fold(graph.clone());
        folded.verify().unwrap();
        let names: Vec<&str> = folded.nodes.values().map(|node| node.op.name()).collect();
        assert_eq!(names, ["constant", "cast", "transpose", "constant"]);
        let none = std::collections::BTreeMap::new();
        assert_eq!(eval::evaluate(&folded, &none, None), eval::evaluate(&graph, &none, None));
    }

    /// Weights of few bits stay what they are, and so does what scales them; a sum over them is a small constant like any other.
    #[test]
    fn packed_weights_stay() {
        let mut graph = Graph::default();
        let held = Op::Constant(Constant { encoding: Encoding::I4, bytes: Some(vec![0x12; 64].into()) });
        let held = graph.push_typed(held, &[], TensorType::new(ElementType::I32, [2, 64]), "");
        let real = graph.push(Op::Cast(ElementType::F32), &[held], "").unwrap();
        let scale = Tensor::f32([], [0.5]);
        let scale = graph.push_typed(Op::Constant(scale.to_constant()), &[], scale.ty(), "");
        let scaled = graph.push(Op::Binary(BinaryOp::Mul), &[real, scale], "").unwrap();
        let sum = graph.push(Op::Reduce { op: crate::graph::ReduceOp::Sum, axis: 1 }, &[scaled], "").unwrap();
        graph.outputs = vec![("scaled".into(), scaled), ("sum".into(), sum)];
        let folded = fold(graph.clone());
        let names: Vec<&str> = folded.nodes.values().map(|node| node.op.name()).collect();
        assert_eq!(names, ["constant", "cast", "constant", "mul", "constant"]);
        let none = std::collections::BTreeMap::new();
        assert_eq!(eval::evaluate(&folded, &none, None), eval::evaluate(&graph, &none, None));
    }

    /// Absent constants are neither evaluated nor merged; an expression without a value stays.
    #[test]
    fn leaves_the_unknown() {
        let mut graph = Graph::default();
        let ty = TensorType::new(ElementType::F32, [2]);
        let absent = || Op::Constant(Constant { encoding: Encoding::F16, bytes: None });
        let a = graph.push_typed(absent(), &[], ty.clone(), "a");
        let b = graph.push_typed(absent(), &[], ty, "b");
        let index = Tensor::i32([], [7]);
        let index = graph.push_typed(Op::Constant(index.to_constant()), &[], index.ty(), "");
        let row = Tensor::f32([1], [0.0]);
        let row = graph.push_typed(Op::Constant(row.to_constant()), &[], row.ty(), "");
        let sum = graph.push(Op::Binary(BinaryOp::Add), &[a, b], "").unwrap();
        let none = graph.push(Op::Gather { axis: 0 }, &[row, index], "").unwrap();
        graph.outputs = vec![("sum".into(), sum), ("none".into(), none)];
        assert_eq!(fold(graph.clone()), graph);
    }
}

//! The graph under construction: equal nodes are made once, and every node knows whether it is a constant expression.

use crate::graph::{
    BinaryOp, Constant, ElementType, Encoding, Graph, NodeId, Op, TensorType, UnaryOp, shape,
};
use cranelift_entity::SecondaryMap;
use half::f16;
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};

/// Constants up to this many bytes are compared by content; larger ones count as different.
const COMPARED_BYTES: usize = 4096;

/// A change of shape or of the order of axes, as [`super::sink`] carries it through pointwise operators.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Move {
    /// To this shape, row-major order kept.
    Reshape(Vec<usize>),
    /// Output axis i is input axis permutation[i].
    Transpose(Vec<usize>),
}

/// A graph that grows by smart constructors.
#[derive(Default)]
pub(super) struct Builder {
    /// What has been made so far, dead nodes included.
    pub(super) graph: Graph,
    /// The source node that new nodes are attributed to.
    pub(super) origin: String,
    /// Names of inputs that are states: these stay in one layout.
    pub(super) states: BTreeSet<String>,
    /// Results of moves that were tried.
    pub(super) moved: BTreeMap<(NodeId, Move), Option<NodeId>>,
    constant: SecondaryMap<NodeId, bool>,
    shared: SecondaryMap<NodeId, bool>,
    known: IndexMap<(Op, Vec<NodeId>, TensorType), NodeId>,
}

impl Builder {
    /// A node whose type follows from its inputs. Panics when they do not agree, which is a bug of the caller.
    pub(super) fn emit(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let types: Vec<&TensorType> = inputs.iter().map(|&input| &self.graph.nodes[input].ty).collect();
        match shape::infer(&op, &types) {
            Ok(ty) => self.emit_typed(op, inputs, ty),
            Err(what) => panic!("legalization of {} made an ill-typed node: {what}", self.origin),
        }
    }

    /// A node of a given type, or the equal one that exists.
    pub(super) fn emit_typed(&mut self, op: Op, inputs: &[NodeId], ty: TensorType) -> NodeId {
        let compared = match &op {
            Op::Constant(constant) => {
                constant.bytes.as_ref().is_some_and(|bytes| bytes.len() <= COMPARED_BYTES)
            }
            _ => true,
        };
        let key = (op, inputs.to_vec(), ty);
        if compared && let Some(&node) = self.known.get(&key) {
            return node;
        }
        let (op, _, ty) = key.clone();
        let constant = match &op {
            Op::Constant(_) => true,
            Op::Input(_) => false,
            _ => inputs.iter().all(|&input| self.constant[input]),
        };
        let node = self.graph.push_typed(op, inputs, ty, &self.origin);
        self.constant[node] = constant;
        if compared {
            self.known.insert(key, node);
        }
        node
    }

    /// Whether all ancestors are constants, so that the value is known when the program is made.
    pub(super) fn is_constant(&self, node: NodeId) -> bool {
        self.constant[node]
    }

    /// Whether the model uses this tensor more than once, so that a variant of it would be extra work.
    pub(super) fn is_shared(&self, node: NodeId) -> bool {
        self.shared[node]
    }

    /// Records that the model uses this tensor more than once.
    pub(super) fn set_shared(&mut self, node: NodeId) {
        self.shared[node] = true;
    }

    /// Whether the host gives this tensor, in elements of a type, for the run.
    pub(super) fn is_given(&self, node: NodeId, element: ElementType) -> bool {
        matches!(self.op(node), Op::Input(name) if !self.states.contains(name))
            && self.element(node) == element
    }

    /// Operator of a node.
    pub(super) fn op(&self, node: NodeId) -> &Op {
        &self.graph.nodes[node].op
    }

    /// Inputs of a node.
    pub(super) fn inputs(&self, node: NodeId) -> Vec<NodeId> {
        self.graph.nodes[node].inputs.clone()
    }

    /// First input of a node.
    pub(super) fn input(&self, node: NodeId) -> NodeId {
        self.graph.nodes[node].inputs[0]
    }

    /// Shape of a tensor.
    pub(super) fn shape(&self, node: NodeId) -> Vec<usize> {
        self.graph.shape(node).to_vec()
    }

    /// Element type of a tensor.
    pub(super) fn element(&self, node: NodeId) -> ElementType {
        self.graph.nodes[node].ty.element
    }

    /// Number of axes of a tensor.
    pub(super) fn rank(&self, node: NodeId) -> usize {
        self.graph.shape(node).len()
    }

    /// Pointwise node of one operand.
    pub(super) fn unary(&mut self, op: UnaryOp, a: NodeId) -> NodeId {
        self.pointwise(Op::Unary(op), &[a])
    }

    /// Pointwise node of two operands.
    pub(super) fn binary(&mut self, op: BinaryOp, a: NodeId, b: NodeId) -> NodeId {
        self.pointwise(Op::Binary(op), &[a, b])
    }

    /// Pointwise node: where true a, else b.
    pub(super) fn select(&mut self, condition: NodeId, a: NodeId, b: NodeId) -> NodeId {
        self.pointwise(Op::Select, &[condition, a, b])
    }

    /// Cast, or nothing where the element is right already.
    pub(super) fn cast(&mut self, to: ElementType, a: NodeId) -> NodeId {
        let a = if to.is_narrow() { a } else { super::narrow::wide(self, a).unwrap_or(a) };
        if self.element(a) == to { a } else { self.pointwise(Op::Cast(to), &[a]) }
    }

    /// Pointwise node. Operands that were expanded only to agree with the others are taken unexpanded.
    pub(super) fn pointwise(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let target = self.broadcast(inputs);
        let mut inputs = inputs.to_vec();
        for i in 0..inputs.len() {
            while matches!(self.op(inputs[i]), Op::Expand { .. }) {
                let expanded = inputs[i];
                inputs[i] = self.input(expanded);
                if self.broadcast(&inputs) != target {
                    inputs[i] = expanded;
                    break;
                }
            }
        }
        self.emit(op, &inputs)
    }

    /// Shape that some tensors broadcast to.
    fn broadcast(&self, inputs: &[NodeId]) -> Vec<usize> {
        inputs.iter().fold(Vec::new(), |shape, &input| {
            // Operands of one operator agree: they were typed before.
            shape::broadcast(&shape, self.graph.shape(input)).unwrap_or(shape)
        })
    }

    /// The value of every element of a constant expression, if they are equal.
    pub(super) fn uniform(&self, x: NodeId) -> Option<f64> {
        if self.constant[x] { super::constants::uniform(&self.graph, x) } else { None }
    }

    /// A constant vector.
    pub(super) fn vector(&mut self, values: &[f32]) -> NodeId {
        self.data(Encoding::F32, values.iter().flat_map(|x| x.to_le_bytes()).collect(), vec![values.len()])
    }

    /// A Bool vector of n elements, one of which is true.
    pub(super) fn only(&mut self, at: usize, n: usize) -> NodeId {
        self.data(Encoding::Bool, (0..n).map(|i| u8::from(i == at)).collect(), vec![n])
    }

    /// A constant of one element of a given type and bits, shape [1].
    pub(super) fn scalar(&mut self, element: ElementType, bits: u32) -> NodeId {
        match element {
            ElementType::F32 => self.real(f32::from_bits(bits)),
            // Elements of eight bits have been refused, and are padded with zeros alone.
            ElementType::I32 | ElementType::I8 | ElementType::F8 => self.integer(bits as i32),
            ElementType::Bool => self.only(1 - (bits & 1) as usize, 1),
        }
    }

    /// A constant of one element, shape [1].
    pub(super) fn real(&mut self, value: f32) -> NodeId {
        self.data(Encoding::F32, value.to_le_bytes().to_vec(), vec![1])
    }

    /// An integer constant of one element, shape [1].
    pub(super) fn integer(&mut self, value: i32) -> NodeId {
        self.integers(vec![value], &[1])
    }

    /// A zero of an element type, shape [1].
    pub(super) fn zero(&mut self, element: ElementType) -> NodeId {
        self.scalar(element, 0)
    }

    /// The integers 0 .. n, shape [n].
    pub(super) fn iota(&mut self, n: usize) -> NodeId {
        self.integers((0..n as i32).collect(), &[n])
    }

    /// A constant of integers.
    pub(super) fn integers(&mut self, values: Vec<i32>, shape: &[usize]) -> NodeId {
        self.data(Encoding::I32, values.into_iter().flat_map(i32::to_le_bytes).collect(), shape.to_vec())
    }

    /// A Bool identity matrix, shape [n, n].
    pub(super) fn diagonal(&mut self, n: usize) -> NodeId {
        self.data(Encoding::Bool, (0..n * n).map(|i| u8::from(i / n == i % n)).collect(), vec![n, n])
    }

    /// A Bool matrix of blocks on the diagonal: as many as there are groups of rows and columns.
    pub(super) fn blocks(&mut self, rows: usize, columns: usize, groups: usize) -> NodeId {
        let inside = |i: usize| i / columns * groups / rows == i % columns * groups / columns;
        self.data(
            Encoding::Bool,
            (0..rows * columns).map(|i| u8::from(inside(i))).collect(),
            vec![rows, columns],
        )
    }

    /// A matrix that selects columns: row i has a one in column `columns[i]` of `width`.
    pub(super) fn selection(&mut self, columns: &[usize], width: usize) -> NodeId {
        let one = f16::ONE.to_le_bytes();
        let mut bytes = vec![0; columns.len() * width * 2];
        for (row, &column) in columns.iter().enumerate() {
            let at = (row * width + column) * 2;
            bytes[at..at + 2].copy_from_slice(&one);
        }
        self.data(Encoding::F16, bytes, vec![columns.len(), width])
    }

    /// Ones, shape [rows, columns].
    pub(super) fn ones(&mut self, rows: usize, columns: usize) -> NodeId {
        let bytes = half::f16::ONE.to_le_bytes().repeat(rows * columns);
        self.data(Encoding::F16, bytes, vec![rows, columns])
    }

    /// An identity matrix, shape [n, n].
    pub(super) fn identity(&mut self, n: usize) -> NodeId {
        self.selection(&(0..n).collect::<Vec<_>>(), n)
    }

    fn data(&mut self, encoding: Encoding, bytes: Vec<u8>, shape: Vec<usize>) -> NodeId {
        let constant = Constant { encoding, bytes: Some(bytes.into()) };
        self.emit_typed(Op::Constant(constant), &[], TensorType::new(encoding.element(), shape))
    }

    /// If a node is a product of an identity matrix with x, transposed, then x: the node is x with its last axes exchanged. Or if it says so.
    pub(super) fn exchanged(&self, node: NodeId) -> Option<NodeId> {
        let node = &self.graph.nodes[node];
        if let Op::Transpose { permutation } = &node.op {
            let rank = permutation.len();
            let own = |to: usize| if to + 2 < rank { to } else { 2 * rank - 3 - to };
            let exchanged = rank > 1 && permutation.iter().enumerate().all(|(to, &from)| from == own(to));
            return exchanged.then_some(node.inputs[0]);
        }
        if node.op != (Op::MatMul { transpose_b: true })
            || !super::constants::is_identity(&self.graph, node.inputs[0])
        {
            return None;
        }
        Some(node.inputs[1])
    }
}

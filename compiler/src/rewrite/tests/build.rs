//! Graphs by hand, with random weights and inputs.

use std::collections::BTreeMap;

use crate::graph::eval::Tensor;
use crate::graph::{
    BinaryOp, Constant, ElementType, Encoding, Graph, NodeId, Op, ReduceOp, State, TensorType, UnaryOp,
};

/// A graph under construction, and values for its inputs.
pub(super) struct Build {
    pub(super) graph: Graph,
    pub(super) values: BTreeMap<String, Tensor>,
    seed: u64,
    /// Origin of new nodes.
    pub(super) origin: String,
}

impl Build {
    pub(super) fn new(seed: u64) -> Build {
        Build { graph: Graph::default(), values: BTreeMap::new(), seed, origin: String::new() }
    }

    /// Numbers between ½ and 1, of either sign: nothing vanishes, nothing cancels altogether.
    fn random(&mut self, count: usize) -> Vec<f32> {
        let mut next = || {
            self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let magnitude = 0.5 + ((self.seed >> 40) as f32) / (1 << 25) as f32;
            if self.seed >> 63 == 1 { -magnitude } else { magnitude }
        };
        (0..count).map(|_| next()).collect()
    }

    /// An input of the host.
    pub(super) fn input(&mut self, shape: &[usize]) -> NodeId {
        let name = format!("input{}", self.graph.inputs.len());
        let data = self.random(shape.iter().product());
        self.values.insert(name.clone(), Tensor::f32(shape, data));
        let node = self.typed(Op::Input(name), shape);
        self.graph.inputs.push(node);
        node
    }

    /// An input without anything below zero.
    pub(super) fn positive(&mut self, shape: &[usize]) -> NodeId {
        let x = self.input(shape);
        self.unary(UnaryOp::Abs, x)
    }

    /// A constant with random elements.
    pub(super) fn weights(&mut self, shape: &[usize]) -> NodeId {
        let data = self.random(shape.iter().product());
        self.constant(shape, &data)
    }

    /// A constant.
    pub(super) fn constant(&mut self, shape: &[usize], data: &[f32]) -> NodeId {
        let bytes: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.typed(Op::Constant(Constant { encoding: Encoding::F32, bytes: Some(bytes.into()) }), shape)
    }

    pub(super) fn scalar(&mut self, value: f32) -> NodeId {
        self.constant(&[], &[value])
    }

    /// An integer that the host gives.
    pub(super) fn position(&mut self, value: i32) -> NodeId {
        self.values.insert("position".to_owned(), Tensor::i32([], [value]));
        let ty = TensorType::new(ElementType::I32, []);
        let node = self.graph.push_typed(Op::Input("position".to_owned()), &[], ty, "");
        self.graph.inputs.push(node);
        node
    }

    /// A state of which rows from `position` on are replaced by `new`; gives the new state.
    pub(super) fn state(&mut self, name: &str, capacity: usize, new: NodeId, position: NodeId) -> NodeId {
        let mut shape = self.graph.shape(new).to_vec();
        shape[2] = capacity;
        let input = self.typed(Op::Input(name.to_owned()), &shape);
        let output = self.op(Op::Append { axis: 2 }, &[input, new, position]);
        let output_name = format!("{name}.new");
        self.graph.states.push(State { input, output, input_name: name.to_owned(), output_name });
        output
    }

    pub(super) fn typed(&mut self, op: Op, shape: &[usize]) -> NodeId {
        let origin = self.origin.clone();
        self.graph.push_typed(op, &[], TensorType::new(ElementType::F32, shape), &origin)
    }

    pub(super) fn op(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let origin = self.origin.clone();
        self.graph.push(op, inputs, &origin).expect("a test builds sound graphs")
    }

    pub(super) fn unary(&mut self, op: UnaryOp, a: NodeId) -> NodeId {
        self.op(Op::Unary(op), &[a])
    }

    pub(super) fn binary(&mut self, op: BinaryOp, a: NodeId, b: NodeId) -> NodeId {
        self.op(Op::Binary(op), &[a, b])
    }

    pub(super) fn mul(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.binary(BinaryOp::Mul, a, b)
    }

    pub(super) fn add(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.binary(BinaryOp::Add, a, b)
    }

    pub(super) fn matmul(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.op(Op::MatMul { transpose_b: false }, &[a, b])
    }

    pub(super) fn matmul_t(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.op(Op::MatMul { transpose_b: true }, &[a, b])
    }

    /// `a` times weights `[k, n]`, or the other way round and transposed.
    pub(super) fn product(&mut self, transposed: bool, a: NodeId, k: usize, n: usize) -> NodeId {
        let w = self.weights(&if transposed { [n, k] } else { [k, n] });
        if transposed { self.matmul_t(a, w) } else { self.matmul(a, w) }
    }

    pub(super) fn sum(&mut self, a: NodeId, axis: usize) -> NodeId {
        self.op(Op::Reduce { op: ReduceOp::Sum, axis }, &[a])
    }

    pub(super) fn reshape(&mut self, a: NodeId, shape: &[usize]) -> NodeId {
        self.op(Op::Reshape { shape: shape.to_vec() }, &[a])
    }

    pub(super) fn transpose(&mut self, a: NodeId, permutation: &[usize]) -> NodeId {
        self.op(Op::Transpose { permutation: permutation.to_vec() }, &[a])
    }

    pub(super) fn slice(&mut self, a: NodeId, axis: usize, start: usize, count: usize) -> NodeId {
        self.op(Op::Slice { axis, start, count, step: 1 }, &[a])
    }

    /// `concat(−second half, first half)` along the last axis, as rotary embeddings have it.
    pub(super) fn rotate_half(&mut self, a: NodeId) -> NodeId {
        let shape = self.graph.shape(a);
        let (axis, half) = (shape.len() - 1, shape[shape.len() - 1] / 2);
        let first = self.slice(a, axis, 0, half);
        let second = self.slice(a, axis, half, half);
        let negative = self.unary(UnaryOp::Neg, second);
        self.op(Op::Concat { axis }, &[negative, first])
    }
}

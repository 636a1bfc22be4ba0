//! Graphs computed before and after legalization.

mod attention;
mod models;
mod products;
mod rules;

use super::legalize;
use crate::Precision;
use crate::graph::eval::{Data, Tensor, evaluate};
use crate::graph::{
    BinaryOp, Constant, ElementType, Encoding, Graph, NodeId, Op, ReduceOp, State, TensorType, UnaryOp,
};
use std::collections::BTreeMap;

/// A graph and values for its inputs, filled from a fixed sequence.
#[derive(Default)]
pub(super) struct Model {
    graph: Graph,
    values: BTreeMap<String, Tensor>,
    state: u64,
}

impl Model {
    /// Next number of the sequence, in [−1, 1).
    fn random(&mut self) -> f32 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn randoms(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.random()).collect()
    }

    fn input(&mut self, name: &str, tensor: Tensor) -> NodeId {
        let node = self.graph.push_typed(Op::Input(name.to_owned()), &[], tensor.ty(), name);
        self.graph.inputs.push(node);
        self.values.insert(name.to_owned(), tensor);
        node
    }

    /// An input of random numbers.
    fn random_input(&mut self, name: &str, shape: &[usize]) -> NodeId {
        let data = self.randoms(shape.iter().product());
        self.input(name, Tensor::f32(shape, data))
    }

    fn constant(&mut self, shape: &[usize], data: &[f32]) -> NodeId {
        let bytes: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        let constant = Constant { encoding: Encoding::F32, bytes: Some(bytes.into()) };
        self.graph.push_typed(
            Op::Constant(constant),
            &[],
            TensorType::new(ElementType::F32, shape),
            "constant",
        )
    }

    fn integers(&mut self, shape: &[usize], data: &[i32]) -> NodeId {
        let bytes: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        let constant = Constant { encoding: Encoding::I32, bytes: Some(bytes.into()) };
        self.graph.push_typed(
            Op::Constant(constant),
            &[],
            TensorType::new(ElementType::I32, shape),
            "integers",
        )
    }

    /// Random weights.
    fn weights(&mut self, shape: &[usize]) -> NodeId {
        let data = self.randoms(shape.iter().product());
        self.constant(shape, &data)
    }

    fn push(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let origin = format!("{}_{}", op.name(), self.graph.nodes.len());
        self.graph.push(op, inputs, &origin).unwrap()
    }

    fn unary(&mut self, op: UnaryOp, x: NodeId) -> NodeId {
        self.push(Op::Unary(op), &[x])
    }

    fn binary(&mut self, op: BinaryOp, x: NodeId, y: NodeId) -> NodeId {
        self.push(Op::Binary(op), &[x, y])
    }

    /// With a constant scalar.
    fn with(&mut self, op: BinaryOp, x: NodeId, y: f32) -> NodeId {
        let y = self.constant(&[], &[y]);
        self.binary(op, x, y)
    }

    fn matmul(&mut self, x: NodeId, y: NodeId) -> NodeId {
        self.push(Op::MatMul { transpose_b: false }, &[x, y])
    }

    fn reshape(&mut self, x: NodeId, shape: &[usize]) -> NodeId {
        self.push(Op::Reshape { shape: shape.to_vec() }, &[x])
    }

    fn transpose(&mut self, x: NodeId, permutation: &[usize]) -> NodeId {
        self.push(Op::Transpose { permutation: permutation.to_vec() }, &[x])
    }

    fn slice(&mut self, x: NodeId, axis: usize, start: usize, count: usize) -> NodeId {
        self.push(Op::Slice { axis, start, count, step: 1 }, &[x])
    }

    fn mean(&mut self, x: NodeId) -> NodeId {
        let axis = self.graph.shape(x).len() - 1;
        let n = self.graph.shape(x)[axis];
        let sum = self.push(Op::Reduce { op: ReduceOp::Sum, axis }, &[x]);
        self.with(BinaryOp::Div, sum, n as f32)
    }

    fn output(&mut self, name: &str, node: NodeId) {
        self.graph.outputs.push((name.to_owned(), node));
    }

    /// Legalizes at both precisions and compares every output and state; gives the binary16 form back.
    fn check(self, tolerance: f32) -> Graph {
        self.graph.verify().unwrap();
        let expected = evaluate(&self.graph, &self.values, None).unwrap();
        let chip = isa::Chip::preset("tsp-v1").unwrap();
        let [half, full] = [Precision::Fp16, Precision::Fp32].map(|precision| {
            let legal = legalize(self.graph.clone(), precision, &chip).unwrap();
            legal.verify().unwrap();
            let names = |graph: &Graph| -> Vec<String> {
                let mut names: Vec<String> =
                    graph.inputs.iter().map(|&id| format!("{:?}", graph.nodes[id].op)).collect();
                names.dedup();
                names
            };
            assert_eq!(names(&legal), names(&self.graph));
            let values = evaluate(&legal, &self.values, None).unwrap();
            for (name, expected) in &expected {
                let by_columns = || exchanged(&values[&format!("{name}{}", super::COLUMNS)]);
                let value = values.get(name).cloned().unwrap_or_else(by_columns);
                compare(name, &value, expected, tolerance);
            }
            legal
        });
        // Parts add products, never other kinds of work.
        assert!(count(&full, "matmul") >= count(&half, "matmul"));
        half
    }

    /// Legalizes, expecting a refusal.
    fn refused(self) -> String {
        let chip = isa::Chip::preset("tsp-v1").unwrap();
        let error = legalize(self.graph, Precision::Fp16, &chip).unwrap_err();
        assert_eq!(error.code, "cannot-lower");
        error.to_string()
    }
}

/// Equal in type and shape (a scalar may have become [1]); real elements within a relative and absolute tolerance.
/// A tensor with its last two axes exchanged.
fn exchanged(tensor: &Tensor) -> Tensor {
    let Data::F32(values) = &tensor.data else { panic!("a cache of real numbers") };
    let [leading @ .., rows, columns] = &tensor.shape[..] else { panic!("a cache of matrices") };
    let (mut shape, mut data) = (leading.to_vec(), Vec::new());
    shape.extend([*columns, *rows]);
    for matrix in values.chunks(rows * columns) {
        data.extend((0..*columns).flat_map(|at| matrix.iter().skip(at).step_by(*columns)));
    }
    Tensor::f32(shape, data)
}

fn compare(name: &str, is: &Tensor, expected: &Tensor, tolerance: f32) {
    assert_eq!(is.shape, if expected.shape.is_empty() { vec![1] } else { expected.shape.clone() }, "{name}");
    let (Data::F32(is), Data::F32(expected)) = (&is.data, &expected.data) else {
        assert_eq!(is.data, expected.data, "{name}");
        return;
    };
    for (i, (&x, &y)) in is.iter().zip(expected).enumerate() {
        let close = (x - y).abs() <= tolerance * y.abs().max(1.0) || x == y || (x.is_nan() && y.is_nan());
        assert!(close, "{name}[{i}]: {x}, expected {y}");
    }
}

/// Number of runtime nodes of a kind.
fn count(graph: &Graph, name: &str) -> usize {
    let constant = crate::graph::eval::is_constant(graph);
    graph.nodes.iter().filter(|(id, node)| !constant[*id] && node.op.name() == name).count()
}

/// Number of runtime nodes that move elements between lanes.
fn lane_moves(graph: &Graph) -> usize {
    let constant = crate::graph::eval::is_constant(graph);
    let moves = |node: &crate::graph::Node| {
        let lanes = node.ty.shape.len().wrapping_sub(1);
        match &node.op {
            Op::Slice { axis, .. } | Op::Concat { axis } | Op::Pad { axis, .. } => *axis == lanes,
            Op::Reshape { shape } => shape.last() != graph.shape(node.inputs[0]).last(),
            _ => false,
        }
    };
    graph.nodes.iter().filter(|(id, node)| !constant[*id] && moves(node)).count()
}

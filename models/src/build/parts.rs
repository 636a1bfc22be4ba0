//! The pieces that all graphs are put together from.

use compiler::graph::eval::Tensor;
use compiler::graph::{
    BinaryOp, Constant, ElementType, Encoding, Graph, NodeId, Op, ReduceOp, TensorType, UnaryOp,
};

use crate::Config;

/// A graph under construction.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) graph: Graph,
}

/// What making a node gives; errors name shapes that do not agree.
pub(super) type Made = Result<NodeId, String>;

impl Parts<'_> {
    pub(super) fn input(&mut self, name: &str, element: ElementType, shape: &[usize]) -> NodeId {
        let ty = TensorType { element, shape: shape.to_vec() };
        self.graph.push_typed(Op::Input(name.to_owned()), &[], ty, name)
    }

    /// An input that the host gives each time.
    pub(super) fn given(&mut self, name: &str, element: ElementType, shape: &[usize]) -> NodeId {
        let input = self.input(name, element, shape);
        self.graph.inputs.push(input);
        input
    }

    pub(super) fn output(&mut self, name: &str, node: NodeId) {
        self.graph.outputs.push((name.to_owned(), node));
    }

    pub(super) fn constant(&mut self, tensor: Tensor, name: &str) -> NodeId {
        let ty = tensor.ty();
        self.graph.push_typed(Op::Constant(tensor.to_constant()), &[], ty, name)
    }

    pub(super) fn real(&mut self, value: f32) -> NodeId {
        self.constant(Tensor::f32([1], vec![value]), "")
    }

    pub(super) fn integer(&mut self, value: i32) -> NodeId {
        self.constant(Tensor::i32([1], [value]), "")
    }

    /// A constant that is published with the model, whose values are not here.
    pub(super) fn weight(&mut self, name: &str, shape: &[usize]) -> NodeId {
        self.encoded(name, shape, Encoding::F16)
    }

    /// The same, in some encoding.
    pub(super) fn encoded(&mut self, name: &str, shape: &[usize], encoding: Encoding) -> NodeId {
        let ty = TensorType { element: ElementType::F32, shape: shape.to_vec() };
        let absent = Constant { encoding, bytes: None };
        self.graph.push_typed(Op::Constant(absent), &[], ty, name)
    }

    pub(super) fn push(&mut self, op: Op, inputs: &[NodeId], name: &str) -> Made {
        self.graph.push(op, inputs, name)
    }

    pub(super) fn binary(&mut self, op: BinaryOp, a: NodeId, b: NodeId, name: &str) -> Made {
        self.push(Op::Binary(op), &[a, b], name)
    }

    pub(super) fn unary(&mut self, op: UnaryOp, a: NodeId, name: &str) -> Made {
        self.push(Op::Unary(op), &[a], name)
    }

    pub(super) fn reduce(&mut self, op: ReduceOp, a: NodeId, axis: usize, name: &str) -> Made {
        self.push(Op::Reduce { op, axis }, &[a], name)
    }

    pub(super) fn reshape(&mut self, a: NodeId, shape: &[usize], name: &str) -> Made {
        self.push(Op::Reshape { shape: shape.to_vec() }, &[a], name)
    }

    pub(super) fn transpose(&mut self, a: NodeId, permutation: &[usize], name: &str) -> Made {
        self.push(Op::Transpose { permutation: permutation.to_vec() }, &[a], name)
    }

    /// So many elements of the last axis, from `start` on.
    pub(super) fn slice(&mut self, a: NodeId, start: usize, count: usize, name: &str) -> Made {
        let axis = self.graph.shape(a).len().saturating_sub(1);
        self.push(Op::Slice { axis, start, count, step: 1 }, &[a], name)
    }

    pub(super) fn matmul(&mut self, a: NodeId, b: NodeId, name: &str) -> Made {
        self.push(Op::MatMul { transpose_b: false }, &[a, b], name)
    }

    pub(super) fn linear(&mut self, x: NodeId, name: &str, outputs: usize) -> Made {
        self.product(x, name, outputs, Encoding::F16)
    }

    /// A product with a matrix that is published in some encoding.
    pub(super) fn product(&mut self, x: NodeId, name: &str, outputs: usize, encoding: Encoding) -> Made {
        let inputs = self.graph.shape(x).last().copied().unwrap_or(1);
        let weight = self.encoded(&format!("{name}.weight"), &[inputs, outputs], encoding);
        self.matmul(x, weight, name)
    }

    /// A product, and a vector added to it where `bias` says so.
    pub(super) fn affine(&mut self, x: NodeId, name: &str, outputs: usize, bias: bool) -> Made {
        let product = self.linear(x, name, outputs)?;
        if !bias {
            return Ok(product);
        }
        let vector = self.weight(&format!("{name}.bias"), &[outputs]);
        self.binary(BinaryOp::Add, product, vector, name)
    }

    /// a · number.
    pub(super) fn scaled(&mut self, a: NodeId, number: f32, name: &str) -> Made {
        let number = self.real(number);
        self.binary(BinaryOp::Mul, a, number, name)
    }
}

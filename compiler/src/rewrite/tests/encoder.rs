//! An encoder layer with biases, means and a directly transposed key, before and after.

use super::build::Build;
use super::same;
use crate::graph::eval::is_constant;
use crate::graph::{BinaryOp, Graph, NodeId, Op, UnaryOp};

const ROWS: usize = 3;
const HEADS: usize = 2;
const LANES: usize = 4;
const WIDTH: usize = HEADS * LANES;

fn linear(b: &mut Build, x: NodeId, inputs: usize, outputs: usize) -> NodeId {
    let y = b.product(true, x, inputs, outputs);
    let bias = b.weights(&[outputs]);
    b.add(bias, y)
}

fn mean(b: &mut Build, x: NodeId) -> NodeId {
    let count = b.scalar(WIDTH as f32);
    let sum = b.sum(x, 2);
    b.binary(BinaryOp::Div, sum, count)
}

fn norm(b: &mut Build, x: NodeId) -> NodeId {
    let middle = mean(b, x);
    let centred = b.binary(BinaryOp::Sub, x, middle);
    let two = b.scalar(2.0);
    let square = b.binary(BinaryOp::Pow, centred, two);
    let variance = mean(b, square);
    let tiny = b.scalar(1e-12);
    let variance = b.add(variance, tiny);
    let root = b.unary(UnaryOp::Sqrt, variance);
    let normal = b.binary(BinaryOp::Div, centred, root);
    let (gain, bias) = (b.weights(&[WIDTH]), b.weights(&[WIDTH]));
    let scaled = b.mul(normal, gain);
    b.add(scaled, bias)
}

fn attention(b: &mut Build, x: NodeId) -> NodeId {
    let mut heads = |permutation: [usize; 4]| {
        let y = linear(b, x, WIDTH, WIDTH);
        let y = b.reshape(y, &[1, ROWS, HEADS, LANES]);
        b.transpose(y, &permutation)
    };
    let (q, k, v) = (heads([0, 2, 1, 3]), heads([0, 2, 3, 1]), heads([0, 2, 1, 3]));
    let scores = b.matmul(q, k);
    let scale = b.scalar((LANES as f32).sqrt());
    let scores = b.binary(BinaryOp::Div, scores, scale);
    let weights = b.op(Op::Softmax { axis: 3 }, &[scores]);
    let o = b.matmul(weights, v);
    let o = b.transpose(o, &[0, 2, 1, 3]);
    let o = b.reshape(o, &[1, ROWS, WIDTH]);
    linear(b, o, WIDTH, WIDTH)
}

/// x (1 + erf(x / √2)) / 2
fn gelu(b: &mut Build, x: NodeId) -> NodeId {
    let (root, one, half) = (b.scalar(2f32.sqrt()), b.scalar(1.0), b.scalar(0.5));
    let scaled = b.binary(BinaryOp::Div, x, root);
    let erf = b.unary(UnaryOp::Erf, scaled);
    let erf = b.add(erf, one);
    let product = b.mul(x, erf);
    b.mul(product, half)
}

/// Operators outside constant expressions that move lanes: reshapes and transposes of the last axis.
fn lane_moves(graph: &Graph) -> usize {
    let constant = is_constant(graph);
    let moves = |node: &crate::graph::Node| {
        let from = node.inputs.first().map(|&input| graph.shape(input));
        match &node.op {
            Op::Reshape { shape } => from.is_some_and(|from| from.last() != shape.last()),
            Op::Transpose { permutation } => permutation.last() != Some(&(permutation.len() - 1)),
            _ => false,
        }
    };
    graph.nodes.iter().filter(|(id, node)| !constant[*id] && moves(node)).count()
}

#[test]
fn an_encoder_layer_stays_the_same_without_lane_moves() {
    let mut b = Build::new(3);
    let x = b.input(&[1, ROWS, WIDTH]);
    let x = norm(&mut b, x);
    let attended = attention(&mut b, x);
    let x = b.add(attended, x);
    let x = norm(&mut b, x);
    let inner = linear(&mut b, x, WIDTH, 12);
    let inner = gelu(&mut b, inner);
    let y = linear(&mut b, inner, 12, WIDTH);
    let y = b.add(y, x);
    b.graph.outputs.push(("y".to_owned(), y));
    assert_eq!(lane_moves(&b.graph), 5);
    assert_eq!(lane_moves(&same(&b)), 0);
}

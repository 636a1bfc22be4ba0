//! A small decoder, as exporters write it, before and after.

use std::fmt::Write;

use super::build::Build;
use super::{chip, hold, same};
use crate::graph::eval::{Tensor, node_values};
use crate::graph::{BinaryOp, Graph, NodeId, Op, UnaryOp};
use crate::rewrite::{GROUPS, RewriteOptions, optimize, optimize_with, rules, saturate, segment};

/// Sizes of the decoder.
#[derive(Clone, Copy)]
pub(super) struct Decoder {
    layers: usize,
    rows: usize,
    heads: usize,
    shared: usize,
    lanes: usize,
    inner: usize,
    context: usize,
}

const SMALL: Decoder = Decoder { layers: 1, rows: 1, heads: 4, shared: 2, lanes: 4, inner: 24, context: 6 };
pub(super) const REAL: Decoder =
    Decoder { layers: 1, rows: 1, heads: 9, shared: 3, lanes: 64, inner: 1536, context: 512 };

/// What all layers use.
struct Common {
    cos: NodeId,
    sin: NodeId,
    mask: NodeId,
    position: NodeId,
}

impl Decoder {
    pub(super) fn build(self, seed: u64) -> Build {
        let mut b = Build::new(seed);
        let mut x = b.input(&[1, self.rows, self.heads * self.lanes]);
        let cos = b.input(&[1, self.rows, self.lanes]);
        let sin = b.input(&[1, self.rows, self.lanes]);
        let mask = b.input(&[1, 1, self.rows, self.context]);
        let position = b.position(2);
        let cos = b.reshape(cos, &[1, 1, self.rows, self.lanes]);
        let sin = b.reshape(sin, &[1, 1, self.rows, self.lanes]);
        let common = Common { cos, sin, mask, position };
        for layer in 0..self.layers {
            b.origin = format!("layer{layer}");
            let y = self.norm(&mut b, x);
            let attention = self.attention(&mut b, y, &common, layer);
            x = b.add(x, attention);
            let y = self.norm(&mut b, x);
            let inner = self.feed_forward(&mut b, y);
            x = b.add(x, inner);
        }
        b.graph.outputs.push(("x".to_owned(), x));
        b
    }

    fn norm(self, b: &mut Build, x: NodeId) -> NodeId {
        let width = self.heads * self.lanes;
        let (two, count, tiny) = (b.scalar(2.0), b.scalar(width as f32), b.constant(&[1], &[1e-5]));
        let square = b.binary(BinaryOp::Pow, x, two);
        let sum = b.sum(square, 2);
        let mean = b.binary(BinaryOp::Div, sum, count);
        let mean = b.add(mean, tiny);
        let root = b.unary(UnaryOp::Sqrt, mean);
        let normal = b.binary(BinaryOp::Div, x, root);
        let gain = b.weights(&[width]);
        b.mul(gain, normal)
    }

    fn heads(self, b: &mut Build, y: NodeId, heads: usize) -> NodeId {
        let x = b.product(false, y, self.heads * self.lanes, heads * self.lanes);
        let x = b.reshape(x, &[1, self.rows, heads, self.lanes]);
        b.transpose(x, &[0, 2, 1, 3])
    }

    fn rotary(self, b: &mut Build, x: NodeId, common: &Common) -> NodeId {
        let rotated = b.rotate_half(x);
        let (straight, crossed) = (b.mul(x, common.cos), b.mul(rotated, common.sin));
        b.add(straight, crossed)
    }

    fn repeat(self, b: &mut Build, x: NodeId) -> NodeId {
        let (shared, each) = (self.shared, self.heads / self.shared);
        let x = b.reshape(x, &[1, shared, 1, self.context, self.lanes]);
        let x = b.op(Op::Expand { shape: vec![1, shared, each, self.context, self.lanes] }, &[x]);
        b.reshape(x, &[1, self.heads, self.context, self.lanes])
    }

    fn attention(self, b: &mut Build, y: NodeId, common: &Common, layer: usize) -> NodeId {
        let q = self.heads(b, y, self.heads);
        let k = self.heads(b, y, self.shared);
        let v = self.heads(b, y, self.shared);
        let q = self.rotary(b, q, common);
        let k = self.rotary(b, k, common);
        let k = b.state(&format!("key{layer}"), self.context, k, common.position);
        let v = b.state(&format!("value{layer}"), self.context, v, common.position);
        let (k, v) = (self.repeat(b, k), self.repeat(b, v));
        let k = b.transpose(k, &[0, 1, 3, 2]);
        let scores = b.matmul(q, k);
        let scale = b.scalar((self.lanes as f32).sqrt());
        let scores = b.binary(BinaryOp::Div, scores, scale);
        let scores = b.add(scores, common.mask);
        let weights = b.op(Op::Softmax { axis: 3 }, &[scores]);
        let o = b.matmul(weights, v);
        let o = b.transpose(o, &[0, 2, 1, 3]);
        let o = b.reshape(o, &[1, self.rows, self.heads * self.lanes]);
        b.product(false, o, self.heads * self.lanes, self.heads * self.lanes)
    }

    pub(super) fn feed_forward(self, b: &mut Build, y: NodeId) -> NodeId {
        let width = self.heads * self.lanes;
        let gate = b.product(false, y, width, self.inner);
        let up = b.product(false, y, width, self.inner);
        let sigmoid = b.unary(UnaryOp::Sigmoid, gate);
        let swish = b.mul(gate, sigmoid);
        let inner = b.mul(swish, up);
        b.product(false, inner, self.inner, width)
    }
}

/// The graph in words, weights by their shapes.
fn describe(graph: &Graph) -> String {
    let mut text = String::new();
    for (id, node) in graph.nodes.iter() {
        let op = match &node.op {
            Op::Constant(constant) => match &constant.bytes {
                Some(bytes) if bytes.len() == 4 => {
                    format!("constant {:?}", f32::from_le_bytes(bytes[..].try_into().expect("four bytes")))
                }
                _ => "constant".to_owned(),
            },
            Op::Unary(op) => op.name().to_owned(),
            Op::Binary(op) => op.name().to_owned(),
            op => format!("{op:?}"),
        };
        let _ = writeln!(text, "{id} = {op} {:?} -> {:?} {}", node.inputs, node.ty.shape, node.origin);
    }
    let _ = writeln!(text, "outputs {:?}", graph.outputs);
    for state in &graph.states {
        let _ = writeln!(text, "state {} {} = {}", state.input_name, state.input, state.output);
    }
    text
}

#[test]
fn a_decoder_stays_the_same() {
    for (layers, rows) in [(1, 1), (3, 1), (2, 3)] {
        same(&Decoder { layers, rows, ..SMALL }.build(rows as u64));
    }
}

#[test]
fn every_combination_of_rules_holds_on_a_layer() {
    for rows in [1, 2] {
        let b = Decoder { rows, ..SMALL }.build(1);
        let values = node_values(&b.graph, &b.values).unwrap();
        for (segment, instance) in &segment::cut(&b.graph) {
            let (tensors, _) = saturate(segment, &rules::rules(&[]));
            let leaves: Vec<Tensor> =
                instance.nodes()[..segment.leaves.len()].iter().map(|&node| values[node].clone()).collect();
            let count = hold(&tensors, &leaves);
            assert!(count > 2 * segment.terms.len(), "{count}");
        }
    }
}

#[test]
fn equal_layers_are_one_segment() {
    let b = Decoder { layers: 12, ..SMALL }.build(1);
    let parts = segment::cut(&b.graph);
    let distinct: indexmap::IndexSet<_> = parts.iter().map(|(segment, _)| segment).collect();
    assert!(distinct.len() <= 4 && parts.len() >= 6, "{} of {}", distinct.len(), parts.len());
}

#[test]
fn groups_can_be_switched_off() {
    let b = SMALL.build(1);
    let all = GROUPS.map(str::to_owned).to_vec();
    let same = optimize_with(b.graph.clone(), &chip(), &RewriteOptions { disabled: all }).unwrap().graph;
    let softmax = |graph: &Graph| graph.nodes.values().filter(|n| matches!(n.op, Op::Softmax { .. })).count();
    assert_eq!(softmax(&same), 1);
    assert_eq!(softmax(&optimize(b.graph.clone(), &chip()).unwrap()), 0);
    let wrong = RewriteOptions { disabled: vec!["softmix".to_owned()] };
    let error = optimize_with(b.graph, &chip(), &wrong).unwrap_err();
    assert_eq!(error.code, "unknown-rewrite-group");
}

#[test]
fn a_decoder_layer_before_and_after() {
    let b = REAL.build(1);
    insta::assert_snapshot!("before", describe(&b.graph));
    insta::assert_snapshot!("after", describe(&optimize(b.graph, &chip()).unwrap()));
}

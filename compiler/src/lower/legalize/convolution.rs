//! Convolutions with channels last: two spatial axes, one group, and two channels or more on both sides.

use super::builder::Builder;
use super::view;
use crate::graph::{ElementType, NodeId, Op};

/// The convolution of x [N, .., C] with weights [O, .., C / groups].
pub(super) fn conv(b: &mut Builder, x: NodeId, weights: NodeId, op: &Op) -> NodeId {
    let Op::Conv { channels_last: true, strides, padding, dilations, groups } = op else {
        return b.emit(op.clone(), &[x, weights]);
    };
    if let [stride] = strides[..] {
        // One row of an image.
        let (of_x, of_weights) = (b.shape(x), b.shape(weights));
        let flat = |shape: &[usize]| [&shape[..1], &[1], &shape[1..]].concat();
        let x = view::reshape(b, x, &flat(&of_x));
        let weights = view::reshape(b, weights, &flat(&of_weights));
        let op = Op::Conv {
            channels_last: true,
            strides: vec![1, stride],
            padding: vec![[0; 2], padding[0]],
            dilations: vec![1, dilations[0]],
            groups: *groups,
        };
        let y = conv(b, x, weights, &op);
        let [n, _, length, out] = b.shape(y)[..] else { return y };
        return view::reshape(b, y, &[n, length, out]);
    }
    let mut weights = weights;
    if *groups > 1 {
        weights = dense(b, weights, *groups);
    }
    let (mut x, out) = (x, b.shape(weights)[0]);
    if b.shape(weights)[3] == 1 {
        // A single channel would stand in every lane.
        let element = b.element(x);
        let wide = if element == ElementType::I8 { b.cast(ElementType::I32, x) } else { x };
        let wide = b.emit(Op::Pad { axis: 3, before: 0, after: 1, value: 0 }, &[wide]);
        x = b.cast(element, wide);
        weights = b.emit(Op::Pad { axis: 3, before: 0, after: 1, value: 0 }, &[weights]);
    }
    if out == 1 {
        weights = b.emit(Op::Pad { axis: 0, before: 0, after: 1, value: 0 }, &[weights]);
    }
    let op = Op::Conv {
        channels_last: true,
        strides: strides.clone(),
        padding: padding.clone(),
        dilations: dilations.clone(),
        groups: 1,
    };
    let y = b.emit(op, &[x, weights]);
    if out == 1 { view::slice(b, y, 3, 0, 1, 1) } else { y }
}

/// Weights for all channels, with zeros for those of other groups: what the planes would do with the lanes is nothing else.
fn dense(b: &mut Builder, weights: NodeId, groups: usize) -> NodeId {
    let element = b.element(weights);
    let wide = if element == ElementType::I8 { b.cast(ElementType::I32, weights) } else { weights };
    let repeated = b.emit(Op::Concat { axis: 3 }, &vec![wide; groups]);
    let shape = b.shape(repeated);
    let mask = b.blocks(shape[0], shape[3], groups);
    let mask = b.emit(Op::Reshape { shape: vec![shape[0], 1, 1, shape[3]] }, &[mask]);
    let zero = b.zero(b.element(repeated));
    let dense = b.select(mask, repeated, zero);
    b.cast(element, dense)
}

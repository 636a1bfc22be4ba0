//! Convolutions, pooling and LSTM, with values worked out by hand or taken from the ONNX specification.

use super::few_bits::{Given, check, imported, ints as whole, reals};
use crate::graph::Op;
use crate::graph::eval::Tensor;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::testing::{int, ints, text};

fn all(inputs: Vec<Given>) -> Vec<Option<Given>> {
    inputs.into_iter().map(Some).collect()
}

fn counted(shape: &[usize], from: i32) -> Vec<i32> {
    (from..).take(shape.iter().product()).collect()
}

fn square(shape: &[usize]) -> Given {
    let data: Vec<f32> = counted(shape, 1).iter().map(|&x| x as f32).collect();
    reals(shape, &data)
}

#[test]
fn convolutions() {
    let op = ("", "Conv");
    let (x, ones) = (|| square(&[1, 1, 3, 3]), || reals(&[1, 1, 2, 2], &[1.0; 4]));
    let f = |shape: &[usize], data: &[f32]| Tensor::f32(shape, data);
    check(op, &[], &all(vec![x(), ones()]), 2, &[f(&[1, 1, 2, 2], &[12.0, 16.0, 24.0, 28.0])]);
    let bias = reals(&[1], &[0.5]);
    let strided = [ints("strides", &[2, 2]), ints("pads", &[1, 1, 0, 0])];
    check(op, &strided, &all(vec![x(), ones(), bias]), 3, &[f(&[1, 1, 2, 2], &[1.5, 5.5, 11.5, 28.5])]);
    let upper = f(&[1, 1, 3, 3], &[12.0, 16.0, 9.0, 24.0, 28.0, 15.0, 15.0, 17.0, 9.0]);
    check(op, &[text("auto_pad", "SAME_UPPER")], &all(vec![x(), ones()]), 2, &[upper]);
    let lower = f(&[1, 1, 3, 3], &[1.0, 3.0, 5.0, 5.0, 12.0, 16.0, 11.0, 24.0, 28.0]);
    check(op, &[text("auto_pad", "SAME_LOWER")], &all(vec![x(), ones()]), 2, &[lower]);
    check(op, &[ints("dilations", &[2, 2])], &all(vec![x(), ones()]), 2, &[f(&[1, 1, 1, 1], &[20.0])]);
    let grouped = f(&[1, 2, 2], &[3.0, 5.0, 45.0, 55.0]);
    let weights = reals(&[2, 1, 2], &[1.0, 1.0, 5.0, 5.0]);
    check(op, &[int("group", 2)], &all(vec![square(&[1, 2, 3]), weights]), 2, &[grouped]);
}

/// What looks at one place at a time is a matrix product.
#[test]
fn points() {
    let inputs = all(vec![square(&[1, 2, 2, 1]), square(&[3, 2, 1, 1]), reals(&[3], &[0.0, 0.0, 1.0])]);
    let want = Tensor::f32([1, 3, 2, 1], [7.0, 10.0, 15.0, 22.0, 24.0, 35.0]);
    check(("", "Conv"), &[], &inputs, 3, &[want]);
    let (graph, _) = imported(("", "Conv"), &[], &inputs, (1, 1)).unwrap();
    assert!(!graph.nodes.values().any(|node| matches!(node.op, Op::Conv { .. })), "{graph}");
}

#[test]
fn integer_convolutions() {
    let op = ("", "ConvInteger");
    let u8s = |shape: &[usize], data: &[i32]| whole(DataType::Uint8, shape, data);
    let x = || u8s(&[1, 1, 3, 3], &counted(&[9], 2));
    let ones = || u8s(&[1, 1, 2, 2], &[1; 4]);
    let zero = || u8s(&[], &[1]);
    check(op, &[], &all(vec![x(), ones(), zero()]), 3, &[Tensor::i32([1, 1, 2, 2], [12, 16, 24, 28])]);
    let pads = [ints("pads", &[1, 1, 1, 1])];
    let around = Tensor::i32([1, 1, 4, 4], [1, 3, 5, 3, 5, 12, 16, 9, 11, 24, 28, 15, 7, 15, 17, 9]);
    check(op, &pads, &all(vec![x(), ones(), zero()]), 3, std::slice::from_ref(&around));
    // 2 − 1 is 1 too.
    let twos = u8s(&[1, 1, 2, 2], &[2; 4]);
    check(op, &pads, &all(vec![x(), twos, zero(), zero()]), 4, &[around]);
    let signed = |shape: &[usize], data: &[i32]| whole(DataType::Int8, shape, data);
    let inputs = all(vec![signed(&[1, 1, 3], &[-128, 127, 1]), signed(&[2, 1, 2], &[1, 1, -128, 3])]);
    check(op, &[], &inputs, 2, &[Tensor::i32([1, 2, 2], [-1, 128, 16_765, -16_253])]);
    let (graph, _) = imported(op, &[], &inputs, (1, 1)).unwrap();
    let names: Vec<&str> = graph.nodes.values().map(|node| node.op.name()).collect();
    assert_eq!(names, ["input", "constant", "cast", "conv"], "{graph}");
}

#[test]
fn scaled_convolutions() {
    let inputs = all(vec![
        whole(DataType::Uint8, &[1, 1, 1, 2], &[3, 5]),
        reals(&[], &[0.5]),
        whole(DataType::Uint8, &[], &[1]),
        whole(DataType::Int8, &[2, 1, 1, 1], &[2, -3]),
        reals(&[2], &[1.0, 0.5]),
        whole(DataType::Int8, &[2], &[0, 0]),
        reals(&[], &[1.0]),
        whole(DataType::Uint8, &[], &[10]),
        whole(DataType::Int32, &[2], &[1, 100]),
    ]);
    // (2, 4) · 2 + 1 = (5, 9), halved (2.5, 4.5); (2, 4) · −3 + 100 = (94, 88), quartered (23.5, 22).
    let want = Tensor::i32([1, 2, 1, 2], [12, 14, 34, 32]);
    check(("", "QLinearConv"), &[], &inputs, 1, &[want]);
}

#[test]
fn pools() {
    let x = || square(&[1, 1, 4, 4]);
    let two = || ints("kernel_shape", &[2, 2]);
    let f = |shape: &[usize], data: &[f32]| Tensor::f32(shape, data);
    let max = |attributes: &[_], want| check(("", "MaxPool"), attributes, &all(vec![x()]), 1, &[want]);
    let average =
        |attributes: &[_], want| check(("", "AveragePool"), attributes, &all(vec![x()]), 1, &[want]);
    let strides = || ints("strides", &[2, 2]);
    max(&[two(), strides()], f(&[1, 1, 2, 2], &[6.0, 8.0, 14.0, 16.0]));
    average(&[two(), strides()], f(&[1, 1, 2, 2], &[3.5, 5.5, 11.5, 13.5]));
    let three = || [ints("kernel_shape", &[3, 3]), strides(), int("ceil_mode", 1)];
    max(&three(), f(&[1, 1, 2, 2], &[11.0, 12.0, 15.0, 16.0]));
    max(&[two(), ints("dilations", &[2, 2])], f(&[1, 1, 2, 2], &[11.0, 12.0, 15.0, 16.0]));
    // What hangs over the end does not count, what is padded does if asked for.
    average(&three(), f(&[1, 1, 2, 2], &[6.0, 7.5, 12.0, 13.5]));
    let pads = || [two(), strides(), ints("pads", &[1, 1, 1, 1])];
    let corners = [1.0, 2.5, 4.0, 7.0, 8.5, 10.0, 13.0, 14.5, 16.0];
    average(&pads(), f(&[1, 1, 3, 3], &corners));
    let quarters = [0.25, 1.25, 1.0, 3.5, 8.5, 5.0, 3.25, 7.25, 4.0];
    average(&[&pads()[..], &[int("count_include_pad", 1)]].concat(), f(&[1, 1, 3, 3], &quarters));
    let bytes = whole(DataType::Uint8, &[1, 1, 3], &[3, 200, 7]);
    let attributes = [ints("kernel_shape", &[2]), ints("pads", &[1, 0])];
    check(("", "MaxPool"), &attributes, &all(vec![bytes]), 1, &[Tensor::i32([1, 1, 3], [3, 200, 200])]);
    check(("", "GlobalAveragePool"), &[], &all(vec![x()]), 1, &[f(&[1, 1, 1, 1], &[8.5])]);
    check(("", "GlobalMaxPool"), &[], &all(vec![x()]), 1, &[f(&[1, 1, 1, 1], &[16.0])]);
}

/// One hidden value and weights of zero but for the cell's: two steps.
#[test]
fn lstm() {
    let inputs = vec![
        Some(reals(&[2, 1, 1], &[1.0, -2.0])),
        Some(reals(&[1, 4, 1], &[0.0, 0.0, 0.0, 1.0])),
        Some(reals(&[1, 4, 1], &[0.0; 4])),
        Some(reals(&[1, 8], &[0.0; 8])),
        None,
        None,
        Some(reals(&[1, 1, 1], &[2.0])),
    ];
    // All gates are half open: c = 2 / 2 + tanh(1) / 2, then c / 2 + tanh(−2) / 2.
    let first = 1.0 + 1f64.tanh() / 2.0;
    let second = first / 2.0 - 2f64.tanh() / 2.0;
    let shown = [first, second].map(|c| (c.tanh() / 2.0) as f32);
    let want = [
        Tensor::f32([2, 1, 1, 1], shown),
        Tensor::f32([1, 1, 1], [shown[1]]),
        Tensor::f32([1, 1, 1], [second as f32]),
    ];
    check(("", "LSTM"), &[int("hidden_size", 1)], &inputs, 7, &want);
    let both = imported(("", "LSTM"), &[text("direction", "sideways")], &inputs, (1, 1)).unwrap_err();
    assert!(both.contains("direction is `sideways`"), "{both}");
}

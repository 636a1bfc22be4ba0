//! Whole transformer blocks.

use super::*;

const KEPT: usize = 12;

/// Key or value heads repeated for their groups, as exporters write it.
fn repeat(model: &mut Model, x: NodeId, times: usize) -> NodeId {
    let [b, g, n, d] = model.graph.shape(x)[..] else { unreachable!() };
    let x = model.reshape(x, &[b, g, 1, n, d]);
    let x = model.push(Op::Expand { shape: vec![b, g, times, n, d] }, &[x]);
    model.reshape(x, &[b, g * times, n, d])
}

fn heads(model: &mut Model, x: NodeId, n: usize) -> NodeId {
    let [b, s, k] = model.graph.shape(x)[..] else { unreachable!() };
    let w = model.weights(&[k, n * 4]);
    let y = model.matmul(x, w);
    let y = model.reshape(y, &[b, s, n, 4]);
    model.transpose(y, &[0, 2, 1, 3])
}

fn rotate(model: &mut Model, x: NodeId, cosine: NodeId, sine: NodeId) -> NodeId {
    let (first, second) = (model.slice(x, 3, 0, 2), model.slice(x, 3, 2, 2));
    let minus = model.unary(UnaryOp::Neg, second);
    let turned = model.push(Op::Concat { axis: 3 }, &[minus, first]);
    let (x, y) = (model.binary(BinaryOp::Mul, x, cosine), model.binary(BinaryOp::Mul, turned, sine));
    model.binary(BinaryOp::Add, x, y)
}

fn rms_norm(model: &mut Model, x: NodeId) -> NodeId {
    let square = model.with(BinaryOp::Pow, x, 2.0);
    let mean = model.mean(square);
    let above = model.with(BinaryOp::Add, mean, 1e-5);
    let root = model.unary(UnaryOp::Sqrt, above);
    let one = model.constant(&[], &[1.0]);
    let scale = model.binary(BinaryOp::Div, one, root);
    let x = model.binary(BinaryOp::Mul, x, scale);
    let w = model.weights(&[16]);
    model.binary(BinaryOp::Mul, w, x)
}

fn append(model: &mut Model, name: &str, new: NodeId, position: NodeId) -> NodeId {
    let mut shape = model.graph.shape(new).to_vec();
    shape[2] = KEPT;
    let ty = TensorType::new(ElementType::F32, shape);
    let input = model.graph.push_typed(Op::Input(format!("past.{name}")), &[], ty, name);
    let output = model.push(Op::Append { axis: 2 }, &[input, new, position]);
    let (input_name, output_name) = (format!("past.{name}"), format!("present.{name}"));
    model.graph.states.push(State { input, output, input_name, output_name });
    output
}

fn angles(model: &mut Model, steps: usize) -> (NodeId, NodeId) {
    let positions = model
        .input("positions", Tensor::i32([1, steps], (0..steps as i32).map(|i| i + 5).collect::<Vec<_>>()));
    let positions = model.reshape(positions, &[1, 1, steps]);
    let positions = model.push(Op::Cast(ElementType::F32), &[positions]);
    let inverse = model.constant(&[1, 2, 1], &[1.0, 0.01]);
    let angles = model.matmul(inverse, positions);
    let angles = model.transpose(angles, &[0, 2, 1]);
    let angles = model.push(Op::Concat { axis: 2 }, &[angles, angles]);
    let [cosine, sine] = [UnaryOp::Cos, UnaryOp::Sin].map(|op| {
        let value = model.unary(op, angles);
        model.reshape(value, &[1, 1, steps, 4])
    });
    (cosine, sine)
}

/// One layer of a Llama with grouped-query attention over a cache.
fn llama(steps: usize) -> Model {
    let mut model = Model::default();
    let ids = model
        .input("ids", Tensor::i32([1, steps], (0..steps as i32).map(|i| i * 3 % 10).collect::<Vec<_>>()));
    let mask = model.input(
        "mask",
        Tensor::i32([1, KEPT], (0..KEPT as i32).map(|i| i32::from(i < 5)).collect::<Vec<_>>()),
    );
    let position = model.input("position", Tensor::i32([], [2]));
    let table = model.weights(&[10, 16]);
    let x = model.push(Op::Gather { axis: 0 }, &[table, ids]);
    let (cosine, sine) = angles(&mut model, steps);
    let h = rms_norm(&mut model, x);
    let [q, k, v] = [4, 2, 2].map(|n| heads(&mut model, h, n));
    let (q, k) = (rotate(&mut model, q, cosine, sine), rotate(&mut model, k, cosine, sine));
    let (k, v) = (append(&mut model, "key", k, position), append(&mut model, "value", v, position));
    let (k, v) = (repeat(&mut model, k, 2), repeat(&mut model, v, 2));
    let k = model.transpose(k, &[0, 1, 3, 2]);
    let scores = model.matmul(q, k);
    let scores = model.with(BinaryOp::Mul, scores, 0.5);
    let zero = model.integers(&[], &[0]);
    let absent = model.binary(BinaryOp::Equal, mask, zero);
    let absent = model.reshape(absent, &[1, 1, 1, KEPT]);
    let lowest = model.constant(&[], &[f32::MIN]);
    let scores = model.push(Op::Select, &[absent, lowest, scores]);
    let weights = model.push(Op::Softmax { axis: 3 }, &[scores]);
    let mixed = model.matmul(weights, v);
    let mixed = model.transpose(mixed, &[0, 2, 1, 3]);
    let mixed = model.reshape(mixed, &[1, steps, 16]);
    let w = model.weights(&[16, 16]);
    let mixed = model.matmul(mixed, w);
    let x = model.binary(BinaryOp::Add, x, mixed);
    let h = rms_norm(&mut model, x);
    let [gate, up] = [0, 1].map(|_| {
        let w = model.weights(&[16, 24]);
        model.matmul(h, w)
    });
    let sigmoid = model.unary(UnaryOp::Sigmoid, gate);
    let gate = model.binary(BinaryOp::Mul, gate, sigmoid);
    let h = model.binary(BinaryOp::Mul, gate, up);
    let down = model.weights(&[24, 16]);
    let h = model.matmul(h, down);
    let x = model.binary(BinaryOp::Add, x, h);
    let head = model.transpose(table, &[1, 0]);
    let logits = model.matmul(x, head);
    model.output("logits", logits);
    model
}

#[test]
fn llama_layer() {
    for steps in [1, 3] {
        let legal = llama(steps).check(2e-5);
        // q, k, v, scores, the values' transpose, mix, out, gate, up, down, head.
        assert_eq!(count(&legal, "matmul"), 11, "{steps} steps");
        // Two rotations of two slices and a join each, and the merge of the heads.
        assert_eq!(lane_moves(&legal), 7, "{steps} steps");
        // Keys and values are used once per group, not once per query head.
        let scores = legal.nodes.values().find(|node| node.ty.shape == [1, 2, 2 * steps, KEPT]);
        assert!(scores.is_some_and(|node| node.op.name() == "matmul"));
    }
}

#[test]
fn multi_query_attention() {
    let mut model = Model::default();
    let (q, k, v) = (
        model.random_input("q", &[2, 6, 3, 4]),
        model.random_input("k", &[2, 1, 5, 4]),
        model.random_input("v", &[2, 1, 5, 4]),
    );
    let [k, v] = [k, v].map(|x| model.push(Op::Expand { shape: vec![2, 6, 5, 4] }, &[x]));
    let k = model.transpose(k, &[0, 1, 3, 2]);
    let scores = model.matmul(q, k);
    let mixed = model.matmul(scores, v);
    model.output("mixed", mixed);
    let legal = model.check(4e-6);
    assert_eq!((count(&legal, "matmul"), count(&legal, "expand")), (3, 0));
}

fn layer_norm(model: &mut Model, x: NodeId) -> NodeId {
    let mean = model.mean(x);
    let centred = model.binary(BinaryOp::Sub, x, mean);
    let square = model.binary(BinaryOp::Mul, centred, centred);
    let variance = model.mean(square);
    let above = model.with(BinaryOp::Add, variance, 1e-5);
    let deviation = model.unary(UnaryOp::Sqrt, above);
    let x = model.binary(BinaryOp::Div, centred, deviation);
    let (w, bias) = (model.weights(&[16]), model.weights(&[16]));
    let x = model.binary(BinaryOp::Mul, x, w);
    model.binary(BinaryOp::Add, x, bias)
}

fn linear(model: &mut Model, x: NodeId, n: usize) -> NodeId {
    let k = *model.graph.shape(x).last().unwrap();
    let (w, bias) = (model.weights(&[k, n]), model.weights(&[n]));
    let y = model.matmul(x, w);
    model.binary(BinaryOp::Add, bias, y)
}

/// One layer of a BERT, with its embedding, mask and mean over the tokens.
#[test]
fn bert_layer() {
    let (batch, steps) = (2, 5);
    let mut model = Model::default();
    let ids =
        model.input("ids", Tensor::i32([batch, steps], (0..10).map(|i| i * 7 % 10).collect::<Vec<_>>()));
    let mask = model.input("mask", Tensor::i32([batch, steps], [1, 1, 1, 0, 0, 1, 1, 1, 1, 1]));
    let table = model.weights(&[10, 16]);
    let x = model.push(Op::Gather { axis: 0 }, &[table, ids]);
    let places = model.weights(&[1, steps, 16]);
    let x = model.binary(BinaryOp::Add, x, places);
    let x = layer_norm(&mut model, x);
    let [q, k, v] = [0, 1, 2].map(|_| {
        let y = linear(&mut model, x, 16);
        let y = model.reshape(y, &[batch, steps, 4, 4]);
        model.transpose(y, &[0, 2, 1, 3])
    });
    let k = model.transpose(k, &[0, 1, 3, 2]);
    let scores = model.matmul(q, k);
    let scores = model.with(BinaryOp::Div, scores, 2.0);
    let real = model.push(Op::Cast(ElementType::F32), &[mask]);
    let lanes = model.reshape(real, &[batch, 1, 1, steps]);
    let bias = model.with(BinaryOp::Sub, lanes, 1.0);
    let bias = model.with(BinaryOp::Mul, bias, 1e4);
    let scores = model.binary(BinaryOp::Add, scores, bias);
    let weights = model.push(Op::Softmax { axis: 3 }, &[scores]);
    let mixed = model.matmul(weights, v);
    let mixed = model.transpose(mixed, &[0, 2, 1, 3]);
    let mixed = model.reshape(mixed, &[batch, steps, 16]);
    let mixed = linear(&mut model, mixed, 16);
    let x = model.binary(BinaryOp::Add, x, mixed);
    let x = layer_norm(&mut model, x);
    let h = linear(&mut model, x, 32);
    let scaled = model.with(BinaryOp::Div, h, std::f32::consts::SQRT_2);
    let erf = model.unary(UnaryOp::Erf, scaled);
    let above = model.with(BinaryOp::Add, erf, 1.0);
    let h = model.binary(BinaryOp::Mul, h, above);
    let h = model.with(BinaryOp::Mul, h, 0.5);
    let h = linear(&mut model, h, 16);
    let x = model.binary(BinaryOp::Add, x, h);
    let column = model.reshape(real, &[batch, steps, 1]);
    let kept = model.binary(BinaryOp::Mul, x, column);
    let sum = model.push(Op::Reduce { op: ReduceOp::Sum, axis: 1 }, &[kept]);
    let tokens = model.push(Op::Reduce { op: ReduceOp::Sum, axis: 1 }, &[column]);
    let mean = model.binary(BinaryOp::Div, sum, tokens);
    let mean = model.reshape(mean, &[batch, 16]);
    model.output("mean", mean);
    let legal = model.check(2e-5);
    // q, k, v (by columns), scores, mix, out, up, down: no transposes.
    assert_eq!(count(&legal, "matmul"), 8);
    assert_eq!(lane_moves(&legal), 1);
}

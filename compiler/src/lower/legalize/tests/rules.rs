//! Pointwise operators, views, reductions and gathers.

use super::*;

#[test]
fn functions_of_one_operand() {
    let spread = |from: f32, to: f32| -> Vec<f32> {
        (0..2000).map(|i| from + (to - from) * i as f32 / 1999.0).collect()
    };
    let cases = [
        (UnaryOp::Recip, spread(-7.0, 7.001), 4e-7),
        (UnaryOp::Recip, spread(1e30, 2e37), 1e-38),
        (UnaryOp::Sqrt, spread(0.0, 1e4), 4e-7),
        (UnaryOp::Sigmoid, spread(-120.0, 120.0), 4e-7),
        (UnaryOp::Erf, spread(-5.0, 5.0), 5e-7),
        (UnaryOp::Sin, spread(-1e4, 1e4), 5e-7),
        (UnaryOp::Cos, spread(-1e4, 1e4), 5e-7),
        (UnaryOp::Atan, spread(-9.0, 9.0), 3e-7),
        (UnaryOp::Atan, vec![0.0, 1e-6, 2.414, -1e30, f32::INFINITY, f32::NAN], 3e-7),
        (UnaryOp::Floor, vec![-2.5, 3e9, -1e20, f32::NEG_INFINITY, f32::NAN], 0.0),
        (UnaryOp::Round, vec![-2.5, 3.5, 3e9, -1e20, f32::INFINITY, f32::NAN], 0.0),
        (UnaryOp::Tanh, spread(-3.0, 3.0), 0.0),
    ];
    for (op, values, tolerance) in cases {
        let mut model = Model::default();
        let x = model.input("x", Tensor::f32([values.len()], values));
        let y = model.unary(op, x);
        model.output("y", y);
        model.check(tolerance);
    }
}

#[test]
fn sine_and_cosine_share_the_reduction() {
    let nodes = |ops: &[UnaryOp]| {
        let mut model = Model::default();
        let x = model.random_input("x", &[4, 8]);
        for &op in ops {
            let y = model.unary(op, x);
            model.output(op.name(), y);
        }
        model.check(5e-7).nodes.len()
    };
    let (one, both) = (nodes(&[UnaryOp::Sin]), nodes(&[UnaryOp::Sin, UnaryOp::Cos]));
    assert!(both < one + 12, "{one} nodes for one, {both} for both");
}

#[test]
fn division_and_powers() {
    for exponent in [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 7.0, -0.5, -1.0, -2.0] {
        let mut model = Model::default();
        let x = model.random_input("x", &[3, 50]);
        let x = model.unary(UnaryOp::Exp, x);
        let power = model.with(BinaryOp::Pow, x, exponent);
        model.output("power", power);
        model.check(1e-6);
    }
    let mut model = Model::default();
    let (x, y) = (model.random_input("x", &[3, 50]), model.random_input("y", &[50]));
    let squares = model.binary(BinaryOp::Mul, y, y);
    let positive = model.with(BinaryOp::Add, squares, 1e-3);
    let root = model.unary(UnaryOp::Sqrt, positive);
    let normal = model.binary(BinaryOp::Div, x, root);
    let quotient = model.binary(BinaryOp::Div, x, y);
    let third = model.with(BinaryOp::Div, x, 3.0);
    let base = model.constant(&[1], &[10_000.0]);
    let power = model.binary(BinaryOp::Pow, base, x);
    for (name, node) in [("normal", normal), ("quotient", quotient), ("third", third), ("power", power)] {
        model.output(name, node);
    }
    model.check(2e-6);
}

/// What the vector ALUs do not do themselves comes out to the last bit: quotients, integers, reals as integers.
#[test]
fn exact_arithmetic() {
    let mut model = Model::default();
    let count = 3000;
    let wide = |model: &mut Model| -> Vec<f32> {
        (0..count).map(|_| model.random() * (30.0 * model.random()).exp2()).collect()
    };
    let (a, b) = (wide(&mut model), wide(&mut model));
    let (x, y) = (model.input("x", Tensor::f32([count], a)), model.input("y", Tensor::f32([count], b)));
    for (name, a, b) in [("quotient", x, y), ("other", y, x)] {
        let quotient = model.binary(BinaryOp::Quotient, a, b);
        model.output(name, quotient);
    }
    let large = model.with(BinaryOp::Mul, x, 1e3);
    let whole = model.push(Op::Cast(ElementType::I32), &[large]);
    model.output("whole", whole);
    let edges = [1, -1, 7, -7, 16_777_217, -16_777_219, i32::MAX, i32::MIN, 1_000_003, -65_537, 46_341, 2];
    let pairs = edges.iter().flat_map(|&x| edges.map(|y| (x, y)));
    let (n, d): (Vec<i32>, Vec<i32>) = pairs.unzip();
    let (n, d) = (model.input("n", Tensor::i32([n.len()], n)), model.input("d", Tensor::i32([d.len()], d)));
    for op in [BinaryOp::Div, BinaryOp::Mod, BinaryOp::And, BinaryOp::Or, BinaryOp::Xor] {
        let result = model.binary(op, n, d);
        model.output(op.name(), result);
    }
    let bits = model.unary(UnaryOp::Bits, n);
    let bits = model.unary(UnaryOp::Bits, bits);
    model.output("bits", bits);
    model.check(0.0);
}

/// Powers and remainders of numbers that are not known before.
#[test]
fn powers_and_remainders() {
    let mut model = Model::default();
    let x =
        [2.0, -2.0, 0.0, 0.0, -0.0, 1.0, -1.0, 1e-30, 1e4, 1.001, -3.0, 7.5, f32::INFINITY, f32::NAN, 31.0];
    let y = [10.0, 0.0, 3.0, -2.0, 0.5, -1.5, 3.0, 31.0, -31.0, 41.0, f32::INFINITY, 1.0e9];
    let pairs = x.iter().flat_map(|&x| y.map(|y| (x, y)));
    let (x, y): (Vec<f32>, Vec<f32>) = pairs.unzip();
    let (x, y) = (model.input("x", Tensor::f32([x.len()], x)), model.input("y", Tensor::f32([y.len()], y)));
    let power = model.binary(BinaryOp::Pow, x, y);
    let rest = model.binary(BinaryOp::Mod, x, y);
    for (name, node) in [("power", power), ("rest", rest)] {
        model.output(name, node);
    }
    model.check(2e-5);
}

#[test]
fn reductions() {
    for op in [ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min] {
        for axis in 0..3 {
            let mut model = Model::default();
            let x = model.random_input("x", &[5, 71, 6]);
            let y = model.push(Op::Reduce { op, axis }, &[x]);
            model.output("y", y);
            let legal = model.check(1e-6);
            assert!(legal.nodes.len() < 40, "{} nodes", legal.nodes.len());
        }
    }
    for axis in 0..2 {
        let mut model = Model::default();
        let x = model.random_input("x", &[6, 9]);
        let y = model.push(Op::Softmax { axis }, &[x]);
        model.output("y", y);
        model.check(1e-6);
    }
}

#[test]
fn reshapes() {
    let cases: &[(&[usize], &[usize])] = &[
        (&[2, 3, 8], &[6, 8]),
        (&[2, 3, 8], &[2, 3, 2, 4]),
        (&[2, 3, 2, 4], &[2, 3, 8]),
        (&[6, 8], &[2, 12, 2]),
        (&[2, 6], &[3, 4]),
        (&[4, 9], &[6, 6]),
        (&[2, 5], &[2, 5, 1]),
        (&[2, 5], &[10, 1]),
        (&[3, 7, 1], &[3, 7]),
        (&[3, 7, 1], &[21]),
        (&[1, 1], &[]),
    ];
    for (from, to) in cases {
        let mut model = Model::default();
        let x = model.random_input("x", from);
        let direct = model.reshape(x, to);
        // A reduction between keeps the move away from the input.
        let w = model.random_input("w", &[&from[..], &[2]].concat());
        let sum = model.push(Op::Reduce { op: ReduceOp::Max, axis: from.len() }, &[w]);
        let sum = model.reshape(sum, from);
        let sum = model.unary(UnaryOp::Exp, sum);
        let sum = model.binary(BinaryOp::Add, sum, x);
        let computed = model.reshape(sum, to);
        model.output("direct", direct);
        model.output("computed", computed);
        model.check(1e-6);
    }
}

#[test]
fn inputs_are_given_in_each_layout() {
    let mut model = Model::default();
    let ids = model.input("ids", Tensor::i32([1, 4], [3, 0, 7, 7]));
    let table = model.weights(&[8, 5]);
    let rows = model.push(Op::Gather { axis: 0 }, &[table, ids]);
    let lanes = model.push(Op::Cast(ElementType::F32), &[ids]);
    model.output("rows", rows);
    model.output("lanes", lanes);
    let legal = model.check(0.0);
    let shapes: Vec<&[usize]> = legal.inputs.iter().map(|&id| legal.shape(id)).collect();
    assert_eq!(shapes, [&[1, 4][..], &[1, 4, 1]]);
    assert_eq!(lane_moves(&legal), 0);
}

#[test]
fn transposes() {
    for permutation in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut model = Model::default();
        let x = model.random_input("x", &[3, 4, 5]);
        let zero = model.constant(&[1], &[0.0]);
        let truth = model.binary(BinaryOp::Less, x, zero);
        let c = model.weights(&[4, 1]);
        let x = model.binary(BinaryOp::Add, x, c);
        let (y, truth) = (model.transpose(x, &permutation), model.transpose(truth, &permutation));
        model.output("y", y);
        model.output("truth", truth);
        model.check(1e-6);
    }
}

#[test]
fn gathers() {
    let tables: &[(&[usize], usize, &[usize])] = &[
        (&[9, 4], 0, &[2, 3]),
        (&[9], 0, &[2, 3]),
        (&[9, 2, 4], 0, &[3]),
        (&[3, 9], 1, &[2]),
        (&[3, 9, 4], 1, &[2, 2]),
        (&[3, 9], 1, &[]),
    ];
    for &(shape, axis, places) in tables {
        let n: usize = places.iter().product();
        let indices = |model: &mut Model| {
            model.input("i", Tensor::i32(places, (0..n as i32).map(|i| i * 5 % 8).collect::<Vec<_>>()))
        };
        for known in [false, true] {
            for runtime in [false, true] {
                let mut model = Model::default();
                let a = if runtime { model.random_input("a", shape) } else { model.weights(shape) };
                let i = if known {
                    model.integers(places, &(0..n as i32).map(|i| i * 5 % 8 - 2).collect::<Vec<_>>())
                } else {
                    let i = indices(&mut model);
                    let two = model.integers(&[], &[2]);
                    model.binary(BinaryOp::Sub, i, two)
                };
                let y = model.push(Op::Gather { axis }, &[a, i]);
                model.output("y", y);
                model.check(1e-6);
            }
        }
    }
}

#[test]
fn slices_with_steps_and_joins() {
    let mut model = Model::default();
    let x = model.random_input("x", &[6, 10]);
    let whole = model.input("whole", Tensor::i32([2, 3], [1, 2, 3, 4, 5, 6]));
    let whole = model.unary(UnaryOp::Neg, whole);
    let even = model.push(Op::Slice { axis: 1, start: 0, count: 5, step: 2 }, &[x]);
    let odd = model.push(Op::Slice { axis: 1, start: 1, count: 5, step: 2 }, &[x]);
    let third = model.push(Op::Slice { axis: 0, start: 1, count: 2, step: 3 }, &[x]);
    let minus = model.unary(UnaryOp::Neg, odd);
    let joined = model.push(Op::Concat { axis: 1 }, &[minus, even]);
    let padded = model.push(Op::Pad { axis: 0, before: 1, after: 2, value: 1.5f32.to_bits() }, &[third]);
    let one = model.push(Op::Slice { axis: 1, start: 3, count: 1, step: 1 }, &[x]);
    let wide = model.push(Op::Pad { axis: 1, before: 2, after: 0, value: 1 }, &[whole]);
    let halves = [5, 0].map(|start| model.slice(x, 1, start, 5));
    let minus = model.unary(UnaryOp::Neg, halves[0]);
    let turned = model.push(Op::Concat { axis: 1 }, &[minus, halves[1]]);
    for (name, node) in
        [("joined", joined), ("padded", padded), ("one", one), ("wide", wide), ("turned", turned)]
    {
        model.output(name, node);
    }
    model.check(1e-6);
}

#[test]
fn scalars_get_an_axis() {
    let mut model = Model::default();
    let x = model.random_input("x", &[]);
    let y = model.with(BinaryOp::Mul, x, 3.0);
    let y = model.unary(UnaryOp::Sigmoid, y);
    let wide = model.push(Op::Expand { shape: vec![2, 3] }, &[y]);
    model.output("y", y);
    model.output("wide", wide);
    model.check(1e-6);
}

#[test]
fn every_unsupported_operation_is_named() {
    let mut model = Model::default();
    let x = model.random_input("x", &[3, 4]);
    let log = model.unary(UnaryOp::Log, x);
    let none = model.slice(x, 0, 0, 0);
    let power = model.unary(UnaryOp::Exp, none);
    let fine = model.unary(UnaryOp::Sqrt, x);
    for (name, node) in [("log", log), ("power", power), ("fine", fine)] {
        model.output(name, node);
    }
    let message = model.refused();
    for name in ["2 operations", "slice_", "exp_", "without elements"] {
        assert!(message.contains(name), "{message}");
    }
    assert!(!message.contains("sqrt") && !message.contains("log_"), "{message}");
}

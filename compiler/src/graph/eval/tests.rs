//! Each operator on small tensors, and graphs as wholes.

use super::*;
use crate::graph::{BinaryOp, ElementType, ReduceOp, TensorType, UnaryOp};

fn iota(shape: &[usize]) -> Tensor {
    let n = shape.iter().product::<usize>();
    Tensor::f32(shape, (0..n).map(|i| i as f32).collect::<Vec<_>>())
}

fn check(table: Vec<(Op, Vec<Tensor>, Tensor)>) {
    for (op, inputs, expected) in table {
        let result = apply(&op, &inputs.iter().collect::<Vec<_>>());
        assert_eq!(result, Ok(expected), "{op:?}");
    }
}

#[test]
fn operators_that_compute() {
    let scalar = |x: i32| Tensor::i32([], [x]);
    let table: Vec<(Op, Vec<Tensor>, Tensor)> = vec![
        (
            Op::MatMul { transpose_b: false },
            vec![iota(&[2, 2]), iota(&[2, 3])],
            Tensor::f32([2, 3], [3., 4., 5., 9., 14., 19.]),
        ),
        (
            Op::MatMul { transpose_b: true },
            vec![iota(&[2, 3]), iota(&[1, 3])],
            Tensor::f32([2, 1], [5., 14.]),
        ),
        (Op::Unary(UnaryOp::Relu), vec![Tensor::f32([2], [-1., 2.])], Tensor::f32([2], [0., 2.])),
        (
            Op::Unary(UnaryOp::RoundF16),
            vec![Tensor::f32([2], [1.0001, 1e9])],
            Tensor::f32([2], [1., f32::INFINITY]),
        ),
        (
            Op::Unary(UnaryOp::Round),
            vec![Tensor::f32([4], [0.5, 1.5, -2.5, 2.4])],
            Tensor::f32([4], [0., 2., -2., 2.]),
        ),
        (Op::Unary(UnaryOp::Sigmoid), vec![Tensor::f32([1], [0.])], Tensor::f32([1], [0.5])),
        (Op::Unary(UnaryOp::Not), vec![Tensor::bool([2], [true, false])], Tensor::bool([2], [false, true])),
        (
            Op::Binary(BinaryOp::Sub),
            vec![iota(&[2, 1]), iota(&[3])],
            Tensor::f32([2, 3], [0., -1., -2., 1., 0., -1.]),
        ),
        (Op::Binary(BinaryOp::Add), vec![scalar(i32::MAX), scalar(1)], scalar(i32::MIN)),
        (Op::Binary(BinaryOp::Mod), vec![scalar(-7), Tensor::i32([2], [3, -3])], Tensor::i32([2], [2, -1])),
        (Op::Binary(BinaryOp::Div), vec![scalar(-7), scalar(2)], scalar(-3)),
        (
            Op::Binary(BinaryOp::Less),
            vec![iota(&[3]), Tensor::f32([], [1.])],
            Tensor::bool([3], [true, false, false]),
        ),
        (Op::Binary(BinaryOp::Mul), vec![iota(&[0]), iota(&[1])], Tensor::f32([0], [])),
        (
            Op::Select,
            vec![Tensor::bool([2, 1], [true, false]), iota(&[2]), Tensor::f32([], [9.])],
            Tensor::f32([2, 2], [0., 1., 9., 9.]),
        ),
        (Op::Reduce { op: ReduceOp::Sum, axis: 0 }, vec![iota(&[2, 2])], Tensor::f32([1, 2], [2., 4.])),
        (Op::Reduce { op: ReduceOp::Max, axis: 1 }, vec![iota(&[2, 2])], Tensor::f32([2, 1], [1., 3.])),
    ];
    check(table);
}

#[test]
fn operators_that_move() {
    let scalar = |x: i32| Tensor::i32([], [x]);
    let table: Vec<(Op, Vec<Tensor>, Tensor)> = vec![
        (Op::Reshape { shape: vec![3, 2] }, vec![iota(&[2, 3])], iota(&[3, 2])),
        (
            Op::Transpose { permutation: vec![1, 0] },
            vec![iota(&[2, 3])],
            Tensor::f32([3, 2], [0., 3., 1., 4., 2., 5.]),
        ),
        (
            Op::Transpose { permutation: vec![2, 0, 1] },
            vec![iota(&[1, 2, 2])],
            Tensor::f32([2, 1, 2], [0., 2., 1., 3.]),
        ),
        (
            Op::Slice { axis: 1, start: 1, count: 2, step: 2 },
            vec![iota(&[2, 4])],
            Tensor::f32([2, 2], [1., 3., 5., 7.]),
        ),
        (
            Op::Concat { axis: 1 },
            vec![iota(&[2, 1]), iota(&[2, 2])],
            Tensor::f32([2, 3], [0., 0., 1., 1., 2., 3.]),
        ),
        (
            Op::Pad { axis: 1, before: 1, after: 2, value: 1.5f32.to_bits() },
            vec![iota(&[2, 1])],
            Tensor::f32([2, 4], [1.5, 0., 1.5, 1.5, 1.5, 1., 1.5, 1.5]),
        ),
        (
            Op::Expand { shape: vec![2, 2, 2] },
            vec![iota(&[2, 1])],
            Tensor::f32([2, 2, 2], [0., 0., 1., 1., 0., 0., 1., 1.]),
        ),
        (
            Op::Gather { axis: 1 },
            vec![iota(&[2, 3]), Tensor::i32([2], [-1, 0])],
            Tensor::f32([2, 2], [2., 0., 5., 3.]),
        ),
        (Op::Softmax { axis: 0 }, vec![Tensor::f32([2, 1], [1e30, 1e30])], Tensor::f32([2, 1], [0.5, 0.5])),
        (
            Op::Cast(ElementType::I32),
            vec![Tensor::f32([4], [-1.9, 3e9, f32::NAN, 2.5])],
            Tensor::i32([4], [-1, i32::MAX, 0, 2]),
        ),
        (
            Op::Append { axis: 1 },
            vec![iota(&[2, 3]), Tensor::f32([2, 1], [8., 9.]), scalar(2)],
            Tensor::f32([2, 3], [0., 1., 8., 3., 4., 9.]),
        ),
    ];
    check(table);
}

#[test]
fn refused_values() {
    let one = |x: i32| Tensor::i32([], [x]);
    let table: Vec<(Op, Vec<Tensor>, &str)> = vec![
        (
            Op::Gather { axis: 0 },
            vec![iota(&[3]), one(3)],
            "gather: index 3 is out of range: axis 0 of f32[3] has length 3",
        ),
        (
            Op::Gather { axis: 0 },
            vec![iota(&[3]), one(-4)],
            "gather: index -4 is out of range: axis 0 of f32[3] has length 3",
        ),
        (
            Op::Append { axis: 0 },
            vec![iota(&[3]), iota(&[2]), one(2)],
            "append: position 2 does not fit: 2 elements into axis 0 of f32[3]",
        ),
        (Op::Binary(BinaryOp::Div), vec![one(1), one(0)], "div: integer division by zero"),
        (Op::Unary(UnaryOp::Exp), vec![one(1)], "exp: the input must be f32, it is i32[]"),
        (
            Op::Softmax { axis: 0 },
            vec![Tensor::f32([2], [0.])],
            "a tensor of shape [2] must have 2 elements, it has 1",
        ),
    ];
    for (op, inputs, expected) in table {
        assert_eq!(apply(&op, &inputs.iter().collect::<Vec<_>>()), Err(expected.to_owned()), "{op:?}");
    }
}

/// Both layouts of b, batches with and without broadcasting, rows and columns shared among threads: the naive sum.
#[test]
fn products_agree_with_the_naive_sum() {
    let random = |shape: &[usize], seed: u64| {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let n = shape.iter().product::<usize>();
        Tensor::f32(shape, (0..n).map(|_| next()).collect::<Vec<_>>())
    };
    let cases: [(&[usize], &[usize]); 6] = [
        (&[1, 700], &[700, 1601]),
        (&[130, 130], &[130, 131]),
        (&[2, 3, 4, 5], &[3, 5, 7]),
        (&[3, 2, 9], &[9, 4]),
        (&[2, 1, 2, 3], &[1, 2, 3, 2]),
        (&[2, 0], &[0, 3]),
    ];
    for (shape_a, shape_b) in cases {
        let (a, b) = (random(shape_a, 1), random(shape_b, 2));
        let mut permutation: Vec<usize> = (0..shape_b.len()).collect();
        permutation.swap(shape_b.len() - 1, shape_b.len() - 2);
        let plain = apply(&Op::MatMul { transpose_b: false }, &[&a, &b]).unwrap();
        let turned =
            apply(&Op::MatMul { transpose_b: true }, &[&a, &layout::transpose(&b, &permutation)]).unwrap();
        let lead = &plain.shape[..plain.shape.len() - 2];
        let full_a = layout::expand(&a, &[lead, &shape_a[shape_a.len() - 2..]].concat());
        let full_b = layout::expand(&b, &[lead, &shape_b[shape_b.len() - 2..]].concat());
        let (m, k, n) = (shape_a[shape_a.len() - 2], shape_a[shape_a.len() - 1], shape_b[shape_b.len() - 1]);
        let (da, db) = (full_a.as_f32().unwrap(), full_b.as_f32().unwrap());
        for (at, (&x, &y)) in plain.as_f32().unwrap().iter().zip(turned.as_f32().unwrap()).enumerate() {
            let (batch, i, j) = (at / (m * n), at / n % m, at % n);
            let term =
                |l: usize| f64::from(da[(batch * m + i) * k + l]) * f64::from(db[(batch * k + l) * n + j]);
            let sum = (0..k).map(term).sum::<f64>() as f32;
            assert_eq!(x, sum, "{shape_a:?} {shape_b:?} at {at}");
            assert!((y - sum).abs() <= sum.abs() * f32::EPSILON, "{shape_a:?} {shape_b:?} at {at}");
        }
    }
}

#[test]
fn encodings() {
    use crate::graph::{Constant, Encoding};
    let table: Vec<(Encoding, Vec<u8>, Data)> = vec![
        (Encoding::F64, 1e300f64.to_le_bytes().to_vec(), Data::F32(vec![f32::INFINITY])),
        (Encoding::F32, 1.5f32.to_le_bytes().to_vec(), Data::F32(vec![1.5])),
        (Encoding::F16, vec![0x00, 0xc0], Data::F32(vec![-2.0])),
        (Encoding::Bf16, vec![0xc0, 0x3f], Data::F32(vec![1.5])),
        (Encoding::I64, i64::MIN.to_le_bytes().to_vec(), Data::I32(vec![i32::MIN])),
        (Encoding::I32, 7i32.to_le_bytes().to_vec(), Data::I32(vec![7])),
        (Encoding::I16, vec![0xff, 0xff], Data::I32(vec![-1])),
        (Encoding::I8, vec![0x80], Data::I32(vec![-128])),
        (Encoding::U8, vec![0x80], Data::I32(vec![128])),
        (Encoding::Bool, vec![1], Data::Bool(vec![true])),
        (Encoding::F8E4M3, vec![0xb8], Data::F32(vec![-1.0])),
        (Encoding::I4, vec![0x78], Data::I32(vec![-8])),
        (Encoding::U4, vec![0x78], Data::I32(vec![8])),
    ];
    for (encoding, bytes, data) in table {
        let ty = TensorType::new(encoding.element(), [1]);
        let constant = Constant { encoding, bytes: Some(bytes.into()) };
        assert_eq!(Tensor::decode(&constant, &ty), Ok(Some(Tensor { shape: vec![1], data })), "{encoding:?}");
        let long = TensorType::new(encoding.element(), [3]);
        assert!(Tensor::decode(&constant, &long).unwrap_err().contains("bytes, not"));
    }
}

/// Two elements a byte, the first in the low half; an odd one has a byte to itself.
#[test]
fn half_bytes() {
    use crate::graph::{Constant, Encoding};
    let constant = Constant { encoding: Encoding::I4, bytes: Some(vec![0x71, 0xf8].into()) };
    let decode = |n: usize| Tensor::decode(&constant, &TensorType::new(ElementType::I32, [n]));
    assert_eq!(decode(4), Ok(Some(Tensor::i32([4], [1, 7, -8, -1]))));
    assert_eq!(decode(3), Ok(Some(Tensor::i32([3], [1, 7, -8]))));
    assert_eq!(decode(5), Err("a constant i32[5] in i4 has 3 bytes, not 2".to_owned()));
}

#[test]
fn convolutions() {
    let conv = |strides: &[usize], padding: &[[usize; 2]], dilations: &[usize], groups| {
        let [strides, dilations] = [strides, dilations].map(<[usize]>::to_vec);
        Op::Conv { channels_last: false, strides, padding: padding.to_vec(), dilations, groups }
    };
    let plain = || conv(&[1, 1], &[[0, 0]; 2], &[1, 1], 1);
    let table: Vec<(Op, Vec<Tensor>, Tensor)> = vec![
        (
            plain(),
            vec![iota(&[1, 1, 3, 3]), iota(&[1, 1, 2, 2])],
            Tensor::f32([1, 1, 2, 2], [19., 25., 37., 43.]),
        ),
        // Two channels, both summed.
        (plain(), vec![iota(&[1, 2, 1, 2]), iota(&[1, 2, 1, 1])], Tensor::f32([1, 1, 1, 2], [2., 3.])),
        // A group for each channel.
        (
            conv(&[1, 1], &[[0, 0]; 2], &[1, 1], 2),
            vec![iota(&[1, 2, 1, 2]), Tensor::f32([2, 1, 1, 1], [10., 1.])],
            Tensor::f32([1, 2, 1, 2], [0., 10., 2., 3.]),
        ),
        // Zeros before and after, every second window, elements two apart.
        (
            conv(&[2], &[[2, 1]], &[2], 1),
            vec![iota(&[2, 1, 4]), Tensor::f32([1, 1, 2], [1., 100.])],
            Tensor::f32([2, 1, 3], [0., 200., 2., 400., 604., 6.]),
        ),
        (
            conv(&[1], &[[0, 0]], &[1], 1),
            vec![Tensor::i8([1, 1, 3], [-128, 127, 3]), Tensor::i8([2, 1, 2], [-128, 1, 2, 2])],
            Tensor::i32([1, 2, 2], [16_511, -16_253, -2, 260]),
        ),
    ];
    check(table);
    let wide = conv(&[1], &[[0, 0]], &[1], 1);
    let error = apply(&wide, &[&iota(&[1, 1, 2]), &iota(&[1, 1, 3])]).unwrap_err();
    assert_eq!(error, "conv: no window of f32[1, 1, 3] fits on spatial axis 0 of f32[1, 1, 2]");
    for (op, a, w) in [
        (wide.clone(), iota(&[1, 1, 2, 2]), iota(&[1, 1, 2, 2])),
        (wide.clone(), iota(&[1, 3, 2]), iota(&[1, 2, 2])),
        (conv(&[0], &[[0, 0]], &[1], 1), iota(&[1, 1, 2]), iota(&[1, 1, 2])),
        (conv(&[1], &[[usize::MAX, 1]], &[1], 1), iota(&[1, 1, 2]), iota(&[1, 1, 2])),
        (conv(&[1], &[[0, 0]], &[usize::MAX], 1), iota(&[1, 1, 2]), iota(&[1, 1, 9])),
        (conv(&[1], &[[0, 0]], &[1], 0), iota(&[1, 1, 2]), iota(&[1, 1, 1])),
        (wide, Tensor::f8([1, 1, 2], [1.0; 2]), Tensor::f8([1, 1, 1], [1.0])),
    ] {
        assert!(apply(&op, &[&a, &w]).is_err(), "{op:?}");
    }
}

#[test]
fn eight_bits() {
    use ElementType::{Bool, F8, F32, I8, I32};
    let reals = || Tensor::f32([6], [-0.5, 1.5, 2.5, -128.6, 1e9, f32::NAN]);
    let table: Vec<(Op, Vec<Tensor>, Tensor)> = vec![
        (Op::Cast(I8), vec![reals()], Tensor::i8([6], [0, 2, 2, -128, 127, 0])),
        (Op::Cast(I8), vec![Tensor::i32([3], [-200, 7, 200])], Tensor::i8([3], [-128, 7, 127])),
        (Op::Cast(I8), vec![Tensor::bool([2], [false, true])], Tensor::i8([2], [0, 1])),
        (Op::Cast(I32), vec![Tensor::i8([2], [-128, 127])], Tensor::i32([2], [-128, 127])),
        (Op::Cast(F32), vec![Tensor::i8([2], [-128, 127])], Tensor::f32([2], [-128.0, 127.0])),
        (Op::Cast(Bool), vec![Tensor::i8([2], [0, -1])], Tensor::bool([2], [false, true])),
        (
            Op::Cast(F32),
            vec![Tensor::f8([4], [1.0625, 1.1875, -1e9, 0.001])],
            Tensor::f32([4], [1.0, 1.25, -448.0, 0.001_953_125]),
        ),
        (Op::Cast(F8), vec![Tensor::i32([2], [17, i32::MIN])], Tensor::f8([2], [16.0, -448.0])),
        (
            Op::MatMul { transpose_b: false },
            vec![Tensor::i8([1, 2], [-128, 127]), Tensor::i8([2, 1], [-128, -128])],
            Tensor::i32([1, 1], [128]),
        ),
        (
            Op::MatMul { transpose_b: true },
            vec![Tensor::i8([1, 1, 2], [3, -5]), Tensor::i8([2, 2], [7, 1, -2, 4])],
            Tensor::i32([1, 1, 2], [16, -26]),
        ),
        (
            Op::MatMul { transpose_b: true },
            vec![Tensor::f8([1, 2], [448.0, 0.001_953_125]), Tensor::f8([1, 2], [448.0, 1.0])],
            Tensor::f32([1, 1], [200_704.0]),
        ),
        (
            Op::Pad { axis: 0, before: 1, after: 1, value: 0 },
            vec![Tensor::i8([1], [5])],
            Tensor::i8([3], [0, 5, 0]),
        ),
        (
            Op::Concat { axis: 0 },
            vec![Tensor::f8([1], [1.0]), Tensor::f8([1], [2.0])],
            Tensor::f8([2], [1.0, 2.0]),
        ),
        (
            Op::Gather { axis: 0 },
            vec![Tensor::i8([2, 1], [4, 5]), Tensor::i32([1], [-1])],
            Tensor::i8([1, 1], [5]),
        ),
    ];
    check(table);
    let wide = apply(&Op::Cast(F32), &[&Tensor::f8([1], [f32::NAN])]).unwrap();
    assert!(wide.as_f32().unwrap()[0].is_nan());
    // 2^17 products of 2^14: the sum is taken modulo 2^32.
    let (a, b) =
        (Tensor::i8([1, 1 << 17], vec![-128; 1 << 17]), Tensor::i8([1 << 17, 1], vec![-128; 1 << 17]));
    let product = apply(&Op::MatMul { transpose_b: false }, &[&a, &b]).unwrap();
    assert_eq!(product, Tensor::i32([1, 1], [i32::MIN]));
}

/// A state is zero at first, the output is computed from inputs, and a view of one host array has another shape.
#[test]
fn graphs() {
    let mut graph = Graph::default();
    let f32s = |shape: &[usize]| TensorType::new(ElementType::F32, shape);
    let past = graph.push_typed(Op::Input("past".into()), &[], f32s(&[2, 2]), "");
    let new = graph.push_typed(Op::Input("new".into()), &[], f32s(&[1, 2]), "");
    let view = graph.push_typed(Op::Input("new".into()), &[], f32s(&[2]), "");
    let at = graph.push_typed(
        Op::Constant(Tensor::i32([], [1]).to_constant()),
        &[],
        TensorType::new(ElementType::I32, []),
        "",
    );
    let present = graph.push(Op::Append { axis: 0 }, &[past, new, at], "append").unwrap();
    let sum = graph.push(Op::Binary(BinaryOp::Add), &[present, view], "").unwrap();
    graph.inputs = vec![new, view];
    graph.outputs = vec![("sum".into(), sum)];
    graph.states.push(crate::graph::State {
        input: past,
        output: present,
        input_name: "past".into(),
        output_name: "present".into(),
    });

    let inputs = BTreeMap::from([("new".to_owned(), Tensor::f32([2, 1], [1., 2.]))]);
    let first = evaluate(&graph, &inputs, None).unwrap();
    assert_eq!(first["present"], Tensor::f32([2, 2], [0., 0., 1., 2.]));
    assert_eq!(first["sum"], Tensor::f32([2, 2], [1., 2., 2., 4.]));
    let states = BTreeMap::from([("past".to_owned(), Tensor::f32([2, 2], [5., 5., 5., 5.]))]);
    assert_eq!(
        evaluate(&graph, &inputs, Some(&states)).unwrap()["present"],
        Tensor::f32([2, 2], [5., 5., 1., 2.])
    );
    assert_eq!(node_values(&graph, &inputs).unwrap()[sum], first["sum"]);

    assert_eq!(constant(&graph, at).unwrap(), Some(Tensor::i32([], [1])));
    assert_eq!(constant(&graph, sum).unwrap(), None);
    assert_eq!(evaluate(&graph, &BTreeMap::new(), None).unwrap_err().code, "missing-input");
    let wrong = BTreeMap::from([("new".to_owned(), Tensor::i32([2], [1, 2]))]);
    assert_eq!(evaluate(&graph, &wrong, None).unwrap_err().code, "input-type");
    graph.nodes[at].op = Op::Constant(Tensor::i32([], [2]).to_constant());
    let fault = evaluate(&graph, &inputs, None).unwrap_err();
    assert_eq!(fault.code, "evaluation");
    assert!(fault.message.starts_with("node n4 `append`: append: position 2 does not fit"), "{fault}");
    if let Op::Constant(constant) = &mut graph.nodes[at].op {
        constant.bytes = None;
    }
    assert_eq!(constant(&graph, at).unwrap(), None);
    assert_eq!(evaluate(&graph, &inputs, None).unwrap_err().code, "absent-constant");
    let known = is_constant(&graph);
    assert_eq!((known[at], known[present]), (true, false));
}

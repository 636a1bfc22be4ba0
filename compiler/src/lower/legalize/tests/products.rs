//! Matrix products and what stands around them.

use super::*;

#[test]
fn operands_by_rows() {
    for left in [false, true] {
        for right in [false, true] {
            for transpose_b in [false, true] {
                let mut model = Model::default();
                let mut operand = |name: &str, constant: bool, shape: &[usize]| {
                    if constant { model.weights(shape) } else { model.random_input(name, shape) }
                };
                let a = operand("a", left, &[2, 3, 7]);
                let b = operand("b", right, if transpose_b { &[5, 7] } else { &[7, 5] });
                let y = model.push(Op::MatMul { transpose_b }, &[a, b]);
                model.output("y", y);
                let legal = model.check(4e-6);
                let transposed = !right && !transpose_b;
                let expected = if left && right { 0 } else { 1 + usize::from(transposed) };
                assert_eq!(count(&legal, "matmul"), expected);
            }
        }
    }
}

#[test]
fn products_with_one_column_are_sums() {
    for transpose_b in [false, true] {
        for constant in [false, true] {
            let mut model = Model::default();
            let a = model.random_input("a", &[2, 3, 7]);
            let shape = if transpose_b { [1, 7] } else { [7, 1] };
            let b = if constant { model.weights(&shape) } else { model.random_input("b", &shape) };
            let y = model.push(Op::MatMul { transpose_b }, &[a, b]);
            model.output("y", y);
            assert_eq!(count(&model.check(1e-6), "matmul"), 0);
        }
    }
}

#[test]
fn outer_products_stay_exact() {
    let mut model = Model::default();
    let frequencies = model.weights(&[1, 6, 1]);
    let positions = model.input("positions", Tensor::i32([1, 3], [900, 901, 2047]));
    let positions = model.reshape(positions, &[1, 1, 3]);
    let positions = model.push(Op::Cast(ElementType::F32), &[positions]);
    let angles = model.matmul(frequencies, positions);
    let angles = model.transpose(angles, &[0, 2, 1]);
    let doubled = model.push(Op::Concat { axis: 2 }, &[angles, angles]);
    let cosine = model.unary(UnaryOp::Cos, doubled);
    model.output("cosine", cosine);
    let legal = model.check(1e-6);
    assert_eq!(count(&legal, "matmul"), 0);
    assert_eq!(lane_moves(&legal), 0);
}

#[test]
fn fused_projections_cut_the_weights() {
    let mut model = Model::default();
    let x = model.random_input("x", &[2, 3, 8]);
    let (w, bias) = (model.weights(&[8, 24]), model.weights(&[24]));
    let y = model.matmul(x, w);
    let y = model.binary(BinaryOp::Add, y, bias);
    for (i, name) in ["q", "k", "v"].into_iter().enumerate() {
        let part = model.slice(y, 2, i * 8, 8);
        let heads = model.reshape(part, &[2, 3, 4, 2]);
        let heads = model.transpose(heads, &[0, 2, 1, 3]);
        model.output(name, heads);
    }
    let legal = model.check(1e-6);
    assert_eq!((count(&legal, "matmul"), lane_moves(&legal)), (3, 0));
}

#[test]
fn heads_are_cut_from_the_weights() {
    // Rows flattened before the product, three projections in one, and an unflattened one.
    for (rows, shape, permutation) in [
        (&[6, 8][..], &[2, 3, 3, 4, 2][..], &[2, 0, 3, 1, 4][..]),
        (&[2, 3, 8], &[2, 3, 12, 2], &[0, 2, 1, 3]),
        (&[6, 8], &[6, 12, 2], &[1, 0, 2]),
    ] {
        let mut model = Model::default();
        let x = model.random_input("x", rows);
        let (w, bias) = (model.weights(&[8, 24]), model.weights(&[24]));
        let y = model.matmul(x, w);
        let y = model.binary(BinaryOp::Add, y, bias);
        let y = model.unary(UnaryOp::Tanh, y);
        let y = model.reshape(y, shape);
        let y = model.transpose(y, permutation);
        model.output("y", y);
        let legal = model.check(1e-6);
        assert_eq!((count(&legal, "matmul"), lane_moves(&legal)), (1, 0));
    }
}

#[test]
fn parts_are_made_once_for_all_users() {
    let mut model = Model::default();
    let x = model.random_input("x", &[4, 8]);
    let x = model.unary(UnaryOp::Tanh, x);
    for (name, n) in [("q", 5), ("k", 6)] {
        let w = model.weights(&[8, n]);
        let y = model.matmul(x, w);
        model.output(name, y);
    }
    let chip = isa::Chip::preset("tsp-v1").unwrap();
    let legal = legalize(model.graph, Precision::Fp32, &chip).unwrap();
    assert_eq!((count(&legal, "matmul"), count(&legal, "round_f16")), (6, 2));
}

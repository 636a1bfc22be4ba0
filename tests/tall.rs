//! Arrays that lie in several regions: taller than a slice, or with vectors enough that planes write side by side.

mod simulated;

use compiler::Precision;
use compiler::graph::{BinaryOp, ElementType, Op, ReduceOp, UnaryOp};
use simulated::{Builder, check};

#[test]
fn products_of_many_rows() {
    for chip in ["tsp-v1", "lp30"] {
        for (element, m, k, n) in [
            (ElementType::I8, 400, 700, 900),
            (ElementType::F32, 330, 650, 1300),
            (ElementType::I8, 9000, 64, 70),
        ] {
            let mut b = Builder::default();
            let x = b.input("x", element, &[m, k]);
            let w = b.weights(element, &[k, n]);
            let y = b.push(Op::MatMul { transpose_b: false }, &[x, w]);
            b.output("y", y);
            check(chip, &b.graph, Precision::Fp16, 1e-3);
        }
    }
}

#[test]
fn passes_over_arrays_in_several_places() {
    let mut b = Builder::default();
    let x = b.input("x", ElementType::F32, &[600, 640]);
    let w = b.weights(ElementType::F32, &[640, 640]);
    let product = b.push(Op::MatMul { transpose_b: false }, &[x, w]);
    let other = b.push(Op::Unary(UnaryOp::Relu), &[product]);
    let sum = b.push(Op::Binary(BinaryOp::Add), &[other, x]);
    let again = b.push(Op::MatMul { transpose_b: false }, &[sum, w]);
    let y = b.push(Op::Binary(BinaryOp::Mul), &[again, product]);
    b.output("other", other);
    b.output("y", y);
    check("tsp-v1", &b.graph, Precision::Fp16, 1e-2);
}

/// Taller than any slice, and moved, reduced, seen in another order and multiplied: roomy layouts.
#[test]
fn arrays_taller_than_a_slice() {
    let rows = 10_000;
    let mut b = Builder::default();
    let x = b.input("x", ElementType::F32, &[2, rows / 2, 8]);
    let positive = b.push(Op::Unary(UnaryOp::Relu), &[x]);
    let beside = b.push(Op::Concat { axis: 2 }, &[positive, x]);
    let turned = b.push(Op::Transpose { permutation: vec![1, 0, 2] }, &[beside]);
    let turned = b.push(Op::Unary(UnaryOp::Neg), &[turned]);
    let greatest = b.push(Op::Reduce { op: ReduceOp::Max, axis: 2 }, &[turned]);
    let scaled = b.push(Op::Binary(BinaryOp::Mul), &[turned, greatest]);
    let w = b.weights(ElementType::F32, &[16, 5]);
    let y = b.push(Op::MatMul { transpose_b: false }, &[scaled, w]);
    b.output("scaled", scaled);
    b.output("y", y);
    check("lp30", &b.graph, Precision::Fp16, 1e-2);
}

//! Products divided by the sums of their left rows, as attention has them: compiled and run on both simulators at once, against the graph's
//! meaning.

mod simulated;

use compiler::Precision;
use compiler::graph::{BinaryOp, ElementType, NodeId, Op, ReduceOp, UnaryOp};
use simulated::{Builder, check};

/// Shares [2, 3, context] of values [2, context, 64], divided by the sums of the shares.
fn attention(b: &mut Builder, context: usize) -> NodeId {
    let scores = b.input("scores", ElementType::F32, &[2, 3, context]);
    let values = b.input("values", ElementType::F32, &[2, context, 64]);
    let shares = b.push(Op::Unary(UnaryOp::Exp), &[scores]);
    let mixed = b.push(Op::MatMul { transpose_b: false }, &[shares, values]);
    let sums = b.push(Op::Reduce { op: ReduceOp::Sum, axis: 2 }, &[shares]);
    b.push(Op::Binary(BinaryOp::Div), &[mixed, sums])
}

#[test]
fn the_planes_sum_what_they_multiply() {
    for (precision, tolerance) in [(Precision::Fp16, 3e-3), (Precision::Int8, 3e-3), (Precision::Fp32, 1e-5)]
    {
        for chip in ["lp30", "tsp-v1"] {
            for context in [40, 400] {
                let mut b = Builder::default();
                let out = attention(&mut b, context);
                b.output("y", out);
                check(chip, &b.graph, precision, tolerance);
            }
        }
    }
}

#[test]
fn lanes_past_the_quotients_are_zero_for_the_next_product() {
    for precision in [Precision::Fp16, Precision::Fp32] {
        let mut b = Builder::default();
        let out = attention(&mut b, 40);
        let weights = b.weights(ElementType::F32, &[64, 48]);
        let out = b.push(Op::MatMul { transpose_b: false }, &[out, weights]);
        b.output("y", out);
        check("lp30", &b.graph, precision, 3e-3);
    }
}

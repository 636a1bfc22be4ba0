//! Convolutions, compiled and run on both simulators at once, against the graph's meaning.

mod simulated;

use compiler::Precision;
use compiler::graph::{BinaryOp, ElementType, NodeId, Op, UnaryOp};
use simulated::{Builder, check};

struct Shape {
    x: [usize; 4],
    out: usize,
    kernel: [usize; 2],
    strides: [usize; 2],
    padding: [[usize; 2]; 2],
    dilations: [usize; 2],
    groups: usize,
}

const PLAIN: Shape = Shape {
    x: [1, 8, 9, 7],
    out: 6,
    kernel: [3, 3],
    strides: [1, 1],
    padding: [[1, 1]; 2],
    dilations: [1, 1],
    groups: 1,
};

fn conv(b: &mut Builder, x: NodeId, element: ElementType, shape: &Shape) -> NodeId {
    let weights = [shape.out, shape.x[1] / shape.groups, shape.kernel[0], shape.kernel[1]];
    let weights = b.weights(element, &weights);
    let op = Op::Conv {
        channels_last: false,
        strides: shape.strides.to_vec(),
        padding: shape.padding.to_vec(),
        dilations: shape.dilations.to_vec(),
        groups: shape.groups,
    };
    b.push(op, &[x, weights])
}

#[test]
fn windows_of_all_kinds() {
    let shapes = [
        PLAIN,
        Shape { strides: [2, 2], padding: [[0, 1], [2, 0]], ..PLAIN },
        Shape { kernel: [2, 4], dilations: [3, 2], padding: [[0, 2], [3, 1]], ..PLAIN },
        Shape { kernel: [1, 1], strides: [2, 2], padding: [[0; 2]; 2], ..PLAIN },
        Shape { x: [2, 8, 5, 6], ..PLAIN },
        Shape { groups: 8, out: 16, ..PLAIN },
        Shape { groups: 2, ..PLAIN },
        // More channels than lanes on both sides.
        Shape { x: [1, 330, 4, 5], out: 350, ..PLAIN },
        // Windows of nothing but zeros.
        Shape { x: [1, 3, 2, 2], padding: [[4, 0], [0, 4]], ..PLAIN },
    ];
    for shape in &shapes {
        for element in [ElementType::I8, ElementType::F32] {
            let mut b = Builder::default();
            let [n, channels, height, width] = shape.x;
            let x = match element {
                // Bytes that the host writes go to the planes alone.
                ElementType::I8 => {
                    let x = b.input("x", element, &[n, height, width, channels]);
                    b.push(Op::Transpose { permutation: vec![0, 3, 1, 2] }, &[x])
                }
                _ => b.input("x", element, &shape.x),
            };
            let mut y = conv(&mut b, x, element, shape);
            if element == ElementType::I8 {
                // Sums of 32 bits have no way into another order of axes.
                y = b.push(Op::Transpose { permutation: vec![0, 2, 3, 1] }, &[y]);
            }
            b.output("y", y);
            check("tsp-v1", &b.graph, Precision::Fp16, 2e-3);
        }
    }
}

#[test]
fn single_channels() {
    let mut b = Builder::default();
    let x = b.input("x", ElementType::F32, &[1, 1, 6, 6]);
    let y = conv(&mut b, x, ElementType::F32, &Shape { x: [1, 1, 6, 6], out: 4, ..PLAIN });
    let z = conv(&mut b, y, ElementType::F32, &Shape { x: [1, 4, 6, 6], out: 1, ..PLAIN });
    b.output("y", y);
    b.output("z", z);
    check("lp30", &b.graph, Precision::Fp16, 2e-3);
}

#[test]
fn one_axis() {
    let mut b = Builder::default();
    let x = b.input("x", ElementType::F32, &[2, 4, 30]);
    let w = b.weights(ElementType::F32, &[6, 4, 5]);
    let op = Op::Conv {
        channels_last: false,
        strides: vec![3],
        padding: vec![[4, 2]],
        dilations: vec![1],
        groups: 1,
    };
    let y = b.push(op, &[x, w]);
    b.output("y", y);
    check("tsp-v1", &b.graph, Precision::Fp16, 2e-3);
}

/// Enough pixels that the planes share them, and that a block does not fit the accumulators; a residual addition, and a window of
/// stride 2 on the same image as one of stride 1.
#[test]
fn many_pixels() {
    let shape = Shape { x: [1, 16, 44, 44], out: 16, ..PLAIN };
    let mut b = Builder::default();
    let x = b.input("x", ElementType::F32, &[1, 44, 44, 16]);
    let x = b.push(Op::Transpose { permutation: vec![0, 3, 1, 2] }, &[x]);
    let y = conv(&mut b, x, ElementType::F32, &shape);
    let y = b.push(Op::Unary(UnaryOp::Relu), &[y]);
    let z = conv(&mut b, y, ElementType::F32, &shape);
    let sum = b.push(Op::Binary(BinaryOp::Add), &[z, y]);
    let small = conv(&mut b, y, ElementType::F32, &Shape { strides: [2, 2], ..shape });
    for (name, node) in [("sum", sum), ("small", small)] {
        let last = b.push(Op::Transpose { permutation: vec![0, 2, 3, 1] }, &[node]);
        b.output(name, last);
    }
    check("tsp-v1", &b.graph, Precision::Fp16, 2e-3);
}

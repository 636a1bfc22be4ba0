//! Each rule, alone, on graphs where it must fire: what it adds evaluates to the same values.

use std::collections::BTreeSet;

use super::build::Build;
use super::hold;
use crate::graph::BinaryOp::{Add, Div, Mul, Pow, Sub};
use crate::graph::eval::{Tensor, node_values};
use crate::graph::{ElementType, NodeId, Op, ReduceOp, UnaryOp};
use crate::rewrite::rules::rules;
use crate::rewrite::{saturate, segment};

/// Sizes of a case: batch, rows, heads, lanes of a head.
#[derive(Clone, Copy)]
struct Sizes {
    b: usize,
    s: usize,
    h: usize,
    d: usize,
}

const SIZES: [Sizes; 3] =
    [Sizes { b: 1, s: 1, h: 2, d: 4 }, Sizes { b: 1, s: 3, h: 3, d: 2 }, Sizes { b: 2, s: 2, h: 2, d: 6 }];

/// Runs one rule over the graph for every size; its output must become equal to something new, and all of it must hold.
fn check(rule: &'static str, build: impl Fn(&mut Build, Sizes) -> NodeId) -> &'static str {
    for (seed, sizes) in SIZES.into_iter().enumerate() {
        fires(rule, seed as u64, |b| build(b, sizes));
    }
    rule
}

fn fires(rule: &'static str, seed: u64, build: impl Fn(&mut Build) -> NodeId) {
    let mut b = Build::new(seed);
    let output = build(&mut b);
    b.graph.outputs.push(("output".to_owned(), output));
    let alone: Vec<_> = rules(&[]).into_iter().filter(|other| other.name == rule).collect();
    assert_eq!(alone.len(), 1, "there is one rule {rule}");
    let values = node_values(&b.graph, &b.values).unwrap();
    let parts = segment::cut(&b.graph);
    let [(segment, instance)] = parts.as_slice() else { panic!("{rule}: one segment") };
    let (tensors, ids) = saturate(segment, &alone);
    let leaves: Vec<Tensor> =
        instance.nodes()[..segment.leaves.len()].iter().map(|&node| values[node].clone()).collect();
    let root = ids[segment.outputs[0] as usize];
    assert!(tensors[root].nodes.len() > 1, "{rule} finds nothing in {:#?}", segment.terms);
    hold(&tensors, &leaves);
}

#[test]
fn scales() {
    let mut done = vec![];
    for transposed in [false, true] {
        done.push(check("scale-into-rows", |b, z| {
            let (x, c) = (b.input(&[z.b, z.s, z.d]), b.weights(&[z.d]));
            let scaled = b.mul(c, x);
            b.product(transposed, scaled, z.d, 5)
        }));
        done.push(check("offset-behind", |b, z| {
            let (x, c) = (b.input(&[z.b, z.s, z.d]), b.weights(&[1, 1, z.d]));
            let moved = b.add(x, c);
            b.product(transposed, moved, z.d, 5)
        }));
        for op in [Mul, Div] {
            done.push(check("row-scale-behind", |b, z| {
                let (x, r) = (b.input(&[z.b, z.s, z.d]), b.input(&[z.s, 1]));
                let scaled = b.binary(op, x, r);
                b.product(transposed, scaled, z.d, 5)
            }));
        }
        done.push(check("scale-into-columns", |b, z| {
            let (x, c) = (b.input(&[z.b, z.s, z.d]), b.weights(&[1, 5]));
            let y = b.product(transposed, x, z.d, 5);
            b.mul(c, y)
        }));
    }
    done.push(check("scale-into-columns", |b, z| {
        let (x, y, s) = (b.input(&[z.b, z.s, z.d]), b.input(&[z.b, z.d, 3]), b.scalar(0.3));
        let p = b.matmul(x, y);
        b.mul(p, s)
    }));
    done.push(check("matrix-scale-behind", |b, z| {
        let (x, y, s) = (b.input(&[z.b, z.s, z.d]), b.input(&[z.b, z.d, 3]), b.weights(&[1, 1, 1]));
        let scaled = b.mul(y, s);
        b.matmul(x, scaled)
    }));
    all_of("scale", &done);
}

/// Sums of bytes, and those of a mean, are far beyond the range of binary16 until their scales have brought them back, so products
/// do not overtake those.
#[test]
fn sums_keep_their_scales() {
    let whole = |b: &mut Build| {
        let sums = b.position(70_000);
        let sums = b.op(Op::Cast(ElementType::F32), &[sums]);
        b.op(Op::Expand { shape: vec![3, 4] }, &[sums])
    };
    let means = |b: &mut Build| {
        let x = b.input(&[3, 4, 5]);
        let sums = b.op(Op::Reduce { op: ReduceOp::Sum, axis: 2 }, &[x]);
        b.op(Op::Reshape { shape: vec![3, 4] }, &[sums])
    };
    keep_their_scales(whole);
    keep_their_scales(means);
}

/// No rule finds another form of products with sums that are scaled.
fn keep_their_scales(sums: impl Fn(&mut Build) -> NodeId) {
    let mut b = Build::new(0);
    let sums = sums(&mut b);
    let (row, column, number) = (b.input(&[3, 1]), b.weights(&[4]), b.weights(&[1]));
    let by_row = b.mul(sums, row);
    let by_column = b.mul(by_row, column);
    let by_number = b.mul(by_row, number);
    let into_weights = b.product(false, by_column, 4, 5);
    let (x, turned) = (b.input(&[2, 4]), b.input(&[4, 3]));
    let behind_rows = b.matmul(by_row, turned);
    let transposed = b.op(Op::Transpose { permutation: vec![1, 0] }, &[by_number]);
    let behind_matrix = b.matmul(x, transposed);
    for product in [into_weights, behind_rows, behind_matrix] {
        b.graph.outputs.push((format!("{product}"), product));
    }
    let parts = segment::cut(&b.graph);
    let [(segment, _)] = parts.as_slice() else { panic!("one segment") };
    let all: Vec<_> = rules(&[]).into_iter().filter(|rule| rule.group == "scale").collect();
    let (tensors, ids) = saturate(segment, &all);
    for &output in &segment.outputs {
        let nodes = &tensors[ids[output as usize]].nodes;
        assert_eq!(nodes.len(), 1, "{nodes:?}");
    }
}

#[test]
fn scalars() {
    let mut done = vec![];
    for (op, neutral) in [(Mul, 1.0), (Add, 0.0), (Sub, 0.0), (Div, 1.0), (Pow, 1.0)] {
        done.push(check("neutral", |b, z| {
            let (x, c) = (b.positive(&[z.s, z.d]), b.constant(&[1], &[neutral]));
            b.binary(op, x, c)
        }));
    }
    done.push(check("neutral", |b, z| {
        let (x, c) = (b.input(&[z.s, z.d]), b.scalar(1.0));
        b.mul(c, x)
    }));
    done.push(check("uniform", |b, z| {
        let (x, c) = (b.input(&[z.s, z.d]), b.constant(&[2.min(z.d)], &[0.25; 2]));
        let x = b.slice(x, 1, 0, 2);
        b.binary(Sub, c, x)
    }));
    done.push(check("divide", |b, z| {
        let (x, y) = (b.input(&[z.s, z.d]), b.input(&[z.s, 1]));
        b.binary(Div, x, y)
    }));
    for power in [2.0, 0.5, -0.5, -1.0] {
        done.push(check("power", |b, z| {
            let (x, c) = (b.positive(&[z.s, z.d]), b.scalar(power));
            b.binary(Pow, x, c)
        }));
    }
    for op in [Mul, Add] {
        done.push(check("gather-constants", |b, z| {
            let (x, c, d) = (b.input(&[z.s, z.d]), b.weights(&[z.d]), b.weights(&[z.s, 1]));
            let y = b.binary(op, c, x);
            b.binary(op, y, d)
        }));
    }
    for op in [Mul, Add, Sub] {
        done.push(check("signs", |b, z| {
            let (x, c) = (b.input(&[z.s, z.d]), b.weights(&[z.d]));
            let n = b.unary(UnaryOp::Neg, x);
            b.binary(op, c, n)
        }));
    }
    done.push(check("negation", |b, z| {
        let (x, c) = (b.input(&[z.s, z.d]), b.weights(&[z.d]));
        let y = b.mul(x, c);
        b.unary(UnaryOp::Neg, y)
    }));
    done.push(check("negation", |b, z| {
        let x = b.input(&[z.s, z.d]);
        let y = b.unary(UnaryOp::Neg, x);
        b.unary(UnaryOp::Neg, y)
    }));
    for (outer, inner) in [(UnaryOp::Recip, UnaryOp::Sqrt), (UnaryOp::Sqrt, UnaryOp::Recip)] {
        done.push(check("roots", |b, z| {
            let x = b.positive(&[z.s, z.d]);
            let y = b.unary(inner, x);
            b.unary(outer, y)
        }));
    }
    done.push(check("sigmoid-as-tanh", |b, z| {
        let x = b.input(&[z.s, z.d]);
        b.unary(UnaryOp::Sigmoid, x)
    }));
    done.push(check("root-of-scaled", |b, z| {
        let (x, s, e) = (b.positive(&[z.s, z.d]), b.scalar(0.01), b.constant(&[1], &[1e-3]));
        let y = b.mul(s, x);
        let y = b.add(e, y);
        b.unary(UnaryOp::Rsqrt, y)
    }));
    done.push(check("number-out", |b, z| {
        let (x, y, s) = (b.input(&[z.s, 1]), b.input(&[z.s, z.d]), b.scalar(0.3));
        let y = b.mul(s, y);
        b.mul(x, y)
    }));
    for op in [Mul, Add] {
        done.push(check("number-in", |b, z| {
            let (x, y, s) = (b.input(&[z.s, 4]), b.input(&[z.s, 5]), b.scalar(0.3));
            let (x, y) = (b.product(false, x, 4, z.d), b.product(true, y, 5, z.d));
            let y = b.binary(op, x, y);
            b.mul(s, y)
        }));
    }
    done.push(check("sum-of-scaled", |b, z| {
        let (x, s) = (b.input(&[z.s, z.d]), b.weights(&[1]));
        let y = b.mul(x, s);
        b.sum(y, 1)
    }));
    all_of("scalar", &done);
}

#[test]
fn softmax() {
    let done = [check("softmax-parts", |b, z| {
        let x = b.input(&[z.b, z.s, z.d]);
        b.op(Op::Softmax { axis: 2 }, &[x])
    })];
    all_of("softmax", &done);
}

#[test]
fn layouts() {
    let mut done = vec![
        check("transpose-twice", |b, z| {
            let x = b.input(&[z.b, z.s, z.h, z.d]);
            let y = b.transpose(x, &[0, 2, 3, 1]);
            b.transpose(y, &[1, 0, 2, 3])
        }),
        check("transpose-of-units", |b, z| {
            let x = b.input(&[z.h, 1, z.d]);
            b.transpose(x, &[1, 0, 2])
        }),
        check("transpose-of-product", |b, z| {
            let (x, y) = (b.input(&[z.b, z.s, z.d]), b.input(&[z.b, z.d, 3]));
            let p = b.matmul(x, y);
            b.transpose(p, &[0, 2, 1])
        }),
        check("transpose-of-product", |b, z| {
            let (x, y) = (b.input(&[z.b, z.s, z.d]), b.input(&[z.b, 3, z.d]));
            let p = b.matmul_t(x, y);
            b.transpose(p, &[0, 2, 1])
        }),
        check("product-of-transpose", |b, z| {
            let (x, y) = (b.input(&[z.h, z.s, z.d]), b.input(&[3, z.h, z.d]));
            let y = b.transpose(y, &[1, 2, 0]);
            b.matmul(x, y)
        }),
        check("reshape-twice", |b, z| {
            let x = b.input(&[z.b, z.s, z.h, z.d]);
            let y = b.reshape(x, &[z.b * z.s, z.h * z.d]);
            b.reshape(y, &[z.b * z.s, z.h, z.d])
        }),
        check("slice-of-all", |b, z| {
            let x = b.input(&[z.s, z.d]);
            b.slice(x, 1, 0, z.d)
        }),
        check("concat-of-one", |b, z| {
            let x = b.input(&[z.s, z.d]);
            b.op(Op::Concat { axis: 0 }, &[x])
        }),
        check("expand-to-same", |b, z| {
            let x = b.input(&[z.s, z.d]);
            b.op(Op::Expand { shape: vec![z.s, z.d] }, &[x])
        }),
        check("transpose-before-binary", |b, z| {
            let (x, y) = (b.input(&[z.b, z.s, z.h, z.d]), b.input(&[z.h, 1]));
            let p = b.binary(Sub, y, x);
            b.transpose(p, &[0, 2, 1, 3])
        }),
    ];
    // The operand varies along all axes, the leading ones, the ones that are joined or split, and none.
    for operand in 0..4 {
        done.push(check("reshape-before-binary", |b, z| {
            let x = b.input(&[z.b, z.s, z.h * z.d]);
            let y = b.input([&[z.b, z.s, z.h * z.d][..], &[z.s, 1], &[z.h * z.d], &[]][operand]);
            let p = b.binary(Sub, y, x);
            b.reshape(p, &[1, z.b, z.s, z.h, 1, z.d])
        }));
        done.push(check("reshape-before-binary", |b, z| {
            let x = b.input(&[z.b, z.s, 1, z.h, z.d]);
            let y = b.input([&[z.b, z.s, 1, z.h, z.d][..], &[z.s, 1, 1, 1], &[z.h, z.d], &[]][operand]);
            let p = b.binary(Sub, y, x);
            b.reshape(p, &[z.b, z.s, z.h * z.d])
        }));
    }
    for constant in [false, true] {
        done.push(check("move-behind-binary", |b, z| {
            let x = b.input(&[z.b, z.s, z.d]);
            let y = if constant { b.scalar(0.7) } else { b.input(&[z.b, z.s, z.d]) };
            let x = b.transpose(x, &[1, 2, 0]);
            let y = if constant { y } else { b.transpose(y, &[1, 2, 0]) };
            b.binary(Sub, y, x)
        }));
    }
    for (before, after) in
        [("reshape-before-unary", "move-behind-unary"), ("transpose-before-unary", "move-behind-unary")]
    {
        let movement = |z: Sizes| match before {
            "reshape-before-unary" => Op::Reshape { shape: vec![z.d, z.s] },
            _ => Op::Transpose { permutation: vec![1, 0] },
        };
        done.push(check(before, |b, z| {
            let x = b.input(&[z.s, z.d]);
            let y = b.unary(UnaryOp::Tanh, x);
            b.op(movement(z), &[y])
        }));
        done.push(check(after, |b, z| {
            let x = b.input(&[z.s, z.d]);
            let y = b.op(movement(z), &[x]);
            b.unary(UnaryOp::Tanh, y)
        }));
    }
    all_of("layout", &done);
}

#[test]
fn lanes() {
    let mut done = vec![];
    for transposed in [false, true] {
        // Rotary halves of heads, behind a bias, a row scale and a gain.
        done.push(check("lane-concat-into-weights", |b, z| {
            let (y, n) = (b.input(&[z.b, z.s, 3]), z.h * z.d);
            let (bias, r, gain) = (b.weights(&[n]), b.input(&[z.s, 1, 1]), b.weights(&[z.d]));
            let x = b.product(transposed, y, 3, n);
            let x = b.add(x, bias);
            let x = b.reshape(x, &[z.b, z.s, z.h, z.d]);
            let x = b.mul(x, r);
            let x = b.mul(gain, x);
            let x = b.transpose(x, &[0, 2, 1, 3]);
            b.rotate_half(x)
        }));
        done.push(check("lane-concat-into-weights", |b, z| {
            let y = b.input(&[z.s, 3]);
            let x = b.product(transposed, y, 3, z.d);
            let n = b.unary(UnaryOp::Neg, x);
            b.op(Op::Concat { axis: 1 }, &[x, n, x])
        }));
        done.push(check("lane-slice-into-weights", |b, z| {
            let (y, n) = (b.input(&[z.b, z.s, 3]), z.h * z.d);
            let x = b.product(transposed, y, 3, n);
            let x = b.reshape(x, &[z.b * z.s, z.h, z.d]);
            b.op(Op::Slice { axis: 2, start: 1, count: z.d / 2, step: 2 }, &[x])
        }));
    }
    all_of("lanes", &done);
}

#[test]
fn heads() {
    let mut done = vec![];
    for transposed in [false, true] {
        done.push(check("split-heads", |b, z| {
            let y = b.input(&[z.b, z.s, 3]);
            let x = b.product(transposed, y, 3, z.h * z.d);
            let x = b.reshape(x, &[z.b, z.s, z.h, z.d]);
            b.transpose(x, &[0, 2, 1, 3])
        }));
        done.push(check("split-heads-of-one", |b, z| {
            let y = b.input(&[z.b, 1, 3]);
            let x = b.product(transposed, y, 3, z.h * z.d);
            b.reshape(x, &[z.b, z.h, 1, z.d])
        }));
        for rows in [false, true] {
            done.push(check("merge-heads", |b, z| {
                let s = if rows { z.s } else { 1 };
                let o = b.input(&[z.b, z.h, s, z.d]);
                let t = if rows { b.transpose(o, &[0, 2, 1, 3]) } else { o };
                let x = b.reshape(t, &[z.b, s, z.h * z.d]);
                b.product(transposed, x, z.h * z.d, 5)
            }));
        }
        done.push(check("shared-heads", |b, z| {
            let q = b.input(&[z.b, z.h * 3, z.s, z.d]);
            let shape = if transposed { [z.b, z.h, 1, 5, z.d] } else { [z.b, z.h, 1, z.d, 5] };
            let x = b.input(&shape);
            let x = b.op(Op::Expand { shape: vec![z.b, z.h, 3, shape[3], shape[4]] }, &[x]);
            let x = b.reshape(x, &[z.b, z.h * 3, shape[3], shape[4]]);
            if transposed { b.matmul_t(q, x) } else { b.matmul(q, x) }
        }));
    }
    // Merging heads is a group of its own, so that it can be left out by itself.
    let merging: Vec<&'static str> = done.iter().copied().filter(|name| *name == "merge-heads").collect();
    done.retain(|name| *name != "merge-heads");
    all_of("heads", &done);
    all_of("merge", &merging);
}

/// Every rule of a group is among those that were checked.
fn all_of(group: &str, done: &[&'static str]) {
    let expected: BTreeSet<&str> =
        rules(&[]).iter().filter(|rule| rule.group == group).map(|r| r.name).collect();
    assert_eq!(done.iter().copied().collect::<BTreeSet<_>>(), expected);
}

//! Products with constant weights in every format of the planes, compiled and run on both simulators at once, against the graph's meaning.

#[path = "simulated/agree.rs"]
mod agree;

use std::collections::BTreeMap;

use agree::agree;
use compiler::graph::eval::Tensor;
use compiler::graph::{Constant, ElementType, Encoding, Graph, NodeId, Op, TensorType, UnaryOp};
use compiler::{Options, Precision};
use isa::Chip;

/// Bytes that look random: any pattern but the F8 that is no number.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).map(|byte| if byte & 0x7f == 0x7f { 0 } else { byte }).collect()
}

fn input(graph: &mut Graph, element: ElementType, shape: &[usize]) -> NodeId {
    let ty = TensorType { element, shape: shape.to_vec() };
    let x = graph.push_typed(Op::Input("x".to_owned()), &[], ty, "x");
    graph.inputs.push(x);
    x
}

fn push(graph: &mut Graph, op: Op, inputs: &[NodeId]) -> NodeId {
    graph.push(op, inputs, "").unwrap_or_else(|problem| panic!("{problem}"))
}

/// Weights [k, n] of eight bits, or of numbers from −1 to 1.
fn weights(graph: &mut Graph, element: ElementType, k: usize, n: usize) -> NodeId {
    let bytes = bytes(k * n);
    if element == ElementType::F32 {
        let numbers: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte as i8) / 128.0).collect();
        let tensor = Tensor::f32([k, n], numbers);
        return graph.push_typed(Op::Constant(tensor.to_constant()), &[], tensor.ty(), "w");
    }
    let (encoding, wide) = match element {
        ElementType::I8 => (Encoding::I8, ElementType::I32),
        _ => (Encoding::F8E4M3, ElementType::F32),
    };
    let ty = TensorType { element: wide, shape: vec![k, n] };
    let constant = Op::Constant(Constant { encoding, bytes: Some(bytes.into()) });
    let w = graph.push_typed(constant, &[], ty, "w");
    push(graph, Op::Cast(element), &[w])
}

fn multiply(graph: &mut Graph, x: NodeId, w: NodeId) -> NodeId {
    push(graph, Op::MatMul { transpose_b: false }, &[x, w])
}

/// Compiles, runs, and compares with what the graph means: integers exactly, numbers as far as `tolerance` of the greatest.
fn check(chip: &str, graph: &Graph, x: &Tensor, tolerance: f32) {
    check_on(&Chip::preset(chip).expect("a preset"), graph, x, tolerance);
}

fn check_on(chip: &Chip, graph: &Graph, x: &Tensor, tolerance: f32) {
    let inputs = BTreeMap::from([("x".to_owned(), x.clone())]);
    let options = Options { dense: true, ..Options::plain(Precision::Fp16) };
    agree(chip, graph, &inputs, &options, tolerance);
}

/// Rows of activations, k, and columns: fewer than a tile; whole tiles; tiles that are cut along k; more vectors than a tile has time for.
const SHAPES: [(usize, usize, usize); 5] =
    [(1, 40, 30), (1, 640, 640), (1, 1500, 1000), (3, 700, 1700), (40, 330, 350)];

/// Right operands that are computed: more rows than a plane takes at once.
#[test]
fn bytes_times_bytes() {
    for chip in ["lp30", "tsp-v1"] {
        let mut graph = Graph { name: "i8".to_owned(), ..Graph::default() };
        let x = input(&mut graph, ElementType::I8, &[96, 40]);
        let y = push(&mut graph, Op::MatMul { transpose_b: true }, &[x, x]);
        graph.outputs.push(("y".to_owned(), y));
        let given: Vec<i8> = bytes(96 * 40).into_iter().map(|byte| byte as i8).collect();
        check(chip, &graph, &Tensor::i8([96, 40], given), 0.0);
    }
}

#[test]
fn integers_of_eight_bits() {
    for chip in ["lp30", "tsp-v1"] {
        for (m, k, n) in SHAPES {
            let mut graph = Graph { name: "i8".to_owned(), ..Graph::default() };
            let x = input(&mut graph, ElementType::I8, &[m, k]);
            let w = weights(&mut graph, ElementType::I8, k, n);
            let y = multiply(&mut graph, x, w);
            graph.outputs.push(("y".to_owned(), y));
            let given = bytes(m * k).into_iter().rev().map(|byte| byte as i8).collect::<Vec<i8>>();
            check(chip, &graph, &Tensor::i8([m, k], given), 0.0);
        }
    }
}

/// Weights that fill more than the slices that planes load from lie in slices of other arrays, too.
#[test]
fn crowded_weights() {
    let mut chip = Chip::preset("tsp-v1").expect("a preset");
    chip.mem.words_per_bank = 530;
    for (element, k, n) in [(ElementType::I8, 6400, 880), (ElementType::F32, 6400, 440)] {
        let mut graph = Graph { name: "crowded".to_owned(), ..Graph::default() };
        let x = input(&mut graph, element, &[1, k]);
        for name in ["y", "second", "third", "last"] {
            let w = weights(&mut graph, element, k, n);
            let product = multiply(&mut graph, x, w);
            graph.outputs.push((name.to_owned(), product));
        }
        let given = bytes(k).into_iter().rev().map(|byte| byte as i8);
        let (x, tolerance) = match element {
            ElementType::I8 => (Tensor::i8([1, k], given.collect::<Vec<i8>>()), 0.0),
            _ => {
                let numbers = given.map(|byte| f32::from(byte) / 64.0);
                (Tensor::f32([1, k], numbers.collect::<Vec<f32>>()), 1e-3)
            }
        };
        check_on(&chip, &graph, &x, tolerance);
    }
}

#[test]
fn floats_of_eight_bits() {
    for (m, k, n) in SHAPES {
        let mut graph = Graph { name: "f8".to_owned(), ..Graph::default() };
        let x = input(&mut graph, ElementType::F8, &[m, k]);
        let w = weights(&mut graph, ElementType::F8, k, n);
        let y = multiply(&mut graph, x, w);
        graph.outputs.push(("y".to_owned(), y));
        let code = |byte| compiler::graph::f8::F8(byte).to_f32();
        let given: Vec<f32> = bytes(m * k).into_iter().rev().map(code).collect();
        // Sums of several chunks of k are rounded after each.
        check("lp30", &graph, &Tensor::f8([m, k], given), 1e-6);
    }
}

#[test]
fn pairs_of_planes_and_single_ones_take_turns() {
    for chip in ["lp30", "tsp-v1"] {
        let mut graph = Graph { name: "mixed".to_owned(), ..Graph::default() };
        let x = input(&mut graph, ElementType::F32, &[2, 700]);
        let first = weights(&mut graph, ElementType::F32, 700, 900);
        let hidden = multiply(&mut graph, x, first);
        let rounded = push(&mut graph, Op::Cast(ElementType::I8), &[hidden]);
        let second = weights(&mut graph, ElementType::I8, 900, 800);
        let sums = multiply(&mut graph, rounded, second);
        let real = push(&mut graph, Op::Cast(ElementType::F32), &[sums]);
        let bent = push(&mut graph, Op::Unary(UnaryOp::Tanh), &[real]);
        let third = weights(&mut graph, ElementType::F32, 800, 330);
        let y = multiply(&mut graph, bent, third);
        graph.outputs.push(("y".to_owned(), y));
        // Small integers are exact in binary16, so that nothing rounds to another integer.
        let given: Vec<f32> = bytes(1400).iter().map(|&byte| f32::from(byte % 5) - 2.0).collect();
        check(chip, &graph, &Tensor::f32([2, 700], given), 1e-3);
    }
}

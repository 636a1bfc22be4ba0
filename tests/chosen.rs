//! Products with matrices that an index chooses while the program runs: experts. Compiled and run on both simulators at once, against the graph's
//! meaning.

use std::collections::BTreeMap;

use compiler::graph::eval::{self, Data, Tensor};
use compiler::graph::{BinaryOp, ElementType, Graph, NodeId, Op, ReduceOp, TensorType};
use compiler::{Options, Precision};
use isa::Chip;
use simulator::{Array, Engine, Machine};

/// Matrices that there are, and that are chosen of them.
const EXPERTS: usize = 6;
const CHOSEN: [i32; 3] = [4, 0, 5];

fn input(graph: &mut Graph, name: &str, element: ElementType, shape: &[usize]) -> NodeId {
    let ty = TensorType { element, shape: shape.to_vec() };
    let node = graph.push_typed(Op::Input(name.to_owned()), &[], ty, name);
    graph.inputs.push(node);
    node
}

fn push(graph: &mut Graph, op: Op, inputs: &[NodeId]) -> NodeId {
    graph.push(op, inputs, "").unwrap_or_else(|problem| panic!("{problem}"))
}

/// Numbers from −1 to 1 that look random.
fn numbers(count: usize) -> Vec<f32> {
    (0..count as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 20) as f32 / 2048.0 - 1.0).collect()
}

fn weights(graph: &mut Graph, shape: [usize; 3]) -> NodeId {
    let tensor = Tensor::f32(shape, numbers(shape.iter().product()));
    graph.push_typed(Op::Constant(tensor.to_constant()), &[], tensor.ty(), "experts")
}

/// Outputs of a graph's program for tokens [1, 1, k] and the chosen numbers, on both simulators at once.
fn run(chip: &Chip, graph: &Graph, precision: Precision, tokens: &[f32]) -> BTreeMap<String, Vec<f32>> {
    let compiled = compiler::compile(graph.clone(), chip, &Options::plain(precision), &mut |_, _| {});
    let compiled = compiled.unwrap_or_else(|problem| panic!("{problem}"));
    let mut machine = Machine::load(Engine::Tandem, chip, &compiled.program).expect("well formed");
    machine.write("tokens", &Array::F32(tokens.to_vec())).expect("a port");
    if graph.inputs.len() > 1 {
        machine.write("chosen", &Array::I32(CHOSEN.to_vec())).expect("a port");
    }
    let report = machine.run().unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(report.cycles, compiled.predicted.cycles);
    assert!(report.cycles >= compiled.summary.bound.cycles, "{} cycles beat the bound", report.cycles);
    let read = |name: &String| match machine.read(name) {
        Ok(Array::F32(values)) => (name.clone(), values),
        other => panic!("{name}: {other:?}"),
    };
    graph.outputs.iter().map(|(name, _)| read(name)).collect()
}

fn compare(
    ours: &BTreeMap<String, Vec<f32>>,
    right: &BTreeMap<String, Vec<f32>>,
    tolerance: f32,
    what: &str,
) {
    for (name, right) in right {
        let most = right.iter().fold(0f32, |most, value| most.max(value.abs()));
        for (at, (ours, right)) in ours[name].iter().zip(right).enumerate() {
            assert!((ours - right).abs() <= tolerance * most, "{what}, {name} {at}: {ours}, not {right}");
        }
    }
}

/// Results of a graph's program are those of one that knows the choice when it is made, and what the graph means but for its precision.
fn check(chip: &str, sizes: (usize, usize), transpose_b: bool, (precision, tolerance): (Precision, f32)) {
    let chip = Chip::preset(chip).expect("a preset");
    let [graph, known] = [false, true].map(|known| experts(sizes, transpose_b, known));
    let tokens = numbers(sizes.0).into_iter().rev().collect::<Vec<f32>>();
    let ours = run(&chip, &graph, precision, &tokens);
    let what = format!("{precision:?} {sizes:?}");
    // Sums are added in another order, which may round activations to another neighbour.
    compare(&ours, &run(&chip, &known, precision, &tokens), 1e-2, &what);
    let inputs = BTreeMap::from([
        ("tokens".to_owned(), Tensor::f32([1, 1, sizes.0], tokens)),
        ("chosen".to_owned(), Tensor::i32([CHOSEN.len()], CHOSEN)),
    ]);
    let right = eval::evaluate(&graph, &inputs, None).unwrap_or_else(|problem| panic!("{problem}"));
    let real = right.into_iter().map(|(name, tensor)| match tensor.data {
        Data::F32(values) => (name, values),
        other => panic!("{name}: {other:?}"),
    });
    compare(&ours, &real.collect(), tolerance, &what);
}

/// A gated feed-forward of which each of three slots has an expert: [experts, inner, hidden], and back.
fn experts((hidden, inner): (usize, usize), transpose_b: bool, known: bool) -> Graph {
    let mut graph = Graph { name: "experts".to_owned(), ..Graph::default() };
    let tokens = input(&mut graph, "tokens", ElementType::F32, &[1, 1, hidden]);
    let chosen = match known {
        false => input(&mut graph, "chosen", ElementType::I32, &[CHOSEN.len()]),
        true => {
            let tensor = Tensor::i32([CHOSEN.len()], CHOSEN);
            graph.push_typed(Op::Constant(tensor.to_constant()), &[], tensor.ty(), "chosen")
        }
    };
    let product = |graph: &mut Graph, x: NodeId, n: usize, k: usize| {
        let shape = if transpose_b { [EXPERTS, n, k] } else { [EXPERTS, k, n] };
        let table = weights(graph, shape);
        let own = push(graph, Op::Gather { axis: 0 }, &[table, chosen]);
        push(graph, Op::MatMul { transpose_b }, &[x, own])
    };
    let gate = product(&mut graph, tokens, inner, hidden);
    let up = product(&mut graph, tokens, inner, hidden);
    let both = push(&mut graph, Op::Binary(BinaryOp::Mul), &[gate, up]);
    let down = product(&mut graph, both, hidden, inner);
    let sum = push(&mut graph, Op::Reduce { op: ReduceOp::Sum, axis: 0 }, &[down]);
    graph.outputs.push(("each".to_owned(), down));
    graph.outputs.push(("sum".to_owned(), sum));
    graph
}

#[test]
fn experts_are_chosen_in_every_format() {
    let ways = [
        (Precision::Fp16, 2e-3),
        (Precision::Fp32, 1e-5),
        (Precision::Int8, 2e-2),
        (Precision::Fp8, 2e-1),
        (Precision::Int4, 4e-1),
    ];
    for way in ways {
        // Less than a tile, and more than one in both directions.
        for sizes in [(64, 96), (700, 400)] {
            check("lp30", sizes, true, way);
        }
    }
}

#[test]
fn of_matrices_by_columns_too() {
    for chip in ["tsp-v1", "lp30"] {
        check(chip, (400, 330), false, (Precision::Fp16, 2e-3));
    }
}

//! No program beats the bound: random graphs, compiled and simulated.

mod random;

use compiler::bound::bound;
use compiler::graph::{BinaryOp, UnaryOp};
use compiler::graph::{Constant, ElementType, Encoding, Graph, NodeId, Op, ReduceOp, TensorType};
use compiler::lower::legalize::legalize;
use compiler::{Options, Precision};
use isa::Chip;
use simulator::{Engine, Machine};

/// Random graphs that are tried.
const GRAPHS: u32 = 120;

fn chips() -> [Chip; 2] {
    ["lp30", "tsp-v1"].map(|name| Chip::preset(name).expect("preset"))
}

/// Compiles, simulates and compares; nothing where the compiler refuses the graph.
fn ratio(graph: &Graph, chip: &Chip, precision: Precision) -> Option<f64> {
    let options = Options::plain(precision);
    let compiled = compiler::compile(graph.clone(), chip, &options, &mut |_, _| {}).ok()?;
    let mut machine = Machine::load(Engine::Fast, chip, &compiled.program).expect("loads");
    let cycles = machine.time().expect("no hazard").cycles;
    let legal = legalize(graph.clone(), precision, chip).expect("compiled before");
    let bound = bound(&legal, chip);
    assert_eq!(bound, compiled.summary.bound, "the bound depends on the legal graph and the chip alone");
    assert!(bound.cycles <= cycles, "{legal}\n{}: {cycles} cycles beat {bound:?}", chip.name);
    let greatest = bound.candidates.iter().map(|candidate| candidate.cycles).max();
    assert_eq!(greatest, Some(bound.cycles));
    // What only shows inputs takes no time.
    Some(cycles as f64 / bound.cycles.max(1) as f64)
}

#[test]
fn programs_of_random_graphs_take_at_least_the_bound() {
    let mut ratios = Vec::new();
    for seed in 0..GRAPHS {
        let graph = random::graph(seed);
        for chip in chips() {
            let precision = if seed % 4 == 3 { Precision::Fp32 } else { Precision::Fp16 };
            ratios.extend(ratio(&graph, &chip, precision));
        }
    }
    assert!(ratios.len() > GRAPHS as usize, "too few graphs compile: {}", ratios.len());
    ratios.sort_by(f64::total_cmp);
    // Nor is it far from what there is.
    assert!(ratios[ratios.len() / 2] < 4.0, "{ratios:.2?}");
}

/// Layers of wide products of one row, with a norm before each; weights have no values.
fn layers(count: usize, width: usize) -> Graph {
    let mut graph = Graph { name: "layers".to_owned(), ..Graph::default() };
    let ty = |shape: &[usize]| TensorType { element: ElementType::F32, shape: shape.to_vec() };
    let mut x = graph.push_typed(Op::Input("x".to_owned()), &[], ty(&[1, width]), "x");
    graph.inputs.push(x);
    for layer in 0..count {
        let mut push = |op, inputs: &[NodeId], name| {
            graph.push(op, inputs, &format!("{name}{layer}")).expect("types agree")
        };
        let square = push(Op::Binary(BinaryOp::Mul), &[x, x], "square");
        let sum = push(Op::Reduce { op: ReduceOp::Sum, axis: 1 }, &[square], "sum");
        let root = push(Op::Unary(UnaryOp::Rsqrt), &[sum], "root");
        let norm = push(Op::Binary(BinaryOp::Mul), &[x, root], "norm");
        let weights = Constant { encoding: Encoding::F16, bytes: None };
        let w = graph.push_typed(Op::Constant(weights), &[], ty(&[width, width]), "w");
        let product =
            graph.push(Op::MatMul { transpose_b: true }, &[norm, w], "product").expect("types agree");
        x = graph.push(Op::Binary(BinaryOp::Add), &[x, product], "add").expect("types agree");
    }
    graph.outputs.push(("y".to_owned(), x));
    graph
}

#[test]
fn programs_of_wide_products_take_at_least_the_bound() {
    for (count, width) in [(1, 4096), (3, 4096), (8, 1000)] {
        for chip in chips() {
            let ratio = ratio(&layers(count, width), &chip, Precision::Fp16).expect("compiles");
            assert!(
                ratio < 3.0,
                "{count} layers of width {width} on {}: {ratio:.2} times the bound",
                chip.name
            );
        }
    }
}

//! Weights of four bits from the graph to the simulated chip: products as they are made of them, published blocks, and chips that cannot load them.

use std::collections::BTreeMap;

use compiler::graph::eval::{self, Tensor};
use compiler::graph::{Constant, ElementType, Encoding, Graph, Op, TensorType};
use compiler::{Compiled, Options, Precision};
use isa::Chip;
use models::config::{Attention, FeedForward};
use models::{Config, build};
use simulator::{Array, Engine, Machine};

/// Activations are binary16.
const TOLERANCE: f32 = 1e-3;

/// Bytes that look random.
fn bytes(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// Numbers from −1 to 1.
fn numbers(shape: &[usize], seed: u32) -> Tensor {
    let bytes = bytes(shape.iter().product(), seed);
    Tensor::f32(shape, bytes.iter().map(|&byte| f32::from(byte as i8) / 128.0).collect::<Vec<f32>>())
}

/// A matrix [k, n] as it is published: any codes, and scales that differ.
fn published(encoding: Encoding, [k, n]: [usize; 2], seed: u32) -> Constant {
    let mut all = bytes(k * n / 2, seed);
    for scale in bytes(k / 32 * n, seed + 1) {
        match encoding {
            Encoding::Mxfp4 => all.push(118 + scale % 4),
            // binary16 from 2^-7 on.
            _ => all.extend((0x2000 + 4 * u16::from(scale)).to_le_bytes()),
        }
    }
    Constant { encoding, bytes: Some(all.into()) }
}

/// y = x · w, of which x is given.
fn product(weights: Constant, m: usize, [k, n]: [usize; 2]) -> Graph {
    let mut graph = Graph { name: "few".to_owned(), ..Graph::default() };
    let real = |shape: &[usize]| TensorType::new(ElementType::F32, shape);
    let x = graph.push_typed(Op::Input("x".to_owned()), &[], real(&[m, k]), "x");
    graph.inputs.push(x);
    let w = graph.push_typed(Op::Constant(weights), &[], real(&[k, n]), "w");
    let y = graph.push(Op::MatMul { transpose_b: false }, &[x, w], "y").expect("agrees");
    graph.outputs.push(("y".to_owned(), y));
    graph
}

struct Made {
    compiled: Compiled,
    legal: Graph,
}

fn compile(graph: &Graph, chip: &Chip, precision: Precision) -> Made {
    let options = Options::plain(precision);
    let compiled = compiler::compile(graph.clone(), chip, &options, &mut |_, _| {});
    let legal = compiler::lower::legalize::legalize(graph.clone(), precision, chip);
    let told = |problem: compiler::diagnostic::Diagnostic| -> ! { panic!("{problem}") };
    Made { compiled: compiled.unwrap_or_else(|p| told(p)), legal: legal.unwrap_or_else(|p| told(p)) }
}

/// The greatest difference over the greatest magnitude.
fn error(ours: &[f32], right: &[f32]) -> f32 {
    assert_eq!(ours.len(), right.len());
    let top = right.iter().fold(0f32, |top, x| top.max(x.abs()));
    let worst = |worst: f32, (a, b): (&f32, &f32)| if (a - b).abs() <= worst { worst } else { (a - b).abs() };
    ours.iter().zip(right).fold(0f32, worst) / top
}

fn values(graph: &Graph, inputs: &BTreeMap<String, Tensor>, output: &str) -> Vec<f32> {
    let all = eval::evaluate(graph, inputs, None).unwrap_or_else(|problem| panic!("{problem}"));
    all[output].as_f32().expect("real").to_vec()
}

/// Compiles, runs on an engine, and compares with what the model means: published blocks are on the chip as they are.
fn check(graph: &Graph, inputs: &BTreeMap<String, Tensor>, precision: Precision, engine: Engine) -> Made {
    let chip = Chip::preset("lp30").expect("a preset");
    let made = compile(graph, &chip, precision);
    let mut machine = Machine::load(engine, &chip, &made.compiled.program).expect("well formed");
    for (name, value) in inputs {
        let given = Array::F32(value.as_f32().expect("real").to_vec());
        machine.write(name, &given).expect("a port");
    }
    let report = machine.run().unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(report.cycles, made.compiled.predicted.cycles);
    assert!(report.cycles >= made.compiled.summary.bound.cycles, "{} beat the bound", report.cycles);
    let output = &graph.outputs[0].0;
    let Ok(Array::F32(simulated)) = machine.read(output) else { panic!("numbers") };
    let real = error(&simulated, &values(graph, inputs, output));
    assert!(real < TOLERANCE, "the machine is off by {real:.1e}");
    made
}

/// Rows of activations, k and n: a block; blocks that fill a vector in part; several vectors, the last in part; odd columns; many rows.
const SHAPES: [(usize, [usize; 2]); 5] =
    [(1, [32, 30]), (2, [96, 330]), (1, [704, 1000]), (3, [640, 341]), (40, [352, 64])];

#[test]
fn products_of_published_blocks() {
    for encoding in [Encoding::Int4, Encoding::Mxfp4] {
        for (m, shape) in SHAPES {
            let graph = product(published(encoding, shape, 3), m, shape);
            let inputs = BTreeMap::from([("x".to_owned(), numbers(&[m, shape[0]], 5))]);
            check(&graph, &inputs, Precision::Fp16, Engine::Tandem);
        }
    }
}

/// All matrices in blocks of four bits, that are published in none: those of the compiler's making are as near as integers of four bits come.
#[test]
fn products_in_blocks_that_the_compiler_makes() {
    let weights = numbers(&[704, 500], 7);
    let graph = product(weights.to_constant(), 2, [704, 500]);
    let inputs = BTreeMap::from([("x".to_owned(), numbers(&[2, 704], 5))]);
    let chip = Chip::preset("lp30").expect("a preset");
    let made = compile(&graph, &chip, Precision::Int4);
    let mut machine = Machine::load(Engine::Fast, &chip, &made.compiled.program).expect("well formed");
    machine.write("x", &Array::F32(inputs["x"].as_f32().expect("real").to_vec())).expect("a port");
    machine.run().unwrap_or_else(|fault| panic!("{fault}"));
    let Ok(Array::F32(simulated)) = machine.read("y") else { panic!("numbers") };
    assert!(error(&simulated, &values(&made.legal, &inputs, "y")) < TOLERANCE);
    let real = error(&simulated, &values(&graph, &inputs, "y"));
    assert!(real < 0.1, "off by {real:.1e}");
    let bytes = |precision| compile(&graph, &chip, precision).compiled.summary.weights_bytes;
    let (few, many) = (bytes(Precision::Int4), bytes(Precision::Int8));
    assert!(few < many, "{few} bytes of four bits, {many} of eight");
}

#[test]
fn chips_that_do_not_load_them() {
    let chip = Chip::preset("tsp-v1").expect("a preset");
    let options = Options::plain(Precision::Int4);
    let graph = product(published(Encoding::Mxfp4, [64, 64], 1), 1, [64, 64]);
    let refused = compiler::compile(graph.clone(), &chip, &options, &mut |_, _| {}).expect_err("refused");
    assert!(
        refused.to_string().contains("the planes of tsp-v1 load weights in i8, f16, not in f4"),
        "{refused}"
    );
    // What is published in few bits is no reason to refuse a model: there it has as many as the precision says.
    let inputs = BTreeMap::from([("x".to_owned(), numbers(&[1, 64], 5))]);
    let made = compile(&graph, &chip, Precision::Int8);
    let legal = values(&made.legal, &inputs, "y");
    assert!(error(&legal, &values(&graph, &inputs, "y")) < 1e-2);
}

/// gpt-oss of toy size, whose experts' matrices are MXFP4 and all others are not.
#[test]
fn a_layers_experts_are_as_published() {
    let mut config = Config::preset("gpt-oss-20b").expect("a preset").clone();
    config.hidden = 64;
    let (FeedForward::Experts(experts), Attention::Grouped(attention)) =
        (&mut config.feed_forward, &mut config.attention)
    else {
        panic!("experts")
    };
    (experts.experts, experts.active, experts.inner) = (4, 2, 96);
    (attention.heads, attention.kv_heads, attention.head_dim) = (4, 2, 16);
    let (all, inner) = (experts.experts, experts.inner);
    let shape = config.layer_shape(0).feed_forward;
    let mut graph = build::feed_forward(&config, shape, 1).expect("a graph");
    let mut few = 0;
    for (seed, node) in (0..).zip(graph.nodes.values_mut()) {
        let Op::Constant(constant) = &mut node.op else { continue };
        if constant.bytes.is_some() {
            continue;
        }
        let shape = node.ty.shape.clone();
        *constant = match (constant.encoding, &shape[..]) {
            (Encoding::Mxfp4, &[k, n]) => {
                few += 1;
                published(Encoding::Mxfp4, [k, n], seed)
            }
            _ if node.origin.contains("spread") => build::spread(all, inner).to_constant(),
            _ => numbers(&shape, seed).to_constant(),
        };
    }
    assert_eq!(few, 3, "gate, up and down of all experts");
    let inputs = BTreeMap::from([("hidden".to_owned(), numbers(&[1, 1, 64], 5))]);
    check(&graph, &inputs, Precision::Fp16, Engine::Fast);
}

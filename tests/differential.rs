//! Small graphs, compiled and simulated, against the graph evaluator; predicted against simulated cycles.

use std::collections::BTreeMap;

use compiler::graph::eval::{self, Data, Tensor};
use compiler::graph::{BinaryOp, ElementType, Graph, NodeId, Op, ReduceOp, State, TensorType, UnaryOp};
use compiler::{Options, Precision};
use isa::Chip;
use lpuc::caches;
use simulator::{Array, Engine, Machine};

/// A graph under construction, with deterministic numbers for constants and inputs.
struct Builder {
    graph: Graph,
    seed: u32,
    inputs: BTreeMap<String, Tensor>,
}

impl Builder {
    fn new(name: &str) -> Builder {
        Builder {
            graph: Graph { name: name.to_owned(), ..Graph::default() },
            seed: 1,
            inputs: BTreeMap::new(),
        }
    }

    fn numbers(&mut self, count: usize) -> Vec<f32> {
        let mut next = || {
            self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.seed >> 8) as f32 / (1 << 24) as f32 * 2.0 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn input(&mut self, name: &str, shape: &[usize]) -> NodeId {
        let data = self.numbers(shape.iter().product());
        self.given(name, Tensor::f32(shape, data))
    }

    fn given(&mut self, name: &str, tensor: Tensor) -> NodeId {
        let node = self.graph.push_typed(Op::Input(name.to_owned()), &[], tensor.ty(), name);
        self.graph.inputs.push(node);
        self.inputs.insert(name.to_owned(), tensor);
        node
    }

    fn constant(&mut self, shape: &[usize]) -> NodeId {
        let data = self.numbers(shape.iter().product());
        let tensor = Tensor::f32(shape, data);
        self.graph.push_typed(Op::Constant(tensor.to_constant()), &[], tensor.ty(), "weights")
    }

    fn push(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let origin = format!("{:?}", op).chars().take(20).collect::<String>();
        self.graph.push(op, inputs, &origin).expect("types agree")
    }

    fn output(&mut self, name: &str, node: NodeId) {
        self.graph.outputs.push((name.to_owned(), node));
    }
}

fn array(tensor: &Tensor) -> Array {
    match &tensor.data {
        Data::F32(values) => Array::F32(values.clone()),
        Data::I32(values) => Array::I32(values.clone()),
        Data::Bool(values) => Array::Bool(values.clone()),
        // The host gives numbers of eight bits as wide ones.
        Data::I8(values) => Array::I32(values.iter().map(|&value| value.into()).collect()),
        Data::F8(values) => Array::F32(values.iter().map(|value| value.to_f32()).collect()),
    }
}

fn floats(array: &Array) -> Vec<f32> {
    match array {
        Array::F32(values) => values.clone(),
        Array::I32(values) => values.iter().map(|&value| value as f32).collect(),
        Array::Bool(values) => values.iter().map(|&value| f32::from(u8::from(value))).collect(),
    }
}

/// Compiles for every chip and precision, simulates, and compares every output.
fn check(builder: Builder) {
    let expected = eval::evaluate(&builder.graph, &builder.inputs, None).expect("evaluates");
    for chip in ["lp30", "tsp-v1"] {
        let chip = Chip::preset(chip).expect("preset");
        for (precision, tolerance) in [(Precision::Fp16, 1e-2), (Precision::Fp32, 1e-5)] {
            let options = Options::plain(precision);
            let compiled = match compiler::compile(builder.graph.clone(), &chip, &options, &mut |_, _| {}) {
                Ok(compiled) => compiled,
                Err(problem) => panic!("{} for {}: {problem}", builder.graph.name, chip.name),
            };
            let mut machine = Machine::load(Engine::Tandem, &chip, &compiled.program).expect("loads");
            for (name, tensor) in &builder.inputs {
                machine.write(name, &array(tensor)).expect("input");
            }
            let report = match machine.run() {
                Ok(report) => report,
                Err(fault) => panic!("{} on {}: {fault}", builder.graph.name, chip.name),
            };
            assert_eq!(report, compiled.predicted, "{}: predicted and simulated", builder.graph.name);
            let bound = compiled.summary.bound.cycles;
            assert!(bound <= report.cycles, "{}: {} cycles beat {bound}", builder.graph.name, report.cycles);
            for (name, want) in &expected {
                let got = floats(&caches::read(&machine, name).expect("output"));
                let want = floats(&array(want));
                let largest = want.iter().fold(1e-6f32, |most, value| most.max(value.abs()));
                let error = got.iter().zip(&want).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
                assert!(
                    error <= tolerance * largest,
                    "{} on {}, {precision:?}: {name} differs by {error} of {largest}; {:?} {:?}",
                    builder.graph.name,
                    chip.name,
                    &got[..got.len().min(8)],
                    &want[..want.len().min(8)]
                );
            }
        }
    }
}

#[test]
fn pointwise_chain() {
    let mut b = Builder::new("pointwise");
    let x = b.input("x", &[3, 700]);
    let y = b.input("y", &[3, 700]);
    let row = b.constant(&[700]);
    let sum = b.push(Op::Binary(BinaryOp::Add), &[x, y]);
    let exp = b.push(Op::Unary(UnaryOp::Exp), &[sum]);
    let scaled = b.push(Op::Binary(BinaryOp::Mul), &[exp, row]);
    let twice = b.push(Op::Binary(BinaryOp::Mul), &[scaled, scaled]);
    let last = b.push(Op::Binary(BinaryOp::Sub), &[twice, x]);
    b.output("last", last);
    b.output("exp", exp);
    check(b);
}

#[test]
fn product_of_vector_and_matrix() {
    let mut b = Builder::new("product");
    let x = b.input("x", &[2, 576]);
    let w = b.constant(&[700, 576]);
    let y = b.push(Op::MatMul { transpose_b: true }, &[x, w]);
    b.output("y", y);
    check(b);
}

#[test]
fn two_layers_with_a_square_between() {
    let mut b = Builder::new("layers");
    let x = b.input("x", &[1, 96]);
    let w = b.constant(&[96, 400]);
    let v = b.constant(&[400, 32]);
    let y = b.push(Op::MatMul { transpose_b: false }, &[x, w]);
    let y = b.push(Op::Binary(BinaryOp::Mul), &[y, y]);
    let z = b.push(Op::MatMul { transpose_b: false }, &[y, v]);
    b.output("z", z);
    check(b);
}

#[test]
fn reductions_and_softmax() {
    let mut b = Builder::new("reductions");
    let x = b.input("x", &[3, 100]);
    let wide = b.input("wide", &[2, 2000]);
    let max = b.push(Op::Reduce { op: ReduceOp::Max, axis: 1 }, &[x]);
    let sum = b.push(Op::Reduce { op: ReduceOp::Sum, axis: 1 }, &[wide]);
    let top = b.push(Op::Reduce { op: ReduceOp::Max, axis: 1 }, &[wide]);
    let soft = b.push(Op::Softmax { axis: 1 }, &[x]);
    for (name, node) in [("max", max), ("sum", sum), ("top", top), ("soft", soft)] {
        b.output(name, node);
    }
    check(b);
}

#[test]
fn lanes_move() {
    let mut b = Builder::new("moves");
    let x = b.input("x", &[2, 96]);
    let heads = b.push(Op::Reshape { shape: vec![2, 3, 32] }, &[x]);
    let low = b.push(Op::Slice { axis: 2, start: 0, count: 16, step: 1 }, &[heads]);
    let high = b.push(Op::Slice { axis: 2, start: 16, count: 16, step: 1 }, &[heads]);
    let minus = b.push(Op::Unary(UnaryOp::Neg), &[high]);
    let turned = b.push(Op::Concat { axis: 2 }, &[minus, low]);
    let swapped = b.push(Op::Transpose { permutation: vec![1, 0, 2] }, &[turned]);
    let back = b.push(Op::Reshape { shape: vec![3, 64] }, &[swapped]);
    b.output("turned", turned);
    b.output("back", back);
    check(b);
}

#[test]
fn embedding_and_cache() {
    let mut b = Builder::new("cache");
    let ids = b.given("ids", Tensor::i32([1, 1], [517]));
    let position = b.given("lpuc.position", Tensor::i32([1], [5]));
    let table = b.constant(&[900, 64]);
    let x = b.push(Op::Gather { axis: 0 }, &[table, ids]);
    let rows = b.push(Op::Reshape { shape: vec![1, 2, 1, 32] }, &[x]);
    let ty = TensorType { element: ElementType::F32, shape: vec![1, 2, 48, 32] };
    let cache = b.graph.push_typed(Op::Input("past".to_owned()), &[], ty, "past");
    let full = b.push(Op::Append { axis: 2 }, &[cache, rows, position]);
    b.graph.states.push(State {
        input: cache,
        output: full,
        input_name: "past".to_owned(),
        output_name: "present".to_owned(),
    });
    let keys = b.push(Op::Transpose { permutation: vec![0, 1, 3, 2] }, &[full]);
    let scores = b.push(Op::MatMul { transpose_b: false }, &[rows, keys]);
    let sums = b.push(Op::MatMul { transpose_b: false }, &[scores, full]);
    b.output("x", x);
    b.output("scores", scores);
    b.output("sums", sums);
    check(b);
}

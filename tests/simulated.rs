//! A graph compiled and run on both simulators at once, against what it means.

use std::collections::BTreeMap;

use compiler::graph::eval::{self, Data, Tensor};
use compiler::graph::{Constant, ElementType, Encoding, Graph, NodeId, Op, TensorType};
use compiler::links::Links;
use compiler::rewrite::RewriteOptions;
use compiler::{Options, Precision};
use isa::{Chip, Report};
use simulator::{Array, Engine, Machine};

/// Bytes that look random.
pub(crate) fn bytes(seed: u32, count: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// Numbers from -1 to 1 that binary16 holds.
pub(crate) fn numbers(seed: u32, count: usize) -> Vec<f32> {
    bytes(seed, count).into_iter().map(|byte| f32::from(byte as i8) / 128.0).collect()
}

/// A graph under construction.
#[derive(Default)]
pub(crate) struct Builder {
    /// The graph.
    pub(crate) graph: Graph,
}

impl Builder {
    /// An input of a name.
    pub(crate) fn input(&mut self, name: &str, element: ElementType, shape: &[usize]) -> NodeId {
        let ty = TensorType::new(element, shape);
        let node = self.graph.push_typed(Op::Input(name.to_owned()), &[], ty, name);
        self.graph.inputs.push(node);
        node
    }

    /// A node.
    pub(crate) fn push(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        self.graph.push(op, inputs, "").unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Weights: numbers from -1 to 1, or signed bytes.
    pub(crate) fn weights(&mut self, element: ElementType, shape: &[usize]) -> NodeId {
        let count = shape.iter().product();
        let seed = self.graph.nodes.len() as u32 + 1;
        if element == ElementType::F32 {
            let tensor = Tensor::f32(shape, numbers(seed, count));
            return self.graph.push_typed(Op::Constant(tensor.to_constant()), &[], tensor.ty(), "w");
        }
        let constant = Constant { encoding: Encoding::I8, bytes: Some(bytes(seed, count).into()) };
        let ty = TensorType::new(ElementType::I32, shape);
        let wide = self.graph.push_typed(Op::Constant(constant), &[], ty, "w");
        self.push(Op::Cast(ElementType::I8), &[wide])
    }

    /// Names an output.
    pub(crate) fn output(&mut self, name: &str, node: NodeId) {
        self.graph.outputs.push((name.to_owned(), node));
    }
}

/// A tensor for an input.
pub(crate) fn given(element: ElementType, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    match element {
        ElementType::I8 => {
            Tensor::i8(shape, bytes(99, count).into_iter().map(|byte| byte as i8).collect::<Vec<i8>>())
        }
        _ => Tensor::f32(shape, numbers(99, count)),
    }
}

/// Compiles, runs, and compares every output: integers exactly, numbers as far as `tolerance` of the greatest. Inputs are as [`given`].
pub(crate) fn check(chip: &str, graph: &Graph, precision: Precision, tolerance: f32) -> Report {
    let given = |node: NodeId| {
        let Op::Input(name) = &graph.nodes[node].op else { panic!("no input") };
        (name.clone(), given(graph.ty(node).element, graph.shape(node)))
    };
    let inputs: BTreeMap<String, Tensor> = graph.inputs.iter().map(|&node| given(node)).collect();
    let right = eval::evaluate(graph, &inputs, None).unwrap_or_else(|problem| panic!("{problem}"));
    let chip = Chip::preset(chip).expect("a preset");
    let options = Options {
        precision,
        rewrite: Some(RewriteOptions::default()),
        links: Links::default(),
        caches: compiler::Caches::Fp16,
        dense: false,
    };
    let compiled = compiler::compile(graph.clone(), &chip, &options, &mut |_, _| {});
    let compiled = compiled.unwrap_or_else(|problem| panic!("{problem}"));
    let mut machine = Machine::load(Engine::Tandem, &chip, &compiled.program).expect("well formed");
    for (name, tensor) in &inputs {
        let array = match &tensor.data {
            Data::I8(values) => Array::I32(values.iter().map(|&value| value.into()).collect()),
            Data::F32(values) => Array::F32(values.clone()),
            other => panic!("{other:?}"),
        };
        machine.write(name, &array).expect("a port");
    }
    let report = machine.run().unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(report.cycles, compiled.predicted.cycles);
    assert!(report.cycles >= compiled.summary.bound.cycles, "{} cycles beat the bound", report.cycles);
    for (name, right) in &right {
        match (machine.read(name).expect("a port"), &right.data) {
            (Array::I32(simulated), Data::I32(right)) => assert_eq!(simulated, *right, "{name}"),
            (Array::F32(simulated), Data::F32(right)) => {
                let most = right.iter().fold(0f32, |most, value| most.max(value.abs()));
                for (at, (simulated, right)) in simulated.iter().zip(right).enumerate() {
                    let off = (simulated - right).abs();
                    assert!(off <= tolerance * most, "{name}, {at}: {simulated}, not {right}");
                }
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    report
}

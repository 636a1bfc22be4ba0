//! Graphs under construction, and their check on inputs that look random.

mod agree;

use std::collections::BTreeMap;

use agree::agree;
use compiler::graph::eval::Tensor;
use compiler::graph::{Constant, ElementType, Encoding, Graph, NodeId, Op, TensorType};
use compiler::links::Links;
use compiler::rewrite::RewriteOptions;
use compiler::{Options, Precision};
use isa::{Chip, Report};

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
    let chip = Chip::preset(chip).expect("a preset");
    let options = Options {
        precision,
        rewrite: Some(RewriteOptions::default()),
        links: Links::default(),
        caches: compiler::Caches::Fp16,
        dense: false,
    };
    agree(&chip, graph, &inputs, &options, tolerance)
}

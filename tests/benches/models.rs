//! The models that are measured, compiled.

use std::path::Path;

use bytes::Bytes;
use compiler::graph::eval::Tensor;
use compiler::graph::import::{Bindings, POSITION, import};
use compiler::graph::{BinaryOp, ElementType, Graph, NodeId, Op, TensorType, UnaryOp};
use compiler::{Options, Precision, onnx};
use isa::{Chip, Element, PortKind, Program};
use simulator::Array;

/// A compiled model, and what its inputs hold.
pub(crate) struct Model {
    pub(crate) program: Program,
    pub(crate) inputs: Vec<(String, Array)>,
}

/// y = (silu(x · gate) × (x · up)) · down, with made-up weights.
pub(crate) fn swiglu(chip: &Chip, tokens: usize, hidden: usize, inner: usize) -> Model {
    let mut graph = Graph { name: "swiglu".to_owned(), ..Graph::default() };
    let ty = TensorType { element: ElementType::F32, shape: vec![tokens, hidden] };
    let x = graph.push_typed(Op::Input("x".to_owned()), &[], ty, "x");
    graph.inputs.push(x);
    let gate = weights(&mut graph, 1, hidden, inner);
    let up = weights(&mut graph, 2, hidden, inner);
    let down = weights(&mut graph, 3, inner, hidden);
    let mut push = |op, inputs: &[NodeId], name| graph.push(op, inputs, name).expect("types agree");
    let product = Op::MatMul { transpose_b: false };
    let gate = push(product.clone(), &[x, gate], "gate_proj");
    let up = push(product.clone(), &[x, up], "up_proj");
    let sigmoid = push(Op::Unary(UnaryOp::Sigmoid), &[gate], "sigmoid");
    let silu = push(Op::Binary(BinaryOp::Mul), &[gate, sigmoid], "silu");
    let gated = push(Op::Binary(BinaryOp::Mul), &[silu, up], "gated");
    let y = push(product, &[gated, down], "down_proj");
    graph.outputs.push(("y".to_owned(), y));
    let program = compile(graph, chip);
    Model { program, inputs: vec![("x".to_owned(), Array::F32(numbers(4, tokens * hidden)))] }
}

fn weights(graph: &mut Graph, seed: u32, rows: usize, columns: usize) -> NodeId {
    let tensor = Tensor::f32([rows, columns], numbers(seed, rows * columns));
    graph.push_typed(Op::Constant(tensor.to_constant()), &[], tensor.ty(), "weights")
}

/// Numbers from −0.125 to 0.125, the same every time.
fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 24) as f32 - 0.5) / 4.0
    };
    (0..count).map(next).collect()
}

/// A decoder of one token, at the last slot of its cache.
pub(crate) fn decoder(chip: &Chip, file: &Path, context: usize) -> Model {
    let read = |path: &Path| {
        Bytes::from(std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    };
    let folder = file.parent().unwrap_or(Path::new(""));
    let side_files = std::cell::RefCell::new(std::collections::BTreeMap::new());
    let external = |location: &str, offset: u64, length: Option<u64>| {
        let mut opened = side_files.borrow_mut();
        let bytes: &Bytes = opened.entry(location.to_owned()).or_insert_with(|| read(&folder.join(location)));
        let start = offset as usize;
        let end = length.map_or(bytes.len(), |length| start + length as usize);
        Ok(Some(bytes.slice(start..end)))
    };
    let model = onnx::decode(read(file), &external).unwrap_or_else(|problem| panic!("{problem}"));
    let bindings = Bindings { batch: 1, context: Some(context), ..Bindings::default() };
    let graph = import(&model, &bindings).unwrap_or_else(|problem| panic!("{problem}")).graph;
    let program = compile(graph, chip);
    let ports = program.chips.iter().flat_map(|chip| &chip.ports);
    let mut inputs: Vec<(String, Array)> = Vec::new();
    for port in ports.filter(|port| port.kind == PortKind::Input) {
        let length = port.shape.iter().product::<u32>() as usize;
        let value = if port.name == POSITION { context as i32 - 1 } else { 1 };
        let array = match port.element {
            Element::I32 | Element::I8 => Array::I32(vec![value; length]),
            Element::Mask => Array::Bool(vec![true; length]),
            Element::F32 | Element::F16 | Element::F16Low | Element::F8 => Array::F32(vec![1.0; length]),
        };
        // Several ports of one name are one input.
        if inputs.iter().all(|(name, _)| *name != port.name) {
            inputs.push((port.name.clone(), array));
        }
    }
    Model { program, inputs }
}

fn compile(graph: Graph, chip: &Chip) -> Program {
    let options = Options {
        precision: Precision::Fp16,
        rewrite: Some(compiler::rewrite::RewriteOptions::default()),
        links: compiler::links::Links::default(),
        caches: compiler::Caches::Fp16,
        dense: false,
    };
    let compiled = compiler::compile(graph, chip, &options, &mut |_, _| {});
    compiled.unwrap_or_else(|problem| panic!("{problem}")).program
}

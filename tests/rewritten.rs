//! The example models mean the same after rewriting, in fewer operators that move lanes.

use std::collections::BTreeMap;
use std::path::Path;

use compiler::graph::eval::{Data, Tensor, evaluate, is_constant};
use compiler::graph::import::{Bindings, import};
use compiler::graph::{ElementType, Graph, NodeId, Op};
use compiler::{onnx, rewrite};

const CONTEXT: usize = 24;

/// An example model, for one sequence and a short context.
fn example(name: &str) -> Graph {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    let bytes = std::fs::read(&path).expect("examples are part of the project");
    let model = onnx::decode(bytes.into(), &|_, _, _| Err("examples are single files".to_owned())).unwrap();
    let bindings = Bindings { context: Some(CONTEXT), ..Bindings::default() };
    import(&model, &bindings).unwrap().graph
}

/// A tensor that suits an input: token ids and positions within bounds, a mask of ones, real numbers around zero.
fn value(graph: &Graph, node: NodeId) -> (String, Tensor) {
    let Op::Input(name) = &graph.nodes[node].op else { unreachable!("inputs are inputs") };
    let ty = &graph.nodes[node].ty;
    let count = ty.shape.iter().product::<usize>();
    let data = match ty.element {
        ElementType::F32 => Data::F32((0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect()),
        ElementType::Bool => Data::Bool(vec![true; count]),
        ElementType::I8 | ElementType::F8 => panic!("no example has inputs of eight bits"),
        ElementType::I32 => Data::I32(match name.as_str() {
            "attention_mask" => vec![1; count],
            "token_type_ids" => vec![0; count],
            _ => (0..count).map(|i| (7 + i) as i32).collect(),
        }),
    };
    (name.clone(), Tensor { shape: ty.shape.clone(), data })
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    let (Data::F32(a), Data::F32(b)) = (&a.data, &b.data) else { return f32::from(u8::from(a != b)) };
    let scale = a.iter().fold(1.0f32, |scale, x| scale.max(x.abs()));
    a.iter().zip(b).fold(0.0f32, |worst, (x, y)| worst.max((x - y).abs())) / scale
}

/// Transposes and reshapes of the last axis, slices and concatenations along it, outside constant expressions.
fn lane_moves(graph: &Graph) -> usize {
    let constant = is_constant(graph);
    let moves = |id: NodeId| {
        let node = &graph.nodes[id];
        let last = |axis: usize| axis + 1 == node.ty.shape.len();
        match &node.op {
            Op::Reshape { shape } => graph.shape(node.inputs[0]).last() != shape.last(),
            Op::Transpose { permutation } => permutation.last().is_some_and(|&axis| !last(axis)),
            Op::Slice { axis, .. } | Op::Concat { axis } => last(*axis),
            _ => false,
        }
    };
    graph.nodes.keys().filter(|&id| !constant[id] && moves(id)).count()
}

#[test]
fn examples_stay_the_same() {
    let chip = isa::Chip::preset("lp30").unwrap();
    for name in ["licence-decoder.onnx", "encoder.onnx"] {
        let graph = example(name);
        let inputs: BTreeMap<String, Tensor> = graph.inputs.iter().map(|&node| value(&graph, node)).collect();
        let states = graph.states.iter().map(|state| value(&graph, state.input)).collect();
        let better = rewrite::optimize(graph.clone(), &chip).unwrap();
        let before = evaluate(&graph, &inputs, Some(&states)).unwrap();
        let after = evaluate(&better, &inputs, Some(&states)).unwrap();
        assert!(before.keys().eq(after.keys()));
        for (output, value) in &before {
            let difference = largest_difference(value, &after[output]);
            assert!(difference < 1e-4, "{name}: {output} differs by {difference}");
        }
        let moves = [&graph, &better].map(lane_moves);
        assert!(2 * moves[1] < moves[0], "{name}: lane moves before and after: {moves:?}");
    }
}

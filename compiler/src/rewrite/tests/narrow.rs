//! Products of eight bits: rules about layout may see them, rules about real numbers may not.

use super::build::Build;
use super::{chip, difference, hold, same};
use crate::graph::eval::{Data, Tensor, apply, evaluate, node_values};
use crate::graph::import::{Bindings, import};
use crate::graph::{BinaryOp, ElementType, NodeId, Op, TensorType};
use crate::rewrite::rules::rules;
use crate::rewrite::{optimize, saturate, segment};
use std::path::PathBuf;

/// An input of eight bits with some values.
fn narrow(b: &mut Build, name: &str, element: ElementType, shape: &[usize]) -> NodeId {
    let n: usize = shape.iter().product();
    let values: Vec<i32> = (0..n).map(|i| (i * 53 % 31) as i32 - 15).collect();
    let tensor = match element {
        ElementType::I8 => Tensor::i8(shape, values.iter().map(|&x| x as i8).collect::<Vec<_>>()),
        _ => Tensor::f8(shape, values.iter().map(|&x| x as f32 / 8.0).collect::<Vec<_>>()),
    };
    b.values.insert(name.to_owned(), tensor);
    let op = Op::Input(name.to_owned());
    let node = b.graph.push_typed(op, &[], TensorType::new(element, shape), name);
    b.graph.inputs.push(node);
    node
}

/// Attention of two heads on operands of eight bits, with sums of products and scaled results.
fn heads(b: &mut Build, element: ElementType) -> Vec<NodeId> {
    let x = narrow(b, "x", element, &[1, 3, 8]);
    let weights = ["q", "k", "v"].map(|name| narrow(b, name, element, &[8, 8]));
    let products = weights.map(|w| b.matmul(x, w));
    let sum = b.add(products[0], products[1]);
    let difference = b.binary(BinaryOp::Sub, sum, products[2]);
    let real = b.op(Op::Cast(ElementType::F32), &[sum]);
    let scale = b.scalar(0.25);
    let scaled = b.mul(real, scale);
    let heads = [products[0], products[1]].map(|product| {
        let again = b.op(Op::Cast(element), &[product]);
        let split = b.reshape(again, &[1, 3, 2, 4]);
        b.transpose(split, &[0, 2, 1, 3])
    });
    let scores = b.matmul_t(heads[0], heads[1]);
    let turned = b.transpose(heads[1], &[0, 1, 3, 2]);
    let same_scores = b.matmul(heads[0], turned);
    let cut = b.slice(heads[0], 3, 0, 2);
    let rest = b.slice(heads[0], 3, 2, 2);
    let joined = b.op(Op::Concat { axis: 3 }, &[rest, cut]);
    let other = b.matmul_t(joined, heads[1]);
    let total = b.add(scores, other);
    let back = b.transpose(total, &[0, 2, 1, 3]);
    let rows = b.reshape(back, &[1, 3, 6]);
    vec![difference, scaled, same_scores, rows, total]
}

/// Largest difference of two tensors, relative to the largest element, whatever the elements are.
fn apart(a: &Tensor, b: &Tensor) -> f32 {
    let real = |x: &Tensor| apply(&Op::Cast(ElementType::F32), &[x]).unwrap();
    difference(&real(a), &real(b))
}

/// The small models of `tests/operators`. Rules change rounding: a real half-way between two integers may become the other one.
#[test]
fn models_are_the_same() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/operators");
    let mut models: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    models.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    models.sort();
    for path in models {
        let file = std::fs::read(&path).unwrap();
        let model = crate::onnx::decode(file.into(), &|_, _, _| Ok(None)).unwrap();
        let mut b = Build::new(5);
        b.graph = import(&model, &Bindings::default()).unwrap().graph;
        for &input in &b.graph.inputs {
            let Op::Input(name) = &b.graph.nodes[input].op else { continue };
            let ty = b.graph.ty(input);
            let steps = (0..ty.elements()).map(|i| (i * 53 % 127) as f32 / 16.0 - 4.0);
            let reals = Tensor::f32(&ty.shape[..], steps.collect::<Vec<_>>());
            let mut value = apply(&Op::Cast(ty.element), &[&reals]).unwrap();
            // Nothing is divided by zero, and indices are of something.
            let taken_from = b.graph.nodes.values().find_map(|node| match node.op {
                Op::Gather { axis } if node.inputs[1] == input => Some(b.graph.shape(node.inputs[0])[axis]),
                _ => None,
            });
            if let Data::I32(whole) = &mut value.data {
                whole.iter_mut().filter(|number| **number == 0).for_each(|number| *number = 1);
                if let Some(length) = taken_from {
                    whole.iter_mut().for_each(|number| *number = number.rem_euclid(length as i32));
                }
            }
            b.values.insert(name.clone(), value);
        }
        let better = optimize(b.graph.clone(), &chip()).unwrap();
        better.verify().unwrap();
        let (before, after) =
            [&b.graph, &better].map(|graph| evaluate(graph, &b.values, None).unwrap()).into();
        for (name, value) in &before {
            let apart = apart(value, &after[name]);
            assert!(apart < 1e-2, "{}: {name} differs by {apart}", path.display());
        }
    }
}

#[test]
fn every_form_is_the_same() {
    for element in [ElementType::I8, ElementType::F8] {
        let mut b = Build::new(3);
        for (i, output) in heads(&mut b, element).into_iter().enumerate() {
            b.graph.outputs.push((format!("y{i}"), output));
        }
        b.graph.verify().unwrap();
        let values = node_values(&b.graph, &b.values).unwrap();
        let parts = segment::cut(&b.graph);
        let [(segment, instance)] = parts.as_slice() else { panic!("one segment") };
        let (tensors, _) = saturate(segment, &rules(&[]));
        let leaves: Vec<Tensor> =
            instance.nodes()[..segment.leaves.len()].iter().map(|&node| values[node].clone()).collect();
        assert!(hold(&tensors, &leaves) > segment.terms.len(), "rules about layout apply");
        same(&b).verify().unwrap();
    }
}

//! Rules against the evaluator, and whole blocks before and after.

mod build;
mod rules;
mod decoder;
mod encoder;
mod extraction;
mod history;
mod narrow;

use std::collections::BTreeMap;

use egg::Id;

use super::analysis::Tensors;
use super::language::Term;
use super::optimize;
use crate::graph::eval::{Data, Tensor, apply, evaluate};
use crate::graph::{Graph, Op};
use build::Build;

/// Largest difference of two tensors, relative to the largest element.
fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.shape, b.shape);
    match (&a.data, &b.data) {
        (Data::F32(a), Data::F32(b)) => {
            let scale = a.iter().fold(1.0f32, |scale, x| scale.max(x.abs()));
            a.iter().zip(b).fold(0.0f32, |worst, (x, y)| worst.max((x - y).abs())) / scale
        }
        (a, b) => f32::from(u8::from(a != b)),
    }
}

/// Evaluates every e-node of an e-graph on the values of its leaves and holds it against its class: each rule that
/// fired, anywhere, is checked in every way in which it can be combined with the others. Returns the number of e-nodes.
fn hold(tensors: &Tensors, leaves: &[Tensor]) -> usize {
    let value = |values: &BTreeMap<Id, Tensor>, term: &Term| match term {
        Term::Leaf(index) => Some(leaves[*index as usize].clone()),
        Term::Scalar(bits) => Some(Tensor::f32([], [f32::from_bits(*bits)])),
        Term::Apply(op, inputs) => {
            let inputs: Option<Vec<&Tensor>> =
                inputs.iter().map(|&id| values.get(&tensors.find(id))).collect();
            Some(apply(op, &inputs?).unwrap_or_else(|what| panic!("{op:?}: {what}")))
        }
    };
    let mut values: BTreeMap<Id, Tensor> = BTreeMap::new();
    loop {
        let before = values.len();
        for class in tensors.classes() {
            if !values.contains_key(&class.id)
                && let Some(found) = class.nodes.iter().find_map(|term| value(&values, term))
            {
                values.insert(class.id, found);
            }
        }
        if values.len() == before {
            break;
        }
    }
    assert_eq!(values.len(), tensors.number_of_classes(), "every class has a value");
    let mut count = 0;
    for class in tensors.classes() {
        let expected = &values[&class.id];
        assert_eq!(expected.ty(), class.data.ty);
        if let (Some(uniform), Data::F32(data)) = (class.data.uniform, &expected.data) {
            assert!(data.iter().all(|x| (x - uniform).abs() <= 1e-5 * uniform.abs()));
        }
        for term in &class.nodes {
            let found = value(&values, term).expect("all classes have values");
            let difference = difference(expected, &found);
            assert!(difference < 1e-4, "{term:?} is off by {difference}, of {:?}", class.nodes);
            count += 1;
        }
    }
    count
}

/// Optimizes a graph twice: the same graph both times, with the values of the original. Gives it.
fn same(b: &Build) -> Graph {
    let before = run(&b.graph, &b.values, &states(&b.graph));
    let better = optimize(b.graph.clone(), &chip()).unwrap();
    assert_eq!(states(&better), states(&b.graph));
    let after = run(&better, &b.values, &states(&better));
    assert!(before.keys().eq(after.keys()));
    for (name, value) in &before {
        let difference = difference(value, &after[name]);
        assert!(difference < 1e-4, "{name} differs by {difference}");
    }
    assert_eq!(better, optimize(b.graph.clone(), &chip()).unwrap());
    better
}

fn chip() -> isa::Chip {
    isa::Chip::preset("lp30").expect("a preset")
}

/// Outputs and new states, with states that are not zero before.
fn run(graph: &Graph, values: &BTreeMap<String, Tensor>, states: &[State]) -> BTreeMap<String, Tensor> {
    let mut b = Build::new(7);
    for (name, shape) in states {
        let node = b.input(shape);
        let Op::Input(given) = b.graph.nodes[node].op.clone() else { unreachable!() };
        let value = b.values.remove(&given).expect("just made");
        b.values.insert(name.clone(), value);
    }
    evaluate(graph, values, Some(&b.values)).unwrap()
}

type State = (String, Vec<usize>);

fn states(graph: &Graph) -> Vec<State> {
    let state = |state: &crate::graph::State| (state.input_name.clone(), graph.shape(state.input).to_vec());
    graph.states.iter().map(state).collect()
}

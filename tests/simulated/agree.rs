//! A graph compiled and run on both simulators at once, against what it means.

use std::collections::BTreeMap;

use compiler::Options;
use compiler::graph::Graph;
use compiler::graph::eval::{self, Data, Tensor};
use isa::{Chip, Report};
use simulator::{Array, Engine, Machine};

/// Compiles, runs, and compares every output with what the graph means: integers exactly, numbers as far as `tolerance` of the greatest.
pub(crate) fn agree(
    chip: &Chip,
    graph: &Graph,
    inputs: &BTreeMap<String, Tensor>,
    options: &Options,
    tolerance: f32,
) -> Report {
    let right = eval::evaluate(graph, inputs, None).unwrap_or_else(|problem| panic!("{problem}"));
    let compiled = compiler::compile(graph.clone(), chip, options, &mut |_, _| {});
    let compiled = compiled.unwrap_or_else(|problem| panic!("{problem}"));
    let mut machine = Machine::load(Engine::Tandem, chip, &compiled.program).expect("well formed");
    for (name, tensor) in inputs {
        let array = match &tensor.data {
            Data::I8(values) => Array::I32(values.iter().map(|&value| value.into()).collect()),
            Data::F8(values) => Array::F32(values.iter().map(|value| value.to_f32()).collect()),
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

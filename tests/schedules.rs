//! No schedule beats the bound: flows in a random order, delayed at random, still make the same values, and take at least its cycles.

#[path = "random.rs"]
mod random;

use std::collections::BTreeMap;

use compiler::bound::bound;
use compiler::graph::{ElementType, Graph, Op};
use compiler::lower::flow::{Flow, Kernels};
use compiler::lower::legalize::legalize;
use compiler::lower::storage::StorageId;
use compiler::{Precision, emit, lower, schedule};
use isa::{Chip, Program};
use random::Random;
use simulator::{Array, Engine, Machine};

/// Random graphs, each scheduled in several ways.
const GRAPHS: u32 = 16;
/// Ways to schedule one.
const SCHEDULES: u64 = 4;

/// Flows in another order, each after those that it must follow.
fn shuffled(flows: &[Flow], random: &mut Random) -> Vec<Flow> {
    let mut before: Vec<Vec<usize>> = Vec::new();
    let mut writers: BTreeMap<StorageId, Vec<usize>> = BTreeMap::new();
    let mut readers: BTreeMap<StorageId, Vec<usize>> = BTreeMap::new();
    let mut product = None;
    for (number, flow) in flows.iter().enumerate() {
        let mut first: Vec<usize> = Vec::new();
        for read in &flow.reads {
            first.extend(writers.get(&read.storage).into_iter().flatten());
        }
        for write in &flow.writes {
            let others = writers.get(&write.storage).into_iter().chain(readers.get(&write.storage));
            first.extend(others.flatten());
        }
        // The planes are used in the order in which lowering fills them.
        if flow.mxm.is_some() {
            first.extend(product.replace(number));
        }
        flow.reads.iter().for_each(|read| readers.entry(read.storage).or_default().push(number));
        flow.writes.iter().for_each(|write| writers.entry(write.storage).or_default().push(number));
        first.retain(|&other| other != number);
        first.sort_unstable();
        first.dedup();
        before.push(first);
    }
    let mut missing: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut ready: Vec<usize> = (0..flows.len()).filter(|&number| missing[number] == 0).collect();
    let mut order = Vec::new();
    while !ready.is_empty() {
        let next = ready.swap_remove(random.below(ready.len()));
        order.push(flows[next].clone());
        for (number, first) in before.iter().enumerate() {
            if first.contains(&next) {
                missing[number] -= 1;
                if missing[number] == 0 {
                    ready.push(number);
                }
            }
        }
    }
    assert_eq!(order.len(), flows.len());
    order
}

/// Numbers for every input.
fn inputs(graph: &Graph) -> Vec<(String, Array)> {
    let mut random = Random::new(7);
    let mut number = || random.below(2001) as f32 / 1000.0 - 1.0;
    let mut given = Vec::new();
    for &input in &graph.inputs {
        let Op::Input(name) = &graph.nodes[input].op else { continue };
        let count = graph.ty(input).elements();
        let array = match graph.ty(input).element {
            ElementType::I32 => Array::I32(vec![5; count]),
            _ => Array::F32((0..count).map(|_| number()).collect()),
        };
        given.push((name.clone(), array));
    }
    given
}

/// Cycles, and the values of all outputs.
fn simulate(graph: &Graph, chip: &Chip, program: &Program) -> (u64, Vec<Array>) {
    let mut machine = Machine::load(Engine::Fast, chip, program).expect("loads");
    for (name, array) in inputs(graph) {
        machine.write(&name, &array).expect("is an input");
    }
    let report = machine.run().expect("no hazard");
    assert_eq!(report, isa::report::predict(chip, program));
    let outputs = graph.outputs.iter().map(|(name, _)| machine.read(name).expect("is an output"));
    (report.cycles, outputs.collect())
}

#[test]
fn random_schedules_make_the_same_values_and_take_at_least_the_bound() {
    let mut tried = 0;
    for seed in 0..GRAPHS {
        let graph = random::graph(seed);
        let chip = Chip::preset(["lp30", "tsp-v1"][seed as usize % 2]).expect("preset");
        let Ok(legal) = legalize(graph.clone(), Precision::Fp16, &chip) else { continue };
        let bound = bound(&legal, &chip).cycles;
        let Ok((legal, kernels)) = lower::kernels(legal, &chip, Precision::Fp16) else { continue };
        let program = |kernels: &Kernels, delay: &mut dyn FnMut(usize) -> i64| {
            let schedule = schedule::solve_delayed(kernels, &chip, delay).expect("schedules");
            emit::assemble(&legal, kernels, &schedule, (&chip, 1)).expect("assembles").0
        };
        let (cycles, values) = simulate(&graph, &chip, &program(&kernels, &mut |_| 0));
        assert!(bound <= cycles, "seed {seed}: {cycles} cycles beat {bound}");
        for way in 0..SCHEDULES {
            let mut random = Random::new(1000 * u64::from(seed) + way);
            let flows = shuffled(&kernels.flows, &mut random);
            let other = Kernels { flows, ..kernels.clone() };
            let most = [1, 5, 50, 300][way as usize % 4];
            let other = program(&other, &mut |_| random.below(most) as i64);
            let (cycles, same) = simulate(&graph, &chip, &other);
            assert!(bound <= cycles, "seed {seed}, way {way}: {cycles} cycles beat {bound}");
            assert_eq!(same, values, "seed {seed}, way {way}");
            tried += 1;
        }
    }
    assert!(tried > SCHEDULES * u64::from(GRAPHS) / 2, "too few graphs compile: {tried}");
}

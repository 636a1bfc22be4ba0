//! Everything that a run leaves behind, to the bit, so that two engines can be compared.

use std::collections::BTreeSet;

use isa::{Chip, Element, Instruction, Mem, PortKind, Queue, Report};
use simulator::{Array, Engine, Fault, Machine};

use super::Case;
use super::board::{Word, elements, window_words};
use super::memory::row;
use super::rng::Rng;

/// Most words that are looked at.
const WORDS: usize = 400;

/// What the host sees of the runs of a program.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub runs: Vec<(Result<Report, Fault>, bool)>,
    /// Each port after each run that went well, its elements as bits, or why it cannot be read.
    pub ports: Vec<(String, Result<Vec<u32>, String>)>,
}

/// The case with a port for every word that it may write.
pub fn observed(case: &Case) -> Case {
    let mut case = case.clone();
    let chip = case.chip.clone();
    let one = &mut case.program.chips[0];
    let words = written(&chip, one);
    for (hemisphere, slice, word) in words.into_iter().take(WORDS) {
        let name = format!("{hemisphere}.mem{slice}@{word}");
        // Four times the same slice, so that a port shows one word only.
        one.ports.push(row(&chip, &name, PortKind::Output, Element::I32, word, vec![(hemisphere, slice); 4]));
    }
    case
}

/// The words that the writes and scatters of a program name.
fn written(chip: &Chip, program: &isa::ChipProgram) -> BTreeSet<Word> {
    let mut words = BTreeSet::new();
    for (queue, runs) in &program.queues {
        let Queue::MemWrite(hemisphere, slice) = *queue else { continue };
        for run in runs.iter().filter(|run| run.instructions() < 1000) {
            for (_, instruction) in elements(run).unwrap_or_default() {
                match instruction {
                    Instruction::Mem(Mem::Write { address, .. }) => {
                        words.insert((hemisphere, slice, address));
                    }
                    Instruction::Mem(Mem::Scatter { window, .. }) => words
                        .extend(window_words(window).take(100).map(|word| (hemisphere, slice, word as u32))),
                    _ => {}
                }
            }
        }
    }
    words.retain(|(_, _, word)| *word < chip.words_per_slice());
    words
}

/// Loads, writes the same arrays, runs twice, and reads everything. `seed` says which ports are written, and with what.
pub fn outcome(engine: Engine, case: &Case, seed: u64) -> Outcome {
    let mut machine = Machine::load(engine, &case.chip, &case.program)
        .unwrap_or_else(|problems| panic!("{engine:?}: {problems:?}"));
    let mut rng = Rng::new(seed);
    let mut outcome = Outcome { runs: Vec::new(), ports: Vec::new() };
    for _ in 0..2 {
        write(&mut rng, &mut machine);
        let result = machine.run();
        let failed = result.is_err();
        outcome.runs.push((result, machine.values_known()));
        if failed {
            break;
        }
        for port in machine.ports() {
            outcome.ports.push((port.name.clone(), machine.read(&port.name).map(bits)));
        }
    }
    outcome
}

fn bits(array: Array) -> Vec<u32> {
    match array {
        Array::F32(values) => values.into_iter().map(f32::to_bits).collect(),
        Array::I32(values) => values.into_iter().map(|value| value as u32).collect(),
        Array::Bool(values) => values.into_iter().map(u32::from).collect(),
    }
}

fn write(rng: &mut Rng, machine: &mut Machine) {
    let mut ports: Vec<_> = machine
        .ports()
        .iter()
        .filter(|port| port.kind != PortKind::Output)
        .map(|port| (port.name.clone(), port.element, port.shape.iter().product::<u32>()))
        .collect();
    ports.dedup_by(|a, b| a.0 == b.0);
    for (name, element, length) in ports {
        if rng.chance(25) {
            continue;
        }
        let mut word = || match rng.below(6) {
            0 => 0x7fc0_0001,
            1 => 0xff80_0000,
            2 => 1,
            _ => rng.next() as u32,
        };
        let words: Vec<u32> = (0..length).map(|_| word()).collect();
        let array = match element {
            Element::I32 | Element::I8 => Array::I32(words.into_iter().map(|word| word as i32).collect()),
            Element::Mask => Array::Bool(words.into_iter().map(|word| word % 2 == 1).collect()),
            Element::F32 | Element::F16 | Element::F16Low | Element::F8 => {
                Array::F32(words.into_iter().map(f32::from_bits).collect())
            }
        };
        machine.write(&name, &array).unwrap_or_else(|problem| panic!("{name}: {problem}"));
    }
}

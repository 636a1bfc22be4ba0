//! Against the reference: sound programs, damaged ones and senseless ones, of which both must say the same.

mod damage;
pub(in crate::fast) mod make;
pub(in crate::fast) mod rng;
mod speed;

use std::collections::BTreeMap;
use std::ops::Range;

use isa::{Chip, ChipProgram, Hemisphere, Program};

use super::planes_run::Watch;
use crate::fault::{Fault, FaultKind, Place};
use crate::image::mem_index;
use crate::{Engine, Machine};
use make::Maker;
use rng::Rng;

/// The words that segments hold.
pub(super) fn present(chip: &Chip, program: &ChipProgram) -> Vec<Vec<Range<u32>>> {
    let mut present = vec![Vec::new(); 2 * usize::from(chip.mem.slices_per_hemisphere)];
    for segment in &program.memory {
        let words = segment.address..segment.address + segment.words;
        present[mem_index(chip, segment.hemisphere, segment.slice)].push(words);
    }
    present.iter_mut().for_each(|words: &mut Vec<Range<u32>>| words.sort_by_key(|range| range.start));
    present
}

/// Of how many slots a value is replaced, on every stream and at every position, as the program is written.
fn replaced(chip: &Chip, program: &ChipProgram) -> usize {
    let mut slots: BTreeMap<(isa::Stream, i64), usize> = BTreeMap::new();
    for (queue, runs) in &program.queues {
        for run in runs.iter().filter(|run| run.instructions() < 10_000) {
            let Some(put) = super::effects::put(chip, &run.instruction) else { continue };
            let cycles = super::super::lattice::Lattice::of(run);
            for cycle in (0..cycles.count()).map(|n| cycles.nth(n) + put.delay) {
                let slot = put.stream.direction.slot(cycle, queue.slice().position(chip));
                (0..put.count).for_each(|offset| {
                    *slots.entry((crate::stream::name(put.stream, offset), slot)).or_default() += 1;
                });
            }
        }
    }
    slots.values().filter(|puts| **puts > 1).count()
}

/// How a case ended.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Outcome {
    Refused,
    Sound,
    Depends,
    Fault(FaultKind),
}

/// Checks a program both ways, and with more and less skipping. An error says how they differ. `steps` counts with less, and with more.
fn compare(chip: &Chip, program: &ChipProgram, steps: &mut (u64, u64)) -> Result<Outcome, String> {
    let nodes = vec![String::new(), "node".to_owned()];
    let whole = Program { chip: chip.name.clone(), nodes: nodes.clone(), chips: vec![program.clone()] };
    let Ok(mut machine) = Machine::load(Engine::Reference, chip, &whole) else { return Ok(Outcome::Refused) };
    let right = machine.run();
    let timing =
        super::check_watching(chip, program, &present(chip, program), Watch::EAGER, super::Joined::No);
    let slow = super::check(chip, program, &present(chip, program));
    if format!("{:?} {:?}", timing.fault, timing.report) != format!("{:?} {:?}", slow.fault, slow.report) {
        return Err(format!("skipping: {:#?}\nnot: {:#?}", timing.fault, slow.fault));
    }
    *steps = (steps.0 + slow.steps, steps.1 + timing.steps);
    let fault = timing.fault.map(|raised| Fault {
        kind: raised.kind,
        cycle: raised.cycle,
        place: Place { queue: raised.by.queue, bank: raised.bank },
        instruction: raised.by.instruction,
        dispatched: raised.by.cycle,
        node: nodes[raised.by.node as usize].clone(),
        detail: raised.detail,
    });
    let by_value = |fault: &Fault| {
        let kinds = [FaultKind::ReadBeforeWritten, FaultKind::WriteInFlight];
        kinds.contains(&fault.kind)
    };
    let depends = timing.depends_on_values;
    match (&right, &fault) {
        (Ok(report), None) if *report == timing.report => {
            Ok(if depends { Outcome::Depends } else { Outcome::Sound })
        }
        (Err(right), Some(fault)) if right == fault => Ok(Outcome::Fault(fault.kind)),
        // Whatever the indices decide: such a fault, and not after ours.
        (Err(right), other)
            if depends
                && by_value(right)
                && other.as_ref().is_none_or(|other| right.cycle <= other.cycle) =>
        {
            Ok(Outcome::Depends)
        }
        _ => Err(format!("reference: {right:#?}\nfast: {fault:#?} {:?} depends {depends}", timing.report)),
    }
}

/// Compares random programs; says how many ended how.
fn compare_many(cases: u64, seed: u64) -> BTreeMap<Outcome, u64> {
    let (mut outcomes, mut steps) = (BTreeMap::new(), (0, 0));
    let mut replacing = 0;
    for case in 0..cases {
        let mut rng = Rng::new(seed + case);
        let chip = make::chip(&mut rng);
        let mut maker = Maker::new(&chip, &mut rng);
        maker.sound();
        let mut program = maker.program;
        if rng.below(20) == 0 {
            make::senseless(&mut program, &mut rng);
        }
        for _ in 0..[0, 1, 1, 1, 2, 2, 3][rng.below(7) as usize] {
            damage::damage(&mut program, &mut rng);
        }
        match compare(&chip, &program, &mut steps) {
            Ok(outcome) => {
                *outcomes.entry(outcome).or_default() += 1;
                replacing += u64::from(outcome == Outcome::Sound && replaced(&chip, &program) > 0);
            }
            Err(difference) => {
                panic!("seed {}: {difference}\n{:#?}\n{:?}", seed + case, program.queues, chip.latency)
            }
        }
    }
    assert!(replacing * 50 > cases, "{replacing} sound programs replace values");
    assert!(steps.1 * 10 < steps.0 * 9, "nothing was skipped: {steps:?}");
    outcomes
}

#[test]
fn both_say_the_same() {
    let cases = 4000;
    let outcomes = compare_many(cases, 0);
    let count = |outcome| outcomes.get(&outcome).copied().unwrap_or_default();
    assert!(count(Outcome::Refused) * 10 < cases, "{outcomes:#?}");
    assert!(count(Outcome::Sound) * 10 > cases, "{outcomes:#?}");
    assert!(outcomes.len() > 25, "{outcomes:#?}");
}

/// As many cases as `LPU_TIMING_CASES` says, from seed `LPU_TIMING_SEED` on.
#[test]
#[ignore = "takes minutes"]
#[expect(clippy::print_stdout, reason = "says how the cases ended")]
fn both_say_the_same_for_long() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let cases = number("LPU_TIMING_CASES").unwrap_or(100_000);
    let outcomes = compare_many(cases, number("LPU_TIMING_SEED").unwrap_or(1 << 32));
    println!("{outcomes:#?}");
}

/// Nothing overflows, and nothing takes long, whatever the numbers. The reference would be at it for years.
#[test]
fn the_largest_numbers() {
    let mut refused = 0;
    let cases = 3000;
    for case in 0..cases {
        let mut rng = Rng::new(case ^ 1 << 40);
        let chip = make::chip(&mut rng);
        let mut maker = Maker::new(&chip, &mut rng);
        maker.sound();
        let mut program = maker.program;
        for _ in 0..rng.within(1, 3) {
            damage::exaggerate(&mut program, &mut rng);
        }
        let whole = Program {
            chip: chip.name.clone(),
            nodes: vec![String::new(), "node".to_owned()],
            chips: vec![program.clone()],
        };
        if Machine::load(Engine::Reference, &chip, &whole).is_err() {
            refused += 1;
            continue;
        }
        let timing = super::check(&chip, &program, &present(&chip, &program));
        assert!(timing.steps < 1 << 20, "seed {case}: {} steps", timing.steps);
    }
    assert!(refused * 2 < cases, "{refused}");
}

#[test]
fn nothing_takes_no_time() {
    let chip = make::chip(&mut Rng::new(1));
    let program = ChipProgram::default();
    let timing = super::check(&chip, &program, &[]);
    assert_eq!((timing.report, timing.depends_on_values), (isa::Report::default(), false));
    assert!(timing.fault.is_none());
    assert_eq!(mem_index(&chip, Hemisphere::West, 0), usize::from(chip.mem.slices_per_hemisphere));
}

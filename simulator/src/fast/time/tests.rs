//! Against the reference: sound programs, damaged ones and senseless ones, of which both must say the same.

mod damage;
mod make;
mod rng;
mod speed;

use std::ops::Range;

use isa::{Chip, ChipProgram, Hemisphere, Program};

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

/// How a case ended.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Outcome {
    Refused,
    Sound,
    Depends,
    Fault(FaultKind),
}

/// Checks a program both ways. An error says how they differ.
fn compare(chip: &Chip, program: &ChipProgram) -> Result<Outcome, String> {
    let nodes = vec![String::new(), "node".to_owned()];
    let whole = Program { chip: chip.name.clone(), nodes: nodes.clone(), chips: vec![program.clone()] };
    let Ok(mut machine) = Machine::load(Engine::Reference, chip, &whole) else { return Ok(Outcome::Refused) };
    let right = machine.run();
    let timing = super::check(chip, program, &present(chip, program));
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
fn compare_many(cases: u64, seed: u64) -> std::collections::BTreeMap<Outcome, u64> {
    let mut outcomes = std::collections::BTreeMap::new();
    for case in 0..cases {
        let mut rng = Rng::new(seed + case);
        let chip = make::chip(&mut rng);
        let mut maker = Maker::new(&chip, &mut rng);
        maker.sound();
        let mut program = maker.program;
        if rng.below(20) == 0 {
            make::senseless(&chip, &mut program, &mut rng);
        }
        for _ in 0..[0, 1, 1, 1, 2, 2, 3][rng.below(7) as usize] {
            damage::damage(&mut program, &mut rng);
        }
        match compare(&chip, &program) {
            Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
            Err(difference) => {
                panic!("seed {}: {difference}\n{:#?}\n{:?}", seed + case, program.queues, chip.latency)
            }
        }
    }
    outcomes
}

#[test]
fn both_say_the_same() {
    let cases = std::env::var("LPU_TIMING_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(3000);
    let seed = std::env::var("LPU_TIMING_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let outcomes = compare_many(cases, seed);
    let count = |outcome| outcomes.get(&outcome).copied().unwrap_or_default();
    assert!(count(Outcome::Refused) * 10 < cases, "{outcomes:#?}");
    assert!(count(Outcome::Sound) * 10 > cases, "{outcomes:#?}");
    assert!(outcomes.len() > 15, "{outcomes:#?}");
    if std::env::var("LPU_TIMING_CASES").is_ok() {
        panic!("{outcomes:#?}");
    }
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

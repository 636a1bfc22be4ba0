//! Engines agree, to the bit, the cycle and the word: on thousands of random programs, legal and damaged.
//!
//! The programs are the same every time. `LPUC_AGREE_TIMES=n` tries n times as many. A failure names the case, which
//! `LPUC_AGREE_ONLY=seed` runs alone, and prints its program.
#![allow(clippy::print_stderr, reason = "the census is for whoever asks with --nocapture")]

mod support;
#[path = "support/random/mod.rs"]
mod random;

use std::collections::BTreeMap;

use isa::instruction::VxmOp;
use random::{Case, FEATURES, Outcome, damaged, features, legal, observed, outcome};
use simulator::{Engine, FaultKind};

/// The engines that are compared.
const PAIR: [Engine; 2] = [Engine::Reference, Engine::Fast];

/// Legal programs to try, and damaged ones.
const LEGAL: u64 = 3000;
const DAMAGED: u64 = 6000;

/// Kinds of faults that a program of one chip can have.
const KINDS: usize = 26;

/// All cases are tried, not a single one.
fn is_whole() -> bool {
    std::env::var("LPUC_AGREE_ONLY").is_err()
}

/// The seeds to try.
fn seeds(cases: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    match number("LPUC_AGREE_ONLY") {
        Some(seed) => seed..seed + 1,
        None => 0..cases * number("LPUC_AGREE_TIMES").unwrap_or(1).max(1),
    }
}

/// What both engines make of a case.
fn agreed(sort: &str, seed: u64, case: &Case) -> Outcome {
    let shown = observed(case);
    let [first, second] = PAIR.map(|engine| outcome(engine, &shown, seed));
    if first == second {
        return first;
    }
    let runs = |outcome: &Outcome| format!("{:#?}", outcome.runs);
    let ports = first.ports.iter().zip(&second.ports).find(|(a, b)| a != b);
    panic!(
        "{sort} case {seed} on {}: {:?} and {:?} differ\n{}\n{}\nfirst port that differs: {ports:#?}\n{}",
        case.chip.name,
        PAIR[0],
        PAIR[1],
        runs(&first),
        runs(&second),
        isa::asm::print(&case.program)
    );
}

#[test]
fn legal_programs_run_alike() {
    let mut census: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut unknown = 0;
    for seed in seeds(LEGAL) {
        let case = legal(seed);
        let outcome = agreed("legal", seed, &case);
        for (result, values_known) in &outcome.runs {
            if let Err(fault) = result {
                panic!(
                    "legal case {seed} on {}: {fault}\n{}",
                    case.chip.name,
                    isa::asm::print(&case.program)
                );
            }
            unknown += u64::from(!values_known);
        }
        features(&case).into_iter().for_each(|feature| *census.entry(feature).or_default() += 1);
    }
    eprintln!("{unknown} runs have unknown values; the programs show {census:?}");
    if is_whole() {
        let ops = VxmOp::ALL.map(VxmOp::name);
        let missing: Vec<_> =
            FEATURES.iter().chain(&ops).filter(|name| !census.contains_key(*name)).collect();
        assert!(missing.is_empty(), "no legal program shows {missing:?}");
    }
}

#[test]
fn damaged_programs_fail_alike() {
    let mut census: BTreeMap<FaultKind, u64> = BTreeMap::new();
    let mut sound = 0;
    for seed in seeds(DAMAGED) {
        let outcome = agreed("damaged", seed, &damaged(seed));
        match outcome.runs.last() {
            Some((Err(fault), _)) => *census.entry(fault.kind).or_default() += 1,
            _ => sound += 1,
        }
    }
    eprintln!("{sound} damaged programs are sound; faults of the others:");
    for (kind, count) in &census {
        eprintln!("{count:>6} {kind:?}");
    }
    if is_whole() {
        assert_eq!(census.len(), KINDS, "every kind of fault comes out of some program");
    }
}

//! What a run of a program amounts to; the compiler predicts it and the simulator measures it, and the two must be equal.

use std::collections::BTreeMap;

use crate::latency::latency;
use crate::{Chip, Instruction, Program};

/// Cycles and work of one run of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// From the first cycle to the last effect in the last superlane: the greatest, over all instructions, of dispatch cycle +
    /// latency, plus the stagger. Zero for a program without instructions.
    pub cycles: u64,
    /// Instructions dispatched, by kind of slice: `icu` (Ifetch, in any of them), `mem`, `vxm`, `mxm`, `sxm`, `c2c`. Kinds that do nothing are left out.
    pub dispatched: BTreeMap<&'static str, u64>,
}

/// The report of a program without hazards, from the latency table. Costs a step per run, however often it repeats.
pub fn predict(chip: &Chip, program: &Program) -> Report {
    let mut report = Report::default();
    for run in program.chips.iter().flat_map(|chip| chip.queues.values()).flatten() {
        let kind = match run.instruction {
            // It ends before the instructions that it fetches.
            Instruction::Icu(_) => "icu",
            Instruction::Mem(_) => "mem",
            Instruction::Vxm(_) => "vxm",
            Instruction::Mxm(_) => "mxm",
            Instruction::Sxm(_) => "sxm",
            Instruction::C2c(_) => "c2c",
        };
        let dispatched = report.dispatched.entry(kind).or_default();
        // Saturating, as a program that nobody verified may be predicted too.
        *dispatched = dispatched.saturating_add(run.instructions());
        if kind == "icu" {
            continue;
        }
        let delay = latency(chip, &run.instruction) + u64::from(chip.stagger());
        let end = run.last_cycle().saturating_add(delay);
        report.cycles = report.cycles.max(end);
    }
    report
}

//! What a run of a sound program amounts to.

use isa::instruction::{Instruction, Mem, Mxm};
use isa::{Chip, Report};

use super::effects;
use super::runs::Timeline;

/// Counts what is dispatched, and finds the last arrival.
pub(super) fn measure(timeline: &Timeline<'_>) -> Report {
    let mut report = Report::default();
    let stagger = u64::from(timeline.chip.stagger());
    for line in &timeline.lines {
        for (run, cycles) in line.runs.iter().zip(&line.cycles) {
            let Some(kind) = kind(&run.instruction) else { continue };
            *report.dispatched.entry(kind).or_default() += cycles.count() as u64;
            let end = cycles.last() + delay(timeline.chip, &run.instruction);
            report.cycles = report.cycles.max(end as u64 + stagger);
        }
    }
    let fetches: usize = timeline.fetches.iter().map(|line| line.runs.len()).sum();
    if fetches > 0 {
        report.dispatched.insert("icu", fetches as u64);
    }
    report
}

fn kind(instruction: &Instruction) -> Option<&'static str> {
    match instruction {
        Instruction::Icu(_) => Some("icu"),
        Instruction::Mem(_) => Some("mem"),
        Instruction::Vxm(_) => Some("vxm"),
        Instruction::Mxm(_) => Some("mxm"),
        Instruction::Sxm(_) => Some("sxm"),
        Instruction::C2c(_) => Some("c2c"),
    }
}

/// Cycles until the last thing that an instruction causes arrives.
fn delay(chip: &Chip, instruction: &Instruction) -> i64 {
    let d = &chip.latency;
    let cycles = match instruction {
        Instruction::Mem(Mem::Write { .. } | Mem::Scatter { .. }) => d.write,
        Instruction::C2c(_) => d.c2c,
        // Results go to the streams, or end at the same time when nobody wants them there.
        Instruction::Vxm(_) => d.vxm,
        Instruction::Mxm(Mxm::Acc { .. }) => d.accumulate,
        Instruction::Mxm(Mxm::Lw { .. }) => d.load,
        Instruction::Mxm(Mxm::Iw) => d.install,
        Instruction::Mxm(Mxm::Abc { .. }) => return i64::from(d.product) + i64::from(chip.stagger()),
        Instruction::Mem(Mem::Read { .. } | Mem::Gather { .. })
        | Instruction::Sxm(_)
        | Instruction::Icu(_) => 0,
    };
    effects::put(chip, instruction).map_or(cycles.into(), |put| put.delay.max(cycles.into()))
}

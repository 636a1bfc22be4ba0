//! A chip in motion: its queues and its row, from cycle to cycle.

use std::collections::BTreeMap;

use isa::{Chip, ChipProgram, Instruction, Report};

use super::chip::Row;
use super::icu::Icu;
use super::mem::MemSlice;
use crate::event::Watch;
use crate::fault::{Dispatch, Raised};

/// A run of a program on a chip.
pub(crate) struct Motion<'m> {
    icu: Icu<'m>,
    row: Row<'m>,
    maps: &'m [Vec<u16>],
    stagger: u64,
    /// Cycles done.
    cycle: u64,
    report: Report,
    leaving: Vec<Dispatch>,
}

impl<'m> Motion<'m> {
    /// A chip at rest, with a program before its first cycle.
    pub(crate) fn new(chip: &Chip, program: &'m ChipProgram, mem: &'m mut [MemSlice]) -> Motion<'m> {
        Motion {
            icu: Icu::new(chip, program),
            row: Row::new(chip, mem),
            maps: &program.maps,
            stagger: chip.stagger().into(),
            cycle: 0,
            report: Report::default(),
            leaving: Vec::new(),
        }
    }

    /// The next cycle in which anything can happen; none once the program has ended.
    pub(crate) fn next_cycle(&self) -> Option<u64> {
        if self.row.is_idle() { self.icu.next_cycle() } else { Some(self.cycle) }
    }

    /// One cycle, which is that of [`Motion::next_cycle`].
    pub(crate) fn step(&mut self, cycle: u64, faults: &mut Vec<Raised>, watch: Watch<'_>) {
        self.row.shift(cycle.saturating_sub(self.cycle));
        if self.row.arrive(cycle, faults) {
            self.report.cycles = cycle + self.stagger;
        }
        self.icu.dispatch(cycle, &mut self.leaving, faults);
        self.row.dispatch(&self.leaving, self.maps, faults, watch);
        self.icu.take_text(cycle, self.row.registers(), faults);
        self.row.finish(cycle, faults);
        for dispatch in self.leaving.drain(..) {
            count(&mut self.report.dispatched, &dispatch.instruction);
        }
        self.row.shift(1);
        self.cycle = cycle + 1;
    }

    /// The chip's row.
    pub(crate) fn row(&self) -> &Row<'m> {
        &self.row
    }

    /// The chip's row, to be joined with others.
    pub(crate) fn row_mut(&mut self) -> &mut Row<'m> {
        &mut self.row
    }

    /// What the run amounts to, and whether all values that it used are known.
    pub(crate) fn end(self) -> (Report, bool) {
        (self.report, self.row.values_known())
    }
}

/// Counts an instruction for the report.
fn count(dispatched: &mut BTreeMap<&'static str, u64>, instruction: &Instruction) {
    let kind = match instruction {
        Instruction::Icu(_) => "icu",
        Instruction::Mem(_) => "mem",
        Instruction::Vxm(_) => "vxm",
        Instruction::Mxm(_) => "mxm",
        Instruction::Sxm(_) => "sxm",
        Instruction::C2c(_) => "c2c",
    };
    *dispatched.entry(kind).or_default() += 1;
}

//! The machine: loads a program, runs it, and lets the host at its ports.

use std::collections::BTreeMap;

use isa::{Chip, ChipProgram, Hemisphere, Instruction, Program, Report, Slice};

use super::chip::Row;
use super::icu::Icu;
use super::mem::MemSlice;
use crate::event::Watch;
use crate::fault::{Fault, Raised};
use crate::image::Image;
use crate::ports::Words;

/// A chip with a program in its SRAM.
#[derive(Clone)]
pub(crate) struct Machine {
    chip: Chip,
    program: ChipProgram,
    nodes: Vec<String>,
    mem: Vec<MemSlice>,
    values_known: bool,
}

impl Machine {
    /// Puts the image of a program's chip into SRAM.
    pub(crate) fn new(chip: &Chip, program: &Program, index: usize, images: Vec<Image>) -> Machine {
        let slices = Hemisphere::BOTH
            .into_iter()
            .flat_map(|half| (0..chip.mem.slices_per_hemisphere).map(move |index| Slice::Mem(half, index)));
        let slice = |(slice, image): (Slice, Image)| MemSlice::new(chip, slice.position(chip), image);
        Machine {
            chip: chip.clone(),
            program: program.chips[index].clone(),
            nodes: program.nodes.clone(),
            mem: slices.zip(images).map(slice).collect(),
            values_known: true,
        }
    }

    /// Executes the program once, from cycle 0. SRAM stays as it is left, for the next run; streams, queues and planes start empty.
    ///
    /// # Errors
    /// The first fault: of the earliest cycle, and within it of the lowest place.
    pub(crate) fn run(&mut self) -> Result<Report, Fault> {
        self.run_watched(&mut |_| {})
    }

    /// As [`Machine::run`], telling `watch` of every write to SRAM as it is dispatched.
    pub(crate) fn run_watched(&mut self, watch: Watch<'_>) -> Result<Report, Fault> {
        let mut icu = Icu::new(&self.chip, &self.program);
        let mut row = Row::new(&self.chip, &mut self.mem);
        let mut report = Report::default();
        let (mut leaving, mut faults) = (Vec::new(), Vec::new());
        let mut cycle = 0;
        loop {
            if row.is_idle() {
                let Some(next) = icu.next_cycle() else { break };
                row.shift(next.saturating_sub(cycle));
                cycle = next;
            }
            if row.arrive(cycle, &mut faults) {
                report.cycles = cycle + u64::from(self.chip.stagger());
            }
            icu.dispatch(cycle, &mut leaving, &mut faults);
            row.dispatch(&leaving, &self.program.maps, &mut faults, watch);
            icu.take_text(cycle, row.registers(), &mut faults);
            row.finish(cycle, &mut faults);
            if let Some(first) = faults.into_iter().min_by_key(Raised::key) {
                return Err(first.named(&self.nodes));
            }
            for dispatch in leaving.drain(..) {
                count(&mut report.dispatched, &dispatch.instruction);
            }
            faults = Vec::new();
            row.shift(1);
            cycle += 1;
        }
        self.values_known &= row.values_known();
        Ok(report)
    }

    /// False once a run has used words that nobody brought.
    pub(crate) fn values_known(&self) -> bool {
        self.values_known
    }
}

impl Words for Machine {
    fn write_word(&mut self, slice: usize, word: u32, value: &[u8]) {
        let sram = &mut self.mem[slice].sram;
        sram.write(word, sram.all_superlanes(), value);
    }

    fn read_word(&self, slice: usize, word: u32, value: &mut [u8]) -> bool {
        let sram = &self.mem[slice].sram;
        sram.read(word, 0, value);
        sram.present(word) == sram.all_superlanes()
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

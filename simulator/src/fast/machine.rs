//! The fast machine: checks a program's time once, and computes its values in every run.

use isa::{Chip, ChipProgram, Program, Report};

use super::time::{self, Timing};
use super::values::{Lost, Memory, Values, Watch};
use crate::fault::{Dispatch, Fault, FaultKind};
use crate::image::Image;
use crate::ports::Words;

/// A chip with a program in its SRAM.
pub(crate) struct Machine {
    chip: Chip,
    program: ChipProgram,
    nodes: Vec<String>,
    timing: Timing,
    memory: Memory,
    values: Values,
    values_known: bool,
}

impl Machine {
    /// Puts the image of a program's chip into SRAM, and checks the program's time.
    pub(crate) fn new(chip: &Chip, program: &Program, index: usize, images: Vec<Image>) -> Machine {
        let one = program.chips[index].clone();
        let memory = Memory::new(chip, images);
        let timing = time::check(chip, &one, &memory.present());
        Machine {
            chip: chip.clone(),
            program: one,
            nodes: program.nodes.clone(),
            timing,
            memory,
            values: Values::new(chip),
            values_known: true,
        }
    }

    /// Whether the program is legal or not depends on indices that it computes, which only the reference follows cycle by cycle.
    pub(crate) fn depends_on_values(&self) -> bool {
        self.timing.depends_on_values
    }

    /// The program's cycles and hazards alone, without values; SRAM stays as it is.
    pub(crate) fn time(&self) -> Result<Report, Fault> {
        match &self.timing.fault {
            Some(fault) => Err(fault.clone().named(&self.nodes)),
            None => Ok(self.timing.report.clone()),
        }
    }

    /// Executes the program once.
    pub(crate) fn run(&mut self) -> Result<Report, Fault> {
        self.run_watched(None)
    }

    /// The same; `watch` is told of every write to SRAM, in the order of cycles and queues.
    pub(crate) fn run_watched(&mut self, watch: Option<&mut Watch<'_>>) -> Result<Report, Fault> {
        let report = self.time()?;
        let known = self.values.run(&self.chip, &self.program, &mut self.memory, watch);
        self.values_known &= known.map_err(|lost| lost_fault(lost).named(&self.nodes))?;
        Ok(report)
    }

    /// False once a run has used words that nobody brought.
    pub(crate) fn values_known(&self) -> bool {
        self.values_known
    }
}

/// The values disagree with the check of time: a slot that was promised is empty.
fn lost_fault(Lost { by }: Lost) -> crate::fault::Raised {
    let by = Dispatch { cycle: by.cycle, queue: by.queue, instruction: by.instruction, node: by.node };
    by.fault(FaultKind::EmptySlot, "the check of time found a value here; this is a bug of the simulator")
}

impl Words for Machine {
    fn write_word(&mut self, slice: usize, word: u32, value: &[u8]) {
        self.memory.write_word(slice, word, value);
    }

    fn read_word(&self, slice: usize, word: u32, value: &mut [u8]) -> bool {
        self.memory.read_word(slice, word, value)
    }
}

//! The fast machine: checks a program's time once, and computes its values in every run.

use isa::{Chip, ChipProgram, Program, Report};

use super::time::{self, Timing};
use super::values::{Lost, Memory, Values};
use crate::event::Watch;
use crate::fault::{Dispatch, Fault, FaultKind, Raised};
use crate::image::Image;
use crate::ports::Words;
use crate::reference;
use crate::tandem::Execute;

/// A chip with a program in its SRAM.
pub(crate) struct Machine {
    chip: Chip,
    program: ChipProgram,
    nodes: Vec<String>,
    timing: Timing,
    body: Body,
}

/// SRAM, and what works on it.
enum Body {
    /// Native code.
    Native(Box<Native>),
    /// Whether the program may read a word depends on indices that it computes itself. That is followed cycle by cycle.
    Stepped(Box<reference::Machine>),
}

/// What native code works on.
struct Native {
    memory: Memory,
    values: Values,
    /// No run has used a word that nobody brought.
    known: bool,
}

impl Machine {
    /// Puts the image of a program's chip into SRAM, and checks the program's time.
    pub(crate) fn new(chip: &Chip, program: &Program, index: usize, images: Vec<Image>) -> Machine {
        let one = program.chips[index].clone();
        let memory = Memory::new(chip, images.clone());
        let timing = time::check(chip, &one, &memory.present());
        let body = if timing.depends_on_values {
            Body::Stepped(Box::new(reference::Machine::new(chip, program, index, images)))
        } else {
            let values = Values::new(chip, &one);
            Body::Native(Box::new(Native { memory, values, known: true }))
        };
        Machine { chip: chip.clone(), program: one, nodes: program.nodes.clone(), timing, body }
    }

    /// The program's cycles and hazards alone: nothing is computed, and SRAM stays as it is. None where they depend on values.
    pub(crate) fn time(&self) -> Option<Result<Report, Fault>> {
        match (&self.body, &self.timing.fault) {
            (Body::Stepped(_), _) => None,
            (Body::Native(_), Some(fault)) => Some(Err(fault.clone().named(&self.nodes))),
            (Body::Native(_), None) => Some(Ok(self.timing.report.clone())),
        }
    }

    /// Executes the program once; `watch` is told of every write to SRAM.
    pub(crate) fn run(&mut self, watch: Option<Watch<'_>>) -> Result<Report, Fault> {
        match &mut self.body {
            Body::Stepped(machine) => match watch {
                Some(watch) => machine.run_watched(watch),
                None => machine.run(),
            },
            Body::Native(native) => {
                if let Some(fault) = &self.timing.fault {
                    return Err(fault.clone().named(&self.nodes));
                }
                let known = native.values.run(&self.chip, &self.program, &mut native.memory, watch);
                native.known &= known.map_err(|lost| raised(lost).named(&self.nodes))?;
                Ok(self.timing.report.clone())
            }
        }
    }
}

/// The values disagree with the check of time: a slot that was promised is empty.
fn raised(Lost { by }: Lost) -> Raised {
    let by = Dispatch { cycle: by.cycle, queue: by.queue, instruction: by.instruction, node: by.node };
    by.fault(FaultKind::EnginesDiffer, "the check of time found a value here, and there is none")
}

impl Execute for Machine {
    fn name(&self) -> &'static str {
        "fast"
    }

    fn run_watched(&mut self, watch: Watch<'_>) -> Result<Report, Fault> {
        self.run(Some(watch))
    }

    fn values_known(&self) -> bool {
        match &self.body {
            Body::Native(native) => native.known,
            Body::Stepped(machine) => machine.values_known(),
        }
    }
}

impl Words for Machine {
    fn write_word(&mut self, slice: usize, word: u32, value: &[u8]) {
        match &mut self.body {
            Body::Native(native) => native.memory.write_word(slice, word, value),
            Body::Stepped(machine) => machine.write_word(slice, word, value),
        }
    }

    fn read_word(&self, slice: usize, word: u32, value: &mut [u8]) -> bool {
        match &self.body {
            Body::Native(native) => native.memory.read_word(slice, word, value),
            Body::Stepped(machine) => machine.read_word(slice, word, value),
        }
    }
}

//! The machine: loads a program, runs it, and lets the host at its ports.

use isa::{Chip, ChipProgram, Hemisphere, Program, Report, Slice};

use super::mem::MemSlice;
use super::motion::Motion;
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
        let mut motion = Motion::new(&self.chip, &self.program, &mut self.mem);
        let mut faults = Vec::new();
        while let Some(cycle) = motion.next_cycle() {
            motion.step(cycle, &mut faults, watch);
            if let Some(first) = faults.drain(..).min_by_key(Raised::key) {
                return Err(first.named(&self.nodes));
            }
        }
        let (report, known) = motion.end();
        self.values_known &= known;
        Ok(report)
    }

    /// The run of the program in motion, to be taken from cycle to cycle along with others. What it says of values at its end is to be
    /// handed to [`Machine::note_values`].
    pub(crate) fn motion(&mut self) -> Motion<'_> {
        Motion::new(&self.chip, &self.program, &mut self.mem)
    }

    /// Whether a run used only values that somebody brought.
    pub(crate) fn note_values(&mut self, known: bool) {
        self.values_known &= known;
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

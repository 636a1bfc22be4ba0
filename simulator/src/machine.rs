//! A chip with a program in its SRAM: the host writes its arrays, runs the program, and reads its results.

use isa::{Chip, Port, Program, Report};

use crate::fault::Fault;
use crate::host::Array;
use crate::image::Image;
use crate::ports::{self, Words};
use crate::tandem::{Execute, Tandem};
use crate::{fast, reference, wellformed};

/// How a program is executed. The answer is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Time checked run against run, values computed by native code. The reference executes what depends on the values of indices.
    Fast,
    /// Every queue and every stream register in every cycle, in code to be read beside [`isa::instruction`].
    Reference,
    /// The reference and the fast engine side by side: every write to SRAM, report and fault is compared. A difference is [`crate::FaultKind::EnginesDiffer`].
    Tandem,
}

/// A chip with a program in its SRAM.
pub struct Machine {
    chip: Chip,
    ports: Vec<Port>,
    engine: Running,
}

/// The machine itself.
enum Running {
    Fast(Box<fast::Machine>),
    Reference(Box<reference::Machine>),
    Tandem(Box<Tandem<reference::Machine, fast::Machine>>),
}

impl Machine {
    /// Puts a program's memory image into SRAM. State ports hold zeros; input ports hold zeros that count as unknown until
    /// they are written, and so do absent weights.
    ///
    /// # Errors
    /// Everything about the program that no chip like this could execute, one sentence each: more than one chip, instruction control
    /// (Sync, Notify, Config), pages of text that do not match the queues' texts, places that the chip does not have, malformed instructions, segments or ports.
    pub fn load(engine: Engine, chip: &Chip, program: &Program) -> Result<Machine, Vec<String>> {
        wellformed::check(chip, program)?;
        let [one] = program.chips.as_slice() else { return Err(vec!["not one chip".to_owned()]) };
        let images = Image::all(chip, one)?;
        let engine = match engine {
            Engine::Fast => Running::Fast(Box::new(fast::Machine::new(chip, program, 0, images))),
            Engine::Reference => {
                Running::Reference(Box::new(reference::Machine::new(chip, program, 0, images)))
            }
            Engine::Tandem => {
                let first = reference::Machine::new(chip, program, 0, images.clone());
                let second = fast::Machine::new(chip, program, 0, images);
                Running::Tandem(Box::new(Tandem::new(first, second, one.clone(), program.nodes.clone())))
            }
        };
        Ok(Machine { chip: chip.clone(), ports: one.ports.clone(), engine })
    }

    /// The arrays that the host may write and read.
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Writes an array to every input and state port of this name: all its placements, and the high and low parts of F16.
    ///
    /// # Errors
    /// No such port, or an array of another type or number of elements; then nothing is written.
    pub fn write(&mut self, name: &str, array: &Array) -> Result<(), String> {
        ports::write_named(&self.chip, self.engine.words_mut(), &self.ports, name, array)
    }

    /// Reads the array of a port of any kind.
    ///
    /// # Errors
    /// No such port, or some of its words were never written.
    pub fn read(&self, name: &str) -> Result<Array, String> {
        ports::read(&self.chip, self.engine.words(), &self.ports, name)
    }

    /// False once a run has used words that nobody brought (absent weights, inputs not written): cycles and hazards are right, values are
    /// not to be trusted.
    pub fn values_known(&self) -> bool {
        match &self.engine {
            Running::Fast(machine) => machine.values_known(),
            Running::Reference(machine) => machine.values_known(),
            Running::Tandem(machine) => machine.values_known(),
        }
    }

    /// The cycles of a run, or its first fault, and no more of it than that takes: the fast engine knows both from the runs of the program,
    /// and leaves SRAM alone; the others execute it.
    ///
    /// # Errors
    /// As [`Machine::run`].
    pub fn time(&mut self) -> Result<Report, Fault> {
        match &self.engine {
            Running::Fast(machine) => match machine.time() {
                Some(known) => known,
                // Indices decide.
                None => self.run(),
            },
            Running::Reference(_) | Running::Tandem(_) => self.run(),
        }
    }

    /// Executes the program once, from cycle 0. SRAM stays as it is left, for the next run; streams, queues and planes start empty.
    ///
    /// # Errors
    /// The first fault: of the earliest cycle, and within it of the lowest place. SRAM is then left in a state of which nothing is said.
    pub fn run(&mut self) -> Result<Report, Fault> {
        match &mut self.engine {
            Running::Fast(machine) => machine.run(None),
            Running::Reference(machine) => machine.run(),
            Running::Tandem(machine) => machine.run(),
        }
    }
}

impl Running {
    fn words(&self) -> &dyn Words {
        match self {
            Running::Fast(machine) => machine.as_ref(),
            Running::Reference(machine) => machine.as_ref(),
            Running::Tandem(machine) => machine.as_ref(),
        }
    }

    fn words_mut(&mut self) -> &mut dyn Words {
        match self {
            Running::Fast(machine) => machine.as_mut(),
            Running::Reference(machine) => machine.as_mut(),
            Running::Tandem(machine) => machine.as_mut(),
        }
    }
}

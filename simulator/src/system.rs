//! Systems of chips: their programs run together, cycle by cycle, or timed one by one and composed.

use isa::{Chip, System, SystemProgram};

use crate::host::Array;
use crate::image::Image;
use crate::placing::{SystemFault, SystemReport, Ways};
use crate::{fast, ports, reference, wellformed};

/// The chips of a system with their programs in SRAM, executed by the reference engine: every cycle of every chip.
pub struct SystemMachine {
    chip: Chip,
    program: SystemProgram,
    ways: Ways,
    machines: Vec<reference::Machine>,
}

/// Why a system's program has no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComposeError {
    /// No system like this could execute it: one sentence for each reason.
    IllFormed(Vec<String>),
    /// The first thing that goes wrong.
    Fault(Box<SystemFault>),
}

/// The links of a program that fits a chip and a system, and the images of its chip programs.
fn load(
    system: &System,
    chip: &Chip,
    program: &SystemProgram,
) -> Result<(Ways, Vec<Vec<Image>>), Vec<String>> {
    wellformed::check_system(chip, &program.program)?;
    let ways = Ways::find(system, chip, program)?;
    let images = program.program.chips.iter().map(|one| Image::all(chip, one)).collect::<Result<_, _>>()?;
    Ok((ways, images))
}

impl SystemMachine {
    /// Puts each chip's memory image into its SRAM.
    ///
    /// # Errors
    /// Everything that no system of such chips could execute, one sentence each: what [`crate::Machine::load`] refuses of a chip's program,
    /// programs for another chip, chips that do not exist or have two programs, and links whose ports are not given, given twice, of the other
    /// hemisphere, or lead to no link of another program.
    pub fn load(system: &System, chip: &Chip, program: &SystemProgram) -> Result<SystemMachine, Vec<String>> {
        let (ways, images) = load(system, chip, program)?;
        let machine =
            |index: usize| reference::Machine::new(chip, &program.program, index, images[index].clone());
        let machines = program.placed.iter().map(|placed| machine(placed.program as usize)).collect();
        Ok(SystemMachine { chip: chip.clone(), program: program.clone(), ways, machines })
    }

    /// Index of the placement on a chip.
    fn placement(&self, chip: u32) -> Result<usize, String> {
        let found = self.program.placed.iter().position(|placed| placed.chip == chip);
        found.ok_or_else(|| format!("chip {chip} has no program"))
    }

    /// Writes an array to every input and state port of this name on a chip.
    ///
    /// # Errors
    /// No such chip or port, or an array of another type or number of elements; then nothing is written.
    pub fn write(&mut self, chip: u32, name: &str, array: &Array) -> Result<(), String> {
        let placement = self.placement(chip)?;
        let own = &self.program.program.chips[self.program.placed[placement].program as usize];
        ports::write_named(&self.chip, &mut self.machines[placement], &own.ports, name, array)
    }

    /// Reads the array of a port of any kind on a chip.
    ///
    /// # Errors
    /// No such chip or port, or some of its words were never written.
    pub fn read(&self, chip: u32, name: &str) -> Result<Array, String> {
        let placement = self.placement(chip)?;
        let own = &self.program.program.chips[self.program.placed[placement].program as usize];
        ports::read(&self.chip, &self.machines[placement], &own.ports, name)
    }

    /// False once a run has used words that nobody brought: cycles and hazards are right, values are not to be trusted.
    pub fn values_known(&self) -> bool {
        self.machines.iter().all(reference::Machine::values_known)
    }

    /// Executes all programs once, from cycle 0 of the system's clock to the end of the last. SRAM stays as it is left, for the next run;
    /// links, streams, queues and planes start empty.
    ///
    /// # Errors
    /// The first fault. SRAM is then left in a state of which nothing is said.
    pub fn run(&mut self) -> Result<SystemReport, Box<SystemFault>> {
        reference::run_system(&mut self.machines, &self.program, &self.ways).map_err(Box::new)
    }
}

/// The cycles of a system's program, or its first fault, without executing it: each distinct chip program is timed once, and what one end of a
/// link sends is held against what the other receives, once for all links on which the same programs meet at the same distance in time.
/// Where the values of indices decide, the reference engine executes the system.
///
/// # Errors
/// [`ComposeError::IllFormed`] as [`SystemMachine::load`], [`ComposeError::Fault`] as [`SystemMachine::run`].
pub fn compose(system: &System, chip: &Chip, program: &SystemProgram) -> Result<SystemReport, ComposeError> {
    let (ways, images) = load(system, chip, program).map_err(ComposeError::IllFormed)?;
    match fast::compose(chip, program, &ways, images) {
        Some(known) => known.map_err(|fault| ComposeError::Fault(Box::new(fault))),
        None => {
            let mut machine = SystemMachine::load(system, chip, program).map_err(ComposeError::IllFormed)?;
            machine.run().map_err(ComposeError::Fault)
        }
    }
}

//! The machine: loads a program, runs it, and lets the host at its ports.

use std::collections::BTreeMap;

use isa::program::SegmentData;
use isa::{Chip, ChipProgram, Hemisphere, Instruction, Port, PortKind, Program, Report, Slice};

use super::chip::{Row, mem_index};
use super::icu::Icu;
use super::mem::MemSlice;
use super::sram::Image;
use super::{check, ports};
use crate::fault::{Fault, Place, Raised};
use crate::host::Array;

/// A chip with a program in its SRAM.
pub struct Machine {
    chip: Chip,
    program: ChipProgram,
    nodes: Vec<String>,
    mem: Vec<MemSlice>,
    values_known: bool,
}

impl Machine {
    /// Puts a program's memory image into SRAM. State ports hold zeros; input ports hold zeros that count as unknown until
    /// they are written, and so do absent weights.
    ///
    /// # Errors
    /// Everything about the program that no chip like this could execute, one sentence each: more than one chip, instruction control
    /// (Sync, Notify, Ifetch, Config), places that the chip does not have, malformed instructions, segments or ports.
    pub fn load(chip: &Chip, program: &Program) -> Result<Machine, Vec<String>> {
        check::check(chip, program)?;
        let mut problems = Vec::new();
        let [chip_program] = program.chips.as_slice() else { return Err(vec!["not one chip".to_owned()]) };
        let slices = Hemisphere::BOTH
            .into_iter()
            .flat_map(|half| (0..chip.mem.slices_per_hemisphere).map(move |index| Slice::Mem(half, index)));
        let mut mem: Vec<MemSlice> = slices.map(|slice| MemSlice::new(chip, slice.position(chip))).collect();
        for segment in &chip_program.memory {
            let image = match &segment.data {
                SegmentData::Bytes(bytes) => Image::Bytes(bytes.clone()),
                SegmentData::Fill(byte) => Image::Fill(*byte),
                SegmentData::Absent | SegmentData::Digest(_) => Image::Unknown,
            };
            let sram = &mut mem[mem_index(chip, segment.hemisphere, segment.slice)].sram;
            if let Err(word) = sram.add_segment(segment.address, segment.words, image) {
                let place = Slice::Mem(segment.hemisphere, segment.slice);
                problems.push(format!("two segments hold word {word} of {place}"));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        for port in &chip_program.ports {
            ports::reserve(chip, &mut mem, port);
        }
        Ok(Machine {
            chip: chip.clone(),
            program: chip_program.clone(),
            nodes: program.nodes.clone(),
            mem,
            values_known: true,
        })
    }

    /// The arrays that the host may write and read.
    pub fn ports(&self) -> &[Port] {
        &self.program.ports
    }

    /// Writes an array to every input and state port of this name: all its placements, and the high and low parts of F16.
    ///
    /// # Errors
    /// No such port, or an array of another type or number of elements; then nothing is written.
    pub fn write(&mut self, name: &str, array: &Array) -> Result<(), String> {
        let ports =
            self.program.ports.iter().filter(|port| port.name == name && port.kind != PortKind::Output);
        let images: Vec<_> =
            ports.map(|port| Ok((port, ports::encode(port, array)?))).collect::<Result<_, String>>()?;
        if images.is_empty() {
            return Err(format!(
                "no input or state is named `{name}`: {}",
                ports::names(&self.program.ports)
            ));
        }
        for (port, elements) in images {
            ports::write(&self.chip, &mut self.mem, port, &elements);
        }
        Ok(())
    }

    /// Reads the array of a port of any kind.
    ///
    /// # Errors
    /// No such port, or some of its words were never written.
    pub fn read(&self, name: &str) -> Result<Array, String> {
        ports::read(&self.chip, &self.mem, &self.program.ports, name)
    }

    /// False once a run has used words that nobody brought (absent weights, inputs not written): cycles and hazards are right, values are
    /// not to be trusted.
    pub fn values_known(&self) -> bool {
        self.values_known
    }

    /// Executes the program once, from cycle 0. SRAM stays as it is left, for the next run; streams, queues and planes start empty.
    ///
    /// # Errors
    /// The first fault: of the earliest cycle, and within it of the lowest place.
    pub fn run(&mut self) -> Result<Report, Fault> {
        let mut icu = Icu::new(&self.program);
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
            row.dispatch(&leaving, &self.program.maps, &mut faults);
            row.finish(cycle, &mut faults);
            if let Some(first) = faults.into_iter().min_by_key(Raised::key) {
                return Err(named(first, &self.nodes));
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
}

/// Counts an instruction for the report.
fn count(dispatched: &mut BTreeMap<&'static str, u64>, instruction: &Instruction) {
    let kind = match instruction {
        Instruction::Icu(_) => return,
        Instruction::Mem(_) => "mem",
        Instruction::Vxm(_) => "vxm",
        Instruction::Mxm(_) => "mxm",
        Instruction::Sxm(_) => "sxm",
        Instruction::C2c(_) => "c2c",
    };
    *dispatched.entry(kind).or_default() += 1;
}

/// The fault as the user sees it, with the name of its node.
fn named(raised: Raised, nodes: &[String]) -> Fault {
    Fault {
        kind: raised.kind,
        cycle: raised.cycle,
        place: Place { queue: raised.by.queue, bank: raised.bank },
        instruction: raised.by.instruction,
        dispatched: raised.by.cycle,
        node: nodes.get(raised.by.node as usize).cloned().unwrap_or_default(),
        detail: raised.detail,
    }
}

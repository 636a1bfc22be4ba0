//! The parts of the way by themselves: assembler, disassembler, simulator.

use std::path::Path;

use isa::{PortKind, Program};
use simulator::Machine;

use crate::cli::Simulator;
use crate::failure::Failure;
use crate::files::{self, Outputs};
use crate::job::{fault_of, no_values, port};
use crate::npz::{self, Array};
use crate::{Console, chips, print};

/// Assembly text to a binary program.
pub(crate) fn asm(file: &Path, output: &Path) -> Result<(), Failure> {
    let program = parse(file, &files::text(file)?)?;
    let mut files = Outputs::default();
    files.add(output, isa::encode::encode(&program));
    files.write()
}

/// A binary program to assembly text.
pub(crate) fn dis(file: &Path, output: Option<&Path>, console: &mut Console<'_>) -> Result<(), Failure> {
    let text = isa::asm::print(&decode(file)?);
    match output {
        None => print(console, &text),
        Some(path) => {
            let mut files = Outputs::default();
            files.add(path, text.into_bytes());
            files.write()
        }
    }
}

/// Simulates a program once; prints its cycles.
pub(crate) fn sim(
    file: &Path,
    chip: Option<&str>,
    inputs: Option<&Path>,
    outputs: Option<&Path>,
    simulator: Simulator,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let program = program(file)?;
    let chip = chips::load(chip.unwrap_or(&program.chip))?;
    let mut machine = Machine::load(simulator.engine(), &chip, &program).map_err(|problems| {
        let list = problems.join("\n  ");
        Failure::input(format!(
            "error[refused]: {}: not a program for `{}`\n  {list}",
            file.display(),
            chip.name
        ))
    })?;
    if let Some(path) = inputs {
        for (name, array) in npz::read(path, files::map(path)?)? {
            machine
                .write(&name, &array.data)
                .map_err(|what| Failure::input(format!("error[bad-inputs]: {}: {what}", path.display())))?;
        }
    }
    // Values are computed only if somebody asks for them.
    let report = if outputs.is_some() { machine.run() } else { machine.time() };
    let report = report.map_err(|fault| fault_of(&fault))?;
    if let Some(path) = outputs {
        if !machine.values_known() {
            return Err(no_values());
        }
        let mut files = Outputs::default();
        let arrays = read_ports(&machine)?;
        files.add(path, npz::write(&arrays).map_err(|error| Failure::unwritable(path, &error))?);
        files.write()?;
    }
    let mut text = format!(
        "{} cycles, {:.3} us on {}\n",
        report.cycles,
        report.cycles as f64 / chip.clock_hz * 1e6,
        chip.name
    );
    for (kind, count) in &report.dispatched {
        text += &format!("  {kind:<4} {count} instructions\n");
    }
    print(console, &text)
}

/// Every output and state.
fn read_ports(machine: &Machine) -> Result<Vec<(String, Array)>, Failure> {
    let mut arrays: Vec<(String, Array)> = Vec::new();
    for item in machine.ports() {
        // The low halves of F16 pairs have the name of their other half, and are read with it.
        if item.kind != PortKind::Input && arrays.iter().all(|(name, _)| *name != item.name) {
            let data = machine.read(&item.name).map_err(port)?;
            let shape = item.shape.iter().map(|&length| length as usize).collect();
            arrays.push((item.name.clone(), Array { shape, data }));
        }
    }
    Ok(arrays)
}

/// A program from binary or text, whichever the file holds.
fn program(file: &Path) -> Result<Program, Failure> {
    if file.extension().is_some_and(|ending| ending == "lpuasm") {
        return parse(file, &files::text(file)?);
    }
    decode(file)
}

fn decode(file: &Path) -> Result<Program, Failure> {
    let bytes = files::map(file)?;
    isa::decode::decode(&bytes).map_err(|error| {
        Failure::input(format!(
            "error[bad-program]: {}: {error}\n  `lpuc asm` makes programs; text ends in .lpuasm",
            file.display()
        ))
    })
}

fn parse(file: &Path, text: &str) -> Result<Program, Failure> {
    isa::asm::parse(text).map_err(|errors| {
        let problems: Vec<_> = errors.iter().map(|error| (error.span.clone(), error.to_string())).collect();
        Failure::in_text(file, text, &problems)
    })
}

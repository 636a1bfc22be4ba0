//! The command `lpuc`: arguments in, reports out. The only place of the project that reads files, writes files and
//! prints; compiling and simulating are functions of their arguments.

mod ablate;
pub mod caches;
mod chained;
mod check;
mod chips;
mod cli;
mod clock;
mod all_reduce;
mod curve;
mod failure;
mod files;
mod generate;
mod job;
mod model;
mod models;
mod npz;
mod ops;
mod parts;
mod progress;
mod report;
mod step;
mod systems;
mod vocabulary;

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;

use crate::cli::{Cli, Part};
use crate::failure::Failure;

/// Where a run prints.
pub struct Console<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Errors.
    pub err: &'a mut dyn Write,
    /// Whether to show progress on standard error; only for a terminal.
    pub progress: bool,
}

/// Runs the command with these arguments (the first is the command's own name), and returns its exit code: 0 well, 1 a
/// check failed, 2 bad usage or bad input, 3 valid but not supported or does not fit, 101 a bug of ours.
pub fn run(args: impl IntoIterator<Item = OsString>, console: &mut Console<'_>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, console),
    };
    let result = match (cli.part, cli.subject) {
        (Some(part), _) => run_part(&part, console),
        (None, Some(subject)) => match chained::model(&subject) {
            Ok(Some(config)) => chained::run(&config, &subject, &cli.job, console),
            Ok(None) => job::run(&subject, &cli.job, console),
            Err(failure) => Err(failure),
        },
        (None, None) => Err(Failure::input("error[usage]: no MODEL given\n  see `lpuc --help`")),
    };
    match result {
        Ok(()) => 0,
        Err(failure) => {
            // If standard error is gone there is nobody to tell.
            let _ = writeln!(console.err, "{}", failure.text);
            failure.code
        }
    }
}

fn run_part(part: &Part, console: &mut Console<'_>) -> Result<(), Failure> {
    match part {
        Part::Asm { file, output } => parts::asm(file, output),
        Part::Dis { file, output } => parts::dis(file, output.as_deref(), console),
        Part::Sim { program, chip, inputs, outputs, simulator } => {
            parts::sim(program, chip.as_deref(), inputs.as_deref(), outputs.as_deref(), *simulator, console)
        }
        Part::Check(subject) => check::run(subject, console),
        Part::Ops { json } => ops::run(*json, console),
        Part::Ablate(subject) => ablate::run(subject, console),
        Part::Curve { subject, batches, csv } => curve::run(subject, batches, *csv, console),
        Part::AllReduce { system, chips, bytes, csv } => {
            all_reduce::run(system, *chips, bytes, *csv, console)
        }
        Part::Chips { name } => {
            let text = match name {
                Some(name) => chips::load(name)?.describe(),
                None => chips::list(),
            };
            print(console, &text)
        }
        Part::Systems { name } => {
            let text = match name {
                Some(name) => systems::describe(&systems::load(name)?),
                None => systems::list(),
            };
            print(console, &text)
        }
        Part::Models { model, chip, json } => models::run(model.as_deref(), chip.as_deref(), *json, console),
    }
}

/// What clap has to say: help and version are results, all else is bad usage.
fn usage(error: &clap::Error, console: &mut Console<'_>) -> u8 {
    let text = error.render();
    let (to, code) = if error.use_stderr() { (&mut console.err, 2) } else { (&mut console.out, 0) };
    let _ = write!(to, "{text}");
    code
}

/// Prints a result. A reader that went away is no failure of ours.
fn print(console: &mut Console<'_>, text: &str) -> Result<(), Failure> {
    match console.out.write_all(text.as_bytes()).and_then(|()| console.out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::input(format!("error[unwritable]: cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

//! What an all-reduce takes, for several sizes of message: the links' share in every model that is cut over chips.

use compiler::Options;
use compiler::links::Links;
use compiler::rewrite::RewriteOptions;
use compiler::system::all_reduce;
use isa::Chip;
use isa::system::System;

use crate::failure::Failure;
use crate::progress::Progress;
use crate::report::text::grouped;
use crate::{Console, chained, chips, print, systems};

/// Bytes of an element.
const WIDTH: usize = 4;

/// An all-reduce of a message.
struct Row {
    bytes: usize,
    cycles: u64,
}

/// What the rows have in common.
struct Ran<'a> {
    system: &'a System,
    chip: &'a Chip,
    chips: usize,
    rows: Vec<Row>,
}

/// Adds up messages of so many bytes over all chips of a system, or the first ones, and prints a table or comma-separated values.
pub(crate) fn run(
    system: &str,
    chips: Option<usize>,
    bytes: &[usize],
    csv: bool,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let system = systems::load(system)?;
    let chip = chips::load(&system.chip)?;
    let chips = chips.unwrap_or(system.chips() as usize);
    let options = Options {
        precision: compiler::Precision::Fp16,
        rewrite: Some(RewriteOptions::default()),
        links: Links::default(),
        caches: compiler::Caches::Fp16,
        dense: false,
    };
    let progress = Progress::new(console.progress);
    let mut rows = Vec::new();
    for &bytes in bytes {
        progress.stage(format!("{bytes} bytes"));
        let made = all_reduce(bytes / WIDTH, chips, (&system, &chip), &options, &mut |_, _| {})?;
        let composed = simulator::compose(&system, &chip, &made.program).map_err(chained::refused)?;
        chained::equal(made.predicted_cycles, composed.cycles)?;
        rows.push(Row { bytes: bytes / WIDTH * WIDTH, cycles: composed.cycles });
    }
    drop(progress);
    let ran = Ran { system: &system, chip: &chip, chips, rows };
    print(console, &if csv { ran.values() } else { ran.table() })
}

impl Ran<'_> {
    fn microseconds(&self, row: &Row) -> f64 {
        row.cycles as f64 / self.chip.clock_hz * 1e6
    }

    /// Bytes that every chip has to send at least, a second, in 10^9.
    fn bandwidth(&self, row: &Row) -> f64 {
        let sent = 2.0 * (self.chips - 1) as f64 / self.chips as f64 * row.bytes as f64;
        sent / self.microseconds(row) / 1e3
    }

    fn best(&self) -> f64 {
        self.rows.iter().map(|row| self.bandwidth(row)).fold(0.0, f64::max)
    }

    fn values(&self) -> String {
        let mut out = "bytes,cycles,microseconds,gigabytes_per_second\n".to_owned();
        for row in &self.rows {
            let (time, bandwidth) = (self.microseconds(row), self.bandwidth(row));
            out += &format!("{},{},{time:.3},{bandwidth:.3}\n", row.bytes, row.cycles);
        }
        out
    }

    fn table(&self) -> String {
        let (chips, chip, system) = (self.chips, &self.chip.name, &self.system.name);
        let mut out = format!("all-reduce over {chips} {chip} of {system}, every message simulated\n\n");
        out += &format!("{:>12}{:>12}{:>12}{:>10}{:>14}\n", "bytes", "cycles", "us", "GB/s", "of the best");
        for row in &self.rows {
            let (bytes, cycles) = (grouped(row.bytes as u64), grouped(row.cycles));
            let (time, bandwidth) = (self.microseconds(row), self.bandwidth(row));
            let part = bandwidth / self.best();
            let bar = "#".repeat((part * 20.0).round() as usize);
            out += &format!(
                "{bytes:>12}{cycles:>12}{time:>12.3}{bandwidth:>10.2}{:>12.1} %  {bar}\n",
                100.0 * part
            );
        }
        out +=
            "\nGB/s: what every chip has to send at least, 2 (N - 1) / N times the message, over the time\n";
        for (part, name) in [(0.5, "half"), (0.9, "90 %")] {
            let reached = self.rows.iter().find(|row| self.bandwidth(row) >= part * self.best());
            if let Some(row) = reached {
                out += &format!("{name} of the best from {} bytes on\n", grouped(row.bytes as u64));
            }
        }
        out
    }
}

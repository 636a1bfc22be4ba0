//! The MEM slices: a bank used twice in a cycle, words read before their writes are complete, words that nothing has written.

use std::ops::Range;

use isa::instruction::{Instruction, Mem};
use isa::place::{Hemisphere, Queue};

use super::paths::{Path, first_in_one_bank, first_meeting};
use super::runs::{Line, Timeline};
use super::words::unwritten;

/// What the checks of memory have found so far.
pub(super) struct Found {
    /// The first cycle in which something goes wrong; whether indices decide in it is still of interest.
    pub(super) horizon: i64,
    /// The first cycle in which indices decide.
    pub(super) depends: Option<i64>,
}

impl Found {
    pub(super) fn depends_in(&mut self, cycle: i64) {
        self.depends = Some(self.depends.map_or(cycle, |first| first.min(cycle)));
    }
}

/// A queue's runs, with their paths.
pub(super) struct Accesses<'t> {
    pub(super) line: &'t Line<'t>,
    pub(super) paths: Vec<Path>,
}

impl<'t> Accesses<'t> {
    fn of(timeline: &'t Timeline<'_>, queue: Queue) -> Option<Accesses<'t>> {
        let line = timeline.line(queue)?;
        let paths: Vec<Path> = line.runs.iter().filter_map(Path::of).collect();
        (paths.len() == line.runs.len()).then_some(Accesses { line, paths })
    }

    /// Does an index decide which word the run's accesses mean?
    pub(super) fn is_indexed(&self, run: usize) -> bool {
        matches!(self.line.runs[run].instruction, Instruction::Mem(Mem::Gather { .. } | Mem::Scatter { .. }))
    }

    /// A window of no indices means no word at all.
    pub(super) fn is_void(&self, run: usize) -> bool {
        match self.line.runs[run].instruction {
            Instruction::Mem(Mem::Gather { window, .. } | Mem::Scatter { window, .. }) => window.count == 0,
            _ => false,
        }
    }
}

/// The first cycle in which something goes wrong in a slice, and the first in which indices decide.
pub(super) fn check(timeline: &Timeline<'_>, present: &[Vec<Range<u32>>], found: &mut Found) {
    let slices = timeline.chip.mem.slices_per_hemisphere;
    let all = Hemisphere::BOTH.into_iter().flat_map(|half| (0..slices).map(move |index| (half, index)));
    for ((half, index), present) in all.zip(present) {
        let Some(reads) = Accesses::of(timeline, Queue::MemRead(half, index)) else { continue };
        let writes = Accesses::of(timeline, Queue::MemWrite(half, index));
        if let Some(writes) = &writes {
            bank_conflicts(timeline, &reads, writes, found);
            in_flight(timeline, &reads, writes, found);
        }
        unwritten(timeline, &reads, writes.as_ref(), present, found);
    }
}

fn bank_conflicts(timeline: &Timeline<'_>, reads: &Accesses<'_>, writes: &Accesses<'_>, found: &mut Found) {
    let bank = i64::from(timeline.chip.mem.words_per_bank);
    for (cycles, read) in reads.line.cycles.iter().zip(&reads.paths) {
        for write in writes.line.between(cycles.first(), cycles.last().min(found.horizon)) {
            if let Some(cycle) = first_in_one_bank(read, &writes.paths[write], bank, found.horizon) {
                found.horizon = cycle;
            }
        }
    }
}

/// A word can be read `d_write` cycles after its write. What an index may mean is not known here.
fn in_flight(timeline: &Timeline<'_>, reads: &Accesses<'_>, writes: &Accesses<'_>, found: &mut Found) {
    let longest = i64::from(timeline.chip.latency.write) - 1;
    for (run, (cycles, read)) in reads.line.cycles.iter().zip(&reads.paths).enumerate() {
        if reads.is_void(run) {
            continue;
        }
        let (low, high) = read.words();
        for other in writes.line.between(cycles.first() - longest, cycles.last().min(found.horizon) - 1) {
            let (write, times) = (&writes.paths[other], &writes.line.cycles[other]);
            let words = write.words();
            if words.1 < low || words.0 > high || writes.is_void(other) {
                continue;
            }
            let least = (cycles.first() - times.last()).max(1);
            let most = (cycles.last() - times.first()).min(longest);
            let decided = reads.is_indexed(run) || writes.is_indexed(other);
            for delay in least..=most {
                match first_meeting(read, &write.shifted(delay), found.horizon + 1) {
                    Some(cycle) if decided => found.depends_in(cycle),
                    Some(cycle) => found.horizon = cycle,
                    None => {}
                }
            }
        }
    }
}

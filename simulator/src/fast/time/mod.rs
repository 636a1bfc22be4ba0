//! Time: decides from the runs of a program, without executing it, whether anything goes wrong, and what goes wrong first.
//!
//! Two stages. The first finds the earliest cycle in which something goes wrong: each check knows of one way, and looks only as far as the
//! others found nothing. Up to that cycle everything is sound, which is what lets lattices of cycles be counted against each other instead of
//! being stepped through. The second takes that one cycle in all detail ([`moment`]), and says what the reference would.

mod bits;
mod cover;
mod cursor;
mod effects;
mod fetch;
mod hulls;
mod links;
mod mem;
mod moment;
mod operands;
mod paths;
mod planes;
mod planes_run;
mod report;
mod runs;
mod streams;
mod vxm;
mod words;
mod world;

use std::ops::Range;

use isa::{Chip, ChipProgram, Hemisphere};

pub(crate) use links::{LinkRun, LinkRuns, links};
use mem::Found;
use moment::Moment;
use planes_run::{PlanesRun, Watch};
use runs::{NEVER, Timeline};
use streams::Traffic;

use crate::fault::Raised;

/// What can be said of a program from its runs alone.
pub(crate) struct Timing {
    /// Cycles, and dispatched instructions, as the reference measures them; has a meaning only if there is no fault.
    pub(crate) report: isa::Report,
    /// The first fault that does not depend on values.
    pub(crate) fault: Option<Raised>,
    /// In the cycle of the fault or before, or at all if there is none, the values of indices decide whether a word may be read.
    pub(crate) depends_on_values: bool,
    /// Cycles of the MXM that had to be gone through one by one.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests count them"))]
    pub(crate) steps: u64,
}

/// Checks a program that is well formed for its chip. `present` has, for each MEM slice (the east ones first), the words that hold something
/// before the run: sorted, disjoint ranges.
pub(crate) fn check(chip: &Chip, program: &ChipProgram, present: &[Vec<Range<u32>>]) -> Timing {
    check_watching(chip, program, present, Watch::DEFAULT, Joined::No)
}

/// The same of a program whose links lead to other chips. What comes on them is not known: here, something always arrives in time.
pub(crate) fn check_joined(chip: &Chip, program: &ChipProgram, present: &[Vec<Range<u32>>]) -> Timing {
    check_watching(chip, program, present, Watch::DEFAULT, Joined::Yes)
}

/// Whether the links of a chip lead anywhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joined {
    Yes,
    No,
}

/// The same, with a choice of how hard to look for repetitions in the MXM.
fn check_watching(
    chip: &Chip,
    program: &ChipProgram,
    present: &[Vec<Range<u32>>],
    watch: Watch,
    joined: Joined,
) -> Timing {
    let timeline = Timeline::new(chip, program, joined);
    let horizon = timeline.disorder.as_ref().map_or(NEVER, |fault| fault.cycle as i64);
    let horizon = timeline.levels.iter().map(|fault| fault.cycle as i64).fold(horizon, i64::min);
    let horizon = operands::wrong_operand(&timeline, horizon);
    let mut traffic = Traffic::new(&timeline, horizon);
    let horizon = traffic.collision(&timeline, horizon);
    let horizon = traffic.empty(&timeline, horizon);
    let horizon = fetch::wrong_text(&timeline, &traffic, horizon);
    let horizon = vxm::forward_of_nothing(&timeline, horizon);
    let mut found = Found { horizon, depends: None };
    mem::check(&timeline, present, &mut found);
    let mut steps = 0;
    for half in Hemisphere::BOTH {
        let mut planes = PlanesRun::new(&timeline, half, watch);
        found.horizon = planes.run(found.horizon);
        steps += planes.steps;
    }
    let depends_on_values = found.depends.is_some_and(|cycle| cycle <= found.horizon);
    let mut fault = None;
    if found.horizon < NEVER {
        let mut planes = Hemisphere::BOTH.map(|half| {
            let mut planes = PlanesRun::new(&timeline, half, watch);
            planes.run(found.horizon);
            planes.planes
        });
        let mut moment = Moment::new(&timeline, &traffic, present, found.horizon);
        fault = moment.first_fault(&mut planes);
        debug_assert!(fault.is_some() || depends_on_values, "nothing wrong in cycle {}", found.horizon);
        debug_assert!(depends_on_values || !moment.is_undecided(), "indices decide in {}", found.horizon);
    }
    Timing { report: report::measure(&timeline), fault, depends_on_values, steps }
}

#[cfg(test)]
pub(in crate::fast) mod tests;

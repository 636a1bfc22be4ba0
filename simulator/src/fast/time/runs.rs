//! The queues of a program as runs on the time axis: cut where disorder begins, and searchable by cycle.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use isa::{Chip, ChipProgram, Page, Queue, Run};

use super::super::lattice::Lattice;
use super::Joined;
use super::fetch::{self, TextWords};
use crate::fault::{Dispatch, Raised};
use crate::reference::icu;

/// Later than any cycle of a program, and far from overflow.
pub(super) const NEVER: i64 = i64::MAX / 4 * 3;

/// All queues of a chip, lowest first.
pub(super) struct Timeline<'p> {
    pub(super) chip: &'p Chip,
    pub(super) maps: &'p [Vec<u16>],
    /// Whether the chip's links lead anywhere.
    pub(super) joined: Joined,
    /// Without Ifetches.
    pub(super) lines: Vec<Line<'p>>,
    /// What the Ifetches of a queue take, of those queues that have any.
    pub(super) fetches: Vec<Line<'p>>,
    /// Where the pages of text lie.
    pub(super) pages: &'p BTreeMap<Queue, Vec<Page>>,
    pub(super) text: TextWords,
    /// Queues that have too much text or too little.
    pub(super) levels: Vec<Raised>,
    /// The first cycle in which a queue would have to dispatch twice, or go back in time.
    pub(super) disorder: Option<Raised>,
}

/// What one queue dispatches, up to its disorder if it has one: runs of which each ends before the next begins.
pub(super) struct Line<'p> {
    pub(super) queue: Queue,
    /// Position of the queue's slice.
    pub(super) position: i32,
    pub(super) runs: Cow<'p, [Run]>,
    /// The cycles of each run.
    pub(super) cycles: Vec<Lattice>,
}

impl<'p> Timeline<'p> {
    pub(super) fn new(chip: &'p Chip, program: &'p ChipProgram, joined: Joined) -> Timeline<'p> {
        let mut disorder: Option<Raised> = None;
        let mut lines = Vec::with_capacity(program.queues.len());
        let (mut fetches, mut levels) = (Vec::new(), Vec::new());
        for (&queue, runs) in &program.queues {
            let fault = icu::disorder(queue, runs);
            levels.extend(fetch::levels(chip, queue, runs));
            let runs = if fault.is_some() { Cow::Owned(cut(runs)) } else { Cow::Borrowed(runs.as_slice()) };
            let cycles = runs.iter().map(Lattice::of).collect();
            let line = Line { queue, position: queue.slice().position(chip), runs, cycles };
            let (line, fetching) = fetch::part(chip, line);
            lines.push(line);
            fetches.extend(fetching);
            disorder = disorder.into_iter().chain(fault).min_by_key(Raised::key);
        }
        let text = TextWords::of(chip, program);
        let (maps, pages) = (&program.maps, &program.text);
        Timeline { chip, maps, joined, lines, fetches, pages, text, levels, disorder }
    }

    pub(super) fn line(&self, queue: Queue) -> Option<&Line<'p>> {
        let index = self.lines.binary_search_by_key(&queue, |line| line.queue).ok()?;
        self.lines.get(index)
    }

    /// What `queue` dispatches in `cycle`, if it can be stepped so far.
    pub(super) fn dispatch(&self, queue: Queue, cycle: i64) -> Option<Dispatch> {
        self.line(queue)?.at(cycle)?.ok()
    }
}

/// The runs up to the first disorder. Where a repeat's body takes longer than its interval, only its first iteration counts.
pub(super) fn cut(runs: &[Run]) -> Vec<Run> {
    let mut kept: Vec<Run> = Vec::new();
    for run in runs {
        if kept.last().is_some_and(|previous| previous.last_cycle() >= run.cycle) {
            break;
        }
        let (mut body, mut sound) = (0, run.repeats.len());
        for repeat in run.repeats.iter().rev() {
            if repeat.count > 1 && u64::from(repeat.interval) <= body {
                break;
            }
            body += u64::from(repeat.count.saturating_sub(1)) * u64::from(repeat.interval);
            sound -= 1;
        }
        kept.push(Run { repeats: run.repeats[sound..].to_vec(), ..run.clone() });
        if sound > 0 {
            break;
        }
    }
    kept
}

impl Line<'_> {
    /// The runs that may dispatch in `from..=to`.
    pub(super) fn between(&self, from: i64, to: i64) -> Range<usize> {
        let first = self.cycles.partition_point(|run| run.last() < from);
        let end = first + self.cycles[first..].partition_point(|run| run.first() <= to);
        first..end
    }

    /// What is dispatched in `cycle`, stepped; a fault if the steps lead out of the operand's range.
    pub(super) fn at(&self, cycle: i64) -> Option<Result<Dispatch, Raised>> {
        let index = self.between(cycle, cycle).start;
        self.cycles.get(index).filter(|cycles| cycles.contains(cycle))?;
        let run = &self.runs[index];
        let mut rest = cycle - run.cycle as i64;
        let (mut by, mut window_by) = (0, 0);
        for repeat in run.repeats.iter().filter(|repeat| repeat.count > 1) {
            let times = (rest / i64::from(repeat.interval)).min(i64::from(repeat.count) - 1);
            rest -= times * i64::from(repeat.interval);
            by += times * i64::from(repeat.step);
            window_by += times * i64::from(repeat.window_step);
        }
        Some(stepped(self.queue, run, cycle, by, window_by))
    }
}

/// An instruction of a run, its operands moved on.
pub(super) fn stepped(
    queue: Queue,
    run: &Run,
    cycle: i64,
    by: i64,
    window_by: i64,
) -> Result<Dispatch, Raised> {
    let dispatch = Dispatch { cycle: cycle as u64, queue, instruction: run.instruction, node: run.node };
    match icu::step(run.instruction, by, window_by) {
        Some(instruction) => Ok(Dispatch { instruction, ..dispatch }),
        None => Err(dispatch.steps_lead_out()),
    }
}

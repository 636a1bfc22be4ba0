//! A place in a queue's runs, with what can be said of the time ahead.

use isa::Repeat;
use isa::program::MAX_REPEATS;

use super::runs::{Line, NEVER, stepped};
use crate::fault::{Dispatch, Raised};

/// The next dispatch of a queue.
pub(super) struct Cursor<'t> {
    line: &'t Line<'t>,
    run: usize,
    counters: [u32; MAX_REPEATS],
    /// Its cycle.
    pub(super) next: i64,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(line: &'t Line<'t>) -> Cursor<'t> {
        let mut cursor = Cursor { line, run: 0, counters: [0; MAX_REPEATS], next: NEVER };
        cursor.begin(0);
        cursor
    }

    fn begin(&mut self, run: usize) {
        self.run = run;
        self.counters = [0; MAX_REPEATS];
        self.next = self.line.cycles.get(run).map_or(NEVER, |cycles| cycles.first());
    }

    fn repeats(&self) -> &'t [Repeat] {
        self.line.runs.get(self.run).map_or(&[], |run| &run.repeats)
    }

    /// The instruction, stepped.
    pub(super) fn instruction(&self) -> Option<Result<Dispatch, Raised>> {
        let run = self.line.runs.get(self.run)?;
        let by =
            self.repeats().iter().zip(self.counters).map(|(r, times)| i64::from(r.step) * i64::from(times));
        Some(stepped(self.line.queue, run, self.next, by.sum(), 0))
    }

    /// Goes on to the next.
    pub(super) fn advance(&mut self) {
        let repeats = self.repeats();
        for level in (0..repeats.len()).rev() {
            let interval = i64::from(repeats[level].interval);
            self.counters[level] += 1;
            if self.counters[level] < repeats[level].count {
                self.next += interval;
                return;
            }
            self.next -= i64::from(self.counters[level] - 1) * interval;
            self.counters[level] = 0;
        }
        self.begin(self.run + 1);
    }

    /// Goes on to the first from `cycle` on.
    pub(super) fn seek(&mut self, cycle: i64) {
        let run = self.line.cycles.partition_point(|run| run.last() < cycle);
        self.begin(run);
        let Some(next) = self.line.cycles.get(run).and_then(|cycles| cycles.next(cycle)) else { return };
        let mut rest = next - self.next;
        self.next = next;
        for (repeat, counter) in self.repeats().iter().zip(&mut self.counters) {
            if repeat.count > 1 {
                let times = (rest / i64::from(repeat.interval)).min(i64::from(repeat.count) - 1);
                rest -= times * i64::from(repeat.interval);
                *counter = times as u32;
            }
        }
    }

    /// Intervals of the current run after which it may do the same again.
    pub(super) fn intervals(&self) -> impl Iterator<Item = i64> + use<'t> {
        self.repeats().iter().filter(|repeat| repeat.count > 1).map(|repeat| repeat.interval.into())
    }

    /// Up to which cycle the queue repeats every `period` what it does from `from` on; and by how much its operand moves each time.
    pub(super) fn steady(&self, from: i64, period: i64) -> (i64, i64) {
        // Until the next dispatch it does nothing, which repeats with every period.
        let mut steady = (self.next, 0);
        // Beginning of the current iteration of the levels looked at, and of what comes after them.
        let (mut begin, mut after) = match self.line.cycles.get(self.run) {
            Some(cycles) => {
                let next = self.line.cycles.get(self.run + 1);
                (cycles.first(), next.map_or(NEVER, |cycles| cycles.first()))
            }
            None => return steady,
        };
        for (repeat, times) in self.repeats().iter().zip(self.counters) {
            if repeat.count <= 1 {
                continue;
            }
            let interval = i64::from(repeat.interval);
            let end = (begin + i64::from(repeat.count) * interval).min(after);
            if begin <= from && period % interval == 0 && end > steady.0 {
                steady = (end, (period / interval).saturating_mul(repeat.step.into()));
            }
            begin += i64::from(times) * interval;
            if times + 1 < repeat.count {
                after = begin + interval;
            }
        }
        steady
    }
}

//! The planes of a hemisphere through time: from event to event, and over whole periods at once where nothing changes but the time.
//!
//! When the state is the same as a period ago, and the queues go on doing what they did, then so does everything else: a jump over many
//! periods ends in the same state. Accumulators whose addresses move on with the period are brought up to date one by one.

use isa::instruction::AccMode;
use isa::place::{Hemisphere, MxmPort, Queue};
use isa::stream::Format;

use super::cursor::Cursor;
use super::planes::{Accumulated, Planes};
use super::runs::{NEVER, Timeline};
use super::world::AtRest;

/// How hard to look for repetitions: a look costs as much as some dozen steps.
#[derive(Clone, Copy)]
pub(super) struct Watch {
    /// Cycles that a repetition must be good for, and periods.
    cycles: i64,
    periods: i64,
    /// Steps between two looks, at least and at most.
    pauses: (u64, u64),
}

impl Watch {
    pub(super) const DEFAULT: Watch = Watch { cycles: 512, periods: 4, pauses: (16, 256) };
    /// For tests, whose programs are short.
    #[cfg(test)]
    pub(super) const EAGER: Watch = Watch { cycles: 8, periods: 3, pauses: (1, 4) };
}

/// Repetitions looked for at once.
const ATTEMPTS: usize = 4;

/// The planes, and the queues that feed them.
pub(super) struct PlanesRun<'t> {
    pub(super) planes: Planes,
    cursors: Vec<(Queue, Cursor<'t>)>,
    world: AtRest<'t>,
    attempts: Vec<Attempt>,
    /// Accumulations since the oldest attempt that needs them.
    log: Vec<Accumulated>,
    /// Cycles that were gone through.
    pub(super) steps: u64,
    watch: Watch,
    next_look: u64,
    pause: u64,
}

/// A state that may come again one period later.
struct Attempt {
    from: i64,
    period: i64,
    /// Up to here the queues repeat themselves.
    until: i64,
    before: Planes,
    /// Per plane, by how much the addresses of its accumulators move with each period.
    moves: Vec<i64>,
    /// Where its part of the log begins.
    logged: usize,
}

impl Attempt {
    fn is_moving(&self) -> bool {
        self.moves.iter().any(|by| *by != 0)
    }

    fn due(&self) -> i64 {
        self.from + self.period
    }
}

impl<'t> PlanesRun<'t> {
    pub(super) fn new(timeline: &'t Timeline<'_>, half: Hemisphere, watch: Watch) -> PlanesRun<'t> {
        let mine = |queue: Queue| matches!(queue, Queue::Mxm(of, ..) if of == half);
        let lines = timeline.lines.iter().filter(|line| mine(line.queue));
        PlanesRun {
            planes: Planes::new(timeline.chip, half),
            cursors: lines.map(|line| (line.queue, Cursor::new(line))).collect(),
            world: AtRest {
                chip: timeline.chip,
                maps: timeline.maps,
                joined: timeline.joined,
                text: &timeline.text,
            },
            attempts: Vec::new(),
            log: Vec::new(),
            steps: 0,
            watch,
            next_look: 0,
            pause: watch.pauses.0,
        }
    }

    /// Runs up to cycle `limit`, or to the first in which something goes wrong. Says which.
    pub(super) fn run(&mut self, limit: i64) -> i64 {
        loop {
            let cycle = self.next_event();
            if cycle >= limit {
                return limit;
            }
            let due = (0..self.attempts.len()).min_by_key(|index| self.attempts[*index].due());
            if let Some(index) = due.filter(|index| self.attempts[*index].due() <= cycle) {
                let attempt = self.attempts.remove(index);
                self.jump(&attempt);
                continue;
            }
            if self.steps >= self.next_look {
                self.look(cycle, limit);
            }
            if !self.step(cycle) {
                return cycle;
            }
        }
    }

    fn next_event(&self) -> i64 {
        let arrival = self.planes.next_arrival().map(|cycle| cycle as i64);
        self.cursors.iter().map(|(_, cursor)| cursor.next).chain(arrival).min().unwrap_or(NEVER)
    }

    /// Goes through a cycle; false if something goes wrong in it.
    fn step(&mut self, cycle: i64) -> bool {
        self.steps += 1;
        let mut faults = Vec::new();
        self.planes.arrive(cycle as u64, &mut faults);
        let logging = self.attempts.iter().any(Attempt::is_moving);
        for (_, cursor) in self.cursors.iter_mut().filter(|(_, cursor)| cursor.next == cycle) {
            let Some(Ok(by)) = cursor.instruction() else { return false };
            match self.planes.dispatch(&by, &self.world) {
                Ok(done) => self.log.extend(done.filter(|_| logging)),
                Err(_) => return false,
            }
            cursor.advance();
        }
        self.planes.drop_products(cycle as u64, &mut faults);
        faults.is_empty()
    }

    /// Looks for periods in which the state may come again, and remembers it.
    fn look(&mut self, cycle: i64, limit: i64) {
        if !self.attempts.iter().any(Attempt::is_moving) {
            self.log.clear();
        }
        let mut periods: Vec<i64> = self.cursors.iter().flat_map(|(_, cursor)| cursor.intervals()).collect();
        periods.sort_unstable_by(|a, b| b.cmp(a));
        periods.dedup();
        for period in periods {
            if self.attempts.len() >= ATTEMPTS {
                break;
            }
            if self.attempts.iter().all(|attempt| attempt.period != period) {
                let attempt = self.attempt(cycle, limit, period);
                self.attempts.extend(attempt);
            }
        }
        self.next_look = self.steps + self.pause;
        self.pause = (2 * self.pause).min(self.watch.pauses.1);
    }

    fn attempt(&self, cycle: i64, limit: i64, period: i64) -> Option<Attempt> {
        let (mut until, mut moves) = (limit, vec![0; self.planes.planes.len()]);
        for (queue, cursor) in &self.cursors {
            let (steady, by) = cursor.steady(cycle, period);
            until = until.min(steady);
            match queue {
                Queue::Mxm(_, _, MxmPort::Load) if by != 0 => return None,
                Queue::Mxm(_, plane, MxmPort::Accumulate) => moves[usize::from(*plane)] = by,
                _ => {}
            }
            if until - cycle < self.watch.cycles.max(period.saturating_mul(self.watch.periods)) {
                return None;
            }
        }
        let before = self.planes.clone();
        Some(Attempt { from: cycle, period, until, before, moves, logged: self.log.len() })
    }

    /// If the state is that of the attempt again, goes on by as many periods as the queues repeat themselves.
    fn jump(&mut self, attempt: &Attempt) {
        let (now, period) = (attempt.due(), attempt.period);
        let moving: Vec<bool> = attempt.moves.iter().map(|by| *by != 0).collect();
        if !attempt.before.is_same(attempt.from as u64, &self.planes, period as u64, &moving) {
            return;
        }
        // Attempts of longer periods want to see their states, too.
        let longer = self.attempts.iter().filter(|other| other.period > period);
        let until = longer.map(Attempt::due).fold(attempt.until, i64::min);
        let periods = self.accumulate(attempt, (until - now) / period);
        if periods <= 0 {
            return;
        }
        self.planes.delay((periods * period) as u64);
        for (_, cursor) in &mut self.cursors {
            cursor.seek(now + periods * period);
        }
        // Those of shorter periods are passed, and the logs of the others would be incomplete.
        self.attempts.retain(|other| other.period > period && !other.is_moving());
        (self.next_look, self.pause) = (self.steps, self.watch.pauses.0);
    }

    /// Brings accumulators that move on with the period up to date; says over how many periods that goes well.
    fn accumulate(&mut self, attempt: &Attempt, periods: i64) -> i64 {
        if !attempt.is_moving() {
            return periods;
        }
        let mut undo: Vec<(usize, usize, Option<Format>)> = Vec::new();
        for times in 1..=periods {
            undo.clear();
            for done in &self.log[attempt.logged.min(self.log.len())..] {
                let by = attempt.moves[done.plane];
                if by == 0 {
                    continue;
                }
                let address =
                    usize::try_from(i64::from(done.address).saturating_add(times.saturating_mul(by))).ok();
                let accumulators = &mut self.planes.planes[done.plane].accumulators;
                let sum = address.and_then(|address| accumulators.get_mut(address));
                let sum = sum.filter(|sum| done.mode == AccMode::Start || **sum == Some(done.format));
                let Some(sum) = sum else {
                    for (plane, address, old) in undo.drain(..).rev() {
                        self.planes.planes[plane].accumulators[address] = old;
                    }
                    return times - 1;
                };
                undo.push((done.plane, address.unwrap_or_default(), *sum));
                *sum = Some(done.format);
            }
        }
        periods
    }
}

//! Runs of memory accesses as paths through time and words, and where two of them meet.

use isa::Run;
use isa::instruction::{Instruction, Mem};
use isa::program::MAX_REPEATS;

use super::super::lattice::{Lattice, first_common};
use super::world::window_span;

/// One level: how often, how far apart in time, and how far apart in words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Leg {
    count: i64,
    interval: i64,
    step: i64,
}

/// Accesses to words: one after the other, in levels, outermost first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// Of the first access.
    pub(super) cycle: i64,
    pub(super) word: i64,
    /// Words from the first to the last that one access may mean.
    pub(super) span: i64,
    depth: usize,
    legs: [Leg; MAX_REPEATS],
}

impl Path {
    /// The accesses of a run, whose first word is its address, or its window's base.
    pub(super) fn of(run: &Run) -> Option<Path> {
        let (word, span) = match run.instruction {
            Instruction::Mem(Mem::Read { address, .. } | Mem::Write { address, .. }) => (address, 0),
            Instruction::Mem(Mem::Gather { window, .. } | Mem::Scatter { window, .. }) => {
                (window.base, i64::try_from(window_span(window)).unwrap_or(i64::MAX / 4))
            }
            _ => return None,
        };
        let point =
            Path { cycle: run.cycle as i64, word: word.into(), span, depth: 0, legs: Default::default() };
        let legs = run.repeats.iter().map(|repeat| Leg {
            count: repeat.count.into(),
            interval: repeat.interval.into(),
            step: repeat.step.into(),
        });
        Some(point.with(legs.rev()))
    }

    /// The point, repeated by the legs, innermost first.
    fn with(self, legs: impl Iterator<Item = Leg>) -> Path {
        let mut path = Path { depth: 0, ..self };
        for leg in legs.filter(|leg| leg.count > 1) {
            let inner = path.depth.checked_sub(1).and_then(|index| path.legs.get_mut(index));
            match inner.filter(|inner| {
                inner.count * inner.interval == leg.interval
                    && inner.count.saturating_mul(inner.step) == leg.step
            }) {
                Some(inner) => inner.count *= leg.count,
                None => {
                    path.legs[path.depth.min(MAX_REPEATS - 1)] = leg;
                    path.depth = (path.depth + 1).min(MAX_REPEATS);
                }
            }
        }
        path.legs[..path.depth].reverse();
        path
    }

    fn legs(&self) -> &[Leg] {
        &self.legs[..self.depth]
    }

    /// Cycle of the last access.
    pub(super) fn last_cycle(&self) -> i64 {
        self.cycle + self.legs().iter().map(|leg| (leg.count - 1) * leg.interval).sum::<i64>()
    }

    /// The least and the greatest word. Far accesses of a wrong run may lie anywhere.
    pub(super) fn words(&self) -> (i64, i64) {
        let (mut low, mut high) = (self.word, self.word.saturating_add(self.span));
        for leg in self.legs() {
            let reach = (leg.count - 1).saturating_mul(leg.step);
            low = low.saturating_add(reach.min(0));
            high = high.saturating_add(reach.max(0));
        }
        (low, high)
    }

    fn lattice(&self) -> Lattice {
        Lattice::from_innermost(self.cycle, self.legs().iter().rev().map(|leg| (leg.count, leg.interval)))
    }

    /// The same path, later.
    pub(super) fn shifted(&self, by: i64) -> Path {
        Path { cycle: self.cycle + by, ..*self }
    }

    /// Iterations of the outermost level, from `first` on.
    fn part(&self, first: i64, count: i64) -> Path {
        let outer = self.legs[0];
        let moved = Path {
            cycle: self.cycle + first * outer.interval,
            word: self.word.saturating_add(first.saturating_mul(outer.step)),
            ..*self
        };
        let inner = self.legs()[1..].iter().rev().copied();
        moved.with(inner.chain(std::iter::once(Leg { count, ..outer })))
    }

    /// The two halves of the outermost level's iterations.
    fn halves(&self) -> [Path; 2] {
        let (count, half) = (self.legs[0].count, self.legs[0].count / 2);
        [self.part(0, half), self.part(half, count - half)]
    }

    /// Only the first access of each word along the levels that stay where they are.
    pub(super) fn without_repetition(&self) -> Path {
        self.with(self.legs().iter().rev().filter(|leg| leg.step != 0).copied())
    }

    /// The range of words, if every word of it is accessed.
    pub(super) fn contiguous(&self) -> bool {
        match self.legs() {
            [] => self.span == 0,
            [leg] => self.span == 0 && leg.step.abs() <= 1,
            _ => false,
        }
    }

    /// Calls `each` with cycle and word of each access before `limit`, in order, until it says stop.
    pub(super) fn walk(&self, limit: i64, each: &mut impl FnMut(i64, i64) -> bool) {
        walk(self.legs(), self.cycle, self.word, limit, each);
    }
}

/// Walks the legs; false once it is time to stop.
fn walk(legs: &[Leg], cycle: i64, word: i64, limit: i64, each: &mut impl FnMut(i64, i64) -> bool) -> bool {
    if cycle >= limit {
        return false;
    }
    let Some((outer, inner)) = legs.split_first() else { return each(cycle, word) };
    (0..outer.count).all(|i| walk(inner, cycle + i * outer.interval, word + i * outer.step, limit, each))
}

/// The bank that all words lie in, if there is one.
fn bank((low, high): (i64, i64), words_per_bank: i64) -> Option<i64> {
    let bank = low.div_euclid(words_per_bank);
    (high.div_euclid(words_per_bank) == bank).then_some(bank)
}

/// The first cycle before `limit` in which two paths access one bank. A window lies in the bank of its first word.
pub(super) fn first_in_one_bank(a: &Path, b: &Path, words_per_bank: i64, limit: i64) -> Option<i64> {
    let begin = a.cycle.max(b.cycle);
    if begin >= limit || begin > a.last_cycle().min(b.last_cycle()) {
        return None;
    }
    let (words_a, words_b) = (a.words(), b.words());
    if words_a.1.div_euclid(words_per_bank) < words_b.0.div_euclid(words_per_bank)
        || words_b.1.div_euclid(words_per_bank) < words_a.0.div_euclid(words_per_bank)
    {
        return None;
    }
    match (bank(words_a, words_per_bank), bank(words_b, words_per_bank)) {
        (Some(_), Some(_)) => first_common(&a.lattice(), &b.lattice()).filter(|cycle| *cycle < limit),
        (None, _) if a.depth > 0 => {
            a.halves().iter().find_map(|half| first_in_one_bank(half, b, words_per_bank, limit))
        }
        (_, None) if b.depth > 0 => {
            b.halves().iter().find_map(|half| first_in_one_bank(a, half, words_per_bank, limit))
        }
        // A window across banks, which is refused as such.
        _ => None,
    }
}

/// The first cycle before `limit` in which two paths access, or may access, one word.
pub(super) fn first_meeting(a: &Path, b: &Path, limit: i64) -> Option<i64> {
    let begin = a.cycle.max(b.cycle);
    if begin >= limit || begin > a.last_cycle().min(b.last_cycle()) {
        return None;
    }
    let (words_a, words_b) = (a.words(), b.words());
    if words_a.1 < words_b.0 || words_b.1 < words_a.0 {
        return None;
    }
    match (a.legs().first(), b.legs().first()) {
        (None, None) => Some(a.cycle),
        (Some(i), Some(j)) if (i.interval, i.step) == (j.interval, j.step) => {
            // As with lattices: an iteration meets at most two of the other path, and each pair lies as the first does.
            let ahead = (b.cycle - a.cycle).div_euclid(i.interval);
            let pair = |ahead: i64| {
                let from = ahead.max(0);
                let to = i.count.min(j.count + ahead);
                (from < to).then(|| first_meeting(&a.part(from, 1), &b.part(from - ahead, 1), limit))?
            };
            [pair(ahead), pair(ahead + 1)].into_iter().flatten().min()
        }
        (i, j) => {
            let length = |leg: Option<&Leg>| leg.map_or(0, |leg| leg.count * leg.interval);
            if length(i) >= length(j) {
                a.halves().iter().find_map(|half| first_meeting(half, b, limit))
            } else {
                b.halves().iter().find_map(|half| first_meeting(a, half, limit))
            }
        }
    }
}

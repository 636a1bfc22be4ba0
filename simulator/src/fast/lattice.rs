//! Nested lattices of cycles: what a run with repeats dispatches, as {base + Σ i·interval}, without listing it.
//!
//! A lattice is *well nested*: each interval is greater than the span of the levels within it, so that its elements increase in the order
//! of their counters. Runs are so once disorder within them has been cut away.

mod common;

pub(crate) use common::{count_common, each_common, first_common};
use isa::Run;
use isa::program::MAX_REPEATS;

/// One level: how often, and how far apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Level {
    count: i64,
    interval: i64,
}

/// A set of cycles, or of slots, in at most [`MAX_REPEATS`] levels, outermost first.
///
/// Kept in a normal form: no level of one element, and no level whose iterations follow each other as its own elements do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lattice {
    base: i64,
    last: i64,
    depth: usize,
    levels: [Level; MAX_REPEATS],
}

impl Lattice {
    /// A single element.
    pub(crate) fn point(base: i64) -> Lattice {
        Lattice { base, last: base, depth: 0, levels: [Level::default(); MAX_REPEATS] }
    }

    /// From (count, interval) of each level, innermost first; at most [`MAX_REPEATS`] of them count.
    pub(crate) fn from_innermost(base: i64, levels: impl Iterator<Item = (i64, i64)>) -> Lattice {
        let mut lattice = Lattice::point(base);
        for (count, interval) in levels.filter(|(count, _)| *count > 1) {
            lattice.last += (count - 1) * interval;
            let inner = lattice.depth.checked_sub(1).and_then(|index| lattice.levels.get_mut(index));
            match inner.filter(|inner| inner.count * inner.interval == interval) {
                Some(inner) => inner.count *= count,
                None => {
                    if let Some(level) = lattice.levels.get_mut(lattice.depth) {
                        *level = Level { count, interval };
                        lattice.depth += 1;
                    }
                }
            }
        }
        lattice.levels[..lattice.depth].reverse();
        lattice
    }

    /// From (count, interval) of each level, outermost first.
    #[cfg(test)]
    pub(crate) fn new(base: i64, levels: &[(i64, i64)]) -> Lattice {
        Lattice::from_innermost(base, levels.iter().rev().copied())
    }

    /// The cycles in which a run dispatches.
    pub(crate) fn of(run: &Run) -> Lattice {
        let levels = run.repeats.iter().rev().map(|repeat| (repeat.count.into(), repeat.interval.into()));
        Lattice::from_innermost(run.cycle as i64, levels)
    }

    /// The same, `by` later.
    pub(crate) fn shifted(&self, by: i64) -> Lattice {
        Lattice { base: self.base + by, last: self.last + by, ..*self }
    }

    fn levels(&self) -> &[Level] {
        &self.levels[..self.depth]
    }

    /// The least element.
    pub(crate) fn first(&self) -> i64 {
        self.base
    }

    /// The greatest element.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// Number of elements.
    pub(crate) fn count(&self) -> i64 {
        self.levels().iter().map(|level| level.count).product()
    }

    /// Every cycle from the first to the last.
    fn is_dense(&self) -> bool {
        self.depth == 0 || self.depth == 1 && self.levels[0].interval == 1
    }

    /// The body of the outermost level, in its first iteration; the lattice itself when it is a point.
    fn body(&self, base: i64) -> Lattice {
        let mut inner = Lattice::point(base);
        if let Some((_, levels)) = self.levels().split_first() {
            inner.levels[..levels.len()].copy_from_slice(levels);
            inner.depth = levels.len();
            inner.last += levels.iter().map(|level| (level.count - 1) * level.interval).sum::<i64>();
        }
        inner
    }

    /// Is it an element?
    pub(crate) fn contains(&self, x: i64) -> bool {
        if x < self.base || x > self.last {
            return false;
        }
        let mut rest = x - self.base;
        for level in self.levels() {
            rest -= (rest / level.interval).min(level.count - 1) * level.interval;
        }
        rest == 0
    }

    /// Number of elements less than `x`.
    pub(crate) fn rank(&self, x: i64) -> i64 {
        if x > self.last {
            return self.count();
        }
        let mut rest = x - self.base;
        if rest <= 0 {
            return 0;
        }
        let (mut inner, mut rank) = (self.count(), 1);
        for level in self.levels() {
            inner /= level.count;
            // The last iteration that began before x: all earlier ones lie before it as a whole.
            let iteration = ((rest - 1) / level.interval).min(level.count - 1);
            rank += iteration * inner;
            rest -= iteration * level.interval;
        }
        rank
    }

    /// The element that `n` elements precede; `n` is less than the count.
    pub(crate) fn nth(&self, mut n: i64) -> i64 {
        let (mut inner, mut x) = (self.count(), self.base);
        for level in self.levels() {
            inner /= level.count;
            x += n / inner * level.interval;
            n %= inner;
        }
        x
    }

    /// The least element from `x` on.
    pub(crate) fn next(&self, x: i64) -> Option<i64> {
        let rank = self.rank(x);
        (rank < self.count()).then(|| self.nth(rank))
    }

    /// The first two neighbours that are less than `least` apart.
    pub(crate) fn first_gap_below(&self, least: i64) -> Option<(i64, i64)> {
        let mut span = 0;
        for level in self.levels().iter().rev() {
            if level.interval - span < least {
                return Some((self.base + span, self.base + level.interval));
            }
            span += (level.count - 1) * level.interval;
        }
        None
    }

    /// The same, `count` times, `interval` apart, which is more than it spans.
    fn repeated(&self, count: i64, interval: i64) -> Lattice {
        let within = self.levels().iter().rev().map(|level| (level.count, level.interval));
        Lattice::from_innermost(self.base, within.chain(std::iter::once((count, interval))))
    }

    /// The elements from `first` to `last`, in disjoint pieces, in order.
    fn between(&self, first: i64, last: i64) -> Vec<Lattice> {
        let mut pieces = Vec::new();
        self.cut_out(first, last, &mut pieces);
        pieces
    }

    fn cut_out(&self, first: i64, last: i64, pieces: &mut Vec<Lattice>) {
        if last < self.base || self.last < first {
            return;
        }
        if first <= self.base && self.last <= last {
            pieces.push(*self);
            return;
        }
        // A point would lie within or without.
        let Some(level) = self.levels().first().copied() else { return };
        let iteration = |x: i64| ((x - self.base).div_euclid(level.interval)).clamp(0, level.count - 1);
        let (from, to) = (iteration(first), iteration(last));
        let body = |i: i64| self.body(self.base + i * level.interval);
        body(from).cut_out(first, last, pieces);
        if from + 1 < to {
            pieces.push(body(from + 1).repeated(to - from - 1, level.interval));
        }
        if from < to {
            body(to).cut_out(first, last, pieces);
        }
    }

    /// The first `n` elements, in disjoint pieces.
    pub(crate) fn prefix(&self, n: i64) -> Vec<Lattice> {
        if n >= self.count() {
            return vec![*self];
        }
        let (mut pieces, mut base, mut rest, mut inner) = (Vec::new(), self.base, n, self.count());
        for (index, level) in self.levels().iter().enumerate() {
            inner /= level.count;
            let iterations = rest / inner;
            if iterations > 0 {
                let within = self.levels()[index + 1..].iter().rev().map(|l| (l.count, l.interval));
                let whole = within.chain(std::iter::once((iterations, level.interval)));
                pieces.push(Lattice::from_innermost(base, whole));
            }
            base += iterations * level.interval;
            rest %= inner;
        }
        pieces
    }
}

#[cfg(test)]
mod tests;

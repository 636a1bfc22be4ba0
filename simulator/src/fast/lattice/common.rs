//! What two lattices have in common: how many elements, the first of them, and all of them as lattices.
//!
//! Closed forms where one is a point or dense, where the outermost intervals agree (the same question about the bodies, twice), and for two
//! single levels (the Chinese remainder theorem). Otherwise the iterations of one are gone through, as far as the other
//! reaches; and where the other is a single level that every iteration meets in the same way, only those at its ends are.

use super::Lattice;

/// Number of common elements.
pub(crate) fn count_common(a: &Lattice, b: &Lattice) -> i64 {
    if a.last < b.base || b.last < a.base {
        return 0;
    }
    if a == b {
        return a.count();
    }
    if a.is_dense() {
        return b.rank(a.last + 1) - b.rank(a.base);
    }
    if b.is_dense() {
        return a.rank(b.last + 1) - a.rank(b.base);
    }
    if a.levels[0].interval == b.levels[0].interval {
        let both = aligned(a, b).map(|branch| match branch {
            Branch { pairs: 0, .. } => 0,
            Branch { pairs, a, b, .. } => pairs * count_common(&a, &b),
        });
        return both.into_iter().sum();
    }
    if a.depth == 1 && b.depth == 1 {
        return Meeting::of(a, b).map_or(0, |meeting| meeting.count());
    }
    let (outer, other) = order(a, b);
    let Iterations { range, same } = Iterations::of(outer, other);
    let at = |i: i64| count_common(&outer.body(outer.base + i * outer.levels[0].interval), other);
    match same.filter(|(first, last)| first < last) {
        Some((first, last)) => {
            let ends = (range.0..first).chain(last + 1..range.1 + 1).map(at).sum::<i64>();
            ends + (last - first + 1) * at(first)
        }
        None => (range.0..=range.1).map(at).sum(),
    }
}

/// The first common element.
pub(crate) fn first_common(a: &Lattice, b: &Lattice) -> Option<i64> {
    if a.last < b.base || b.last < a.base {
        return None;
    }
    if a.base == b.base {
        return Some(a.base);
    }
    if a.is_dense() {
        return b.next(a.base).filter(|x| *x <= a.last);
    }
    if b.is_dense() {
        return a.next(b.base).filter(|x| *x <= b.last);
    }
    if a.levels[0].interval == b.levels[0].interval {
        let both = aligned(a, b).map(|branch| match branch {
            Branch { pairs: 0, .. } => None,
            Branch { offset, a, b, .. } => first_common(&a, &b).map(|x| x + offset),
        });
        return both.into_iter().flatten().min();
    }
    if a.depth == 1 && b.depth == 1 {
        return Meeting::of(a, b).map(|meeting| meeting.first as i64);
    }
    let (outer, other) = order(a, b);
    let Iterations { range, same } = Iterations::of(outer, other);
    let at = |i: i64| first_common(&outer.body(outer.base + i * outer.levels[0].interval), other);
    match same.filter(|(first, last)| first < last) {
        Some((first, last)) => (range.0..first + 1).chain(last + 1..range.1 + 1).find_map(at),
        None => (range.0..=range.1).find_map(at),
    }
}

/// Hands out all common elements, in disjoint pieces. `each` says whether what comes after the beginning of its piece still matters.
pub(crate) fn each_common(a: &Lattice, b: &Lattice, each: &mut dyn FnMut(Lattice) -> bool) -> bool {
    if a.last < b.base || b.last < a.base {
        return true;
    }
    if a == b {
        return each(*a);
    }
    if a.is_dense() {
        return b.between(a.base, a.last).into_iter().all(each);
    }
    if b.is_dense() {
        return a.between(b.base, b.last).into_iter().all(each);
    }
    let interval = a.levels[0].interval;
    if interval == b.levels[0].interval {
        // Either branch may have the first of them.
        let mut on = true;
        for Branch { pairs, offset, a, b } in aligned(a, b).into_iter().filter(|branch| branch.pairs > 0) {
            on &= each_common(&a, &b, &mut |piece| each(piece.repeated(pairs, interval).shifted(offset)));
        }
        return on;
    }
    if a.depth == 1 && b.depth == 1 {
        return Meeting::of(a, b).is_none_or(|meeting| each(meeting.lattice()));
    }
    let (outer, other) = order(a, b);
    let interval = outer.levels[0].interval;
    let Iterations { range, same } = Iterations::of(outer, other);
    let body = |i: i64| outer.body(outer.base + i * interval);
    let (first, last) = same.filter(|(first, last)| first < last).unwrap_or((range.1 + 1, range.1));
    (range.0..first).all(|i| each_common(&body(i), other, each))
        && (first > last
            || each_common(&body(first), other, &mut |piece| {
                each(piece.repeated(last - first + 1, interval))
            }))
        && (last + 1..range.1 + 1).all(|i| each_common(&body(i), other, each))
}

/// Iterations of two lattices with equal outermost intervals that lie over each other in one way.
struct Branch {
    /// How many pairs of iterations do.
    pairs: i64,
    /// Added to an element common to the bodies, the first common element of the lattices in this branch.
    offset: i64,
    a: Lattice,
    b: Lattice,
}

/// An iteration of the one meets at most two adjacent iterations of the other: those that begin at or after it, and those before.
fn aligned(a: &Lattice, b: &Lattice) -> [Branch; 2] {
    let interval = a.levels[0].interval;
    let (ahead, rest) = ((b.base - a.base).div_euclid(interval), (b.base - a.base).rem_euclid(interval));
    [(ahead, rest), (ahead + 1, rest - interval)].map(|(ahead, start)| {
        // Iteration i of `a` and iteration i − ahead of `b`.
        let from = ahead.max(0);
        let to = a.levels[0].count.min(b.levels[0].count + ahead);
        Branch { pairs: (to - from).max(0), offset: a.base + from * interval, a: a.body(0), b: b.body(start) }
    })
}

/// The lattice whose iterations are gone through, and the other one.
fn order<'l>(a: &'l Lattice, b: &'l Lattice) -> (&'l Lattice, &'l Lattice) {
    let cost = |lattice: &Lattice, other: &Lattice| {
        if lattice.depth < 2 && other.depth >= 2 && lattice.levels[0].interval < other.levels[0].interval {
            return i64::MAX;
        }
        let Iterations { range, same } = Iterations::of(lattice, other);
        range.1 - range.0 - same.map_or(0, |(first, last)| (last - first).max(0))
    };
    if cost(a, b) <= cost(b, a) { (a, b) } else { (b, a) }
}

/// The iterations of a lattice that another may reach.
struct Iterations {
    /// First and last.
    range: (i64, i64),
    /// First and last of those that meet the other in the same way; may be empty.
    same: Option<(i64, i64)>,
}

impl Iterations {
    fn of(lattice: &Lattice, other: &Lattice) -> Iterations {
        let level = lattice.levels[0];
        let clamp = |i: i64| i.clamp(0, level.count - 1);
        let iteration = |x: i64| (x - lattice.base).div_euclid(level.interval);
        let range = (clamp(iteration(other.base)), clamp(iteration(other.last)));
        let same = (other.depth == 1 && level.interval % other.levels[0].interval == 0).then(|| {
            let body = lattice.body(0).last;
            // From the first iteration that begins within the other to the last that ends within it.
            (iteration(other.base - 1) + 1, iteration(other.last - body))
        });
        let same = same.map(|(first, last)| (first.max(range.0), last.min(range.1)));
        Iterations { range, same }
    }
}

/// The common elements of two single levels: themselves a single level. Wide integers, since the interval may be a product.
struct Meeting {
    first: i128,
    last: i128,
    interval: i128,
}

impl Meeting {
    fn of(a: &Lattice, b: &Lattice) -> Option<Meeting> {
        let (i, j) = (i128::from(a.levels[0].interval), i128::from(b.levels[0].interval));
        let (gcd, inverse) = gcd(i, j);
        let apart = i128::from(b.base) - i128::from(a.base);
        if apart % gcd != 0 {
            return None;
        }
        let interval = i / gcd * j;
        let steps = (apart / gcd % (j / gcd) * inverse).rem_euclid(j / gcd);
        let some = i128::from(a.base) + steps * i;
        let (low, high) = (i128::from(a.base.max(b.base)), i128::from(a.last.min(b.last)));
        let first = low + (some - low).rem_euclid(interval);
        (first <= high).then_some(Meeting { first, last: high, interval })
    }

    fn count(&self) -> i64 {
        ((self.last - self.first) / self.interval + 1) as i64
    }

    fn lattice(&self) -> Lattice {
        // Of a single element the interval is of no interest, and may be too great.
        Lattice::from_innermost(self.first as i64, std::iter::once((self.count(), self.interval as i64)))
    }
}

/// The greatest common divisor, and the inverse of i/gcd modulo j/gcd.
fn gcd(i: i128, j: i128) -> (i128, i128) {
    let (mut old, mut new, mut old_factor, mut factor) = (i, j, 1, 0);
    while new != 0 {
        let quotient = old / new;
        (old, new) = (new, old - quotient * new);
        (old_factor, factor) = (factor, old_factor - quotient * factor);
    }
    (old, old_factor.rem_euclid((j / old).max(1)))
}

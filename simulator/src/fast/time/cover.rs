//! Is every element of one lattice in one of several others?

use super::super::lattice::{Lattice, count_common};

/// The least element of `wanted` below `limit` that is in none of `given`. The lattices of `given` must be disjoint, or `shared` be said.
///
/// Of disjoint lattices it suffices to count what they have in common with the wanted one, and with its beginnings to find what is missing.
/// Of others, one that has everything suffices, or disjoint ones that have everything together. If there are none, the elements are gone
/// through in order, as many at once as one lattice has.
pub(super) fn missing(wanted: &Lattice, limit: i64, given: &mut Vec<Lattice>, shared: bool) -> Option<i64> {
    let count = wanted.rank(limit);
    if count == 0 || given.iter().any(|one| one == wanted) {
        return None;
    }
    if count == 1 {
        let first = wanted.first();
        return (!given.iter().any(|one| one.contains(first))).then_some(first);
    }
    let cover = Cover { wanted, count };
    if shared {
        let beginning = wanted.prefix(count);
        let common = |one: &Lattice| beginning.iter().map(|part| count_common(part, one)).sum::<i64>();
        let mut whole = false;
        given.retain(|one| {
            let common = common(one);
            whole |= common == count;
            common > 0
        });
        if whole {
            return None;
        }
        let apart = apart(given);
        if apart.iter().map(common).sum::<i64>() == count {
            return None;
        }
        if apart.len() < given.len() {
            return cover.walk(given);
        }
    }
    cover.count(given)
}

/// Some of the lattices that have nothing in common; sorts them all.
fn apart(given: &mut [Lattice]) -> Vec<Lattice> {
    given.sort_by_key(Lattice::first);
    let (mut apart, mut active): (Vec<Lattice>, Vec<Lattice>) = (Vec::new(), Vec::new());
    for one in given {
        active.retain(|other| other.last() >= one.first());
        if active.iter().all(|other| count_common(one, other) == 0) {
            apart.push(*one);
            active.push(*one);
        }
    }
    apart
}

/// The first `count` elements of a lattice, of which each must be somewhere.
struct Cover<'l> {
    wanted: &'l Lattice,
    count: i64,
}

impl Cover<'_> {
    /// The first that is in none of some disjoint lattices.
    fn count(&self, given: &[Lattice]) -> Option<i64> {
        let covered = |n: i64| -> i64 {
            let common = |part: &Lattice| given.iter().map(|one| count_common(part, one)).sum::<i64>();
            self.wanted.prefix(n).iter().map(common).sum()
        };
        if covered(self.count) == self.count {
            return None;
        }
        // The beginnings of up to `complete` elements are covered; that of `short` elements is not.
        let complete = last_that(0, self.count, |n| covered(n) == n);
        Some(self.wanted.nth(complete))
    }

    /// The first that is in none of any lattices.
    fn walk(&self, given: &[Lattice]) -> Option<i64> {
        let mut done = 0;
        while done < self.count {
            let first = self.wanted.nth(done);
            let holding = given.iter().filter(|one| one.contains(first));
            let Some(next) = holding.map(|one| self.reach(done, one)).max() else { return Some(first) };
            done = next;
        }
        None
    }

    /// How many elements there are up to the first, after number `from`, that is not in `one`, which has number `from`.
    fn reach(&self, from: i64, one: &Lattice) -> i64 {
        if from + 1 == self.count || !one.contains(self.wanted.nth(from + 1)) {
            return from + 1;
        }
        let common = |n: i64| self.wanted.prefix(n).iter().map(|part| count_common(part, one)).sum::<i64>();
        let before = common(from);
        let all = |n: i64| common(n) - before == n - from;
        if all(self.count) { self.count } else { last_that(from + 2, self.count, all) }
    }
}

/// The last number for which something is so: it is for the first of the two, and not for the second.
fn last_that(mut yes: i64, mut no: i64, is_so: impl Fn(i64) -> bool) -> i64 {
    while yes + 1 < no {
        let middle = yes + (no - yes) / 2;
        if is_so(middle) {
            yes = middle;
        } else {
            no = middle;
        }
    }
    yes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn lattice() -> impl Strategy<Value = Lattice> {
        (0i64..20, vec((1i64..5, 1i64..3), 0..3)).prop_map(|(base, levels)| {
            let (mut nested, mut span) = (Vec::new(), 0);
            for (count, slack) in levels {
                nested.push((count, span + slack));
                span += (count - 1) * (span + slack);
            }
            Lattice::from_innermost(base, nested.into_iter())
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn what_is_missing(wanted in lattice(), given in vec(lattice(), 0..6), limit in 0i64..60) {
            let all = (0..wanted.count()).map(|n| wanted.nth(n)).filter(|x| *x < limit);
            let right = all.clone().find(|x| !given.iter().any(|one| one.contains(*x)));
            prop_assert_eq!(missing(&wanted, limit, &mut given.clone(), true), right);
            let disjoint = apart(&mut given.clone());
            let right = all.clone().find(|x| !disjoint.iter().any(|one| one.contains(*x)));
            prop_assert_eq!(missing(&wanted, limit, &mut disjoint.clone(), false), right);
        }
    }
}

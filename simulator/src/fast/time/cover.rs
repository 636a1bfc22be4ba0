//! Is every element of one lattice in one of several others?

use super::super::lattice::{Lattice, count_common};

/// The least element of `wanted` below `limit` that is in none of `given`. The lattices of `given` must be disjoint, or `shared` be said.
///
/// Of disjoint lattices it suffices to count what they have in common with the wanted one, and with its beginnings to find what is missing.
pub(super) fn missing(wanted: &Lattice, limit: i64, given: &mut Vec<Lattice>, shared: bool) -> Option<i64> {
    let count = wanted.rank(limit);
    if count == 0 || given.iter().any(|one| one == wanted) {
        return None;
    }
    if count == 1 {
        let first = wanted.first();
        return (!given.iter().any(|one| one.contains(first))).then_some(first);
    }
    if shared {
        given.sort_by_key(|one| (one.first(), one.last(), one.count()));
        given.dedup();
        let overlap = given.iter().enumerate().any(|(index, one)| {
            let mut meeting = given[index + 1..].iter().take_while(|other| other.first() <= one.last());
            meeting.any(|other| count_common(one, other) > 0)
        });
        if overlap {
            return (0..count).map(|n| wanted.nth(n)).find(|x| !given.iter().any(|one| one.contains(*x)));
        }
    }
    let covered = |n: i64| -> i64 {
        wanted.prefix(n).iter().map(|part| given.iter().map(|one| count_common(part, one)).sum::<i64>()).sum()
    };
    if covered(count) == count {
        return None;
    }
    // The beginnings of up to `complete` elements are covered; that of `short` elements is not.
    let (mut complete, mut short) = (0, count);
    while complete + 1 < short {
        let middle = complete + (short - complete) / 2;
        if covered(middle) == middle {
            complete = middle;
        } else {
            short = middle;
        }
    }
    Some(wanted.nth(complete))
}

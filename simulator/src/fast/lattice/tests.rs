//! Lattices against lists of their elements.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Lattice, count_common, each_common, first_common};

/// A well nested lattice, as its base and its levels.
fn lattice() -> impl Strategy<Value = Lattice> {
    (-30i64..30, vec((1i64..5, 0i64..7, any::<bool>()), 0..5)).prop_map(|(base, raw)| {
        let (mut levels, mut span) = (Vec::new(), 0);
        for (count, slack, tight) in raw {
            let interval = span + 1 + if tight { 0 } else { slack };
            levels.push((count, interval));
            span += (count - 1) * interval;
        }
        levels.reverse();
        Lattice::new(base, &levels)
    })
}

fn elements(lattice: &Lattice) -> Vec<i64> {
    let mut elements = vec![lattice.base];
    for level in lattice.levels() {
        elements =
            elements.iter().flat_map(|x| (0..level.count).map(move |i| x + i * level.interval)).collect();
    }
    assert!(elements.is_sorted());
    elements
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_lattice_is_the_list_of_its_elements(a in lattice()) {
        let list = elements(&a);
        prop_assert_eq!(a.count(), list.len() as i64);
        prop_assert_eq!((a.first(), a.last()), (list[0], list[list.len() - 1]));
        prop_assert!((0..a.count()).all(|n| a.nth(n) == list[n as usize]));
        for x in a.first() - 2..a.last() + 3 {
            prop_assert_eq!(a.contains(x), list.contains(&x));
            prop_assert_eq!(a.rank(x), list.iter().filter(|y| **y < x).count() as i64);
            prop_assert_eq!(a.next(x), list.iter().copied().find(|y| *y >= x));
        }
        for last in a.first() - 2..a.last() + 3 {
            for first in [a.first() - 1, (a.first() + last) / 2, last] {
                let part: Vec<i64> = a.between(first, last).iter().flat_map(elements).collect();
                let right: Vec<i64> = list.iter().copied().filter(|x| (first..=last).contains(x)).collect();
                prop_assert_eq!(part, right);
            }
        }
        for least in 0..20 {
            let right = list.windows(2).find(|pair| pair[1] - pair[0] < least).map(|pair| (pair[0], pair[1]));
            prop_assert_eq!(a.first_gap_below(least), right);
        }
        for n in 0..=a.count() {
            let mut prefix: Vec<i64> = a.prefix(n).iter().flat_map(elements).collect();
            prefix.sort();
            prop_assert_eq!(&prefix, &list[..n as usize]);
        }
    }

    #[test]
    fn common_elements(a in lattice(), b in lattice(), shift in 0i64..40) {
        for b in [b.shifted(shift), a.shifted(shift)] {
            let other = elements(&b);
            let common: Vec<i64> = elements(&a).into_iter().filter(|x| other.contains(x)).collect();
            prop_assert_eq!(count_common(&a, &b), common.len() as i64, "{:?} {:?}", a, b);
            prop_assert_eq!(first_common(&a, &b), common.first().copied());
            let mut pieces = Vec::new();
            let all = each_common(&a, &b, &mut |piece| {
                pieces.push(piece);
                true
            });
            prop_assert!(all);
            let mut all: Vec<i64> = pieces.iter().flat_map(elements).collect();
            all.sort();
            prop_assert_eq!(all, common, "{:?} {:?} {:?}", a, b, pieces);
            // Whoever wants no more after an element still gets all that come before it.
            let (mut limit, mut least) = (i64::MAX, None);
            each_common(&a, &b, &mut |piece| {
                if piece.first() < limit {
                    limit = piece.first();
                    least = Some(limit);
                }
                false
            });
            prop_assert_eq!(least, first_common(&a, &b));
        }
    }
}

#[test]
fn long_lattices_cost_little() {
    let a = Lattice::new(0, &[(1_000_000, 1_000), (32, 3)]);
    assert_eq!(count_common(&a, &a.shifted(3)), 31_000_000);
    let every = Lattice::new(1, &[(500_000_000, 2)]);
    assert_eq!(count_common(&a, &every), 16_000_000);
    assert_eq!(first_common(&every, &a), Some(3));
    assert_eq!(count_common(&Lattice::new(0, &[(1 << 31, 3)]), &Lattice::new(0, &[(1 << 31, 1 << 31)])), 1);
}

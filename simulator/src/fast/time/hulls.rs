//! Intervals sorted by their beginnings, searchable for all that meet a given one.

/// Something that reaches from a first to a last slot.
pub(super) trait Hull {
    fn first(&self) -> i64;
    fn last(&self) -> i64;
}

/// Sorted items, under a tree of the greatest ends.
pub(super) struct Hulls<T> {
    items: Vec<T>,
    /// A heap-ordered binary tree over the items, padded to a power of two: each node has the greatest end below it.
    ends: Vec<i64>,
}

impl<T: Hull> Hulls<T> {
    /// Sorts the items; those that begin together stay in their order.
    pub(super) fn new(mut items: Vec<T>) -> Hulls<T> {
        items.sort_by_key(T::first);
        let leaves = items.len().next_power_of_two();
        let mut ends = vec![i64::MIN; 2 * leaves];
        for (leaf, item) in items.iter().enumerate() {
            ends[leaves + leaf] = item.last();
        }
        for node in (1..leaves).rev() {
            ends[node] = ends[2 * node].max(ends[2 * node + 1]);
        }
        Hulls { items, ends }
    }

    pub(super) fn items(&self) -> &[T] {
        &self.items
    }

    /// An item, to change anything but its ends.
    pub(super) fn item_mut(&mut self, index: usize) -> &mut T {
        &mut self.items[index]
    }

    /// Calls `each` for every item that meets `first..=last`, in order.
    pub(super) fn meeting<'h>(&'h self, first: i64, last: i64, mut each: impl FnMut(&'h T)) {
        let end = self.items.partition_point(|item| item.first() <= last);
        self.visit((1, 0, self.ends.len() / 2), (first, end), &mut each);
    }

    /// Visits a node, with its first leaf and its number of leaves, for items before `end` that end at `first` or later.
    fn visit<'h>(
        &'h self,
        (node, leaf, width): (usize, usize, usize),
        (first, end): (i64, usize),
        each: &mut impl FnMut(&'h T),
    ) {
        if leaf >= end || self.ends[node] < first {
            return;
        }
        if width == 1 {
            self.items.get(leaf).into_iter().for_each(each);
            return;
        }
        let half = width / 2;
        self.visit((2 * node, leaf, half), (first, end), each);
        self.visit((2 * node + 1, leaf + half, half), (first, end), each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    impl Hull for (i64, i64) {
        fn first(&self) -> i64 {
            self.0
        }
        fn last(&self) -> i64 {
            self.1
        }
    }

    proptest! {
        #[test]
        fn all_that_meet_are_found(items in vec((0i64..40, 0i64..9), 0..40), at in 0i64..50, span in 0i64..9) {
            let hulls = Hulls::new(items.into_iter().map(|(first, span)| (first, first + span)).collect());
            let mut found = Vec::new();
            hulls.meeting(at, at + span, |item| found.push(*item));
            let right: Vec<(i64, i64)> =
                hulls.items().iter().copied().filter(|(a, b)| *a <= at + span && *b >= at).collect();
            prop_assert_eq!(found, right);
        }
    }
}

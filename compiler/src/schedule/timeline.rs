//! When one resource is taken: sorted, disjoint intervals of cycles (or of slots).

/// Taken intervals, half open.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    taken: Vec<(i64, i64)>,
}

impl Timeline {
    /// The earliest start >= `start` at which [start + from, start + to) is free.
    pub fn next_free(&self, from: i64, to: i64, start: i64) -> i64 {
        let mut start = start;
        let first = self.taken.partition_point(|&(_, end)| end <= start + from);
        for &(begin, end) in &self.taken[first..] {
            if begin >= start + to {
                break;
            }
            start = end - from;
        }
        start
    }

    /// The earliest start >= `start` at which all of some spans are free.
    pub fn next_free_all(&self, spans: &[(i64, i64)], start: i64) -> i64 {
        let mut start = start;
        loop {
            let next = spans.iter().fold(start, |at, &(from, to)| self.next_free(from, to, at));
            if next == start {
                return start;
            }
            start = next;
        }
    }

    /// Takes spans that are free.
    pub fn take_all(&mut self, spans: &[(i64, i64)], start: i64) {
        for &(from, to) in spans {
            self.take(start + from, start + to);
        }
    }

    /// Takes an interval that is free.
    pub fn take(&mut self, from: i64, to: i64) {
        let at = self.taken.partition_point(|&(begin, _)| begin < from);
        debug_assert!(at == 0 || self.taken[at - 1].1 <= from, "taken twice");
        debug_assert!(at == self.taken.len() || self.taken[at].0 >= to, "taken twice");
        let joins_before = at > 0 && self.taken[at - 1].1 == from;
        let joins_after = at < self.taken.len() && self.taken[at].0 == to;
        match (joins_before, joins_after) {
            (true, true) => {
                self.taken[at - 1].1 = self.taken[at].1;
                self.taken.remove(at);
            }
            (true, false) => self.taken[at - 1].1 = to,
            (false, true) => self.taken[at].0 = from,
            (false, false) => self.taken.insert(at, (from, to)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_gap_that_is_wide_enough() {
        let mut timeline = Timeline::default();
        timeline.take(10, 20);
        timeline.take(25, 30);
        timeline.take(20, 22);
        for (from, to, start, expected) in
            [(0, 5, 0, 0), (0, 11, 0, 30), (0, 3, 10, 22), (0, 4, 10, 30), (-5, 0, 12, 35), (2, 5, 18, 20)]
        {
            assert_eq!(timeline.next_free(from, to, start), expected, "[{from}, {to}) from {start}");
        }
    }
}

//! A set of words of a slice.

use std::ops::Range;

/// One bit per word.
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn new(words: u32) -> Bits {
        Bits(vec![0; (words as usize).div_ceil(64)])
    }

    /// The parts of a range, by place and mask.
    fn parts(range: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
        let Range { start, end } = range;
        let places = if start < end { start / 64..end.div_ceil(64) } else { 0..0 };
        places.map(move |place| {
            let from = start.saturating_sub(64 * place);
            let to = (end - 64 * place).min(64);
            (place, (u64::MAX >> (64 - (to - from))) << from)
        })
    }

    /// Adds words; those past the end are no words.
    pub(super) fn fill(&mut self, range: Range<usize>) {
        for (place, mask) in Bits::parts(range) {
            if let Some(bits) = self.0.get_mut(place) {
                *bits |= mask;
            }
        }
    }

    /// Are they all in the set?
    pub(super) fn all(&self, range: Range<usize>) -> bool {
        Bits::parts(range).all(|(place, mask)| self.0.get(place).is_some_and(|bits| bits & mask == mask))
    }

    pub(super) fn contains(&self, word: usize) -> bool {
        self.0.get(word / 64).is_some_and(|bits| bits >> (word % 64) & 1 == 1)
    }

    pub(super) fn insert(&mut self, word: usize) {
        if let Some(bits) = self.0.get_mut(word / 64) {
            *bits |= 1 << (word % 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (start, end) in [(0, 0), (0, 1), (63, 65), (5, 200), (64, 128), (130, 130)] {
            let mut bits = Bits::new(256);
            bits.fill(start..end);
            assert!((0..256).all(|word| bits.contains(word) == (start..end).contains(&word)));
            assert!(bits.all(start..end));
            assert!(start == 0 || !bits.all(start - 1..end.max(start)));
        }
    }
}

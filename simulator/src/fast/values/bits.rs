//! Sets of words.

use std::ops::Range;

/// A set of small numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits {
    blocks: Vec<u64>,
    any: bool,
}

impl Bits {
    /// The empty set of numbers below `size`.
    pub(crate) fn new(size: usize) -> Bits {
        Bits { blocks: vec![0; size.div_ceil(64)], any: false }
    }

    pub(crate) fn contains(&self, number: usize) -> bool {
        self.blocks[number / 64] >> (number % 64) & 1 == 1
    }

    pub(crate) fn insert(&mut self, number: usize) {
        self.any = true;
        self.blocks[number / 64] |= 1 << (number % 64);
    }

    pub(crate) fn remove(&mut self, number: usize) {
        self.blocks[number / 64] &= !(1 << (number % 64));
    }

    /// False if nothing was ever put in.
    pub(crate) fn any(&self) -> bool {
        self.any
    }

    pub(crate) fn insert_all(&mut self, numbers: Range<usize>) {
        let mut number = numbers.start;
        while number < numbers.end {
            if number.is_multiple_of(64) && numbers.end - number >= 64 {
                self.any = true;
                self.blocks[number / 64] = u64::MAX;
                number += 64;
            } else {
                self.insert(number);
                number += 1;
            }
        }
    }

    pub(crate) fn union(&mut self, other: &Bits) {
        self.any |= other.any;
        self.blocks.iter_mut().zip(&other.blocks).for_each(|(a, b)| *a |= b);
    }

    pub(crate) fn subtract(&mut self, other: &Bits) {
        self.blocks.iter_mut().zip(&other.blocks).for_each(|(a, b)| *a &= !b);
    }

    pub(crate) fn clear(&mut self) {
        self.any = false;
        self.blocks.fill(0);
    }

    /// The numbers of both sets.
    pub(crate) fn meets(&self, other: &Bits) -> bool {
        self.any && other.any && self.blocks.iter().zip(&other.blocks).any(|(a, b)| a & b != 0)
    }

    /// The ranges of adjacent numbers within `within`, relative to its start.
    pub(crate) fn ranges(&self, within: Range<usize>) -> Vec<Range<u32>> {
        let mut ranges: Vec<Range<u32>> = Vec::new();
        let mut number = within.start;
        while number < within.end {
            if number.is_multiple_of(64) && self.blocks[number / 64] == 0 {
                number += 64;
                continue;
            }
            if self.contains(number) {
                let place = (number - within.start) as u32;
                match ranges.last_mut() {
                    Some(last) if last.end == place => last.end += 1,
                    _ => ranges.push(place..place + 1),
                }
            }
            number += 1;
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_what_was_put_in() {
        let mut bits = Bits::new(300);
        bits.insert_all(3..200);
        bits.remove(100);
        bits.insert(299);
        bits.insert(297);
        assert_eq!(bits.ranges(0..300), [3..100, 101..200, 297..298, 299..300]);
        assert_eq!(bits.ranges(90..102), [0..10, 11..12]);
        let mut other = Bits::new(300);
        assert!(!bits.meets(&other));
        other.insert(101);
        assert!(bits.meets(&other));
        bits.subtract(&other);
        assert_eq!(bits.ranges(100..300), [2..100, 197..198, 199..200]);
        bits.union(&other);
        assert!(bits.contains(101));
    }
}

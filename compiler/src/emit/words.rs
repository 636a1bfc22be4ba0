//! Words of SRAM that no array ever uses, where instruction text can lie.

use std::collections::BTreeMap;
use std::ops::Range;

use isa::{Chip, Hemisphere};

use crate::lower::flow::Kernels;
use crate::schedule::Schedule;
use crate::schedule::reservation::Bank;

/// Free words, in ranges of as many as a page takes at least.
pub(super) struct FreeWords {
    banks: BTreeMap<Bank, Vec<Range<u32>>>,
    /// Words of a page.
    page: u32,
}

impl FreeWords {
    /// What the arrays of a schedule leave.
    pub(super) fn of(kernels: &Kernels, schedule: &Schedule, chip: &Chip) -> FreeWords {
        let mut used: BTreeMap<(Hemisphere, u16), Vec<Range<u32>>> = BTreeMap::new();
        for (id, array) in kernels.storages.arrays.iter() {
            for (region, words) in array.regions() {
                let Some(base) = schedule.bases.base(id, region) else { continue };
                for slice in kernels.storages.plan.slices(region) {
                    used.entry((region.hemisphere(), slice)).or_default().push(base..base + words);
                }
            }
        }
        let page = u32::from(chip.icu.fetch_vectors);
        let mut banks = BTreeMap::new();
        for half in Hemisphere::BOTH {
            for slice in 0..chip.mem.slices_per_hemisphere {
                let mut used = used.remove(&(half, slice)).unwrap_or_default();
                used.sort_by_key(|range| range.start);
                for bank in 0..chip.mem.banks {
                    let first = u32::from(bank) * chip.mem.words_per_bank;
                    let free = between(&used, first..first + chip.mem.words_per_bank, page);
                    if !free.is_empty() {
                        banks.insert((half, slice, bank), free);
                    }
                }
            }
        }
        FreeWords { banks, page }
    }

    /// Banks with room for a page.
    pub(super) fn banks(&self) -> impl Iterator<Item = Bank> {
        self.banks.keys().copied()
    }

    /// Whether a slice has room for a page.
    pub(super) fn has(&self, half: Hemisphere, slice: u16) -> bool {
        self.banks.range((half, slice, 0)..=(half, slice, u8::MAX)).next().is_some()
    }

    /// Pages that there is room for.
    pub(super) fn pages(&self) -> u32 {
        self.banks.values().flatten().map(|range| range.len() as u32 / self.page).sum()
    }

    /// The first word of the next page of a bank that has room.
    pub(super) fn next(&self, bank: Bank) -> u32 {
        self.banks.get(&bank).and_then(|ranges| ranges.last()).map_or(0, |last| last.end - self.page)
    }

    /// The same, which is then no longer free.
    pub(super) fn take(&mut self, bank: Bank) -> u32 {
        let address = self.next(bank);
        let ranges = self.banks.entry(bank).or_default();
        let Some(last) = ranges.last_mut() else { return address };
        last.end = address;
        if (last.len() as u32) < self.page {
            ranges.pop();
        }
        if ranges.is_empty() {
            self.banks.remove(&bank);
        }
        address
    }
}

/// The parts of `all` that some sorted ranges leave, where they have so many words.
fn between(used: &[Range<u32>], all: Range<u32>, least: u32) -> Vec<Range<u32>> {
    let mut free = Vec::new();
    let mut start = all.start;
    for range in used {
        if range.start.min(all.end) >= start + least {
            free.push(start..range.start.min(all.end));
        }
        start = start.max(range.end);
    }
    if start + least <= all.end {
        free.push(start..all.end);
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lie_in_what_is_left() {
        assert_eq!(between(&[0..3, 1..2, 10..11], 0..14, 3), [3..10, 11..14]);
        assert_eq!(between(&[0..3, 12..14, 15..20], 8..18, 1), [8..12, 14..15]);
        let mut words =
            FreeWords { banks: BTreeMap::from([((Hemisphere::East, 1, 0), vec![3..5, 7..12])]), page: 2 };
        assert_eq!(words.pages(), 3);
        let taken: Vec<u32> = (0..3).map(|_| words.take((Hemisphere::East, 1, 0))).collect();
        assert_eq!(taken, [10, 8, 3]);
        assert!(!words.has(Hemisphere::East, 1));
    }
}

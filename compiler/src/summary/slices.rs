//! What each MEM slice holds.

use std::collections::BTreeMap;

use isa::{Chip, ChipProgram, Hemisphere};

use super::covered;
use crate::lower::storage::{Role, Storages};
use crate::schedule::memory::Bases;

/// Bytes of one MEM slice by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceBytes {
    /// Half of the chip.
    pub hemisphere: Hemisphere,
    /// Number in it.
    pub slice: u16,
    /// Constants.
    pub weights_bytes: u64,
    /// States.
    pub kv_bytes: u64,
    /// Words that ever hold inputs, outputs and temporaries.
    pub activation_bytes: u64,
    /// Pages of instruction text.
    pub text_bytes: u64,
}

impl SliceBytes {
    /// All kinds together.
    pub fn bytes(&self) -> u64 {
        self.weights_bytes + self.kv_bytes + self.activation_bytes + self.text_bytes
    }
}

/// All slices, east first.
pub(super) fn slices(
    storages: &Storages,
    bases: &Bases,
    program: &ChipProgram,
    chip: &Chip,
) -> Vec<SliceBytes> {
    // Temporaries use the same words one after the other.
    let mut temporary: BTreeMap<(Hemisphere, u16), Vec<(i64, i64)>> = BTreeMap::new();
    let mut words: BTreeMap<(Hemisphere, u16), [u64; 2]> = BTreeMap::new();
    for (id, array) in storages.arrays.iter() {
        for (region, count) in array.regions() {
            let Some(base) = bases.base(id, region) else { continue };
            for slice in storages.plan.slices(region) {
                let place = (region.hemisphere(), slice);
                match array.role {
                    Role::Constant | Role::Mask { .. } => {
                        words.entry(place).or_default()[0] += u64::from(count)
                    }
                    Role::State(..) => words.entry(place).or_default()[1] += u64::from(count),
                    _ => temporary.entry(place).or_default().push((base.into(), (base + count).into())),
                }
            }
        }
    }
    let mut pages: BTreeMap<(Hemisphere, u16), u64> = BTreeMap::new();
    for page in program.text.values().flatten() {
        *pages.entry((page.hemisphere, page.slice)).or_default() += 1;
    }
    let lanes = chip.lanes as u64;
    let of = |hemisphere: Hemisphere, slice: u16| {
        let [weights, states] = words.get(&(hemisphere, slice)).copied().unwrap_or_default();
        let used = temporary.get(&(hemisphere, slice)).map_or(0, |ranges| covered(ranges.clone()));
        SliceBytes {
            hemisphere,
            slice,
            weights_bytes: weights * lanes,
            kv_bytes: states * lanes,
            activation_bytes: used * lanes,
            text_bytes: pages.get(&(hemisphere, slice)).copied().unwrap_or(0) * chip.page_bytes() as u64,
        }
    };
    let all = |hemisphere| (0..chip.mem.slices_per_hemisphere).map(move |slice| of(hemisphere, slice));
    Hemisphere::BOTH.into_iter().flat_map(all).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_arrays_share_count_once() {
        assert_eq!(covered(vec![(0, 4), (2, 6), (10, 12), (11, 12)]), 8);
        assert_eq!(covered(Vec::new()), 0);
    }
}

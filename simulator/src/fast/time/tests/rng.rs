//! Numbers that look random and are the same every time.

/// SplitMix64.
pub(in crate::fast) struct Rng(u64);

impl Rng {
    pub(in crate::fast) fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(in crate::fast) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(in crate::fast) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// From `first` up to `last`.
    pub(in crate::fast) fn within(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    pub(in crate::fast) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

//! Products before a node, as far as they are remembered.

/// Words of a set.
const WORDS: usize = 16;

/// A set of products by their number in graph order. It forgets all but the last thousand, which only weakens the bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Recent {
    /// Number of words in front of `words`.
    first: usize,
    words: [u64; WORDS],
}

impl Recent {
    /// Adds a product.
    pub(super) fn insert(&mut self, product: u32) {
        let word = product as usize / 64;
        self.forget_before((word + 1).saturating_sub(WORDS));
        if let Some(word) = word.checked_sub(self.first).and_then(|word| self.words.get_mut(word)) {
            *word |= 1 << (product % 64);
        }
    }

    /// Adds all of another set.
    pub(super) fn extend(&mut self, other: &Recent) {
        self.forget_before(other.first);
        let behind = self.first - other.first;
        for (word, theirs) in self.words.iter_mut().zip(other.words.iter().skip(behind)) {
            *word |= theirs;
        }
    }

    /// Members, least first.
    pub(super) fn members(&self) -> impl Iterator<Item = u32> + '_ {
        let bits = |(at, word): (usize, u64)| {
            let base = 64 * (self.first + at) as u32;
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| base + bit)
        };
        self.words.iter().copied().enumerate().flat_map(bits)
    }

    fn forget_before(&mut self, first: usize) {
        let behind = first.saturating_sub(self.first).min(WORDS);
        self.words.copy_within(behind.., 0);
        self.words[WORDS - behind..].fill(0);
        self.first = self.first.max(first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(members: &[u32]) -> Recent {
        let mut set = Recent::default();
        members.iter().for_each(|&member| set.insert(member));
        set
    }

    #[test]
    fn sets_unite_and_forget_the_oldest() {
        let mut set = of(&[3, 64, 700]);
        set.extend(&of(&[3, 5]));
        assert_eq!(set.members().collect::<Vec<_>>(), [3, 5, 64, 700]);
        set.insert(1050);
        assert_eq!(set.members().collect::<Vec<_>>(), [64, 700, 1050]);
        set.extend(&of(&[1, 900]));
        assert_eq!(set.members().collect::<Vec<_>>(), [64, 700, 900, 1050]);
        set.extend(&of(&[9000]));
        assert_eq!(set.members().collect::<Vec<_>>(), [9000]);
    }
}

//! Addresses: arrays take the same range of words in all slices of a region, for as long as they live. Regions may overlap.

use std::collections::BTreeMap;

use cranelift_entity::SecondaryMap;
use isa::{Chip, Hemisphere};

use crate::lower::storage::{Region, Role, Storage, StorageId, Storages};

/// A free range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    start: u32,
    words: u32,
    /// Cycle from which it may be written.
    from: i64,
}

impl Block {
    fn end(&self) -> u32 {
        self.start + self.words
    }
}

/// Addresses of arrays.
#[derive(Clone, Debug, Default)]
pub struct Bases {
    of: SecondaryMap<StorageId, Vec<(Region, u32)>>,
}

impl Bases {
    /// First word of an array in a region.
    pub fn base(&self, storage: StorageId, region: Region) -> Option<u32> {
        self.of[storage].iter().find(|(r, _)| *r == region).map(|(_, base)| *base)
    }

    /// First word of an array in the region of a hemisphere that holds a slice.
    pub fn in_slice(
        &self,
        storages: &Storages,
        storage: StorageId,
        hemisphere: isa::Hemisphere,
        slice: u16,
    ) -> Option<u32> {
        let holds = |region: Region| {
            region.hemisphere() == hemisphere && storages.plan.slices(region).contains(&slice)
        };
        self.of[storage].iter().find(|(region, _)| holds(*region)).map(|(_, base)| *base)
    }
}

/// What is worst about a place: a bank apart, two banks for much of one, the wait, two banks, the bank whose turn it is not; then the address.
type Rank = (bool, bool, i64, bool, bool, u32);

/// The allocator.
pub struct Memory {
    words_per_slice: u32,
    words_per_bank: u32,
    /// Free ranges of each slice, by start.
    free: BTreeMap<(Hemisphere, u16), Vec<Block>>,
    bases: Bases,
    /// Whether addresses are the lowest ones, whatever banks they are in.
    dense: bool,
    turn: u32,
    live_bytes: u64,
    peak_bytes: u64,
    lanes: u64,
}

/// Why an array found no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    /// The array.
    pub storage: StorageId,
    /// Where.
    pub region: Region,
    /// Words it wants.
    pub words: u32,
}

impl Memory {
    /// All free.
    pub fn new(chip: &Chip) -> Memory {
        Memory {
            words_per_slice: chip.words_per_slice(),
            words_per_bank: chip.mem.words_per_bank,
            free: BTreeMap::new(),
            bases: Bases::default(),
            dense: false,
            turn: 0,
            live_bytes: 0,
            peak_bytes: 0,
            lanes: chip.lanes as u64,
        }
    }

    /// Addresses so far.
    pub fn bases(&self) -> &Bases {
        &self.bases
    }

    /// Whether an array has its addresses.
    pub fn has(&self, storage: StorageId) -> bool {
        !self.bases.of[storage].is_empty()
    }

    /// From now on gives the lowest addresses, or again those in the best banks.
    pub fn set_dense(&mut self, dense: bool) {
        self.dense = dense;
    }

    /// Greatest number of bytes of temporaries, inputs and outputs at once, in order of allocation.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    /// Gives an array its addresses, if it can be in none of the banks in `apart`; returns the cycle from which it may be written, at
    /// best `wanted`.
    pub fn allocate(
        &mut self,
        storages: &Storages,
        id: StorageId,
        wanted: i64,
        apart: &[(Region, u32)],
    ) -> Result<i64, Full> {
        let array = &storages.arrays[id];
        let mut from = i64::MIN;
        for (region, words) in array.regions() {
            let block = self.take(storages, region, (words, array.indexed_words()), wanted, apart);
            let block = block.ok_or(Full { storage: id, region, words })?;
            from = from.max(block.from);
            self.bases.of[id].push((region, block.start));
        }
        if !matches!(array.role, Role::Constant | Role::Mask { .. } | Role::State(..)) {
            self.live_bytes += bytes(array, storages, self.lanes);
            self.peak_bytes = self.peak_bytes.max(self.live_bytes);
        }
        Ok(from)
    }

    /// Keeps the first bank of the slices that weights share with arrays for weights.
    pub fn close(&mut self, storages: &Storages) {
        let plan = &storages.plan;
        let shared = |half| (plan.inner() - 2 * plan.extra..plan.inner()).map(move |slice| (half, slice));
        let all = Block { start: 0, words: self.words_per_slice, from: 0 };
        for slice in Hemisphere::BOTH.into_iter().flat_map(shared) {
            let blocks = self.free.entry(slice).or_insert_with(|| vec![all]);
            let bank = self.words_per_bank;
            blocks.retain(|block| block.end() > bank);
            for block in blocks.iter_mut().filter(|block| block.start < bank) {
                (block.start, block.words) = (bank, block.end() - bank);
            }
        }
    }

    /// Frees an array's words for writes from a cycle on.
    pub fn release(&mut self, storages: &Storages, id: StorageId, from: i64) {
        let array = &storages.arrays[id];
        self.live_bytes = self.live_bytes.saturating_sub(bytes(array, storages, self.lanes));
        for (region, words) in array.regions() {
            let Some(start) = self.bases.base(id, region) else { continue };
            for slice in slices(storages, region) {
                let blocks = self.free.entry(slice).or_default();
                let at = blocks.partition_point(|block| block.start < start);
                blocks.insert(at, Block { start, words, from });
            }
        }
    }

    fn take(
        &mut self,
        storages: &Storages,
        region: Region,
        (words, window): (u32, u32),
        wanted: i64,
        apart: &[(Region, u32)],
    ) -> Option<Block> {
        self.turn += 1;
        let sizes = (words, window);
        let block = self.find(storages, region, sizes, wanted, apart).or_else(|| {
            for slice in slices(storages, region) {
                self.free.entry(slice).and_modify(join);
            }
            self.find(storages, region, sizes, wanted, apart)
        })?;
        for slice in slices(storages, region) {
            cut(self.free.entry(slice).or_default(), block.start, words);
        }
        Some(block)
    }

    /// The soonest free place; banks in turns, and within one bank if it can be. The words of a window never lie in two banks.
    fn find(
        &mut self,
        storages: &Storages,
        region: Region,
        (words, window): (u32, u32),
        wanted: i64,
        apart: &[(Region, u32)],
    ) -> Option<Block> {
        let bank = self.words_per_bank;
        let mut best: Option<(Rank, Block)> = None;
        for block in self.common(storages, region) {
            let boundary = (block.start / bank + 1) * bank;
            let aligned = block.start + (boundary - block.start) % window;
            for start in [block.start, aligned, boundary] {
                let cut = start < boundary
                    && start + words > boundary
                    && !(boundary - start).is_multiple_of(window);
                // Weights leave the other banks of slices that they share with arrays.
                if start + words > block.end() || cut || region.is_wide() && start + words > bank {
                    continue;
                }
                let straddles = words > 0 && start / bank != (start + words - 1) / bank;
                let other_bank = start / bank % 2 != self.turn % 2;
                let banks = start / bank..=(start + words.max(1) - 1) / bank;
                let clash = apart.iter().any(|(other, used)| *other == region && banks.contains(used));
                // What is tall would leave no bank apart for others.
                let tall = straddles && words > bank / 2 && words <= bank;
                let key = match self.dense {
                    true => (false, false, 0, false, false, start),
                    false => (clash, tall, block.from.max(wanted), straddles, other_bank, start),
                };
                if best.is_none_or(|(old, _)| key < old) {
                    best = Some((key, Block { start, words, from: block.from }));
                }
            }
        }
        best.map(|(_, block)| block)
    }

    /// Ranges that are free in all slices of a region.
    fn common(&mut self, storages: &Storages, region: Region) -> Vec<Block> {
        let all = Block { start: 0, words: self.words_per_slice, from: 0 };
        let mut common: Option<Vec<Block>> = None;
        for slice in slices(storages, region) {
            let own = self.free.entry(slice).or_insert_with(|| vec![all]);
            common = Some(match common {
                None => own.clone(),
                Some(common) if common == *own => common,
                Some(common) => intersection(&common, own),
            });
        }
        common.unwrap_or_default()
    }
}

fn slices(storages: &Storages, region: Region) -> impl Iterator<Item = (Hemisphere, u16)> + use<> {
    storages.plan.slices(region).map(move |slice| (region.hemisphere(), slice))
}

/// Ranges that are free in both lists.
fn intersection(one: &[Block], other: &[Block]) -> Vec<Block> {
    let mut both = Vec::new();
    let (mut i, mut j) = (0, 0);
    while let (Some(a), Some(b)) = (one.get(i), other.get(j)) {
        let (start, end) = (a.start.max(b.start), a.end().min(b.end()));
        if start < end {
            both.push(Block { start, words: end - start, from: a.from.max(b.from) });
        }
        if a.end() <= b.end() { i += 1 } else { j += 1 }
    }
    both
}

/// Takes a range out of a list of blocks, each of which lies wholly inside or outside, or holds all of it.
fn cut(blocks: &mut Vec<Block>, start: u32, words: u32) {
    let end = start + words;
    let mut rest = Vec::with_capacity(blocks.len() + 1);
    for block in blocks.drain(..) {
        if block.start < start {
            rest.push(Block { words: block.end().min(start) - block.start, ..block });
        }
        if block.end() > end {
            let from = block.start.max(end);
            rest.push(Block { start: from, words: block.end() - from, ..block });
        }
    }
    *blocks = rest;
}

/// Joins neighbouring free blocks, at the price of waiting for the later one.
fn join(blocks: &mut Vec<Block>) {
    let mut joined: Vec<Block> = Vec::new();
    for &block in blocks.iter() {
        match joined.last_mut() {
            Some(last) if last.end() == block.start => {
                last.words += block.words;
                last.from = last.from.max(block.from);
            }
            _ => joined.push(block),
        }
    }
    *blocks = joined;
}

fn bytes(array: &Storage, storages: &Storages, lanes: u64) -> u64 {
    let slices = |region| storages.plan.slices(region).len() as u64;
    array.regions().iter().map(|&(region, words)| u64::from(words) * slices(region) * lanes).sum()
}

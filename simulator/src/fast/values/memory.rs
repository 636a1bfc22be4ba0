//! All bytes of the fast machine in one arena of words: SRAM first, then the places through which values pass.
//!
//! The arena is allocated zeroed, so what is never touched takes no memory. A word of SRAM gets its bytes from the image when a tape first
//! names it; weights that only ever become matrix tiles stay in the image.

use std::collections::BTreeMap;
use std::ops::Range;

use isa::Chip;

use super::bits::Bits;
use crate::fast::native::stride;
use crate::image::{Content, Image};

/// Index of a word in the arena. A wide vector (32 bits a lane) takes [`WIDE`] words from there on.
pub(crate) type Word = u32;

/// Words of a wide vector.
pub(crate) const WIDE: u32 = 4;

/// Where everything lies in the arena, in words.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) lanes: usize,
    pub(crate) lanes_per_superlane: usize,
    /// Bytes from a word to the next: the lanes, filled up so that native code needs no remainders.
    pub(crate) stride: usize,
    pub(crate) words_per_slice: u32,
    /// Values on streams; the builder deals them out.
    pub(crate) buffers: Range<Word>,
    /// Per ALU, its results of the last cycles, wide.
    alus: Word,
    /// Cycles that an ALU's results are kept.
    pub(crate) depth: u64,
    /// Per plane, weight rows that wait for IW: two words a row, as many times as a row can be on its way at once.
    staging: Word,
    rows: u32,
    pub(crate) row_places: u32,
    /// Per plane, its accumulators, wide.
    accumulators: Word,
    accumulators_per_plane: u32,
    /// Per plane, products on their way to the accumulators, wide.
    pub(crate) products: Word,
    /// Products on their way in one plane at most.
    pub(crate) product_ring: u32,
    pub(crate) end: Word,
}

impl Places {
    /// The places of a chip.
    pub(crate) fn new(chip: &Chip) -> Places {
        let planes = 2 * u32::from(chip.mxm.planes_per_hemisphere);
        let words_per_slice = chip.words_per_slice();
        let sram = 2 * u32::from(chip.mem.slices_per_hemisphere) * words_per_slice;
        // A value needs a buffer from its dispatch until the edge of the chip is passed and no product waits for it any more.
        let reach = 2 * (u32::from(chip.mem.slices_per_hemisphere) + 3) + 1;
        let d = &chip.latency;
        let slowest = [d.read, d.gather, d.vxm, d.accumulate, d.sxm].into_iter().max().unwrap_or(1);
        let wait = u32::from(d.product) + 3 * u32::from(chip.stagger()) + u32::from(slowest);
        // Slots may have several values, one after the other, but all queues together can put only so many in a cycle.
        let widest = (chip.lanes_per_superlane as u32).max(16);
        let puts = 2 * u32::from(chip.mem.slices_per_hemisphere)
            + WIDE * (u32::from(chip.vxm.alus) + planes)
            + 2 * u32::from(chip.sxm.queues_per_hemisphere) * widest;
        let buffers = sram..sram + puts * (reach + wait + 2);
        let depth = u64::from(chip.vxm.forward_depth) + 1;
        let alus = buffers.end;
        let staging = alus + u32::from(chip.vxm.alus) * depth as u32 * WIDE;
        let rows = u32::from(chip.mxm.rows.max(chip.buffer_rows(isa::stream::Format::I4)));
        let row_places = u32::from(d.load) + 1;
        let accumulators = staging + planes * rows * 2 * row_places;
        let accumulators_per_plane = u32::from(chip.mxm.accumulators);
        let products = accumulators + planes * accumulators_per_plane * WIDE;
        let product_ring = u32::from(d.product) + u32::from(chip.stagger()) + 2;
        Places {
            lanes: chip.lanes,
            lanes_per_superlane: chip.lanes_per_superlane,
            stride: stride(chip.lanes),
            words_per_slice,
            buffers,
            alus,
            depth,
            staging,
            rows,
            row_places,
            accumulators,
            accumulators_per_plane,
            products,
            product_ring,
            end: products + planes * product_ring * WIDE,
        }
    }

    /// A word of SRAM.
    pub(crate) fn sram(&self, slice: usize, address: u32) -> Word {
        slice as u32 * self.words_per_slice + address
    }

    /// The result of what an ALU dispatched in a cycle.
    pub(crate) fn alu(&self, alu: u8, cycle: u64) -> Word {
        self.alus + (u32::from(alu) * self.depth as u32 + (cycle % self.depth) as u32) * WIDE
    }

    /// The words of all ALUs' results.
    pub(crate) fn alu_words(&self) -> Range<Word> {
        self.alus..self.staging
    }

    /// Which of them a word is.
    pub(crate) fn alu_index(&self, word: Word) -> Option<usize> {
        self.alu_words().contains(&word).then(|| (word - self.alus) as usize)
    }

    /// Where the vectors of a weight row wait.
    pub(crate) fn row(&self, plane: usize, row: u16, place: u32) -> Word {
        self.staging + ((plane as u32 * self.rows + u32::from(row)) * self.row_places + place) * 2
    }

    /// An accumulator.
    pub(crate) fn accumulator(&self, plane: usize, address: u16) -> Word {
        self.accumulators + (plane as u32 * self.accumulators_per_plane + u32::from(address)) * WIDE
    }

    /// The product of a plane's ABC of this number.
    pub(crate) fn product(&self, plane: usize, number: u64) -> Word {
        let entry = (number % u64::from(self.product_ring)) as u32;
        self.products + (plane as u32 * self.product_ring + entry) * WIDE
    }

    /// The bytes of a word's lanes.
    pub(crate) fn bytes(&self, word: Word) -> Range<usize> {
        let first = word as usize * self.stride;
        first..first + self.lanes
    }
}

/// SRAM, and all values under way.
pub(crate) struct Memory {
    pub(crate) places: Places,
    arena: Vec<u64>,
    images: Vec<Image>,
    /// Words of SRAM whose bytes are in the arena.
    here: Bits,
    /// Words that hold something in every superlane.
    present: Bits,
    /// Words whose values nobody has brought.
    pub(crate) unknown: Bits,
    /// Superlanes that scatters have written of words that were empty.
    partial: BTreeMap<Word, u64>,
    all_superlanes: u64,
}

impl Memory {
    /// SRAM as the program's image has it.
    pub(crate) fn new(chip: &Chip, images: Vec<Image>) -> Memory {
        let places = Places::new(chip);
        let words = images.len() * places.words_per_slice as usize;
        let mut memory = Memory {
            arena: vec![0; places.end as usize * places.stride / 8],
            here: Bits::new(words),
            present: Bits::new(words),
            unknown: Bits::new(words),
            partial: BTreeMap::new(),
            all_superlanes: u64::MAX >> (64 - u32::from(chip.stagger())),
            places,
            images,
        };
        for (slice, image) in memory.images.iter().enumerate() {
            for segment in image.segments() {
                let first = memory.places.sram(slice, segment.address) as usize;
                let words = first..first + segment.words as usize;
                if matches!(segment.content, Content::Unknown) {
                    memory.unknown.insert_all(words.clone());
                }
                memory.present.insert_all(words);
            }
        }
        memory
    }

    /// The whole arena.
    pub(crate) fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.arena)
    }

    /// The whole arena.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.arena)
    }

    /// The arena before the products, and the products as 32-bit lanes.
    pub(crate) fn split_products(&mut self) -> (&[u8], &mut [u32]) {
        let at = self.places.products as usize * self.places.stride / 8;
        let (before, products) = self.arena.split_at_mut(at);
        (bytemuck::cast_slice(before), bytemuck::cast_slice_mut(products))
    }

    /// A word of SRAM by its slice and address.
    fn split(&self, word: Word) -> (usize, u32) {
        ((word / self.places.words_per_slice) as usize, word % self.places.words_per_slice)
    }

    /// The bytes that the program brings for a word, if it brings them one by one.
    pub(crate) fn brought(&self, word: Word) -> Option<&[u8]> {
        let (slice, address) = self.split(word);
        self.images[slice].find(address)?.bytes(address, self.places.lanes)
    }

    /// Brings a word's bytes from the image into the arena, unless they are there or newer ones are. Words outside SRAM have no image.
    pub(crate) fn touch(&mut self, word: Word) {
        if word >= self.places.buffers.start || self.here.contains(word as usize) {
            return;
        }
        self.here.insert(word as usize);
        let (slice, address) = self.split(word);
        let Some(segment) = self.images[slice].find(address) else { return };
        let to = self.places.bytes(word);
        match &segment.content {
            Content::Bytes(bytes) => {
                let first = (address - segment.address) as usize * self.places.lanes;
                let arena: &mut [u8] = bytemuck::cast_slice_mut(&mut self.arena);
                arena[to].copy_from_slice(&bytes[first..first + self.places.lanes]);
            }
            Content::Fill(byte) => {
                let byte = *byte;
                self.bytes_mut()[to].fill(byte);
            }
            // The arena holds zeros.
            Content::Unknown => {}
        }
    }

    /// A word will be overwritten whole: its image is of no use any more.
    pub(crate) fn supersede(&mut self, word: Word) {
        self.here.insert(word as usize);
    }

    /// Words that were written whole now hold something that is known.
    pub(crate) fn written(&mut self, words: &Bits) {
        self.present.union(words);
        self.unknown.subtract(words);
    }

    /// A scatter has written some superlanes of a word. Says whether what remains of the word is known.
    pub(crate) fn scattered(&mut self, word: Word, superlane: usize) -> bool {
        if self.present.contains(word as usize) {
            let known = !self.unknown.contains(word as usize);
            self.unknown.remove(word as usize);
            return known;
        }
        let superlanes = self.partial.entry(word).or_default();
        *superlanes |= 1 << superlane;
        if *superlanes == self.all_superlanes {
            self.partial.remove(&word);
            self.present.insert(word as usize);
        }
        true
    }

    /// Sorted ranges of the words of each slice that hold something.
    pub(crate) fn present(&self) -> Vec<Vec<Range<u32>>> {
        let size = self.places.words_per_slice as usize;
        let slice = |slice: usize| self.present.ranges(slice * size..(slice + 1) * size);
        (0..self.images.len()).map(slice).collect()
    }
}

impl crate::ports::Words for Memory {
    fn write_word(&mut self, slice: usize, word: u32, value: &[u8]) {
        let word = self.places.sram(slice, word);
        let to = self.places.bytes(word);
        self.here.insert(word as usize);
        self.present.insert(word as usize);
        self.unknown.remove(word as usize);
        self.bytes_mut()[to].copy_from_slice(value);
    }

    fn read_word(&self, slice: usize, word: u32, value: &mut [u8]) -> bool {
        let word = self.places.sram(slice, word);
        if self.here.contains(word as usize) {
            value.copy_from_slice(&self.bytes()[self.places.bytes(word)]);
        } else {
            let (slice, address) = self.split(word);
            match self.images[slice].find(address) {
                Some(segment) => match &segment.content {
                    Content::Fill(byte) => value.fill(*byte),
                    Content::Unknown => value.fill(0),
                    Content::Bytes(_) => {
                        value.copy_from_slice(segment.bytes(address, self.places.lanes).unwrap_or(&[]))
                    }
                },
                None => value.fill(0),
            }
        }
        self.present.contains(word as usize)
    }
}

//! The content of one MEM slice: what the program brings, overlaid by pages that are allocated when they are written.

use isa::Chip;

use crate::image::{Content, Image, Segment};

/// Words in a page.
const PAGE_WORDS: usize = 64;

/// Written words.
#[derive(Clone)]
struct Page {
    bytes: Vec<u8>,
    /// Per word, a bit for each superlane that has been written.
    written: Vec<u64>,
}

/// One slice's SRAM.
#[derive(Clone)]
pub(crate) struct Sram {
    lanes: usize,
    lanes_per_superlane: usize,
    /// A bit for every superlane.
    full: u64,
    image: Image,
    pages: Vec<Option<Page>>,
    words: u32,
}

impl Sram {
    /// Memory that nothing has been written to.
    pub(crate) fn new(chip: &Chip, image: Image) -> Sram {
        let words = chip.words_per_slice();
        Sram {
            lanes: chip.lanes,
            lanes_per_superlane: chip.lanes_per_superlane,
            full: u64::MAX >> (64 - u32::from(chip.stagger())),
            image,
            pages: (0..(words as usize).div_ceil(PAGE_WORDS)).map(|_| None).collect(),
            words,
        }
    }

    /// Words in the slice.
    pub(crate) fn words(&self) -> u32 {
        self.words
    }

    /// The superlanes of a word that hold something.
    pub(crate) fn present(&self, address: u32) -> u64 {
        let written = self.pages[address as usize / PAGE_WORDS]
            .as_ref()
            .map_or(0, |page| page.written[address as usize % PAGE_WORDS]);
        if written != self.full && self.image.find(address).is_some() { self.full } else { written }
    }

    /// Copies the lanes `from..from + part.len()` of a word. Lanes that hold nothing read as zero. Says whether the values are known.
    pub(crate) fn read(&self, address: u32, from: usize, part: &mut [u8]) -> bool {
        let (page, word) = (address as usize / PAGE_WORDS, address as usize % PAGE_WORDS);
        if let Some(page) = self.pages[page].as_ref().filter(|page| page.written[word] != 0) {
            let first = word * self.lanes + from;
            part.copy_from_slice(&page.bytes[first..first + part.len()]);
            return true;
        }
        match self.image.find(address) {
            Some(Segment { address: start, content: Content::Bytes(bytes), .. }) => {
                let first = (address - start) as usize * self.lanes + from;
                part.copy_from_slice(&bytes[first..first + part.len()]);
            }
            Some(Segment { content: Content::Fill(byte), .. }) => part.fill(*byte),
            Some(Segment { content: Content::Unknown, .. }) => {
                part.fill(0);
                return false;
            }
            None => part.fill(0),
        }
        true
    }

    /// Overwrites the superlanes of a word that `superlanes` names. Says whether what remains of the word is known.
    pub(crate) fn write(&mut self, address: u32, superlanes: u64, value: &[u8]) -> bool {
        let (page, word) = (address as usize / PAGE_WORDS, address as usize % PAGE_WORDS);
        let untouched = self.pages[page].as_ref().is_none_or(|page| page.written[word] == 0);
        let mut known = true;
        let mut rest = None;
        if untouched && superlanes != self.full && self.image.find(address).is_some() {
            let mut bytes = vec![0; self.lanes];
            known = self.read(address, 0, &mut bytes);
            rest = Some(bytes);
        }
        let lanes = self.lanes;
        let page = self.pages[page]
            .get_or_insert_with(|| Page { bytes: vec![0; PAGE_WORDS * lanes], written: vec![0; PAGE_WORDS] });
        let target = &mut page.bytes[word * lanes..(word + 1) * lanes];
        if let Some(rest) = rest {
            target.copy_from_slice(&rest);
            page.written[word] = self.full;
        }
        if superlanes == self.full {
            target.copy_from_slice(value);
        } else {
            let parts =
                target.chunks_mut(self.lanes_per_superlane).zip(value.chunks(self.lanes_per_superlane));
            for (_, (old, new)) in parts.enumerate().filter(|(g, _)| superlanes >> g & 1 == 1) {
                old.copy_from_slice(new);
            }
        }
        page.written[word] |= superlanes;
        known
    }

    /// The first word of instruction text among `first..=last`.
    pub(crate) fn text_in(&self, first: u32, last: u64) -> Option<u32> {
        self.image.text_in(first, last)
    }

    /// A bit for every superlane.
    pub(crate) fn all_superlanes(&self) -> u64 {
        self.full
    }
}

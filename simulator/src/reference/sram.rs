//! The content of one MEM slice: what the program brings, overlaid by pages that are allocated when they are written.

use bytes::Bytes;
use isa::Chip;

/// Words in a page.
const PAGE_WORDS: usize = 64;

/// What a slice's words hold before anything is written.
#[derive(Clone, Debug)]
pub(crate) enum Image {
    /// These bytes.
    Bytes(Bytes),
    /// The same byte everywhere.
    Fill(u8),
    /// Zeros that stand for values nobody has brought.
    Unknown,
}

/// A range of words with an image.
struct Segment {
    address: u32,
    words: u32,
    image: Image,
}

/// Written words.
struct Page {
    bytes: Vec<u8>,
    /// Per word, a bit for each superlane that has been written.
    written: Vec<u64>,
}

/// One slice's SRAM.
pub(crate) struct Sram {
    lanes: usize,
    lanes_per_superlane: usize,
    /// A bit for every superlane.
    full: u64,
    segments: Vec<Segment>,
    pages: Vec<Option<Page>>,
    words: u32,
}

impl Sram {
    /// Memory that nothing has been written to.
    pub(crate) fn new(chip: &Chip) -> Sram {
        let words = chip.words_per_slice();
        Sram {
            lanes: chip.lanes,
            lanes_per_superlane: chip.lanes_per_superlane,
            full: u64::MAX >> (64 - u32::from(chip.stagger())),
            segments: Vec::new(),
            pages: (0..(words as usize).div_ceil(PAGE_WORDS)).map(|_| None).collect(),
            words,
        }
    }

    /// Words in the slice.
    pub(crate) fn words(&self) -> u32 {
        self.words
    }

    /// Gives words an image. Segments may not overlap: an error names the first word that has one already.
    pub(crate) fn add_segment(&mut self, address: u32, words: u32, image: Image) -> Result<(), u32> {
        let place = self.segments.partition_point(|segment| segment.address < address);
        let before = place.checked_sub(1).map(|index| &self.segments[index]);
        if before.is_some_and(|segment| segment.address + segment.words > address) {
            return Err(address);
        }
        if let Some(after) = self.segments.get(place).filter(|segment| segment.address < address + words) {
            return Err(after.address);
        }
        self.segments.insert(place, Segment { address, words, image });
        Ok(())
    }

    /// Has this word an image?
    pub(crate) fn has_segment(&self, address: u32) -> bool {
        self.segment(address).is_some()
    }

    fn segment(&self, address: u32) -> Option<&Segment> {
        let place = self.segments.partition_point(|segment| segment.address <= address).checked_sub(1)?;
        self.segments.get(place).filter(|segment| address - segment.address < segment.words)
    }

    /// The superlanes of a word that hold something.
    pub(crate) fn present(&self, address: u32) -> u64 {
        let written = self.pages[address as usize / PAGE_WORDS]
            .as_ref()
            .map_or(0, |page| page.written[address as usize % PAGE_WORDS]);
        if written != self.full && self.has_segment(address) { self.full } else { written }
    }

    /// Copies the lanes `from..from + part.len()` of a word. Lanes that hold nothing read as zero. Says whether the values are known.
    pub(crate) fn read(&self, address: u32, from: usize, part: &mut [u8]) -> bool {
        let (page, word) = (address as usize / PAGE_WORDS, address as usize % PAGE_WORDS);
        if let Some(page) = self.pages[page].as_ref().filter(|page| page.written[word] != 0) {
            let first = word * self.lanes + from;
            part.copy_from_slice(&page.bytes[first..first + part.len()]);
            return true;
        }
        match self.segment(address) {
            Some(Segment { address: start, image: Image::Bytes(bytes), .. }) => {
                let first = (address - start) as usize * self.lanes + from;
                part.copy_from_slice(&bytes[first..first + part.len()]);
            }
            Some(Segment { image: Image::Fill(byte), .. }) => part.fill(*byte),
            Some(Segment { image: Image::Unknown, .. }) => {
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
        if untouched && superlanes != self.full && self.has_segment(address) {
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

    /// A bit for every superlane.
    pub(crate) fn all_superlanes(&self) -> u64 {
        self.full
    }
}

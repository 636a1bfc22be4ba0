//! What SRAM holds before a program has written anything: the program's segments, and the words that its ports reserve.

use bytes::Bytes;
use isa::program::SegmentData;
use isa::{Chip, ChipProgram, Hemisphere, Port, PortKind, Slice};

/// What a range of words holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// The same byte everywhere.
    Fill(u8),
    /// Zeros that stand for values nobody has brought.
    Unknown,
}

/// A range of words of a slice that hold something.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) address: u32,
    pub(crate) words: u32,
    pub(crate) content: Content,
    /// Instruction text.
    pub(crate) is_text: bool,
}

impl Segment {
    /// The bytes of a word, where the program brings them one by one.
    pub(crate) fn bytes(&self, address: u32, lanes: usize) -> Option<&[u8]> {
        let Content::Bytes(bytes) = &self.content else { return None };
        let first = (address - self.address) as usize * lanes;
        bytes.get(first..first + lanes)
    }
}

/// The segments of one MEM slice, by address; none overlap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    segments: Vec<Segment>,
}

impl Image {
    /// The images of all MEM slices, by [`mem_index`].
    ///
    /// # Errors
    /// Every pair of segments that overlap, one sentence each.
    pub(crate) fn all(chip: &Chip, program: &ChipProgram) -> Result<Vec<Image>, Vec<String>> {
        let mut images = vec![Image::default(); 2 * usize::from(chip.mem.slices_per_hemisphere)];
        let mut problems = Vec::new();
        for segment in &program.memory {
            let content = match &segment.data {
                SegmentData::Bytes(bytes) => Content::Bytes(bytes.clone()),
                SegmentData::Fill(byte) => Content::Fill(*byte),
                SegmentData::Absent | SegmentData::Digest(_) => Content::Unknown,
            };
            let image = &mut images[mem_index(chip, segment.hemisphere, segment.slice)];
            let segment_place = Slice::Mem(segment.hemisphere, segment.slice);
            let new = Segment { address: segment.address, words: segment.words, content, is_text: false };
            if let Err(word) = image.add(new) {
                problems.push(format!("two segments hold word {word} of {segment_place}"));
            }
        }
        for (queue, pages) in &program.text {
            let text = isa::text::text(program.queues.get(queue).map_or(&[], Vec::as_slice));
            for (index, page) in pages.iter().enumerate() {
                let content = Content::Bytes(isa::text::page(chip, &text.bytes, index).into());
                let words = chip.icu.fetch_vectors.into();
                let image = &mut images[mem_index(chip, page.hemisphere, page.slice)];
                if let Err(word) = image.add(Segment { address: page.address, words, content, is_text: true })
                {
                    problems.push(format!("two things lie in word {word}, of which one is text of {queue}"));
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        for port in &program.ports {
            reserve(chip, &mut images, port);
        }
        Ok(images)
    }

    /// The segments, by address.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segment that a word is in.
    pub(crate) fn find(&self, address: u32) -> Option<&Segment> {
        let place = self.segments.partition_point(|segment| segment.address <= address).checked_sub(1)?;
        self.segments.get(place).filter(|segment| address - segment.address < segment.words)
    }

    /// The first word of text among `first..=last`.
    pub(crate) fn text_in(&self, first: u32, last: u64) -> Option<u32> {
        let place = self.segments.partition_point(|segment| segment.address + segment.words <= first);
        let meeting = self.segments[place..].iter().take_while(|segment| u64::from(segment.address) <= last);
        meeting.filter(|segment| segment.is_text).map(|segment| segment.address.max(first)).next()
    }

    /// Adds a segment; an error names the first of its words that has a content already.
    fn add(&mut self, new: Segment) -> Result<(), u32> {
        let place = self.segments.partition_point(|segment| segment.address < new.address);
        let before = place.checked_sub(1).map(|index| &self.segments[index]);
        if before.is_some_and(|segment| segment.address + segment.words > new.address) {
            return Err(new.address);
        }
        let end = new.address + new.words;
        if let Some(after) = self.segments.get(place).filter(|segment| segment.address < end) {
            return Err(after.address);
        }
        self.segments.insert(place, new);
        Ok(())
    }
}

/// Index of a MEM slice: the east ones first.
pub(crate) fn mem_index(chip: &Chip, hemisphere: Hemisphere, slice: u16) -> usize {
    let first = match hemisphere {
        Hemisphere::East => 0,
        Hemisphere::West => usize::from(chip.mem.slices_per_hemisphere),
    };
    first + usize::from(slice)
}

/// Gives the words of an input or a state a content from the start, where the program's segments give none: zeros, which for an input
/// count as unknown.
fn reserve(chip: &Chip, images: &mut [Image], port: &Port) {
    let content = match port.kind {
        PortKind::Input => Content::Unknown,
        PortKind::State => Content::Fill(0),
        PortKind::Output => return,
    };
    for part in &port.parts {
        let words = part.address..part.address + part.words(chip.lanes);
        for &(hemisphere, slice) in part.stripes.iter().flatten() {
            let image = &mut images[mem_index(chip, hemisphere, slice)];
            let mut start = None;
            for word in words.start..=words.end {
                let free = word < words.end && image.find(word).is_none();
                match (start, free) {
                    (None, true) => start = Some(word),
                    (Some(first), false) => {
                        // The range was found free, so this cannot collide.
                        let _ = image.add(Segment {
                            address: first,
                            words: word - first,
                            content: content.clone(),
                            is_text: false,
                        });
                        start = None;
                    }
                    _ => {}
                }
            }
        }
    }
}

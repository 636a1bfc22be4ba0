//! From runs to a tape: every value's way from the instruction that makes it to those that take it is followed once, and only the work
//! on bytes is left.
//!
//! The program's time has been checked before, so nothing here asks whether something is allowed.

mod mem;
mod mxm;
mod sxm;
mod vxm;

pub(crate) use mem::words_of;

use std::collections::BTreeMap;

use isa::instruction::Instruction;
use isa::stream::{Format, Stream};
use isa::{Chip, ChipProgram, Icu, Queue};

use super::bits::Bits;
use super::kernels::Kernels;
use super::memory::{Memory, Word};
use super::slots::{Slots, Spot};
use super::tape::{Op, Tape, Writer};
use super::tiles::Tiles;
use super::unroll::{Element, Unroll};

/// What a tape is made with, and refers to.
pub(crate) struct Workshop<'w> {
    pub(crate) chip: &'w Chip,
    pub(crate) program: &'w ChipProgram,
    pub(crate) memory: &'w mut Memory,
    pub(crate) kernels: &'w mut Kernels,
    pub(crate) tiles: &'w mut Tiles,
}

/// The program broke a promise of its check: a slot is empty, or there are more values than places. An error in this simulator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost {
    pub(crate) by: Element,
}

/// The place in a program up to which a tape has been made.
pub(crate) struct Builder {
    unroll: Unroll,
    /// What comes next, already unrolled.
    next: Option<Element>,
    /// The cycle that has been reached.
    now: u64,
    slots: Slots,
    /// Words that the program or the host may overwrite.
    mutable: Bits,
    /// Words that the program has written whole so far.
    written: Bits,
    merges: mem::Merges,
    /// Vectors that Ifetches take from here on: by cycle, whose they are and on what stream.
    fetching: BTreeMap<(u64, Queue), Stream>,
    alus: vxm::Alus,
    planes: mxm::Planes,
    moves: sxm::Moves,
    watched: bool,
}

impl Builder {
    /// At the program's start. `watched`: writes say whose they are.
    pub(crate) fn new(shop: &Workshop<'_>, watched: bool) -> Builder {
        let mut unroll = Unroll::new(shop.program);
        let next = unroll.next(shop.program);
        let places = &shop.memory.places;
        Builder {
            unroll,
            next,
            now: 0,
            slots: Slots::new(shop.chip, places),
            mutable: mem::mutable(shop.chip, shop.program, places),
            written: Bits::new(places.buffers.start as usize),
            merges: mem::Merges::default(),
            fetching: BTreeMap::new(),
            alus: vxm::Alus::new(shop.chip),
            planes: mxm::Planes::new(shop.chip),
            moves: sxm::Moves::default(),
            watched,
        }
    }

    /// Goes on until the tape holds `limit` operations or the program ends. Says whether it has ended.
    pub(crate) fn fill(
        &mut self,
        shop: &mut Workshop<'_>,
        tape: &mut Tape,
        limit: usize,
    ) -> Result<bool, Lost> {
        while let Some(element) = self.next {
            if tape.ops.len() >= limit {
                self.alus.keep_all(shop, tape);
                return Ok(false);
            }
            self.fetch_until(shop, tape, &element)?;
            if element.cycle > self.now {
                self.arrive(shop.memory, tape, element.cycle);
            }
            self.dispatch(shop, tape, &element).ok_or(Lost { by: element })?;
            self.next = self.unroll.next(shop.program);
        }
        self.planes.flush_all(tape);
        Ok(true)
    }

    /// What Ifetches take in the cycles before an element's: the text itself goes nowhere, but may now be replaced.
    fn fetch_until(
        &mut self,
        shop: &mut Workshop<'_>,
        tape: &mut Tape,
        before: &Element,
    ) -> Result<(), Lost> {
        while let Some(entry) = self.fetching.first_entry().filter(|entry| entry.key().0 < before.cycle) {
            let (cycle, queue) = *entry.key();
            let stream = entry.remove();
            if cycle > self.now {
                self.arrive(shop.memory, tape, cycle);
            }
            let by = Element { cycle, queue, instruction: Instruction::Icu(Icu::Ifetch { stream }), node: 0 };
            self.take_anywhere(shop.chip, &by, stream).ok_or(Lost { by })?;
        }
        Ok(())
    }

    /// What arrives up to `cycle`, before anything is dispatched in it.
    fn arrive(&mut self, memory: &mut Memory, tape: &mut Tape, cycle: u64) {
        self.now = cycle;
        self.merge(memory, tape, cycle);
        self.planes.swap(cycle);
        self.slots.advance(cycle);
    }

    /// None if a value is missing that the check has promised.
    fn dispatch(&mut self, shop: &mut Workshop<'_>, tape: &mut Tape, by: &Element) -> Option<()> {
        match by.instruction {
            Instruction::Mem(mem) => self.mem(shop, tape, by, mem),
            Instruction::Vxm(vxm) => self.vxm(shop, tape, by, vxm),
            Instruction::Mxm(mxm) => self.mxm(shop, tape, by, mxm),
            Instruction::Sxm(sxm) => self.sxm(shop, tape, by, sxm),
            Instruction::Icu(Icu::Ifetch { stream }) => {
                let cycles = (by.cycle..).take(shop.chip.icu.fetch_vectors.into());
                self.fetching.extend(cycles.map(|cycle| ((cycle, by.queue), stream)));
                Some(())
            }
            // Refused before a program runs.
            Instruction::Icu(_) | Instruction::C2c(_) => Some(()),
        }
    }

    /// The word of the value that passes the slice of `by` on a stream, its bytes in the arena.
    fn take(&mut self, shop: &mut Workshop<'_>, by: &Element, stream: Stream) -> Option<Word> {
        let word = self.take_anywhere(shop.chip, by, stream)?;
        shop.memory.touch(word);
        Some(word)
    }

    /// The same, but a constant's bytes may still be in the image only.
    fn take_anywhere(&mut self, chip: &Chip, by: &Element, stream: Stream) -> Option<Word> {
        self.slots.take(&Spot::of(chip, by.queue, by.cycle, stream))
    }

    /// The words of a group of streams, least significant byte first.
    fn take_group(
        &mut self,
        shop: &mut Workshop<'_>,
        by: &Element,
        first: Stream,
        format: Format,
    ) -> Option<[Word; 4]> {
        let mut words = [0; 4];
        for (word, stream) in words.iter_mut().zip(adjacent(first, format.streams())) {
            *word = self.take(shop, by, stream)?;
        }
        Some(words)
    }

    /// A buffer for a result that is put on a stream `delay` cycles after its dispatch.
    fn put(&mut self, chip: &Chip, by: &Element, stream: Stream, delay: u64) -> Option<Word> {
        let spot = Spot::of(chip, by.queue, by.cycle + delay, stream);
        let word = self.slots.buffer(&spot)?;
        self.slots.put(&spot, word);
        Some(word)
    }

    /// Notes who writes, for those who watch.
    fn writer(&self, tape: &mut Tape, by: &Element) {
        if self.watched {
            tape.writers.push(Writer { cycle: by.cycle, queue: by.queue, node: by.node });
        }
    }

    /// Values on their way that lie in words about to be overwritten move to words of their own.
    fn overwrite(
        &mut self,
        memory: &mut Memory,
        tape: &mut Tape,
        words: impl Iterator<Item = Word>,
    ) -> Option<()> {
        let copy = |from, to| {
            memory.touch(from);
            tape.ops.push(Op::Copy { from, to });
        };
        self.slots.overwrite(words, copy).then_some(())
    }
}

/// Adjacent streams.
fn adjacent(first: Stream, count: u8) -> impl Iterator<Item = Stream> {
    (0..count).map(move |offset| Stream { number: first.number + offset, ..first })
}

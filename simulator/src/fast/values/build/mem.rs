//! Memory: reads only name words, writes copy them, and accesses by index are left to the machine.

use std::collections::VecDeque;

use isa::instruction::{Instruction, Mem, Window};
use isa::program::Run;
use isa::stream::Format;
use isa::{Chip, ChipProgram, PortKind, Queue};

use super::{Builder, Workshop};
use crate::fast::values::bits::Bits;
use crate::fast::values::memory::{Memory, Places, Word};
use crate::fast::values::slots::Spot;
use crate::fast::values::tape::{Indexed, Op, Tape};
use crate::fast::values::unroll::Element;
use crate::image::mem_index;

/// Gathered words on their way to a slot which they may share.
#[derive(Default)]
pub(super) struct Merges {
    waiting: VecDeque<Merge>,
}

/// A gathered word, and when it is put.
struct Merge {
    due: u64,
    spot: Spot,
    word: Word,
}

impl Builder {
    pub(super) fn mem(
        &mut self,
        shop: &mut Workshop<'_>,
        tape: &mut Tape,
        by: &Element,
        mem: Mem,
    ) -> Option<()> {
        let Some(slice) = slice_of(shop.chip, by.queue) else { return Some(()) };
        match mem {
            Mem::Read { address, stream } => {
                let word = shop.memory.places.sram(slice, address);
                let put = by.cycle + u64::from(shop.chip.latency.read);
                let spot = Spot::of(shop.chip, by.queue, put, stream);
                if shop.memory.unknown.any()
                    && shop.memory.unknown.contains(word as usize)
                    && !self.written.contains(word as usize)
                {
                    tape.unknown.insert(word as usize);
                }
                if self.mutable.contains(word as usize) {
                    self.slots.put_alias(&spot, word);
                } else {
                    self.slots.put(&spot, word);
                }
            }
            Mem::Write { address, stream } => {
                let to = shop.memory.places.sram(slice, address);
                let from = self.take(shop, by, stream)?;
                self.planes.rescue(&shop.memory.places, tape, |word| word == to);
                self.overwrite(shop.memory, tape, std::iter::once(to))?;
                shop.memory.supersede(to);
                self.written.insert(to as usize);
                tape.written.insert(to as usize);
                tape.ops.push(Op::Write { from, to });
                self.writer(tape, by);
            }
            Mem::Gather { window, index, stream } => {
                let index = self.take_group(shop, by, index, Format::I32)?;
                let indexed = self.window(shop, slice, window, index);
                let due = by.cycle + u64::from(shop.chip.latency.gather);
                let spot = Spot::of(shop.chip, by.queue, due, stream);
                let word = self.slots.buffer(&spot)?;
                tape.ops.push(Op::Gather { indexed: tape.indexed.len() as u32 });
                tape.indexed.push(Indexed { value: word, ..indexed });
                self.merges.waiting.push_back(Merge { due, spot, word });
            }
            Mem::Scatter { window, index, stream } => {
                let index = self.take_group(shop, by, index, Format::I32)?;
                let value = self.take(shop, by, stream)?;
                let indexed = self.window(shop, slice, window, index);
                let words = words_of(indexed);
                self.planes
                    .rescue(&shop.memory.places, tape, |word| words.clone().any(|other| other == word));
                self.overwrite(shop.memory, tape, words)?;
                tape.ops.push(Op::Scatter { indexed: tape.indexed.len() as u32 });
                tape.indexed.push(Indexed { value, ..indexed });
                self.writer(tape, by);
            }
        }
        Some(())
    }

    /// A window, all its words in the arena.
    fn window(&self, shop: &mut Workshop<'_>, slice: usize, window: Window, index: [Word; 4]) -> Indexed {
        let base = shop.memory.places.sram(slice, window.base);
        let Window { first, count, stride, .. } = window;
        let indexed = Indexed { index, first, count, base, stride, value: 0 };
        words_of(indexed).for_each(|word| shop.memory.touch(word));
        indexed
    }

    /// Gathered words that arrive up to `cycle` join, or replace, what is in their slots.
    pub(super) fn merge(&mut self, memory: &mut Memory, tape: &mut Tape, cycle: u64) {
        while self.merges.waiting.front().is_some_and(|merge| merge.due <= cycle) {
            let Some(merge) = self.merges.waiting.pop_front() else { return };
            self.slots.merge(&merge.spot, merge.word, |join| {
                memory.touch(join.from);
                tape.ops.push(Op::Or { from: join.from, to: join.to });
            });
        }
    }
}

/// The words of a window.
pub(crate) fn words_of(indexed: Indexed) -> impl Iterator<Item = Word> + Clone {
    let count = if indexed.stride == 0 { indexed.count.min(1) } else { indexed.count };
    (0..count).map(move |entry| indexed.base + entry * indexed.stride)
}

fn slice_of(chip: &Chip, queue: Queue) -> Option<usize> {
    match queue {
        Queue::MemRead(half, slice) | Queue::MemWrite(half, slice) => Some(mem_index(chip, half, slice)),
        _ => None,
    }
}

/// Every word that an instruction or the host may overwrite.
pub(super) fn mutable(chip: &Chip, program: &ChipProgram, places: &Places) -> Bits {
    let mut words = Bits::new(places.buffers.start as usize);
    for (&queue, runs) in &program.queues {
        let (Queue::MemWrite(..), Some(slice)) = (queue, slice_of(chip, queue)) else { continue };
        for run in runs {
            match run.instruction {
                Instruction::Mem(Mem::Write { address, .. }) => {
                    mark(&mut words, places, slice, run, i64::from(address), 1);
                }
                Instruction::Mem(Mem::Scatter { window, .. }) => {
                    let span = window.count.saturating_sub(1).saturating_mul(window.stride) + 1;
                    mark(&mut words, places, slice, run, i64::from(window.base), i64::from(span));
                }
                _ => {}
            }
        }
    }
    for port in program.ports.iter().filter(|port| port.kind != PortKind::Output) {
        for part in &port.parts {
            for &(half, slice) in part.stripes.iter().flatten() {
                let first = places.sram(mem_index(chip, half, slice), part.address) as usize;
                words.insert_all(first..first + part.words(chip.lanes) as usize);
            }
        }
    }
    words
}

/// Marks all words that a run reaches, `span` from each address on.
fn mark(words: &mut Bits, places: &Places, slice: usize, run: &Run, address: i64, span: i64) {
    let mut levels: Vec<(i64, i64)> = run
        .repeats
        .iter()
        .filter(|repeat| repeat.count > 1 && repeat.step != 0)
        .map(|repeat| (i64::from(repeat.count), i64::from(repeat.step)))
        .collect();
    levels.sort_by_key(|(_, step)| -step.abs());
    mark_levels(words, places, slice, &levels, address, span);
}

fn mark_levels(
    words: &mut Bits,
    places: &Places,
    slice: usize,
    levels: &[(i64, i64)],
    address: i64,
    span: i64,
) {
    match levels {
        [] => {
            let limit = i64::from(places.words_per_slice);
            let (from, to) = (address.clamp(0, limit), (address + span).clamp(0, limit));
            let first = places.sram(slice, 0) as usize;
            words.insert_all(first + from as usize..first + to as usize);
        }
        // The smallest steps leave no gaps: one range.
        [(count, step)] if step.abs() <= span => {
            let low = if *step < 0 { address + (count - 1) * step } else { address };
            mark_levels(words, places, slice, &[], low, (count - 1) * step.abs() + span);
        }
        [(count, step), inner @ ..] => {
            // Nothing beyond the slice's words can be reached, however often a run repeats.
            for time in 0..(*count).min(2 * i64::from(places.words_per_slice)) {
                mark_levels(words, places, slice, inner, address + time * step, span);
            }
        }
    }
}

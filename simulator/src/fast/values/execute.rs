//! Does what a tape says, on the bytes.
#![allow(unsafe_code, reason = "compiled code is called")]

use std::ops::Range;

use isa::stream::Format;

use super::build::Workshop;
use super::memory::{Memory, Word};
use super::tape::{Indexed, Op, PACKED, Tape, Writer};
use super::tiles::Tiles;
use crate::event::{Event, Watch};

/// Executes a tape. Says whether every value that an index chose was one that somebody brought.
pub(crate) fn execute(shop: &mut Workshop<'_>, tape: &Tape, mut watch: Option<Watch<'_>>) -> bool {
    let mut known = true;
    let mut writers = tape.writers.iter();
    for op in &tape.ops {
        match *op {
            Op::Chain { kernel, operands } => {
                let Some(code) = shop.kernels.chains.get(kernel as usize) else { continue };
                // SAFETY: the builder lists the operands of this kernel here, all of them words of the arena.
                unsafe {
                    code.call(shop.memory.bytes_mut().as_mut_ptr(), &tape.numbers[operands as usize..])
                };
            }
            Op::Lanes { kernel, operands } => {
                let Some(code) = shop.kernels.moves.get(kernel as usize) else { continue };
                // SAFETY: as above.
                unsafe {
                    code.call(shop.memory.bytes_mut().as_mut_ptr(), &tape.numbers[operands as usize..])
                };
            }
            Op::Copy { from, to } => copy(shop.memory, from, to),
            Op::Write { from, to } => {
                copy(shop.memory, from, to);
                if shop.memory.unknown.any() {
                    shop.memory.unknown.remove(to as usize);
                }
                if let (Some(watch), Some(writer)) = (watch.as_mut(), writers.next()) {
                    let superlanes = 0..usize::from(shop.chip.stagger());
                    told(watch, writer, shop.memory, to, superlanes);
                }
            }
            Op::Or { from, to } => or(shop.memory, from, to),
            Op::Gather { indexed } => {
                known &= gather(shop.memory, &tape.indexed[indexed as usize]);
            }
            Op::Scatter { indexed } => {
                let writer = writers.next();
                known &= scatter(shop.memory, &tape.indexed[indexed as usize], |memory, word, superlane| {
                    if let (Some(watch), Some(writer)) = (watch.as_mut(), writer) {
                        told(watch, writer, memory, word, superlane..superlane + 1);
                    }
                });
            }
            Op::Pack { tile, rows } => {
                let numbers = &tape.numbers[rows as usize..];
                let format = Format::OF_WEIGHTS.into_iter().find(|format| *format as u32 == numbers[0]);
                let Some(format) = format else { continue };
                let rows = &numbers[1..][..2 * usize::from(shop.chip.buffer_rows(format))];
                shop.tiles.pack(tile, format, rows, (shop.chip, shop.memory));
            }
            Op::Multiply { numbers } => {
                let rows = shop.chip.mxm.rows.into();
                multiply(shop.memory, shop.tiles, rows, &tape.numbers[numbers as usize..]);
            }
        }
    }
    known
}

/// Tells of a write to some superlanes of a word.
fn told(watch: &mut Watch<'_>, writer: &Writer, memory: &Memory, word: Word, superlanes: Range<usize>) {
    let width = memory.places.lanes_per_superlane;
    let bytes = &memory.bytes()[memory.places.bytes(word)];
    let Writer { cycle, queue, node } = *writer;
    watch(&Event {
        cycle,
        queue,
        node,
        slice: queue.slice(),
        word: word % memory.places.words_per_slice,
        superlanes: (u64::MAX >> (64 - superlanes.len())) << superlanes.start,
        value: &bytes[superlanes.start * width..superlanes.end * width],
    });
}

fn copy(memory: &mut Memory, from: Word, to: Word) {
    let (from, to) = (memory.places.bytes(from), memory.places.bytes(to));
    memory.bytes_mut().copy_within(from, to.start);
}

fn or(memory: &mut Memory, from: Word, to: Word) {
    let (from, to) = (memory.places.bytes(from), memory.places.bytes(to));
    let bytes = memory.bytes_mut();
    let (from, to) = if from.start < to.start {
        let (low, high) = bytes.split_at_mut(to.start);
        (&low[from.clone()], &mut high[..from.len()])
    } else {
        let (low, high) = bytes.split_at_mut(from.start);
        (&high[..from.len()], &mut low[to])
    };
    to.iter_mut().zip(from).for_each(|(to, from)| *to |= from);
}

/// The word that the index in a superlane names, if the window owns it.
fn owned(bytes: &[u8], memory: &Memory, indexed: &Indexed, lane: usize) -> Option<Word> {
    let byte = |plane: usize| bytes[indexed.index[plane] as usize * memory.places.stride + lane];
    let index = i32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)]);
    let offset = u32::try_from(i64::from(index) - i64::from(indexed.first)).ok()?;
    (offset < indexed.count).then(|| indexed.base + offset * indexed.stride)
}

/// Each superlane's part of the word that its index names, or zeros. Says whether all were known.
fn gather(memory: &mut Memory, indexed: &Indexed) -> bool {
    let (lanes, width) = (memory.places.lanes, memory.places.lanes_per_superlane);
    let to = memory.places.bytes(indexed.value);
    let mut known = true;
    for lane in (0..lanes).step_by(width) {
        let target = to.start + lane;
        match owned(memory.bytes(), memory, indexed, lane) {
            Some(word) => {
                known &= !(memory.unknown.any() && memory.unknown.contains(word as usize));
                let from = memory.places.bytes(word).start + lane;
                memory.bytes_mut().copy_within(from..from + width, target);
            }
            None => memory.bytes_mut()[target..target + width].fill(0),
        }
    }
    known
}

/// Each superlane's part of the value to the word that its index names. Says whether what remains of every word is known.
fn scatter(memory: &mut Memory, indexed: &Indexed, mut wrote: impl FnMut(&Memory, Word, usize)) -> bool {
    let (lanes, width) = (memory.places.lanes, memory.places.lanes_per_superlane);
    let from = memory.places.bytes(indexed.value);
    let mut known = true;
    for (superlane, lane) in (0..lanes).step_by(width).enumerate() {
        if let Some(word) = owned(memory.bytes(), memory, indexed, lane) {
            let to = memory.places.bytes(word).start + lane;
            memory.bytes_mut().copy_within(from.start + lane..from.start + lane + width, to);
            known &= memory.scattered(word, superlane);
            wrote(memory, word, superlane);
        }
    }
    known
}

/// The products of some vectors with one tile.
fn multiply(memory: &mut Memory, tiles: &Tiles, rows: usize, numbers: &[u32]) {
    let (number, count) = (numbers[0], numbers[1] as usize);
    let tile = if number & PACKED == 0 { tiles.prepared(number) } else { tiles.packed(number & !PACKED) };
    let Some(tile) = tile else { return };
    let (stride, first, lanes) = (memory.places.stride, memory.places.products as usize, memory.places.lanes);
    let (before, products) = memory.split_products();
    if count == 1 {
        let product = &mut products[(numbers[4] as usize - first) * stride / 4..][..rows];
        let word = |word: u32| &before[word as usize * stride..][..lanes];
        return tile.multiply(&[[word(numbers[2]), word(numbers[3])]], &mut [product]);
    }
    let vectors = numbers[2..2 + 3 * count].chunks_exact(3);
    let word = |word: u32| &before[word as usize * stride..][..lanes];
    let inputs: Vec<[&[u8]; 2]> = vectors.clone().map(|v| [word(v[0]), word(v[1])]).collect();
    // Products of one tile follow each other in the ring, but for its end.
    let wide = stride;
    let mut outputs: Vec<Option<&mut [u32]>> = (0..count).map(|_| None).collect();
    let mut order: Vec<usize> = (0..count).collect();
    let place = |index: usize| (numbers[2 + 3 * index + 2] as usize - first) * stride / 4;
    order.sort_by_key(|index| place(*index));
    let (mut rest, mut at) = (products, 0);
    for index in order {
        let (_, after) = rest.split_at_mut(place(index) - at);
        let (product, after) = after.split_at_mut(wide);
        outputs[index] = Some(product);
        (rest, at) = (after, place(index) + wide);
    }
    let mut outputs: Vec<&mut [u32]> =
        outputs.into_iter().flatten().map(|product| &mut product[..rows]).collect();
    tile.multiply(&inputs, &mut outputs);
}

//! The MXM: tiles of constant weights are named, others are packed; the vectors that meet one tile are multiplied together.

use std::collections::VecDeque;

use isa::instruction::{AccMode, Mxm, VxmOp};
use isa::stream::{Format, Stream};
use isa::{Chip, Hemisphere, Queue};

use super::vxm::plus;
use super::{Builder, Workshop, adjacent};
use crate::fast::native::{Chain, Node, Source};
use crate::fast::values::memory::{Places, Word};
use crate::fast::values::tape::{NO_ROW, Op, PACKED, Tape};
use crate::fast::values::unroll::Element;

/// Vectors that are multiplied together at most.
const MOST_VECTORS: usize = 64;

/// All planes, the east ones first.
pub(super) struct Planes {
    planes: Vec<Plane>,
    per_hemisphere: usize,
}

/// One plane.
#[derive(Default)]
struct Plane {
    /// Rows loaded and not installed, with those still on their way.
    rows: Vec<Row>,
    /// Tiles on their way into the array.
    installing: VecDeque<(u64, Tile)>,
    array: Option<Tile>,
    /// Vectors that entered since, and whose products nobody has needed yet; all met the same tile.
    pending: Vec<Pending>,
    /// Vectors that entered so far.
    entered: u64,
    /// Formats of the products that no ACC has taken yet.
    under_way: VecDeque<Format>,
    /// Tiles packed so far.
    packed: u64,
}

/// A weight row, and where its vectors lie.
struct Row {
    /// When it is in the buffer.
    due: u64,
    row: u16,
    /// Where its vectors wait, if not where they were read: rows of the next tile may come before IW.
    place: u32,
    words: [Word; 2],
    format: Format,
    constant: bool,
}

/// A tile, as [`Op::Multiply`] names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    number: u32,
    format: Format,
}

/// A vector, and the word of its product.
struct Pending {
    tile: Tile,
    vector: [Word; 2],
    product: Word,
}

impl Planes {
    pub(super) fn new(chip: &Chip) -> Planes {
        let per_hemisphere = usize::from(chip.mxm.planes_per_hemisphere);
        Planes { planes: (0..2 * per_hemisphere).map(|_| Plane::default()).collect(), per_hemisphere }
    }

    fn index(&self, hemisphere: Hemisphere, plane: u8) -> usize {
        let first = match hemisphere {
            Hemisphere::East => 0,
            Hemisphere::West => self.per_hemisphere,
        };
        first + usize::from(plane)
    }

    /// Tiles whose IW is complete by `cycle` are in the array.
    pub(super) fn swap(&mut self, cycle: u64) {
        for plane in &mut self.planes {
            while let Some((_, tile)) = plane.installing.pop_front_if(|(due, _)| *due <= cycle) {
                plane.array = Some(tile);
            }
        }
    }

    /// Computes all products that are pending.
    pub(super) fn flush_all(&mut self, tape: &mut Tape) {
        self.planes.iter_mut().for_each(|plane| plane.flush(tape));
    }

    /// Words are about to be overwritten: products that are made of them are computed before, and weight rows in them move.
    pub(super) fn rescue(&mut self, places: &Places, tape: &mut Tape, any: impl Fn(Word) -> bool) {
        for (index, plane) in self.planes.iter_mut().enumerate() {
            if plane.pending.iter().any(|pending| any(pending.vector[0]) || any(pending.vector[1])) {
                plane.flush(tape);
            }
            for row in plane.rows.iter_mut().filter(|row| !row.constant) {
                for (offset, word) in row.words.iter_mut().enumerate() {
                    if any(*word) {
                        let to = places.row(index, row.row, row.place) + offset as u32;
                        tape.ops.push(Op::Copy { from: *word, to });
                        *word = to;
                    }
                }
            }
        }
    }
}

impl Plane {
    /// Multiplies what is pending.
    fn flush(&mut self, tape: &mut Tape) {
        let Some(first) = self.pending.first() else { return };
        tape.ops.push(Op::Multiply { numbers: tape.numbers.len() as u32 });
        tape.numbers.extend([first.tile.number, self.pending.len() as u32]);
        for pending in self.pending.drain(..) {
            tape.numbers.extend([pending.vector[0], pending.vector[1], pending.product]);
        }
    }

    /// Where the vectors of a row of the next tile may wait, while the same row of this tile still does.
    fn place(&self, row: u16, places: u32) -> u32 {
        let waiting = self.rows.iter().rev().find(|waiting| waiting.row == row);
        waiting.map_or(0, |waiting| (waiting.place + 1) % places)
    }

    /// The tile of the rows that are in the buffer, which waits for them no longer.
    fn unload(&mut self, shop: &mut Workshop<'_>, tape: &mut Tape, index: usize, cycle: u64) -> Option<Tile> {
        let there = self.rows.partition_point(|row| row.due <= cycle);
        let rows: Vec<Row> = self.rows.drain(..there).collect();
        let format = rows.first()?.format;
        let mut words = vec![NO_ROW; 2 * usize::from(shop.chip.buffer_rows(format))];
        for row in &rows {
            let at = 2 * usize::from(row.row);
            words.get_mut(at..at + 2)?.copy_from_slice(&row.words);
        }
        let constant = shop.tiles.has_room() && rows.iter().all(|row| row.constant);
        if constant {
            let number = shop.tiles.constant(format, &words);
            shop.tiles.prepare(number, shop.chip, shop.memory);
            return Some(Tile { number, format: format.held() });
        }
        words.iter().filter(|word| **word != NO_ROW).for_each(|word| shop.memory.touch(*word));
        // As many as can be on their way at once, and the one in the array, and the one that is pending.
        let ring = u64::from(shop.chip.latency.install) + 3;
        let number = PACKED | (index as u64 * ring + self.packed % ring) as u32;
        self.packed += 1;
        if self.pending.first().is_some_and(|pending| pending.tile.number == number) {
            self.flush(tape);
        }
        tape.ops.push(Op::Pack { tile: number & !PACKED, rows: tape.numbers.len() as u32 });
        tape.numbers.push(format as u32);
        tape.numbers.extend(words);
        Some(Tile { number, format: format.held() })
    }
}

impl Builder {
    pub(super) fn mxm(
        &mut self,
        shop: &mut Workshop<'_>,
        tape: &mut Tape,
        by: &Element,
        mxm: Mxm,
    ) -> Option<()> {
        let Queue::Mxm(hemisphere, plane, _) = by.queue else { return Some(()) };
        let index = self.planes.index(hemisphere, plane);
        match mxm {
            Mxm::Lw { stream, count, row, row_stride, format } => {
                for vector in 0..u16::from(count) {
                    let row = row + vector * row_stride;
                    let first = stream.number + vector as u8 * format.streams();
                    self.load(shop, tape, by, index, row, Stream { number: first, ..stream }, format)?;
                }
                Some(())
            }
            Mxm::Iw => {
                let tile = self.planes.planes[index].unload(shop, tape, index, by.cycle)?;
                let due = by.cycle + u64::from(shop.chip.latency.install);
                self.planes.planes[index].installing.push_back((due, tile));
                Some(())
            }
            Mxm::Abc { stream, format } => {
                let words = self.take_group(shop, by, stream, format)?;
                let plane = &mut self.planes.planes[index];
                let tile = plane.array?;
                if plane.pending.first().is_some_and(|pending| pending.tile != tile)
                    || plane.pending.len() >= MOST_VECTORS
                {
                    plane.flush(tape);
                }
                let product = shop.memory.places.product(index, plane.entered);
                plane.entered += 1;
                plane.under_way.push_back(format);
                plane.pending.push(Pending { tile, vector: [words[0], words[1]], product });
                Some(())
            }
            Mxm::Acc { address, mode, emit } => self.accumulate(shop, tape, by, index, address, mode, emit),
        }
    }

    /// One weight row of LW.
    #[allow(clippy::too_many_arguments, reason = "what, from where, to where, when")]
    fn load(
        &mut self,
        shop: &mut Workshop<'_>,
        tape: &mut Tape,
        by: &Element,
        index: usize,
        row: u16,
        first: Stream,
        format: Format,
    ) -> Option<()> {
        let mut words = [0; 2];
        for (word, stream) in words.iter_mut().zip(adjacent(first, format.streams())) {
            *word = self.take_anywhere(shop.chip, by, stream)?;
        }
        let due = by.cycle + u64::from(shop.chip.latency.load);
        let place = self.planes.planes[index].place(row, shop.memory.places.row_places);
        let mut constant = true;
        for (offset, word) in words[..usize::from(format.streams())].iter_mut().enumerate() {
            if *word >= shop.memory.places.buffers.start {
                // What is on the streams only is gone when IW comes.
                let to = shop.memory.places.row(index, row, place) + offset as u32;
                tape.ops.push(Op::Copy { from: *word, to });
                *word = to;
                constant = false;
            } else if self.mutable.contains(*word as usize) {
                shop.memory.touch(*word);
                constant = false;
            }
        }
        self.planes.planes[index].rows.push(Row { due, row, place, words, format, constant });
        Some(())
    }

    #[allow(clippy::too_many_arguments, reason = "what, from where, to where, when")]
    fn accumulate(
        &mut self,
        shop: &mut Workshop<'_>,
        tape: &mut Tape,
        by: &Element,
        index: usize,
        address: u16,
        mode: AccMode,
        emit: Option<Stream>,
    ) -> Option<()> {
        let plane = &mut self.planes.planes[index];
        let product = shop.memory.places.product(index, plane.entered - plane.under_way.len() as u64);
        // The oldest pending product is this one, or a later one.
        if plane.under_way.len() == plane.pending.len() {
            plane.flush(tape);
        }
        let format = plane.under_way.pop_front()?;
        let accumulator = shop.memory.places.accumulator(index, address);
        let operands = tape.numbers.len() as u32;
        let result = emit.map(|_| Format::F32);
        let node = match mode {
            AccMode::Start => {
                tape.numbers.push(product);
                Node { op: VxmOp::Pass, a: Source::Wide, b: None, result, keep: true }
            }
            AccMode::Add => {
                tape.numbers.extend([accumulator, product]);
                Node { op: plus(format), a: Source::Wide, b: Some(Source::Wide), result, keep: true }
            }
        };
        if let Some(stream) = emit {
            for stream in adjacent(stream, 4) {
                let word = self.put(shop.chip, by, stream, shop.chip.latency.accumulate.into())?;
                tape.numbers.push(word);
            }
        }
        tape.numbers.push(accumulator);
        tape.ops.push(Op::Chain { kernel: shop.kernels.chain(Chain { nodes: vec![node] }), operands });
        Some(())
    }
}

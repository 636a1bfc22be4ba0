//! The SXM: every instruction is some moves between lanes, each of which makes one vector.

use indexmap::IndexMap;

use isa::ChipProgram;
use isa::instruction::{MapId, Sxm};
use isa::program::ZERO_LANE;
use isa::stream::Stream;

use super::{Builder, Workshop, adjacent};
use crate::fast::native::LaneMove;
use crate::fast::values::kernels::Kernels;
use crate::fast::values::memory::Word;
use crate::fast::values::tape::{Op, Tape};
use crate::fast::values::unroll::Element;

/// The kernels of moves met so far.
#[derive(Default)]
pub(super) struct Moves {
    numbers: IndexMap<Shape, u32>,
}

/// What makes one vector from some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Shape {
    /// Lane i moves to lane i + lanes.
    Shift(i16),
    /// Lane i is that of source 0 or 1.
    Select(MapId),
    /// Lane i is lane map\[i\].
    Permute(MapId),
    /// Lane i is lane map\[i\] of its superlane.
    Distribute(MapId),
    /// Lane i is lane (i + lanes) mod lanes.
    Rotate(u8),
    /// In each superlane, lane i is this lane of source i.
    Transpose(u8),
}

impl Builder {
    pub(super) fn sxm(
        &mut self,
        shop: &mut Workshop<'_>,
        tape: &mut Tape,
        by: &Element,
        sxm: Sxm,
    ) -> Option<()> {
        let delay = u64::from(shop.chip.latency.sxm);
        let crossing = delay + u64::from(shop.chip.stagger());
        match sxm {
            Sxm::Shift { lanes, streams, from, to } => {
                for (from, to) in adjacent(from, streams).zip(adjacent(to, streams)) {
                    self.lane_move(shop, tape, by, Shape::Shift(lanes), &[from], to, crossing)?;
                }
            }
            Sxm::Permute { map, streams, from, to } => {
                for (from, to) in adjacent(from, streams).zip(adjacent(to, streams)) {
                    self.lane_move(shop, tape, by, Shape::Permute(map), &[from], to, crossing)?;
                }
            }
            Sxm::Distribute { map, streams, from, to } => {
                for (from, to) in adjacent(from, streams).zip(adjacent(to, streams)) {
                    self.lane_move(shop, tape, by, Shape::Distribute(map), &[from], to, delay)?;
                }
            }
            Sxm::Select { map, streams, from, other, to } => {
                for ((from, other), to) in
                    adjacent(from, streams).zip(adjacent(other, streams)).zip(adjacent(to, streams))
                {
                    self.lane_move(shop, tape, by, Shape::Select(map), &[from, other], to, delay)?;
                }
            }
            Sxm::Rotate { n, from, to } => {
                for (index, to) in adjacent(to, n * n).enumerate() {
                    let from = Stream { number: from.number + index as u8 / n, ..from };
                    self.lane_move(shop, tape, by, Shape::Rotate(index as u8 % n), &[from], to, crossing)?;
                }
            }
            Sxm::Transpose { from, to } => {
                let width = shop.chip.lanes_per_superlane as u8;
                let sources: Vec<Stream> = adjacent(from, width).collect();
                for (lane, to) in adjacent(to, width).enumerate() {
                    self.lane_move(shop, tape, by, Shape::Transpose(lane as u8), &sources, to, delay)?;
                }
            }
        }
        Some(())
    }

    #[allow(clippy::too_many_arguments, reason = "what, from where, to where, when")]
    fn lane_move(
        &mut self,
        shop: &mut Workshop<'_>,
        tape: &mut Tape,
        by: &Element,
        shape: Shape,
        from: &[Stream],
        to: Stream,
        delay: u64,
    ) -> Option<()> {
        let operands = tape.numbers.len() as u32;
        for &from in from {
            let word: Word = self.take(shop, by, from)?;
            tape.numbers.push(word);
        }
        let (kernels, lanes) = (&mut *shop.kernels, shop.chip.lanes);
        let width = shop.chip.lanes_per_superlane;
        let kernel = *self
            .moves
            .numbers
            .entry(shape)
            .or_insert_with(|| kernel(shape, shop.program, kernels, lanes, width));
        let word = self.put(shop.chip, by, to, delay)?;
        tape.numbers.push(word);
        tape.ops.push(Op::Lanes { kernel, operands });
        Some(())
    }
}

/// The code of a move.
fn kernel(shape: Shape, program: &ChipProgram, kernels: &mut Kernels, lanes: usize, width: usize) -> u32 {
    let entry = |map: MapId, lane: usize| {
        let entry = program.maps.get(usize::from(map)).map_or(ZERO_LANE, |map| map[lane]);
        (entry != ZERO_LANE).then_some(entry)
    };
    let from = |lane: usize| -> Option<(u8, u16)> {
        match shape {
            Shape::Shift(by) => {
                let from = lane.checked_add_signed(-isize::from(by)).filter(|from| *from < lanes)?;
                Some((0, from as u16))
            }
            Shape::Select(map) => Some((entry(map, lane)? as u8, lane as u16)),
            Shape::Permute(map) => Some((0, entry(map, lane)?)),
            Shape::Distribute(map) => Some((0, (lane - lane % width) as u16 + entry(map, lane % width)?)),
            Shape::Rotate(by) => Some((0, ((lane + usize::from(by)) % lanes) as u16)),
            Shape::Transpose(of) => {
                Some(((lane % width) as u8, (lane - lane % width) as u16 + u16::from(of)))
            }
        }
    };
    let sources = match shape {
        Shape::Select(_) => 2,
        Shape::Transpose(_) => width as u8,
        _ => 1,
    };
    kernels.lane_move(LaneMove { sources, map: (0..lanes).map(from).collect() })
}

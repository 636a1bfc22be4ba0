//! The stream registers, and the pipelines through which slices put values on them.
//!
//! Each stream has one register of one byte per lane at every position of the row, and every value moves one register
//! per cycle. To move them all, the registers are addressed relative to a head that turns: nothing is copied.

use std::cell::Cell;
use std::collections::VecDeque;

use isa::stream::{Direction, Format, Stream};
use isa::{Chip, Slice};

use crate::fault::{Dispatch, FaultKind, Raised};

/// Every stream register of a chip.
pub(crate) struct Registers {
    lanes: usize,
    streams: usize,
    /// Positions run from −reach to +reach: from the one edge of the chip to the other.
    reach: i32,
    /// Registers along one stream.
    positions: usize,
    /// Cycles passed, modulo `positions`.
    turn: usize,
    /// Who put the value that a register holds; none when it is empty.
    holders: Vec<Option<Dispatch>>,
    /// Somebody has taken the value that a register holds, which may now be replaced. Whoever takes only looks at the registers: several do
    /// in a cycle, and some take twice.
    taken: Vec<Cell<bool>>,
    /// The value that a register holds was joined by others.
    joined: Vec<bool>,
    bytes: Vec<u8>,
}

impl Registers {
    /// Empty registers.
    pub(crate) fn new(chip: &Chip) -> Registers {
        let reach = Slice::C2c(isa::Hemisphere::East).position(chip);
        let positions = 2 * reach as usize + 1;
        let streams = usize::from(chip.streams);
        let count = 2 * positions * streams;
        Registers {
            lanes: chip.lanes,
            streams,
            reach,
            positions,
            turn: 0,
            holders: vec![None; count],
            taken: vec![Cell::new(false); count],
            joined: vec![false; count],
            bytes: vec![0; count * chip.lanes],
        }
    }

    /// Index of a register. The registers of one position lie side by side, so a group of streams is one slice of bytes.
    fn index(&self, stream: Stream, position: i32) -> usize {
        let place = (position + self.reach) as usize;
        let ring = match stream.direction {
            Direction::East => (place + self.positions - self.turn) % self.positions,
            Direction::West => self.positions + (place + self.turn) % self.positions,
        };
        ring * self.streams + usize::from(stream.number)
    }

    /// One cycle: every value moves to the next register; those at the edge fall off, and empty registers come in behind.
    pub(crate) fn shift(&mut self) {
        self.turn = (self.turn + 1) % self.positions;
        for (direction, position) in [(Direction::East, -self.reach), (Direction::West, self.reach)] {
            let first = self.index(Stream { number: 0, direction }, position);
            self.holders[first..first + self.streams].fill(None);
        }
    }

    /// Several cycles in which nobody puts or takes.
    pub(crate) fn shift_by(&mut self, cycles: u64) {
        for _ in 0..cycles.min(self.positions as u64) {
            self.shift();
        }
    }

    /// Does the chip have these `count` adjacent streams, and, if they are one wide value, do they start at a multiple of their number?
    pub(crate) fn check(
        &self,
        by: &Dispatch,
        stream: Stream,
        count: usize,
        align: usize,
    ) -> Result<(), Raised> {
        check_group(self.streams, by, stream, count, align)
    }

    /// The values that pass `position` on `count` adjacent streams, one after the other.
    pub(crate) fn take(
        &self,
        by: &Dispatch,
        stream: Stream,
        count: usize,
        position: i32,
    ) -> Result<&[u8], Raised> {
        self.check(by, stream, count, 1)?;
        let first = self.index(stream, position);
        if let Some(hole) = self.holders[first..first + count].iter().position(Option::is_none) {
            return Err(by.empty_slot(name(stream, hole), position));
        }
        self.taken[first..first + count].iter().for_each(|taken| taken.set(true));
        Ok(&self.bytes[first * self.lanes..(first + count) * self.lanes])
    }

    /// Who put the value that passes `position`, if nothing has joined it.
    pub(crate) fn source(&self, stream: Stream, position: i32) -> Option<Dispatch> {
        let index = self.index(stream, position);
        self.holders[index].filter(|_| !self.joined[index])
    }

    /// The value of a group that holds one element per lane in `format`.
    pub(crate) fn take_group(
        &self,
        by: &Dispatch,
        stream: Stream,
        format: Format,
        position: i32,
    ) -> Result<&[u8], Raised> {
        let count = usize::from(format.streams());
        self.check(by, stream, count, count)?;
        self.take(by, stream, count, position)
    }

    /// Puts values on adjacent streams in cycle `cycle`. Each of the registers must be empty, or hold what somebody has taken, unless
    /// `merge`: then the bytes are ORed into what nobody has taken. What is put nobody has taken yet.
    pub(crate) fn put(&mut self, cycle: u64, position: i32, output: &Output) -> Result<(), Raised> {
        let first = self.index(output.stream, position);
        let count = output.bytes.len() / self.lanes;
        for stream in 0..count {
            let held = first + stream;
            let register = &mut self.bytes[held * self.lanes..(held + 1) * self.lanes];
            let value = &output.bytes[stream * self.lanes..(stream + 1) * self.lanes];
            match self.holders[held].filter(|_| !self.taken[held].get()) {
                None => {
                    register.copy_from_slice(value);
                    self.holders[held] = Some(output.by);
                    self.taken[held].set(false);
                    self.joined[held] = false;
                }
                Some(_) if output.merge => {
                    register.iter_mut().zip(value).for_each(|(old, new)| *old |= new);
                    self.joined[held] = true;
                }
                Some(other) => {
                    let at = (name(output.stream, stream), position);
                    return Err(output.by.slot_occupied(cycle, at, (other.queue, other.cycle)));
                }
            }
        }
        Ok(())
    }
}

/// Has a row of `streams` streams each way these `count` adjacent ones, and, if they are one wide value, do they start at a multiple of their number?
pub(crate) fn check_group(
    streams: usize,
    by: &Dispatch,
    stream: Stream,
    count: usize,
    align: usize,
) -> Result<(), Raised> {
    let first = usize::from(stream.number);
    if first + count > streams {
        let detail = format!("streams {first} to {} of {streams}", first + count - 1);
        return Err(by.fault(FaultKind::StreamOutOfRange, detail));
    }
    if first % align != 0 {
        let detail = format!("a group of {align} streams begins at {}", name(stream, 0));
        return Err(by.fault(FaultKind::MisalignedGroup, detail));
    }
    Ok(())
}

/// The stream `offset` streams on.
pub(crate) fn name(stream: Stream, offset: usize) -> Stream {
    Stream { number: stream.number.saturating_add(offset as u8), ..stream }
}

/// A result on its way to the streams.
#[derive(Clone)]
pub(crate) struct Output {
    pub(crate) by: Dispatch,
    /// First of the streams.
    pub(crate) stream: Stream,
    /// One vector per stream.
    pub(crate) bytes: Vec<u8>,
    /// Gather's: joins a value that is there already, and that nobody has taken.
    pub(crate) merge: bool,
}

/// Things on their way, with the cycle in which each arrives.
#[derive(Clone)]
pub(crate) struct Pipeline<T> {
    stages: VecDeque<(u64, T)>,
}

impl<T> Pipeline<T> {
    pub(crate) fn new() -> Pipeline<T> {
        Pipeline { stages: VecDeque::new() }
    }

    /// Sends something on its way; it arrives in cycle `due`. What was sent first arrives first among equals.
    pub(crate) fn send(&mut self, due: u64, item: T) {
        let place = self.stages.iter().rposition(|(other, _)| *other <= due).map_or(0, |last| last + 1);
        self.stages.insert(place, (due, item));
    }

    /// The next thing that arrives in `cycle`.
    pub(crate) fn arrive(&mut self, cycle: u64) -> Option<T> {
        match self.stages.front() {
            Some((due, _)) if *due <= cycle => self.stages.pop_front().map(|(_, item)| item),
            _ => None,
        }
    }

    /// Nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// What is on its way, next first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.stages.iter().map(|(_, item)| item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelines_deliver_by_cycle_then_by_order_of_sending() {
        let mut pipeline = Pipeline::new();
        for (due, item) in [(5, 'a'), (3, 'b'), (5, 'c'), (4, 'd')] {
            pipeline.send(due, item);
        }
        let arrivals: Vec<(u64, char)> = (0..8)
            .flat_map(|cycle| {
                std::iter::from_fn(|| pipeline.arrive(cycle).map(|i| (cycle, i))).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(arrivals, [(3, 'b'), (4, 'd'), (5, 'a'), (5, 'c')]);
    }
}

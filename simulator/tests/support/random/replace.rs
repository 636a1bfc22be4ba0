//! Values that take the place of others which somebody has taken, further down the stream.

use isa::instruction::{Operand, Vxm, VxmOp};
use isa::{Format, Hemisphere, Instruction, Mem, Queue, Slice, Stream, Sxm};

use super::memory::{self, DISTRIBUTIONS, Flavour};
use super::pieces::{Flow, Maker};

impl Maker {
    /// Replaces a value on its way, by a word, a result of an ALU or of an SXM, or a gathered word; writes what replaces it, or not.
    pub fn replace(&mut self) {
        if self.taken.is_empty() {
            return self.source();
        }
        // What was taken last may have been replaced already, and be replaced again.
        let late = self.taken.len().saturating_sub(6);
        let place = if self.rng.chance(50) { late } else { 0 };
        let place = place + self.rng.below(self.taken.len() - place);
        let mut old = self.taken[place].clone();
        let offset = self.rng.below(old.count);
        old.stream.number += offset as u8;
        old.count = 1;
        if self.rng.chance(10) && !old.cadence.is_empty() {
            // Only some of them.
            let level = self.rng.below(old.cadence.len());
            old.cadence[level].0 = self.rng.range(1..i64::from(old.cadence[level].0) + 1) as u32;
        }
        let new = match self.rng.below(6) {
            0 => self.replace_by_result(&old),
            1 => self.replace_by_switched(&old),
            2 => self.replace_by_gathered(&old),
            _ => self.replace_by_word(&old),
        };
        if let Some(new) = new {
            match self.rng.chance(60) {
                true => self.sink(&new),
                false => self.flows.push(new),
            }
        }
    }

    /// A slice further on, and the cycle in which the first value is there.
    fn slice_after(&mut self, old: &Flow) -> Option<((Hemisphere, u16), i32, u64)> {
        let chip = self.board.chip.clone();
        let sign = old.stream.direction.sign();
        let mut after: Vec<(Hemisphere, u16)> = memory::slices(&chip);
        let way = |(half, slice)| sign * i64::from(Slice::Mem(half, slice).position(&chip));
        after.retain(|place| way(*place) > sign * i64::from(old.position));
        if after.is_empty() {
            return None;
        }
        // Often the very next one.
        after.sort_by_key(|place| way(*place));
        let near = if self.rng.chance(50) { 1 } else { after.len() };
        let place = after[self.rng.below(near)];
        let position = Slice::Mem(place.0, place.1).position(&chip);
        Some((place, position, old.at(position)?))
    }

    fn replace_by_word(&mut self, old: &Flow) -> Option<Flow> {
        let chip = self.board.chip.clone();
        for _ in 0..4 {
            let ((half, slice), position, put) = self.slice_after(old)?;
            let cycle = put.checked_sub(chip.latency.read.into())?;
            let range = if self.rng.chance(70) {
                memory::region(&chip, Flavour::Any)
            } else {
                0..chip.words_per_slice()
            };
            let Some((address, steps)) = self.stepping(&old.cadence, range) else { continue };
            let read = Instruction::Mem(Mem::Read { address, stream: old.stream });
            let run = self.run(cycle, read, &old.cadence, &steps);
            if self.add(Queue::MemRead(half, slice), &run) {
                return Some(Flow { position, ..old.clone() });
            }
        }
        None
    }

    fn replace_by_result(&mut self, old: &Flow) -> Option<Flow> {
        let chip = self.board.chip.clone();
        let cycle = old.at(0)?.checked_sub(chip.latency.vxm.into())?;
        let a = self.operand(&old.cadence, cycle);
        let vxm = Vxm { op: VxmOp::Pass, a, b: None, result: Some((old.stream, Format::I8)) };
        let vxm = match self.rng.chance(50) {
            true => vxm,
            false => Vxm { op: VxmOp::IntAdd, b: Some(Operand::Immediate(3)), ..vxm },
        };
        let alu = self.rng.below(chip.vxm.alus.into()) as u8;
        let run = self.run(cycle, Instruction::Vxm(vxm), &old.cadence, &[]);
        self.add(Queue::Vxm(alu), &run).then(|| Flow { position: 0, ..old.clone() })
    }

    fn replace_by_switched(&mut self, old: &Flow) -> Option<Flow> {
        let chip = self.board.chip.clone();
        let side = *self.rng.pick(&Hemisphere::BOTH);
        let position = Slice::Sxm(side).position(&chip);
        let crossing = self.rng.chance(50);
        let stagger = if crossing { u64::from(chip.stagger()) } else { 0 };
        let cycle = old.at(position)?.checked_sub(u64::from(chip.latency.sxm) + stagger)?;
        let from = self.bring(&old.cadence, position, cycle, &[Flavour::Any], 1, None)?;
        let sxm = match crossing {
            true => Sxm::Shift { lanes: 1, streams: 1, from, to: old.stream },
            false => Sxm::Distribute { map: DISTRIBUTIONS.start, streams: 1, from, to: old.stream },
        };
        self.switch_to(sxm, side, cycle, &old.cadence, &[])
    }

    fn replace_by_gathered(&mut self, old: &Flow) -> Option<Flow> {
        let chip = self.board.chip.clone();
        let (place, position, put) = self.slice_after(old)?;
        let cycle = put.checked_sub(chip.latency.gather.into())?;
        let index: Stream = self.indices(&old.cadence, position, cycle)?;
        let window = self.window(memory::region(&chip, Flavour::Any));
        let gather = Instruction::Mem(Mem::Gather { window, index, stream: old.stream });
        self.indexed(Queue::MemRead(place.0, place.1), cycle, gather, &old.cadence)
            .then(|| Flow { position, ..old.clone() })
    }
}

//! The accesses by index of a legal program.

use isa::instruction::Window;
use isa::{Hemisphere, Instruction, Mem, Queue, Slice, Stream};

use super::memory::{self, Flavour};
use super::pieces::{Cadence, Flow, Maker};

/// Streams of a small index: one byte that counts, three of zeros.
const INDEX: [Flavour; 4] = [Flavour::Small, Flavour::Zero, Flavour::Zero, Flavour::Zero];

impl Maker {
    fn place(&mut self) -> ((Hemisphere, u16), i32) {
        let chip = &self.board.chip;
        let (half, slice) = *self.rng.pick(&memory::slices(chip));
        ((half, slice), Slice::Mem(half, slice).position(chip))
    }

    /// A window somewhere in a range of words.
    pub fn window(&mut self, range: std::ops::Range<u32>) -> Window {
        let stride = *self.rng.pick(&[1u32, 1, 2, 3, 0]);
        let count = self.rng.below(9) as u32;
        let length = 1 + count.saturating_sub(1) * stride;
        let room = (range.end - range.start).saturating_sub(length).max(1);
        let base = range.start + self.rng.below(room as usize) as u32;
        Window { first: self.rng.range(-2..6) as i32, count, base, stride }
    }

    pub fn indices(&mut self, cadence: &Cadence, position: i32, cycle: u64) -> Option<Stream> {
        let flavours = if self.rng.chance(90) { INDEX } else { [Flavour::Any; 4] };
        self.bring(cadence, position, cycle, &flavours, 4, None)
    }

    /// A gather; perhaps a second one, further on, into the same slots.
    pub fn gather(&mut self) {
        let chip = self.board.chip.clone();
        let (cadence, cycle) = (self.cadence(2), self.moment());
        let ((half, slice), position) = self.place();
        let Some(index) = self.indices(&cadence, position, cycle) else { return };
        let direction = if self.rng.chance(60) { index.direction } else { self.direction() };
        let stream = self.stream(1, direction);
        let window = self.window(memory::region(&chip, Flavour::Any));
        let gather = Instruction::Mem(Mem::Gather { window, index, stream });
        if !self.indexed(Queue::MemRead(half, slice), cycle, gather, &cadence) {
            return;
        }
        let slot = direction.slot((cycle + u64::from(chip.latency.gather)) as i64, position);
        self.flows.push(Flow { stream, count: 1, cadence: cadence.clone(), slot, position });
        for _ in 0..3 {
            // Where the index comes later, in the same slots if index and result go the same way.
            let ((half, slice), other) = self.place();
            let hops = index.direction.sign() * i64::from(other - position);
            let Ok(hops) = u64::try_from(hops) else { continue };
            let first = window.first + window.count as i32;
            let window = Window { first, ..self.window(memory::region(&chip, Flavour::Any)) };
            let gather = Instruction::Mem(Mem::Gather { window, index, stream });
            if self.indexed(Queue::MemRead(half, slice), cycle + hops, gather, &cadence) {
                let put = cycle + hops + u64::from(chip.latency.gather);
                let slot = direction.slot(put as i64, other);
                self.flows.push(Flow { stream, count: 1, cadence: cadence.clone(), slot, position: other });
            }
        }
    }

    /// A scatter over words that hold something; or over words that hold nothing, which the same indices then gather.
    pub fn scatter(&mut self) {
        let chip = self.board.chip.clone();
        let (cadence, cycle) = (self.cadence(2), self.moment());
        let ((half, slice), position) = self.place();
        let Some(index) = self.indices(&cadence, position, cycle) else { return };
        let Some(stream) = self.bring(&cadence, position, cycle, &[Flavour::Any], 1, None) else { return };
        let again = self.rng.chance(50);
        let flavour = if again { Flavour::Free } else { Flavour::Any };
        let mut window = self.window(memory::region(&chip, flavour));
        window.first = window.first.min(0);
        window.count = window.count.max(3);
        let scatter = Instruction::Mem(Mem::Scatter { window, index, stream });
        let run = self.run(cycle, scatter, &cadence, &[]);
        if !self.add(Queue::MemWrite(half, slice), &run) || !again {
            return;
        }
        // The index words do not change, so each superlane finds what it wrote: if they are read from the same addresses.
        let later = run.last_cycle() + u64::from(chip.latency.write);
        let Some(index) = self.same_reads(index, position, cycle, later, &cadence) else { return };
        let direction = self.direction();
        let stream = self.stream(1, direction);
        let gather = Instruction::Mem(Mem::Gather { window, index, stream });
        let scattered = run;
        let run = self.run(later, gather, &cadence, &[]);
        if !self.board.seal(index, position, &scattered) || !self.board.seal(index, position, &run) {
            return;
        }
        if self.board.add_trusted(Queue::MemRead(half, slice), &run) {
            let slot = direction.slot((later + u64::from(chip.latency.gather)) as i64, position);
            self.flows.push(Flow { stream, count: 1, cadence, slot, position });
        }
    }

    /// The reads that brought a group to `position` in `cycle`, all of them once more, so that it is there again in `later`.
    fn same_reads(
        &mut self,
        group: Stream,
        position: i32,
        cycle: u64,
        later: u64,
        cadence: &Cadence,
    ) -> Option<Stream> {
        let chip = self.board.chip.clone();
        let slot = group.direction.slot(cycle as i64, position);
        let mut again = Vec::new();
        for offset in 0..4u8 {
            let wanted = Stream { number: group.number + offset, ..group };
            let mut found = None;
            for (queue, runs) in &self.board.program.queues {
                let from = queue.slice().position(&chip);
                for run in runs {
                    let Instruction::Mem(Mem::Read { address, stream }) = run.instruction else { continue };
                    let put = run.cycle + u64::from(chip.latency.read);
                    let whole: Cadence = run
                        .repeats
                        .iter()
                        .filter(|repeat| repeat.count > 1)
                        .map(|repeat| (repeat.count, repeat.interval))
                        .collect();
                    let same = stream == wanted && stream.direction.slot(put as i64, from) == slot;
                    // Only words of the constant regions are sure to be the same later.
                    let constant = [Flavour::Small, Flavour::Zero]
                        .iter()
                        .any(|flavour| memory::region(&chip, *flavour).contains(&address));
                    if same && constant && whole == *cadence {
                        found = Some((*queue, run.clone()));
                    }
                }
            }
            again.push(found?);
        }
        for (queue, run) in &mut again {
            run.cycle += later - cycle;
            if !self.board.add(*queue, run) {
                return None;
            }
        }
        // Something may have been written over them: then the indices differ, and the words may not be there.
        let unchanged = again.iter().all(|(queue, run)| self.board.is_constant(*queue, run));
        unchanged.then_some(group)
    }

    /// An access by index with small steps of its base and its first index.
    pub fn indexed(&mut self, queue: Queue, cycle: u64, access: Instruction, cadence: &Cadence) -> bool {
        let steps: Vec<i32> = cadence.iter().map(|_| *self.rng.pick(&[0, 0, 1, 2, -1])).collect();
        let mut run = self.run(cycle, access, cadence, &steps);
        for repeat in &mut run.repeats {
            repeat.window_step = *self.rng.pick(&[0, 0, 1, -2]);
        }
        self.add(queue, &run)
    }
}

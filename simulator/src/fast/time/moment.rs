//! One cycle, in which something goes wrong, in all detail: what arrives, what is dispatched, and every fault that comes of it.
//!
//! The order is the reference's, and so are the consequences within the cycle. What came before was sound, so the runs say all about it.

use std::cell::Cell;
use std::ops::Range;

use isa::instruction::{Instruction, Mem, Window};
use isa::place::{Hemisphere, MxmPort, Queue};
use isa::stream::Stream;
use isa::{Chip, Icu};

use super::Joined;
use super::effects;
use super::fetch;
use super::paths::Path;
use super::planes::Planes;
use super::runs::Timeline;
use super::streams::{Held, Traffic};
use super::world::{World, dispatch};
use crate::fault::{Dispatch, Raised};
use crate::image::mem_index;
use crate::stream::name;

/// The chip in the cycle in question.
pub(super) struct Moment<'t> {
    timeline: &'t Timeline<'t>,
    traffic: &'t Traffic,
    present: &'t [Vec<Range<u32>>],
    cycle: i64,
    /// What was put in this cycle: where, by what queue, dispatched when.
    fresh: Vec<(Stream, i32, (Queue, u64))>,
    /// What was joined in this cycle.
    joined: Vec<(Stream, i32)>,
    /// Banks that read ports use.
    reading: Vec<((Hemisphere, u16), u32)>,
    /// A read was let pass because indices decide.
    undecided: Cell<bool>,
}

impl<'t> Moment<'t> {
    pub(super) fn new(
        timeline: &'t Timeline<'t>,
        traffic: &'t Traffic,
        present: &'t [Vec<Range<u32>>],
        cycle: i64,
    ) -> Moment<'t> {
        let (fresh, reading) = (Vec::new(), Vec::new());
        let (joined, undecided) = (Vec::new(), Cell::new(false));
        Moment { timeline, traffic, present, cycle, fresh, joined, reading, undecided }
    }

    /// The first fault of the cycle, given the planes as it begins.
    pub(super) fn first_fault(&mut self, planes: &mut [Planes; 2]) -> Option<Raised> {
        let mut faults = Vec::new();
        self.arrive(planes, &mut faults);
        self.dispatch(planes, &mut faults);
        self.take_text(&mut faults);
        for planes in planes {
            planes.drop_products(self.cycle as u64, &mut faults);
        }
        faults.into_iter().min_by_key(Raised::key)
    }

    fn arrive(&mut self, planes: &mut [Planes; 2], faults: &mut Vec<Raised>) {
        let (timeline, d) = (self.timeline, &self.timeline.chip.latency);
        let crossing = i64::from(d.sxm) + i64::from(timeline.chip.stagger());
        self.put_from(|queue| matches!(queue, Queue::MemRead(..)), d.read.into(), faults);
        self.put_from(|queue| matches!(queue, Queue::Vxm(_)), d.vxm.into(), faults);
        for (half, planes) in Hemisphere::BOTH.into_iter().zip(planes) {
            planes.arrive(self.cycle as u64, faults);
            let mine = |queue| matches!(queue, Queue::Mxm(of, _, MxmPort::Accumulate) if of == half);
            self.put_from(mine, d.accumulate.into(), faults);
        }
        for half in Hemisphere::BOTH {
            // What crosses superlanes was sent earlier.
            for delay in [crossing, d.sxm.into()] {
                self.put_from(|queue| matches!(queue, Queue::Sxm(of, _) if of == half), delay, faults);
            }
        }
        self.put_from(|queue| matches!(queue, Queue::C2c(..)), d.c2c.into(), faults);
        self.put_gathers(faults);
    }

    /// Puts what some queues dispatched `delay` cycles ago, if it takes so long; gathers excepted.
    fn put_from(&mut self, queues: impl Fn(Queue) -> bool, delay: i64, faults: &mut Vec<Raised>) {
        let timeline = self.timeline;
        for line in timeline.lines.iter().filter(|line| queues(line.queue)) {
            let Some(Ok(by)) = line.at(self.cycle - delay) else { continue };
            let put = effects::put(timeline.chip, &by.instruction);
            if let Some(put) = put.filter(|put| !put.merge && put.delay == delay) {
                faults.extend(self.put(&by, line.position, put).err());
            }
        }
    }

    fn put_gathers(&mut self, faults: &mut Vec<Raised>) {
        let timeline = self.timeline;
        for line in timeline.lines.iter().filter(|line| matches!(line.queue, Queue::MemRead(..))) {
            let delay = i64::from(timeline.chip.latency.gather);
            let Some(Ok(by)) = line.at(self.cycle - delay) else { continue };
            let put = effects::put(timeline.chip, &by.instruction);
            if let Some(put) = put.filter(|put| put.merge) {
                faults.extend(self.put(&by, line.position, put).err());
            }
        }
    }

    fn put(&mut self, by: &Dispatch, position: i32, put: effects::Put) -> Result<(), Raised> {
        for offset in 0..put.count {
            let stream = name(put.stream, offset);
            match self.held(stream, position) {
                None | Some(Held { taken: true, .. }) => {
                    self.fresh.push((stream, position, (by.queue, by.cycle)));
                }
                Some(_) if put.merge => self.joined.push((stream, position)),
                Some(Held { by: holder, .. }) => {
                    return Err(by.slot_occupied(self.cycle as u64, (stream, position), holder));
                }
            }
        }
        Ok(())
    }

    /// The value that is on a stream here. What was put in this cycle nobody has taken before it.
    fn held(&self, stream: Stream, position: i32) -> Option<Held> {
        let fresh = self.fresh.iter().find(|(on, at, _)| (*on, *at) == (stream, position));
        fresh
            .map(|&(.., by)| Held { by, taken: false, joined: false })
            .or_else(|| self.traffic.held(self.timeline, stream, position, self.cycle))
    }

    fn dispatch(&mut self, planes: &mut [Planes; 2], faults: &mut Vec<Raised>) {
        let timeline = self.timeline;
        faults.extend(timeline.disorder.iter().filter(|fault| fault.cycle as i64 == self.cycle).cloned());
        faults.extend(timeline.levels.iter().filter(|fault| fault.cycle as i64 == self.cycle).cloned());
        let mut leaving = Vec::new();
        for line in &timeline.lines {
            match line.at(self.cycle) {
                Some(Ok(by)) => leaving.push(by),
                Some(Err(fault)) => faults.push(fault),
                None => {}
            }
        }
        for by in leaving {
            let done = match by.queue {
                Queue::Mxm(Hemisphere::East, ..) => planes[0].dispatch(&by, self).map(drop),
                Queue::Mxm(Hemisphere::West, ..) => planes[1].dispatch(&by, self).map(drop),
                _ => dispatch(self, &by),
            };
            faults.extend(done.err());
        }
    }

    /// What Ifetches take in this cycle.
    fn take_text(&mut self, faults: &mut Vec<Raised>) {
        let timeline = self.timeline;
        for line in &timeline.fetches {
            let Some(taking) = fetch::taking(timeline, line, self.cycle) else { continue };
            let Instruction::Icu(Icu::Ifetch { stream }) = taking.by.instruction else { continue };
            let cycle = self.cycle as u64;
            if let Err(fault) = self.take(&taking.by, stream, 1, line.position) {
                faults.push(Raised { cycle, ..fault });
                continue;
            }
            let held = self.held(stream, line.position);
            let pure = |held: &Held| !held.joined && !self.joined.contains(&(stream, line.position));
            if !taking.is_right(timeline, held.filter(pure).map(|held| held.by)) {
                faults.push(taking.by.wrong_text(cycle, taking.index, taking.page, taking.word));
            }
        }
    }

    /// Indices decide about a read of this cycle.
    pub(super) fn is_undecided(&self) -> bool {
        self.undecided.get()
    }

    /// Did some write before this cycle write the word? A Scatter may have.
    fn was_written(&self, slice: (Hemisphere, u16), word: u32) -> Option<Sure> {
        let line = self.timeline.line(Queue::MemWrite(slice.0, slice.1))?;
        let mut found = None;
        for run in line.runs.iter().take_while(|run| (run.cycle as i64) < self.cycle) {
            let Some(path) = Path::of(run) else { continue };
            let (low, high) = path.words();
            if !(low..=high).contains(&i64::from(word)) {
                continue;
            }
            path.walk(self.cycle, &mut |_, base| {
                let touched = base.try_into().is_ok_and(|base| means(&run.instruction, base, word));
                if touched {
                    let sure = matches!(run.instruction, Instruction::Mem(Mem::Write { .. }));
                    found = found.max(Some(if sure { Sure::Yes } else { Sure::Maybe }));
                }
                !touched
            });
        }
        found
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sure {
    Maybe,
    Yes,
}

/// Does a write, or scatter, whose word or window begins at `base`, write this word, or may it?
fn means(instruction: &Instruction, base: u32, word: u32) -> bool {
    match *instruction {
        Instruction::Mem(Mem::Scatter { window: Window { count, stride, .. }, .. }) => {
            let offset = word.checked_sub(base);
            offset.is_some_and(|offset| match offset.checked_rem(stride) {
                None => offset == 0 && count > 0,
                Some(rest) => rest == 0 && offset / stride < count,
            })
        }
        _ => base == word,
    }
}

impl World for Moment<'_> {
    fn chip(&self) -> &Chip {
        self.timeline.chip
    }

    fn maps(&self) -> &[Vec<u16>] {
        self.timeline.maps
    }

    fn joined(&self) -> Joined {
        self.timeline.joined
    }

    fn holds(&self, stream: Stream, position: i32) -> bool {
        self.held(stream, position).is_some()
    }

    fn dispatched(&self, alu: u8, cycle: u64) -> bool {
        self.timeline.dispatch(Queue::Vxm(alu), cycle as i64).is_some()
    }

    fn text(&self) -> &fetch::TextWords {
        &self.timeline.text
    }

    fn read_from(&mut self, slice: (Hemisphere, u16), bank: u32) {
        self.reading.push((slice, bank));
    }

    fn reading(&self, slice: (Hemisphere, u16)) -> Option<u32> {
        self.reading.iter().find(|(of, _)| *of == slice).map(|(_, bank)| *bank)
    }

    fn readable(&self, by: &Dispatch, slice: (Hemisphere, u16), word: u32) -> Result<(), Raised> {
        let chip = self.timeline.chip;
        let bank = word / chip.mem.words_per_bank;
        let delay = i64::from(chip.latency.write);
        let mut ready = None;
        for cycle in (self.cycle - delay + 1..self.cycle).rev() {
            let write = self.timeline.dispatch(Queue::MemWrite(slice.0, slice.1), cycle);
            match write.map(|by| by.instruction) {
                Some(Instruction::Mem(Mem::Write { address, .. })) if address == word => {
                    ready = ready.or(Some(cycle + delay));
                }
                Some(scatter @ Instruction::Mem(Mem::Scatter { window, .. }))
                    if means(&scatter, window.base, word) =>
                {
                    self.undecided.set(true);
                    return Ok(());
                }
                _ => {}
            }
        }
        if let Some(ready) = ready {
            return Err(by.write_in_flight(word, bank, ready as u64));
        }
        let present = self.present.get(mem_index(chip, slice.0, slice.1));
        if present.is_some_and(|ranges| ranges.iter().any(|range| range.contains(&word))) {
            return Ok(());
        }
        match self.was_written(slice, word) {
            Some(Sure::Yes) => Ok(()),
            Some(Sure::Maybe) => {
                self.undecided.set(true);
                Ok(())
            }
            None => Err(by.holds_nothing(word, bank)),
        }
    }
}

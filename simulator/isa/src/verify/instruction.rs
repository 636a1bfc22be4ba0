//! Operands of one run: do they exist on the chip, in every repetition?

use super::maps::MapKinds;
use crate::instruction::{Operand, Window};
use crate::place::MxmPort;
use crate::{C2c, Chip, Format, Hemisphere, Icu, Instruction, Mem, Mxm, Queue, Run, Stream, Sxm, Vxm};

/// Everything wrong with the instruction of a run in this queue.
pub(super) fn problems(chip: &Chip, queue: Queue, run: &Run, maps: &MapKinds) -> Vec<String> {
    let mut operands = Operands { chip, queue, run, maps, problems: Vec::new() };
    if !belongs(queue, &run.instruction) {
        operands.problem("the instruction is not one of this queue".to_string());
        return operands.problems;
    }
    match run.instruction {
        Instruction::Icu(icu) => operands.icu(icu),
        Instruction::Mem(mem) => operands.mem(mem),
        Instruction::Vxm(vxm) => operands.vxm(vxm),
        Instruction::Mxm(mxm) => operands.mxm(mxm),
        Instruction::Sxm(sxm) => operands.sxm(sxm),
        Instruction::C2c(c2c) => operands.c2c(c2c),
    }
    operands.steps();
    operands.problems
}

/// Whether the instruction is one of those that the queue dispatches.
fn belongs(queue: Queue, instruction: &Instruction) -> bool {
    match (queue, instruction) {
        (_, Instruction::Icu(_)) => true,
        (Queue::MemRead(..), Instruction::Mem(mem)) => matches!(mem, Mem::Read { .. } | Mem::Gather { .. }),
        (Queue::MemWrite(..), Instruction::Mem(mem)) => {
            matches!(mem, Mem::Write { .. } | Mem::Scatter { .. })
        }
        (Queue::Vxm(_), Instruction::Vxm(_)) => true,
        (Queue::Mxm(_, _, port), Instruction::Mxm(mxm)) => {
            port == match mxm {
                Mxm::Lw { .. } => MxmPort::Load,
                Mxm::Iw => MxmPort::Install,
                Mxm::Abc { .. } => MxmPort::Stream,
                Mxm::Acc { .. } => MxmPort::Accumulate,
            }
        }
        (Queue::Sxm(..), Instruction::Sxm(_)) => true,
        (Queue::C2c(..), Instruction::C2c(_)) => true,
        _ => false,
    }
}

struct Operands<'a> {
    chip: &'a Chip,
    queue: Queue,
    run: &'a Run,
    maps: &'a MapKinds,
    problems: Vec<String>,
}

impl Operands<'_> {
    fn problem(&mut self, message: String) {
        self.problems.push(message);
    }

    fn require(&mut self, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.problem(message());
        }
    }

    /// `count` adjacent streams from this one on.
    fn streams(&mut self, first: Stream, count: u16) {
        let (end, streams) = (u16::from(first.number).saturating_add(count), self.chip.streams);
        self.require(end <= streams, || {
            format!("{count} streams from {first} on go beyond the {streams} of a direction")
        });
    }

    /// A stream group of this format.
    fn group(&mut self, first: Stream, format: Format) {
        self.streams(first, u16::from(format.streams()));
        self.aligned(first, format);
    }

    /// A stream group that an ALU reads or writes.
    fn alu_group(&mut self, first: Stream, format: Format) {
        self.group(first, format);
        self.require(!format.only_weights(), || {
            format!("{format} is a format of weights, which only LW takes")
        });
    }

    fn aligned(&mut self, first: Stream, format: Format) {
        let size = format.streams();
        self.require(first.number.is_multiple_of(size), || {
            format!("{first} is no start of a group of {format}: a multiple of {size} is")
        });
    }

    /// Least and greatest value that an operand takes over all repeats.
    fn range(&self, start: i64, step: impl Fn(&crate::Repeat) -> i32) -> (i128, i128) {
        let mut range = (i128::from(start), i128::from(start));
        for repeat in &self.run.repeats {
            let change = i128::from(repeat.count.saturating_sub(1)) * i128::from(step(repeat));
            if change < 0 { range.0 += change } else { range.1 += change }
        }
        range
    }

    /// The main operand stays below `limit` over all repeats; `reach` more is touched beyond it.
    fn main_below(&mut self, what: &str, start: i64, reach: u64, limit: u64) {
        let (least, most) = self.range(start, |repeat| repeat.step);
        let most = most + i128::from(reach);
        self.require(least >= 0 && most < i128::from(limit), || {
            format!(
                "reaches {what} {}, which must be at least 0 and less than {limit}",
                if least < 0 { least } else { most }
            )
        });
    }

    /// Steps are for operands that there are.
    fn steps(&mut self) {
        let (main, window) = match self.run.instruction {
            Instruction::Mem(Mem::Gather { .. } | Mem::Scatter { .. }) => (true, true),
            Instruction::Mem(Mem::Read { .. } | Mem::Write { .. })
            | Instruction::Mxm(Mxm::Lw { .. } | Mxm::Acc { .. })
            | Instruction::Sxm(
                Sxm::Shift { .. } | Sxm::Select { .. } | Sxm::Permute { .. } | Sxm::Distribute { .. },
            ) => (true, false),
            Instruction::Icu(_)
            | Instruction::Vxm(_)
            | Instruction::Mxm(Mxm::Iw | Mxm::Abc { .. })
            | Instruction::Sxm(Sxm::Rotate { .. } | Sxm::Transpose { .. })
            | Instruction::C2c(_) => (false, false),
        };
        let repeats = &self.run.repeats;
        if !main && repeats.iter().any(|repeat| repeat.step != 0) {
            self.problem("the instruction has no operand that a step could change".to_string());
        }
        if !window && repeats.iter().any(|repeat| repeat.window_step != 0) {
            self.problem("the instruction has no window that a step could move".to_string());
        }
    }

    fn icu(&mut self, icu: Icu) {
        match icu {
            Icu::Sync | Icu::Notify => {}
            Icu::Ifetch { stream } => self.streams(stream, 1),
            Icu::Config { superlanes } => {
                let all = self.chip.stagger();
                self.require(u16::from(superlanes) <= all, || {
                    format!("leaves {superlanes} superlanes on, the chip has {all}")
                });
            }
        }
    }

    fn mem(&mut self, mem: Mem) {
        let words = u64::from(self.chip.words_per_slice());
        match mem {
            Mem::Read { address, stream } | Mem::Write { address, stream } => {
                self.streams(stream, 1);
                self.main_below("word", i64::from(address), 0, words);
            }
            Mem::Gather { window, index, stream } | Mem::Scatter { window, index, stream } => {
                self.streams(stream, 1);
                self.group(index, Format::I32);
                self.window(window, words);
            }
        }
    }

    fn window(&mut self, window: Window, words: u64) {
        let Window { first, count, base, stride } = window;
        if count == 0 {
            return self.problem("a window owns at least one index".to_string());
        }
        let reach = u64::from(count - 1) * u64::from(stride);
        self.main_below("word", i64::from(base), reach, words);
        let (least, most) = self.range(i64::from(first), |repeat| repeat.window_step);
        let fits = least >= i128::from(i32::MIN) && most + i128::from(count - 1) <= i128::from(i32::MAX);
        self.require(fits, || "the window's indices leave the range of i32".to_string());
    }

    fn vxm(&mut self, vxm: Vxm) {
        let expected = vxm.op.operands();
        let given = 1 + usize::from(vxm.b.is_some());
        self.require(given == expected, || format!("{} has {expected} operands, not {given}", vxm.op.name()));
        for operand in std::iter::once(vxm.a).chain(vxm.b) {
            match operand {
                Operand::Stream(stream, format) => self.alu_group(stream, format),
                Operand::Alu { alu, delay } => {
                    let alus = self.chip.vxm.alus;
                    self.require(alu < alus, || format!("alu{alu} is not one of the {alus} ALUs"));
                    let (least, most) = (self.chip.latency.vxm, self.chip.vxm.forward_depth);
                    self.require((least..=u16::from(most)).contains(&u16::from(delay)), || {
                        format!("alu{alu}[{delay}]: results can be taken {least} to {most} cycles after their dispatch")
                    });
                }
                Operand::Immediate(_) => {}
            }
        }
        if let Some((stream, format)) = vxm.result {
            self.alu_group(stream, format);
        }
    }

    fn mxm(&mut self, mxm: Mxm) {
        let Queue::Mxm(hemisphere, plane, _) = self.queue else { return };
        match mxm {
            Mxm::Lw { stream, count, row, row_stride, format } => {
                self.operand_format(plane, format, self.chip.mxm.refuses(&self.chip.name, format));
                let taken = u16::from(count) * u16::from(format.streams());
                self.streams(stream, taken);
                self.aligned(stream, format);
                let load = self.chip.mxm.load_streams_per_plane;
                let most = if format.held() == Format::F16 { 2 * load } else { load };
                self.require((1..=most).contains(&taken), || {
                    format!("loads from {taken} streams at once, 1 to {most} are possible")
                });
                let reach = u64::from(count.saturating_sub(1)) * u64::from(row_stride);
                self.main_below("row", i64::from(row), reach, u64::from(self.chip.buffer_rows(format)));
            }
            Mxm::Iw => {}
            Mxm::Abc { stream, format } => {
                let refused = self.chip.mxm.refuses_activations(&self.chip.name, format);
                self.operand_format(plane, format, refused);
                self.group(stream, format);
            }
            Mxm::Acc { address, emit, mode: _ } => {
                self.main_below("accumulator", i64::from(address), 0, u64::from(self.chip.mxm.accumulators));
                if let Some(stream) = emit {
                    self.emit(hemisphere, stream);
                }
            }
        }
    }

    fn operand_format(&mut self, plane: u8, format: Format, refused: Option<String>) {
        if let Some(problem) = refused {
            self.problem(problem);
        } else if format.held() == Format::F16 {
            self.require(plane == 0, || {
                format!("{format} works both planes as one: its instructions stand in plane 0's queues")
            });
        }
    }

    fn emit(&mut self, hemisphere: Hemisphere, stream: Stream) {
        self.group(stream, Format::F32);
        self.require(stream.direction == hemisphere.inward(), || {
            format!("{stream} leads out of the chip; sums leave the {hemisphere} planes inward")
        });
    }

    fn sxm(&mut self, sxm: Sxm) {
        match sxm {
            Sxm::Shift { lanes, streams, from, to } => {
                self.switched(streams, &[from, to]);
                let (least, most) = self.range(i64::from(lanes), |repeat| repeat.step);
                let all = self.chip.lanes as i128;
                self.require(-all <= least && most <= all, || {
                    format!("shifts by {} lanes, the chip has {all}", if most > all { most } else { least })
                });
            }
            Sxm::Select { map, streams, from, other, to } => {
                self.switched(streams, &[from, other, to]);
                self.map(map, |_, _| true, "");
            }
            Sxm::Permute { map, streams, from, to } => {
                self.switched(streams, &[from, to]);
                self.map(map, MapKinds::permutes, "uses a lane twice or names one that does not exist");
            }
            Sxm::Distribute { map, streams, from, to } => {
                self.switched(streams, &[from, to]);
                self.map(map, MapKinds::distributes, "names a lane outside the superlane");
            }
            Sxm::Rotate { n, from, to } => {
                self.require(n == 3 || n == 4, || format!("rotates {n} streams, 3 or 4 are possible"));
                self.streams(from, u16::from(n));
                self.streams(to, u16::from(n) * u16::from(n));
            }
            Sxm::Transpose { from, to } => {
                let count = self.chip.lanes_per_superlane as u16;
                self.streams(from, count);
                self.streams(to, count);
            }
        }
    }

    fn switched(&mut self, streams: u8, groups: &[Stream]) {
        self.require((1..=4).contains(&streams), || {
            format!("acts on {streams} streams, 1 to 4 are possible")
        });
        for &first in groups {
            self.streams(first, u16::from(streams));
        }
    }

    /// Every map that the run steps to exists and can be used so.
    fn map(&mut self, map: u16, usable: fn(&MapKinds, usize) -> bool, otherwise: &str) {
        let before = self.problems.len();
        self.main_below("map", i64::from(map), 0, self.maps.count() as u64);
        if self.problems.len() > before {
            return;
        }
        // All maps are in range, so every level that steps has few repetitions.
        let mut reached = vec![false; self.maps.count()];
        reached[usize::from(map)] = true;
        for repeat in self.run.repeats.iter().filter(|repeat| repeat.step != 0) {
            let starts: Vec<i64> =
                (0..).zip(&reached).filter(|(_, reached)| **reached).map(|(map, _)| map).collect();
            for start in starts {
                for time in 0..i64::from(repeat.count) {
                    if let Ok(map) = usize::try_from(start + time * i64::from(repeat.step)) {
                        reached[map] = true;
                    }
                }
            }
        }
        for map in (0..reached.len()).filter(|&map| reached[map]) {
            if !usable(self.maps, map) {
                self.problem(format!("map m{map} {otherwise}"));
            }
        }
    }

    fn c2c(&mut self, c2c: C2c) {
        match c2c {
            C2c::Send { stream } | C2c::Receive { stream } => self.streams(stream, 1),
            C2c::Deskew => {}
        }
    }
}

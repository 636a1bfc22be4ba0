//! The pieces of a legal program: values that come from somewhere, pass through slices, and are written.

use isa::instruction::{Operand, Vxm, VxmOp};
use isa::stream::Direction;
use isa::{Chip, Format, Hemisphere, Instruction, Mem, Queue, Repeat, Run, Slice, Stream, Sxm};

use super::Case;
use super::board::{Board, stepped};
use super::memory::{self, DISTRIBUTIONS, Flavour, PERMUTATIONS, SELECTIONS};
use super::products::Planes;
use super::rng::Rng;

/// (count, interval) of each level of repeats, outermost first.
pub type Cadence = Vec<(u32, u32)>;

/// Values on adjacent streams, one after the other.
#[derive(Clone, Debug)]
pub struct Flow {
    pub stream: Stream,
    pub count: usize,
    pub cadence: Cadence,
    /// Slot of the first.
    pub slot: i64,
    /// Where they come onto the streams.
    pub position: i32,
}

/// A run of writes, to be read again.
#[derive(Clone, Debug)]
pub struct Written {
    pub place: (Hemisphere, u16),
    pub run: Run,
}

/// Makes a program.
pub struct Maker {
    pub rng: Rng,
    pub board: Board,
    pub flows: Vec<Flow>,
    /// Values that were taken, at their positions.
    pub taken: Vec<Flow>,
    pub written: Vec<Written>,
    pub planes: [Planes; 2],
}

/// A legal program for `chip`.
pub fn program(rng: Rng, chip: &Chip) -> Case {
    let mut maker = Maker {
        rng,
        board: Board::new(chip),
        flows: Vec::new(),
        taken: Vec::new(),
        written: Vec::new(),
        planes: [Planes::new(chip), Planes::new(chip)],
    };
    memory::fill(&mut maker.rng, &mut maker.board);
    for _ in 0..3 + maker.rng.below(12) {
        match maker.rng.below(16) {
            0 => maker.source(),
            1 => maker.weave(),
            2 => maker.compute(),
            3 => maker.read_again(),
            4 => maker.transpose(),
            5 => maker.gather(),
            6 => maker.scatter(),
            7 | 8 => maker.product(),
            9..13 => maker.replace(),
            _ => maker.go_on(),
        }
    }
    for flow in std::mem::take(&mut maker.flows) {
        if maker.rng.chance(70) {
            maker.sink(&flow);
        }
    }
    Case::new(chip, maker.board.program)
}

impl Flow {
    /// The cycle in which the first value is at `position`, if it passes there.
    pub fn at(&self, position: i32) -> Option<u64> {
        let sign = self.stream.direction.sign();
        let passes = sign * i64::from(position) >= sign * i64::from(self.position);
        u64::try_from(self.stream.direction.cycle(self.slot, position)).ok().filter(|_| passes)
    }
}

impl Maker {
    /// Repeats of up to `levels` levels.
    pub fn cadence(&mut self, levels: usize) -> Cadence {
        let levels = [0, 0, 0, 1, 1, 1, 2, 2, 3][self.rng.below(9)].min(levels);
        let (mut cadence, mut body) = (Cadence::new(), 0);
        for level in 0..levels {
            let count = self.rng.range(2..if level == 0 { 6 } else { 4 }) as u32;
            let interval = body + 1 + self.rng.below(3) as u32;
            body += (count - 1) * interval;
            cadence.insert(0, (count, interval));
        }
        cadence
    }

    pub fn stream(&mut self, align: usize, direction: Direction) -> Stream {
        let number = self.rng.below(usize::from(self.board.chip.streams) / align) * align;
        Stream { number: number as u8, direction }
    }

    pub fn direction(&mut self) -> Direction {
        *self.rng.pick(&[Direction::East, Direction::West])
    }

    /// A run with this cadence and random steps; `steps` are tried within `range`, and are 0 if they do not fit.
    pub fn stepping(&mut self, cadence: &Cadence, range: std::ops::Range<u32>) -> Option<(u32, Vec<i32>)> {
        let mut steps: Vec<i32> =
            cadence.iter().map(|_| *self.rng.pick(&[1, 1, 1, 0, -1, 2, -3, 4, 7])).collect();
        let total = |steps: &[i32], sign: i64| -> i64 {
            let ends = steps
                .iter()
                .zip(cadence)
                .map(|(step, (count, _))| (sign * i64::from(*step) * i64::from(count - 1)).max(0));
            ends.sum()
        };
        let length = i64::from(range.end) - i64::from(range.start);
        if total(&steps, 1) + total(&steps, -1) >= length {
            steps.fill(0);
        }
        let (up, down) = (total(&steps, 1), total(&steps, -1));
        if up + down >= length {
            return None;
        }
        let base = i64::from(range.start) + down + self.rng.range(0..length - up - down);
        Some((base as u32, steps))
    }

    pub fn run(&mut self, cycle: u64, instruction: Instruction, cadence: &Cadence, steps: &[i32]) -> Run {
        let step = |level: usize| steps.get(level).copied().unwrap_or(0);
        let repeats = cadence.iter().enumerate().map(|(level, &(count, interval))| Repeat {
            count,
            interval,
            step: step(level),
            window_step: 0,
        });
        Run { cycle, instruction, repeats: repeats.collect(), node: self.rng.below(4) as u32 }
    }

    /// Adds a run if it is legal; sometimes as several runs, or with a level that happens once.
    pub fn add(&mut self, queue: Queue, run: &Run) -> bool {
        if !self.board.accepts(queue, run, false) {
            return false;
        }
        self.put(queue, run);
        true
    }

    /// Puts a run that was accepted.
    pub fn put(&mut self, queue: Queue, run: &Run) {
        for (stream, count, position) in self.board.takes(queue, run) {
            let cadence = run.repeats.iter().map(|repeat| (repeat.count, repeat.interval)).collect();
            let slot = stream.direction.slot(run.cycle as i64, position);
            self.taken.push(Flow { stream, count, cadence, slot, position });
        }
        if run.repeats.len() == 1 && self.rng.chance(15) || run.repeats.len() > 1 && self.rng.chance(10) {
            let outer = run.repeats[0];
            for i in 0..outer.count {
                let by = |step: i32| i64::from(step) * i64::from(i);
                let part = Run {
                    cycle: run.cycle + u64::from(outer.interval) * u64::from(i),
                    instruction: stepped(run.instruction, by(outer.step), by(outer.window_step))
                        .expect("accepted"),
                    repeats: run.repeats[1..].to_vec(),
                    node: run.node,
                };
                self.board.put(queue, &part);
            }
            return;
        }
        let mut run = run.clone();
        if run.repeats.len() < 4 && self.rng.chance(5) {
            let place = self.rng.below(run.repeats.len() + 1);
            let once = Repeat { count: 1, interval: 1 + self.rng.below(9) as u32, step: 5, window_step: -3 };
            run.repeats.insert(place, once);
        }
        self.board.put(queue, &run);
    }

    /// Reads `flavours.len()` words onto adjacent streams, so that they are at `position` in `cycle` and as the cadence says.
    pub fn bring(
        &mut self,
        cadence: &Cadence,
        position: i32,
        cycle: u64,
        flavours: &[Flavour],
        align: usize,
        fixed: Option<Stream>,
    ) -> Option<Stream> {
        for _ in 0..4 {
            let direction = self.direction();
            let first = fixed.unwrap_or_else(|| self.stream(align, direction));
            if self.board.group(first, flavours.len(), 1).is_none() {
                continue;
            }
            let mut done = 0;
            for (offset, flavour) in flavours.iter().enumerate() {
                let stream = Stream { number: first.number + offset as u8, ..first };
                if !(0..8).any(|_| self.read_to(cadence, position, cycle, *flavour, stream)) {
                    break;
                }
                done += 1;
            }
            if done == flavours.len() {
                let slot = first.direction.slot(cycle as i64, position);
                // It may pass further slices, from here on.
                let flow = Flow { stream: first, count: done, cadence: cadence.clone(), slot, position };
                self.flows.push(flow);
                return Some(first);
            }
            if fixed.is_some() {
                return None;
            }
        }
        None
    }

    /// One read run of some slice upstream of `position`.
    fn read_to(
        &mut self,
        cadence: &Cadence,
        position: i32,
        cycle: u64,
        flavour: Flavour,
        stream: Stream,
    ) -> bool {
        let chip = self.board.chip.clone();
        let (hemisphere, slice) = *self.rng.pick(&memory::slices(&chip));
        let hops =
            stream.direction.sign() * i64::from(position - Slice::Mem(hemisphere, slice).position(&chip));
        let read = cycle as i64 - hops - i64::from(chip.latency.read);
        let Ok(read) = u64::try_from(read) else { return false };
        if hops < 0 {
            return false;
        }
        let earlier: Vec<Written> =
            self.written.iter().filter(|written| written.place == (hemisphere, slice)).cloned().collect();
        if flavour == Flavour::Any && !earlier.is_empty() && self.rng.chance(50) {
            let written = self.rng.pick(&earlier).clone();
            let Instruction::Mem(Mem::Write { address, .. }) = written.run.instruction else { return false };
            let levels: Vec<(u32, u32)> =
                written.run.repeats.iter().map(|repeat| (repeat.count, repeat.interval)).collect();
            let steps: Vec<i32> = if levels == *cadence {
                written.run.repeats.iter().map(|repeat| repeat.step).collect()
            } else {
                Vec::new()
            };
            let run = self.run(read, Instruction::Mem(Mem::Read { address, stream }), cadence, &steps);
            return self.add(Queue::MemRead(hemisphere, slice), &run);
        }
        let flavour = match flavour {
            Flavour::Any => *self.rng.pick(&[
                Flavour::Any,
                Flavour::Any,
                Flavour::Any,
                Flavour::Any,
                Flavour::Small,
                Flavour::Unknown,
            ]),
            other => other,
        };
        let mut range = memory::region(&chip, flavour);
        if flavour == Flavour::Any && self.rng.chance(20) {
            range = 0..chip.words_per_slice();
        }
        let Some((address, steps)) = self.stepping(cadence, range) else { return false };
        let run = self.run(read, Instruction::Mem(Mem::Read { address, stream }), cadence, &steps);
        self.add(Queue::MemRead(hemisphere, slice), &run)
    }

    /// A cycle by which anything can have come from anywhere.
    pub fn moment(&mut self) -> u64 {
        10 + self.rng.below(140) as u64
    }

    /// Words that come onto streams from nowhere in particular.
    pub fn source(&mut self) {
        let cadence = self.cadence(3);
        let count = *self.rng.pick(&[1usize, 1, 2, 4]);
        let chip = self.board.chip.clone();
        let (hemisphere, slice) = *self.rng.pick(&memory::slices(&chip));
        let (position, cycle) = (Slice::Mem(hemisphere, slice).position(&chip), self.moment());
        self.bring(&cadence, position, cycle, &vec![Flavour::Any; count], count, None);
    }

    /// Two runs whose values alternate on one stream, for consumers that take all of them in one run.
    fn weave(&mut self) {
        let mut cadence = self.cadence(2);
        let gap = cadence.last().map_or(9, |(_, interval)| *interval);
        if gap < 2 {
            return;
        }
        let apart = self.rng.range(1..i64::from(gap)) as u32;
        let cycle = self.moment();
        let Some(stream) = self.bring(&cadence, 0, cycle, &[Flavour::Any], 1, None) else { return };
        if self.bring(&cadence, 0, cycle + u64::from(apart), &[Flavour::Any], 1, Some(stream)).is_some() {
            cadence.push((2, apart));
            let slot = stream.direction.slot(cycle as i64, 0);
            self.flows.push(Flow { stream, count: 1, cadence, slot, position: 0 });
        }
    }

    /// Arithmetic on words or on nothing but immediates.
    fn compute(&mut self) {
        let (cadence, cycle) = (self.cadence(3), self.moment());
        self.alu(&cadence, cycle, None, 3);
    }

    /// The words that were written, as soon as they can be read or a little later.
    fn read_again(&mut self) {
        if self.written.is_empty() {
            return;
        }
        let written = self.rng.pick(&self.written).clone();
        let Instruction::Mem(Mem::Write { address, .. }) = written.run.instruction else { return };
        let direction = self.direction();
        let stream = self.stream(1, direction);
        let wait = if self.rng.chance(60) { 0 } else { self.rng.below(9) as u64 };
        let mut run = written.run.clone();
        run.cycle += u64::from(self.board.chip.latency.write) + wait;
        run.instruction = Instruction::Mem(Mem::Read { address, stream });
        let (hemisphere, slice) = written.place;
        if self.add(Queue::MemRead(hemisphere, slice), &run) {
            let position = Slice::Mem(hemisphere, slice).position(&self.board.chip);
            let put = run.cycle as i64 + i64::from(self.board.chip.latency.read);
            let cadence = run.repeats.iter().map(|repeat| (repeat.count, repeat.interval)).collect();
            let slot = direction.slot(put, position);
            self.flows.push(Flow { stream, count: 1, cadence, slot, position });
        }
    }

    /// Takes a value that is on its way, and does something with it.
    fn go_on(&mut self) {
        if self.flows.is_empty() {
            return self.source();
        }
        let place = self.rng.below(self.flows.len());
        let mut flow = self.flows[place].clone();
        if self.rng.chance(60) {
            self.flows.swap_remove(place);
        }
        if self.rng.chance(15) && !flow.cadence.is_empty() {
            // Some of the values stay behind, and fall off the edge.
            let level = self.rng.below(flow.cadence.len());
            flow.cadence[level].0 = self.rng.range(1..i64::from(flow.cadence[level].0) + 1) as u32;
        }
        let chip = self.board.chip.clone();
        match self.rng.below(4) {
            0 => self.sink(&flow),
            1 | 2 => {
                let Some(cycle) = flow.at(0) else { return self.sink(&flow) };
                self.alu(&flow.cadence.clone(), cycle, Some(&flow), 3);
            }
            _ => {
                let side = *self.rng.pick(&Hemisphere::BOTH);
                let Some(cycle) = flow.at(Slice::Sxm(side).position(&chip)) else { return self.sink(&flow) };
                self.switch(&flow, side, cycle);
            }
        }
    }

    /// Writes a group of streams, each to a slice of its own or to one and the same.
    pub fn sink(&mut self, flow: &Flow) {
        let chip = self.board.chip.clone();
        let region = if self.rng.chance(70) {
            memory::region(&chip, Flavour::Free)
        } else {
            // Over words that hold something, and may just have been read.
            0..chip.words_per_slice()
        };
        let Some((base, steps)) = self.stepping(&flow.cadence, region) else { return };
        for offset in 0..flow.count {
            let stream = Stream { number: flow.stream.number + offset as u8, ..flow.stream };
            for _ in 0..5 {
                let (hemisphere, slice) = *self.rng.pick(&memory::slices(&chip));
                let Some(cycle) = flow.at(Slice::Mem(hemisphere, slice).position(&chip)) else { continue };
                let write = Instruction::Mem(Mem::Write { address: base, stream });
                let run = self.run(cycle, write, &flow.cadence, &steps);
                if self.add(Queue::MemWrite(hemisphere, slice), &run) {
                    self.written.push(Written { place: (hemisphere, slice), run });
                    break;
                }
            }
        }
    }

    /// An ALU's work on a value that comes, or on others, and perhaps a chain of others on its result.
    fn alu(&mut self, cadence: &Cadence, cycle: u64, flow: Option<&Flow>, depth: usize) {
        let given = flow.and_then(|flow| {
            let formats: Vec<Format> = Format::OF_ALUS
                .into_iter()
                .filter(|format| {
                    let width = format.streams();
                    usize::from(width) <= flow.count && flow.stream.number.is_multiple_of(width)
                })
                .collect();
            (!formats.is_empty()).then(|| Operand::Stream(flow.stream, *self.rng.pick(&formats)))
        });
        self.alu_on(cadence, cycle, given, depth);
    }

    fn alu_on(&mut self, cadence: &Cadence, cycle: u64, given: Option<Operand>, depth: usize) {
        let op = *self.rng.pick(&VxmOp::ALL);
        let mut a = self.operand(cadence, cycle);
        let mut b = match self.rng.below(4) {
            0 => a,
            _ => self.operand(cadence, cycle),
        };
        if let Some(given) = given {
            if self.rng.chance(50) {
                a = given
            } else {
                b = given
            }
            if op.operands() == 1 || self.rng.chance(10) {
                a = given;
            }
        }
        let format = *self.rng.pick(&Format::OF_ALUS);
        let direction = self.direction();
        let result = (depth == 0 || self.rng.chance(70))
            .then(|| (self.stream(format.streams().into(), direction), format));
        let alu = self.rng.below(usize::from(self.board.chip.vxm.alus)) as u8;
        let vxm = Vxm { op, a, b: (op.operands() == 2).then_some(b), result };
        let run = self.run(cycle, Instruction::Vxm(vxm), cadence, &[]);
        if !self.add(Queue::Vxm(alu), &run) {
            return;
        }
        let latency = u64::from(self.board.chip.latency.vxm);
        if let Some((stream, format)) = result {
            let slot = stream.direction.slot((cycle + latency) as i64, 0);
            let count = usize::from(format.streams());
            self.flows.push(Flow { stream, count, cadence: cadence.clone(), slot, position: 0 });
        }
        if depth > 0 && self.rng.chance(60) {
            let delay = self.rng.range(latency as i64..i64::from(self.board.chip.vxm.forward_depth) + 1);
            let forward = Operand::Alu { alu, delay: delay as u8 };
            self.alu_on(cadence, cycle + delay as u64, Some(forward), depth - 1);
        }
    }

    pub fn operand(&mut self, cadence: &Cadence, cycle: u64) -> Operand {
        const WORDS: [u32; 12] = [
            0,
            1,
            3,
            31,
            0x3f80_0000,
            0x4049_0fdb,
            0x7f80_0000,
            0xff80_0000,
            0xffa0_1234,
            0x8000_0000,
            0x0000_0100,
            0xc2c8_0000,
        ];
        if self.rng.chance(50) {
            let format = *self.rng.pick(&Format::OF_ALUS);
            let count = usize::from(format.streams());
            if let Some(stream) = self.bring(cadence, 0, cycle, &vec![Flavour::Any; count], count, None) {
                return Operand::Stream(stream, format);
            }
        }
        let word = if self.rng.chance(80) { *self.rng.pick(&WORDS) } else { self.rng.next() as u32 };
        Operand::Immediate(word)
    }

    /// Lane switching of a value that passes an SXM.
    fn switch(&mut self, flow: &Flow, side: Hemisphere, cycle: u64) {
        let chip = self.board.chip.clone();
        let position = Slice::Sxm(side).position(&chip);
        let direction = if self.rng.chance(85) { side.inward() } else { side.outward() };
        let (from, to) = (flow.stream, self.stream(1, direction));
        let streams = 1 + self.rng.below(flow.count) as u8;
        let map = |rng: &mut Rng, ids: std::ops::Range<u16>| {
            ids.start + rng.below(usize::from(ids.end - ids.start)) as u16
        };
        let sxm = match self.rng.below(5) {
            0 => {
                let lanes = self.rng.range(-(chip.lanes as i64) - 2..chip.lanes as i64 + 3) as i16;
                Sxm::Shift { lanes, streams, from, to }
            }
            1 => {
                let flavours = vec![Flavour::Any; streams.into()];
                let other = self.bring(&flow.cadence, position, cycle, &flavours, 1, None);
                Sxm::Select {
                    map: map(&mut self.rng, SELECTIONS),
                    streams,
                    from,
                    other: other.unwrap_or(from),
                    to,
                }
            }
            2 => Sxm::Permute { map: map(&mut self.rng, PERMUTATIONS), streams, from, to },
            3 => Sxm::Distribute { map: map(&mut self.rng, DISTRIBUTIONS), streams, from, to },
            _ if flow.count >= 3 => Sxm::Rotate { n: 3 + (flow.count >= 4) as u8, from, to },
            _ => Sxm::Shift { lanes: 1, streams, from, to },
        };
        // Maps and shifts step too; where that leads out of range the board refuses.
        let steps: Vec<i32> = flow.cadence.iter().map(|_| *self.rng.pick(&[0, 0, 1, -1])).collect();
        self.switch_to(sxm, side, cycle, &flow.cadence, &steps);
    }

    /// Adds lane switching; says where its result goes.
    pub fn switch_to(
        &mut self,
        sxm: Sxm,
        side: Hemisphere,
        cycle: u64,
        cadence: &Cadence,
        steps: &[i32],
    ) -> Option<Flow> {
        let chip = self.board.chip.clone();
        let crossing = matches!(sxm, Sxm::Shift { .. } | Sxm::Permute { .. } | Sxm::Rotate { .. });
        let stagger = if crossing { u64::from(chip.stagger()) } else { 0 };
        let (to, count) = match sxm {
            Sxm::Shift { streams, to, .. }
            | Sxm::Select { streams, to, .. }
            | Sxm::Permute { streams, to, .. }
            | Sxm::Distribute { streams, to, .. } => (to, usize::from(streams)),
            Sxm::Rotate { n, to, .. } => (to, usize::from(n * n)),
            Sxm::Transpose { to, .. } => (to, chip.lanes_per_superlane),
        };
        let queue = Queue::Sxm(side, self.rng.below(usize::from(chip.sxm.queues_per_hemisphere)) as u8);
        let mut run = self.run(cycle, Instruction::Sxm(sxm), cadence, steps);
        if !self.board.accepts(queue, &run, false) {
            run.repeats.iter_mut().for_each(|repeat| repeat.step = 0);
        }
        if !self.add(queue, &run) {
            return None;
        }
        let position = Slice::Sxm(side).position(&chip);
        let put = cycle + u64::from(chip.latency.sxm) + stagger;
        let slot = to.direction.slot(put as i64, position);
        let all = Flow { stream: to, count, cadence: cadence.clone(), slot, position };
        let first = self.rng.below(count) as u8;
        let rest = (count - usize::from(first)).min(4);
        let part = Stream { number: to.number + first, ..to };
        self.flows.push(Flow { stream: part, count: rest, ..all.clone() });
        Some(all)
    }

    /// As many streams as a transposition takes: from a rotation in the one SXM to the other SXM.
    fn transpose(&mut self) {
        let chip = self.board.chip.clone();
        let side = *self.rng.pick(&Hemisphere::BOTH);
        let (cadence, cycle) = (self.cadence(1), self.moment());
        let position = Slice::Sxm(side).position(&chip);
        let Some(from) = self.bring(&cadence, position, cycle, &[Flavour::Any; 4], 1, None) else { return };
        let to = self.stream(1, side.inward());
        let rotate = Sxm::Rotate { n: 4, from, to };
        let Some(flow) = self.switch_to(rotate, side, cycle, &cadence, &[]) else { return };
        let Some(cycle) = flow.at(Slice::Sxm(side.other()).position(&chip)) else { return };
        let to = self.stream(1, side.other().inward());
        let transpose = Sxm::Transpose { from: flow.stream, to };
        self.switch_to(transpose, side.other(), cycle, &cadence, &[]);
    }
}

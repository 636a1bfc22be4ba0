//! Random programs: of pieces that are sound each by itself, or of nonsense.

use isa::chip::{C2cUnits, Latency, MemUnits, MxmUnits, SxmUnits, VxmUnits};
use isa::instruction::{AccMode, Operand, VxmOp, Window};
use isa::place::MxmPort;
use isa::program::ZERO_LANE;
use isa::{
    C2c, Chip, ChipProgram, Direction, Format, Hemisphere, Instruction, Mem, Mxm, Queue, Repeat, Run,
    Segment, SegmentData, Slice, Stream, Sxm, Vxm,
};

use super::rng::Rng;

const SLICES: u16 = 5;
const BANK: u32 = 40;

/// Two superlanes of two lanes, and small latencies.
pub(in crate::fast) fn chip(rng: &mut Rng) -> Chip {
    let planes = if rng.one_in(6) { 3 } else { 2 };
    let mut d = |most: u64| rng.within(1, most) as u16;
    Chip {
        name: "small".to_owned(),
        lanes: 4,
        lanes_per_superlane: 2,
        streams: 20,
        mem: MemUnits { slices_per_hemisphere: SLICES, banks: 2, words_per_bank: BANK },
        mxm: MxmUnits {
            planes_per_hemisphere: planes,
            rows: 4,
            load_streams_per_plane: 4,
            accumulators: 6,
            formats: Format::OF_WEIGHTS.to_vec(),
        },
        vxm: VxmUnits { alus: 4, forward_depth: 12 },
        sxm: SxmUnits { queues_per_hemisphere: 2 },
        c2c: C2cUnits { links_per_hemisphere: 1 },
        latency: Latency {
            read: d(5),
            write: d(4),
            gather: d(7),
            vxm: d(4),
            load: d(5),
            install: d(4),
            product: d(8),
            accumulate: d(5),
            sxm: d(3),
            c2c: 3,
        },
        ..Chip::preset("tsp-v1").expect("a preset")
    }
}

/// Repeats as (count, interval, step).
type Repeats = Vec<(u32, u32, i32)>;

/// A program in the making.
pub(in crate::fast) struct Maker<'m> {
    chip: &'m Chip,
    rng: &'m mut Rng,
    pub(in crate::fast) program: ChipProgram,
    /// Cycle from which the next piece begins.
    now: u64,
}

impl<'m> Maker<'m> {
    pub(in crate::fast) fn new(chip: &'m Chip, rng: &'m mut Rng) -> Maker<'m> {
        let mut program = ChipProgram::default();
        for half in Hemisphere::BOTH {
            for slice in 0..SLICES {
                let (address, words) = match rng.below(70) {
                    0 => continue,
                    1 => (rng.below(30) as u32, rng.within(1, 50) as u32),
                    _ => (0, 2 * BANK),
                };
                let data = SegmentData::Fill(if slice == 0 { rng.below(4) as u8 } else { 0 });
                program.memory.push(Segment { hemisphere: half, slice, address, words, data, node: 1 });
            }
        }
        let lanes: Vec<u16> = (0..4).collect();
        program.maps = vec![lanes.clone(), lanes.into_iter().rev().collect(), vec![0, 1, 1, ZERO_LANE]];
        Maker { chip, rng, program, now: 20 }
    }

    /// Some pieces, one after the other or over each other.
    pub(in crate::fast) fn sound(&mut self) {
        for _ in 0..self.rng.within(1, 4) {
            match self.rng.below(10) {
                0 | 1 => self.vector(),
                2..=4 => self.matrix(),
                5 => self.switch(),
                6 => self.copy(),
                7 | 8 => self.replace(),
                _ => self.indexed(),
            }
        }
        for runs in self.program.queues.values_mut() {
            runs.sort_by_key(|run| run.cycle);
        }
    }

    fn add(&mut self, cycle: u64, queue: Queue, instruction: Instruction, repeats: &Repeats) {
        let repeats = repeats
            .iter()
            .map(|&(count, interval, step)| Repeat { count, interval, step, window_step: 0 })
            .collect();
        let run = Run { cycle, instruction, repeats, node: 1 };
        self.program.queues.entry(queue).or_default().push(run);
    }

    fn half(&mut self) -> Hemisphere {
        Hemisphere::BOTH[self.rng.below(2) as usize]
    }

    /// Well nested levels, innermost tight or not; and the span.
    fn levels(&mut self, least: u32) -> (Repeats, u64) {
        let (mut levels, mut span) = (Vec::new(), u64::from(least) - 1);
        for _ in 0..self.rng.below(4) {
            let count = self.rng.within(1, 5) as u32;
            let interval = span as u32 + 1 + if self.rng.one_in(2) { self.rng.below(6) as u32 } else { 0 };
            levels.push((count, interval, 0));
            span += u64::from(count - 1) * u64::from(interval);
        }
        levels.reverse();
        (levels, span)
    }

    /// Steps for some levels, that keep addresses from `base` on within 40 words.
    fn steps(&mut self, levels: &Repeats) -> Repeats {
        let mut left = 30i32;
        let mut step = |&(count, interval, _): &(u32, u32, i32)| {
            let most = left / count as i32;
            let step = if self.rng.one_in(3) { 0 } else { self.rng.below(most.clamp(1, 4) as u64) as i32 };
            left -= step * count as i32;
            (count, interval, step)
        };
        levels.iter().map(&mut step).collect()
    }

    fn end(&mut self, end: u64) {
        self.now = if self.rng.one_in(3) { self.now + self.rng.below(9) } else { end + self.rng.below(4) };
    }

    fn stream(&mut self, align: u8, direction: Direction) -> Stream {
        let number = self.rng.below(u64::from(20 / align)) as u8 * align;
        Stream { number, direction }
    }

    fn distance(&self, slice: Slice) -> u64 {
        u64::from(slice.position(self.chip).unsigned_abs())
    }

    /// A read whose word is `away` positions further on in `cycle`.
    fn read_for(
        &mut self,
        cycle: u64,
        (half, slice): (Hemisphere, u16),
        away: u64,
        stream: Stream,
        levels: &Repeats,
    ) {
        let begin = cycle.saturating_sub(away + u64::from(self.chip.latency.read));
        let steps = self.steps(levels);
        let read = Mem::Read { address: self.rng.below(8) as u32, stream };
        self.add(begin, Queue::MemRead(half, slice), Instruction::Mem(read), &steps);
    }

    fn write(&mut self, cycle: u64, half: Hemisphere, slice: u16, stream: Stream, levels: &Repeats) {
        let steps = self.steps(levels);
        let write = Mem::Write { address: BANK + self.rng.below(8) as u32, stream };
        self.add(cycle, Queue::MemWrite(half, slice), Instruction::Mem(write), &steps);
    }

    /// MEM → VXM → MEM.
    fn vector(&mut self) {
        let (levels, span) = self.levels(1);
        let at = self.now + 12;
        let (from, to) = (self.half(), self.half());
        let width = if self.rng.one_in(3) { 4 } else { 1 };
        let format = if width == 4 { Format::I32 } else { Format::I8 };
        let source = self.stream(width, from.inward());
        for byte in 0..width {
            let slice = if width == 1 { self.rng.below(SLICES.into()) as u16 } else { byte.into() };
            let stream = Stream { number: source.number + byte, ..source };
            let away = self.distance(Slice::Mem(from, slice));
            self.read_for(at, (from, slice), away, stream, &levels);
        }
        let d = u64::from(self.chip.latency.vxm);
        let first = self.rng.below(4) as u8;
        let result = self.stream(1, to.outward());
        let vxm = |op, a, b, result| Instruction::Vxm(Vxm { op, a, b, result });
        let a = Operand::Stream(source, format);
        let result = Some((result, Format::I8));
        let done = if self.rng.one_in(2) {
            let delay = self.rng.within(d, 12) as u8;
            let second = (first + 1) % 4;
            self.add(at, Queue::Vxm(first), vxm(VxmOp::Pass, a, None, None), &levels);
            let forward = Operand::Alu { alu: first, delay };
            let other = if delay as u64 == d { forward } else { Operand::Immediate(3) };
            let at = at + u64::from(delay);
            self.add(at, Queue::Vxm(second), vxm(VxmOp::IntAdd, forward, Some(other), result), &levels);
            at + d
        } else {
            self.add(at, Queue::Vxm(first), vxm(VxmOp::Relu, a, None, result), &levels);
            at + d
        };
        let slice = self.rng.below(SLICES.into()) as u16;
        let away = self.distance(Slice::Mem(to, slice));
        if let Some((stream, _)) = result {
            self.write(done + away, to, slice, stream, &levels);
        }
        self.end(done + away + span);
    }

    /// MEM → MXM → MEM, tile by tile.
    fn matrix(&mut self) {
        let half = self.half();
        let format = Format::OF_PLANES[self.rng.below(3) as usize];
        let (f16, width) = (format == Format::F16, format.streams());
        let plane = if f16 { 0 } else { self.rng.below(2) as u8 };
        let d = self.chip.latency.clone();
        let weights_in = match format {
            Format::F16 => [Format::F16, Format::I4, Format::F4, Format::F8Wide][self.rng.below(4) as usize],
            other => other,
        };
        let rows = self.chip.buffer_rows(weights_in) as u8;
        let count = [1, 2, if rows == 4 { 4 } else { 3 }][self.rng.below(3) as usize];
        let loads = rows / count;
        let vectors = if self.rng.one_in(8) { 40 } else { self.rng.within(1, 6) as u32 };
        let lw_at = self.now + 15;
        let iw_at = lw_at + u64::from(loads) - 1 + u64::from(d.load) + self.rng.below(2);
        let abc_at = iw_at + u64::from(d.install) + self.rng.below(2);
        let acc_at = abc_at + u64::from(d.product) + 2;
        let beat = if f16 { self.rng.within(2, 3) } else { self.rng.within(1, 3) } as u32;
        let tight = (iw_at - lw_at + 1).max(u64::from(loads)).max(u64::from(vectors * beat));
        let period = if self.rng.one_in(2) { abc_at - lw_at + u64::from(vectors * beat) } else { tight };
        let tiles = [1, 2, 3, 40][self.rng.below(4) as usize];
        let period = period as u32 + if self.rng.one_in(2) { 0 } else { self.rng.below(4) as u32 };
        let outer = (tiles, period, 0);
        let weights = self.stream(4, half.outward());
        let streams = count * weights_in.streams();
        let (mxm, queue) = (Slice::Mxm(half), |port| Queue::Mxm(half, plane, port));
        let lw_levels = vec![outer, (loads.into(), 1, i32::from(count))];
        let lw = Mxm::Lw { stream: weights, count, row: 0, row_stride: 1, format: weights_in };
        self.add(lw_at, queue(MxmPort::Load), Instruction::Mxm(lw), &lw_levels);
        let still = vec![outer, (loads.into(), 1, 0)];
        for byte in 0..streams.min(4) {
            let stream = Stream { number: weights.number + byte, ..weights };
            let away = self.distance(mxm) - self.distance(Slice::Mem(half, byte.into()));
            self.read_for(lw_at, (half, byte.into()), away, stream, &still);
        }
        self.add(iw_at, queue(MxmPort::Install), Instruction::Mxm(Mxm::Iw), &vec![outer]);
        let vector_levels = vec![outer, (vectors, beat, 0)];
        let activations = self.stream(2, half.outward());
        self.add(
            abc_at,
            queue(MxmPort::Stream),
            Instruction::Mxm(Mxm::Abc { stream: activations, format }),
            &vector_levels,
        );
        for byte in 0..width {
            let stream = Stream { number: activations.number + byte, ..activations };
            let slice = if width == 1 { 4 } else { 3 + u16::from(byte) };
            let away = self.distance(mxm) - self.distance(Slice::Mem(half, slice));
            self.read_for(abc_at, (half, slice), away, stream, &vector_levels);
        }
        let emit = if self.rng.one_in(2) { Some(self.stream(4, half.inward())) } else { None };
        let mode = if self.rng.one_in(12) { AccMode::Add } else { AccMode::Start };
        let mut acc_levels = vec![outer, (vectors, beat, i32::from(vectors < 7 && self.rng.one_in(2)))];
        if self.rng.one_in(6) {
            acc_levels[0].2 = 1;
        }
        let acc = Mxm::Acc { address: 0, mode, emit };
        self.add(acc_at, queue(MxmPort::Accumulate), Instruction::Mxm(acc), &acc_levels);
        let mut end = acc_at;
        if let Some(stream) = emit {
            let slice = self.rng.below(SLICES.into()) as u16;
            let away = self.distance(mxm) - self.distance(Slice::Mem(half, slice));
            let stream = Stream { number: stream.number + self.rng.below(4) as u8, ..stream };
            end = acc_at + u64::from(d.accumulate) + away;
            self.write(end, half, slice, stream, &vector_levels);
        }
        self.end(end + u64::from(tiles) * u64::from(period));
    }

    /// MEM → SXM → MEM.
    fn switch(&mut self) {
        let (levels, span) = self.levels(1);
        let half = self.half();
        let (slice, to_slice) = (self.rng.below(SLICES.into()) as u16, self.rng.below(SLICES.into()) as u16);
        let at = self.now + 14;
        let (from, to) = (self.stream(1, half.outward()), self.stream(1, half.inward()));
        let away = self.distance(Slice::Sxm(half));
        let from_away = away - self.distance(Slice::Mem(half, slice));
        self.read_for(at, (half, slice), from_away, from, &levels);
        let map = self.rng.below(2) as u16;
        let (sxm, crossing) = match self.rng.below(4) {
            0 => (Sxm::Shift { lanes: 1, streams: 1, from, to }, 2),
            1 => (Sxm::Permute { map, streams: 1, from, to }, 2),
            2 => (Sxm::Distribute { map: 2, streams: 1, from, to }, 0),
            _ => (Sxm::Select { map: 2, streams: 1, from, other: from, to }, 0),
        };
        let queue = Queue::Sxm(half, self.rng.below(2) as u8);
        self.add(at, queue, Instruction::Sxm(sxm), &levels);
        let done = at + u64::from(self.chip.latency.sxm) + crossing;
        let away = away - self.distance(Slice::Mem(half, to_slice));
        self.write(done + away, half, to_slice, to, &levels);
        self.end(done + away + span);
    }

    /// MEM → MEM, and read back where it was written, at once or later.
    fn copy(&mut self) {
        let (levels, span) = self.levels(1);
        let half = self.half();
        let at = self.now + 10;
        let stream = self.stream(1, half.outward());
        self.read_for(at, (half, 0), 1, stream, &levels);
        let steps = self.steps(&levels);
        let address = BANK + self.rng.below(8) as u32;
        let write = Mem::Write { address, stream };
        self.add(at, Queue::MemWrite(half, 1), Instruction::Mem(write), &steps);
        let later = self.rng.within(1, 6) + if self.rng.one_in(2) { span } else { 0 };
        let back = Mem::Read { address, stream: self.stream(1, half.inward()) };
        self.add(at + later, Queue::MemRead(half, 1), Instruction::Mem(back), &steps);
        self.end(at + later + span);
    }

    /// Along one stream: words read into slots, written, and replaced in the slots by the words of a slice further on; seldom by words that
    /// are gathered, or before they are written.
    fn replace(&mut self) {
        let (levels, span) = self.levels(1);
        let half = self.half();
        let direction = if self.rng.one_in(2) { half.inward() } else { half.outward() };
        let stream = self.stream(1, direction);
        let at = self.now + 20;
        // Slices in the order in which the stream passes them, and when.
        let mut slices: Vec<u16> = (0..SLICES).collect();
        if direction == half.inward() {
            slices.reverse();
        }
        let mut place = self.rng.below(2) as usize;
        while let Some(&from) = slices.get(place) {
            if half == Hemisphere::East && direction == Direction::East && self.rng.one_in(4) {
                self.gather_for(at + place as u64, from, stream, &levels);
            } else {
                self.read_for(at + place as u64, (half, from), 0, stream, &levels);
            }
            for _ in 0..=self.rng.below(2) {
                place += self.rng.below(2) as usize;
                let Some(&to) = slices.get(place) else { break };
                let mut some = levels.clone();
                if let Some(level) = some.first_mut().filter(|_| self.rng.one_in(8)) {
                    level.0 = self.rng.within(1, level.0.into()) as u32;
                }
                if !self.rng.one_in(12) {
                    self.write(at + place as u64, half, to, stream, &some);
                }
            }
            place += usize::from(!self.rng.one_in(12));
        }
        self.end(at + 6 + span);
    }

    /// A gather whose words are at an east slice in `cycle`, with an index from the west.
    fn gather_for(&mut self, cycle: u64, slice: u16, stream: Stream, levels: &Repeats) {
        let dispatched = cycle.saturating_sub(self.chip.latency.gather.into());
        let index = self.stream(4, Direction::East);
        for byte in 0..4 {
            let stream = Stream { number: index.number + byte, ..index };
            let west = (Hemisphere::West, u16::from(byte));
            let away = self.distance(Slice::Mem(west.0, west.1))
                + self.distance(Slice::Mem(Hemisphere::East, slice));
            self.read_for(dispatched, west, away, stream, levels);
        }
        let window = Window { first: 0, count: 2, base: self.rng.below(8) as u32, stride: 1 };
        let gather = Instruction::Mem(Mem::Gather { window, index, stream });
        self.add(dispatched, Queue::MemRead(Hemisphere::East, slice), gather, levels);
    }

    /// Indices from one half, gathered from and scattered to the other.
    fn indexed(&mut self) {
        let (levels, span) = self.levels(1);
        let (from, half) = (Hemisphere::West, Hemisphere::East);
        let at = self.now + 14;
        let index = self.stream(4, Direction::East);
        for byte in 0..4 {
            let stream = Stream { number: index.number + byte, ..index };
            let away = self.distance(Slice::Mem(from, byte.into()));
            self.read_for(at, (from, byte.into()), away, stream, &levels);
        }
        let to = self.stream(1, half.outward());
        for slice in 1..=self.rng.within(1, 3) as u16 {
            let window = Window {
                first: 2 * i32::from(slice) - 2,
                count: self.rng.below(5) as u32,
                base: self.rng.below(8) as u32 + if self.rng.one_in(4) { BANK } else { 0 },
                stride: self.rng.below(3) as u32,
            };
            let away = self.distance(Slice::Mem(half, slice));
            let steps = if self.rng.one_in(2) { self.steps(&levels) } else { levels.clone() };
            if self.rng.one_in(3) {
                let scatter = Mem::Scatter { window, index, stream: index };
                self.add(at + away, Queue::MemWrite(half, slice), Instruction::Mem(scatter), &steps);
                let back = Mem::Read { address: window.base, stream: self.stream(1, half.inward()) };
                let later = at + away + self.rng.within(1, 9);
                self.add(later, Queue::MemRead(half, slice), Instruction::Mem(back), &steps);
            } else {
                let gather = Mem::Gather { window, index, stream: to };
                self.add(at + away, Queue::MemRead(half, slice), Instruction::Mem(gather), &steps);
            }
        }
        let done = at + self.distance(Slice::Mem(half, 4)) + u64::from(self.chip.latency.gather);
        self.write(done, half, 4, to, &levels);
        self.end(done + span);
    }
}

/// Adds runs of anything to the program, near its beginning.
pub(in crate::fast) fn senseless(program: &mut ChipProgram, rng: &mut Rng) {
    for _ in 0..rng.within(1, 12) {
        let half = Hemisphere::BOTH[rng.below(2) as usize];
        let stream = |rng: &mut Rng| Stream {
            number: rng.below(22) as u8,
            direction: if rng.one_in(2) { Direction::East } else { Direction::West },
        };
        let (a, b) = (stream(rng), stream(rng));
        let slice = rng.below(SLICES.into()) as u16;
        let window = Window {
            first: rng.below(5) as i32,
            count: rng.below(5) as u32,
            base: rng.below(85) as u32,
            stride: rng.below(4) as u32,
        };
        let address = rng.below(85) as u32;
        let format = Format::OF_PLANES[rng.below(3) as usize];
        let map = rng.below(5) as u16;
        let plane = rng.below(2) as u8;
        let streams = rng.within(1, 4) as u8;
        let (queue, instruction) = match rng.below(16) {
            0 | 1 => (Queue::MemRead(half, slice), Instruction::Mem(Mem::Read { address, stream: a })),
            2 => (Queue::MemWrite(half, slice), Instruction::Mem(Mem::Write { address, stream: a })),
            3 => (Queue::MemRead(half, slice), Instruction::Mem(Mem::Gather { window, index: a, stream: b })),
            4 => {
                (Queue::MemWrite(half, slice), Instruction::Mem(Mem::Scatter { window, index: a, stream: b }))
            }
            5..=7 => {
                let operand = Operand::Alu { alu: rng.below(5) as u8, delay: rng.below(14) as u8 };
                let a = if rng.one_in(2) { Operand::Immediate(1) } else { operand };
                let result =
                    if rng.one_in(2) { Some((b, Format::OF_ALUS[rng.below(5) as usize])) } else { None };
                let vxm = Vxm { op: VxmOp::Pass, a, b: None, result };
                (Queue::Vxm(rng.below(4) as u8), Instruction::Vxm(vxm))
            }
            8 => {
                let format = Format::OF_WEIGHTS[rng.below(6) as usize];
                let lw =
                    Mxm::Lw { stream: a, count: streams, row: rng.below(6) as u16, row_stride: 1, format };
                (Queue::Mxm(half, plane, MxmPort::Load), Instruction::Mxm(lw))
            }
            9 => (Queue::Mxm(half, plane, MxmPort::Install), Instruction::Mxm(Mxm::Iw)),
            10 => {
                (Queue::Mxm(half, plane, MxmPort::Stream), Instruction::Mxm(Mxm::Abc { stream: a, format }))
            }
            11 => {
                let acc = Mxm::Acc { address: map, mode: AccMode::Start, emit: Some(a) };
                (Queue::Mxm(half, plane, MxmPort::Accumulate), Instruction::Mxm(acc))
            }
            12 => (
                Queue::Sxm(half, plane),
                Instruction::Sxm(Sxm::Select { map, streams, from: a, other: a, to: b }),
            ),
            13 => (Queue::Sxm(half, plane), Instruction::Sxm(Sxm::Transpose { from: a, to: b })),
            14 => (Queue::Sxm(half, plane), Instruction::Sxm(Sxm::Rotate { n: 3, from: a, to: b })),
            _ => (Queue::C2c(half, 0), Instruction::C2c(C2c::Send { stream: a })),
        };
        let mut repeats = Vec::new();
        for _ in 0..rng.below(3) {
            repeats.push(Repeat {
                count: rng.within(1, 4) as u32,
                interval: rng.within(1, 12) as u32,
                step: rng.below(5) as i32 - 2,
                window_step: rng.below(3) as i32,
            });
        }
        let run = Run { cycle: rng.below(120), instruction, repeats, node: rng.below(2) as u32 };
        let runs = program.queues.entry(queue).or_default();
        let place = runs.partition_point(|other| other.cycle <= run.cycle);
        runs.insert(place, run);
    }
}

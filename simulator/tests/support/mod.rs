//! A tiny chip, and small correct programs for it, built by hand.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod damage;

use std::collections::BTreeMap;

use isa::chip::{C2cUnits, Latency, MemUnits, MxmUnits, SxmUnits, VxmUnits};
use isa::instruction::{AccMode, Operand, Vxm, VxmOp, Window};
use isa::place::MxmPort::{Accumulate, Install, Load, Stream as Activate};
use isa::stream::Format;
use isa::{
    Chip, ChipProgram, Direction, Element, Hemisphere, Instruction, Mem, Mxm, Placement, Port, PortKind,
    Program, Queue, Repeat, Run, Segment, SegmentData, Stream, Sxm,
};

use simulator::Engine;

pub use Hemisphere::{East, West};
pub const LANES: usize = 32;

/// The engines that every program here is tried on.
pub const ENGINES: &[Engine] = &[Engine::Reference, Engine::Fast, Engine::Tandem];

/// Two superlanes, four MEM slices a side (positions 1 to 4), SXM at 5, MXM at 6. Every latency is different.
pub fn tiny() -> Chip {
    Chip {
        name: "tiny".to_owned(),
        lanes: LANES,
        lanes_per_superlane: 16,
        streams: 32,
        mem: MemUnits { slices_per_hemisphere: 4, banks: 2, words_per_bank: 64 },
        mxm: MxmUnits {
            planes_per_hemisphere: 2,
            rows: 32,
            load_streams_per_plane: 4,
            accumulators: 8,
            formats: Format::OF_WEIGHTS.to_vec(),
        },
        vxm: VxmUnits { alus: 4, forward_depth: 12 },
        sxm: SxmUnits { queues_per_hemisphere: 2 },
        c2c: C2cUnits { links_per_hemisphere: 1 },
        latency: Latency {
            read: 5,
            write: 3,
            gather: 7,
            vxm: 4,
            load: 6,
            install: 8,
            product: 11,
            accumulate: 9,
            sxm: 2,
            c2c: 10,
        },
        ..Chip::preset("tsp-v1").expect("a preset")
    }
}

/// Eastward stream.
pub fn e(number: u8) -> Stream {
    Stream { number, direction: Direction::East }
}

/// Westward stream.
pub fn w(number: u8) -> Stream {
    Stream { number, direction: Direction::West }
}

pub fn load(side: Hemisphere) -> Queue {
    Queue::Mxm(side, 0, Load)
}
pub fn install(side: Hemisphere) -> Queue {
    Queue::Mxm(side, 0, Install)
}
pub fn activate(side: Hemisphere) -> Queue {
    Queue::Mxm(side, 0, Activate)
}
pub fn accumulate(side: Hemisphere) -> Queue {
    Queue::Mxm(side, 0, Accumulate)
}

/// A program in the making.
#[derive(Clone, Default)]
pub struct Draft {
    pub program: ChipProgram,
}

impl Draft {
    /// Adds an instruction.
    pub fn at(&mut self, cycle: u64, queue: Queue, instruction: impl Into<Step>) -> &mut Draft {
        self.repeat(cycle, queue, instruction, &[])
    }

    /// Adds an instruction with repeats of (count, interval, step).
    pub fn repeat(
        &mut self,
        cycle: u64,
        queue: Queue,
        instruction: impl Into<Step>,
        repeats: &[(u32, u32, i32)],
    ) -> &mut Draft {
        let repeats = repeats
            .iter()
            .map(|&(count, interval, step)| Repeat { count, interval, step, window_step: 0 })
            .collect();
        let run = Run { cycle, instruction: instruction.into().0, repeats, node: 1 };
        self.program.queues.entry(queue).or_default().push(run);
        self
    }

    pub fn read(
        &mut self,
        cycle: u64,
        side: Hemisphere,
        slice: u16,
        address: u32,
        stream: Stream,
    ) -> &mut Draft {
        self.at(cycle, Queue::MemRead(side, slice), Mem::Read { address, stream })
    }

    pub fn write(
        &mut self,
        cycle: u64,
        side: Hemisphere,
        slice: u16,
        address: u32,
        stream: Stream,
    ) -> &mut Draft {
        self.at(cycle, Queue::MemWrite(side, slice), Mem::Write { address, stream })
    }

    pub fn alu(
        &mut self,
        cycle: u64,
        alu: u8,
        op: VxmOp,
        operands: &[Operand],
        result: Option<(Stream, Format)>,
    ) -> &mut Draft {
        self.at(cycle, Queue::Vxm(alu), Vxm { op, a: operands[0], b: operands.get(1).copied(), result })
    }

    /// Gives one word its bytes.
    pub fn word(
        &mut self,
        side: Hemisphere,
        slice: u16,
        address: u32,
        value: impl Fn(usize) -> u8,
    ) -> &mut Draft {
        let bytes: Vec<u8> = (0..LANES).map(value).collect();
        let data = SegmentData::Bytes(bytes.into());
        self.program.memory.push(Segment { hemisphere: side, slice, address, words: 1, data, node: 1 });
        self
    }

    /// Names words as an array of `rows` vectors.
    pub fn port(
        &mut self,
        name: &str,
        kind: PortKind,
        element: Element,
        rows: u32,
        address: u32,
        slices: &[(Hemisphere, u16)],
    ) -> &mut Draft {
        let placement = Placement {
            batches: 1,
            rows,
            columns: LANES as u32,
            broadcast: false,
            tile_rows: rows,
            rows_per_stripe: rows,
            address,
            stripes: vec![slices.to_vec()],
        };
        let shape = vec![rows, LANES as u32];
        self.program.ports.push(Port { name: name.to_owned(), kind, element, shape, parts: vec![placement] });
        self
    }

    /// The runs of a queue, to be damaged.
    pub fn runs(&mut self, queue: Queue) -> &mut Vec<Run> {
        self.program.queues.get_mut(&queue).expect("the program uses this queue")
    }

    pub fn program(&self) -> Program {
        Program {
            chip: "tiny".to_owned(),
            nodes: vec![String::new(), "node".to_owned()],
            chips: vec![self.program.clone()],
        }
    }
}

/// Any instruction, without its wrapping.
pub struct Step(pub Instruction);
impl From<Mem> for Step {
    fn from(mem: Mem) -> Step {
        Step(Instruction::Mem(mem))
    }
}
impl From<Vxm> for Step {
    fn from(vxm: Vxm) -> Step {
        Step(Instruction::Vxm(vxm))
    }
}
impl From<Mxm> for Step {
    fn from(mxm: Mxm) -> Step {
        Step(Instruction::Mxm(mxm))
    }
}
impl From<Sxm> for Step {
    fn from(sxm: Sxm) -> Step {
        Step(Instruction::Sxm(sxm))
    }
}
impl From<isa::C2c> for Step {
    fn from(c2c: isa::C2c) -> Step {
        Step(Instruction::C2c(c2c))
    }
}

/// MEM → VXM → MEM: z = (x + y) × 3, x and y bytes, z 32-bit.
pub fn vector() -> Draft {
    let mut draft = Draft::default();
    draft.word(East, 0, 1, |lane| lane as u8).word(East, 1, 2, |lane| (100 - 2 * lane as i32) as u8);
    draft.read(1, East, 0, 1, w(0)).read(0, East, 1, 2, w(1));
    let byte = |stream| Operand::Stream(stream, Format::I8);
    draft.alu(7, 0, VxmOp::IntAdd, &[byte(w(0)), byte(w(1))], None);
    draft.alu(
        11,
        1,
        VxmOp::IntMul,
        &[Operand::Alu { alu: 0, delay: 4 }, Operand::Immediate(3)],
        Some((w(4), Format::I32)),
    );
    for slice in 0..4 {
        draft.write(16 + u64::from(slice), West, slice, 5, w(4 + slice as u8));
    }
    draft.port("z", PortKind::Output, Element::I32, 1, 5, &[0, 1, 2, 3].map(|slice| (West, slice)));
    draft
}

/// The weight from input `k` to output `n`, and the activation of vector `v` at `k`: small integers, exact in any format.
pub fn weight(n: usize, k: usize) -> i32 {
    (n * 7 + k * 3) as i32 % 23 - 11
}
pub fn activation(v: usize, k: usize) -> i32 {
    (v * 5 + k * 11) as i32 % 19 - 9
}

/// The bytes of a small integer in a format.
fn bytes_of(format: Format, value: i32) -> [u8; 2] {
    match format {
        Format::F16 => half::f16::from_f32(value as f32).to_le_bytes(),
        Format::F8 => [isa::numeric::to_f8(value as f32), 0],
        _ => [value as u8, 0],
    }
}

/// Cycle of the first ABC of [`matrix`], by format.
pub fn first_abc(format: Format) -> u64 {
    if format == Format::F16 { 39 } else { 31 }
}

/// MEM → MXM → MEM: y = W (a₀ + a₁), a tile of 32 × 32 weights and two activation vectors, summed in accumulator 2.
pub fn matrix(format: Format) -> Draft {
    let mut draft = Draft::default();
    let width = usize::from(format.streams());
    let rows_per_load = 4 / width;
    let loads = LANES / rows_per_load;
    for slice in 0..4 {
        let (offset, byte) = (slice / width, slice % width);
        for load in 0..loads {
            let row = load * rows_per_load + offset;
            draft.word(East, slice as u16, load as u32, |k| bytes_of(format, weight(row, k))[byte]);
        }
        let read = Mem::Read { address: 0, stream: e(slice as u8) };
        draft.repeat(slice as u64, Queue::MemRead(East, slice as u16), read, &[(loads as u32, 1, 1)]);
    }
    let lw = Mxm::Lw { stream: e(0), count: rows_per_load as u8, row: 0, row_stride: 1, format };
    draft.repeat(10, load(East), lw, &[(loads as u32, 1, rows_per_load as i32)]);
    draft.at(10 + loads as u64 - 1 + 6, install(East), Mxm::Iw);
    let (abc, interval) = (first_abc(format), width as u64);
    for vector in 0..2 {
        for byte in 0..width {
            draft.word(East, byte as u16, 40 + vector as u32, |k| {
                bytes_of(format, activation(vector, k))[byte]
            });
            let cycle = abc + interval * vector as u64 - 10 + byte as u64;
            draft.read(cycle, East, byte as u16, 40 + vector as u32, e(8 + byte as u8));
        }
        draft.at(abc + interval * vector as u64, activate(East), Mxm::Abc { stream: e(8), format });
    }
    let product = abc + 11 + 2;
    draft.at(product, accumulate(East), Mxm::Acc { address: 2, mode: AccMode::Start, emit: None });
    let last = product + interval;
    draft.at(last, accumulate(East), Mxm::Acc { address: 2, mode: AccMode::Add, emit: Some(w(12)) });
    for byte in 0..4 {
        // From the MXM at 6, through the slices at 4, 3, 2, 1.
        draft.write(last + 9 + 2 + byte, East, 3 - byte as u16, 70, w(12 + byte as u8));
    }
    let element = if format == Format::I8 { Element::I32 } else { Element::F32 };
    draft.port("y", PortKind::Output, element, 1, 70, &[3, 2, 1, 0].map(|slice| (East, slice)));
    draft
}

/// MEM → SXM → MEM: the lanes of a word reversed, into west.mem0.
pub fn permute() -> Draft {
    let mut draft = Draft::default();
    draft.program.maps.push((0..LANES as u16).rev().collect());
    draft.word(East, 0, 3, |lane| 7 * lane as u8);
    draft.read(0, East, 0, 3, e(5));
    draft.at(9, Queue::Sxm(East, 1), Sxm::Permute { map: 0, streams: 1, from: e(5), to: w(6) });
    // Put at 9 + 2 + 2 at position 5; west.mem0 is at −1.
    draft.write(19, West, 0, 9, w(6));
    draft
}

/// Index per superlane of [`indexed`].
pub const INDICES: [i32; 2] = [101, 106];

/// Gathers of two tables that share a slot, and a scatter: indices from the west, tables in east.mem1 and east.mem2, results in east.mem3;
/// word 40 + i of east.mem0 gets the value where the index is 100 + i.
pub fn indexed() -> Draft {
    let mut draft = Draft::default();
    for slice in 0..4 {
        draft.word(West, slice, 0, |lane| INDICES[lane / 16].to_le_bytes()[usize::from(slice)]);
        // West slice i is at −1 − i.
        draft.read(4 - u64::from(slice), West, slice, 0, e(4 + slice as u8));
    }
    draft.word(East, 3, 1, |lane| 200 - lane as u8).read(3, East, 3, 1, w(9));
    let data = |tag: usize| {
        let bytes: Vec<u8> = (0..8 * LANES).map(|i| (tag + i / LANES * 16 + i % 16) as u8).collect();
        SegmentData::Bytes(bytes.into())
    };
    for slice in [1, 2] {
        draft.program.memory.push(Segment {
            hemisphere: East,
            slice,
            address: 8,
            words: 8,
            data: data(usize::from(slice)),
            node: 1,
        });
        let window = Window { first: 96 + 4 * i32::from(slice), count: 4, base: 8, stride: 2 };
        let gather = Mem::Gather { window, index: e(4), stream: e(8) };
        // West.mem0 puts at 4 + 5 at −1; east.mem1 is at 2, east.mem2 at 3.
        draft.at(11 + u64::from(slice), Queue::MemRead(East, slice), gather);
    }
    draft.write(11 + 1 + 7 + 2, East, 3, 50, e(8));
    let window = Window { first: 100, count: 8, base: 40, stride: 1 };
    draft.program.memory.push(Segment {
        hemisphere: East,
        slice: 0,
        address: 40,
        words: 8,
        data: SegmentData::Fill(0),
        node: 1,
    });
    draft.at(11, Queue::MemWrite(East, 0), Mem::Scatter { window, index: e(4), stream: w(9) });
    draft
}

/// Every program above, by name.
pub fn all() -> BTreeMap<&'static str, Draft> {
    BTreeMap::from([
        ("vector", vector()),
        ("matrix i8", matrix(Format::I8)),
        ("matrix f8", matrix(Format::F8)),
        ("matrix f16", matrix(Format::F16)),
        ("permute", permute()),
        ("indexed", indexed()),
    ])
}

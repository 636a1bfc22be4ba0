//! Kernels: what a pass of data through the machine does, at times relative to its start, on streams and ALUs that
//! have no number yet and at words of arrays that have no address yet.

use isa::instruction::{AccMode, MapId, VxmOp};
use isa::place::{Hemisphere, Queue};
use isa::stream::{Direction, Format};

use super::storage::{StorageId, Storages};
use crate::graph::NodeId;

/// Streams that a flow occupies: adjacent ones of one direction, in slots relative to the flow's start, from where values are put to where
/// they are taken last.
#[derive(Clone, Debug)]
pub struct StreamUse {
    /// Which way.
    pub direction: Direction,
    /// Adjacent streams.
    pub width: u16,
    /// The first stream's number is a multiple of this.
    pub align: u16,
    /// Position of the first put.
    pub from: i32,
    /// Position of the last take.
    pub to: i32,
    /// Slots, as sorted, disjoint, half-open intervals.
    pub slots: Vec<(i64, i64)>,
    /// These streams of another use, on another part of their way.
    pub of: Option<StreamRef>,
}

/// Reference to a stream of a flow: which use, and which stream of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRef(pub usize, pub u16);

/// An ALU's operand, before ALUs and streams have numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AluOperand {
    /// A stream group.
    Stream(StreamRef, Format),
    /// Result of another ALU of this flow, dispatched that many cycles ago.
    Alu(usize, u8),
    /// Constant bits.
    Immediate(u32),
}

/// A word of an array, by its place in the array's region in one hemisphere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordRef {
    /// Which array.
    pub storage: StorageId,
    /// Hemisphere of the region.
    pub hemisphere: Hemisphere,
    /// MEM slice.
    pub slice: u16,
    /// Word, counted from the region's base.
    pub word: u32,
}

/// An instruction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// MEM Read.
    Read(WordRef, StreamRef),
    /// MEM Write.
    Write(WordRef, StreamRef),
    /// MEM Gather: first index, number of indices, index group.
    Gather(WordRef, i32, u32, StreamRef, StreamRef),
    /// MEM Scatter: first index, number of indices, index group.
    Scatter(WordRef, i32, u32, StreamRef, StreamRef),
    /// One ALU of the flow.
    Alu {
        /// What it does.
        op: VxmOp,
        /// First operand.
        a: AluOperand,
        /// Second operand.
        b: Option<AluOperand>,
        /// Where the result goes.
        result: Option<(StreamRef, Format)>,
    },
    /// SXM Permute of four streams.
    Permute(MapId, StreamRef, StreamRef),
    /// SXM Transpose of as many streams as a superlane has lanes.
    Transpose(StreamRef, StreamRef),
    /// MXM LW: count, first row, stride.
    Lw(StreamRef, u8, u16, u16, Format),
    /// MXM IW.
    Iw,
    /// MXM ABC.
    Abc(StreamRef, Format),
    /// MXM ACC.
    Acc(u16, AccMode, Option<StreamRef>),
    /// C2C Send.
    Send(StreamRef),
    /// C2C Receive.
    Receive(StreamRef),
}

/// Where an instruction of a flow is dispatched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowQueue {
    /// A given queue.
    Fixed(Queue),
    /// The flow's n-th ALU.
    Alu(usize),
    /// The flow's n-th SXM queue.
    Sxm(usize),
}

/// A run of a flow: an instruction, its first cycle relative to the start, and repeats (outermost first).
#[derive(Clone, Debug)]
pub struct FlowRun {
    /// Where.
    pub queue: FlowQueue,
    /// First dispatch, relative.
    pub cycle: i64,
    /// What.
    pub act: Act,
    /// As in [`isa::Run`].
    pub repeats: Vec<isa::Repeat>,
    /// Which of the flow's roles does it; nothing: every chip.
    pub role: Option<usize>,
}

impl FlowRun {
    /// Relative cycles in which it dispatches, as intervals. Dispatches less than `gap` apart are one interval.
    pub fn busy(&self, gap: i64) -> Vec<(i64, i64)> {
        let mut length = 1;
        let mut starts = vec![self.cycle];
        for repeat in self.repeats.iter().rev() {
            let (count, interval) = (i64::from(repeat.count), i64::from(repeat.interval));
            let span = starts.last().map_or(0, |last| last - self.cycle) + length;
            if interval - span < gap {
                length = span + (count - 1) * interval;
                starts.truncate(1);
            } else {
                starts = (0..count).flat_map(|n| starts.iter().map(move |s| s + n * interval)).collect();
            }
        }
        starts.into_iter().map(|start| (start, start + length)).collect()
    }

    /// Relative cycle after the last dispatch.
    pub fn end(&self) -> i64 {
        let spans = self.repeats.iter().map(|r| i64::from(r.count - 1) * i64::from(r.interval));
        self.cycle + spans.sum::<i64>() + 1
    }
}

/// Intervals in order, those less than `gap` apart as one.
pub fn joined(mut spans: Vec<(i64, i64)>, gap: i64) -> Vec<(i64, i64)> {
    spans.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if from - last.1 < gap => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// A vector that is read or written at a relative cycle.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Which array.
    pub storage: StorageId,
    /// Which of its vectors ([`super::storage::Storage::vector`]).
    pub vector: u32,
    /// Relative cycle of the (earliest) dispatch for a read; of the (latest) dispatch for a write.
    pub cycle: i64,
}

/// Many tiles, rigidly one after the other, through one plane, or through the two that make one array of binary16. Cycles are
/// relative to the flow's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conveyor {
    /// Which half.
    pub hemisphere: Hemisphere,
    /// Which plane; of two that are one, the first.
    pub plane: u8,
    /// Whether the next plane is part of it.
    pub paired: bool,
    /// First LW.
    pub load: i64,
    /// First IW.
    pub install: i64,
    /// Last IW.
    pub installed: i64,
    /// End of the last activation.
    pub idle: i64,
}

/// A kernel that the scheduler places as one.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Node of the legal graph that it works for.
    pub node: NodeId,
    /// A word for people: `load`, `stream`, `pointwise`, …
    pub name: &'static str,
    /// Streams it needs.
    pub streams: Vec<StreamUse>,
    /// ALUs it needs: dispatches in [from, to).
    pub alus: Vec<(i64, i64)>,
    /// SXM queues it needs: hemisphere, dispatches in [from, to).
    pub sxm: Vec<(Hemisphere, i64, i64)>,
    /// Instructions.
    pub runs: Vec<FlowRun>,
    /// Vectors read.
    pub reads: Vec<Access>,
    /// Vectors written.
    pub writes: Vec<Access>,
    /// What it does with the weights of planes.
    pub mxm: Option<Conveyor>,
    /// Links it has to itself, in [from, to).
    pub links: Vec<(Queue, i64, i64)>,
    /// Ranks of a group that do what the others do not.
    pub roles: Vec<Vec<usize>>,
}

impl Flow {
    /// An empty flow.
    pub fn new(node: NodeId, name: &'static str) -> Flow {
        Flow {
            node,
            name,
            streams: Vec::new(),
            alus: Vec::new(),
            sxm: Vec::new(),
            runs: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            mxm: None,
            links: Vec::new(),
            roles: Vec::new(),
        }
    }

    /// Adds a use of streams on the way from one position to another, in slots [from, to).
    pub fn stream(
        &mut self,
        direction: Direction,
        width: u16,
        (from, to): (i32, i32),
        slots: (i64, i64),
    ) -> usize {
        self.streams_in(direction, width, (from, to), vec![slots])
    }

    /// The same, in several intervals of slots.
    pub fn streams_in(
        &mut self,
        direction: Direction,
        width: u16,
        (from, to): (i32, i32),
        slots: Vec<(i64, i64)>,
    ) -> usize {
        let align = if width > 4 { 4 } else { width };
        self.streams.push(StreamUse { direction, width, align, from, to, slots, of: None });
        self.streams.len() - 1
    }

    /// More use of streams that another use names: `width` of them, on an earlier part of the way.
    pub fn lead(&mut self, of: StreamRef, width: u16, (from, to): (i32, i32), slots: Vec<(i64, i64)>) {
        let direction = self.streams[of.0].direction;
        self.streams.push(StreamUse { direction, width, align: 1, from, to, slots, of: Some(of) });
    }

    /// Adds a run.
    pub fn run(&mut self, queue: FlowQueue, cycle: i64, act: Act, repeats: Vec<isa::Repeat>) {
        self.runs.push(FlowRun { queue, cycle, act, repeats, role: None });
    }
}

/// The kernels of one chip, in an order in which each comes after what it depends on.
#[derive(Clone, Debug)]
pub struct Kernels {
    /// Arrays.
    pub storages: Storages,
    /// Kernels.
    pub flows: Vec<Flow>,
    /// Lane maps, by [`MapId`].
    pub maps: Vec<Vec<u16>>,
}

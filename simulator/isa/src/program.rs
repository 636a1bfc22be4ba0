//! Programs: queues of runs, lane maps, the memory image, and the ports a host reads and writes.

use std::collections::BTreeMap;

use bytes::Bytes;

pub use crate::verify::verify;
use crate::{Hemisphere, Instruction, Port, Queue};

/// In a lane map: this lane gets zero.
pub const ZERO_LANE: u16 = u16::MAX;

/// Deepest nesting of repeats in one run.
pub const MAX_REPEATS: usize = 4;

/// One level of repetition: the body happens `count` times, `interval` cycles apart, and each time the instruction's main operand
/// moves on by `step`: the address of Read and Write; the base of Gather and Scatter; the row of LW; the accumulator of
/// ACC; the map of Permute, Select and Distribute; the lanes of Shift. All others have step 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Repeat {
    /// Times, at least 1.
    pub count: u32,
    /// Cycles from one to the next, at least 1.
    pub interval: u32,
    /// Change of the main operand from one to the next.
    pub step: i32,
    /// Change of a window's first index from one to the next (Gather and Scatter).
    pub window_step: i32,
}

/// An instruction with its first cycle and its repeats, outermost first. Within a queue, dispatch cycles strictly increase,
/// within a run and from run to run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// Cycle of the first dispatch.
    pub cycle: u64,
    /// What is dispatched.
    pub instruction: Instruction,
    /// Outermost first; empty means once.
    pub repeats: Vec<Repeat>,
    /// Index into [`Program::nodes`]: the model node this work is for.
    pub node: u32,
}

impl Run {
    /// Number of instructions dispatched; the greatest u64 if there are more.
    pub fn instructions(&self) -> u64 {
        self.repeats.iter().fold(1, |product, repeat| product.saturating_mul(u64::from(repeat.count)))
    }

    /// Cycle of the last dispatch; the greatest u64 if it is later.
    pub fn last_cycle(&self) -> u64 {
        let span = |repeat: &Repeat| u64::from(repeat.count.saturating_sub(1)) * u64::from(repeat.interval);
        self.repeats.iter().map(span).fold(self.cycle, u64::saturating_add)
    }
}

/// Words of one slice that hold something before the program starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Half of the chip.
    pub hemisphere: Hemisphere,
    /// MEM slice.
    pub slice: u16,
    /// First word.
    pub address: u32,
    /// Number of words.
    pub words: u32,
    /// What they hold.
    pub data: SegmentData,
    /// Index into [`Program::nodes`].
    pub node: u32,
}

/// Content of a [`Segment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentData {
    /// `words` × lanes bytes.
    Bytes(Bytes),
    /// The same byte everywhere.
    Fill(u8),
    /// Weights that the model names but does not bring: reading them is no hazard, but there are no values.
    Absent,
    /// As [`SegmentData::Absent`], but the BLAKE3 hash of the content is known: what assembly text keeps of a long segment.
    Digest([u8; 32]),
}

/// Where a page of instruction text lies: as many words from `address` on as an Ifetch takes vectors. Its content is not said, since it
/// follows from the queue's runs ([`crate::text`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Page {
    /// Half of the chip.
    pub hemisphere: Hemisphere,
    /// MEM slice.
    pub slice: u16,
    /// First word.
    pub address: u32,
}

/// What one chip does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChipProgram {
    /// Each queue's runs, in order.
    pub queues: BTreeMap<Queue, Vec<Run>>,
    /// Lane maps, `lanes` entries each.
    pub maps: Vec<Vec<u16>>,
    /// What memory holds at the start, by hemisphere, slice and address.
    pub memory: Vec<Segment>,
    /// Arrays that the host writes before and reads after a run of the program.
    pub ports: Vec<Port>,
    /// The pages of those queues that do not hold all of their text, in the order of the text.
    pub text: BTreeMap<Queue, Vec<Page>>,
}

/// A whole program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Name of the chip description it was made for.
    pub chip: String,
    /// Names that runs and segments refer to; index 0 is the empty name.
    pub nodes: Vec<String>,
    /// One per chip.
    pub chips: Vec<ChipProgram>,
}

//! Which streams an instruction takes and puts, and when.

use isa::instruction::{Mem, Mxm, Operand, Sxm};
use isa::stream::{Format, Stream};
use isa::{C2c, Chip, Icu, Instruction};

/// Adjacent streams that are put together.
#[derive(Clone, Copy)]
pub(super) struct Put {
    /// First of the streams.
    pub(super) stream: Stream,
    pub(super) count: usize,
    /// Cycles since the dispatch.
    pub(super) delay: i64,
    /// Gather's: joins a value that is there already.
    pub(super) merge: bool,
}

/// What the instruction takes in the cycle of its dispatch: adjacent streams, from the first on.
pub(super) fn takes(chip: &Chip, instruction: &Instruction, mut each: impl FnMut(Stream, usize)) {
    match *instruction {
        Instruction::Mem(Mem::Write { stream, .. }) => each(stream, 1),
        Instruction::Mem(Mem::Gather { index, .. }) => each(index, Format::I32.streams().into()),
        Instruction::Mem(Mem::Scatter { index, stream, .. }) => {
            each(index, Format::I32.streams().into());
            each(stream, 1);
        }
        Instruction::Vxm(vxm) => {
            for operand in [Some(vxm.a), vxm.b] {
                if let Some(Operand::Stream(stream, format)) = operand {
                    each(stream, format.streams().into());
                }
            }
        }
        Instruction::Mxm(Mxm::Lw { stream, count, format, .. }) => {
            each(stream, usize::from(count) * usize::from(format.streams()));
        }
        Instruction::Mxm(Mxm::Abc { stream, format }) => each(stream, format.streams().into()),
        Instruction::Sxm(sxm) => match sxm {
            Sxm::Shift { streams, from, .. }
            | Sxm::Permute { streams, from, .. }
            | Sxm::Distribute { streams, from, .. } => each(from, streams.into()),
            Sxm::Select { streams, from, other, .. } => {
                each(from, streams.into());
                each(other, streams.into());
            }
            Sxm::Rotate { n, from, .. } => each(from, n.into()),
            Sxm::Transpose { from, .. } => each(from, chip.lanes_per_superlane),
        },
        Instruction::Icu(Icu::Ifetch { stream }) | Instruction::C2c(C2c::Send { stream }) => each(stream, 1),
        Instruction::Mem(Mem::Read { .. })
        | Instruction::Mxm(Mxm::Iw | Mxm::Acc { .. })
        | Instruction::Icu(Icu::Sync | Icu::Notify | Icu::Config { .. })
        | Instruction::C2c(C2c::Receive { .. } | C2c::Deskew) => {}
    }
}

/// What the instruction puts.
pub(super) fn put(chip: &Chip, instruction: &Instruction) -> Option<Put> {
    let d = &chip.latency;
    let simple =
        |stream, count: usize, delay: u16| Some(Put { stream, count, delay: delay.into(), merge: false });
    match *instruction {
        Instruction::Mem(Mem::Read { stream, .. }) => simple(stream, 1, d.read),
        Instruction::Mem(Mem::Gather { stream, .. }) => {
            simple(stream, 1, d.gather).map(|put| Put { merge: true, ..put })
        }
        Instruction::Vxm(vxm) => {
            vxm.result.and_then(|(stream, format)| simple(stream, format.streams().into(), d.vxm))
        }
        Instruction::Mxm(Mxm::Acc { emit, .. }) => emit.and_then(|stream| simple(stream, 4, d.accumulate)),
        Instruction::Sxm(sxm) => {
            let (stream, count) = match sxm {
                Sxm::Shift { streams, to, .. }
                | Sxm::Permute { streams, to, .. }
                | Sxm::Distribute { streams, to, .. }
                | Sxm::Select { streams, to, .. } => (to, streams.into()),
                Sxm::Rotate { n, to, .. } => (to, usize::from(n) * usize::from(n)),
                Sxm::Transpose { to, .. } => (to, chip.lanes_per_superlane),
            };
            let crossing = if crosses(&sxm) { i64::from(chip.stagger()) } else { 0 };
            simple(stream, count, d.sxm).map(|put| Put { delay: put.delay + crossing, ..put })
        }
        Instruction::C2c(C2c::Receive { stream }) => simple(stream, 1, d.c2c),
        Instruction::Mem(Mem::Write { .. } | Mem::Scatter { .. })
        | Instruction::Mxm(Mxm::Lw { .. } | Mxm::Iw | Mxm::Abc { .. })
        | Instruction::Icu(_)
        | Instruction::C2c(C2c::Send { .. } | C2c::Deskew) => None,
    }
}

/// Does it move bytes between superlanes, and so wait for the last of them?
pub(super) fn crosses(sxm: &Sxm) -> bool {
    match sxm {
        Sxm::Shift { .. } | Sxm::Permute { .. } | Sxm::Rotate { .. } => true,
        Sxm::Select { .. } | Sxm::Distribute { .. } | Sxm::Transpose { .. } => false,
    }
}

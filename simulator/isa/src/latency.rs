//! The latency table: when an instruction's effect happens, counted from its dispatch.
//!
//! For the compiler and for people. The simulator has pipelines of its own, and a test asserts that what it measures is what stands here.

use crate::{Chip, Instruction, Mem, Mxm, Sxm};

/// Cycles from dispatch to the instruction's result: on its stream; in SRAM, buffer or array; or, for ABC, at the accumulators.
pub fn latency(chip: &Chip, instruction: &Instruction) -> u64 {
    let d = &chip.latency;
    let cycles = match instruction {
        Instruction::Icu(_) => 0,
        Instruction::Mem(Mem::Read { .. }) => d.read,
        Instruction::Mem(Mem::Gather { .. }) => d.gather,
        Instruction::Mem(Mem::Write { .. } | Mem::Scatter { .. }) => d.write,
        Instruction::Vxm(_) => d.vxm,
        Instruction::Mxm(Mxm::Lw { .. }) => d.load,
        Instruction::Mxm(Mxm::Iw) => d.install,
        Instruction::Mxm(Mxm::Abc { .. }) => d.product + chip.stagger(),
        Instruction::Mxm(Mxm::Acc { .. }) => d.accumulate,
        Instruction::Sxm(Sxm::Shift { .. } | Sxm::Permute { .. } | Sxm::Rotate { .. }) => {
            d.sxm + chip.stagger()
        }
        Instruction::Sxm(Sxm::Select { .. } | Sxm::Distribute { .. } | Sxm::Transpose { .. }) => d.sxm,
        Instruction::C2c(_) => d.c2c,
    };
    u64::from(cycles)
}

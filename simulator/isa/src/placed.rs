//! Programs of several chips: which chip of a system runs which program, and when.

use std::collections::BTreeMap;

use crate::{Program, Queue};

/// Where a chip program runs in a system, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Chip of the system.
    pub chip: u32,
    /// Index into [`Program::chips`].
    pub program: u32,
    /// Cycle of the system's clock at which the program's cycle 0 is.
    pub start_cycle: u64,
    /// For each link that the program names, the chip's port that it stands for, in the same hemisphere.
    pub ports: BTreeMap<Queue, u8>,
}

/// A program for some chips of a system. Many may share one chip program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemProgram {
    /// The chip programs.
    pub program: Program,
    /// Where they run, a chip at most once.
    pub placed: Vec<Placed>,
}

//! The contract between compiler and simulator: the machine's description, its instructions, and programs.
//!
//! Nothing here knows of tensors or of models. Read [`chip`] for what a machine has, [`system`]
//! for how chips are joined, [`place`] and [`stream`]
//! for where things are, [`instruction`] for what each slice can be told and *when* each effect happens,
//! [`program`] for how instructions repeat, [`numeric`] for the arithmetic, bit by bit, [`asm`] for
//! programs as text, [`encode`] for programs as bytes, [`text`] for what a queue holds of it, and [`verify`] for what makes a program well formed.

pub mod place;
pub mod stream;
pub mod description;
pub mod chip;
pub mod system;
pub mod instruction;
pub mod latency;
pub mod numeric;
pub mod program;
pub mod placed;
pub mod port;
pub mod report;
pub mod asm;
pub mod encode;
pub mod text;
pub mod decode;
pub mod verify;

mod nearest;
mod step;

#[cfg(test)]
mod testing;

pub use chip::Chip;
pub use description::DescriptionError;
pub use instruction::{C2c, Icu, Instruction, Mem, Mxm, Sxm, Vxm};
pub use place::{Hemisphere, Queue, Slice};
pub use placed::{Placed, SystemProgram};
pub use port::{Element, Placement, Port, PortKind};
pub use program::{ChipProgram, Page, Program, Repeat, Run, Segment, SegmentData};
pub use report::Report;
pub use stream::{Direction, Format, Stream};
pub use system::System;

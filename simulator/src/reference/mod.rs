//! The reference simulator: every queue, every stream register, every cycle, in code to be read beside [`isa::instruction`].

mod machine;
mod motion;
mod system;
mod chip;
pub(crate) mod icu;
mod text;
mod sram;
mod mem;
mod vxm;
mod tile;
mod mxm;
pub(crate) mod sxm;
pub(crate) mod c2c;

pub(crate) use machine::Machine;
pub(crate) use system::run as run_system;

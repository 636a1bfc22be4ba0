//! Executes programs on described chips, and judges them.
//!
//! [`Machine::load`] checks that a program is well formed for its chip and puts its memory image into SRAM.
//! [`Machine::write`] and [`Machine::read`] give the host its arrays.
//! [`Machine::run`] moves every value through every stream register, cycle by cycle, until nothing is left to do, and returns the
//! [`isa::Report`], or the first [`Fault`].

pub mod fault;
mod fast;
mod stream;
pub mod host;
mod reference;

pub use fault::{Dispatch, Fault, FaultKind, Place};
pub use host::Array;
pub use reference::Machine;

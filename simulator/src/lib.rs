//! Executes programs on described chips, and judges them.
//!
//! [`Machine::load`] checks that a program is well formed for its chip and puts its memory image into SRAM.
//! [`Machine::write`] and [`Machine::read`] give the host its arrays.
//! [`Machine::run`] executes the program and returns the [`isa::Report`], or the first [`Fault`]. An [`Engine`] says how.
//!
//! [`SystemMachine`] does the same for programs of several chips that are joined by links, and [`compose`] gives their cycles alone.

pub mod fault;
mod fast;
mod stream;
pub mod host;
mod image;
mod event;
mod ports;
mod placing;
mod wellformed;
mod reference;
mod tandem;
mod machine;
mod system;

pub use fault::{Dispatch, Fault, FaultKind, Place};
pub use host::Array;
pub use machine::{Engine, Machine};
pub use placing::{SystemFault, SystemReport};
pub use system::{ComposeError, SystemMachine, compose};

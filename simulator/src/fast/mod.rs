//! The fast simulator: time is checked run against run, and values are computed by native code.

mod compose;
mod lattice;
mod machine;
mod native;
mod time;
mod values;

pub(crate) use compose::compose;
pub(crate) use machine::Machine;

//! The fast simulator: time is checked run against run, and values are computed by native code.

mod lattice;
mod native;
mod time;
mod values;

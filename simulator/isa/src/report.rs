//! What a run of a program amounts to; the compiler predicts it and the simulator measures it, and the two must be equal.

use std::collections::BTreeMap;

/// Cycles and work of one run of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// From the first cycle to the last effect in the last superlane.
    pub cycles: u64,
    /// Instructions dispatched, by kind of slice: `mem`, `vxm`, `mxm`, `sxm`, `c2c`.
    pub dispatched: BTreeMap<&'static str, u64>,
}

//! Time, checked on runs: no instruction is stepped through.

use std::ops::Range;

use isa::{Chip, ChipProgram};

use crate::fault::Raised;

/// What a program's time amounts to.
pub(crate) struct Timing {
    pub(crate) report: isa::Report,
    pub(crate) fault: Option<Raised>,
    pub(crate) depends_on_values: bool,
}

pub(crate) fn check(chip: &Chip, program: &ChipProgram, _present: &[Vec<Range<u32>>]) -> Timing {
    let whole = isa::Program { chip: String::new(), nodes: vec![], chips: vec![program.clone()] };
    Timing { report: isa::report::predict(chip, &whole), fault: None, depends_on_values: false }
}

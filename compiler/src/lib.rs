//! From a model to a program for a described chip.

pub mod diagnostic;
pub mod onnx;
pub mod graph;
pub mod rewrite;
pub mod lower;
pub mod schedule;
pub mod emit;

use diagnostic::Diagnostic;
use graph::Graph;

/// How products are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Operands of matrix products rounded to binary16, sums in binary32.
    Fp16,
    /// Operands split into two binary16 parts, three products each.
    Fp32,
}

/// What a compilation may depend on, beside the graph and the chip.
#[derive(Clone, Debug)]
pub struct Options {
    /// How products are computed.
    pub precision: Precision,
    /// Whether the e-graph runs.
    pub rewrite: bool,
}

/// A compiled model.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// What the machine runs.
    pub program: isa::Program,
    /// What the compiler says a run of it will amount to.
    pub predicted: isa::Report,
    /// Where the bytes are and what bounds the time.
    pub summary: Summary,
}

/// Facts for the report.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Bytes of SRAM on the chip.
    pub capacity_bytes: u64,
    /// Constants, as laid out.
    pub weights_bytes: u64,
    /// States, as laid out.
    pub kv_bytes: u64,
    /// Greatest number of bytes of activations alive at once, inputs and outputs included.
    pub activation_bytes: u64,
    /// Encoded instructions and lane maps.
    pub instruction_bytes: u64,
    /// A lower bound on the cycles of any schedule of this graph on this chip.
    pub bound_cycles: u64,
    /// What the bound comes from.
    pub bound_limiter: String,
    /// Cycles in which each model node has work under way, costliest first.
    pub node_cycles: Vec<(String, u64)>,
}

/// The whole way: graph in, program out. `watch` sees every intermediate form (its name, and how to print it).
pub fn compile(
    graph: Graph,
    chip: &isa::Chip,
    options: &Options,
    watch: &mut dyn FnMut(&'static str, &dyn std::fmt::Display),
) -> Result<Compiled, Diagnostic> {
    let _ = (graph, chip, options, watch);
    Err(Diagnostic::new(diagnostic::Kind::Unsupported, "unfinished", "compilation is not written yet"))
}

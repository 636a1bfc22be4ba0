//! What a report says about a compiled model, beside its cycles.

mod slices;
mod spent;

use std::collections::BTreeMap;

use isa::{Chip, Program};

pub use slices::SliceBytes;
pub use spent::Work;

use crate::bound::{Bound, Limiter};
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::Graph;
use crate::lower::flow::Kernels;
use crate::schedule::{Schedule, static_bytes};

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
    /// Pages of them that queues fetch while the program runs.
    pub instruction_pages: u64,
    /// What each MEM slice holds, east first.
    pub slices: Vec<SliceBytes>,
    /// A lower bound on the cycles of any program for this graph on this chip.
    pub bound: Bound,
    /// Model nodes, costliest first.
    pub nodes: Vec<NodeCycles>,
    /// Cycles by the part of a joined graph (`3.attention`; empty for other graphs) and what they are spent on, each counted once.
    pub spent: BTreeMap<(String, Work), u64>,
}

/// The cycles of a model node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeCycles {
    /// Its name in the model.
    pub name: String,
    /// Cycles in which it has work under way.
    pub cycles: u64,
    /// Cycles that it would take at least, alone on the machine.
    pub bound_cycles: u64,
    /// What that bound comes from.
    pub bound_limiter: Limiter,
}

/// Adds up bytes and each node's cycles; fails if program text does not fit beside the data.
pub fn summarize(
    graph: &Graph,
    kernels: &Kernels,
    schedule: &Schedule,
    program: &Program,
    bound: Bound,
    chip: &Chip,
) -> Result<Summary, Diagnostic> {
    let (weights_bytes, kv_bytes, _) = static_bytes(&kernels.storages, chip);
    // Of programs for several kinds of chips, what the longest takes.
    let most = |of: &dyn Fn(&isa::ChipProgram) -> u64| program.chips.iter().map(of).max().unwrap_or(0);
    let summary = Summary {
        capacity_bytes: chip.sram_bytes(),
        weights_bytes,
        kv_bytes,
        activation_bytes: schedule.activation_bytes,
        instruction_bytes: most(&isa::encode::chip_text_bytes),
        instruction_pages: most(&|chip| chip.text.values().flatten().count() as u64),
        slices: slices::slices(&kernels.storages, &schedule.bases, &program.chips[0], chip),
        nodes: node_cycles(graph, kernels, schedule, &bound),
        spent: spent::spent(graph, kernels, schedule, isa::report::predict(chip, program).cycles),
        bound,
    };
    let used = weights_bytes + kv_bytes + summary.activation_bytes + summary.instruction_bytes;
    if used > summary.capacity_bytes {
        let over = used - summary.capacity_bytes;
        let message = format!(
            "the model does not fit one {} chip with its instructions: over by {over} bytes",
            chip.name
        );
        return Err(Diagnostic::new(Kind::Unsupported, "does-not-fit", message)
            .note(format!("weights      {weights_bytes:>14} bytes"))
            .note(format!("KV cache     {kv_bytes:>14} bytes"))
            .note(format!("activations  {:>14} bytes", summary.activation_bytes))
            .note(format!("instructions {:>14} bytes", summary.instruction_bytes))
            .note(format!("SRAM         {:>14} bytes on a chip", summary.capacity_bytes)));
    }
    Ok(summary)
}

/// Cycles in which each model node has a flow under way, costliest first.
fn node_cycles(graph: &Graph, kernels: &Kernels, schedule: &Schedule, bound: &Bound) -> Vec<NodeCycles> {
    let mut spans: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    for (flow, fit) in kernels.flows.iter().zip(&schedule.fits) {
        let from = flow.runs.iter().map(|run| run.cycle).min().unwrap_or(0);
        let to = flow.runs.iter().map(|run| run.end()).max().unwrap_or(0);
        let origin = graph.nodes[flow.node].origin.as_str();
        spans.entry(origin).or_default().push((fit.start + from, fit.start + to));
    }
    let node = |(name, spans): (&str, Vec<(i64, i64)>)| {
        let own = bound.nodes.get(name).copied().unwrap_or_default();
        NodeCycles {
            name: name.to_owned(),
            cycles: covered(spans),
            bound_cycles: own.cycles,
            bound_limiter: own.limiter,
        }
    };
    let mut nodes: Vec<NodeCycles> = spans.into_iter().map(node).collect();
    nodes.sort_by(|one, other| other.cycles.cmp(&one.cycles).then_with(|| one.name.cmp(&other.name)));
    nodes
}

/// Cycles, or words, covered by at least one interval.
fn covered(spans: Vec<(i64, i64)>) -> u64 {
    let mut spans = spans;
    spans.sort_unstable();
    let (mut total, mut end) = (0, i64::MIN);
    for (from, to) in spans {
        total += (to - from.max(end)).max(0);
        end = end.max(to);
    }
    total as u64
}

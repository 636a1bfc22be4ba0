//! From a model to a program for a described chip.

pub mod diagnostic;
pub mod onnx;
pub mod graph;
pub mod rewrite;
pub mod links;
pub mod partition;
pub mod lower;
pub mod bound;
pub mod schedule;
pub mod emit;
pub mod summary;
pub mod system;

use std::collections::BTreeMap;

use cranelift_entity::SecondaryMap;
use diagnostic::Diagnostic;
use graph::Graph;
use links::Links;
use lower::flow::Kernels;
use lower::spread::Spread;
use lower::{Layout, Packing};
use rewrite::{RewriteOptions, Rewritten};
use schedule::Schedule;
use summary::Summary;

/// How products are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Operands of matrix products rounded to binary16, sums in binary32.
    Fp16,
    /// Constant weights in signed bytes with a scale a row, activations in two parts of a byte; other products as [`Precision::Fp16`].
    Int8,
    /// Constant weights and their activations in e4m3 with a scale a row; other products as [`Precision::Fp16`].
    Fp8,
    /// Constant weights in blocks of four bits with a scale each; other products as [`Precision::Fp16`].
    Int4,
    /// Operands split into two binary16 parts, three products each.
    Fp32,
}

impl Precision {
    /// Bits of a constant weight, without scales.
    pub fn weight_bits(self) -> u64 {
        match self {
            Precision::Int4 => 4,
            Precision::Int8 | Precision::Fp8 => 8,
            Precision::Fp16 | Precision::Fp32 => 16,
        }
    }
}

/// How caches are kept that products only read: those of attention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caches {
    /// In binary16, as products take operands.
    #[default]
    Fp16,
    /// In e4m3, of which the planes make binary16.
    Fp8,
}

/// What a compilation may depend on, beside the graph and the chip.
#[derive(Clone, Debug)]
pub struct Options {
    /// How products are computed.
    pub precision: Precision,
    /// What the e-graph may do; nothing if it does not run.
    pub rewrite: Option<RewriteOptions>,
    /// Links to other chips; none of a chip by itself.
    pub links: Links,
    /// How caches are kept.
    pub caches: Caches,
    /// Whether room counts for more than cycles.
    pub dense: bool,
}

impl Options {
    /// A chip by itself, the graph as it is, caches in binary16.
    pub fn plain(precision: Precision) -> Options {
        Options { precision, rewrite: None, links: Links::default(), caches: Caches::Fp16, dense: false }
    }
}

/// A compiled model.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// What the machine runs. Of a group of chips whose links are not alike, a program for each kind of chip.
    pub program: isa::Program,
    /// Which of those each rank of the group runs.
    pub ranks: Vec<usize>,
    /// What the compiler says a run of it will amount to.
    pub predicted: isa::Report,
    /// Where the bytes are and what bounds the time.
    pub summary: Summary,
    /// Rewrite rules that had a part in what has become of each node of the model, by its name.
    pub rules: BTreeMap<String, Vec<&'static str>>,
}

/// Groups of rewrite rules to do without, in turn, where a model does not fit: per-head weights leave lanes empty; moves of lanes and scales
/// that are folded into weights make copies of those that have another user.
const SPARED: [&[&str]; 5] =
    [&[], &["merge"], &["merge", "lanes"], &["merge", "scale"], &["merge", "lanes", "scale"]];

/// The whole way: graph in, program out. `watch` sees every intermediate form (its name, and how to print it).
///
/// Some rewrites pay for fewer cycles with padding in SRAM. Where the rewritten model does not fit, they are left out.
pub fn compile(
    graph: Graph,
    chip: &isa::Chip,
    options: &Options,
    watch: &mut dyn FnMut(&'static str, &dyn std::fmt::Display),
) -> Result<Compiled, Diagnostic> {
    watch("graph", &graph);
    if options.caches == Caches::Fp8 && options.precision == Precision::Fp32 {
        let message = "caches in eight bits do not have the bits of products at fp32".to_owned();
        return Err(Diagnostic::new(diagnostic::Kind::Unsupported, "caches", message)
            .note("use another --precision, or --kv fp16"));
    }
    let Some(rewriting) = &options.rewrite else { return back_end(plain(graph), chip, options, watch) };
    let graph = lower::legalize::turn(graph);
    // Crowded layouts come last, since passes then wait for products; in dense mappings first, which want room.
    let dense = Options { dense: true, ..options.clone() };
    let last: Option<(&[&str], &Options)> = (!options.dense).then_some((&[], &dense));
    for (spared, options) in SPARED.into_iter().map(|spared| (spared, options)).chain(last) {
        let spared = spared.iter().map(|&group| group.to_owned());
        let disabled = rewriting.disabled.iter().cloned().chain(spared).collect();
        let rewritten = rewrite::optimize_with(graph.clone(), chip, &RewriteOptions { disabled })?;
        match back_end(rewritten, chip, options, watch) {
            Err(problem) if problem.code == "does-not-fit" => {}
            result => return result,
        }
    }
    // The model as it is says best what is missing.
    back_end(plain(graph), chip, options, watch)
}

/// A graph that no rule has touched.
fn plain(graph: Graph) -> Rewritten {
    Rewritten { graph, rules: SecondaryMap::new() }
}

/// From the rewritten graph to the program.
fn back_end(
    rewritten: Rewritten,
    chip: &isa::Chip,
    options: &Options,
    watch: &mut dyn FnMut(&'static str, &dyn std::fmt::Display),
) -> Result<Compiled, Diagnostic> {
    watch("rewritten", &rewritten);
    let rules = rewritten.rules_by_origin();
    let legal = lower::legalize::legalize(rewritten.graph, options.precision, chip)?;
    let legal = match options.caches {
        Caches::Fp16 => legal,
        Caches::Fp8 => lower::legalize::narrow_caches(&legal),
    };
    watch("legal", &legal);
    let bound = bound::bound(&legal, chip);
    let (legal, kernels, schedule) = scheduled(legal, chip, options)?;
    watch("kernels", &kernels);
    watch("schedule", &schedule::print::Listing { graph: &legal, kernels: &kernels, schedule: &schedule });
    let ranks = options.links.chips();
    let (program, ranks) = emit::assemble(&legal, &kernels, &schedule, (chip, ranks))?;
    let summary = summary::summarize(&legal, &kernels, &schedule, &program, bound, chip)?;
    let predicted = isa::report::predict(chip, &program);
    Ok(Compiled { program, ranks, predicted, summary, rules })
}

/// Kernels and their schedule, with the widest layout that has one; roomy or crowded only where the model does not fit otherwise.
fn scheduled(
    legal: Graph,
    chip: &isa::Chip,
    options: &Options,
) -> Result<(Graph, Kernels, Schedule), Diagnostic> {
    let [widest, narrower @ ..] = Spread::ALL;
    let solve = |packing: Packing| {
        let solve = |spread: Spread| {
            let (wanted, layout) = ((options.precision, &options.links), Layout { spread, packing });
            let (graph, kernels) = lower::laid_out(legal.clone(), chip, wanted, layout)?;
            schedule::solve(&kernels, chip).map(|schedule| (graph, kernels, schedule))
        };
        narrower.into_iter().fold(solve(widest), |found, spread| match found {
            Err(problem) if problem.code == "schedule" => solve(spread),
            found => found,
        })
    };
    let (first, other) = match options.dense {
        true => (Packing::Tight, Packing::Crowded),
        false => (Packing::Loose, Packing::Roomy),
    };
    let found = solve(first).or_else(|problem| match problem.code {
        // What is missing is said of the layout that every model has.
        "schedule" | schedule::NO_ROOM => solve(other).map_err(|_| problem),
        "does-not-fit" if options.dense => solve(other).map_err(|_| problem),
        _ => Err(problem),
    });
    found.map_err(|problem| match problem.code {
        "schedule" if options.dense => without_banks(&problem),
        schedule::NO_ROOM => Diagnostic { code: "does-not-fit", ..problem },
        _ => problem,
    })
}

/// In slices that are nearly full a pass may find no bank for its results but the one that it reads: that is room that is missing, too.
fn without_banks(problem: &Diagnostic) -> Diagnostic {
    let message =
        format!("the model does not fit one chip: no other bank has room where {}", problem.message);
    Diagnostic::new(diagnostic::Kind::Unsupported, "does-not-fit", message)
}

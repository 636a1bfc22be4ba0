//! From a graph to an equal, cheaper one, by equality saturation.
//!
//! The graph is cut into segments ([`segment`]); each distinct segment becomes an e-graph ([`language`], [`analysis`]), which
//! grows by [`rules`] until nothing new is found or a limit is reached; the cheapest form for the chip ([`cost`]) is taken out
//! ([`extract`]) and put wherever the segment stood. Constant expressions are left as such, for [`crate::graph::fold`] to
//! evaluate. Rules change rounding and nothing more; the result depends on the graph, the chip and the options alone.

mod segment;
mod language;
mod analysis;
mod site;
mod rules;
mod cost;
mod extract;
mod history;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use cranelift_entity::SecondaryMap;
use egg::{Id, Runner, SimpleScheduler};
use indexmap::IndexMap;

use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::text::Commented;
use crate::graph::{Graph, NodeId};
use analysis::{Facts, Tensors};
use cost::Model;
use rules::Rule;
use segment::{Segment, Solution};

pub use rules::GROUPS;

/// Bounds of the growth of one segment's e-graph. Time is not among them: it would make results differ between machines.
const ITERATIONS: usize = 12;
const TERMS: usize = 12_000;
/// Forms of one tensor from which on no more are looked for.
const FORMS: usize = 64;

/// What the rewriter may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewriteOptions {
    /// Groups of rules that are left out, of [`GROUPS`].
    pub disabled: Vec<String>,
}

/// A graph that computes the same outputs and states in fewer cycles of `chip`. Inputs, outputs and states keep their names and
/// order. Errors are bugs of the rewriter.
pub fn optimize(graph: Graph, chip: &isa::Chip) -> Result<Graph, Diagnostic> {
    Ok(optimize_with(graph, chip, &RewriteOptions::default())?.graph)
}

/// A rewritten graph, and how its nodes came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewritten {
    /// The graph.
    pub graph: Graph,
    /// Rules that led to each node, from the graph as it was; the last one made it. None for nodes that were there before.
    pub rules: SecondaryMap<NodeId, Vec<&'static str>>,
}

impl Display for Rewritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comment = |node| self.rules[node].join(", ");
        Commented { graph: &self.graph, comment: &comment }.fmt(f)
    }
}

impl Rewritten {
    /// The rules that had a part in what has become of each node of the model, by its name.
    pub fn rules_by_origin(&self) -> BTreeMap<String, Vec<&'static str>> {
        let mut rules: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
        for (id, node) in self.graph.nodes.iter() {
            for &rule in &self.rules[id] {
                let known = rules.entry(node.origin.clone()).or_default();
                if !known.contains(&rule) {
                    known.push(rule);
                }
            }
        }
        rules
    }
}

/// [`optimize`], with some rules left out. Errors also where there is no group of that name.
pub fn optimize_with(
    graph: Graph,
    chip: &isa::Chip,
    options: &RewriteOptions,
) -> Result<Rewritten, Diagnostic> {
    if let Some(unknown) = options.disabled.iter().find(|group| !GROUPS.contains(&group.as_str())) {
        let message = format!("there is no group of rewrite rules called `{unknown}`");
        let note = format!("the groups are {}", GROUPS.join(", "));
        return Err(Diagnostic::new(Kind::Input, "unknown-rewrite-group", message).note(note));
    }
    let rules = rules::rules(&options.disabled);
    let model = Model::new(chip);
    let parts = segment::cut(&graph);
    let mut solutions: IndexMap<&Segment, Solution> = IndexMap::new();
    for (segment, _) in &parts {
        solutions.entry(segment).or_insert_with(|| solve(segment, &rules, &model));
    }
    segment::assemble(
        &graph,
        parts.iter().map(|(segment, instance)| (segment, instance, &solutions[segment])),
    )
}

/// The cheapest form of a segment.
fn solve(segment: &Segment, rules: &[Rule], model: &Model) -> Solution {
    let (tensors, ids) = saturate(segment, rules);
    let outputs: Vec<Id> = segment.outputs.iter().map(|&output| ids[output as usize]).collect();
    extract::extract(&tensors, model, &outputs)
}

/// A segment's e-graph, grown by rules, and the class of each of the segment's tensors.
fn saturate(segment: &Segment, rules: &[Rule]) -> (Tensors, Vec<Id>) {
    let mut tensors = Tensors::new(Facts { leaves: segment.leaves.clone(), ..Facts::default() });
    let mut ids = Vec::new();
    segment::terms(segment, &mut ids, |number, term| {
        tensors.analysis.origin = number;
        tensors.analysis.made.push((term.clone(), None));
        tensors.add(term)
    });
    tensors.rebuild();
    let rewrites: Vec<_> = rules.iter().cloned().map(Rule::rewrite).collect();
    let runner = Runner::<_, _, ()>::new(tensors.analysis.clone())
        .with_egraph(tensors)
        .with_scheduler(SimpleScheduler)
        .with_iter_limit(ITERATIONS)
        // It stops above its limit; sites add nothing once there are `TERMS`.
        .with_node_limit(TERMS - 1)
        .with_time_limit(Duration::MAX / 4)
        .run(&rewrites);
    (runner.egraph, ids)
}

//! Tensor parallelism: the graph of each chip of a group that computes one graph together.
//!
//! Weights of products are cut along their outputs, so that a chip has a part of every result's last axis, and no sums are cut: values are
//! those of one chip, but for the order of additions. What needs all of an axis gathers it from the group, its own part first
//! ([`crate::graph::Op::AllGather`]); constants that meet it lie in that order too. So all chips run the same operations at the same time, on other
//! weights. Attention is cut by heads, caches with it.
//!
//! Where a part cannot be worked on (half a head, scores of a router), the product that made it is cut into fewer parts, which several chips have,
//! in the end not at all.

mod constants;
mod rounds;
mod share;
mod splits;

pub use splits::Split;

use std::collections::BTreeMap;

use cranelift_entity::SecondaryMap;

use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::{Graph, NodeId, Op, eval};
use crate::links::ahead;
use share::Builder;

/// Chips that compute a graph together, and what they begin and end with.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// The axes along which they exchange vectors, by their chips: ranks count along the first one first.
    pub mesh: &'a [usize],
    /// Lanes of a chip: gathered parts begin at a new vector.
    pub lanes: usize,
    /// Inputs of which each chip gets its part of the last axis.
    pub arrivals: &'a [&'a str],
    /// Outputs of which each chip leaves its part of the last axis.
    pub departures: &'a [&'a str],
    /// Whether parts are gathered without gaps wherever they leave some, and not only where they leave many.
    pub dense: bool,
}

impl Group<'_> {
    /// Chips of the group.
    pub fn chips(&self) -> usize {
        self.mesh.iter().product()
    }

    /// The axes: chips and stride of each.
    fn axes(&self) -> impl DoubleEndedIterator<Item = (usize, usize)> {
        let stride = |at: usize| self.mesh[..at].iter().product();
        (0..self.mesh.len()).map(move |at| (self.mesh[at], stride(at)))
    }

    /// Ranks in the order in which a chip sends sums to them, as it does along the first axis first: the chip itself, those ahead along the last
    /// axis, and so on.
    fn ahead(&self, rank: usize) -> Vec<usize> {
        let send = |ranks: Vec<usize>, axis: (usize, usize)| {
            let moved = |distance: usize| ranks.iter().map(move |&of| ahead(axis, of, distance));
            (0..axis.0).flat_map(moved).collect()
        };
        self.axes().rev().fold(vec![rank], send)
    }

    /// Ranks in the order in which a chip gathers their parts: along the last axis first.
    fn round(&self, rank: usize) -> Vec<usize> {
        let gather = |ranks: Vec<usize>, axis: (usize, usize)| {
            // Each chip of this axis brings what it has of the axes before.
            let moved = |distance: usize| ranks.iter().map(move |&of| ahead(axis, of, axis.0 - distance));
            (0..axis.0).flat_map(moved).collect()
        };
        self.axes().rev().fold(vec![rank], gather)
    }
}

/// What one chip of a group computes.
#[derive(Clone, Debug)]
pub struct Share {
    /// Its graph. Those of a group differ only in what constants hold.
    pub graph: Graph,
    /// The cuts of inputs, outputs and states (by their input names) that it has a part of.
    pub cuts: Cuts,
}

/// Cuts of tensors, by their names.
pub type Cuts = BTreeMap<String, Vec<Split>>;

/// How a graph is cut; the same for all chips.
pub struct Plan<'a> {
    source: &'a Graph,
    group: Group<'a>,
    /// Parts of each product.
    parts: SecondaryMap<NodeId, usize>,
}

/// Decides how a graph is cut for a group.
///
/// # Errors
/// `cannot-partition` where an operation cannot work on parts whatever products are left whole.
pub fn plan<'a>(source: &'a Graph, group: Group<'a>) -> Result<Plan<'a>, Diagnostic> {
    let constant = eval::is_constant(source);
    let mut parts = SecondaryMap::with_default(1);
    for (id, node) in source.nodes.iter() {
        if is_cuttable(source, &constant, id) {
            let outputs = node.ty.shape.last().copied().unwrap_or(1);
            parts[id] = divisors(group.chips()).find(|parts| outputs.is_multiple_of(*parts)).unwrap_or(1);
        }
    }
    let mut plan = Plan { source, group, parts };
    loop {
        let Err(blocked) = plan.try_share(0, &constant) else { return Ok(plan) };
        let Some(product) = plan.to_blame(&constant, blocked) else {
            let node = &source.nodes[blocked];
            let message = format!(
                "{} `{}` ({blocked}) cannot work on the parts that {} chips have",
                node.op.name(),
                node.origin,
                plan.group.chips()
            );
            return Err(Diagnostic::new(Kind::Unsupported, "cannot-partition", message)
                .note("use fewer chips a group (--tensor-parallel)"));
        };
        let fewer = divisors(plan.parts[product]).nth(1).unwrap_or(1);
        plan.parts[product] = fewer;
    }
}

impl Plan<'_> {
    /// The share of a chip of the group.
    pub fn share(&self, rank: usize) -> Result<Share, Diagnostic> {
        let bug = |node: NodeId| {
            Diagnostic::new(Kind::Bug, "cannot-partition", format!("{node} cannot be cut for chip {rank}"))
        };
        self.try_share(rank, &eval::is_constant(self.source)).map_err(bug)
    }

    fn try_share(&self, rank: usize, constant: &SecondaryMap<NodeId, bool>) -> Result<Share, NodeId> {
        Builder::new(self, rank, constant).run()
    }

    /// The product whose parts a node works on; of several the one with most parts, and then with least outputs.
    fn to_blame(&self, constant: &SecondaryMap<NodeId, bool>, blocked: NodeId) -> Option<NodeId> {
        let mut seen = std::collections::BTreeSet::new();
        let mut work = vec![blocked];
        let mut found = Vec::new();
        while let Some(node) = work.pop() {
            if constant[node] || !seen.insert(node) {
                continue;
            }
            match (is_cuttable(self.source, constant, node), self.parts[node]) {
                (true, 1) => {}
                (true, _) => found.push(node),
                (false, _) => work.extend(&self.source.nodes[node].inputs),
            }
        }
        let outputs = |node: NodeId| self.source.nodes[node].ty.shape.last().copied();
        found.into_iter().min_by_key(|&node| (std::cmp::Reverse(self.parts[node]), outputs(node), node))
    }
}

/// Whether a node's weights can be cut along its outputs.
fn is_cuttable(graph: &Graph, constant: &SecondaryMap<NodeId, bool>, id: NodeId) -> bool {
    let node = &graph.nodes[id];
    !constant[id]
        && match node.op {
            // What counts truths is small, and all chips want all of it.
            Op::MatMul { .. } => {
                let weights = node.inputs[1];
                constant[weights] && !graph.holds_truths(weights) || is_choice(graph, constant, weights)
            }
            Op::Gather { axis: 0 } => constant[node.inputs[0]] && graph.shape(node.inputs[0]).len() == 2,
            _ => false,
        }
}

/// Whether a node is matrices that an index chooses from a constant.
fn is_choice(graph: &Graph, constant: &SecondaryMap<NodeId, bool>, id: NodeId) -> bool {
    graph.choice(id).is_some_and(|(table, _)| constant[table] && !constant[id])
}

/// Divisors, the greatest first.
fn divisors(of: usize) -> impl Iterator<Item = usize> {
    (1..=of).rev().filter(move |divisor| of.is_multiple_of(*divisor))
}

#[cfg(test)]
mod tests;

//! The longest dependence path, with the loads of weights that cannot be made ahead of it.
//!
//! Of each tensor: before which cycle none of its elements is there, and before which cycle not all are. What an operator adds is in [`super::step`].

use std::cmp::Reverse;

use cranelift_entity::{PrimaryMap, SecondaryMap};

use super::machine::{Machine, Place};
use super::products::Products;
use super::times::Times;
use super::window::Recent;
use crate::graph::{Graph, NodeId, Op};

/// The first or the last element of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Begin,
    Done,
}

/// What a bound on an end of a tensor comes from: the same of another tensor, or of the same one.
pub(super) type Cause = Option<(NodeId, End)>;

/// A bound on an end of a tensor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Earliest {
    /// The bound.
    pub(super) times: Times,
    /// What it comes from.
    pub(super) from: Cause,
}

impl Earliest {
    /// A bound for a reason.
    pub(super) fn new(times: Times, from: Cause) -> Earliest {
        Earliest { times, from }
    }

    /// Another bound holds too.
    pub(super) fn raise(&mut self, times: Times, from: Cause) {
        let both = self.times.max(times);
        if both.any(Place::Mem) > self.times.any(Place::Mem) {
            self.from = from;
        }
        self.times = both;
    }
}

/// When a tensor can be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// No element passes before.
    pub(super) begin: Earliest,
    /// The last element does not pass before.
    pub(super) done: Earliest,
    /// It cannot all be read from SRAM before this cycle.
    pub(super) stored: u64,
    /// Products all of which are needed for all of it.
    pub(super) recent: Recent,
}

/// The walk over the graph.
pub(super) struct Path<'a> {
    pub(super) graph: &'a Graph,
    pub(super) machine: Machine<'a>,
    pub(super) constant: &'a SecondaryMap<NodeId, bool>,
    pub(super) products: &'a Products,
    /// Elements of each pointwise result that must be computed.
    pub(super) elements: &'a SecondaryMap<NodeId, u64>,
    /// Of the nodes so far.
    pub(super) moments: PrimaryMap<NodeId, Moment>,
    /// Of the products so far: no pass before this cycle.
    pub(super) releases: Vec<u64>,
}

/// The path that ends last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Longest {
    /// Its end, which is an end of the program.
    pub(super) cycles: u64,
    /// Nodes on it with the cycles that each adds, in order.
    pub(super) steps: Vec<(NodeId, u64)>,
}

impl Path<'_> {
    /// Walks through the graph, then back from what ends last.
    pub(super) fn longest(mut self) -> Longest {
        for node in self.graph.nodes.keys() {
            if self.products.of[node].is_some() {
                let activations = &self.moments[self.graph.nodes[node].inputs[0]];
                self.releases.push(activations.begin.times.operand(Place::Mxm));
            }
            let moment = self.moment(node);
            self.moments.push(moment);
        }
        let outputs = self.graph.outputs.iter().map(|(_, node)| *node);
        let ends = outputs.chain(self.graph.states.iter().map(|state| state.output));
        let last = ends.max_by_key(|&node| (self.moments[node].stored, Reverse(node)));
        let stagger = self.machine.stagger();
        let (mut cycles, mut from) = (0, None);
        if let Some(node) = last.filter(|&node| self.moments[node].stored > 0) {
            (cycles, from) = (self.moments[node].stored + stagger, Some((node, End::Done)));
        }
        if let Some((end, node)) = self.loads_to_the_end().filter(|&(end, _)| end > cycles) {
            (cycles, from) = (end, Some((node, End::Begin)));
        }
        Longest { cycles, steps: self.steps(cycles, from) }
    }

    /// The end of the program by all products of which no pass is before the first activation of one of them, and that one's left operand.
    fn loads_to_the_end(&self) -> Option<(u64, NodeId)> {
        let machine = &self.machine;
        let (last, left) = self.last_load(0..self.releases.len() as u32)?;
        let written = last + machine.install() + machine.product() + machine.distance(Place::Mxm, Place::Mem);
        Some((written + machine.finish(), left))
    }

    /// The cycle before which the last weights of these products are not loaded, and the left operand that they wait for.
    ///
    /// No pass of theirs is before the release. So what they use was in the arrays or buffers then, or was loaded in the last d_install cycles
    /// before it, or later.
    pub(super) fn last_load(&self, products: impl Iterator<Item = u32>) -> Option<(u64, NodeId)> {
        let mut by_release: Vec<(u64, u32)> =
            products.filter_map(|p| Some((*self.releases.get(p as usize)?, p))).collect();
        by_release.sort_unstable_by_key(|&(release, product)| Reverse((release, product)));
        let (held, rate) = (self.machine.held(), self.machine.load_rate());
        let install = u64::from(self.machine.chip.latency.install);
        let mut weights = 0;
        let mut best: Option<(u64, u32)> = None;
        for (release, product) in by_release {
            weights += self.products.list[product as usize].fresh;
            if weights > held {
                let last = (release + (weights - held).div_ceil(rate) - 1).saturating_sub(install);
                best = best.max(Some((last, product)));
            }
        }
        let (cycle, product) = best?;
        Some((cycle, self.graph.nodes[self.products.list[product as usize].node].inputs[0]))
    }

    /// The way back, as cycles per node.
    fn steps(&self, end: u64, from: Cause) -> Vec<(NodeId, u64)> {
        let mut steps: Vec<(NodeId, u64)> = Vec::new();
        let (mut at, mut cause) = (end, from);
        // Every cause is an earlier node, or the other end of the same.
        while let Some((node, which)) = cause {
            let moment = &self.moments[node];
            let earliest = match which {
                End::Begin => &moment.begin,
                End::Done => &moment.done,
            };
            let before = match earliest.from {
                Some((node, End::Begin)) => self.moments[node].begin.times.any(Place::Mem),
                Some((node, End::Done)) => self.moments[node].done.times.any(Place::Mem),
                None => 0,
            };
            let cycles = at.saturating_sub(before);
            match steps.last_mut().filter(|(last, _)| *last == node) {
                Some((_, sum)) => *sum += cycles,
                None => steps.push((node, cycles)),
            }
            (at, cause) = (before, earliest.from);
        }
        steps.reverse();
        steps
    }

    fn moment(&self, node: NodeId) -> Moment {
        let data = &self.graph.nodes[node];
        if self.constant[node] || matches!(data.op, Op::Input(_)) {
            let there = Earliest::new(Times::stored(&self.machine), None);
            return Moment { begin: there, done: there, stored: 0, recent: Recent::default() };
        }
        let mut moment = self.step(node);
        let begin = moment.begin.times;
        moment.done.raise(begin, Some((node, End::Begin)));
        moment
    }
}

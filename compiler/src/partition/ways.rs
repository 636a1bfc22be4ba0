//! Nodes of chips that are joined by the links of some of their chips: which of them serve the others.

use isa::system::System;

use super::groups::{Between, between};
use crate::graph::Gates;

/// Chips by rank, and for each rank whom it hands its part to: that one's rank and chip.
pub(super) struct Handing {
    pub(super) from: Vec<u32>,
    pub(super) to: Vec<(usize, u32)>,
}

/// The gates that all handings of groups of one kind have, whose nodes are `node` ranks each; as many gates as possible.
pub(super) fn gates(system: &System, node: usize, handings: &[Handing]) -> Option<Gates> {
    let first = handings.first()?;
    let of_shift = |shift: usize| {
        let mut gates = Gates { node, from: Vec::new(), to: Vec::new(), shift, each: 0 };
        let ahead = |rank: usize| gates.ahead(rank, shift);
        let linked = |&rank: &usize| {
            handings.iter().all(|handing| !link(system, handing, rank, ahead(rank)).is_empty())
        };
        let from: Vec<usize> = (0..first.from.len()).filter(linked).collect();
        let each = node * (first.from.len() / node) / from.len().max(1);
        let mut to: Vec<usize> = from.iter().map(|&rank| first.to[ahead(rank)].0).collect();
        to.sort_unstable();
        gates = Gates { from, to, each, ..gates };
        is_even(&gates, first.from.len()).then_some(gates)
    };
    (0..node).filter_map(of_shift).max_by_key(|gates| (gates.from.len(), node - gates.shift))
}

/// The links from a rank to the one that stands where `to` stands.
pub(super) fn link(system: &System, handing: &Handing, from: usize, to: usize) -> Vec<Between> {
    between(system, handing.from[from], handing.to[to].1)
}

/// Whether each of so many ranks gets its part from exactly one gate.
fn is_even(gates: &Gates, ranks: usize) -> bool {
    let mut served: Vec<usize> = (0..gates.each).flat_map(|ahead| gates.served(ahead)).collect();
    served.sort_unstable();
    !gates.from.is_empty() && gates.each <= gates.node && served.into_iter().eq(0..ranks)
}

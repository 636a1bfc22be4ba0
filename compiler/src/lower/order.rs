//! The order in which kernels are made: after what they depend on, earliest possible start first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use super::alu::is_pointwise;
use super::context::Context;
use super::fuse::Groups;
use crate::graph::{NodeId, Op};

/// A piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// A group of pointwise nodes.
    Group(usize),
    /// Any other node that computes.
    Node(NodeId),
}

/// Orders all work.
pub fn order(context: &Context<'_>, groups: &Groups) -> Vec<Work> {
    let (graph, works) = dependences(context, groups);
    let mut missing: Vec<usize> =
        graph.node_indices().map(|n| graph.neighbors_directed(n, Direction::Incoming).count()).collect();
    let mut start = vec![0u64; graph.node_count()];
    let mut ready: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    for (index, &count) in missing.iter().enumerate() {
        if count == 0 {
            ready.push(Reverse((0, index)));
        }
    }
    let mut ordered = Vec::new();
    while let Some(Reverse((begin, index))) = ready.pop() {
        ordered.push(works[index]);
        let end = begin + typical_cycles(context, works[index]);
        for next in graph.neighbors_directed(NodeIndex::new(index), Direction::Outgoing) {
            start[next.index()] = start[next.index()].max(end);
            missing[next.index()] -= 1;
            if missing[next.index()] == 0 {
                ready.push(Reverse((start[next.index()], next.index())));
            }
        }
    }
    ordered
}

fn dependences(context: &Context<'_>, groups: &Groups) -> (DiGraph<(), ()>, Vec<Work>) {
    let mut graph = DiGraph::new();
    let mut works = Vec::new();
    let mut of: BTreeMap<Work, NodeIndex> = BTreeMap::new();
    let work = |node: NodeId| match groups.of[node] {
        Some(group) => Work::Group(group as usize),
        None => Work::Node(node),
    };
    let computes = |node: NodeId| {
        !context.constant[node]
            && !context.is_pure_view(node)
            && !matches!(context.graph.nodes[node].op, Op::Input(_))
    };
    for node in context.graph.nodes.keys().filter(|&node| computes(node)) {
        of.entry(work(node)).or_insert_with(|| {
            works.push(work(node));
            graph.add_node(())
        });
    }
    for (node, data) in context.graph.nodes.iter().filter(|(node, _)| computes(*node)) {
        for &input in &data.inputs {
            let Some(producer) = context.producer(input).filter(|&producer| computes(producer)) else {
                continue;
            };
            let (from, to) = (of[&work(producer)], of[&work(node)]);
            if from != to {
                graph.update_edge(from, to, ());
            }
        }
    }
    (graph, works)
}

/// A rough length of a piece of work, only to sort by.
fn typical_cycles(context: &Context<'_>, work: Work) -> u64 {
    match work {
        Work::Group(_) => 120,
        Work::Node(node) => match &context.graph.nodes[node].op {
            Op::Reduce { .. } => 700,
            Op::MatMul { .. } | Op::Conv { .. } => 350,
            op if is_pointwise(op) => 120,
            _ => 250,
        },
    }
}

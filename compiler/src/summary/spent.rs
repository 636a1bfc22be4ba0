//! What the cycles of a program are spent on, each counted once.

use std::collections::BTreeMap;

use cranelift_entity::SecondaryMap;

use crate::graph::{Graph, NodeId, Op, eval};
use crate::lower::flow::{Flow, Kernels};
use crate::schedule::Schedule;

/// What is under way. Where several are, a cycle counts for the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Products with weights.
    Weights,
    /// Products of two computed matrices, which are those of attention.
    Attention,
    /// Vectors on their way to other chips.
    Links,
    /// Lanes: reductions along vectors, transposes, moves.
    Lanes,
    /// All else: pointwise work, gathers, appends.
    Vectors,
    /// Nothing but values on their way.
    Waiting,
}

impl Work {
    /// All kinds, in the order in which they count.
    pub const ALL: [Work; 6] =
        [Work::Weights, Work::Attention, Work::Links, Work::Lanes, Work::Vectors, Work::Waiting];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Work::Weights => "weights",
            Work::Attention => "attention",
            Work::Links => "links",
            Work::Lanes => "lanes",
            Work::Vectors => "vectors",
            Work::Waiting => "waiting",
        }
    }
}

/// Cycles by kind of work, by the part of a joined graph that the work is for ([`part_of`]); together they are `cycles`.
pub(super) fn spent(
    graph: &Graph,
    kernels: &Kernels,
    schedule: &Schedule,
    cycles: u64,
) -> BTreeMap<(String, Work), u64> {
    let constant = eval::is_constant(graph);
    let mut edges: Vec<(i64, (Work, &str), i32)> = Vec::new();
    for (flow, fit) in kernels.flows.iter().zip(&schedule.fits) {
        let from = flow.runs.iter().map(|run| run.cycle).min().unwrap_or(0);
        let to = flow.runs.iter().map(|run| run.end()).max().unwrap_or(0);
        let what = (of_flow(graph, &constant, flow), part_of(&graph.nodes[flow.node].origin));
        edges.extend([(fit.start + from, what, 1), (fit.start + to, what, -1)]);
    }
    edges.sort_unstable();
    let mut under_way: BTreeMap<(Work, &str), i32> = BTreeMap::new();
    let mut spent: BTreeMap<(String, Work), u64> = BTreeMap::new();
    // While nothing is under way, and after the end, values are on their way.
    let (mut at, mut part) = (0, "");
    for (cycle, what, change) in edges {
        let now = under_way.keys().next().copied().unwrap_or((Work::Waiting, part));
        *spent.entry((now.1.to_owned(), now.0)).or_default() += (cycle - at) as u64;
        (at, part) = (cycle, what.1);
        let count = under_way.entry(what).or_default();
        *count += change;
        if *count == 0 {
            under_way.remove(&what);
        }
    }
    *spent.entry((part.to_owned(), Work::Waiting)).or_default() += cycles.saturating_sub(at as u64);
    spent
}

/// The part of a joined graph that a node's origin names, `3.attention` of `3.attention.self_attn.q_proj`; nothing of other graphs.
fn part_of(origin: &str) -> &str {
    let number = origin.bytes().take_while(u8::is_ascii_digit).count();
    match origin[number..].strip_prefix('.').and_then(|rest| rest.find('.')) {
        Some(length) if number > 0 => &origin[..number + 1 + length],
        _ => "",
    }
}

fn of_flow(graph: &Graph, constant: &SecondaryMap<NodeId, bool>, flow: &Flow) -> Work {
    let node = &graph.nodes[flow.node];
    let links = !flow.links.is_empty();
    match (&node.op, flow.name) {
        _ if links => Work::Links,
        (Op::MatMul { .. } | Op::Conv { .. }, "conveyor") => {
            if node.inputs.get(1).is_some_and(|&weights| constant[weights]) {
                Work::Weights
            } else {
                Work::Attention
            }
        }
        _ if !flow.sxm.is_empty() => Work::Lanes,
        _ => Work::Vectors,
    }
}

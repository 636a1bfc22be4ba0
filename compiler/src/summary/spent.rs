//! What the cycles of a program are spent on, each counted once.

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

/// Cycles by kind of work, in the order of [`Work::ALL`]; together they are `cycles`.
pub(super) fn spent(graph: &Graph, kernels: &Kernels, schedule: &Schedule, cycles: u64) -> Vec<(Work, u64)> {
    let constant = eval::is_constant(graph);
    let mut edges: Vec<(i64, usize, i32)> = Vec::new();
    for (flow, fit) in kernels.flows.iter().zip(&schedule.fits) {
        let kind = Work::ALL.iter().position(|&work| work == of_flow(graph, &constant, flow)).unwrap_or(0);
        let from = flow.runs.iter().map(|run| run.cycle).min().unwrap_or(0);
        let to = flow.runs.iter().map(|run| run.end()).max().unwrap_or(0);
        edges.extend([(fit.start + from, kind, 1), (fit.start + to, kind, -1)]);
    }
    edges.sort_unstable();
    let mut under_way = [0; Work::ALL.len()];
    let mut spent = [0; Work::ALL.len()];
    let mut at = 0;
    for (cycle, kind, change) in edges {
        let now = under_way.iter().position(|&count| count > 0).unwrap_or(Work::ALL.len() - 1);
        spent[now] += (cycle - at) as u64;
        at = cycle;
        under_way[kind] += change;
    }
    // The last values are on their way.
    spent[Work::ALL.len() - 1] += cycles.saturating_sub(at as u64);
    Work::ALL.into_iter().zip(spent).collect()
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

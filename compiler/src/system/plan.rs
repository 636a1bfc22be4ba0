//! How many chips a group has, and which pieces a stage: found by compiling each piece once for every size of group.
//!
//! Stages are as few as SRAM allows, and about equally full. What a piece takes by itself only estimates what it takes beside others: where a
//! stage then does not fit, stages are made smaller until all do.

use std::cmp::Ordering;
use std::fmt::Display;

use isa::Chip;
use isa::system::System;

use super::{Chained, Mapping, Model, compile_chained, joined};
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::{Constant, Graph, Node, Op};
use crate::lower::floorplan::{Floorplan, Room};
use crate::lower::legalize::takes;
use crate::partition::groups::Groups;
use crate::{Compiled, Options, Precision};

/// What a mapping is to be best at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// Few chips, then little latency.
    Chips,
    /// Little latency, then few chips.
    Latency,
    /// Many tokens a second for each chip, with all stages at work.
    Throughput,
}

/// What the user wants of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// What is best.
    pub objective: Objective,
    /// Chips of a group, if that is fixed.
    pub tensor_parallel: Option<usize>,
    /// Stages, if that is fixed.
    pub pipeline: Option<usize>,
    /// Chips at most.
    pub chips: Option<usize>,
}

/// What one piece takes of each chip of a group by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    /// Bytes that stay: weights and caches.
    bytes: u64,
    cycles: u64,
}

/// What a mapping amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Chips.
    pub chips: usize,
    /// Cycles of all stages, one after the other.
    pub cycles: u64,
    /// Cycles of the stage that takes longest.
    pub longest: u64,
}

impl Objective {
    /// The better of two comes first.
    pub fn order(self, a: &Amount, b: &Amount) -> Ordering {
        match self {
            Objective::Chips => (a.chips, a.cycles).cmp(&(b.chips, b.cycles)),
            Objective::Latency => (a.cycles, a.chips).cmp(&(b.cycles, b.chips)),
            Objective::Throughput => {
                let of = |amount: &Amount| (amount.longest * amount.chips as u64, amount.cycles);
                of(a).cmp(&of(b))
            }
        }
    }
}

/// A mapping that may do, and what it is expected to amount to.
#[derive(Clone, Debug)]
struct Candidate {
    mapping: Mapping,
    amount: Amount,
}

/// A mapping to be tried.
struct Attempt {
    /// What pieces take by themselves in such groups.
    costs: Vec<Cost>,
    candidate: Candidate,
    /// How often it did not fit in fewer stages.
    failed: u64,
}

/// Nodes that a group has at most, if nobody says how many chips.
const MOST_NODES: usize = 4;
/// Times that stages are made smaller before a size of group is given up.
const MOST_TRIES: u64 = 12;
/// Bytes that are taken for free, in 1/1000, for each of these tries.
const LESS: u64 = 15;

/// Chooses a mapping and compiles the model with it.
///
/// # Errors
/// `does-not-fit` with what each size of group lacks; what [`compile_chained`] finds.
pub fn compile_planned(
    model: &Model,
    wishes: &Wishes,
    (system, chip): (&System, &Chip),
    options: &Options,
    watch: &mut dyn FnMut(&'static str, &dyn Display),
) -> Result<(Mapping, Chained), Diagnostic> {
    let node = system.unit_chips(1) as usize;
    let sizes: Vec<usize> = match wishes.tensor_parallel {
        Some(chips) => vec![chips],
        None => {
            let nodes = (2..=MOST_NODES).map(|nodes| nodes * node);
            let nodes = nodes.filter(|&chips| chips <= system.chips() as usize);
            (1..=node).filter(|chips| node.is_multiple_of(*chips)).chain(nodes).collect()
        }
    };
    let (mut found, mut reasons) = candidates(model, wishes, sizes, (system, chip), options)?;
    // The best is compiled. What then does not fit in so many stages comes again with more, if it is still the best.
    let better = |a: &Attempt, b: &Attempt| wishes.objective.order(&a.candidate.amount, &b.candidate.amount);
    while let Some(best) = (0..found.len()).min_by(|&a, &b| better(&found[a], &found[b])) {
        let Attempt { costs, candidate, failed } = &mut found[best];
        let problem = match compile_chained(model, &candidate.mapping, (system, chip), options, watch) {
            Err(problem) if problem.code == "does-not-fit" => problem,
            result => return result.map(|chained| (candidate.mapping.clone(), chained)),
        };
        *failed += 1;
        let Mapping { chips, stages, dense } = &candidate.mapping;
        let reason = format!("groups of {chips}, {} stages: {}", stages.len(), problem.message);
        let less = room(chip)? / 1000 * 1000u64.saturating_sub(LESS * *failed);
        let smaller = match *failed < MOST_TRIES {
            true => self::candidate(model, wishes, (*chips, *dense), costs, less),
            false => None,
        };
        match smaller.filter(|smaller| smaller.amount.chips <= most_chips(wishes, system)) {
            Some(smaller) => *candidate = smaller,
            None => {
                reasons.push(reason);
                reasons.extend(problem.notes.iter().map(|note| format!("  {note}")));
                found.remove(best);
            }
        }
    }
    let message = format!("{} does not fit system {} of {} chips", model.name, system.name, system.chips());
    let mut problem = Diagnostic::new(Kind::Unsupported, "does-not-fit", message);
    problem.notes = reasons;
    Err(problem.note("use a larger --system, fewer bits (--precision int8 or int4), or a shorter --context"))
}

/// Chips that there may be.
fn most_chips(wishes: &Wishes, system: &System) -> usize {
    wishes.chips.unwrap_or(usize::MAX).min(system.chips() as usize)
}

/// For each size of group, dense and not, what its pieces take and the best mapping by that; and why there is none for the others.
fn candidates(
    model: &Model,
    wishes: &Wishes,
    sizes: Vec<usize>,
    (system, chip): (&System, &Chip),
    options: &Options,
) -> Result<(Vec<Attempt>, Vec<String>), Diagnostic> {
    let most = most_chips(wishes, system);
    let mut found: Vec<Attempt> = Vec::new();
    let mut reasons: Vec<String> = Vec::new();
    // Of groups of the same size with gaps: what pieces take, and whether it is not room that is missing.
    let (mut sparse, mut hopeless): (Option<Vec<Cost>>, bool) = (None, false);
    for (chips, dense) in sizes.into_iter().flat_map(|chips| [(chips, false), (chips, true)]) {
        if !dense {
            (sparse, hopeless) = (None, false);
        } else if hopeless {
            continue;
        }
        let how = if dense { ", dense" } else { "" };
        let costs = match costs(model, (chips, dense), (system, chip), options) {
            Ok(costs) => costs,
            Err(problem) if problem.kind == Kind::Unsupported => {
                hopeless = problem.code != "does-not-fit";
                reasons.push(format!("groups of {chips}{how}: {}", problem.message));
                continue;
            }
            Err(problem) => return Err(problem),
        };
        if sparse.as_ref() == Some(&costs) {
            continue;
        }
        sparse = Some(costs.clone());
        match candidate(model, wishes, (chips, dense), &costs, room(chip)?) {
            Some(candidate) if candidate.amount.chips <= most => {
                found.push(Attempt { costs, candidate, failed: 0 })
            }
            Some(candidate) => {
                reasons.push(format!("groups of {chips}{how}: {} chips are needed", candidate.amount.chips))
            }
            None => reasons.push(format!("groups of {chips}: not in so many stages")),
        }
    }
    Ok((found, reasons))
}

/// Bytes of a chip where weights and caches may lie.
fn room(chip: &Chip) -> Result<u64, Diagnostic> {
    let plan = Floorplan::new(chip, Room::LEAST)?;
    let plan = plan.crowded(chip).unwrap_or(plan);
    Ok(2 * plan.room(chip) * chip.lanes as u64)
}

/// Stages of about equal fullness, as few as a chip's room allows, or as many as the user wants.
fn candidate(
    model: &Model,
    wishes: &Wishes,
    (chips, dense): (usize, bool),
    costs: &[Cost],
    room: u64,
) -> Option<Candidate> {
    let most = match wishes.pipeline {
        Some(stages) => stages,
        None => packed(model, costs, room)?.len(),
    };
    // The least room that makes no more stages of it.
    let (mut low, mut high) = (0, room);
    while high - low > room / 1000 + 1 {
        let middle = low + (high - low) / 2;
        match packed(model, costs, middle) {
            Some(stages) if stages.len() <= most => high = middle,
            _ => low = middle,
        }
    }
    let stages = packed(model, costs, high).filter(|stages| stages.len() <= most)?;
    let mut from = 0;
    let of_stage = |count: &usize| {
        let pieces = &model.order[from..from + count];
        from += count;
        pieces.iter().map(|&piece| costs[piece].cycles).sum::<u64>()
    };
    let cycles: Vec<u64> = stages.iter().map(of_stage).collect();
    let amount = Amount {
        chips: chips * stages.len(),
        cycles: cycles.iter().sum(),
        longest: cycles.iter().copied().max().unwrap_or(0),
    };
    Some(Candidate { amount, mapping: Mapping { chips, stages, dense } })
}

/// How many pieces each stage takes, one stage filled after the other; nothing if a piece has no room by itself.
fn packed(model: &Model, costs: &[Cost], room: u64) -> Option<Vec<usize>> {
    let (mut stages, mut bytes) = (Vec::new(), 0);
    for &piece in &model.order {
        let own = costs[piece].bytes;
        match stages.last_mut() {
            Some(count) if bytes + own <= room => {
                *count += 1;
                bytes += own;
            }
            _ if own > room => return None,
            _ => {
                stages.push(1);
                bytes = own;
            }
        }
    }
    Some(stages)
}

/// What each piece takes on a group of so many chips.
fn costs(
    model: &Model,
    (chips, dense): (usize, bool),
    (system, chip): (&System, &Chip),
    options: &Options,
) -> Result<Vec<Cost>, Diagnostic> {
    let stages = model.order.len().min(3);
    let groups = Groups::new(system, chip, chips, stages)?;
    let last = model.pieces.len() - 1;
    for piece in &model.pieces {
        let least = least_bytes(&piece.graph, options.precision, chip) / chips as u64;
        if least > chip.sram_bytes() {
            let message = format!("{} has {least} bytes of weights on each chip", piece.name);
            return Err(Diagnostic::new(Kind::Unsupported, "does-not-fit", message));
        }
    }
    let cost = |piece: usize| {
        let ends = (model.order.first() == Some(&piece), model.order.last() == Some(&piece) && piece == last);
        let options = Options { links: groups.links(ends), ..options.clone() };
        let graph = joined(model, &[piece])?;
        let compiled =
            super::share_and_compile(&graph, chip, &options, (1, dense), &mut |_, _| {})?.0.swap_remove(0);
        Ok(cost(&compiled))
    };
    (0..model.pieces.len()).map(cost).collect()
}

fn cost(compiled: &Compiled) -> Cost {
    let summary = &compiled.summary;
    Cost { bytes: summary.weights_bytes + summary.kv_bytes, cycles: compiled.predicted.cycles }
}

/// Bytes that the weights of a graph take at least.
fn least_bytes(graph: &Graph, precision: Precision, chip: &Chip) -> u64 {
    let of_node = |node: &Node| match &node.op {
        Op::Constant(Constant { encoding, bytes: None }) if node.ty.shape.len() > 1 => {
            let few = encoding.blocks().is_some_and(|few| takes(chip, few));
            node.ty.elements() as u64 * if few { 4 } else { precision.weight_bits() }
        }
        _ => 0,
    };
    graph.nodes.values().map(of_node).sum::<u64>() / 8
}

//! Models on systems of chips: stages of a pipeline, each cut for a group of chips and compiled once, and where and when they run.

mod collective;
mod plan;

pub use collective::all_reduce;
pub use plan::{Amount, Objective, Wishes, compile_planned};

use std::collections::BTreeMap;
use std::fmt::Display;

use isa::system::System;
use isa::{C2c, Chip, Instruction, Placed, Program, SystemProgram};

use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::{Graph, NodeId, Op, chain};
use crate::links::{Links, Transfer};
use crate::partition::gates;
use crate::partition::groups::{Groups, HANDED};
use crate::partition::tensor_parallel::{self, Cuts, Group};
use crate::{Compiled, Options, compile};

/// Groups of rewrite rules that pay with room for cycles: weights of each head by themselves leave lanes empty, those whose lanes are moved are copies.
const ROOMY: [&str; 2] = ["merge", "lanes"];

/// A part of a model that a stage holds whole: an embedding, a layer, a head. What it hands on is its output `output`, what it is handed its input
/// `hidden`.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Its name.
    pub name: String,
    /// What it computes.
    pub graph: Graph,
}

/// A model in pieces.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Distinct pieces.
    pub pieces: Vec<Piece>,
    /// Which piece comes when.
    pub order: Vec<usize>,
}

/// How a model is put on chips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Chips of each group.
    pub chips: usize,
    /// For each stage, how many pieces of the model's order it has.
    pub stages: Vec<usize>,
    /// Whether room counts for more than cycles: parts are gathered without gaps, and no rewrite makes weights larger.
    pub dense: bool,
}

/// A stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its pieces, by their numbers in [`Model::order`].
    pub pieces: std::ops::Range<usize>,
    /// Its kind.
    pub kind: usize,
    /// Cycle of the system's clock in which its program begins.
    pub start_cycle: u64,
}

/// What stages of the same pieces have in common.
#[derive(Clone, Debug)]
pub struct StageKind {
    /// Which of the programs in [`Chained::program`] each rank runs.
    pub programs: Vec<usize>,
    /// What rank 0 has, and what is known of it.
    pub compiled: Compiled,
    /// Inputs, outputs and states of which a chip has a part.
    pub cuts: Cuts,
    /// Cycle of its first Receive from the stage before, and of its first Send to the next.
    pub handed_cycle: (u64, u64),
}

/// A model compiled for a system.
#[derive(Clone, Debug)]
pub struct Chained {
    /// Chips of each stage, by rank.
    pub chips: Vec<Vec<u32>>,
    /// Stages, in order.
    pub stages: Vec<Stage>,
    /// Distinct stages.
    pub kinds: Vec<StageKind>,
    /// What the chips run.
    pub program: SystemProgram,
    /// Cycles of a step, from the first stage's first to the last stage's last.
    pub predicted_cycles: u64,
}

impl Chained {
    /// What it amounts to.
    pub fn amount(&self) -> Amount {
        Amount {
            chips: self.chips.iter().map(Vec::len).sum(),
            cycles: self.predicted_cycles,
            longest: self.kinds.iter().map(|kind| kind.compiled.predicted.cycles).max().unwrap_or(0),
        }
    }
}

/// Compiles a model for a system.
///
/// # Errors
/// What [`compile`], [`tensor_parallel::plan`] and [`Groups::new`] find.
pub fn compile_chained(
    model: &Model,
    mapping: &Mapping,
    (system, chip): (&System, &Chip),
    options: &Options,
    watch: &mut dyn FnMut(&'static str, &dyn Display),
) -> Result<Chained, Diagnostic> {
    let groups = Groups::new(system, chip, mapping.chips, mapping.stages.len())?;
    let mut program = Program { chip: chip.name.clone(), nodes: vec![String::new()], chips: Vec::new() };
    let mut known: BTreeMap<(Vec<usize>, bool, bool), usize> = BTreeMap::new();
    let (mut kinds, mut stages): (Vec<StageKind>, Vec<Stage>) = (Vec::new(), Vec::new());
    let mut from = 0;
    for (number, &count) in mapping.stages.iter().enumerate() {
        let pieces = from..from + count;
        from = pieces.end;
        let ends = (number == 0, number + 1 == mapping.stages.len());
        let key = (model.order[pieces.clone()].to_vec(), ends.0, ends.1);
        let kind = match known.get(&key) {
            Some(&kind) => kind,
            None => {
                let options = Options { links: groups.links(ends), ..options.clone() };
                kinds.push(stage_kind(model, &key.0, (mapping, chip), &options, &mut program, watch)?);
                known.insert(key, kinds.len() - 1);
                kinds.len() - 1
            }
        };
        let start_cycle = match stages.last() {
            None => 0,
            Some(before) => {
                let sent = before.start_cycle + kinds[before.kind].handed_cycle.1;
                sent + groups.latency_cycles[number - 1] - kinds[kind].handed_cycle.0
            }
        };
        stages.push(Stage { pieces, kind, start_cycle });
    }
    let ends = stages.iter().map(|stage| stage.start_cycle + kinds[stage.kind].compiled.predicted.cycles);
    let predicted_cycles = ends.max().unwrap_or(0);
    let placed = placed(&groups, &stages, &kinds, &program);
    let chips = groups.chips;
    Ok(Chained { chips, stages, kinds, program: SystemProgram { program, placed }, predicted_cycles })
}

/// The graph of some pieces, one after the other.
fn joined(model: &Model, pieces: &[usize]) -> Result<Graph, Diagnostic> {
    if let [piece] = pieces {
        return Ok(model.pieces[*piece].graph.clone());
    }
    let named = |(at, &piece): (usize, &usize)| {
        let piece = &model.pieces[piece];
        (format!("{at}.{}.", piece.name), piece.graph.clone())
    };
    let graphs: Vec<(String, Graph)> = pieces.iter().enumerate().map(named).collect();
    chain::chain(&model.name, &graphs, HANDED)
        .map_err(|what| Diagnostic::new(Kind::Bug, "chain", format!("{}: {what}", model.name)))
}

/// Compiles the stage of some pieces, and adds its programs: one for all ranks, or where what they hold is known, one for each.
fn stage_kind(
    model: &Model,
    pieces: &[usize],
    (mapping, chip): (&Mapping, &Chip),
    options: &Options,
    program: &mut Program,
    watch: &mut dyn FnMut(&'static str, &dyn Display),
) -> Result<StageKind, Diagnostic> {
    let graph = joined(model, pieces)?;
    let (chips, dense) = (mapping.chips, mapping.dense);
    let ranks = if has_weights(&graph) { chips } else { 1 };
    let (mut compiled, cuts) = share_and_compile(&graph, chip, options, (ranks, dense), watch)?;
    let mut programs = Vec::new();
    for (rank, own) in compiled.iter().enumerate() {
        let (nodes, first) = (program.nodes.len() as u32, program.chips.len());
        program.nodes.extend(own.program.nodes.iter().cloned());
        // What only this rank holds goes with its own program.
        if ranks > 1 {
            program.chips.push(renumbered(own.program.chips[own.ranks[rank]].clone(), nodes));
            programs.push(first);
        } else {
            program.chips.extend(own.program.chips.iter().cloned().map(|chip| renumbered(chip, nodes)));
            programs.extend((0..chips).map(|rank| first + own.ranks[rank]));
        }
    }
    let compiled = compiled.swap_remove(0);
    let handed_cycle = handed_cycles(&compiled, &options.links);
    Ok(StageKind { programs, compiled, cuts, handed_cycle })
}

/// What the first ranks of a group run for a graph, and how that is cut.
fn share_and_compile(
    graph: &Graph,
    chip: &Chip,
    options: &Options,
    (ranks, dense): (usize, bool),
    watch: &mut dyn FnMut(&'static str, &dyn Display),
) -> Result<(Vec<Compiled>, Cuts), Diagnostic> {
    let mut options = Options { dense, ..options.clone() };
    if let Some(rewrite) = options.rewrite.as_mut().filter(|_| dense) {
        rewrite.disabled.extend(ROOMY.map(str::to_owned));
    }
    let options = &options;
    if options.links.axes.is_empty() {
        return Ok((vec![compile(graph.clone(), chip, options, watch)?], BTreeMap::new()));
    }
    let links = &options.links;
    // Where the host gives what is handed on elsewhere, it gives each chip its part.
    let arrivals: &[&str] = if is_handed(graph) { &[HANDED.1] } else { &[] };
    let departures: &[&str] = if links.departures.is_empty() { &[] } else { &[HANDED.0] };
    let mesh: Vec<usize> = links.axes.iter().map(|axis| axis.chips).collect();
    let group = Group { mesh: &mesh, lanes: chip.lanes, arrivals, departures, dense };
    let plan = tensor_parallel::plan(graph, group)?;
    let (mut compiled, mut cuts) = (Vec::new(), BTreeMap::new());
    for rank in 0..ranks {
        let share = plan.share(rank)?;
        cuts = share.cuts;
        let graph = gates::route(share.graph, links)
            .map_err(|what| Diagnostic::new(Kind::Bug, "gates", format!("{}: {what}", graph.name)))?;
        compiled.push(compile(graph, chip, options, watch)?);
    }
    Ok((compiled, cuts))
}

/// Whether a graph begins with what is handed on.
fn is_handed(graph: &Graph) -> bool {
    let handed = |&input: &NodeId| matches!(&graph.nodes[input].op, Op::Input(name) if name == HANDED.1);
    graph.inputs.iter().any(handed)
}

/// Whether a graph brings all of its constants.
fn has_weights(graph: &Graph) -> bool {
    graph.nodes.values().all(|node| !matches!(&node.op, Op::Constant(constant) if constant.bytes.is_none()))
}

/// A chip's program whose nodes' names begin later in a list.
fn renumbered(mut chip: isa::ChipProgram, first: u32) -> isa::ChipProgram {
    chip.queues.values_mut().flatten().for_each(|run| run.node += first);
    chip.memory.iter_mut().for_each(|segment| segment.node += first);
    chip
}

/// First Receive of what arrives, first Send of what departs.
fn handed_cycles(compiled: &Compiled, links: &Links) -> (u64, u64) {
    let first = |transfers: &[Transfer], sends: bool| {
        let queues = transfers.iter().flat_map(|transfer| &transfer.links);
        let of = |queue| compiled.program.chips.iter().filter_map(move |chip| chip.queues.get(queue));
        let runs = queues.flat_map(of).flatten();
        let own = |instruction: &Instruction| match instruction {
            Instruction::C2c(C2c::Send { .. }) => sends,
            Instruction::C2c(C2c::Receive { .. }) => !sends,
            _ => false,
        };
        runs.filter(|run| own(&run.instruction)).map(|run| run.cycle).min().unwrap_or(0)
    };
    (first(&links.arrivals, false), first(&links.departures, true))
}

fn placed(groups: &Groups, stages: &[Stage], kinds: &[StageKind], program: &Program) -> Vec<Placed> {
    let mut placed = Vec::new();
    for (number, stage) in stages.iter().enumerate() {
        for (rank, &chip) in groups.chips[number].iter().enumerate() {
            let number_of = kinds[stage.kind].programs[rank];
            let used = |queue: &isa::Queue| program.chips[number_of].queues.contains_key(queue);
            let ports = groups.ports[number][rank].iter().filter(|(queue, _)| used(queue));
            placed.push(Placed {
                chip,
                program: number_of as u32,
                start_cycle: stage.start_cycle,
                ports: ports.map(|(&queue, &port)| (queue, port)).collect(),
            });
        }
    }
    placed
}

//! Exchanges by themselves: what a group of chips needs to add up an array that each of them has.

use std::fmt::Display;

use isa::Chip;
use isa::system::System;

use super::{Chained, Stage, StageKind, placed};
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::{ElementType, Graph, NodeId, Op, ReduceOp, TensorType};
use crate::partition::gates;
use crate::partition::groups::{Groups, mesh};
use crate::{Options, compile};

/// All-reduce over a group of so many chips: each has an array `x` of `elements` 32-bit numbers, and gets the sum of all as `sum`. First each chip
/// gets everyone's part of its share, and adds them, axis by axis of the group; then the shares are gathered, the other way round. Shares lie in the
/// order in which a chip has to do with them, its own first: in `x` then those of the chips ahead, in `sum` those of the chips behind.
///
/// # Errors
/// `bad-length` where the elements are no equal shares, or shares longer than a vector no whole vectors; what [`Groups::new`] and [`compile`] find.
pub fn all_reduce(
    elements: usize,
    chips: usize,
    (system, chip): (&System, &Chip),
    options: &Options,
    watch: &mut dyn FnMut(&'static str, &dyn Display),
) -> Result<Chained, Diagnostic> {
    let groups = Groups::new(system, chip, chips, 1)?;
    let links = groups.links((true, true));
    let lanes = chip.lanes.min(elements / chips.max(1));
    if chips < 2 || lanes < 2 || !elements.is_multiple_of(chips * lanes) {
        let what = format!("{elements} elements are no equal shares of vectors of {lanes} for {chips} chips");
        let problem = Diagnostic::new(Kind::Input, "bad-length", what);
        let least = chips * chip.lanes;
        return Err(
            problem.note(format!("use at least 2 chips, and a multiple or divisor of {least} elements"))
        );
    }
    let bug = |what: String| Diagnostic::new(Kind::Bug, "all-reduce", what);
    let graph = graph(elements, &mesh(system, chips), lanes).map_err(bug)?;
    let graph = gates::route(graph, &links).map_err(bug)?;
    let options = Options { links, ..options.clone() };
    let compiled = compile(graph, chip, &options, watch)?;
    let program = compiled.program.clone();
    let cycles = compiled.predicted.cycles;
    let kinds = vec![StageKind {
        programs: compiled.ranks.clone(),
        compiled,
        cuts: Default::default(),
        handed_cycle: (0, 0),
    }];
    let stages = vec![Stage { pieces: 0..1, kind: 0, start_cycle: 0 }];
    let placed = placed(&groups, &stages, &kinds, &program);
    let program = isa::SystemProgram { program, placed };
    Ok(Chained { chips: groups.chips, stages, kinds, program, predicted_cycles: cycles })
}

/// What each chip does, for a mesh of axes.
fn graph(elements: usize, mesh: &[usize], lanes: usize) -> Result<Graph, String> {
    let mut graph = Graph { name: "all-reduce".to_owned(), ..Graph::default() };
    let ty = TensorType::new(ElementType::F32, vec![elements / lanes, lanes]);
    let x = graph.push_typed(Op::Input("x".to_owned()), &[], ty, "x");
    graph.inputs.push(x);
    let (mut node, mut rows): (NodeId, usize) = (x, elements / lanes);
    let mut push = |op: Op, input: NodeId, name: &str| graph.push(op, &[input], name);
    let stride = |at: usize| mesh[..at].iter().product::<usize>();
    for (at, &chips) in mesh.iter().enumerate() {
        rows /= chips;
        node = push(Op::Reshape { shape: vec![chips, rows, lanes] }, node, "reduce-scatter")?;
        node = push(Op::AllToAll { stride: stride(at) }, node, "reduce-scatter")?;
        node = push(Op::Reduce { op: ReduceOp::Sum, axis: 0 }, node, "reduce-scatter")?;
    }
    for (at, &chips) in mesh.iter().enumerate().rev() {
        node = push(Op::AllGather { chips, stride: stride(at), padded: None }, node, "all-gather")?;
        rows *= chips;
        node = push(Op::Reshape { shape: vec![rows, lanes] }, node, "all-gather")?;
    }
    graph.outputs.push(("sum".to_owned(), node));
    Ok(graph)
}

//! The links of a program: which runs send on each and receive from it, to be held against the program at its other end.

use std::collections::BTreeMap;

use isa::{C2c, ChipProgram, Instruction, Queue, Run};

use super::super::lattice::Lattice;
use super::runs::cut;
use crate::fault::{Dispatch, Raised};
use crate::reference::icu;

/// A run on a link.
#[derive(Clone, Copy)]
pub(crate) struct LinkRun {
    /// When it dispatches.
    pub(crate) cycles: Lattice,
    instruction: Instruction,
    node: u32,
    queue: Queue,
}

impl LinkRun {
    /// What it dispatches in this cycle, which is one of its own.
    pub(crate) fn at(&self, cycle: i64) -> Dispatch {
        Dispatch { cycle: cycle as u64, queue: self.queue, instruction: self.instruction, node: self.node }
    }
}

/// A link of a program, up to the disorder of its queue if there is one.
#[derive(Default)]
pub(crate) struct LinkRuns {
    /// In order; each ends before the next begins.
    pub(crate) sends: Vec<LinkRun>,
    pub(crate) receives: Vec<LinkRun>,
    /// The first Receive, if no Deskew comes before it.
    pub(crate) skewed: Option<Raised>,
}

/// All links of a program, by their queues.
pub(crate) fn links(program: &ChipProgram) -> BTreeMap<Queue, LinkRuns> {
    let links = program.queues.iter().filter(|(queue, _)| matches!(queue, Queue::C2c(..)));
    links.map(|(&queue, runs)| (queue, link(queue, runs))).collect()
}

fn link(queue: Queue, runs: &[Run]) -> LinkRuns {
    let ordered = icu::disorder(queue, runs).map(|_| cut(runs));
    let mut link = LinkRuns::default();
    let mut deskewed = false;
    for run in ordered.as_deref().unwrap_or(runs) {
        let cycles = Lattice::of(run);
        let own = LinkRun { cycles, instruction: run.instruction, node: run.node, queue };
        match run.instruction {
            Instruction::C2c(C2c::Send { .. }) => link.sends.push(own),
            Instruction::C2c(C2c::Receive { .. }) => {
                if !deskewed {
                    link.skewed.get_or_insert_with(|| own.at(cycles.first()).not_deskewed());
                }
                link.receives.push(own);
            }
            Instruction::C2c(C2c::Deskew) => deskewed = true,
            Instruction::Icu(_)
            | Instruction::Mem(_)
            | Instruction::Vxm(_)
            | Instruction::Mxm(_)
            | Instruction::Sxm(_) => {}
        }
    }
    link
}

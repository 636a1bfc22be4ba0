//! Programs on the chips of a system: whether they fit, which links they join, and what a run of them amounts to.

use std::collections::BTreeMap;
use std::fmt;

use isa::system::{LinkTiming, port_of_queue, queue_of_port};
use isa::{Chip, Placed, Queue, Report, System, SystemProgram};

use crate::fault::{Fault, Place, Raised};

/// Later starts than this are refused; it is centuries.
const LAST_START: u64 = 1 << 61;

/// What a run of a system's program amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemReport {
    /// Cycles of the system's clock, from 0 to the last effect of any chip in its last superlane.
    pub cycles: u64,
    /// What each chip did, in the order of the placements; its cycles count from its own start.
    pub chips: Vec<Report>,
}

/// The first thing that went wrong in a system: of the earliest cycle, within it of the lowest chip, and there of the lowest place. A vector
/// that nobody received is known only when all programs have ended, and comes after all else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemFault {
    /// When, in cycles of the system's clock.
    pub cycle: u64,
    /// The chip whose instruction did it.
    pub chip: u32,
    /// What; its cycles are those of that chip's program.
    pub fault: Fault,
}

impl fmt::Display for SystemFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chip {}, in cycle {} of the system: {}", self.chip, self.cycle, self.fault)
    }
}

impl std::error::Error for SystemFault {}

impl SystemReport {
    /// From the reports of the chips, in the order of the placements.
    pub(crate) fn new(program: &SystemProgram, chips: Vec<Report>) -> SystemReport {
        let ends =
            program.placed.iter().zip(&chips).map(|(placed, report)| placed.start_cycle + report.cycles);
        SystemReport { cycles: ends.max().unwrap_or(0), chips }
    }
}

/// A fault of the program in a placement.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    /// Index of the placement.
    pub(crate) placement: usize,
    pub(crate) raised: Raised,
}

impl Located {
    /// The order in which faults are reported.
    pub(crate) fn key(&self, program: &SystemProgram) -> (u64, u32, Place, crate::FaultKind) {
        let placed = &program.placed[self.placement];
        let (cycle, place, kind) = self.raised.key();
        (placed.start_cycle + cycle, placed.chip, place, kind)
    }

    /// The fault as the user sees it.
    pub(crate) fn named(self, program: &SystemProgram) -> SystemFault {
        let placed = &program.placed[self.placement];
        let cycle = placed.start_cycle + self.raised.cycle;
        SystemFault { cycle, chip: placed.chip, fault: self.raised.named(&program.program.nodes) }
    }
}

/// The first of some faults.
pub(crate) fn first(program: &SystemProgram, faults: Vec<Located>) -> Option<SystemFault> {
    let first = faults.into_iter().min_by_key(|fault| fault.key(program))?;
    Some(first.named(program))
}

/// Where what is sent on a link arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Index of the placement at the other end.
    pub(crate) to: usize,
    /// Its queue of the link.
    pub(crate) queue: Queue,
    /// The level of the system whose link it is.
    pub(crate) level: usize,
}

/// The links that join the programs of a system: of each placement, by its own queue of the link.
pub(crate) struct Ways {
    pub(crate) of: Vec<BTreeMap<Queue, Way>>,
    /// Of each level.
    pub(crate) timing: Vec<LinkTiming>,
}

impl Ways {
    /// Follows every link that a program uses to its other end.
    ///
    /// # Errors
    /// All that does not fit, one sentence each: chips that do not exist or have two programs, links without a port or with another's, ports of
    /// the other hemisphere, ports that lead nowhere or to a chip that does not name the link.
    pub(crate) fn find(system: &System, chip: &Chip, program: &SystemProgram) -> Result<Ways, Vec<String>> {
        let timing = system.timing(chip)?;
        let mut problems = Vec::new();
        let mut by_chip = BTreeMap::new();
        for (index, placed) in program.placed.iter().enumerate() {
            check_placed(system, program, placed, &mut problems);
            if by_chip.insert(placed.chip, index).is_some() {
                problems.push(format!("chip {} has two programs", placed.chip));
            }
        }
        let mut of = Vec::with_capacity(program.placed.len());
        for placed in &program.placed {
            let mut ways = BTreeMap::new();
            for (&queue, &port) in &placed.ports {
                match way(system, program, &by_chip, (placed.chip, port)) {
                    Ok(way) => {
                        ways.insert(queue, way);
                    }
                    Err(problem) if is_used(program, placed, queue) => {
                        problems.push(format!("chip {}: {queue} is port {port}, {problem}", placed.chip));
                    }
                    // Nobody would notice.
                    Err(_) => {}
                }
            }
            of.push(ways);
        }
        if problems.is_empty() { Ok(Ways { of, timing }) } else { Err(problems) }
    }

    /// The links of a placement, by its own queues, with what they take.
    pub(crate) fn ends(&self, placement: usize) -> impl Iterator<Item = (Queue, LinkTiming)> {
        self.of[placement].iter().map(|(queue, way)| (*queue, self.timing[way.level]))
    }
}

/// Does the program of a placement dispatch anything on this link?
fn is_used(program: &SystemProgram, placed: &Placed, queue: Queue) -> bool {
    let chip = program.program.chips.get(placed.program as usize);
    chip.and_then(|chip| chip.queues.get(&queue)).is_some_and(|runs| !runs.is_empty())
}

fn check_placed(system: &System, program: &SystemProgram, placed: &Placed, problems: &mut Vec<String>) {
    let (number, chips) = (placed.chip, system.chips());
    let mut problem = |text: String| problems.push(format!("chip {number}: {text}"));
    if number >= chips {
        problem(format!("system {} has {chips} chips, from 0 on", system.name));
    }
    if placed.start_cycle > LAST_START {
        problem("its program starts too late".to_owned());
    }
    let Some(own) = program.program.chips.get(placed.program as usize) else {
        return problem(format!("there is no program {} of {}", placed.program, program.program.chips.len()));
    };
    let mut links = BTreeMap::new();
    for (&queue, &port) in &placed.ports {
        if port_of_queue(queue).is_none() {
            problem(format!("{queue} is no link, and cannot be port {port}"));
        } else if half(queue) != half(queue_of_port(port)) {
            problem(format!("{queue} cannot be port {port}, which is one of the other hemisphere"));
        }
        if let Some(other) = links.insert(port, queue) {
            problem(format!("{other} and {queue} are both port {port}"));
        }
    }
    for (queue, runs) in own.queues.iter().filter(|(queue, _)| matches!(queue, Queue::C2c(..))) {
        if !runs.is_empty() && !placed.ports.contains_key(queue) {
            problem(format!("nothing says which port {queue} is"));
        }
    }
}

/// The hemisphere of a link's queue.
fn half(queue: Queue) -> Option<isa::Hemisphere> {
    match queue {
        Queue::C2c(hemisphere, _) => Some(hemisphere),
        Queue::MemRead(..) | Queue::MemWrite(..) | Queue::Vxm(_) | Queue::Mxm(..) | Queue::Sxm(..) => None,
    }
}

/// Where a port leads, if a program there names it.
fn way(
    system: &System,
    program: &SystemProgram,
    by_chip: &BTreeMap<u32, usize>,
    (chip, port): (u32, u8),
) -> Result<Way, String> {
    let end = system.port(chip, port).ok_or("which leads nowhere")?;
    let to = *by_chip
        .get(&end.chip)
        .ok_or_else(|| format!("which leads to chip {}, and that has no program", end.chip))?;
    let mut queues = program.placed[to].ports.iter().filter(|(_, there)| **there == end.port);
    let (&queue, _) = queues.next().ok_or_else(|| {
        format!("which leads to port {} of chip {}, and no link of its program is that", end.port, end.chip)
    })?;
    Ok(Way { to, queue, level: end.level })
}

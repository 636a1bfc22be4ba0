//! Composing: the time of a system's program from the times of its distinct chip programs.
//!
//! Each chip program is checked once by itself, with its links taken to lead somewhere. What is left are the links: whether Sends are far
//! enough apart, and whether the Receives at the other end come when something has arrived, soon enough, and as often. That depends on the
//! two programs, their queues, how much later one starts, and the link's timing; it is worked out once for each such case.

use std::collections::BTreeMap;

use isa::system::LinkTiming;
use isa::{Chip, Queue, SystemProgram};

use super::time::{self, LinkRun, LinkRuns};
use super::values::Memory;
use crate::fault::Raised;
use crate::image::Image;
use crate::placing::{Located, SystemFault, SystemReport, Way, Ways, first};

/// A distinct chip program.
struct Part {
    report: isa::Report,
    links: BTreeMap<Queue, LinkRuns>,
    /// Its first fault by itself.
    fault: Option<Raised>,
}

/// The cycles of a system's program, or its first fault; none if the values of indices decide. `images` are those of its chip programs.
pub(crate) fn compose(
    chip: &Chip,
    program: &SystemProgram,
    ways: &Ways,
    images: Vec<Vec<Image>>,
) -> Option<Result<SystemReport, SystemFault>> {
    let mut parts: Vec<Option<Part>> = Vec::new();
    for (index, images) in images.into_iter().enumerate() {
        let used = program.placed.iter().any(|placed| placed.program as usize == index);
        parts.push(if used { Some(part(chip, program, index, images)?) } else { None });
    }
    let parts = Parts { program, ways, parts };
    let mut found = parts.alone();
    let mut left = Vec::new();
    parts.together(&mut found, &mut left);
    let fault = first(program, found).or_else(|| first(program, left));
    Some(match fault {
        Some(fault) => Err(fault),
        None => Ok(SystemReport::new(program, parts.reports())),
    })
}

/// Times a chip program by itself; none if indices decide.
fn part(chip: &Chip, program: &SystemProgram, index: usize, images: Vec<Image>) -> Option<Part> {
    let one = &program.program.chips[index];
    let timing = time::check_joined(chip, one, &Memory::new(chip, images).present());
    if timing.depends_on_values {
        return None;
    }
    let links = time::links(one);
    let skewed = links.values().filter_map(|link| link.skewed.clone());
    let fault = skewed.chain(timing.fault).min_by_key(Raised::key);
    Some(Part { report: timing.report, links, fault })
}

struct Parts<'p> {
    program: &'p SystemProgram,
    ways: &'p Ways,
    /// Of those chip programs that run anywhere.
    parts: Vec<Option<Part>>,
}

/// What two ends of a link are to each other: program and queue of the sender, the same of the receiver, how much later the receiver's program
/// starts, and the link's level.
type Meeting = ((u32, Queue), (u32, Queue), i64, usize);

/// What goes wrong on one way of a link, in the cycles of the programs.
#[derive(Clone, Default)]
struct Verdict {
    sender: Option<Raised>,
    receiver: Option<Raised>,
    /// The first vector that is never received.
    left: Option<Raised>,
}

impl Parts<'_> {
    fn part(&self, placement: usize) -> Option<&Part> {
        self.parts.get(self.program.placed[placement].program as usize)?.as_ref()
    }

    fn reports(&self) -> Vec<isa::Report> {
        let report = |placement| self.part(placement).map(|part| part.report.clone()).unwrap_or_default();
        (0..self.program.placed.len()).map(report).collect()
    }

    /// Of each program the first fault by itself, where it starts earliest.
    fn alone(&self) -> Vec<Located> {
        let mut earliest: BTreeMap<u32, usize> = BTreeMap::new();
        let order = |placement: usize| {
            let placed = &self.program.placed[placement];
            (placed.start_cycle, placed.chip)
        };
        for (placement, placed) in self.program.placed.iter().enumerate() {
            let first = earliest.entry(placed.program).or_insert(placement);
            if order(placement) < order(*first) {
                *first = placement;
            }
        }
        let fault = |placement: usize| {
            let raised = self.part(placement)?.fault.clone()?;
            Some(Located { placement, raised })
        };
        earliest.into_values().filter_map(fault).collect()
    }

    /// What goes wrong on links: `left` is what is left on them.
    fn together(&self, found: &mut Vec<Located>, left: &mut Vec<Located>) {
        let mut known: BTreeMap<Meeting, Verdict> = BTreeMap::new();
        for (placement, ways) in self.ways.of.iter().enumerate() {
            for (&queue, way) in ways {
                let (from, to) = (&self.program.placed[placement], &self.program.placed[way.to]);
                let later = to.start_cycle as i64 - from.start_cycle as i64;
                let meeting = ((from.program, queue), (to.program, way.queue), later, way.level);
                let verdict = known.entry(meeting).or_insert_with(|| self.meet(placement, queue, way, later));
                let at = |placement: usize, raised: &Option<Raised>| {
                    raised.clone().map(|raised| Located { placement, raised })
                };
                found.extend(at(placement, &verdict.sender).into_iter().chain(at(way.to, &verdict.receiver)));
                left.extend(at(placement, &verdict.left));
            }
        }
    }

    fn meet(&self, placement: usize, queue: Queue, way: &Way, later: i64) -> Verdict {
        let runs = |placement: usize, queue: &Queue| self.part(placement)?.links.get(queue);
        let sends = runs(placement, &queue).map_or(&[][..], |link| &link.sends);
        let receives = runs(way.to, &way.queue).map_or(&[][..], |link| &link.receives);
        let timing = self.ways.timing[way.level];
        let busy = busy(sends, timing.vector_cycles as i64);
        let shift = timing.latency_cycles as i64 - later;
        let mut verdict = Flow { sends, receives, timing, shift }.check();
        verdict.sender = busy.into_iter().chain(verdict.sender).min_by_key(Raised::key);
        verdict
    }
}

/// The first Send that comes too soon after the one before.
fn busy(sends: &[LinkRun], vector_cycles: i64) -> Option<Raised> {
    let mut free = i64::MIN;
    for send in sends {
        let first = send.cycles.first();
        if first < free {
            return Some(send.at(first).link_busy(free as u64));
        }
        if let Some((before, next)) = send.cycles.first_gap_below(vector_cycles) {
            return Some(send.at(next).link_busy((before + vector_cycles) as u64));
        }
        free = send.cycles.last() + vector_cycles;
    }
    None
}

/// What is sent at one end of a link, and received at the other.
struct Flow<'r> {
    sends: &'r [LinkRun],
    receives: &'r [LinkRun],
    timing: LinkTiming,
    /// From a Send's cycle to that of its arrival, in cycles of the receiver's program.
    shift: i64,
}

impl Flow<'_> {
    /// What goes wrong, apart from Sends that come too soon.
    fn check(&self) -> Verdict {
        let even = self.sends.len() == self.receives.len()
            && self.sends.iter().zip(self.receives).all(|(send, receive)| {
                send.cycles.shifted(receive.cycles.first() - send.cycles.first()) == receive.cycles
            });
        // From arrival to Receive.
        let waits = self.sends.iter().zip(self.receives);
        let waits = waits.map(|(send, receive)| receive.cycles.first() - send.cycles.first() - self.shift);
        let (least, most) =
            waits.fold((i64::MAX, 0), |(least, most), wait| (least.min(wait), most.max(wait)));
        let vector_cycles = self.timing.vector_cycles.max(1);
        // So many arrive in that time, up to a Send that comes too soon, which is a fault before it arrives.
        let waiting = (most as u64).div_ceil(vector_cycles);
        if even && least >= 0 && waiting <= self.timing.buffer_vectors.into() {
            return Verdict::default();
        }
        self.each()
    }

    /// The same, vector by vector.
    fn each(&self) -> Verdict {
        let most = self.timing.buffer_vectors as usize;
        let (mut sent, mut received) = (elements(self.sends), elements(self.receives));
        let mut ahead = elements(self.sends).skip(most);
        loop {
            let (send, receive) = (sent.next(), received.next());
            let mut verdict = Verdict::default();
            let arrives = send.map(|(_, cycle)| cycle + self.shift);
            if let Some((run, cycle)) = receive.filter(|(_, cycle)| arrives.is_none_or(|at| at > *cycle)) {
                verdict.receiver = Some(run.at(cycle).nothing_arrived());
            }
            let full =
                ahead.next().filter(|(_, cycle)| receive.is_none_or(|(_, at)| at > cycle + self.shift));
            verdict.sender = full.map(|(run, cycle)| {
                let arrives = (cycle + self.timing.latency_cycles as i64) as u64;
                run.at(cycle).receiver_full(arrives, self.timing.buffer_vectors)
            });
            if let (Some((run, cycle)), None) = (send, receive) {
                let arrives = (cycle + self.timing.latency_cycles as i64) as u64;
                verdict.left = Some(run.at(cycle).left_on_link(arrives));
            }
            // What may go wrong further on comes later.
            let wrong = verdict.sender.is_some() || verdict.receiver.is_some();
            if wrong || send.is_none() || receive.is_none() {
                return verdict;
            }
        }
    }
}

/// The runs' dispatches in order.
fn elements(runs: &[LinkRun]) -> impl Iterator<Item = (&LinkRun, i64)> {
    runs.iter().flat_map(|run| (0..run.cycles.count()).map(move |n| (run, run.cycles.nth(n))))
}

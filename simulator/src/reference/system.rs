//! The chips of a system in motion together, each in every cycle of its own, with what they send each other.

use isa::SystemProgram;

use super::c2c::Vector;
use super::machine::Machine;
use super::motion::Motion;
use crate::fault::Raised;
use crate::placing::{Located, SystemFault, SystemReport, Ways, first};

/// Executes the programs of a system once; `machines` are those of its placements.
///
/// # Errors
/// The first fault.
pub(crate) fn run(
    machines: &mut [Machine],
    program: &SystemProgram,
    ways: &Ways,
) -> Result<SystemReport, SystemFault> {
    let mut running = Running { program, ways, motions: Vec::with_capacity(machines.len()) };
    for (placement, machine) in machines.iter_mut().enumerate() {
        let mut motion = machine.motion();
        for (queue, timing) in ways.ends(placement) {
            motion.row_mut().c2c_mut(queue).connect(queue, timing);
        }
        let start = program.placed[placement].start_cycle;
        motion.row_mut().start_at(start);
        running.motions.push(motion);
    }
    while let Some(clock) = running.next_cycle() {
        if let Some(fault) = first(program, running.step(clock)) {
            return Err(fault);
        }
    }
    if let Some(fault) = first(program, running.left()) {
        return Err(fault);
    }
    let ends: Vec<_> = running.motions.into_iter().map(Motion::end).collect();
    let mut reports = Vec::with_capacity(ends.len());
    for (machine, (report, known)) in machines.iter_mut().zip(ends) {
        machine.note_values(known);
        reports.push(report);
    }
    Ok(SystemReport::new(program, reports))
}

/// All chips of a run.
struct Running<'m> {
    program: &'m SystemProgram,
    ways: &'m Ways,
    motions: Vec<Motion<'m>>,
}

impl Running<'_> {
    fn start(&self, placement: usize) -> u64 {
        self.program.placed[placement].start_cycle
    }

    /// The next cycle of the system's clock in which anything can happen; none once all programs have ended.
    fn next_cycle(&self) -> Option<u64> {
        let chips = self
            .motions
            .iter()
            .enumerate()
            .filter_map(|(placement, motion)| Some(self.start(placement) + motion.next_cycle()?));
        let full = self.motions.iter().flat_map(|motion| motion.row().too_many()).map(|(_, one)| one.arrives);
        chips.chain(full).min()
    }

    /// One cycle of every chip that has anything to do in it; then what they sent sets out, and what arrived is counted.
    fn step(&mut self, clock: u64) -> Vec<Located> {
        let mut faults = Vec::new();
        for placement in 0..self.motions.len() {
            let start = self.start(placement);
            let motion = &mut self.motions[placement];
            let Some(cycle) = motion.next_cycle().filter(|cycle| start + cycle == clock) else { continue };
            let mut raised = Vec::new();
            motion.step(cycle, &mut raised, &mut |_| {});
            faults.extend(raised.into_iter().map(|raised| Located { placement, raised }));
            for vector in motion.row_mut().take_sent() {
                if let Some(way) = self.ways.of[placement].get(&vector.by.queue) {
                    self.motions[way.to].row_mut().c2c_mut(way.queue).accept(way.queue, vector);
                }
            }
        }
        for (placement, motion) in self.motions.iter().enumerate() {
            let arrived = motion.row().too_many().filter(|(_, one)| one.arrives <= clock);
            faults.extend(arrived.filter_map(|(queue, one)| {
                let most = self.ways.timing[self.ways.of[placement].get(&queue)?.level].buffer_vectors;
                self.at_sender((placement, queue), one, |one, cycle| one.by.receiver_full(cycle, most))
            }));
        }
        faults
    }

    /// What nobody received.
    fn left(&self) -> Vec<Located> {
        let chips = self.motions.iter().enumerate();
        let left = chips.flat_map(|(placement, motion)| {
            motion.row().left().map(move |(queue, one)| ((placement, queue), one))
        });
        left.filter_map(|(end, one)| self.at_sender(end, one, |one, cycle| one.by.left_on_link(cycle)))
            .collect()
    }

    /// A fault of the chip that sent a vector, given where it arrives.
    fn at_sender(
        &self,
        (placement, queue): (usize, isa::Queue),
        vector: &Vector,
        raise: impl Fn(&Vector, u64) -> Raised,
    ) -> Option<Located> {
        // The other end of the other end is here.
        let sender = self.ways.of[placement].get(&queue)?.to;
        let cycle = vector.arrives - self.start(sender);
        Some(Located { placement: sender, raised: raise(vector, cycle) })
    }
}

//! Forwarding between ALUs: the dispatches that an operand refers to must exist.

use isa::instruction::Operand;
use isa::{Instruction, Queue};

use super::cover::missing;
use super::runs::Timeline;

/// The first cycle before `horizon` in which an ALU is to take what another did not do; else `horizon`.
pub(super) fn forward_of_nothing(timeline: &Timeline<'_>, mut horizon: i64) -> i64 {
    let mut given = Vec::new();
    for line in timeline.lines.iter().filter(|line| matches!(line.queue, Queue::Vxm(_))) {
        for (run, cycles) in line.runs.iter().zip(&line.cycles) {
            let Instruction::Vxm(vxm) = run.instruction else { continue };
            for operand in [Some(vxm.a), vxm.b].into_iter().flatten() {
                let Operand::Alu { alu, delay } = operand else { continue };
                if cycles.first() >= horizon {
                    continue;
                }
                let delay = i64::from(delay);
                let wanted = cycles.shifted(-delay);
                given.clear();
                if let Some(source) = timeline.line(Queue::Vxm(alu)) {
                    let last = wanted.last().min(horizon - delay);
                    given.extend_from_slice(&source.cycles[source.between(wanted.first(), last)]);
                }
                if let Some(cycle) = missing(&wanted, horizon - delay, &mut given, false) {
                    horizon = cycle + delay;
                }
            }
        }
    }
    horizon
}

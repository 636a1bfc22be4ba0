//! Runs of one queue, each over before the next begins: a run that has another one in its pauses is told in parts.

use std::collections::BTreeMap;

use isa::{Instruction, Mem, Run};

/// Brings runs into the order of their cycles. Those that meet others are cut: iteration by iteration of their outermost repeat.
pub(super) fn ordered(runs: Vec<Run>) -> Vec<Run> {
    // By first cycle, then in the order in which the flows were made.
    let mut waiting: BTreeMap<(u64, usize), Run> =
        runs.into_iter().enumerate().map(|(at, run)| ((run.cycle, at), run)).collect();
    let mut ordered: Vec<Run> = Vec::new();
    while let Some(((_, at), run)) = waiting.pop_first() {
        let next = waiting.first_key_value().map(|((cycle, _), _)| *cycle);
        if run.repeats.is_empty() || next.is_none_or(|next| run.last_cycle() < next) {
            ordered.push(run);
            continue;
        }
        let (first, rest) = split(run);
        waiting.extend([Some(first), rest].into_iter().flatten().map(|run| ((run.cycle, at), run)));
    }
    ordered
}

/// The first iteration of the outermost repeat, and the others.
fn split(run: Run) -> (Run, Option<Run>) {
    let outer = run.repeats[0];
    let mut first = run.clone();
    first.repeats.remove(0);
    let mut rest = run;
    if outer.count <= 1 {
        return (first, None);
    }
    rest.cycle += u64::from(outer.interval);
    advance(&mut rest.instruction, outer.step, outer.window_step);
    rest.repeats[0].count -= 1;
    (first, Some(rest))
}

/// Moves an instruction's main operand on, as a repeat does.
fn advance(instruction: &mut Instruction, step: i32, window_step: i32) {
    *instruction = instruction.moved(step.into()).unwrap_or(*instruction);
    if let Instruction::Mem(Mem::Gather { window, .. } | Mem::Scatter { window, .. }) = instruction {
        window.first = window.first.wrapping_add(window_step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isa::{Direction, Repeat, Stream};

    fn read(cycle: u64, address: u32, repeats: &[(u32, u32, i32)]) -> Run {
        let stream = Stream { number: 0, direction: Direction::East };
        let repeat =
            |&(count, interval, step): &(u32, u32, i32)| Repeat { count, interval, step, window_step: 0 };
        let repeats = repeats.iter().map(repeat).collect();
        Run { cycle, instruction: Instruction::Mem(Mem::Read { address, stream }), repeats, node: 0 }
    }

    #[test]
    fn a_run_with_another_in_its_pause_is_told_in_parts() {
        let long = read(0, 5, &[(4, 10, 2), (3, 1, 1)]);
        assert_eq!(ordered(vec![read(50, 1, &[]), long.clone()]), [long.clone(), read(50, 1, &[])]);
        let parts = ordered(vec![long, read(14, 1, &[(2, 2, 1)])]);
        let expected = [
            read(0, 5, &[(3, 1, 1)]),
            read(10, 7, &[(3, 1, 1)]),
            read(14, 1, &[(2, 2, 1)]),
            read(20, 9, &[(2, 10, 2), (3, 1, 1)]),
        ];
        assert_eq!(parts, expected);
    }
}

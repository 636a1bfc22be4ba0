//! Runs of one queue, each over before the next begins: a run that has another one in its pauses is told in parts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use isa::{Instruction, Mem, Mxm, Run, Sxm};

/// A run by its first cycle, then in the order in which the flows were made.
struct Entry(Run, usize);

impl Entry {
    fn key(&self) -> (u64, usize) {
        (self.0.cycle, self.1)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Brings runs into the order of their cycles. Those that meet others are cut: iteration by iteration of their outermost repeat.
pub(super) fn ordered(runs: Vec<Run>) -> Vec<Run> {
    let mut waiting: BinaryHeap<Reverse<Entry>> =
        runs.into_iter().enumerate().map(|(at, run)| Reverse(Entry(run, at))).collect();
    let mut ordered: Vec<Run> = Vec::new();
    while let Some(Reverse(Entry(run, at))) = waiting.pop() {
        let next = waiting.peek().map(|Reverse(next)| next.0.cycle);
        if run.repeats.is_empty() || next.is_none_or(|next| run.last_cycle() < next) {
            ordered.push(run);
            continue;
        }
        let (first, rest) = split(run);
        waiting.push(Reverse(Entry(first, at)));
        waiting.extend(rest.map(|rest| Reverse(Entry(rest, at))));
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
    match instruction {
        Instruction::Mem(Mem::Read { address, .. } | Mem::Write { address, .. }) => {
            *address = address.wrapping_add_signed(step);
        }
        Instruction::Mem(Mem::Gather { window, .. } | Mem::Scatter { window, .. }) => {
            window.base = window.base.wrapping_add_signed(step);
            window.first = window.first.wrapping_add(window_step);
        }
        Instruction::Mxm(Mxm::Lw { row, .. }) => *row = row.wrapping_add_signed(step as i16),
        Instruction::Mxm(Mxm::Acc { address, .. }) => *address = address.wrapping_add_signed(step as i16),
        Instruction::Sxm(
            Sxm::Permute { map, .. } | Sxm::Select { map, .. } | Sxm::Distribute { map, .. },
        ) => {
            *map = map.wrapping_add_signed(step as i16);
        }
        Instruction::Sxm(Sxm::Shift { lanes, .. }) => *lanes = lanes.wrapping_add(step as i16),
        Instruction::Icu(_)
        | Instruction::Vxm(_)
        | Instruction::Mxm(Mxm::Iw | Mxm::Abc { .. })
        | Instruction::Sxm(Sxm::Rotate { .. } | Sxm::Transpose { .. })
        | Instruction::C2c(_) => {}
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

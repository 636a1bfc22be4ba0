//! The instructions of all queues, in the order of their cycles.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use isa::instruction::Instruction;
use isa::place::{MxmPort, Queue};
use isa::program::{ChipProgram, MAX_REPEATS, Run};

use crate::reference::icu::step;

/// An instruction that leaves its queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element {
    pub(crate) cycle: u64,
    pub(crate) queue: Queue,
    /// With the steps of its repeats applied.
    pub(crate) instruction: Instruction,
    /// Index of the model node it works for.
    pub(crate) node: u32,
}

/// All queues, each at its next instruction. Of one cycle IW comes first, as it takes what was loaded before; else the lowest queue.
pub(crate) struct Unroll {
    heads: Vec<Head>,
    next: BinaryHeap<Reverse<(u64, bool, u32)>>,
}

/// A queue's place in its runs.
struct Head {
    queue: Queue,
    run: usize,
    counters: [u32; MAX_REPEATS],
}

impl Unroll {
    /// Every queue at its first instruction.
    pub(crate) fn new(program: &ChipProgram) -> Unroll {
        let mut unroll = Unroll { heads: Vec::new(), next: BinaryHeap::new() };
        for (index, (&queue, runs)) in program.queues.iter().enumerate() {
            unroll.heads.push(Head { queue, run: 0, counters: [0; MAX_REPEATS] });
            if let Some(run) = runs.first() {
                unroll.next.push(Reverse((run.cycle, is_late(queue), index as u32)));
            }
        }
        unroll
    }

    /// The next instruction of all; `program` is the one that the queues are of.
    pub(crate) fn next(&mut self, program: &ChipProgram) -> Option<Element> {
        let mut first = self.next.peek_mut()?;
        let Reverse((cycle, late, index)) = *first;
        let head = &mut self.heads[index as usize];
        let runs = program.queues.get(&head.queue)?;
        let run = &runs[head.run];
        let element = Element {
            cycle,
            queue: head.queue,
            // What steps out of range is a fault, and was found before.
            instruction: head.instruction(run).unwrap_or(run.instruction),
            node: run.node,
        };
        match head.advance(run).or_else(|| {
            head.run += 1;
            runs.get(head.run).map(|run| run.cycle)
        }) {
            Some(cycle) => *first = Reverse((cycle, late, index)),
            None => {
                std::collections::binary_heap::PeekMut::pop(first);
            }
        }
        Some(element)
    }
}

/// Not an IW queue.
fn is_late(queue: Queue) -> bool {
    !matches!(queue, Queue::Mxm(_, _, MxmPort::Install))
}

impl Head {
    fn instruction(&self, run: &Run) -> Option<Instruction> {
        if run.repeats.is_empty() {
            return Some(run.instruction);
        }
        let steps = run.repeats.iter().zip(self.counters);
        let (by, window_by) = steps.fold((0, 0), |(by, window_by), (repeat, times)| {
            let times = i64::from(times);
            (by + i64::from(repeat.step) * times, window_by + i64::from(repeat.window_step) * times)
        });
        step(run.instruction, by, window_by)
    }

    /// The cycle of the run's next repetition; none after its last.
    fn advance(&mut self, run: &Run) -> Option<u64> {
        for level in (0..run.repeats.len()).rev() {
            self.counters[level] += 1;
            if self.counters[level] < run.repeats[level].count {
                let offsets = run.repeats.iter().zip(self.counters);
                let offset: u64 = offsets.map(|(r, times)| u64::from(r.interval) * u64::from(times)).sum();
                return Some(run.cycle + offset);
            }
            self.counters[level] = 0;
        }
        None
    }
}

//! A program that is long in cycles and in runs, and sound: 10^9 cycles, 10^5 runs.

use std::collections::BTreeMap;

use isa::program::SegmentData;
use isa::stream::Direction;
use isa::{
    Chip, ChipProgram, Hemisphere, Instruction, Mem, Program, Queue, Repeat, Run, Segment, Slice, Stream,
};

/// Runs of reads, and as many of writes.
const PAIRS: u64 = 50_000;
/// Cycles from one pair to the next.
const PERIOD: u64 = 20_000;
/// Words that a run copies.
const WORDS: u32 = 1_000;

/// Copies of a thousand words each, from every eastern slice in turn to the western one opposite.
pub(crate) fn program(chip: &Chip) -> Program {
    let slices = u64::from(chip.mem.slices_per_hemisphere);
    let mut one = ChipProgram::default();
    for slice in 0..chip.mem.slices_per_hemisphere {
        one.memory.push(Segment {
            hemisphere: Hemisphere::East,
            slice,
            address: 0,
            words: WORDS,
            data: SegmentData::Fill(slice as u8),
            node: 0,
        });
    }
    let mut queues: BTreeMap<Queue, Vec<Run>> = BTreeMap::new();
    for pair in 0..PAIRS {
        let slice = (pair % slices) as u16;
        let stream = Stream { number: (pair % 7) as u8, direction: Direction::West };
        let (from, to) = (Slice::Mem(Hemisphere::East, slice), Slice::Mem(Hemisphere::West, slice));
        let hops = u64::from((from.position(chip) - to.position(chip)).unsigned_abs());
        // Longer than the period: three copies are under way at a time, on streams of their own.
        let run = |cycle, instruction| Run {
            cycle,
            instruction: Instruction::Mem(instruction),
            repeats: vec![Repeat { count: WORDS, interval: 59, step: 1, window_step: 0 }],
            node: 0,
        };
        let cycle = pair * PERIOD;
        let read = run(cycle, Mem::Read { address: 0, stream });
        let write = run(cycle + u64::from(chip.latency.read) + hops, Mem::Write { address: 0, stream });
        queues.entry(Queue::MemRead(Hemisphere::East, slice)).or_default().push(read);
        queues.entry(Queue::MemWrite(Hemisphere::West, slice)).or_default().push(write);
    }
    one.queues = queues;
    Program { chip: chip.name.clone(), nodes: vec![String::new()], chips: vec![one] }
}

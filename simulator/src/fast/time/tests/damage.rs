//! Damages to sound programs.

use isa::instruction::{AccMode, Operand};
use isa::{ChipProgram, Format, Instruction, Mem, Mxm, Queue, Run, Stream, Sxm};

use super::rng::Rng;

/// Changes one run in one way.
pub(super) fn damage(program: &mut ChipProgram, rng: &mut Rng) {
    let queues: Vec<Queue> = program.queues.keys().copied().collect();
    if queues.is_empty() {
        return;
    }
    let queue = queues[rng.below(queues.len() as u64) as usize];
    let moved = match rng.below(40) {
        0 => Some(queues[rng.below(queues.len() as u64) as usize]),
        _ => None,
    };
    let Some(runs) = program.queues.get_mut(&queue).filter(|runs| !runs.is_empty()) else { return };
    let index = rng.below(runs.len() as u64) as usize;
    if let Some(to) = moved {
        let run = runs.remove(index);
        program.queues.entry(to).or_default().push(run);
        return;
    }
    let run = &mut runs[index];
    let level = (!run.repeats.is_empty()).then(|| rng.below(run.repeats.len() as u64) as usize);
    match rng.below(12) {
        0 => run.cycle += rng.within(1, 2),
        1 => run.cycle = run.cycle.saturating_sub(rng.within(1, 2)),
        2 => {
            runs.remove(index);
        }
        3 => {
            let mut copy = run.clone();
            copy.cycle += rng.below(6) + if rng.one_in(2) { run.last_cycle() - run.cycle } else { 0 };
            let place = runs.partition_point(|other| other.cycle <= copy.cycle);
            runs.insert(place, copy);
        }
        4..=6 => {
            let Some(repeat) = level.map(|level| &mut run.repeats[level]) else {
                run.cycle += 1;
                return;
            };
            let up = rng.one_in(2);
            match rng.below(4) {
                0 if up => repeat.count += 1,
                0 => repeat.count = (repeat.count - 1).max(1),
                1 if up => repeat.interval += 1,
                1 => repeat.interval = repeat.interval.saturating_sub(1),
                2 => repeat.step += if up { 1 } else { -1 },
                _ => repeat.window_step += 1,
            }
        }
        7 => {
            // A run in two parts, which is the same.
            if run.repeats.first().is_some_and(|outer| outer.count > 1) {
                let mut rest = run.clone();
                rest.repeats[0].count -= 1;
                rest.cycle += u64::from(rest.repeats[0].interval);
                run.repeats[0].count = 1;
                let moved = step(&mut rest);
                if moved {
                    runs.insert(index + 1, rest);
                }
            }
        }
        _ => operand(run, rng),
    }
}

/// Makes one number of a run as large as it can be.
pub(super) fn exaggerate(program: &mut ChipProgram, rng: &mut Rng) {
    let runs: Vec<&mut Run> = program.queues.values_mut().flatten().collect();
    let index = rng.below(runs.len().max(1) as u64) as usize;
    let Some(run) = runs.into_iter().nth(index) else { return };
    if rng.one_in(30) {
        run.cycle = (1 << 62) - rng.below(3);
    }
    if rng.one_in(4) && run.repeats.len() < 4 {
        run.repeats.insert(0, isa::Repeat { count: 2, interval: u32::MAX, step: 1, window_step: 0 });
    }
    let Some(repeat) = run.repeats.first_mut() else { return };
    match rng.below(9) {
        0 | 1 => repeat.count = u32::MAX,
        2 | 3 => repeat.interval = u32::MAX,
        4 | 5 => repeat.step = if rng.one_in(2) { i32::MAX } else { i32::MIN },
        6 | 7 => repeat.window_step = if rng.one_in(2) { i32::MAX } else { i32::MIN },
        _ => (repeat.count, repeat.interval) = (u32::MAX, u32::MAX),
    }
}

/// Moves the operand on by the outermost step, where that is easy.
fn step(run: &mut Run) -> bool {
    let by = run.repeats[0].step;
    match &mut run.instruction {
        Instruction::Mem(Mem::Read { address, .. } | Mem::Write { address, .. }) => {
            *address = address.saturating_add_signed(by);
            true
        }
        _ => by == 0,
    }
}

fn operand(run: &mut Run, rng: &mut Rng) {
    let up = rng.one_in(2);
    let nudge = |stream: &mut Stream, rng: &mut Rng| {
        if rng.one_in(5) {
            stream.direction = stream.direction.opposite();
        } else if rng.one_in(8) {
            stream.number = 19;
        } else if up {
            stream.number += 1;
        } else {
            stream.number = stream.number.saturating_sub(1);
        }
    };
    let other = |rng: &mut Rng| Format::OF_PLANES[rng.below(3) as usize];
    match &mut run.instruction {
        Instruction::Mem(Mem::Read { address, stream } | Mem::Write { address, stream }) => {
            match rng.below(5) {
                0 => *address += 1,
                1 => *address = address.saturating_sub(1),
                2 => *address = (*address + 40) % 80,
                3 => *address += rng.below(80) as u32,
                _ => nudge(stream, rng),
            }
        }
        Instruction::Mem(Mem::Gather { window, index, stream } | Mem::Scatter { window, index, stream }) => {
            match rng.below(6) {
                0 => window.base += rng.below(75) as u32,
                1 => window.count += rng.below(4) as u32,
                2 => window.stride += 1,
                3 => window.first += 1,
                4 => nudge(index, rng),
                _ => nudge(stream, rng),
            }
        }
        Instruction::Vxm(vxm) => match (&mut vxm.a, &mut vxm.b, &mut vxm.result) {
            (Operand::Alu { alu, .. }, ..) if rng.one_in(4) => *alu = (*alu + 1) % 5,
            (Operand::Alu { delay, .. }, ..) if rng.one_in(2) => *delay = delay.wrapping_add(1) % 14,
            (Operand::Stream(stream, _), ..) if rng.one_in(2) => nudge(stream, rng),
            (.., Some((stream, format))) if rng.one_in(2) => {
                nudge(stream, rng);
                *format = Format::OF_ALUS[rng.below(5) as usize];
            }
            (_, Some(b), _) => *b = Operand::Alu { alu: rng.below(4) as u8, delay: rng.below(13) as u8 },
            (_, _, result) => *result = None,
        },
        Instruction::Mxm(Mxm::Lw { stream, count, row, row_stride, format }) => match rng.below(6) {
            0 => *count += 1,
            1 => *row += 1,
            2 => *row_stride += 1,
            3 => *format = Format::OF_WEIGHTS[rng.below(6) as usize],
            4 => *count = count.saturating_sub(1).max(1),
            _ => nudge(stream, rng),
        },
        Instruction::Mxm(Mxm::Abc { stream, format }) => match rng.below(2) {
            0 => *format = other(rng),
            _ => nudge(stream, rng),
        },
        Instruction::Mxm(Mxm::Acc { address, mode, emit }) => match rng.below(4) {
            0 => *address += 1,
            1 => *address = rng.below(9) as u16,
            2 => *mode = if *mode == AccMode::Add { AccMode::Start } else { AccMode::Add },
            _ => emit.iter_mut().for_each(|stream| nudge(stream, rng)),
        },
        Instruction::Sxm(Sxm::Shift { from, to, streams, .. }) => match rng.below(3) {
            0 => nudge(from, rng),
            1 => nudge(to, rng),
            _ => *streams = rng.within(1, 4) as u8,
        },
        Instruction::Sxm(
            Sxm::Permute { map, from, to, .. }
            | Sxm::Distribute { map, from, to, .. }
            | Sxm::Select { map, from, to, .. },
        ) => match rng.below(3) {
            0 => nudge(from, rng),
            1 => nudge(to, rng),
            _ => *map = rng.below(4) as u16,
        },
        _ => run.cycle += 1,
    }
}

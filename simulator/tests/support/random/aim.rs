//! Damages that aim at the faults which blind ones seldom cause.

use isa::instruction::Mxm;
use isa::place::MxmPort;
use isa::{Chip, ChipProgram, Format, Instruction, Mem, Queue, Run};

use super::damage::insert;
use super::rng::Rng;

/// One of them; nothing where the program has no such instruction.
pub fn damage(rng: &mut Rng, chip: &Chip, program: &mut ChipProgram) {
    match rng.below(10) {
        0 => outward(rng, program),
        1 | 6 => crowd(rng, program),
        2 => install(rng, program),
        7 | 9 => swap(rng, chip, program),
        8 => untaken(rng, program),
        3 => second_plane(rng, chip, program),
        4 => read_early(rng, chip, program),
        _ => window(rng, program),
    }
}

/// A run that `wanted` accepts.
fn some<'p>(
    rng: &mut Rng,
    program: &'p mut ChipProgram,
    wanted: impl Fn(Queue, &Run) -> bool,
) -> Option<(Queue, &'p mut Run)> {
    let all =
        program.queues.iter_mut().flat_map(|(queue, runs)| runs.iter_mut().map(move |run| (*queue, run)));
    let mut all: Vec<_> = all.filter(|(queue, run)| wanted(*queue, run)).collect();
    if all.is_empty() { None } else { Some(all.swap_remove(rng.below(all.len()))) }
}

/// A sum leaves on a stream that leads away from the VXM.
fn outward(rng: &mut Rng, program: &mut ChipProgram) {
    let emits = |_, run: &Run| matches!(run.instruction, Instruction::Mxm(Mxm::Acc { emit: Some(_), .. }));
    let Some((_, run)) = some(rng, program, emits) else { return };
    if let Instruction::Mxm(Mxm::Acc { emit: Some(stream), .. }) = &mut run.instruction {
        stream.direction = stream.direction.opposite();
    }
}

/// Some of the values that were written are not, and may be put upon.
fn untaken(rng: &mut Rng, program: &mut ChipProgram) {
    let writes = |queue, _: &Run| matches!(queue, Queue::MemWrite(..));
    let Some((queue, run)) = some(rng, program, writes) else { return };
    let level = rng.below(run.repeats.len() + 1);
    if let Some(repeat) = run.repeats.get_mut(level) {
        repeat.count -= u32::from(repeat.count > 1);
        return;
    }
    let gone = run.clone();
    program.queues.entry(queue).or_default().retain(|run| *run != gone);
}

/// Vectors come closer to each other.
fn crowd(rng: &mut Rng, program: &mut ChipProgram) {
    let only = if rng.chance(70) { Some(Format::F16) } else { None };
    let streams = |_, run: &Run| match run.instruction {
        Instruction::Mxm(Mxm::Abc { format, .. }) => {
            !run.repeats.is_empty() && only.is_none_or(|only| only == format)
        }
        _ => false,
    };
    let Some((_, run)) = some(rng, program, streams) else { return };
    if let Some(inner) = run.repeats.last_mut() {
        inner.interval = (inner.interval - 1).max(1);
    }
}

/// A tile is installed sooner or later.
fn install(rng: &mut Rng, program: &mut ChipProgram) {
    let Some((_, run)) = some(rng, program, |_, run| run.instruction == Instruction::Mxm(Mxm::Iw)) else {
        return;
    };
    run.cycle = run.cycle.saturating_add_signed(*rng.pick(&[1, -1, 2, 3, -2, 9]));
}

/// A tile comes into the array while an F16 vector enters.
fn swap(rng: &mut Rng, chip: &Chip, program: &mut ChipProgram) {
    let vectors =
        |_, run: &Run| matches!(run.instruction, Instruction::Mxm(Mxm::Abc { format: Format::F16, .. }));
    let Some((Queue::Mxm(half, ..), run)) = some(rng, program, vectors) else { return };
    let middle = run.last_cycle() + 1;
    let install = u64::from(chip.latency.install);
    let tiles = program.queues.get_mut(&Queue::Mxm(half, 0, MxmPort::Install));
    let next = tiles.into_iter().flatten().find(|run| run.cycle + install > middle);
    if let Some(run) = next {
        run.cycle = middle.saturating_sub(install);
    }
}

/// Work of plane 0, or something like it, in plane 1.
fn second_plane(rng: &mut Rng, chip: &Chip, program: &mut ChipProgram) {
    let Some((Queue::Mxm(half, _, port), run)) =
        some(rng, program, |queue, _| matches!(queue, Queue::Mxm(_, 0, _)))
    else {
        return;
    };
    let mut run = run.clone();
    if chip.mxm.planes_per_hemisphere < 2 {
        return;
    }
    if let Instruction::Mxm(Mxm::Lw { format, .. } | Mxm::Abc { format, .. }) = &mut run.instruction {
        *format = *rng.pick(&[Format::I8, Format::F8]);
    }
    if port == MxmPort::Load && rng.chance(50) {
        run.cycle = run.cycle.saturating_sub(1);
    }
    insert(program, Queue::Mxm(half, 1, port), run);
}

/// What is written is read before the write is complete, or in the same cycle.
fn read_early(rng: &mut Rng, chip: &Chip, program: &mut ChipProgram) {
    let writes = |_, run: &Run| matches!(run.instruction, Instruction::Mem(_));
    let Some((Queue::MemWrite(half, slice), write)) =
        some(rng, program, |queue, run| writes(queue, run) && matches!(queue, Queue::MemWrite(..)))
    else {
        return;
    };
    let mut run = write.clone();
    let by = rng.range(0..i64::from(chip.latency.write) + 1);
    run.cycle += by as u64;
    run.instruction = match run.instruction {
        Instruction::Mem(Mem::Write { address, mut stream }) => {
            stream.number ^= 1;
            Instruction::Mem(Mem::Read { address, stream })
        }
        Instruction::Mem(Mem::Scatter { window, index, stream }) => {
            Instruction::Mem(Mem::Gather { window, index, stream })
        }
        other => other,
    };
    insert(program, Queue::MemRead(half, slice), run);
}

/// A window reaches further.
fn window(rng: &mut Rng, program: &mut ChipProgram) {
    let indexed =
        |_, run: &Run| matches!(run.instruction, Instruction::Mem(Mem::Gather { .. } | Mem::Scatter { .. }));
    let Some((_, run)) = some(rng, program, indexed) else { return };
    if let Instruction::Mem(Mem::Gather { window, .. } | Mem::Scatter { window, .. }) = &mut run.instruction {
        window.count += rng.below(12) as u32;
        window.stride += rng.below(12) as u32;
    }
}

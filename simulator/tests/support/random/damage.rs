//! Damages: a sound program with something moved, changed, doubled or lost. What comes of it nobody says here; engines must agree.

use isa::instruction::{AccMode, Operand};
use isa::place::MxmPort;
use isa::stream::Direction;
use isa::{Chip, ChipProgram, Format, Instruction, Mem, Mxm, Queue, Repeat, Run, SegmentData, Stream, Sxm};

use super::Case;
use super::rng::Rng;
use super::{aim, wild};

/// The case with one damage, or two.
pub fn damaged(rng: &mut Rng, mut case: Case) -> Case {
    damage(rng, &mut case);
    if rng.chance(25) {
        damage(rng, &mut case);
    }
    case
}

fn damage(rng: &mut Rng, case: &mut Case) {
    match rng.below(40) {
        0 => latency(rng, &mut case.chip),
        1 => memory(rng, &mut case.program.chips[0]),
        2 => map(rng, &mut case.program.chips[0]),
        3 | 4 => later(rng, &mut case.program.chips[0]),
        5..8 => rename(rng, &mut case.program.chips[0]),
        8..16 => aim::damage(rng, &case.chip, &mut case.program.chips[0]),
        _ => queue(rng, &case.chip, &mut case.program.chips[0]),
    }
}

/// Everything is timed for another chip.
fn latency(rng: &mut Rng, chip: &mut Chip) {
    let l = &mut chip.latency;
    let all = [
        &mut l.read,
        &mut l.write,
        &mut l.gather,
        &mut l.vxm,
        &mut l.load,
        &mut l.install,
        &mut l.product,
        &mut l.accumulate,
        &mut l.sxm,
    ];
    let place = rng.below(all.len());
    for (index, cycles) in all.into_iter().enumerate() {
        if index == place {
            *cycles = if rng.chance(50) { *cycles + 1 } else { (*cycles - 1).max(1) };
        }
    }
}

/// A segment has lost its last words, or all.
fn memory(rng: &mut Rng, program: &mut ChipProgram) {
    if program.memory.is_empty() {
        return;
    }
    let place = rng.below(program.memory.len());
    let segment = &mut program.memory[place];
    if segment.words < 2 || rng.chance(20) {
        program.memory.remove(place);
        return;
    }
    let fewer = rng.range(1..i64::from(segment.words)) as u32;
    if let SegmentData::Bytes(bytes) = &mut segment.data {
        let per_word = bytes.len() / segment.words as usize;
        bytes.truncate(fewer as usize * per_word);
    }
    segment.words = fewer;
}

/// An entry of a map says something else.
fn map(rng: &mut Rng, program: &mut ChipProgram) {
    if program.maps.is_empty() {
        return;
    }
    let place = rng.below(program.maps.len());
    let map = &mut program.maps[place];
    let lane = rng.below(map.len());
    map[lane] = *rng.pick(&[0, 1, 2, 9, 20, 300, u16::MAX]);
}

/// From some cycle on, everything happens later.
fn later(rng: &mut Rng, program: &mut ChipProgram) {
    let (from, by) = (rng.below(150) as u64, rng.range(1..20) as u64);
    let runs = program.queues.values_mut().flatten();
    runs.filter(|run| run.cycle >= from).for_each(|run| run.cycle += by);
}

/// What happened on one stream happens on another that is in use too.
fn rename(rng: &mut Rng, program: &mut ChipProgram) {
    let mut used: Vec<Stream> = Vec::new();
    for run in program.queues.values_mut().flatten() {
        used.extend(streams(&mut run.instruction).into_iter().map(|stream| *stream));
    }
    if used.is_empty() {
        return;
    }
    let (old, new) = (*rng.pick(&used), *rng.pick(&used));
    for run in program.queues.values_mut().flatten() {
        for stream in streams(&mut run.instruction) {
            if *stream == old {
                *stream = new;
            }
        }
    }
}

/// Something about the runs of a queue.
fn queue(rng: &mut Rng, chip: &Chip, program: &mut ChipProgram) {
    let queues: Vec<Queue> = program.queues.keys().copied().collect();
    if queues.is_empty() {
        return;
    }
    // Kinds of queues first, so that the many memory queues do not crowd out the planes.
    let kinds: Vec<u8> = queues.iter().map(kind).collect();
    let wanted = *rng.pick(&kinds);
    let wanted = if rng.chance(50) { rng.below(5) as u8 } else { wanted };
    let some: Vec<Queue> = queues.iter().copied().filter(|queue| kind(queue) == wanted).collect();
    let queue = *rng.pick(if some.is_empty() { &queues } else { &some });
    let Some(runs) = program.queues.get_mut(&queue).filter(|runs| !runs.is_empty()) else { return };
    let place = rng.below(runs.len());
    match rng.below(20) {
        0..6 => shift(rng, &mut runs[place].cycle),
        6 => {
            runs.remove(place);
        }
        7 => {
            let mut copy = runs[place].clone();
            shift(rng, &mut copy.cycle);
            runs.insert(place + 1, copy);
        }
        8 => {
            let run = runs.remove(place);
            let like: Vec<Queue> = all_queues(chip).filter(|other| same_kind(*other, queue)).collect();
            insert(program, *rng.pick(&like), run);
        }
        9 => {
            let cycles = rng.range(1..4) as u64;
            let sooner = rng.chance(50) && runs[place].cycle >= cycles;
            for run in &mut runs[place..] {
                run.cycle = if sooner { run.cycle - cycles } else { run.cycle + cycles };
            }
        }
        10 => {
            let run = runs.remove(place);
            runs.push(run);
        }
        11..14 => repeats(rng, &mut runs[place]),
        14 => {
            let (queue, run) = wild::run(rng, chip);
            insert(program, queue, run);
        }
        _ => instruction(rng, &mut runs[place].instruction),
    }
}

fn kind(queue: &Queue) -> u8 {
    match queue {
        Queue::MemRead(..) => 0,
        Queue::MemWrite(..) => 1,
        Queue::Vxm(_) => 2,
        Queue::Mxm(..) => 3,
        Queue::Sxm(..) | Queue::C2c(..) => 4,
    }
}

/// Into its place in time.
pub fn insert(program: &mut ChipProgram, queue: Queue, run: Run) {
    let runs = program.queues.entry(queue).or_default();
    let place = runs.partition_point(|other| other.cycle < run.cycle);
    runs.insert(place, run);
}

/// Every queue that a chip has.
pub fn all_queues(chip: &Chip) -> impl Iterator<Item = Queue> {
    let chip = chip.clone();
    isa::Hemisphere::BOTH.into_iter().flat_map(move |half| {
        let mut all = Vec::new();
        for slice in 0..chip.mem.slices_per_hemisphere {
            all.extend([Queue::MemRead(half, slice), Queue::MemWrite(half, slice)]);
        }
        if half == isa::Hemisphere::East {
            all.extend((0..chip.vxm.alus).map(Queue::Vxm));
        }
        for plane in 0..chip.mxm.planes_per_hemisphere {
            all.extend(MxmPort::ALL.map(|port| Queue::Mxm(half, plane, port)));
        }
        all.extend((0..chip.sxm.queues_per_hemisphere).map(|queue| Queue::Sxm(half, queue)));
        all.extend((0..chip.c2c.links_per_hemisphere).map(|link| Queue::C2c(half, link)));
        all
    })
}

fn same_kind(a: Queue, b: Queue) -> bool {
    match (a, b) {
        (Queue::Mxm(_, _, a), Queue::Mxm(_, _, b)) => a == b,
        (Queue::C2c(..), _) | (_, Queue::C2c(..)) => false,
        _ => kind(&a) == kind(&b),
    }
}

fn shift(rng: &mut Rng, cycle: &mut u64) {
    let by = rng.range(1..4) as u64;
    *cycle = if rng.chance(50) { cycle.saturating_sub(by) } else { *cycle + by };
}

fn repeats(rng: &mut Rng, run: &mut Run) {
    if run.repeats.is_empty() || run.repeats.len() < 4 && rng.chance(10) {
        let more = Repeat { count: 2, interval: 1 + rng.below(6) as u32, step: 1, window_step: 0 };
        let place = rng.below(run.repeats.len() + 1);
        run.repeats.insert(place, more);
        return;
    }
    let place = rng.below(run.repeats.len());
    let repeat = &mut run.repeats[place];
    let sign = if rng.chance(50) { 1 } else { -1 };
    match rng.below(5) {
        0 => repeat.count = repeat.count.saturating_add_signed(sign).max(1),
        1 => repeat.interval = repeat.interval.saturating_add_signed(sign),
        2 => repeat.step += sign * *rng.pick(&[1, 1, 2, 40, 1000]),
        3 => repeat.window_step += sign,
        _ => {
            run.repeats.remove(place);
        }
    }
}

/// The streams that an instruction names.
pub fn streams(instruction: &mut Instruction) -> Vec<&mut Stream> {
    match instruction {
        Instruction::Mem(Mem::Read { stream, .. } | Mem::Write { stream, .. }) => vec![stream],
        Instruction::Mem(Mem::Gather { index, stream, .. } | Mem::Scatter { index, stream, .. }) => {
            vec![index, stream]
        }
        Instruction::Vxm(vxm) => {
            let operands = [Some(&mut vxm.a), vxm.b.as_mut()].into_iter().flatten();
            let taken = operands.filter_map(|operand| match operand {
                Operand::Stream(stream, _) => Some(stream),
                Operand::Alu { .. } | Operand::Immediate(_) => None,
            });
            taken.chain(vxm.result.as_mut().map(|(stream, _)| stream)).collect()
        }
        Instruction::Mxm(Mxm::Lw { stream, .. } | Mxm::Abc { stream, .. }) => vec![stream],
        Instruction::Mxm(Mxm::Acc { emit, .. }) => emit.iter_mut().collect(),
        Instruction::Sxm(
            Sxm::Shift { from, to, .. }
            | Sxm::Permute { from, to, .. }
            | Sxm::Distribute { from, to, .. }
            | Sxm::Rotate { from, to, .. }
            | Sxm::Transpose { from, to },
        ) => vec![from, to],
        Instruction::Sxm(Sxm::Select { from, other, to, .. }) => vec![from, other, to],
        Instruction::Mxm(Mxm::Iw) | Instruction::Icu(_) | Instruction::C2c(_) => Vec::new(),
    }
}

fn instruction(rng: &mut Rng, instruction: &mut Instruction) {
    let mut named = streams(instruction);
    if !named.is_empty() && rng.chance(40) {
        let place = rng.below(named.len());
        let stream = &mut *named[place];
        match rng.below(4) {
            0 => {
                stream.direction =
                    if stream.direction == Direction::East { Direction::West } else { Direction::East };
            }
            1 => stream.number ^= *rng.pick(&[1, 2, 4, 8]),
            2 => stream.number = stream.number.wrapping_add(1),
            _ => stream.number = stream.number.wrapping_add(*rng.pick(&[30, 60, 250, 252])),
        }
        return;
    }
    let near = |rng: &mut Rng, value: i64, most: i64| {
        (value + *rng.pick(&[1, -1, 2, -3, 16, 32, -32, 64, 100])).clamp(0, most)
    };
    match instruction {
        Instruction::Mem(Mem::Read { address, .. } | Mem::Write { address, .. }) => {
            *address = near(rng, (*address).into(), 1000) as u32;
        }
        Instruction::Mem(Mem::Gather { window, .. } | Mem::Scatter { window, .. }) => match rng.below(4) {
            0 => window.first += rng.range(-2..3) as i32,
            1 => window.count = near(rng, window.count.into(), 40) as u32,
            2 => window.base = near(rng, window.base.into(), 1000) as u32,
            _ => window.stride = near(rng, window.stride.into(), 40) as u32,
        },
        Instruction::Vxm(vxm) => {
            let operand = if rng.chance(50) { Some(&mut vxm.a) } else { vxm.b.as_mut() };
            match operand {
                Some(Operand::Stream(_, format)) => *format = *rng.pick(&Format::OF_ALUS),
                Some(Operand::Alu { alu, delay }) => match rng.below(2) {
                    0 => *alu = near(rng, (*alu).into(), 20) as u8,
                    _ => *delay = near(rng, (*delay).into(), 30) as u8,
                },
                Some(operand) => {
                    *operand = Operand::Alu { alu: rng.below(4) as u8, delay: rng.below(10) as u8 };
                }
                None => {
                    if let Some((_, format)) = &mut vxm.result {
                        *format = *rng.pick(&Format::OF_ALUS);
                    }
                }
            }
        }
        Instruction::Mxm(mxm) => plane(rng, mxm),
        Instruction::Sxm(sxm) => match sxm {
            Sxm::Shift { lanes, streams, .. } => match rng.below(2) {
                0 => *lanes += rng.range(-2..3) as i16,
                _ => *streams = 1 + rng.below(4) as u8,
            },
            Sxm::Select { map, streams, .. }
            | Sxm::Permute { map, streams, .. }
            | Sxm::Distribute { map, streams, .. } => match rng.below(3) {
                0 => *streams = 1 + rng.below(4) as u8,
                _ => *map = rng.below(10) as u16,
            },
            Sxm::Rotate { n, .. } => *n = 7 - *n,
            Sxm::Transpose { .. } => {}
        },
        Instruction::Icu(_) | Instruction::C2c(_) => {}
    }
}

fn plane(rng: &mut Rng, mxm: &mut Mxm) {
    let other = |rng: &mut Rng, all: &[Format], format: Format| {
        let others: Vec<Format> = all.iter().copied().filter(|other| *other != format).collect();
        *rng.pick(&others)
    };
    match mxm {
        Mxm::Lw { count, row, row_stride, format, .. } => match rng.below(4) {
            0 => *count = 1 + rng.below(20) as u8,
            1 => *row += rng.range(0..4) as u16,
            2 => *row_stride = rng.below(5) as u16,
            _ => *format = other(rng, &Format::OF_WEIGHTS, *format),
        },
        Mxm::Abc { format, .. } => *format = other(rng, &Format::OF_PLANES, *format),
        Mxm::Acc { address, mode, emit } => match rng.below(3) {
            0 => *address = rng.below(18) as u16,
            1 => *mode = if *mode == AccMode::Add { AccMode::Start } else { AccMode::Add },
            _ => *emit = None,
        },
        Mxm::Iw => {}
    }
}

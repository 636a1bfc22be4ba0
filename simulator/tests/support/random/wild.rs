//! Small programs of instructions that have nothing to do with each other, in a short time and on few streams, so that they meet.

use isa::instruction::{AccMode, Operand, Vxm, VxmOp, Window};
use isa::place::MxmPort;
use isa::stream::Direction;
use isa::{C2c, Chip, Format, Instruction, Mem, Mxm, Queue, Repeat, Run, Stream, Sxm};

use super::Case;
use super::board::Board;
use super::damage::all_queues;
use super::memory;
use super::rng::Rng;

/// A program of a few runs.
pub fn program(rng: &mut Rng, chip: &Chip) -> Case {
    let mut board = Board::new(chip);
    memory::fill(rng, &mut board);
    let mut program = board.program;
    for _ in 0..1 + rng.below(12) {
        let (queue, run) = run(rng, chip);
        program.queues.entry(queue).or_default().push(run);
    }
    if rng.chance(80) {
        for runs in program.queues.values_mut() {
            runs.sort_by_key(|run| run.cycle);
        }
    }
    Case::new(chip, program)
}

/// A run of any queue.
pub fn run(rng: &mut Rng, chip: &Chip) -> (Queue, Run) {
    let queues: Vec<Queue> = all_queues(chip).collect();
    let mut queue = *rng.pick(&queues);
    if matches!(queue, Queue::C2c(..)) && rng.chance(70) {
        queue = Queue::Vxm(0);
    }
    let levels = [0, 0, 0, 1, 2][rng.below(5)];
    let repeat = |rng: &mut Rng| Repeat {
        count: 1 + rng.below(4) as u32,
        interval: rng.below(8) as u32 + rng.chance(95) as u32,
        step: rng.range(-1..3) as i32,
        window_step: rng.range(-1..2) as i32,
    };
    let mut repeats: Vec<Repeat> = (0..levels).map(|_| repeat(rng)).collect();
    repeats.sort_by_key(|repeat| std::cmp::Reverse(repeat.interval));
    let run = Run {
        cycle: rng.below(40) as u64,
        instruction: instruction(rng, chip, queue),
        repeats,
        node: rng.below(4) as u32,
    };
    (queue, run)
}

fn stream(rng: &mut Rng, align: usize) -> Stream {
    let align = if rng.chance(95) { align } else { 1 };
    let number = (rng.below(8) / align * align) as u8;
    Stream { number, direction: *rng.pick(&[Direction::East, Direction::West]) }
}

fn window(rng: &mut Rng, chip: &Chip) -> Window {
    Window {
        first: rng.range(-3..4) as i32,
        count: rng.below(9) as u32,
        base: rng.below(chip.words_per_slice() as usize) as u32,
        stride: rng.below(4) as u32,
    }
}

fn operand(rng: &mut Rng) -> Operand {
    match rng.below(3) {
        0 => Operand::Immediate(rng.next() as u32),
        1 => {
            let format = *rng.pick(&Format::OF_ALUS);
            Operand::Stream(stream(rng, format.streams().into()), format)
        }
        _ => Operand::Alu { alu: rng.below(4) as u8, delay: rng.below(14) as u8 },
    }
}

fn instruction(rng: &mut Rng, chip: &Chip, queue: Queue) -> Instruction {
    let word = |rng: &mut Rng| rng.below(chip.words_per_slice() as usize) as u32;
    match queue {
        Queue::MemRead(..) if rng.chance(80) => {
            Instruction::Mem(Mem::Read { address: word(rng), stream: stream(rng, 1) })
        }
        Queue::MemRead(..) => Instruction::Mem(Mem::Gather {
            window: window(rng, chip),
            index: stream(rng, 4),
            stream: stream(rng, 1),
        }),
        Queue::MemWrite(..) if rng.chance(80) => {
            Instruction::Mem(Mem::Write { address: word(rng), stream: stream(rng, 1) })
        }
        Queue::MemWrite(..) => Instruction::Mem(Mem::Scatter {
            window: window(rng, chip),
            index: stream(rng, 4),
            stream: stream(rng, 1),
        }),
        Queue::Vxm(_) => {
            let op = *rng.pick(&VxmOp::ALL);
            let b = (op.operands() == 2).then(|| operand(rng));
            let format = *rng.pick(&Format::OF_ALUS);
            let result = rng.chance(70).then(|| (stream(rng, format.streams().into()), format));
            Instruction::Vxm(Vxm { op, a: operand(rng), b, result })
        }
        Queue::Mxm(_, plane, port) => {
            let byte = *rng.pick(&[Format::I8, Format::I8, Format::F8]);
            let format = if plane == 0 && rng.chance(40) { Format::F16 } else { byte };
            let align = usize::from(format.streams());
            Instruction::Mxm(match port {
                MxmPort::Load => Mxm::Lw {
                    stream: stream(rng, align),
                    count: 1 + rng.below(3) as u8,
                    row: rng.below(20) as u16,
                    row_stride: rng.below(3) as u16,
                    format: match format {
                        Format::F16 => *rng.pick(&[Format::F16, Format::I4, Format::F4, Format::F8Wide]),
                        other => other,
                    },
                },
                MxmPort::Install => Mxm::Iw,
                MxmPort::Stream => Mxm::Abc { stream: stream(rng, align), format },
                MxmPort::Accumulate => Mxm::Acc {
                    address: rng.below(4) as u16,
                    mode: *rng.pick(&[AccMode::Start, AccMode::Add]),
                    emit: rng.chance(60).then(|| stream(rng, 4)),
                },
            })
        }
        Queue::Sxm(..) => {
            let (streams, from, to) = (1 + rng.below(4) as u8, stream(rng, 1), stream(rng, 1));
            let map = rng.below(9) as u16;
            Instruction::Sxm(match rng.below(6) {
                0 => Sxm::Shift { lanes: rng.range(-20..20) as i16, streams, from, to },
                1 => Sxm::Select { map, streams, from, other: stream(rng, 1), to },
                2 => Sxm::Permute { map, streams, from, to },
                3 => Sxm::Distribute { map, streams, from, to },
                4 => Sxm::Rotate { n: 3 + rng.below(2) as u8, from, to },
                _ => Sxm::Transpose { from, to },
            })
        }
        Queue::C2c(..) => Instruction::C2c(match rng.below(3) {
            0 => C2c::Send { stream: stream(rng, 1) },
            1 => C2c::Receive { stream: stream(rng, 1) },
            _ => C2c::Deskew,
        }),
    }
}

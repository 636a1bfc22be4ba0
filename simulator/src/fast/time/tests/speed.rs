//! The cost grows with the runs, not with what they repeat.

use std::time::Instant;

use isa::instruction::{AccMode, Operand, Vxm, VxmOp};
use isa::place::MxmPort;
use isa::{
    Chip, ChipProgram, Direction, Format, Hemisphere, Instruction, Mem, Mxm, Queue, Repeat, Run, Stream,
};

use super::super::check;

const EAST: Hemisphere = Hemisphere::East;

fn add(
    program: &mut ChipProgram,
    cycle: u64,
    queue: Queue,
    instruction: Instruction,
    repeats: &[(u32, u32, i32)],
) {
    let repeats = repeats
        .iter()
        .map(|&(count, interval, step)| Repeat { count, interval, step, window_step: 0 })
        .collect();
    program.queues.entry(queue).or_default().push(Run { cycle, instruction, repeats, node: 0 });
}

fn stream(number: u8, direction: Direction) -> Stream {
    Stream { number, direction }
}

/// Every word of every slice.
fn all_present(chip: &Chip) -> Vec<Vec<std::ops::Range<u32>>> {
    vec![
        std::iter::once(0..chip.words_per_slice()).collect();
        2 * usize::from(chip.mem.slices_per_hemisphere)
    ]
}

/// A matrix product of many tiles: each loads 32 weights rows and multiplies `vectors` vectors, into accumulators of their own.
fn tiles(chip: &Chip, count: u32, vectors: u32) -> ChipProgram {
    let mut program = ChipProgram::default();
    let d = &chip.latency;
    let east = Direction::East;
    let period = vectors.max(64) + 100;
    let (lw_at, away) = (200, u64::from(chip.mem.slices_per_hemisphere) + 1);
    let outer = (count, period, 0);
    let port = |port| Queue::Mxm(EAST, 0, port);
    let read = |program: &mut ChipProgram, slice: u16, cycle: u64, number: u8, levels: &[(u32, u32, i32)]| {
        let begin = cycle - u64::from(d.read) - (away - u64::from(slice));
        let read = Mem::Read { address: 7, stream: stream(number, east) };
        add(program, begin, Queue::MemRead(EAST, slice), Instruction::Mem(read), levels);
    };
    let lw = Mxm::Lw { stream: stream(0, east), count: 4, row: 0, row_stride: 1, format: Format::I8 };
    add(&mut program, lw_at, port(MxmPort::Load), Instruction::Mxm(lw), &[outer, (32, 2, 4)]);
    for slice in 0..4 {
        read(&mut program, slice, lw_at, slice as u8, &[outer, (32, 2, 1)]);
    }
    let iw_at = lw_at + 62 + u64::from(d.load);
    add(&mut program, iw_at, port(MxmPort::Install), Instruction::Mxm(Mxm::Iw), &[outer]);
    let abc_at = iw_at + u64::from(d.install);
    let abc = Mxm::Abc { stream: stream(8, east), format: Format::I8 };
    add(&mut program, abc_at, port(MxmPort::Stream), Instruction::Mxm(abc), &[outer, (vectors, 1, 0)]);
    read(&mut program, 9, abc_at, 8, &[outer, (vectors, 1, 0)]);
    let acc_at = abc_at + u64::from(d.product) + u64::from(chip.stagger());
    let acc = Mxm::Acc { address: 0, mode: AccMode::Start, emit: Some(stream(4, Direction::West)) };
    let step = i32::from(vectors <= u32::from(chip.mxm.accumulators));
    add(&mut program, acc_at, port(MxmPort::Accumulate), Instruction::Mxm(acc), &[outer, (vectors, 1, step)]);
    program
}

#[test]
fn many_tiles_cost_as_much_as_some() {
    let chip = Chip::preset("lp30").expect("a preset");
    let steps = |count, vectors| {
        let program = tiles(&chip, count, vectors);
        let timing = check(&chip, &program, &all_present(&chip));
        assert!(timing.fault.is_none(), "{:?}", timing.fault);
        assert_eq!(timing.report.dispatched["mxm"], u64::from(count) * (32 + 1 + 2 * u64::from(vectors)));
        timing.steps
    };
    let some = steps(100, 200);
    assert_eq!(steps(10_000, 200), some);
    assert!(some < 6 * 350, "{some}");
    // Long streams of vectors within a tile, too.
    assert_eq!(steps(10, 1_000_000), steps(10, 10_000));
}

/// Runs of `length` elements one after the other: copies from slice to slice through the VXM, and words written and read again.
fn copies(runs: u32, length: u32) -> ChipProgram {
    let mut program = ChipProgram::default();
    let d = Chip::preset("lp30").expect("a preset").latency;
    let (read, alu) = (u64::from(d.read), u64::from(d.vxm));
    for index in 0..runs / 8 {
        let at = 100 + u64::from(index) * u64::from(length);
        let levels: &[(u32, u32, i32)] =
            if length > 4000 { &[(length / 4000, 4000, 0), (4000, 1, 1)] } else { &[(length, 1, 1)] };
        for (queue, number) in [(0, 0), (1, 4)] {
            let (west, east) = (stream(number, Direction::West), stream(number, Direction::East));
            let fetch = Mem::Read { address: 0, stream: west };
            add(&mut program, at, Queue::MemRead(EAST, queue), Instruction::Mem(fetch), levels);
            let at = at + read + u64::from(queue) + 1;
            let result = Some((east, Format::I8));
            let vxm = Vxm { op: VxmOp::Pass, a: Operand::Stream(west, Format::I8), b: None, result };
            add(&mut program, at, Queue::Vxm(queue as u8), Instruction::Vxm(vxm), levels);
            let at = at + alu + 11 + u64::from(queue);
            let address = 4882 * (index % 2);
            let store = Mem::Write { address, stream: east };
            add(&mut program, at, Queue::MemWrite(EAST, 10 + queue), Instruction::Mem(store), levels);
            // While the next ones are written to the other bank.
            let (at, back) =
                (at + u64::from(length), Mem::Read { address, stream: stream(number + 1, Direction::West) });
            add(&mut program, at, Queue::MemRead(EAST, 10 + queue), Instruction::Mem(back), levels);
        }
    }
    program
}

/// Words of the first slices only: what is read from others was written before.
fn some_present(chip: &Chip) -> Vec<Vec<std::ops::Range<u32>>> {
    let mut present = vec![Vec::new(); 2 * usize::from(chip.mem.slices_per_hemisphere)];
    present[..2].iter_mut().for_each(|ranges| ranges.push(0..9000));
    present
}

#[test]
fn long_runs_cost_little() {
    let chip = Chip::preset("lp30").expect("a preset");
    let program = copies(800, 1_000_000);
    let timing = check(&chip, &program, &some_present(&chip));
    assert!(timing.fault.is_none(), "{:?}", timing.fault);
    assert_eq!(timing.report.dispatched["mem"], 600 * 1_000_000);
}

/// Words that replace each other on one stream, from slice to slice eastward: each is read into the slots of the one before, and written at
/// the next slice, in `parts` runs and once more as a whole further on.
fn replaced(runs: u32, length: u32, parts: u32) -> ChipProgram {
    let mut program = ChipProgram::default();
    let d = Chip::preset("lp30").expect("a preset").latency;
    let per_stage = 3 + parts;
    for index in 0..runs / (8 * per_stage) {
        let at = 100 + u64::from(index) * u64::from(length);
        for stage in 0..8u16 {
            // Of one stage the slices 4i to 4i + 3; slice i is at 1 + i.
            let first = 4 * stage;
            let put = at + u64::from(d.read) + u64::from(first);
            let to = stream(0, Direction::East);
            let fetch = Mem::Read { address: 0, stream: to };
            let whole = [(length, 1, 0)];
            add(
                &mut program,
                put - u64::from(d.read),
                Queue::MemRead(EAST, first),
                Instruction::Mem(fetch),
                &whole,
            );
            let store = Instruction::Mem(Mem::Write { address: 4882, stream: to });
            let part = length / parts;
            for number in 0..u64::from(parts) {
                let begin = put + 1 + number * u64::from(part);
                add(&mut program, begin, Queue::MemWrite(EAST, first + 1), store, &[(part, 1, 0)]);
            }
            // Others that take some.
            add(&mut program, put + 2, Queue::MemWrite(EAST, first + 2), store, &[(length / 2, 2, 0)]);
            add(&mut program, put + 3, Queue::MemWrite(EAST, first + 3), store, &[(length / 3, 3, 0)]);
        }
    }
    program
}

#[test]
fn replacing_costs_little() {
    let chip = Chip::preset("lp30").expect("a preset");
    for parts in [1, 2, 10] {
        let program = replaced(800, 1_000_000, parts);
        let timing = check(&chip, &program, &all_present(&chip));
        assert!(timing.fault.is_none(), "{:?}", timing.fault);
        // The last word of the seventh stage is not taken at the next slice, and those further on take every second and every third.
        let mut program = replaced(800, 1_000_000, parts);
        let last = program.queues.get_mut(&Queue::MemWrite(EAST, 25)).and_then(|runs| runs.last_mut());
        let missing = last.map(|run| {
            run.repeats[0].count -= 1;
            run.last_cycle() + 1
        });
        let fault = check(&chip, &program, &all_present(&chip)).fault.map(|fault| fault.cycle);
        // The eighth stage puts three slices further on.
        assert_eq!(fault, missing.map(|cycle| cycle + 3), "{parts}");
    }
}

/// Prints how long programs of many runs take.
#[test]
#[ignore = "measures"]
#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "measures")]
fn measure() {
    let chip = Chip::preset("lp30").expect("a preset");
    for (runs, length) in [(100_000, 80_000), (100_000, 8), (256_000, 6), (10_000, 80_000)] {
        let program = copies(runs, length);
        let begin = Instant::now();
        let timing = check(&chip, &program, &some_present(&chip));
        let took = begin.elapsed();
        println!("{runs} runs of {length}: {took:?} {:?} {:?}", timing.report, timing.fault);
    }
    for (runs, length, parts) in
        [(100_000, 80_000, 1), (100_000, 12, 1), (100_000, 80_000, 2), (100_000, 80_000, 20)]
    {
        let program = replaced(runs, length, parts);
        let begin = Instant::now();
        let timing = check(&chip, &program, &all_present(&chip));
        let took = begin.elapsed();
        println!(
            "{runs} runs that replace {length}, {parts} parts: {took:?} {:?} {:?}",
            timing.report, timing.fault
        );
    }
    let mut program = tiles(&chip, 1, 200);
    for index in 1..12_000u64 {
        for (queue, runs) in tiles(&chip, 1, 200).queues {
            let mut run = runs[0].clone();
            run.cycle += index * 300;
            program.queues.entry(queue).or_default().push(run);
        }
    }
    let begin = Instant::now();
    let timing = check(&chip, &program, &all_present(&chip));
    println!("tiles one by one: {:?} {} steps {:?}", begin.elapsed(), timing.steps, timing.fault);
}

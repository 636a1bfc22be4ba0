//! What is published of the first generation, against what `tsp-v1` does; where the model falls short, the tests say by how much, and why.

use std::collections::BTreeMap;

use isa::instruction::AccMode;
use isa::place::MxmPort;
use isa::{
    Chip, ChipProgram, Direction, Element, Format, Hemisphere, Instruction, Mem, Mxm, Placement, Port,
    PortKind, Program, Queue, Repeat, Run, Segment, SegmentData, Slice, Stream,
};
use simulator::{Array, Engine, FaultKind, Machine};

const ENGINES: [Engine; 3] = [Engine::Reference, Engine::Fast, Engine::Tandem];
const LANES: usize = 320;
const ROWS: usize = 320;

fn v1() -> Chip {
    Chip::preset("tsp-v1").expect("a preset")
}

fn outward(half: Hemisphere, number: usize) -> Stream {
    Stream { number: number as u8, direction: half.outward() }
}

/// Adds a run with repeats of (count, interval, step).
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

/// What a run says; the same on every engine, and the program is well formed.
fn run(chip: &Chip, body: &ChipProgram, look: impl Fn(&Machine)) -> Result<u64, (FaultKind, u64)> {
    let program = Program { chip: chip.name.clone(), nodes: vec![String::new()], chips: vec![body.clone()] };
    isa::verify::verify(&program, chip).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let outcomes = ENGINES.map(|engine| {
        let mut machine =
            Machine::load(engine, chip, &program).unwrap_or_else(|problems| panic!("{problems:?}"));
        let outcome = machine.run().map(|report| report.cycles).map_err(|fault| (fault.kind, fault.cycle));
        if outcome.is_ok() {
            look(&machine);
        }
        outcome
    });
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
    outcomes[0]
}

/// The last cycle in which a run of these queues dispatches, and the first.
fn first_and_last(body: &ChipProgram, port: MxmPort) -> (u64, u64) {
    let of_port = |queue: &Queue| matches!(queue, Queue::Mxm(_, _, found) if *found == port);
    let runs = || body.queues.iter().filter(|(queue, _)| of_port(queue)).flat_map(|(_, runs)| runs);
    let first = runs().map(|run| run.cycle).min();
    let last = runs().map(Run::last_cycle).max();
    (first.expect("a run"), last.expect("a run"))
}

#[test]
fn peaks_at_both_clocks() {
    let mut chip = v1();
    for (clock, tops, tflops) in [(1e9, 819.2, 204.8), (900e6, 737.28, 184.32)] {
        chip.clock_hz = clock;
        let peaks = chip.peaks();
        assert!((peaks.ops_per_second / 1e12 - tops).abs() < 1e-6);
        assert!((peaks.f16_ops_per_second.unwrap() / 1e12 - tflops).abs() < 1e-6);
    }
    assert_eq!(v1().clock_hz, 900e6);
}

#[test]
fn bytes_a_cycle() {
    let (chip, peaks) = (v1(), v1().peaks());
    let a_cycle = |per_second: f64| (per_second / chip.clock_hz).round();
    assert_eq!(a_cycle(peaks.sram_bytes_per_second), 56_320.0);
    assert_eq!(a_cycle(peaks.stream_bytes_per_second), 20_480.0);
    // Published: 144 queues that fetch 16 bytes each. Here a MEM slice has a queue for its reads and one for its writes; with
    // one for both, as many are left as there should be.
    let slices = 2 * u64::from(chip.mem.slices_per_hemisphere);
    let others = u64::from(chip.vxm.alus)
        + 2 * u64::from(chip.mxm.planes_per_hemisphere) * MxmPort::ALL.len() as u64
        + 2 * u64::from(chip.sxm.queues_per_hemisphere)
        + 2 * u64::from(chip.c2c.links_per_hemisphere);
    assert_eq!((slices, others), (88, 56));
    assert_eq!((slices + others) * 16, 2_304);
    assert_eq!(2 * slices + others, 232);
}

/// The weight from input `k` to output `row` of a plane.
fn weight(plane: usize, row: usize, k: usize) -> i8 {
    (plane * 31 + row * 7 + k * 3 + row * k % 11) as i8
}

/// One LW of the greedy program below: its cycle, its first stream, its vectors, and its first row.
struct Load {
    cycle: u64,
    plane: usize,
    stream: usize,
    count: usize,
    row: usize,
}

/// All rows of both planes of a hemisphere, each as soon as it can be there: the 32 slices nearest to the MXM read from cycle 0 on, one word
/// a cycle and each on its own stream; in every cycle the planes share what arrives.
fn soonest(chip: &Chip) -> Vec<Load> {
    let nearest = Slice::Mxm(Hemisphere::East).position(chip)
        - Slice::Mem(Hemisphere::East, chip.mem.slices_per_hemisphere - 1).position(chip);
    let first = u64::from(chip.latency.read) + nearest as u64;
    let mut rows = [0; 2];
    let mut loads = Vec::new();
    for cycle in first.. {
        let here = (1 + (cycle - first) as usize).min(2 * usize::from(chip.mxm.load_streams_per_plane));
        // Who has less takes more.
        let mut stream = 0;
        for (turn, plane) in if rows[0] <= rows[1] { [0, 1] } else { [1, 0] }.into_iter().enumerate() {
            let share = if turn == 0 { here.div_ceil(2) } else { here / 2 };
            let count = share.min(ROWS - rows[plane]);
            if count > 0 {
                loads.push(Load { cycle, plane, stream, count, row: rows[plane] });
            }
            rows[plane] += count;
            stream += count;
        }
        if rows == [ROWS; 2] {
            break;
        }
    }
    loads
}

/// The program of [`soonest`], on both hemispheres, with IW in cycle `install`, and the product of a vector by each plane, in ports
/// "y0" to "y3".
fn all_planes(chip: &Chip, install: u64) -> ChipProgram {
    let mut program = ChipProgram::default();
    let loads = soonest(chip);
    let slices = chip.mem.slices_per_hemisphere;
    let d = &chip.latency;
    for (side, half) in Hemisphere::BOTH.into_iter().enumerate() {
        let mut words: BTreeMap<(u16, usize), Vec<u8>> = BTreeMap::new();
        let first = loads[0].cycle;
        for load in &loads {
            let format = Format::I8;
            let (stream, count, row) = (outward(half, load.stream), load.count as u8, load.row as u16);
            let lw = Instruction::Mxm(Mxm::Lw { stream, count, row, row_stride: 1, format });
            add(&mut program, load.cycle, Queue::Mxm(half, load.plane as u8, MxmPort::Load), lw, &[]);
            for vector in 0..load.count {
                let number = load.stream + vector;
                // What arrives now on this stream is this word of its slice.
                let word = (load.cycle - first) as usize - number;
                let weights = (0..LANES).map(|k| weight(2 * side + load.plane, load.row + vector, k) as u8);
                words.insert((slices - 1 - number as u16, word), weights.collect());
            }
        }
        let mut counts: BTreeMap<u16, u32> = BTreeMap::new();
        for ((slice, word), bytes) in words {
            let data = SegmentData::Bytes(bytes.into());
            let address = word as u32;
            program.memory.push(Segment { hemisphere: half, slice, address, words: 1, data, node: 0 });
            let count = counts.entry(slice).or_default();
            *count = (*count).max(address + 1);
        }
        for (slice, count) in counts {
            let stream = outward(half, usize::from(slices - 1 - slice));
            let read = Instruction::Mem(Mem::Read { address: 0, stream });
            add(&mut program, 0, Queue::MemRead(half, slice), read, &[(count, 1, 1)]);
        }
        // The vector k mod 5, to both planes, from slice 0; and what comes of it.
        let x: Vec<u8> = (0..LANES).map(|k| (k % 5) as u8).collect();
        let data = SegmentData::Bytes(x.into());
        program.memory.push(Segment { hemisphere: half, slice: 0, address: 0, words: 1, data, node: 0 });
        let mxm = Slice::Mxm(half).position(chip);
        let away = |slice| u64::from(mxm.abs_diff(Slice::Mem(half, slice).position(chip)));
        let abc_at = install + 100;
        let read = Instruction::Mem(Mem::Read { address: 0, stream: outward(half, 0) });
        add(&mut program, abc_at - away(0) - u64::from(d.read), Queue::MemRead(half, 0), read, &[]);
        for plane in 0..2u8 {
            let queue = |port| Queue::Mxm(half, plane, port);
            add(&mut program, install, queue(MxmPort::Install), Instruction::Mxm(Mxm::Iw), &[]);
            let abc = Instruction::Mxm(Mxm::Abc { stream: outward(half, 0), format: Format::I8 });
            add(&mut program, abc_at, queue(MxmPort::Stream), abc, &[]);
            let acc_at = abc_at + u64::from(d.product) + u64::from(chip.stagger());
            let sums = Stream { number: 4 * plane, direction: half.inward() };
            let acc = Mxm::Acc { address: 0, mode: AccMode::Start, emit: Some(sums) };
            add(&mut program, acc_at, queue(MxmPort::Accumulate), Instruction::Mxm(acc), &[]);
            for byte in 0..4 {
                let slice = u16::from(4 * plane + byte);
                let stream = Stream { number: 4 * plane + byte, direction: half.inward() };
                let write = Instruction::Mem(Mem::Write { address: 4096, stream });
                let cycle = acc_at + u64::from(d.accumulate) + away(slice);
                add(&mut program, cycle, Queue::MemWrite(half, slice), write, &[]);
            }
            let stripe = (0..4).map(|byte| (half, u16::from(4 * plane) + byte)).collect();
            program.ports.push(port(&format!("y{}", 2 * side + usize::from(plane)), 4096, stripe));
        }
    }
    program
}

/// An output of one vector of integers, a byte in each of the slices.
fn port(name: &str, address: u32, stripe: Vec<(Hemisphere, u16)>) -> Port {
    let element = if stripe.len() == 1 { Element::I8 } else { Element::I32 };
    let part = Placement {
        batches: 1,
        rows: 1,
        columns: LANES as u32,
        broadcast: false,
        tile_rows: 1,
        rows_per_stripe: 1,
        address,
        stripes: vec![stripe],
    };
    let shape = vec![LANES as u32];
    Port { name: name.to_owned(), kind: PortKind::Output, element, shape, parts: vec![part] }
}

/// Published: 409,600 weights are in the MXM in less than 40 cycles, SRAM and transit included. Here every MEM slice has a stream
/// register of its own (assumed), so the 32 slices that are needed are 2 to 33 hops away, and no program is faster than 46 cycles from the
/// first read to the last row in its buffer.
#[test]
fn all_weights_reach_the_planes_in_46_cycles() {
    let chip = v1();
    let loads = soonest(&chip);
    // Slice i is 45 - i hops away. In cycle 7 + n at most n + 1 slices can have sent a word that is there, and no more than 32 are
    // taken; so rows cannot all be there before the cycle in which this sum reaches 640.
    let possible = |cycle: u64| (7..=cycle).map(|cycle| (cycle - 6).min(32)).sum::<u64>();
    assert_eq!((possible(41) < 640, possible(42) >= 640), (true, true));
    assert_eq!((loads[0].cycle, loads.last().unwrap().cycle), (7, 42));
    let done = 42 + u64::from(chip.latency.load);
    assert_eq!(done, 46);
    let product = |plane: usize, row: usize| -> i32 {
        (0..LANES).map(|k| i32::from(weight(plane, row, k)) * (k % 5) as i32).sum()
    };
    let correct = |machine: &Machine| {
        for plane in 0..4 {
            let y: Vec<i32> = (0..ROWS).map(|row| product(plane, row)).collect();
            assert_eq!(machine.read(&format!("y{plane}")), Ok(Array::I32(y)), "plane {plane}");
        }
    };
    let program = all_planes(&chip, done);
    assert_eq!(first_and_last(&program, MxmPort::Load), (7, 42));
    let weights: usize = 2 * loads.iter().map(|load| load.count * LANES).sum::<usize>();
    assert_eq!(weights, 409_600);
    assert!(run(&chip, &program, correct).is_ok());
    // They are all there in this cycle, and not before: an IW a cycle earlier misses the last, whose products are zero then.
    let incomplete = |machine: &Machine| {
        for plane in 0..4 {
            let y = |row| if row < ROWS - 8 { product(plane, row) } else { 0 };
            assert_eq!(
                machine.read(&format!("y{plane}")),
                Ok(Array::I32((0..ROWS).map(y).collect())),
                "plane {plane}"
            );
        }
    };
    assert!(run(&chip, &all_planes(&chip, done - 1), incomplete).is_ok());
}

/// A full vector takes 20 cycles of stagger, the instruction's own, and a cycle a hop: from the cycle in which one slice reads it until
/// another has it, all 320 lanes.
#[test]
fn a_vector_takes_20_cycles_and_its_instruction_and_the_hops() {
    let chip = v1();
    let d = &chip.latency;
    let at = |half, slice| Slice::Mem(half, slice).position(&chip);
    let (east, west) = (Hemisphere::East, Hemisphere::West);
    for ((from, to), hops) in [
        (((east, 0), (west, 0)), 2),
        (((east, 43), (east, 0)), 43),
        (((west, 43), (east, 43)), 88),
        (((east, 7), (east, 8)), 1),
    ] {
        let ((half, slice), (to_half, to_slice)) = (from, to);
        let distance = at(to_half, to_slice) - at(half, slice);
        assert_eq!(distance.abs(), hops);
        let direction = if distance > 0 { Direction::East } else { Direction::West };
        let stream = Stream { number: 0, direction };
        let program = |write: u64| {
            let mut program = ChipProgram::default();
            let data = SegmentData::Fill(7);
            program.memory.push(Segment { hemisphere: half, slice, address: 0, words: 1, data, node: 0 });
            add(
                &mut program,
                0,
                Queue::MemRead(half, slice),
                Mem::Read { address: 0, stream }.into_any(),
                &[],
            );
            let write_to = Mem::Write { address: 5000, stream }.into_any();
            add(&mut program, write, Queue::MemWrite(to_half, to_slice), write_to, &[]);
            program.ports.push(port("y", 5000, vec![(to_half, to_slice)]));
            program
        };
        let arrives = u64::from(d.read) + hops as u64;
        let seven = |machine: &Machine| {
            assert_eq!(machine.read("y"), Ok(Array::I32(vec![7; LANES])));
        };
        let cycles = run(&chip, &program(arrives), seven);
        assert_eq!(cycles, Ok(20 + u64::from(d.read) + hops as u64 + u64::from(d.write)));
        for write in [arrives - 1, arrives + 1] {
            assert_eq!(run(&chip, &program(write), |_| ()), Err((FaultKind::EmptySlot, write)));
        }
    }
}

/// Wraps an instruction of memory.
trait IntoAny {
    fn into_any(self) -> Instruction;
}

impl IntoAny for Mem {
    fn into_any(self) -> Instruction {
        Instruction::Mem(self)
    }
}

/// Tiles into all four planes, one every `period` cycles, from 32 slices of each hemisphere.
fn tiles(chip: &Chip, count: u32, period: u32) -> ChipProgram {
    let mut program = ChipProgram::default();
    let d = &chip.latency;
    let lw_at = 60;
    for half in Hemisphere::BOTH {
        let mxm = Slice::Mxm(half).position(chip);
        for number in 0..32u16 {
            let slice = chip.mem.slices_per_hemisphere - 32 + number;
            let data = SegmentData::Fill(number as u8);
            let words = 20 * count;
            program.memory.push(Segment { hemisphere: half, slice, address: 0, words, data, node: 0 });
            let away = u64::from(mxm.abs_diff(Slice::Mem(half, slice).position(chip)));
            let read = Mem::Read { address: 0, stream: outward(half, number.into()) }.into_any();
            let cycle = lw_at - away - u64::from(d.read);
            add(&mut program, cycle, Queue::MemRead(half, slice), read, &[(count, period, 20), (20, 1, 1)]);
        }
        for plane in 0..2u8 {
            let queue = |port| Queue::Mxm(half, plane, port);
            let stream = outward(half, 16 * usize::from(plane));
            let lw = Mxm::Lw { stream, count: 16, row: 0, row_stride: 1, format: Format::I8 };
            let levels = [(count, period, 0), (20, 1, 16)];
            add(&mut program, lw_at, queue(MxmPort::Load), Instruction::Mxm(lw), &levels);
            let iw_at = lw_at + 19 + u64::from(d.load);
            add(
                &mut program,
                iw_at,
                queue(MxmPort::Install),
                Instruction::Mxm(Mxm::Iw),
                &[(count, period, 0)],
            );
        }
    }
    program
}

/// Published: 20,480 bytes of weights a cycle, which is 18.43 TB/s: all planes take as much as the streams carry, tile after tile.
#[test]
fn weights_stream_into_all_planes() {
    let (chip, count) = (v1(), 40);
    let program = tiles(&chip, count, 20);
    assert!(run(&chip, &program, |_| ()).is_ok());
    let (first, last) = first_and_last(&program, MxmPort::Load);
    let cycles = last - first + 1;
    assert_eq!(cycles, 20 * u64::from(count));
    let bytes = u64::from(count) * (4 * ROWS * LANES) as u64;
    assert_eq!(bytes / cycles, 20_480);
    assert_eq!(chip.peaks().load_bytes_per_second / chip.clock_hz, 20_480.0);
    assert!((20_480.0 * chip.clock_hz / 18.43e12 - 1.0).abs() < 1e-3);
}

//! Systems of chips, by hand: the exact cycle of a hop, broadcast, exchange, forwarding, a pipeline, and what cannot be loaded.

mod support;
#[path = "support/system.rs"]
mod small;

use std::collections::BTreeMap;

use isa::system::{port_of_queue, queue_of_port};
use isa::{C2c, Chip, Element, Mem, Placed, PortKind, Queue, System};
use simulator::{Array, SystemMachine, compose};
use small::{LATENCY, RECEIVE, VECTOR, agreed, chip, each, link, node, shared};
use support::{Draft, East, LANES, West, e, w};

/// Reads word 0 of east.mem0 onto e0 for C2C in cycle 11: d_read is 5, and the slices stand at 1 and 7.
const PASSES: u64 = 5 + 6;

fn value(lane: usize) -> u8 {
    3 * lane as u8 + 1
}

/// A program that sends one word on a link.
fn sender(queue: Queue) -> Draft {
    let mut draft = Draft::default();
    draft.word(East, 0, 0, value).read(0, East, 0, 0, e(0)).send(PASSES, queue, e(0));
    draft
}

/// A program that receives a vector in `cycle` and writes it to word 9 of east.mem0, which it passes six cycles after it was put.
fn receiver(queue: Queue, cycle: u64) -> Draft {
    let mut draft = Draft::default();
    draft.deskew(0, queue).receive(cycle, queue, w(3)).write(cycle + RECEIVE + 6, East, 0, 9, w(3));
    draft.port("y", PortKind::Output, Element::I8, 1, 9, &[(East, 0)]);
    draft
}

fn bytes(value: impl Fn(usize) -> u8) -> Array {
    Array::I32((0..LANES).map(|lane| i32::from(value(lane) as i8)).collect())
}

#[test]
fn a_vector_takes_a_hop_to_the_cycle() {
    let system = node(2);
    let (out, into) = link(&system, 0, 1, East);
    let arrives = PASSES + LATENCY;
    let program = each(&[(&sender(out), 0), (&receiver(into, arrives), 0)]);
    let report = agreed(&system, &program).unwrap();
    // The write takes 3 cycles; the last superlane is two behind the first.
    let end = arrives + RECEIVE + 6 + 3 + 2;
    assert_eq!((report.cycles, report.chips[1].cycles), (end, end));
    // Send is done d_c2c after it was dispatched.
    assert_eq!(report.chips[0].cycles, PASSES + RECEIVE + 2);
    assert_eq!(report.chips[1].dispatched["c2c"], 2);
    let mut machine = SystemMachine::load(&system, &chip(), &program).unwrap();
    machine.run().unwrap();
    assert_eq!(machine.read(1, "y"), Ok(bytes(value)));
    assert!(machine.values_known());
}

#[test]
fn programs_start_when_they_are_told_to() {
    let system = node(2);
    let (out, into) = link(&system, 0, 1, West);
    let sender = {
        let mut draft = Draft::default();
        draft.word(West, 0, 0, value).read(0, West, 0, 0, w(0)).send(PASSES, out, w(0));
        draft
    };
    let receiver = |cycle| {
        let mut draft = Draft::default();
        draft.deskew(0, into).receive(cycle, into, e(3)).write(cycle + RECEIVE + 6, West, 0, 9, e(3));
        draft
    };
    // The receiver may start later than what it receives arrives, or long before it was sent.
    for (first, second) in [(0, 0), (100, 0), (0, 15), (0, 30)] {
        let cycle = first + PASSES + LATENCY - second;
        let report = agreed(&system, &each(&[(&sender, first), (&receiver(cycle), second)])).unwrap();
        assert_eq!(report.cycles, first + PASSES + LATENCY + RECEIVE + 6 + 3 + 2, "{first} {second}");
    }
    let waits = agreed(&system, &each(&[(&sender, 0), (&receiver(5), 1000)])).unwrap();
    assert_eq!(waits.cycles, 1005 + RECEIVE + 6 + 3 + 2);
}

#[test]
fn several_links_take_one_value() {
    let system = node(3);
    let ways = [1, 2].map(|to| link(&system, 0, to, East));
    let mut one = sender(ways[0].0);
    one.send(PASSES, ways[1].0, e(0));
    let cycle = PASSES + LATENCY;
    let others = ways.map(|(_, into)| receiver(into, cycle));
    let program = each(&[(&one, 0), (&others[0], 0), (&others[1], 0)]);
    agreed(&system, &program).unwrap();
    let mut machine = SystemMachine::load(&system, &chip(), &program).unwrap();
    machine.run().unwrap();
    for chip in [1, 2] {
        assert_eq!(machine.read(chip, "y"), Ok(bytes(value)), "chip {chip}");
    }
}

/// Sends its input on `east.c2c0`, and has what comes on `east.c2c1` for output.
fn exchanger() -> Draft {
    let (out, into) = (Queue::C2c(East, 0), Queue::C2c(East, 1));
    let mut draft = receiver(into, PASSES + LATENCY);
    draft.read(0, East, 0, 0, e(0)).send(PASSES, out, e(0));
    draft.port("x", PortKind::Input, Element::I8, 1, 0, &[(East, 0)]);
    draft
}

#[test]
fn one_program_in_a_ring_of_four() {
    let system = node(4);
    // Neighbours in the ring are not neighbours by number, so that each chip has its own ports.
    let ring = [0, 2, 1, 3];
    let place = |at: usize| {
        let (before, here, after) = (ring[(at + 3) % 4], ring[at], ring[(at + 1) % 4]);
        let out = port_of_queue(link(&system, here, after, East).0).unwrap();
        let into = port_of_queue(link(&system, before, here, East).1).unwrap();
        (here, BTreeMap::from([(Queue::C2c(East, 0), out), (Queue::C2c(East, 1), into)]))
    };
    let places = [0, 1, 2, 3].map(place);
    assert_ne!(places[0].1, places[1].1);
    let program = shared(&exchanger(), &places);
    let mut machine = SystemMachine::load(&system, &chip(), &program).unwrap();
    for chip in ring {
        machine.write(chip, "x", &bytes(|lane| lane as u8 + 10 * chip as u8)).unwrap();
    }
    let report = machine.run().unwrap();
    assert_eq!(compose(&system, &chip(), &program), Ok(report));
    for at in 0..4 {
        let before = ring[(at + 3) % 4];
        assert_eq!(machine.read(ring[at], "y"), Ok(bytes(|lane| lane as u8 + 10 * before as u8)));
    }
    assert!(machine.values_known());
    assert_eq!(machine.read(7, "y"), Err("chip 7 has no program".to_owned()));
    assert_eq!(
        machine.write(0, "z", &bytes(value)).unwrap_err(),
        "no input or state is named `z`: there are y, x"
    );
}

#[test]
fn inputs_that_nobody_wrote_are_unknown_wherever_they_go() {
    let system = node(2);
    let ports = |chip: u32| {
        let (out, into) = (link(&system, chip, 1 - chip, East).0, link(&system, 1 - chip, chip, East).1);
        assert_eq!(out, into);
        BTreeMap::from([(Queue::C2c(East, 0), port_of_queue(out).unwrap())])
    };
    // Both ways of one link are apart; its queue cannot send and receive in one cycle.
    let both = Queue::C2c(East, 0);
    let mut draft = Draft::default();
    draft.read(0, East, 0, 0, e(0)).deskew(0, both).send(PASSES, both, e(0)).receive(
        PASSES + LATENCY,
        both,
        w(3),
    );
    draft.write(PASSES + LATENCY + RECEIVE + 6, East, 0, 9, w(3));
    draft.port("x", PortKind::Input, Element::I8, 1, 0, &[(East, 0)]);
    let program = shared(&draft, &[(0, ports(0)), (1, ports(1))]);
    let mut machine = SystemMachine::load(&system, &chip(), &program).unwrap();
    machine.write(0, "x", &bytes(value)).unwrap();
    machine.run().unwrap();
    assert!(!machine.values_known());
    agreed(&system, &program).unwrap();
}

#[test]
fn a_chip_forwards_without_memory() {
    let system = node(3);
    let (first, second) = (link(&system, 0, 1, East), link(&system, 1, 2, West));
    let cycle = PASSES + LATENCY;
    let mut middle = Draft::default();
    // From C2C in the east to C2C in the west: 14 positions.
    let crossed = cycle + RECEIVE + 14;
    middle.deskew(0, first.1).receive(cycle, first.1, w(3)).send(crossed, second.0, w(3));
    let mut last = Draft::default();
    let came = crossed + LATENCY;
    last.deskew(0, second.1).receive(came, second.1, e(7)).write(came + RECEIVE + 6, West, 0, 9, e(7));
    last.port("y", PortKind::Output, Element::I8, 1, 9, &[(West, 0)]);
    let program = each(&[(&sender(first.0), 0), (&middle, 0), (&last, 0)]);
    let report = agreed(&system, &program).unwrap();
    assert_eq!(report.cycles, came + RECEIVE + 6 + 3 + 2);
    assert_eq!(report.chips[1].dispatched, BTreeMap::from([("c2c", 3)]));
    let mut machine = SystemMachine::load(&system, &chip(), &program).unwrap();
    machine.run().unwrap();
    assert_eq!(machine.read(2, "y"), Ok(bytes(value)));
}

#[test]
fn a_pipeline_of_three_stages() {
    let system = node(3);
    let (first, second) = (link(&system, 0, 1, East), link(&system, 1, 2, East));
    let rows = 8;
    let pace = [(rows, VECTOR as u32, 0)];
    let mut one = Draft::default();
    for row in 0..rows {
        one.word(East, 0, row, |lane| value(lane) ^ row as u8);
    }
    let read = Mem::Read { address: 0, stream: e(0) };
    one.repeat(0, Queue::MemRead(East, 0), read, &[(rows, VECTOR as u32, 1)]);
    one.repeat(PASSES, first.0, C2c::Send { stream: e(0) }, &pace);
    // Writes what comes, reads it again, and sends it on.
    let stage = |into: Queue, out: Option<Queue>| {
        let mut draft = Draft::default();
        draft.deskew(0, into).repeat(1, into, C2c::Receive { stream: w(3) }, &pace);
        let write = Mem::Write { address: 20, stream: w(3) };
        draft.repeat(1 + RECEIVE + 6, Queue::MemWrite(East, 0), write, &[(rows, VECTOR as u32, 1)]);
        if let Some(out) = out {
            let read = Mem::Read { address: 20, stream: e(0) };
            // Reading starts as soon as the first write is complete. Even and odd words are in one bank: leave the writes' cycles alone.
            draft.repeat(1 + RECEIVE + 6 + 3, Queue::MemRead(East, 0), read, &[(rows, VECTOR as u32, 1)]);
            draft.repeat(1 + RECEIVE + 6 + 3 + PASSES, out, C2c::Send { stream: e(0) }, &pace);
        }
        draft.port("y", PortKind::Output, Element::I8, rows, 20, &[(East, 0)]);
        draft
    };
    let (two, three) = (stage(first.1, Some(second.0)), stage(second.1, None));
    let start = PASSES + LATENCY - 1;
    let next = start + 1 + RECEIVE + 6 + 3 + PASSES + LATENCY - 1;
    let program = each(&[(&one, 0), (&two, start), (&three, next)]);
    let report = agreed(&system, &program).unwrap();
    let span = u64::from(rows - 1) * VECTOR;
    assert_eq!(report.cycles, next + 1 + RECEIVE + 6 + span + 3 + 2);
    let mut machine = SystemMachine::load(&system, &chip(), &program).unwrap();
    machine.run().unwrap();
    let all = (0..rows as usize * LANES).map(|at| i32::from((value(at % LANES) ^ (at / LANES) as u8) as i8));
    assert_eq!(machine.read(2, "y"), Ok(Array::I32(all.collect())));
    // A second run finds SRAM as the first left it, and the links empty.
    assert_eq!(machine.run().unwrap(), report);
}

/// 576 chips, each with 20,000,000,000 vectors for a neighbour: only runs and distinct meetings can be looked at.
#[test]
fn many_chips_and_vectors_are_composed_at_once() {
    let (system, chip) = (System::preset("tsp-v1-ring").unwrap(), Chip::preset("tsp-v1").unwrap());
    let timing = system.timing(&chip).unwrap()[0];
    let (out, into) = (Queue::C2c(East, 0), Queue::C2c(East, 1));
    let pace =
        [(20_000, 1_000_000 * timing.vector_cycles as u32, 0), (1_000_000, timing.vector_cycles as u32, 0)];
    let mut draft = Draft::default();
    let distance = isa::Slice::C2c(East).position(&chip) - 1;
    let passes = u64::from(chip.latency.read) + distance as u64;
    draft.program.memory.push(isa::Segment {
        hemisphere: East,
        slice: 0,
        address: 0,
        words: 1,
        data: isa::SegmentData::Fill(7),
        node: 0,
    });
    draft.repeat(0, Queue::MemRead(East, 0), Mem::Read { address: 0, stream: e(0) }, &pace);
    draft.repeat(passes, out, C2c::Send { stream: e(0) }, &pace);
    let arrives = passes + timing.latency_cycles;
    draft.deskew(0, into).repeat(arrives, into, C2c::Receive { stream: w(0) }, &pace);
    // Each chip of a node sends on port 0 to the next of its node, which it reaches at that chip's port 6.
    let ports = BTreeMap::from([(out, 0), (into, 6)]);
    let places: Vec<_> = (0..576).map(|chip| (chip, ports.clone())).collect();
    let mut program = shared(&draft, &places);
    program.program.chip = "tsp-v1".to_owned();
    let report = compose(&system, &chip, &program).unwrap();
    let last = 20_000_000_000 * timing.vector_cycles - timing.vector_cycles;
    assert_eq!(report.cycles, last + arrives + u64::from(chip.latency.c2c) + 20);
    assert_eq!(report.chips.len(), 576);
}

#[test]
fn what_does_not_fit_is_refused_at_loading() {
    let system = node(2);
    let (out, into) = link(&system, 0, 1, East);
    let good = each(&[(&sender(out), 0), (&receiver(into, 31), 0)]);
    let check = |change: &dyn Fn(&mut Vec<Placed>), expected: &[&str]| {
        let mut program = good.clone();
        change(&mut program.placed);
        let Err(problems) = SystemMachine::load(&system, &chip(), &program) else { panic!("{expected:?}") };
        assert_eq!(problems, expected);
        assert!(compose(&system, &chip(), &program).is_err());
    };
    assert_eq!((queue_of_port(0), queue_of_port(1)), (out, Queue::C2c(West, 0)));
    check(
        &|placed| placed[1].chip = 2,
        &[
            "chip 2: system small has 2 chips, from 0 on",
            "chip 0: east.c2c0 is port 0, which leads to chip 1, and that has no program",
            "chip 2: east.c2c0 is port 0, which leads nowhere",
        ],
    );
    check(
        &|placed| placed[1].chip = 0,
        &[
            "chip 0 has two programs",
            "chip 0: east.c2c0 is port 0, which leads to chip 1, and that has no program",
            "chip 0: east.c2c0 is port 0, which leads to chip 1, and that has no program",
        ],
    );
    check(&|placed| placed[0].program = 2, &["chip 0: there is no program 2 of 2"]);
    check(&|placed| placed[0].start_cycle = u64::MAX, &["chip 0: its program starts too late"]);
    let unnamed =
        "chip 1: east.c2c0 is port 0, which leads to port 0 of chip 0, and no link of its program is that";
    check(&|placed| placed[0].ports.clear(), &["chip 0: nothing says which port east.c2c0 is", unnamed]);
    check(
        &|placed| *placed[0].ports.get_mut(&out).unwrap() = 1,
        &[
            "chip 0: east.c2c0 cannot be port 1, which is one of the other hemisphere",
            "chip 0: east.c2c0 is port 1, which leads to port 1 of chip 1, and no link of its program is that",
            unnamed,
        ],
    );
    check(
        &|placed| *placed[0].ports.get_mut(&out).unwrap() = 4,
        &["chip 0: east.c2c0 is port 4, which leads nowhere", unnamed],
    );
    check(
        &|placed| placed[0].ports.extend([(Queue::C2c(East, 2), 0)]),
        &["chip 0: east.c2c0 and east.c2c2 are both port 0"],
    );
    check(
        &|placed| placed[0].ports.extend([(Queue::Vxm(0), 2)]),
        &["chip 0: vxm.alu0 is no link, and cannot be port 2"],
    );
    let mut other = good.clone();
    other.program.chip = "lp30".to_owned();
    let problems = SystemMachine::load(&system, &chip(), &other).err().unwrap();
    assert_eq!(problems, ["the program is for chips lp30, and these are tiny"]);
    let few = Chip { c2c: isa::chip::C2cUnits { links_per_hemisphere: 0 }, ..chip() };
    let problems = SystemMachine::load(&system, &few, &good).err().unwrap();
    assert_eq!(problems[0], "program 0: the chip has no queue east.c2c0");
}

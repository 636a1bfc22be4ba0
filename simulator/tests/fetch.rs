//! Instruction text that does not fit its queue: fetched in time it changes nothing, and everything else is refused.

mod support;

use isa::chip::IcuUnits;
use isa::instruction::{Operand, VxmOp, Window};
use isa::stream::Format;
use isa::{Chip, Element, Icu, Instruction, Mem, Page, PortKind, Queue, Run, Stream};
use simulator::{Array, FaultKind, Machine};
use support::damage::{check_on, fault_on};
use support::*;

const ALU: Queue = Queue::Vxm(0);
const TEXT: Queue = Queue::MemRead(East, 2);

/// Queues of two pages, which are of two vectors of 32 lanes.
fn small() -> Chip {
    Chip { icu: IcuUnits { queue_bytes: 128, fetch_vectors: 2 }, ..tiny() }
}

/// Adds an Ifetch.
fn ifetch(draft: &mut Draft, queue: Queue, cycle: u64, stream: Stream) {
    let instruction = Instruction::Icu(Icu::Ifetch { stream });
    let runs = draft.program.queues.entry(queue).or_default();
    let at = runs.partition_point(|run| run.cycle < cycle);
    runs.insert(at, Run { cycle, instruction, repeats: Vec::new(), node: 1 });
}

/// 24 numbers, each in an instruction of its own, one every twenty cycles from 10 on: 11 bytes of text each. Pages from
/// words 10, 12 and 14 of east.mem2, which is 3 from the VXM.
fn numbers() -> Draft {
    let mut draft = Draft::default();
    for i in 0..24 {
        let cycle = 20 * i + 10;
        draft.alu(cycle, 0, VxmOp::Pass, &[Operand::Immediate(7 * i as u32 % 100)], Some((w(0), Format::I8)));
        draft.write(cycle + 5, West, 0, i as u32, w(0));
    }
    for (index, cycle) in [118, 258, 378].into_iter().enumerate() {
        ifetch(&mut draft, ALU, cycle, w(9));
        let read = Mem::Read { address: 10 + 2 * index as u32, stream: w(9) };
        draft.repeat(cycle - 8, TEXT, read, &[(2, 1, 1)]);
    }
    let page = |address| Page { hemisphere: East, slice: 2, address };
    draft.program.text.insert(ALU, vec![page(10), page(12), page(14)]);
    draft.port("numbers", PortKind::Output, Element::I8, 24, 0, &[(West, 0)]);
    draft
}

#[test]
fn text_that_comes_in_time_changes_nothing() {
    let mut alone = numbers();
    alone.program.text.clear();
    alone.program.queues.remove(&TEXT);
    alone.runs(ALU).retain(|run| !matches!(run.instruction, Instruction::Icu(_)));
    let results = |chip: &Chip, draft: &Draft| {
        ENGINES
            .iter()
            .map(|engine| {
                let mut machine = Machine::load(*engine, chip, &draft.program()).expect("well formed");
                for _ in 0..2 {
                    machine.run().unwrap_or_else(|fault| panic!("{engine:?}: {fault}"));
                }
                let report = machine.run().expect("as before");
                assert!(machine.values_known());
                (report.cycles, machine.read("numbers").expect("written"))
            })
            .collect::<Vec<_>>()
    };
    let fetched = results(&small(), &numbers());
    let Array::I32(numbers) = &fetched[0].1 else { panic!("{:?}", fetched[0].1) };
    assert_eq!(numbers[5 * LANES], 35);
    assert!(fetched.iter().all(|result| *result == fetched[0]));
    assert_eq!(results(&tiny(), &alone), fetched);
    // Pages that are not needed hold zeros.
    let long = Chip { icu: IcuUnits { queue_bytes: 1024, fetch_vectors: 2 }, ..tiny() };
    assert_eq!(results(&long, &self::numbers()), fetched);
    let report = isa::report::predict(&small(), &self::numbers().program());
    assert_eq!((report.cycles, report.dispatched["icu"]), (fetched[0].0, 3));
}

#[test]
fn text_in_wrong_places_and_at_wrong_times() {
    check_on(
        &small(),
        &numbers(),
        &[
            ("late by a cycle", |d| d.runs(ALU)[6].cycle += 1, FaultKind::WrongText, 119, "vxm.alu0"),
            ("early by a cycle", |d| d.runs(ALU)[6].cycle -= 1, FaultKind::EmptySlot, 117, "vxm.alu0"),
            (
                "two pages swapped",
                |d| d.program.text.get_mut(&ALU).expect("has pages").swap(0, 2),
                FaultKind::WrongText,
                118,
                "vxm.alu0",
            ),
            ("another word", |d| d.runs(TEXT)[1].repeats[0].step = 0, FaultKind::WrongText, 259, "vxm.alu0"),
            ("half a page", |d| d.runs(TEXT)[2].repeats.clear(), FaultKind::EmptySlot, 379, "vxm.alu0"),
            (
                "joined by a gather",
                |d| {
                    let window = Window { first: 0, count: 1, base: 40, stride: 1 };
                    for slice in 0..4 {
                        d.word(West, slice, 40, |_| 99);
                        d.read(101 - u64::from(slice), West, slice, 40, e(4 + slice as u8));
                    }
                    d.word(East, 1, 40, |_| 0);
                    // At position 2 in 116, two cycles from the VXM.
                    d.at(109, Queue::MemRead(East, 1), Mem::Gather { window, index: e(4), stream: w(9) });
                },
                FaultKind::WrongText,
                118,
                "vxm.alu0",
            ),
        ],
    );
}

/// Moves an Ifetch with its Read.
fn moved(draft: &mut Draft, index: usize, cycle: u64) {
    let run = draft.runs(ALU).iter().position(|run| matches!(run.instruction, Instruction::Icu(_)));
    let mut at = run.expect("has some");
    for _ in 0..index {
        at = at
            + 1
            + draft.runs(ALU)[at + 1..]
                .iter()
                .position(|run| matches!(run.instruction, Instruction::Icu(_)))
                .expect("one more");
    }
    let mut fetch = draft.runs(ALU).remove(at);
    fetch.cycle = cycle;
    let at = draft.runs(ALU).partition_point(|run| run.cycle < cycle);
    draft.runs(ALU).insert(at, fetch);
    draft.runs(TEXT)[index].cycle = cycle - 8;
}

#[test]
fn queues_are_neither_too_full_nor_too_empty() {
    check_on(
        &small(),
        &numbers(),
        &[
            // Five runs have left, of 55 bytes; the page has 64.
            ("no room", |d| moved(d, 0, 98), FaultKind::QueueOverflow, 100, "vxm.alu0"),
            // The run that begins in 211 needs more than 128 bytes.
            ("too late", |d| moved(d, 0, 238), FaultKind::QueueUnderflow, 211, "vxm.alu0"),
            ("as the run begins", |d| moved(d, 0, 218), FaultKind::QueueUnderflow, 219, "vxm.alu0"),
            (
                "written over",
                |d| {
                    d.repeat(
                        300,
                        Queue::MemWrite(East, 2),
                        Mem::Write { address: 8, stream: w(30) },
                        &[(5, 30, 1)],
                    );
                },
                FaultKind::EmptySlot,
                300,
                "east.mem2.write",
            ),
            (
                "written over, with something",
                |d| {
                    d.word(East, 3, 0, |_| 1);
                    let read = Mem::Read { address: 0, stream: w(30) };
                    d.repeat(294, Queue::MemRead(East, 3), read, &[(5, 30, 0)]);
                    d.repeat(
                        300,
                        Queue::MemWrite(East, 2),
                        Mem::Write { address: 8, stream: w(30) },
                        &[(5, 30, 1)],
                    );
                },
                FaultKind::TextOverwritten,
                360,
                "east.mem2.write",
            ),
        ],
    );
}

/// What a problem must say, and the damage.
type Refusal = (&'static str, fn(&mut Draft));

/// Programs whose pages and Ifetches do not match are not loaded.
#[test]
fn pages_must_match() {
    let cases: [Refusal; 6] = [
        ("make 3 pages; there are 2 pages and 3 Ifetches", |d| {
            d.program.text.get_mut(&ALU).map(Vec::pop);
        }),
        ("there are 3 pages and 2 Ifetches", |d| {
            d.runs(ALU).remove(6);
        }),
        ("does not repeat", |d| {
            d.runs(ALU)[6].repeats = d.program.queues[&TEXT][0].repeats.clone();
        }),
        ("another begins within them", |d| {
            moved(d, 1, 119);
        }),
        ("holds text, and something else", |d| {
            d.word(East, 2, 11, |_| 0);
        }),
        ("which has no such", |d| d.program.text.get_mut(&ALU).expect("has pages")[0].address = 127),
    ];
    for (words, damage) in cases {
        let mut draft = numbers();
        damage(&mut draft);
        for engine in ENGINES {
            let problems = Machine::load(*engine, &small(), &draft.program()).err().unwrap_or_default();
            assert!(problems.iter().any(|problem| problem.contains(words)), "{words}: {problems:?}");
        }
    }
}

/// Everything that has to do with text is moved about, a little and at random: all engines say the same.
#[test]
fn random_damage_is_judged_alike() {
    let mut state = 12345u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    let mut kinds = std::collections::BTreeMap::new();
    for _ in 0..400 {
        let mut draft = numbers();
        for _ in 0..=random(2) {
            let index = random(3) as usize;
            match random(6) {
                0 => moved(&mut draft, index, 90 + 10 * random(40) + 8),
                1 => draft.runs(TEXT)[index].cycle = draft.program.queues[&TEXT][index].cycle + random(3),
                2 => draft.program.text.get_mut(&ALU).expect("has pages").swap(index, random(3) as usize),
                3 => {
                    let run = random(20) as usize;
                    draft.runs(ALU)[run].cycle += random(4);
                }
                4 => {
                    let stream = Stream { number: 8 + random(2) as u8, ..w(0) };
                    draft.runs(TEXT)[index].instruction =
                        Instruction::Mem(Mem::Read { address: 10 + random(5) as u32, stream });
                }
                _ => draft
                    .at(100 + random(300), Queue::MemRead(East, 1), Mem::Read { address: 50, stream: w(9) })
                    .word(East, 1, 50, |_| 3)
                    .runs(Queue::MemRead(East, 1))
                    .truncate(1),
            }
            if draft.program.memory.len() > 1 {
                draft.program.memory.truncate(1);
            }
        }
        if Machine::load(ENGINES[0], &small(), &draft.program()).is_ok() {
            let kind = fault_on(&small(), &draft).map(|fault| fault.kind);
            *kinds.entry(kind).or_insert(0) += 1;
        }
    }
    for kind in
        [FaultKind::WrongText, FaultKind::QueueOverflow, FaultKind::QueueUnderflow, FaultKind::EmptySlot]
    {
        assert!(kinds.get(&Some(kind)).is_some_and(|times| *times > 5), "{kinds:?}");
    }
}

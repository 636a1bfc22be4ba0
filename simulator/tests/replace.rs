//! A value that somebody has taken gives way to another one that is put in its slot; one that nobody has taken is not to be lost.

mod support;

use isa::instruction::{Mxm, Operand, VxmOp};
use isa::stream::Format;
use isa::{Element, Mem, PortKind, Queue, Stream};
use simulator::{Array, FaultKind, Machine};
use support::damage::{check, fault_of};
use support::*;

/// Words that differ in every slice: lane i of word `address` of a slice.
fn byte(slice: u16, address: u32, lane: usize) -> u8 {
    (40 * usize::from(slice) + 7 * address as usize + lane) as u8
}

/// Words 1 to 9 of four slices of both sides.
fn words() -> Draft {
    let mut draft = Draft::default();
    for side in [East, West] {
        for slice in 0..4 {
            for address in 1..10 {
                draft.word(side, slice, address, |lane| byte(slice, address, lane));
            }
        }
    }
    draft
}

/// A word after two runs, the same on every engine.
fn word(draft: &Draft, side: isa::Hemisphere, slice: u16, address: u32) -> Vec<u8> {
    let mut draft = draft.clone();
    draft.port("word", PortKind::Output, Element::I32, 1, address, &[(side, slice); 4]);
    let after = |engine: &simulator::Engine| {
        let mut machine = Machine::load(*engine, &tiny(), &draft.program()).expect("well formed");
        for _ in 0..2 {
            machine.run().unwrap_or_else(|fault| panic!("{fault}"));
        }
        match machine.read("word") {
            Ok(Array::I32(lanes)) => lanes.into_iter().map(|lane| lane as u8).collect::<Vec<u8>>(),
            other => panic!("{other:?}"),
        }
    };
    let found: Vec<Vec<u8>> = ENGINES.iter().map(after).collect();
    assert!(found.iter().all(|word| *word == found[0]), "{ENGINES:?}: {found:?}");
    found[0].clone()
}

fn assert_word(draft: &Draft, (side, slice, address): (isa::Hemisphere, u16, u32), from: (u16, u32)) {
    let right: Vec<u8> = (0..LANES).map(|lane| byte(from.0, from.1, lane)).collect();
    assert_eq!(word(draft, side, slice, address), right, "{side}.mem{slice} word {address}");
}

/// East slice i is at 1 + i; a word that is read in cycle t is there in t + 5. From mem0 to mem1, and from mem2 to mem3, in one slot.
fn two_copies() -> Draft {
    let mut draft = words();
    draft.read(0, East, 0, 1, e(0)).write(6, East, 1, 70, e(0));
    draft.read(2, East, 2, 1, e(0)).write(8, East, 3, 70, e(0));
    draft
}

const FIRST: Queue = Queue::MemWrite(East, 1);

#[test]
fn after_a_write() {
    let sound = two_copies();
    assert_word(&sound, (East, 1, 70), (0, 1));
    assert_word(&sound, (East, 3, 70), (2, 1));
    check(
        &sound,
        &[
            ("not taken", |d| d.runs(FIRST).clear(), FaultKind::SlotOccupied, 7, "east.mem2.read"),
            (
                "taken in the cycle of the put, which comes first",
                |d| {
                    d.runs(FIRST).clear();
                    d.write(7, East, 2, 70, e(0));
                },
                FaultKind::SlotOccupied,
                7,
                "east.mem2.read",
            ),
            (
                "taken a cycle before, but on another stream",
                |d| {
                    d.runs(FIRST).clear();
                    d.read(1, East, 1, 1, e(1)).write(6, East, 1, 70, e(1));
                },
                FaultKind::SlotOccupied,
                7,
                "east.mem2.read",
            ),
            (
                "the next slot taken",
                |d| {
                    d.read(1, East, 0, 2, e(0));
                    d.runs(FIRST)[0].cycle += 1;
                },
                FaultKind::SlotOccupied,
                7,
                "east.mem2.read",
            ),
            (
                "what replaces is there, but not what is replaced",
                |d| d.runs(Queue::MemRead(East, 0)).clear(),
                FaultKind::EmptySlot,
                6,
                "east.mem1.write",
            ),
            (
                "replaced once more, before it is taken",
                |d| {
                    d.read(3, East, 3, 1, e(0));
                },
                FaultKind::SlotOccupied,
                8,
                "east.mem3.read",
            ),
        ],
    );
    let mut downstream = two_copies();
    downstream.runs(FIRST).clear();
    let fault = fault_of(&downstream).expect("taken only downstream of the put");
    assert_eq!(
        fault.detail,
        "s0e at position 3 holds the value of east.mem0.read, dispatched in cycle 0, which nobody has taken"
    );
}

#[test]
fn who_takes_in_the_cycle_of_the_put_gets_the_new_value() {
    let mut draft = two_copies();
    draft.write(7, East, 2, 70, e(0));
    assert_word(&draft, (East, 1, 70), (0, 1));
    assert_word(&draft, (East, 2, 70), (2, 1));
    assert_word(&draft, (East, 3, 70), (2, 1));
    // Where it is put, too: a slice's own word comes back to it.
    draft.read(3, East, 3, 2, e(0));
    assert_word(&draft, (East, 3, 70), (3, 2));
}

#[test]
fn after_an_alu() {
    let mut sound = words();
    let taken = Operand::Stream(w(0), Format::I8);
    sound.read(0, East, 0, 1, w(0)).alu(6, 0, VxmOp::Pass, &[taken], Some((w(3), Format::I8)));
    sound.write(11, West, 0, 70, w(3));
    sound.read(2, West, 0, 2, w(0)).write(8, West, 1, 70, w(0));
    assert_word(&sound, (West, 0, 70), (0, 1));
    assert_word(&sound, (West, 1, 70), (0, 2));
    check(
        &sound,
        &[
            (
                "not taken",
                |d| {
                    *d.runs(Queue::Vxm(0)) = Draft::default()
                        .alu(6, 0, VxmOp::Pass, &[Operand::Immediate(3)], Some((w(3), Format::I8)))
                        .runs(Queue::Vxm(0))
                        .clone();
                },
                FaultKind::SlotOccupied,
                7,
                "west.mem0.read",
            ),
            // Position 0 in cycle 6: the result comes before the operand is taken.
            (
                "a result where the operand arrives",
                |d| {
                    d.alu(2, 1, VxmOp::Pass, &[Operand::Immediate(3)], Some((w(0), Format::I8)));
                },
                FaultKind::SlotOccupied,
                6,
                "vxm.alu1",
            ),
        ],
    );
    // The result of the ALU itself replaces what was taken on its way to the ALU.
    let mut result = words();
    result.read(0, East, 1, 1, w(0)).write(6, East, 0, 70, w(0));
    result.alu(3, 0, VxmOp::Pass, &[Operand::Immediate(9)], Some((w(0), Format::I8))).write(
        8,
        West,
        0,
        70,
        w(0),
    );
    assert_word(&result, (East, 0, 70), (1, 1));
    assert_eq!(word(&result, West, 0, 70), [9; LANES]);
}

/// The sums of [`matrix`] leave the MXM at 6; the last of their streams is also a weight row. At mem3, at 4, a word takes its place.
fn after_load() -> Draft {
    let mut draft = matrix(Format::I8);
    let emitted = first_abc(Format::I8) + 11 + 2 + 1 + 9;
    let lw = Mxm::Lw { stream: w(15), count: 1, row: 0, row_stride: 1, format: Format::I8 };
    draft.at(emitted, load(East), lw);
    draft.word(East, 3, 60, |lane| lane as u8).read(emitted + 2 - 5, East, 3, 60, w(15));
    draft
}

#[test]
fn after_a_weight_row() {
    let sound = after_load();
    assert_eq!(word(&sound, East, 0, 70), (0..LANES).map(|lane| lane as u8).collect::<Vec<_>>());
    let drop: fn(&mut Draft) = |d| {
        d.runs(load(East)).pop();
    };
    check(&sound, &[("not taken", drop, FaultKind::SlotOccupied, 31 + 11 + 2 + 1 + 9 + 2, "east.mem3.read")]);
}

#[test]
fn gathers_join_what_nobody_has_taken() {
    // Superlane 0 has an index in mem1's table, superlane 1 in mem2's, and they share a slot.
    let joined = indexed();
    let both = word(&joined, East, 3, 50);
    assert!(both[..16].iter().chain(&both[16..]).all(|byte| *byte != 0));
    // As soon as mem1's has been taken, mem2's takes its place.
    let mut taken = indexed();
    taken.write(19, East, 1, 70, e(8));
    let zeros = [0; 16];
    assert_eq!(word(&taken, East, 1, 70), [&both[..16], &zeros].concat());
    assert_eq!(word(&taken, East, 3, 50), [&zeros, &both[16..]].concat());
    // In the cycle in which mem2's comes it is too late: both are taken.
    let mut late = indexed();
    late.write(20, East, 2, 70, e(8));
    assert_eq!(word(&late, East, 2, 70), both);
    assert_eq!(word(&late, East, 3, 50), both);
    // A gather is replaced as anything else is.
    let read: fn(&mut Draft) = |d| {
        d.word(East, 3, 60, |_| 0).read(16, East, 3, 60, e(8));
    };
    let place = "east.mem3.read";
    check(&joined, &[("not taken", read, FaultKind::SlotOccupied, 21, place)]);
    // Only the first of the two was taken, and the second came after.
    check(&taken, &[("not taken since", read, FaultKind::SlotOccupied, 21, place)]);
    read(&mut late);
    assert_eq!(word(&late, East, 2, 70), both);
    assert_eq!(word(&late, East, 3, 50), [0; LANES]);
}

/// Three runs of words in the same slots, each taken where it is put: at mem0, mem1 and mem3.
fn chain() -> Draft {
    let mut draft = words();
    let stream: Stream = e(4);
    for slice in [0, 1, 3] {
        let (read, put) = (u64::from(slice), u64::from(slice) + 5);
        let levels = [(2, 5, 3), (3, 1, 1)];
        draft.repeat(read, Queue::MemRead(East, slice), Mem::Read { address: 1, stream }, &levels);
        draft.repeat(put, Queue::MemWrite(East, slice), Mem::Write { address: 70, stream }, &levels);
    }
    draft
}

#[test]
fn a_chain_of_three() {
    const SECOND: Queue = Queue::MemWrite(East, 1);
    let sound = chain();
    for slice in [0, 1, 3] {
        for n in 0..6 {
            assert_word(&sound, (East, slice, 70 + n), (slice, 1 + n));
        }
    }
    let (kind, third) = (FaultKind::SlotOccupied, "east.mem3.read");
    check(
        &sound,
        &[
            ("the first not taken", |d| d.runs(Queue::MemWrite(East, 0)).clear(), kind, 6, "east.mem1.read"),
            ("the second not taken", |d| d.runs(SECOND).clear(), kind, 8, third),
            // Of the cycles 6, 7, 8 and 11, 12, 13 the last two are missing, which are 14 and 15 for the third.
            (
                "some of the second not taken",
                |d| {
                    d.runs(SECOND)[0].repeats.remove(0);
                    d.write(11, East, 1, 90, e(4));
                },
                kind,
                14,
                third,
            ),
            ("the second taken late", |d| d.runs(SECOND)[0].cycle += 1, kind, 8, third),
        ],
    );
    // Taken by several runs together, and some twice: at mem1 the first four, at mem2 the last five.
    let mut parts = chain();
    parts.runs(SECOND)[0].repeats.remove(0);
    parts.write(11, East, 1, 73, e(4));
    let write = Mem::Write { address: 72, stream: e(4) };
    parts.repeat(8, Queue::MemWrite(East, 2), write, &[(2, 1, 1)]);
    parts.repeat(12, Queue::MemWrite(East, 2), Mem::Write { address: 74, stream: e(4) }, &[(3, 1, 1)]);
    for n in 0..6 {
        assert_word(&parts, (East, 3, 70 + n), (3, 1 + n));
        assert_word(
            &parts,
            (East, if n < 4 { 1 } else { 2 }, if n < 4 { 70 + n } else { 71 + n }),
            (1, 1 + n),
        );
    }
    parts.runs(Queue::MemWrite(East, 2))[1].repeats.clear();
    assert_eq!(fault_of(&parts).map(|fault| (fault.kind, fault.cycle)), Some((kind, 14)));
}

#[test]
fn words_on_their_way_are_overwritten() {
    // Word 1 of mem0 is overwritten in the cycle in which it is taken at mem1, and then its place is taken.
    let mut early = two_copies();
    early.read(0, East, 1, 2, w(0)).write(6, East, 0, 1, w(0));
    // Or when its place has been taken already.
    let mut late = two_copies();
    late.read(0, East, 3, 2, w(0)).write(8, East, 0, 1, w(0));
    // Or what takes its place is overwritten, on its way there and after.
    let mut second = two_copies();
    second.read(0, East, 3, 2, w(0)).write(6, East, 2, 1, w(0));
    let mut after = two_copies();
    after.read(1, East, 3, 2, w(0)).write(7, East, 2, 1, w(0));
    for (draft, first, then) in
        [(early, (1, 2), (2, 1)), (late, (3, 2), (2, 1)), (second, (0, 1), (3, 2)), (after, (0, 1), (3, 2))]
    {
        // The second run reads what the first has written over the words.
        assert_word(&draft, (East, 1, 70), first);
        assert_word(&draft, (East, 3, 70), then);
    }
}

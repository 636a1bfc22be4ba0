//! Correct programs, each damaged in one way, are refused: with the right fault, in the right cycle, at the right place.

mod support;

use isa::instruction::{Operand, VxmOp, Window};
use isa::stream::Format;
use isa::{Instruction, Mem, Queue, Sxm};
use simulator::FaultKind;
use support::damage::{check, fault_of};
use support::*;

const X: Queue = Queue::MemRead(East, 0);
const Y: Queue = Queue::MemRead(East, 1);
const Z: Queue = Queue::MemWrite(West, 0);

#[test]
fn timing_of_vectors() {
    check(
        &vector(),
        &[
            ("shifted by a cycle", |d| d.runs(X)[0].cycle += 1, FaultKind::EmptySlot, 7, "vxm.alu0"),
            ("dropped read", |d| d.runs(Y).clear(), FaultKind::EmptySlot, 7, "vxm.alu0"),
            (
                "other direction",
                |d| *d.runs(X) = Draft::default().read(1, East, 0, 1, e(0)).runs(X).clone(),
                FaultKind::EmptySlot,
                7,
                "vxm.alu0",
            ),
            ("early write", |d| d.runs(Z)[0].cycle -= 1, FaultKind::EmptySlot, 15, "west.mem0.write"),
            (
                "late ALU",
                |d| d.runs(Queue::Vxm(1))[0].cycle += 1,
                FaultKind::ForwardOfNothing,
                12,
                "vxm.alu1",
            ),
            // Both values would be at position 1 in cycle 6.
            (
                "two values in a slot",
                |d| *d.runs(Y) = Draft::default().read(0, East, 1, 2, w(0)).runs(Y).clone(),
                FaultKind::SlotOccupied,
                6,
                "east.mem0.read",
            ),
            (
                "two results on a stream",
                |d| {
                    d.alu(11, 2, VxmOp::Pass, &[Operand::Immediate(0)], Some((w(7), Format::I8)));
                },
                FaultKind::SlotOccupied,
                15,
                "vxm.alu2",
            ),
        ],
    );
}

#[test]
fn memory() {
    check(
        &vector(),
        &[
            (
                "read in a writing bank",
                |d| {
                    d.word(West, 0, 60, |_| 0).read(16, West, 0, 60, w(20));
                },
                FaultKind::BankConflict,
                16,
                "west.mem0.bank0",
            ),
            (
                "moved bank",
                |d| {
                    d.word(West, 0, 64, |_| 0).read(16, West, 0, 64, w(20));
                    *d.runs(Z) = Draft::default().write(16, West, 0, 127, w(4)).runs(Z).clone();
                },
                FaultKind::BankConflict,
                16,
                "west.mem0.bank1",
            ),
            (
                "early read",
                |d| {
                    d.read(18, West, 0, 5, w(20));
                },
                FaultKind::WriteInFlight,
                18,
                "west.mem0.bank0",
            ),
            (
                "read of nothing",
                |d| {
                    d.read(3, West, 0, 90, w(20));
                },
                FaultKind::ReadBeforeWritten,
                3,
                "west.mem0.bank1",
            ),
            (
                "read past the end",
                |d| {
                    d.read(3, West, 0, 128, w(20));
                },
                FaultKind::AddressOutOfRange,
                3,
                "west.mem0.read",
            ),
            (
                "write past the end",
                |d| *d.runs(Z) = Draft::default().write(16, West, 0, 128, w(4)).runs(Z).clone(),
                FaultKind::AddressOutOfRange,
                16,
                "west.mem0.write",
            ),
            (
                "steps below word 0",
                |d| {
                    d.word(West, 3, 0, |_| 0);
                    d.repeat(
                        30,
                        Queue::MemRead(West, 3),
                        Mem::Read { address: 0, stream: w(20) },
                        &[(2, 4, -1)],
                    );
                },
                FaultKind::AddressOutOfRange,
                34,
                "west.mem3.read",
            ),
        ],
    );
    let mut late = vector();
    late.read(19, West, 0, 5, w(20));
    assert_eq!(fault_of(&late), None, "from d_write cycles after the write on, the word can be read");
}

#[test]
fn operands_and_queues() {
    let forward = |d: &mut Draft, alu, delay| {
        *d.runs(Queue::Vxm(1)) = Draft::default()
            .alu(11, 1, VxmOp::Pass, &[Operand::Alu { alu, delay }], Some((w(4), Format::I32)))
            .runs(Queue::Vxm(1))
            .clone();
    };
    let sound = vector();
    let mut forwarded = sound.clone();
    forward(&mut forwarded, 0, 4);
    assert_eq!(fault_of(&forwarded), None);
    check(
        &sound,
        &[
            (
                "delay too short",
                |d| d.runs(Queue::Vxm(1))[0] = pass(11, 0, 3),
                FaultKind::ForwardDelay,
                11,
                "vxm.alu1",
            ),
            (
                "delay too long",
                |d| d.runs(Queue::Vxm(1))[0] = pass(11, 0, 13),
                FaultKind::ForwardDelay,
                11,
                "vxm.alu1",
            ),
            (
                "idle ALU",
                |d| d.runs(Queue::Vxm(1))[0] = pass(11, 2, 4),
                FaultKind::ForwardOfNothing,
                11,
                "vxm.alu1",
            ),
            (
                "no such ALU",
                |d| d.runs(Queue::Vxm(1))[0] = pass(11, 4, 4),
                FaultKind::AddressOutOfRange,
                11,
                "vxm.alu1",
            ),
            (
                "misaligned group",
                |d| {
                    d.alu(3, 2, VxmOp::Pass, &[Operand::Immediate(0)], Some((e(6), Format::F32)));
                },
                FaultKind::MisalignedGroup,
                3,
                "vxm.alu2",
            ),
            (
                "stream past the last",
                |d| {
                    d.word(West, 1, 7, |_| 0).read(2, West, 1, 7, e(32));
                },
                FaultKind::StreamOutOfRange,
                2,
                "west.mem1.read",
            ),
            (
                "runs out of order",
                |d| {
                    d.write(14, West, 0, 6, w(4));
                },
                FaultKind::QueueOrder,
                14,
                "west.mem0.write",
            ),
            (
                "overlapping repeats",
                |d| {
                    d.word(West, 3, 0, |_| 0);
                    d.repeat(
                        2,
                        Queue::MemRead(West, 3),
                        Mem::Read { address: 0, stream: w(9) },
                        &[(2, 3, 0), (4, 1, 0)],
                    );
                },
                FaultKind::QueueOrder,
                5,
                "west.mem3.read",
            ),
            (
                "a link",
                |d| {
                    d.at(4, Queue::C2c(East, 0), isa::C2c::Deskew);
                },
                FaultKind::LinkNotConnected,
                4,
                "east.c2c0",
            ),
            (
                "two faults in a cycle: the lowest place",
                |d| {
                    d.read(4, West, 3, 90, w(20)).read(4, East, 3, 90, w(20)).read(5, East, 2, 90, w(20));
                },
                FaultKind::ReadBeforeWritten,
                4,
                "east.mem3.bank1",
            ),
        ],
    );
}

/// ALU 1 passes on what another ALU did.
fn pass(cycle: u64, alu: u8, delay: u8) -> isa::Run {
    let operands = [Operand::Alu { alu, delay }];
    Draft::default().alu(cycle, 1, VxmOp::Pass, &operands, None).runs(Queue::Vxm(1))[0].clone()
}

#[test]
fn lanes_and_indices() {
    check(
        &permute(),
        &[
            ("lane used twice", |d| d.program.maps[0][3] = 0, FaultKind::BadMap, 9, "east.sxm1"),
            ("lane past the last", |d| d.program.maps[0][3] = 32, FaultKind::BadMap, 9, "east.sxm1"),
            (
                "no such map",
                |d| {
                    d.runs(Queue::Sxm(East, 1))[0].instruction =
                        Instruction::Sxm(Sxm::Permute { map: 1, streams: 1, from: e(5), to: w(6) });
                },
                FaultKind::AddressOutOfRange,
                9,
                "east.sxm1",
            ),
            (
                "result a stagger early",
                |d| d.runs(Queue::MemWrite(West, 0))[0].cycle -= 2,
                FaultKind::EmptySlot,
                17,
                "west.mem0.write",
            ),
        ],
    );
    let window = |draft: &mut Draft, change: fn(&mut Window)| match &mut draft.runs(Queue::MemRead(East, 1))
        [0]
    .instruction
    {
        Instruction::Mem(Mem::Gather { window, .. }) => change(window),
        other => panic!("{other:?}"),
    };
    let mut across = indexed();
    window(&mut across, |window| window.base = 60);
    let mut outside = indexed();
    window(&mut outside, |window| window.base = 122);
    let mut empty = indexed();
    window(&mut empty, |window| window.base = 20);
    for (name, draft, kind, place) in [
        ("window in two banks", across, FaultKind::WindowAcrossBanks, "east.mem1.read"),
        ("window past the end", outside, FaultKind::AddressOutOfRange, "east.mem1.read"),
        ("window of nothing", empty, FaultKind::ReadBeforeWritten, "east.mem1.bank0"),
    ] {
        let fault = fault_of(&draft).unwrap_or_else(|| panic!("{name}: not refused"));
        assert_eq!(
            (fault.kind, fault.cycle, fault.place.to_string().as_str()),
            (kind, 12, place),
            "{name}: {fault}"
        );
    }
    check(
        &indexed(),
        &[
            (
                "missing index byte",
                |d| d.runs(Queue::MemRead(West, 2)).clear(),
                FaultKind::EmptySlot,
                11,
                "east.mem0.write",
            ),
            // The gathers share a slot, which is at position 4 in cycle 21.
            (
                "read into the gathers' slot",
                |d| {
                    d.word(East, 3, 60, |_| 0).read(16, East, 3, 60, e(8));
                },
                FaultKind::SlotOccupied,
                21,
                "east.mem3.read",
            ),
            (
                "scattered word read early",
                |d| {
                    d.read(13, East, 0, 41, e(20));
                },
                FaultKind::WriteInFlight,
                13,
                "east.mem0.bank0",
            ),
        ],
    );
}

#[test]
fn a_fault_says_what_where_and_what_to_do() {
    let mut draft = vector();
    draft.runs(X)[0].cycle += 1;
    let text = fault_of(&draft).unwrap().to_string();
    for part in ["empty slot taken in cycle 7 at vxm.alu0", "s0w is empty at position 0", "`node`", "hint: "]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}

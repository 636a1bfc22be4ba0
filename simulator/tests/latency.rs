//! The delay of every instruction, measured by watching what the machine accepts, is the one in the latency table.

mod support;

use isa::instruction::{AccMode, Operand, Vxm, VxmOp, Window};
use isa::latency::latency;
use isa::stream::Format;
use isa::{Instruction, Mem, Mxm, Queue, SegmentData, Sxm};
use simulator::Machine;
use support::*;

/// The cycles up to 80 in which this probe makes the program run without a fault, on every engine.
fn accepted(probe: impl Fn(u64) -> Draft) -> Vec<u64> {
    let runs = |cycle: &u64| {
        let program = probe(*cycle).program();
        let ran: Vec<bool> = ENGINES
            .iter()
            .map(|engine| Machine::load(*engine, &tiny(), &program).expect("well formed").run().is_ok())
            .collect();
        assert!(ran.iter().all(|ok| *ok == ran[0]), "{ENGINES:?} in cycle {cycle}: {ran:?}");
        ran[0]
    };
    (0..80).filter(runs).collect()
}

/// Lanes of zeros wherever the programs below read.
fn memory() -> Draft {
    let mut draft = Draft::default();
    for side in [East, West] {
        for slice in 0..4 {
            let data = SegmentData::Fill(0);
            draft.program.memory.push(isa::Segment {
                hemisphere: side,
                slice,
                address: 0,
                words: 16,
                data,
                node: 0,
            });
        }
    }
    draft.program.maps.push((0..LANES as u16).collect());
    draft.program.maps.push(vec![0; LANES]);
    draft
}

/// Reads a group of four eastward streams that passes `position` 5 (the SXM) in cycle 15, all four on each of two groups, 0 and 4.
fn feed(draft: &mut Draft) {
    for slice in 0..4u16 {
        draft.read(6 + u64::from(slice), East, slice, 0, e(slice as u8));
        draft.read(4 - u64::from(slice), West, slice, 0, e(4 + slice as u8));
    }
}

fn table(instruction: impl Into<Step>) -> u64 {
    latency(&tiny(), &instruction.into().0)
}

#[test]
fn what_is_put_on_streams() {
    // Each puts on w(8) at `position` when dispatched in `cycle`; a write to west.mem3 at −4 finds it in one cycle only.
    let window = Window { first: 0, count: 4, base: 8, stride: 1 };
    let sxm = Queue::Sxm(East, 0);
    let (streams, from, to, other) = (1, e(0), w(8), e(1));
    let cases: Vec<(Queue, i64, u64, Instruction)> = vec![
        (Queue::MemRead(East, 2), 3, 30, Step::from(Mem::Read { address: 1, stream: w(8) }).0),
        // The group on e(4) is at west.mem0 in cycle 9, so at east.mem1 in cycle 12.
        (Queue::MemRead(East, 1), 2, 12, Step::from(Mem::Gather { window, index: e(4), stream: w(8) }).0),
        (
            Queue::Vxm(2),
            0,
            30,
            Step::from(Vxm {
                op: VxmOp::Pass,
                a: Operand::Immediate(1),
                b: None,
                result: Some((w(8), Format::I8)),
            })
            .0,
        ),
        (sxm, 5, 15, Step::from(Sxm::Shift { lanes: 3, streams, from, to }).0),
        (sxm, 5, 15, Step::from(Sxm::Select { map: 1, streams, from, other, to }).0),
        (sxm, 5, 15, Step::from(Sxm::Permute { map: 0, streams, from, to }).0),
        (sxm, 5, 15, Step::from(Sxm::Distribute { map: 1, streams, from, to }).0),
        (sxm, 5, 15, Step::from(Sxm::Rotate { n: 3, from, to }).0),
    ];
    for (queue, position, cycle, instruction) in cases {
        let found = accepted(|probe| {
            let mut draft = memory();
            feed(&mut draft);
            // The gather stands in for the queue's other reads.
            draft.runs(Queue::MemRead(East, 2)).retain(|_| queue != Queue::MemRead(East, 2));
            draft.runs(Queue::MemRead(East, 1)).retain(|_| queue != Queue::MemRead(East, 1));
            draft.at(cycle, queue, Step(instruction)).write(probe, West, 3, 20, w(8)).clone()
        });
        let hops = (position + 4) as u64;
        assert_eq!(found, [cycle + table(Step(instruction)) + hops], "{instruction:?}");
    }
}

#[test]
fn what_is_forwarded() {
    let found = accepted(|cycle| {
        let mut draft = Draft::default();
        draft.alu(10, 0, VxmOp::Pass, &[Operand::Immediate(1)], None);
        draft.alu(10 + cycle, 1, VxmOp::Pass, &[Operand::Alu { alu: 0, delay: cycle as u8 }], None).clone()
    });
    let vxm = Vxm { op: VxmOp::Pass, a: Operand::Immediate(1), b: None, result: None };
    assert_eq!(found, (table(vxm)..=12).collect::<Vec<_>>());
}

#[test]
fn what_is_written() {
    let write = Mem::Write { address: 20, stream: e(0) };
    let found = accepted(|cycle| {
        let mut draft = memory();
        // At position 1 in cycle 5, and at 3 in cycle 7.
        draft
            .read(0, East, 0, 0, e(0))
            .at(7, Queue::MemWrite(East, 2), write)
            .read(cycle, East, 2, 20, e(9))
            .clone()
    });
    assert_eq!(found.first(), Some(&(7 + table(write))));

    let window = Window { first: 0, count: 4, base: 20, stride: 1 };
    let scatter = Mem::Scatter { window, index: e(4), stream: e(4) };
    let found = accepted(|cycle| {
        let mut draft = memory();
        feed(&mut draft);
        draft.runs(Queue::MemRead(East, 2)).clear();
        draft.at(13, Queue::MemWrite(East, 2), scatter).read(cycle, East, 2, 20, e(9)).clone()
    });
    assert_eq!(found.first(), Some(&(13 + table(scatter))));
}

/// A row loaded in cycle 16, IW, a vector in the given cycle, and ACC.
fn product(format: Format, iw: u64, abc: u64, acc: u64) -> Draft {
    let mut draft = memory();
    feed(&mut draft);
    draft.at(16, load(East), Mxm::Lw { stream: e(0), count: 4, row: 0, row_stride: 1, format });
    draft.at(iw, install(East), Mxm::Iw);
    // East.mem1 at 2 is four hops from the MXM.
    draft.read(abc - 9, East, 1, 0, e(12));
    draft.at(abc, activate(East), Mxm::Abc { stream: e(12), format });
    draft.at(acc, accumulate(East), Mxm::Acc { address: 0, mode: AccMode::Start, emit: Some(w(8)) }).clone()
}

#[test]
fn what_the_planes_do() {
    [Format::I8, Format::F8].into_iter().for_each(what_the_planes_do_in);
}

fn what_the_planes_do_in(format: Format) {
    let product = |iw, abc, acc| product(format, iw, abc, acc);
    let lw = Mxm::Lw { stream: e(0), count: 4, row: 0, row_stride: 1, format };
    let abc = Mxm::Abc { stream: e(12), format };
    let acc = Mxm::Acc { address: 0, mode: AccMode::Start, emit: Some(w(8)) };
    let products = table(abc);
    let earliest = |cycles: Vec<u64>| cycles.first().copied();
    assert_eq!(earliest(accepted(|iw| product(iw, 90, 90 + products))), Some(16 + table(lw)));
    assert_eq!(
        earliest(accepted(|abc| product(30, abc.max(17), abc.max(17) + products))),
        Some(30 + table(Mxm::Iw))
    );
    assert_eq!(accepted(|acc| product(30, 50, acc)), [50 + products]);
    let found = accepted(|write| product(30, 40, 40 + products).write(write, West, 3, 20, w(8)).clone());
    assert_eq!(found, [40 + products + table(acc) + 6 + 4]);
}

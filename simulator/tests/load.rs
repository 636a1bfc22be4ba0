//! Programs that no chip could execute are refused before they run.

mod support;

use isa::instruction::{Operand, VxmOp};
use isa::{Instruction, Mem, Queue, Segment, SegmentData};
use simulator::Machine;
use support::*;

/// What the problem must say, and the damage.
type Case = (&'static str, fn(&mut Draft));

const X: Queue = Queue::MemRead(East, 0);

#[test]
fn malformed_programs_are_not_loaded() {
    let cases: [Case; 9] = [
        ("does not belong in this queue", |d| {
            d.at(30, Queue::MemRead(East, 0), Mem::Write { address: 0, stream: e(0) });
        }),
        ("no queue east.mem4.read", |d| {
            d.read(30, East, 4, 0, e(0));
        }),
        ("instruction control is not simulated", |d| {
            d.runs(X)[0].instruction = Instruction::Icu(isa::Icu::Sync)
        }),
        ("takes 2 operands", |d| {
            d.alu(30, 0, VxmOp::Add, &[Operand::Immediate(0)], None);
        }),
        ("two segments hold word 1 of east.mem0", |d| {
            d.word(East, 0, 1, |_| 0);
        }),
        ("31 bytes for 1 words of 32", |d| {
            let data = SegmentData::Bytes(vec![0; 31].into());
            d.program.memory.push(Segment {
                hemisphere: West,
                slice: 0,
                address: 0,
                words: 1,
                data,
                node: 0,
            });
        }),
        ("its stripes do not fit", |d| {
            d.program.ports[0].parts[0].stripes[0].pop();
        }),
        ("its shape [3]", |d| d.program.ports[0].shape = vec![3]),
        ("at least one time each", |d| {
            d.repeat(30, X, Mem::Read { address: 1, stream: e(0) }, &[(0, 1, 0)]);
        }),
    ];
    for (words, damage) in cases {
        let mut draft = vector();
        damage(&mut draft);
        for engine in ENGINES {
            let problems = Machine::load(*engine, &tiny(), &draft.program())
                .err()
                .unwrap_or_else(|| panic!("{engine:?}, {words}: loaded"));
            assert!(problems.iter().any(|problem| problem.contains(words)), "{words}: {problems:?}");
        }
    }
    let mut two = vector().program();
    two.chips.push(two.chips[0].clone());
    for engine in ENGINES {
        assert!(Machine::load(*engine, &tiny(), &two).err().unwrap()[0].contains("2 chips"));
    }
}

//! A second engine that is the first with one thing wrong: each wrong is found, at its place.

use isa::{Chip, Direction, Hemisphere, Program, Segment, SegmentData, Stream};

use super::*;
use crate::image::Image;

/// What the double does wrong.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    Nothing,
    /// The value of an event: this lane is another.
    Lane(usize, usize),
    Word(usize),
    Cycle(usize),
    /// An event does not happen.
    Missing(usize),
    /// One happens twice.
    Doubled(usize),
    Cycles,
    Fault,
    NoFault,
    Known,
    /// A fault is found before the writes of its cycle.
    Early,
}

/// The reference with something wrong.
struct Double(reference::Machine, Wrong);

impl Execute for Double {
    fn name(&self) -> &'static str {
        "double"
    }

    fn run_watched(&mut self, watch: Watch<'_>) -> Result<Report, Fault> {
        let wrong = self.1;
        let mut count = 0;
        let mut result = self.0.run_watched(&mut |event| {
            let mut value = event.value.to_vec();
            let mut other = *event;
            match wrong {
                Wrong::Lane(number, lane) if number == count => value[lane] ^= 0x10,
                Wrong::Word(number) if number == count => other.word += 1,
                Wrong::Cycle(number) if number == count => other.cycle += 1,
                Wrong::Doubled(number) if number == count => watch(event),
                _ => {}
            }
            other.value = &value;
            let lost = match wrong {
                Wrong::Missing(number) => number == count,
                Wrong::Early => event.cycle >= 6,
                _ => false,
            };
            if !lost {
                watch(&other);
            }
            count += 1;
        });
        match (&mut result, wrong) {
            (Ok(report), Wrong::Cycles) => report.cycles += 1,
            (Err(fault), Wrong::Fault) => fault.detail.push('!'),
            (Err(_), Wrong::NoFault) => result = Ok(Report::default()),
            _ => {}
        }
        result
    }

    fn values_known(&self) -> bool {
        self.0.values_known() != matches!(self.1, Wrong::Known)
    }
}

impl Words for Double {
    fn write_word(&mut self, slice: usize, word: u32, value: &[u8]) {
        self.0.write_word(slice, word, value);
    }

    fn read_word(&self, slice: usize, word: u32, value: &mut [u8]) -> bool {
        self.0.read_word(slice, word, value)
    }
}

/// Copies words 0 to 3 of east.mem0 to words 8 to 11 of east.mem1; with a hazard at the last, if wanted.
fn program(chip: &Chip, hazard: bool) -> Program {
    let stream = Stream { number: 3, direction: Direction::East };
    let run = |cycle, instruction| {
        let repeats = vec![isa::Repeat { count: 4, interval: 1, step: 1, window_step: 0 }];
        Run { cycle, instruction: Instruction::Mem(instruction), repeats, node: 1 }
    };
    let bytes: Vec<u8> = (0..4 * chip.lanes).map(|index| index as u8).collect();
    let mut one = ChipProgram::default();
    let words = if hazard { 3 } else { 4 };
    one.memory.push(Segment {
        hemisphere: Hemisphere::East,
        slice: 0,
        address: 0,
        words,
        data: SegmentData::Bytes(bytes[..words as usize * chip.lanes].to_vec().into()),
        node: 1,
    });
    let arrives = u64::from(chip.latency.read) + 1;
    let read = Mem::Read { address: 0, stream };
    let write = Mem::Write { address: 8, stream };
    one.queues.insert(Queue::MemRead(Hemisphere::East, 0), vec![run(0, read)]);
    one.queues.insert(Queue::MemWrite(Hemisphere::East, 1), vec![run(arrives, write)]);
    Program { chip: chip.name.clone(), nodes: vec![String::new(), "copy".to_owned()], chips: vec![one] }
}

fn tandem(wrong: Wrong, hazard: bool) -> Tandem<reference::Machine, Double> {
    let chip = Chip::preset("tsp-v1").expect("a preset");
    let program = program(&chip, hazard);
    let machine = || {
        let images = Image::all(&chip, &program.chips[0]).expect("no overlap");
        reference::Machine::new(&chip, &program, 0, images)
    };
    Tandem::new(machine(), Double(machine(), wrong), program.chips[0].clone(), program.nodes.clone())
}

#[test]
fn equal_engines_agree_run_after_run() {
    for hazard in [false, true] {
        let mut tandem = tandem(Wrong::Nothing, hazard);
        let expected = tandem.first.clone().run();
        assert_eq!(expected.is_err(), hazard);
        assert_eq!(tandem.run(), expected);
        assert_eq!(tandem.run().is_err(), hazard);
    }
}

#[test]
fn every_difference_is_found_at_its_place() {
    let arrives = u64::from(Chip::preset("tsp-v1").expect("a preset").latency.read) + 1;
    let cases = [
        (
            Wrong::Lane(2, 7),
            2,
            "write 2: word 10 of east.mem1",
            "1 lanes differ; lane 7 is 0x87 to the reference engine, 0x97",
        ),
        (Wrong::Word(1), 1, "write 1: ", "the double engine word 10 of east.mem1"),
        (Wrong::Cycle(0), 1, "write 0: ", "the double engine word 8"),
        (Wrong::Missing(1), 2, "write 1: ", "the reference engine writes word 9"),
        (Wrong::Missing(3), 3, "write 3: the reference engine writes word 11", "nothing more"),
        (Wrong::Doubled(3), 3, "write 4: the double engine writes word 11", "nothing more"),
    ];
    for (wrong, offset, start, part) in cases {
        let fault = tandem(wrong, false).run().expect_err("a difference");
        assert_eq!(
            (fault.kind, fault.cycle),
            (FaultKind::EnginesDiffer, arrives + offset),
            "{wrong:?}: {fault}"
        );
        assert_eq!((fault.place.to_string().as_str(), fault.node.as_str()), ("east.mem1.write", "copy"));
        assert!(
            fault.detail.starts_with(start) && fault.detail.contains(part),
            "{wrong:?}: {}",
            fault.detail
        );
        assert!(fault.to_string().contains("please report"));
    }
}

#[test]
fn results_are_compared_too() {
    for (wrong, hazard, part) in [
        (Wrong::Cycles, false, "and the double engine"),
        (Wrong::Known, false, "values are known to the reference engine, unknown to the double one"),
        (Wrong::Fault, true, "holds nothing!"),
        (Wrong::NoFault, true, "the fault ReadBeforeWritten"),
    ] {
        let fault = tandem(wrong, hazard).run().expect_err("a difference");
        assert_eq!(fault.kind, FaultKind::EnginesDiffer);
        assert!(fault.detail.contains(part), "{wrong:?}: {}", fault.detail);
    }
}

#[test]
fn writes_in_the_cycle_of_a_fault_may_be_missing() {
    let fault = tandem(Wrong::Early, true).run().expect_err("a hazard");
    assert_eq!(fault.kind, FaultKind::ReadBeforeWritten);
}

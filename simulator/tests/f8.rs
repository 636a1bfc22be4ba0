//! F8 on the machine: every code through an ALU, hand-made roundings, products against f64, and chips that have no F8.

mod support;

use isa::instruction::{Operand, VxmOp};
use isa::stream::Format;
use isa::{Element, Mem, Mxm, PortKind, Queue, Segment, SegmentData};
use simulator::{Array, Machine};
use support::*;

/// All of F8, vector by vector.
const CODES: usize = 256 / LANES;

/// A pass from one format to another of `CODES` vectors: from input "x" in east.mem0 and so on, at word 0, to "y" at word 40.
fn pass(from: (Format, Element), to: (Format, Element)) -> Draft {
    let mut draft = Draft::default();
    let repeats = [(CODES as u32, 1, 1)];
    let slices = |width: u8| (0..u16::from(width)).map(|slice| (East, slice)).collect::<Vec<_>>();
    draft.port("x", PortKind::Input, from.1, CODES as u32, 0, &slices(from.0.streams()));
    draft.port("y", PortKind::Output, to.1, CODES as u32, 40, &slices(to.0.streams()));
    for byte in 0..from.0.streams() {
        let slice = u16::from(byte);
        // Read takes 5, and east.mem0 is one hop from the VXM: there in cycle 10.
        let read = Mem::Read { address: 0, stream: w(byte) };
        draft.repeat(4 - u64::from(byte), Queue::MemRead(East, slice), read, &repeats);
    }
    let (a, result) = (Operand::Stream(w(0), from.0), Some((e(8), to.0)));
    let vxm = isa::Vxm { op: VxmOp::Pass, a, b: None, result };
    draft.repeat(10, Queue::Vxm(0), vxm, &[(CODES as u32, 1, 0)]);
    for byte in 0..to.0.streams() {
        let slice = u16::from(byte);
        let write = Mem::Write { address: 40, stream: e(8 + byte) };
        draft.repeat(10 + 4 + 1 + u64::from(byte), Queue::MemWrite(East, slice), write, &repeats);
    }
    draft
}

/// What "y" is when "x" was this; the same on every engine.
fn through(draft: &Draft, x: &Array) -> Array {
    let outcomes: Vec<Array> = ENGINES
        .iter()
        .map(|engine| {
            let mut machine = Machine::load(*engine, &tiny(), &draft.program())
                .unwrap_or_else(|problems| panic!("{problems:?}"));
            machine.write("x", x).unwrap();
            machine.run().unwrap_or_else(|fault| panic!("{fault}"));
            machine.read("y").unwrap()
        })
        .collect();
    // As bits, since a NaN is no equal of itself.
    let bits = |array: &Array| match array {
        Array::F32(values) => values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>(),
        Array::I32(values) => values.iter().map(|value| *value as u32).collect(),
        Array::Bool(values) => values.iter().map(|value| u32::from(*value)).collect(),
    };
    assert!(outcomes.iter().all(|outcome| bits(outcome) == bits(&outcomes[0])), "{outcomes:?}");
    outcomes[0].clone()
}

/// The number of a code, from the definition of the format; NaN where that is what it is.
fn number(code: u8) -> f64 {
    let (exponent, mantissa) = (i32::from(code >> 3 & 15), f64::from(code & 7));
    let magnitude = match (exponent, code & 7) {
        (15, 7) => f64::NAN,
        (0, _) => mantissa * 2f64.powi(-9),
        _ => (8.0 + mantissa) * 2f64.powi(exponent - 10),
    };
    if code >= 0x80 { -magnitude } else { magnitude }
}

#[test]
fn every_code_is_widened_exactly_and_goes_round() {
    let codes = Array::I32((0..=u8::MAX).map(|code| i32::from(code as i8)).collect());
    assert_eq!(through(&pass((Format::F8, Element::I8), (Format::F8, Element::I8)), &codes), codes);
    let Array::F32(wide) = through(&pass((Format::F8, Element::I8), (Format::F32, Element::F32)), &codes)
    else {
        panic!("a port of F32")
    };
    for (code, wide) in (0..=u8::MAX).zip(wide) {
        let exact = number(code);
        assert!(f64::from(wide) == exact || wide.is_nan() && exact.is_nan(), "{code:#04x}: {wide} {exact}");
        assert_eq!(wide.is_sign_negative(), code >= 0x80, "{code:#04x}");
    }
}

#[test]
fn results_are_rounded_to_nearest_even_and_saturated() {
    let least = 2f32.powi(-9);
    let nan = f32::NAN;
    let table: [(f32, f32); 22] = [
        (0.0, 0.0),
        (1.0, 1.0),
        // Ties, and what is next to them.
        (1.0625, 1.0),
        (1.062_500_1, 1.125),
        (1.1875, 1.25),
        (1.187_499_9, 1.125),
        (1.9375, 2.0),
        (17.0, 16.0),
        (19.0, 20.0),
        (0.5 * least, 0.0),
        (0.500_000_1 * least, least),
        (1.5 * least, 2.0 * least),
        (7.5 * least, 8.0 * least),
        (f32::MIN_POSITIVE, 0.0),
        // Saturation.
        (448.0, 448.0),
        (463.0, 448.0),
        (464.0, 448.0),
        (465.0, 448.0),
        (1e9, 448.0),
        (f32::MAX, 448.0),
        (f32::INFINITY, 448.0),
        (nan, nan),
    ];
    let mut x = vec![0.0; 256];
    for (place, (value, _)) in table.iter().enumerate() {
        (x[2 * place], x[2 * place + 1]) = (*value, -value);
    }
    for to in [Element::F8, Element::I8] {
        let y = through(&pass((Format::F32, Element::F32), (Format::F8, to)), &Array::F32(x.clone()));
        for (place, (value, expected)) in table.iter().enumerate() {
            match &y {
                Array::F32(y) => {
                    for (sign, y) in [(1.0, y[2 * place]), (-1.0, y[2 * place + 1])] {
                        let expected = sign * expected;
                        assert!(y == expected || y.is_nan() && expected.is_nan(), "{value} became {y}");
                    }
                }
                Array::I32(y) if value.is_nan() => {
                    assert_eq!([y[2 * place], y[2 * place + 1]], [0x7f, -1], "one NaN of each sign");
                }
                Array::I32(y) => assert_eq!(y[2 * place] - 128, y[2 * place + 1], "{value}: only the sign"),
                Array::Bool(_) => panic!("a port of numbers"),
            }
        }
    }
}

#[test]
fn products_are_those_of_f64() {
    let mut state = 7u64;
    let mut code = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let code = (state >> 56) as u8;
        if code & 0x7f == 0x7f { code ^ 1 } else { code }
    };
    let mut draft = matrix(Format::F8);
    for segment in &mut draft.program.memory {
        segment.data = SegmentData::Bytes((0..LANES).map(|_| code()).collect::<Vec<u8>>().into());
    }
    let word = |slice: u16, address: u32| {
        let held = |segment: &&Segment| segment.slice == slice && segment.address == address;
        match &draft.program.memory.iter().find(held).expect("the matrix's memory").data {
            SegmentData::Bytes(bytes) => bytes.iter().map(|code| number(*code)).collect::<Vec<f64>>(),
            other => panic!("{other:?}"),
        }
    };
    let expected = (0..LANES).map(|row| {
        let weights = word(row as u16 % 4, row as u32 / 4);
        let dot = |vector: u32| -> f32 {
            weights.iter().zip(word(0, 40 + vector)).map(|(w, x)| w * x).sum::<f64>() as f32
        };
        // Each product is rounded once; the accumulator adds in f32.
        dot(0) + dot(1)
    });
    let expected = Array::F32(expected.collect());
    for engine in ENGINES {
        let mut machine = Machine::load(*engine, &tiny(), &draft.program()).unwrap();
        machine.run().unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(machine.read("y").as_ref(), Ok(&expected), "{engine:?}");
    }
}

#[test]
fn each_plane_works_by_itself_and_sums_of_floats_add_up() {
    // A product of F8 joins the sum of an F16 product: both are F32.
    let mut draft = matrix(Format::F16);
    let last = draft.runs(accumulate(East)).pop().unwrap();
    draft.runs(activate(East)).pop();
    draft.runs(Queue::MemRead(East, 0)).pop();
    draft.runs(Queue::MemRead(East, 1)).pop();
    assert!(matches!(last.instruction, isa::Instruction::Mxm(Mxm::Acc { .. })));
    let again = matrix(Format::F8);
    // The F8 program, later by so many cycles, with its own words at 8 and 42 on; of its ACCs only one that adds.
    let later = 100;
    for (queue, runs) in &again.program.queues {
        for run in runs {
            let mut run = run.clone();
            run.cycle += later;
            if let isa::Instruction::Mem(Mem::Read { address, .. }) = &mut run.instruction {
                if *address == 41 {
                    continue;
                }
                *address += if *address == 40 { 2 } else { 20 };
            }
            if matches!(run.instruction, isa::Instruction::Mxm(Mxm::Abc { .. }))
                && run.cycle != later + first_abc(Format::F8)
            {
                continue;
            }
            if let isa::Instruction::Mxm(Mxm::Acc { mode, .. }) = &mut run.instruction {
                if *mode == isa::instruction::AccMode::Start {
                    continue;
                }
                run.cycle -= 1;
            }
            if matches!(queue, Queue::MemWrite(..)) {
                run.cycle -= 1;
            }
            draft.program.queues.entry(*queue).or_default().push(run);
        }
    }
    for runs in draft.program.queues.values_mut() {
        runs.retain(|run| {
            !matches!(run.instruction, isa::Instruction::Mem(Mem::Write { .. })) || run.cycle > later
        });
        runs.sort_by_key(|run| run.cycle);
    }
    let moved = again.program.memory.iter().filter(|segment| segment.address != 41).map(|segment| {
        let address = segment.address + if segment.address == 40 { 2 } else { 20 };
        Segment { address, ..segment.clone() }
    });
    draft.program.memory.extend(moved);
    let y: Vec<f32> = (0..LANES)
        .map(|n| 2 * (0..LANES).map(|k| weight(n, k) * activation(0, k)).sum::<i32>())
        .map(|y| y as f32)
        .collect();
    for engine in ENGINES {
        let mut machine = Machine::load(*engine, &tiny(), &draft.program()).unwrap();
        machine.run().unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(machine.read("y"), Ok(Array::F32(y.clone())), "{engine:?}");
    }
}

#[test]
fn a_chip_without_f8_names_the_instruction() {
    let mut chip = tiny();
    chip.mxm.formats = vec![Format::I8, Format::F16];
    for engine in ENGINES {
        assert!(Machine::load(*engine, &chip, &matrix(Format::I8).program()).is_ok());
        let problems = Machine::load(*engine, &chip, &matrix(Format::F8).program()).err().expect("refused");
        let expected = [
            "east.mxm0.load, run of cycle 10: `LW f8 s0e x4 -> row 0 by 1`",
            "east.mxm0.stream, run of cycle 31: `ABC f8 s8e`",
            "east.mxm0.stream, run of cycle 32: `ABC f8 s8e`",
        ]
        .map(|place| format!("{place}: the planes of tiny multiply in i8, f16, not in f8"));
        assert_eq!(problems, expected);
    }
    // An ALU knows F8 everywhere: only the planes of some chips do not.
    let draft = pass((Format::F8, Element::F8), (Format::F8, Element::F8));
    assert!(Machine::load(ENGINES[0], &chip, &draft.program()).is_ok());
}

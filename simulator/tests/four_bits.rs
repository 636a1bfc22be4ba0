//! Weights of four bits on the machine: tiles against plain arithmetic, beside rows of I8, from constants and from inputs; rows that a plane
//! has not, and chips that load no such weights.

mod support;

use isa::instruction::AccMode;
use isa::stream::Format;
use isa::{Element, Instruction, Mem, Mxm, PortKind, Queue};
use simulator::{Array, Machine};
use support::*;

/// Bytes of a weight vector, by number and lane: every one of them comes.
fn byte(vector: usize, lane: usize) -> u8 {
    (vector * 37 + lane * 11 + vector * lane) as u8
}

/// What a code of four bits is in the array, from the definitions of the formats.
fn value(format: Format, code: u8) -> i32 {
    let signed = if code < 8 { i32::from(code) } else { i32::from(code) - 16 };
    let doubled = [0, 1, 2, 3, 4, 6, 8, 12][usize::from(code % 8)];
    match format {
        Format::I4 => signed,
        _ => doubled * if code < 8 { 1 } else { -1 },
    }
}

/// The weight from input `k` to output `n` of [`products`].
fn held(format: Format, pairs: usize, n: usize, k: usize) -> i32 {
    let loads = pairs / 4;
    if n < 2 * pairs {
        let byte = byte(n / 2, k);
        return value(format, if n % 2 == 0 { byte & 0xf } else { byte >> 4 });
    }
    let row = n - 2 * pairs;
    i32::from(byte(4 * loads + row, k) as i8)
}

/// y = W (a₀ + a₁): the first `pairs` pairs of rows come in `format`, all others in I8. The vectors of slice 0 are input "w" if that is asked
/// for, and constants otherwise, as those of the other slices.
fn products(format: Format, pairs: usize, input: bool) -> Draft {
    let mut draft = Draft::default();
    let (short, long) = (pairs / 4, (LANES - 2 * pairs) / 4);
    let loads = short + long;
    for slice in 0..4 {
        for load in (0..loads).filter(|_| slice > 0 || !input) {
            draft.word(East, slice as u16, load as u32, |lane| byte(4 * load + slice, lane));
        }
        let read = Mem::Read { address: 0, stream: e(slice as u8) };
        draft.repeat(slice as u64, Queue::MemRead(East, slice as u16), read, &[(loads as u32, 1, 1)]);
    }
    if input {
        draft.port("w", PortKind::Input, Element::I8, loads as u32, 0, &[(East, 0)]);
    }
    let lw = |row, format| Mxm::Lw { stream: e(0), count: 4, row, row_stride: 1, format };
    if short > 0 {
        draft.repeat(10, load(East), lw(0, format), &[(short as u32, 1, 4)]);
    }
    if long > 0 {
        let first = lw(2 * pairs as u16, Format::I8);
        draft.repeat(10 + short as u64, load(East), first, &[(long as u32, 1, 4)]);
    }
    let full = 10 + loads as u64 - 1 + 6;
    draft.at(full, install(East), Mxm::Iw);
    let abc = full + 8;
    for vector in 0..2 {
        draft.word(East, 0, 40 + vector as u32, |k| activation(vector, k) as u8);
        draft.read(abc + vector as u64 - 10, East, 0, 40 + vector as u32, e(8));
        draft.at(abc + vector as u64, activate(East), Mxm::Abc { stream: e(8), format: Format::I8 });
    }
    let product = abc + 11 + 2;
    draft.at(product, accumulate(East), Mxm::Acc { address: 2, mode: AccMode::Start, emit: None });
    draft.at(product + 1, accumulate(East), Mxm::Acc { address: 2, mode: AccMode::Add, emit: Some(w(12)) });
    for byte in 0..4 {
        draft.write(product + 1 + 9 + 2 + byte, East, 3 - byte as u16, 50, w(12 + byte as u8));
    }
    draft.port("y", PortKind::Output, Element::I32, 1, 50, &[3, 2, 1, 0].map(|slice| (East, slice)));
    draft
}

#[test]
fn products_are_those_of_plain_arithmetic() {
    for format in [Format::I4, Format::F4] {
        // A whole tile in half of the cycles; one with rows of I8; one of them only.
        for (pairs, input) in [(16, false), (16, true), (8, false), (8, true), (4, true), (0, false)] {
            let draft = products(format, pairs, input);
            let y: Vec<i32> = (0..LANES)
                .map(|n| {
                    let dot = |k| held(format, pairs, n, k) * (activation(0, k) + activation(1, k));
                    (0..LANES).map(dot).sum()
                })
                .collect();
            let loads = pairs / 4 + (LANES - 2 * pairs) / 4;
            let given = (0..loads).flat_map(|load| (0..LANES).map(move |k| byte(4 * load, k) as i8));
            let given = Array::I32(given.map(i32::from).collect());
            for engine in ENGINES {
                let mut machine = Machine::load(*engine, &tiny(), &draft.program())
                    .unwrap_or_else(|problems| panic!("{problems:?}"));
                if input {
                    machine.write("w", &given).unwrap();
                }
                machine.run().unwrap_or_else(|fault| panic!("{fault}"));
                let expected = Ok(Array::I32(y.clone()));
                assert_eq!(machine.read("y"), expected, "{engine:?} {format} {pairs} {input}");
            }
        }
    }
}

/// The fault that the program has once its LW is another; the same on every engine.
fn fault(row: u16, row_stride: u16) -> String {
    let mut draft = products(Format::I4, 16, false);
    for run in draft.program.queues.entry(load(East)).or_default() {
        if let Instruction::Mxm(lw) = run.instruction {
            let Mxm::Lw { stream, count, format, .. } = lw else { continue };
            run.instruction = Instruction::Mxm(Mxm::Lw { stream, count, row, row_stride, format });
        }
    }
    let faults: Vec<String> = ENGINES
        .iter()
        .map(|engine| {
            let mut machine = Machine::load(*engine, &tiny(), &draft.program())
                .unwrap_or_else(|problems| panic!("{problems:?}"));
            machine.run().expect_err("a fault").to_string()
        })
        .collect();
    assert!(faults.iter().all(|fault| *fault == faults[0]), "{faults:?}");
    faults[0].clone()
}

#[test]
fn pairs_of_rows_past_the_last_row_and_rows_loaded_twice_are_faults() {
    // The last of four LWs takes pairs 13 to 16; the plane has rows 0 to 31.
    let past = fault(1, 1);
    assert!(past.contains("row 32"), "{past}");
    let twice = fault(0, 0);
    assert!(twice.contains("row 0"), "{twice}");
}

#[test]
fn a_chip_without_them_names_the_instruction() {
    let mut chip = tiny();
    chip.mxm.formats = Format::OF_PLANES.to_vec();
    for engine in ENGINES {
        assert!(Machine::load(*engine, &chip, &products(Format::I4, 0, false).program()).is_ok());
        let problems = Machine::load(*engine, &chip, &products(Format::F4, 16, false).program()).err();
        let expected = "east.mxm0.load, run of cycle 10: `LW f4 s0e x4 -> row 0 by 1`: the planes of tiny load weights in i8, f8, f16, not in f4";
        assert_eq!(problems.expect("refused"), [expected]);
    }
}

#[test]
fn nothing_but_lw_takes_them() {
    let mut draft = products(Format::I4, 16, false);
    for run in draft.program.queues.entry(activate(East)).or_default() {
        run.instruction = Instruction::Mxm(Mxm::Abc { stream: e(8), format: Format::I4 });
    }
    for engine in ENGINES {
        let problems = Machine::load(*engine, &tiny(), &draft.program()).err().expect("refused");
        let refused = "the planes of tiny multiply in i8, f8, f16, not in i4";
        assert!(problems.iter().all(|problem| problem.ends_with(refused)), "{problems:?}");
        assert_eq!(problems.len(), 2);
    }
}

//! Weights of four bits, and of eight that become F16, on the machine: tiles against plain arithmetic, from constants and from inputs; rows that a
//! buffer has not, and chips that load no such weights.

mod support;

use half::f16;
use isa::instruction::AccMode;
use isa::stream::Format;
use isa::{Element, Instruction, Mem, Mxm, PortKind, Queue};
use simulator::{Array, Machine};
use support::*;

/// Vectors that arrive together.
const TOGETHER: usize = 2;

/// Vectors of a tile: two of scales, and sixteen pairs of rows; or a row each.
fn vectors(format: Format) -> usize {
    if format == Format::F8Wide { LANES } else { 18 }
}

/// The scale of weight row n: 32 lanes are one block.
fn scale(n: usize) -> f32 {
    [0.25, 1.0, -2.0, 0.0, 0.75][n % 5]
}

/// The byte of a vector in a lane: scales, low bytes and high bytes, and then codes, every one of which comes; of F8 those from 1 to 2, and negative.
fn byte(format: Format, vector: usize, lane: usize) -> u8 {
    let any = (vector * 37 + lane * 11 + vector * lane) as u8;
    match vector {
        _ if format == Format::F8Wide => any & 0x87 | 0x38,
        0 | 1 => f16::from_f32(scale(lane)).to_le_bytes()[vector],
        _ => any,
    }
}

/// The weight from input `k` to output `n`, from the definitions of the formats.
fn weight(format: Format, n: usize, k: usize) -> f32 {
    if format == Format::F8Wide {
        let code = byte(format, n, k);
        let magnitude = 1.0 + f32::from(code & 7) / 8.0;
        return if code < 0x80 { magnitude } else { -magnitude };
    }
    let byte = byte(format, 2 + n / 2, k);
    let code = if n.is_multiple_of(2) { byte & 0xf } else { byte >> 4 };
    let value = match format {
        Format::I4 => f32::from(code) - if code < 8 { 0.0 } else { 16.0 },
        _ => {
            let magnitude = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][usize::from(code % 8)];
            if code < 8 { magnitude } else { -magnitude }
        }
    };
    value * scale(n)
}

/// y = W (a₀ + a₁). The vectors of slice 0 are input "w" if that is asked for, and constants otherwise, as those of the other slices.
fn products(format: Format, input: bool) -> Draft {
    let mut draft = Draft::default();
    let loads = vectors(format) / TOGETHER;
    for slice in 0..TOGETHER {
        for load in (0..loads).filter(|_| slice > 0 || !input) {
            draft.word(East, slice as u16, load as u32, |lane| byte(format, TOGETHER * load + slice, lane));
        }
        let read = Mem::Read { address: 0, stream: e(slice as u8) };
        draft.repeat(slice as u64, Queue::MemRead(East, slice as u16), read, &[(loads as u32, 1, 1)]);
    }
    if input {
        draft.port("w", PortKind::Input, Element::I8, loads as u32, 0, &[(East, 0)]);
    }
    let lw = Mxm::Lw { stream: e(0), count: TOGETHER as u8, row: 0, row_stride: 1, format };
    draft.repeat(10, load(East), lw, &[(loads as u32, 1, TOGETHER as i32)]);
    let full = 10 + loads as u64 - 1 + 6;
    draft.at(full, install(East), Mxm::Iw);
    let abc = full + 8;
    for vector in 0..2 {
        let at = abc + 2 * vector as u64;
        for half in 0..2 {
            let value = |k| f16::from_f32(activation(vector, k) as f32).to_le_bytes()[half];
            draft.word(East, half as u16, 40 + vector as u32, value);
            draft.read(at + half as u64 - 10, East, half as u16, 40 + vector as u32, e(8 + half as u8));
        }
        draft.at(at, activate(East), Mxm::Abc { stream: e(8), format: Format::F16 });
    }
    let product = abc + 11 + 2;
    draft.at(product, accumulate(East), Mxm::Acc { address: 2, mode: AccMode::Start, emit: None });
    draft.at(product + 2, accumulate(East), Mxm::Acc { address: 2, mode: AccMode::Add, emit: Some(w(12)) });
    for byte in 0..4 {
        draft.write(product + 2 + 9 + 2 + byte, East, 3 - byte as u16, 50, w(12 + byte as u8));
    }
    draft.port("y", PortKind::Output, Element::F32, 1, 50, &[3, 2, 1, 0].map(|slice| (East, slice)));
    draft
}

#[test]
fn products_are_those_of_plain_arithmetic() {
    for format in [Format::I4, Format::F4, Format::F8Wide] {
        for input in [false, true] {
            let draft = products(format, input);
            let activations = |k| (activation(0, k) + activation(1, k)) as f32;
            // All of these are exact.
            let sum = |n| (0..LANES).map(|k| weight(format, n, k) * activations(k)).sum();
            let y: Vec<f32> = (0..LANES).map(sum).collect();
            let loads = vectors(format) / TOGETHER;
            let given =
                (0..loads).flat_map(|at| (0..LANES).map(move |k| byte(format, TOGETHER * at, k) as i8));
            let given = Array::I32(given.map(i32::from).collect());
            for engine in ENGINES {
                let mut machine = Machine::load(*engine, &tiny(), &draft.program())
                    .unwrap_or_else(|problems| panic!("{problems:?}"));
                if input {
                    machine.write("w", &given).unwrap();
                }
                machine.run().unwrap_or_else(|fault| panic!("{fault}"));
                assert_eq!(machine.read("y"), Ok(Array::F32(y.clone())), "{engine:?} {format} {input}");
            }
        }
    }
}

/// The fault that the program has once its LW is another; the same on every engine.
fn fault(change: impl Fn(&mut u16, &mut u16)) -> String {
    let mut draft = products(Format::I4, false);
    for run in draft.program.queues.entry(load(East)).or_default() {
        if let Instruction::Mxm(Mxm::Lw { row, row_stride, .. }) = &mut run.instruction {
            change(row, row_stride);
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
fn rows_past_the_buffer_and_rows_loaded_twice_are_faults() {
    // The last of nine LWs takes rows 17 and 18; scales and pairs are rows 0 to 17.
    let past = fault(|row, _| *row = 1);
    assert!(past.contains("row 18"), "{past}");
    let twice = fault(|_, row_stride| *row_stride = 0);
    assert!(twice.contains("row 0"), "{twice}");
}

#[test]
fn a_chip_without_them_names_the_instruction() {
    let mut chip = tiny();
    chip.mxm.formats = Format::OF_PLANES.to_vec();
    for engine in ENGINES {
        let problems = Machine::load(*engine, &chip, &products(Format::F4, false).program()).err();
        let expected = "east.mxm0.load, run of cycle 10: `LW f4 s0e x2 -> row 0 by 1`: the planes of tiny load weights in i8, f8, f16, not in f4";
        assert_eq!(problems.expect("refused"), [expected]);
    }
}

#[test]
fn nothing_but_lw_takes_them() {
    let mut draft = products(Format::I4, false);
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

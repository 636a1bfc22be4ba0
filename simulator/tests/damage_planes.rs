//! Correct matrix products, each damaged in one way, are refused: with the right fault, in the right cycle, at the right place.

mod support;

use isa::instruction::AccMode;
use isa::stream::Format;
use isa::{Instruction, Mem, Mxm, Queue};
use simulator::FaultKind;
use support::damage::{Case, check, fault_of};
use support::*;

/// Changes the first instruction of an MXM queue.
fn alter(draft: &mut Draft, queue: Queue, change: impl Fn(&mut Mxm)) {
    match &mut draft.runs(queue)[0].instruction {
        Instruction::Mxm(mxm) => change(mxm),
        other => panic!("{other:?} in {queue}"),
    }
}

#[test]
fn weights() {
    let cases: &[Case] = &[
        (
            "dropped IW",
            |d| d.runs(install(East)).clear(),
            FaultKind::WeightsNotInstalled,
            31,
            "east.mxm0.stream",
        ),
        (
            "late IW",
            |d| d.runs(install(East))[0].cycle += 1,
            FaultKind::WeightsNotInstalled,
            31,
            "east.mxm0.stream",
        ),
        (
            "IW before all rows",
            |d| d.runs(install(East))[0].cycle = 12,
            FaultKind::WeightsNotLoaded,
            12,
            "east.mxm0.install",
        ),
        (
            "doubled IW",
            |d| {
                d.at(25, install(East), Mxm::Iw);
            },
            FaultKind::WeightsNotLoaded,
            25,
            "east.mxm0.install",
        ),
        (
            "rows loaded twice",
            |d| d.runs(load(East))[0].repeats[0].step = 0,
            FaultKind::BufferOverwritten,
            17,
            "east.mxm0.load",
        ),
        (
            "rows past the last",
            |d| {
                alter(d, load(East), |lw| {
                    if let Mxm::Lw { row, .. } = lw {
                        *row = 1
                    }
                })
            },
            FaultKind::AddressOutOfRange,
            23,
            "east.mxm0.load",
        ),
        (
            "too many load streams",
            |d| {
                alter(d, load(East), |lw| {
                    if let Mxm::Lw { count, .. } = lw {
                        *count = 5
                    }
                })
            },
            FaultKind::TooManyLoadStreams,
            10,
            "east.mxm0.load",
        ),
        (
            "dropped weight word",
            |d| d.runs(Queue::MemRead(East, 2))[0].repeats[0].count -= 1,
            FaultKind::EmptySlot,
            17,
            "east.mxm0.load",
        ),
        (
            "swapped streams",
            |d| {
                alter(d, load(East), |lw| {
                    if let Mxm::Lw { stream, .. } = lw {
                        *stream = e(1)
                    }
                })
            },
            FaultKind::EmptySlot,
            10,
            "east.mxm0.load",
        ),
    ];
    for format in [Format::I8, Format::F8] {
        check(&matrix(format), cases);
    }
}

#[test]
fn products() {
    let cases: &[Case] = &[
        (
            "dropped ACC",
            |d| {
                d.runs(accumulate(East)).pop();
            },
            FaultKind::ProductDropped,
            45,
            "east.mxm0.stream",
        ),
        (
            "early ACC",
            |d| d.runs(accumulate(East))[0].cycle -= 1,
            FaultKind::NoProduct,
            43,
            "east.mxm0.accumulate",
        ),
        (
            "late ACC",
            |d| d.runs(accumulate(East))[1].cycle += 1,
            FaultKind::ProductDropped,
            45,
            "east.mxm0.stream",
        ),
        (
            "dropped ABC",
            |d| {
                d.runs(activate(East)).pop();
            },
            FaultKind::NoProduct,
            45,
            "east.mxm0.accumulate",
        ),
        (
            "sum never started",
            |d| {
                alter(d, accumulate(East), |acc| {
                    if let Mxm::Acc { mode, .. } = acc {
                        *mode = AccMode::Add
                    }
                })
            },
            FaultKind::AccumulatorNotStarted,
            44,
            "east.mxm0.accumulate",
        ),
        (
            "no such accumulator",
            |d| {
                alter(d, accumulate(East), |acc| {
                    if let Mxm::Acc { address, .. } = acc {
                        *address = 8
                    }
                })
            },
            FaultKind::AddressOutOfRange,
            44,
            "east.mxm0.accumulate",
        ),
        (
            "sum sent outward",
            |d| {
                alter(d, accumulate(East), |acc| {
                    if let Mxm::Acc { emit, .. } = acc {
                        *emit = Some(e(12))
                    }
                })
            },
            FaultKind::WrongDirection,
            44,
            "east.mxm0.accumulate",
        ),
    ];
    for format in [Format::I8, Format::F8] {
        check(&matrix(format), cases);
    }
}

#[test]
fn pairs_of_planes() {
    check(
        &matrix(Format::F16),
        &[
            (
                "vectors too close",
                |d| d.runs(activate(East))[1].cycle -= 1,
                FaultKind::MxmBusy,
                40,
                "east.mxm0.stream",
            ),
            (
                "plane 1 at work",
                |d| {
                    d.at(40, Queue::Mxm(East, 1, isa::place::MxmPort::Install), Mxm::Iw);
                },
                FaultKind::PairConflict,
                40,
                "east.mxm1.install",
            ),
            (
                "plane 1 loaded before",
                |d| {
                    d.repeat(3, Queue::MemRead(West, 0), Mem::Read { address: 0, stream: e(20) }, &[]).word(
                        West,
                        0,
                        0,
                        |_| 0,
                    );
                    // West.mem0 puts at 8 at −1: at the MXM in cycle 15, after the first F16 rows.
                    let lw = Mxm::Lw { stream: e(20), count: 1, row: 0, row_stride: 1, format: Format::I8 };
                    d.at(15, Queue::Mxm(East, 1, isa::place::MxmPort::Load), lw);
                },
                FaultKind::PairConflict,
                15,
                "east.mxm1.load",
            ),
            (
                "other format",
                |d| {
                    alter(d, activate(East), |abc| {
                        if let Mxm::Abc { format, .. } = abc {
                            *format = Format::I8
                        }
                    })
                },
                FaultKind::FormatMismatch,
                39,
                "east.mxm0.stream",
            ),
            (
                "array swapped in a vector",
                |d| {
                    // The last rows come as a tile of their own, installed while the first vector enters.
                    let last = d.runs(load(East))[0].clone();
                    d.runs(load(East))[0].repeats[0].count = 10;
                    let Instruction::Mxm(lw) = last.instruction else { unreachable!() };
                    d.at(25, load(East), lw);
                    d.runs(install(East))[0].cycle = 25;
                    d.at(32, install(East), Mxm::Iw);
                },
                FaultKind::ArraySwapped,
                40,
                "east.mxm0.install",
            ),
        ],
    );
}

#[test]
fn formats_of_bytes() {
    let other = |sound: Format, format: Format, damage: fn(&mut Draft, Format), cycle, place| {
        let mut draft = matrix(sound);
        damage(&mut draft, format);
        let fault = fault_of(&draft).unwrap_or_else(|| panic!("{format} in {sound}: not refused"));
        let found = (fault.kind, fault.cycle, fault.place.to_string());
        assert_eq!(found, (FaultKind::FormatMismatch, cycle, String::from(place)), "{fault}");
    };
    for (sound, format) in [(Format::I8, Format::F8), (Format::F8, Format::I8)] {
        let activations = |draft: &mut Draft, other: Format| {
            alter(draft, activate(East), |abc| {
                if let Mxm::Abc { format, .. } = abc {
                    *format = other
                }
            })
        };
        other(sound, format, activations, 31, "east.mxm0.stream");
        // The last rows come in another format: in the buffer they meet the others.
        let rows = |draft: &mut Draft, other: Format| {
            let runs = draft.runs(load(East));
            let mut last = runs[0].clone();
            runs[0].repeats[0].count -= 1;
            last.cycle = 17;
            last.repeats.clear();
            if let Instruction::Mxm(Mxm::Lw { format, row, .. }) = &mut last.instruction {
                (*format, *row) = (other, 28);
            }
            runs.push(last);
        };
        other(sound, format, rows, 17 + 6, "east.mxm0.load");
    }
}

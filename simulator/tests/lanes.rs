//! What the SXM does to lanes.

mod support;

use isa::program::ZERO_LANE;
use isa::{Chip, Element, PortKind, Queue, Sxm};
use simulator::{Array, Engine, Machine};
use support::*;

/// Lane `lane` of source stream `stream`: all different.
fn source(stream: usize, lane: usize) -> u8 {
    (1 + stream * LANES + lane) as u8
}

/// Stream `output` of what the instruction makes of four source streams, e(0) to e(3).
fn output(engine: Engine, chip: &Chip, sxm: Sxm, maps: &[Vec<u16>], crosses: bool, output: usize) -> Vec<u8> {
    let mut draft = Draft::default();
    draft.program.maps = maps.to_vec();
    for slice in 0..4 {
        draft.word(East, slice, 0, |lane| source(slice.into(), lane));
        draft.read(u64::from(slice), East, slice, 0, e(slice as u8));
    }
    // East.mem3 at 4 puts in cycle 8; the SXM is at 5.
    draft.at(9, Queue::Sxm(East, 0), sxm);
    let put = 9 + 2 + if crosses { u64::from(chip.stagger()) } else { 0 };
    draft.write(put + 6, West, 0, 9, w(8 + output as u8));
    draft.port("out", PortKind::Output, Element::I32, 1, 9, &[(West, 0); 4]);
    let mut machine =
        Machine::load(engine, chip, &draft.program()).unwrap_or_else(|problems| panic!("{problems:?}"));
    machine.run().unwrap_or_else(|fault| panic!("{fault}"));
    match machine.read("out") {
        Ok(Array::I32(lanes)) => lanes.into_iter().map(|lane| lane as u8).collect(),
        other => panic!("{other:?}"),
    }
}

/// Every output lane is the lane `expected(output, lane)` of the stream it names, or zero.
fn check(
    chip: &Chip,
    sxm: Sxm,
    maps: &[Vec<u16>],
    crosses: bool,
    outputs: usize,
    expected: impl Fn(usize, usize) -> Option<(usize, usize)>,
) {
    for stream in 0..outputs {
        let want: Vec<u8> = (0..LANES)
            .map(|lane| expected(stream, lane).map_or(0, |(stream, lane)| source(stream, lane)))
            .collect();
        for engine in ENGINES {
            let got = output(*engine, chip, sxm, maps, crosses, stream);
            assert_eq!(got, want, "{engine:?}: {sxm:?}, stream {stream}");
        }
    }
}

#[test]
fn shifts_and_rotations() {
    let (chip, from, to) = (tiny(), e(0), w(8));
    for lanes in [-40i16, -17, -1, 0, 1, 3, 31, 32] {
        check(&chip, Sxm::Shift { lanes, streams: 2, from, to }, &[], true, 2, |stream, lane| {
            let from = lane as i32 - i32::from(lanes);
            (0..LANES as i32).contains(&from).then_some((stream, from as usize))
        });
    }
    for n in [3, 4] {
        check(&chip, Sxm::Rotate { n, from, to }, &[], true, usize::from(n * n), |stream, lane| {
            Some((stream / usize::from(n), (lane + stream % usize::from(n)) % LANES))
        });
    }
}

#[test]
fn maps() {
    let (chip, from, to) = (tiny(), e(0), w(8));
    let turn: Vec<u16> =
        (0..LANES as u16).map(|lane| if lane == 5 { ZERO_LANE } else { (lane + 7) % 32 }).collect();
    check(
        &chip,
        Sxm::Permute { map: 0, streams: 4, from, to },
        std::slice::from_ref(&turn),
        true,
        4,
        |stream, lane| (lane != 5).then_some((stream, (lane + 7) % 32)),
    );
    let spread: Vec<u16> =
        (0..LANES as u16).map(|lane| if lane == 2 { ZERO_LANE } else { lane % 16 / 3 }).collect();
    check(
        &chip,
        Sxm::Distribute { map: 1, streams: 3, from, to },
        &[turn, spread],
        false,
        3,
        |stream, lane| (lane % 16 != 2).then_some((stream, lane - lane % 16 + lane % 16 / 3)),
    );
    let choice: Vec<u16> = (0..LANES as u16).map(|lane| [0, 1, ZERO_LANE][usize::from(lane) % 3]).collect();
    check(
        &chip,
        Sxm::Select { map: 0, streams: 2, from, other: e(2), to },
        &[choice],
        false,
        2,
        |stream, lane| [Some((stream, lane)), Some((stream + 2, lane)), None][lane % 3],
    );
}

#[test]
fn transposition() {
    let chip = Chip { lanes_per_superlane: 4, ..tiny() };
    check(&chip, Sxm::Transpose { from: e(0), to: w(8) }, &[], false, 4, |stream, lane| {
        Some((lane % 4, lane - lane % 4 + stream))
    });
}

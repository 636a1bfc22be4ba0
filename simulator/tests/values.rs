//! The small programs compute what they should, in the cycles that the latency table predicts, every time.

mod support;

use isa::stream::Format;
use isa::{Element, PortKind, report};
use simulator::{Array, Engine, Machine};
use support::*;

/// What a port holds after a run, the same on every engine.
fn after(draft: &Draft, port: &str) -> Result<Array, String> {
    let found = ENGINES.iter().map(|engine| run(*engine, draft).read(port)).collect::<Vec<_>>();
    assert!(found.iter().all(|array| *array == found[0]), "{ENGINES:?}: {found:?}");
    found[0].clone()
}

fn run(engine: Engine, draft: &Draft) -> Machine {
    let mut machine =
        Machine::load(engine, &tiny(), &draft.program()).unwrap_or_else(|problems| panic!("{problems:?}"));
    machine.run().unwrap_or_else(|fault| panic!("{fault}"));
    machine
}

/// One word as a port of masks cannot show it: byte by byte, through an F32 port whose other bytes are the same word.
fn word(draft: &Draft, side: isa::Hemisphere, slice: u16, address: u32) -> Vec<u8> {
    let mut draft = draft.clone();
    draft.port("word", PortKind::Output, Element::I32, 1, address, &[(side, slice); 4]);
    match after(&draft, "word") {
        Ok(Array::I32(lanes)) => lanes.into_iter().map(|lane| lane as u8).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn vectors() {
    let z: Vec<i32> = (0..LANES as i32).map(|lane| (lane + 100 - 2 * lane) * 3).collect();
    assert_eq!(after(&vector(), "z"), Ok(Array::I32(z)));
}

#[test]
fn matrices() {
    let y: Vec<i32> = (0..LANES)
        .map(|n| (0..LANES).map(|k| weight(n, k) * (activation(0, k) + activation(1, k))).sum())
        .collect();
    assert_eq!(after(&matrix(Format::I8), "y"), Ok(Array::I32(y.clone())));
    for format in [Format::F8, Format::F16] {
        assert_eq!(after(&matrix(format), "y"), Ok(Array::F32(y.iter().map(|y| *y as f32).collect())));
    }
}

#[test]
fn permutations() {
    assert_eq!(word(&permute(), West, 0, 9), (0..LANES).rev().map(|lane| 7 * lane as u8).collect::<Vec<_>>());
}

#[test]
fn indices() {
    // Superlane 0 has index 101: entry 1 of east.mem1's table, at word 8 + 2; superlane 1 has 106: entry 2 of east.mem2's, at 8 + 4.
    let expected: Vec<u8> =
        (0..LANES).map(|lane| if lane < 16 { 1 + 32 + lane } else { 2 + 64 + lane - 16 } as u8).collect();
    assert_eq!(word(&indexed(), East, 3, 50), expected);
    let scattered = |address: u32| word(&indexed(), East, 0, address);
    let value = |lane: usize| 200 - lane as u8;
    assert_eq!(
        scattered(41),
        (0..LANES).map(|lane| if lane < 16 { value(lane) } else { 0 }).collect::<Vec<_>>()
    );
    assert_eq!(
        scattered(46),
        (0..LANES).map(|lane| if lane < 16 { 0 } else { value(lane) }).collect::<Vec<_>>()
    );
    assert_eq!(scattered(40), [0; LANES]);
}

#[test]
fn the_report_is_the_predicted_one_in_every_run() {
    for (name, draft) in all() {
        let program = draft.program();
        let predicted = report::predict(&tiny(), &program);
        for engine in ENGINES {
            let mut machine = Machine::load(*engine, &tiny(), &program).unwrap();
            for _ in 0..2 {
                assert_eq!(machine.run().as_ref(), Ok(&predicted), "{engine:?}: {name}");
            }
        }
    }
    assert_eq!(report::predict(&tiny(), &vector().program()).cycles, 19 + 3 + 2);
}

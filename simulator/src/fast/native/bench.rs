//! How fast kernels are on this host; to be run by hand: `cargo test -p lpu-simulator --lib native::bench -- --ignored --nocapture`.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "that is what it is for")]

use std::hint::black_box;
use std::time::Instant;

use isa::instruction::VxmOp;
use isa::stream::Format;

use super::{Chain, LaneMove, Library, Node, Source, Tile, stride};

const LANES: usize = 320;

/// Prints the time of one of `rounds` of `work`, the least of a few tries.
fn time(name: &str, rounds: usize, mut work: impl FnMut(usize)) {
    let try_once = |_| {
        let start = Instant::now();
        (0..rounds).for_each(&mut work);
        start.elapsed().as_nanos() as f64 / rounds as f64
    };
    let least = (0..5).map(try_once).fold(f64::INFINITY, f64::min);
    println!("{name}: {least:.0} ns");
}

fn bytes(seed: usize, keep: u8, set: u8) -> Vec<u8> {
    (0..LANES).map(|lane| (lane * 37 + seed * 101 + lane * lane * 7) as u8 & keep | set).collect()
}

#[test]
#[ignore = "prints times"]
fn tiles() {
    for format in Format::OF_PLANES {
        // Numbers from 1 to 4, of both signs.
        let planes: Vec<[Vec<u8>; 2]> =
            (0..LANES).map(|n| [bytes(n, 255, 0), bytes(n + 9, 0x87, 0x38)]).collect();
        let slices: Vec<[&[u8]; 2]> =
            planes.iter().map(|[low, high]| [low.as_slice(), high.as_slice()]).collect();
        let rows: Vec<Option<[&[u8]; 2]>> = slices.iter().copied().map(Some).collect();
        let tile = Tile::pack(format, LANES, &rows);
        time(&format!("{format} pack"), 200, |_| drop(black_box(Tile::pack(format, LANES, &rows))));
        for batch in [1, 2, 4, 8, 64] {
            let mut sums = vec![vec![0; LANES]; batch];
            let mut products: Vec<&mut [u32]> = sums.iter_mut().map(Vec::as_mut_slice).collect();
            time(&format!("{format} batch {batch}, in L2"), 400 / batch + 1, |_| {
                tile.multiply(black_box(&slices[..batch]), &mut products);
            });
        }
        let many: Vec<Tile> = (0..1700).map(|_| Tile::pack(format, LANES, &rows)).collect();
        let megabytes = many.iter().map(Tile::bytes).sum::<usize>() >> 20;
        for batch in [1, 4, 8] {
            let mut sums = vec![vec![0; LANES]; batch];
            let mut products: Vec<&mut [u32]> = sums.iter_mut().map(Vec::as_mut_slice).collect();
            time(&format!("{format} batch {batch}, through {megabytes} MB"), many.len(), |index| {
                many[index].multiply(black_box(&slices[..batch]), &mut products);
            });
        }
    }
}

#[test]
#[ignore = "prints times"]
fn chains() {
    let half = Source::Planes(Format::F16);
    let node = |op, a, b, result, keep| Node { op, a, b, result, keep };
    let f16 = Some(Format::F16);
    let mut chains = vec![
        ("add of F16".to_owned(), vec![node(VxmOp::Add, half, Some(half), f16, false)]),
        (
            "add of wide, in place".to_owned(),
            vec![node(VxmOp::Add, Source::Wide, Some(Source::Wide), None, true)],
        ),
        (
            "pass of F32 planes".to_owned(),
            vec![node(VxmOp::Pass, Source::Planes(Format::F32), None, Some(Format::F32), false)],
        ),
        (
            "five nodes".to_owned(),
            vec![
                node(VxmOp::Mul, half, Some(Source::Immediate), None, false),
                node(VxmOp::Add, Source::Node(0), Some(half), None, false),
                node(VxmOp::Max, Source::Node(1), Some(Source::Immediate), None, false),
                node(VxmOp::Mul, Source::Node(2), Some(Source::Node(1)), None, false),
                node(VxmOp::Sub, Source::Node(3), Some(half), f16, false),
            ],
        ),
    ];
    for op in [VxmOp::Exp, VxmOp::Tanh, VxmOp::Rsqrt, VxmOp::Relu, VxmOp::RoundF16, VxmOp::ToInt] {
        chains.push((format!("{op:?} of F16"), vec![node(op, half, None, f16, false)]));
    }
    let mut arena = vec![0x3cu8; 64 * stride(LANES)];
    (0..arena.len()).step_by(3).for_each(|at| arena[at] = 0x38);
    for (name, nodes) in chains {
        let chain = Chain { nodes };
        let start = Instant::now();
        let mut library = Library::new(LANES);
        let made = start.elapsed().as_micros();
        let code = library.chain(&chain);
        println!("{name}: library {made} µs, compiled in {} µs", start.elapsed().as_micros() - made);
        // Where an immediate is wanted, a number around 1 does, and all words are below 64.
        let mut operands: Vec<u32> = (0..chain.operands().count() as u32).map(|index| 4 * index).collect();
        if chain.nodes.len() > 1 {
            operands[2] = 1.5f32.to_bits();
            operands[5] = 0.25f32.to_bits();
        }
        time(&name, 2000, |_| {
            // SAFETY: the arena has the words.
            unsafe { code.call(arena.as_mut_ptr(), &operands) }
        });
    }
}

#[test]
#[ignore = "prints times"]
fn lane_moves() {
    let mut arena = vec![0x3cu8; 64 * stride(LANES)];
    let shift = |lane: usize| lane.checked_sub(3).map(|from| (0, from as u16));
    let transpose = |lane: usize| Some(((lane % 16) as u8, (lane - lane % 16 + 5) as u16));
    let scattered = |lane: usize| Some((0, (lane * 77 % LANES) as u16));
    type Map<'a> = &'a dyn Fn(usize) -> Option<(u8, u16)>;
    let moves: [(&str, u8, Map<'_>); 4] = [
        ("copy", 1, &|lane| Some((0, lane as u16))),
        ("shift", 1, &shift),
        ("transpose", 16, &transpose),
        ("permutation", 1, &scattered),
    ];
    for (name, sources, map) in moves {
        let mut library = Library::new(LANES);
        let start = Instant::now();
        let code = library.lane_move(&LaneMove { sources, map: (0..LANES).map(map).collect() });
        println!("{name}: compiled in {} µs", start.elapsed().as_micros());
        let operands: Vec<u32> = (0..=u32::from(sources)).collect();
        time(name, 2000, |_| {
            // SAFETY: the arena has the words.
            unsafe { code.call(arena.as_mut_ptr(), &operands) }
        });
    }
}

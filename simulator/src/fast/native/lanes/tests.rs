//! Moves against a plain loop.

use super::{LaneMove, plan};
use crate::fast::native::{Library, stride};

/// A cheap sequence of numbers below `limit`.
fn random(state: &mut u64, limit: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % limit
}

fn check(library: &mut Library, sources: u8, map: impl Fn(usize) -> Option<(usize, usize)>) {
    let lanes = library.lanes();
    let entry = |lane| map(lane).map(|(source, from)| (source as u8, from as u16));
    let lane_move = LaneMove { sources, map: (0..lanes).map(entry).collect() };
    let width = stride(lanes);
    let count = usize::from(sources) + 2;
    let mut state = lanes as u64;
    let mut arena: Vec<u8> = (0..count * width).map(|_| random(&mut state, 256) as u8).collect();
    let before = arena.clone();
    // The sources from the last word down, and the target in the middle.
    let target = count / 2;
    let words: Vec<usize> = (0..count).rev().filter(|word| *word != target).take(sources.into()).collect();
    let operands: Vec<u32> = words.iter().chain([&target]).map(|word| *word as u32).collect();
    let code = library.lane_move(&lane_move);
    // SAFETY: all words are in the arena, and the target is none of the sources.
    unsafe { code.call(arena.as_mut_ptr(), &operands) };
    for lane in 0..lanes {
        let expected = map(lane).map_or(0, |(source, from)| before[words[source] * width + from]);
        assert_eq!(arena[target * width + lane], expected, "lane {lane} of {lanes}, from {:?}", map(lane));
    }
    let outside = (0..count * width).filter(|at| at / width != target);
    assert!(outside.into_iter().all(|at| arena[at] == before[at]), "other words stay");
}

#[test]
fn shifts_and_rotations() {
    for lanes in [32, 48, 320] {
        let mut library = Library::new(lanes);
        for by in [0, 1, 5, 16, 31, lanes - 1] {
            check(&mut library, 1, |lane| Some((0, (lane + by) % lanes)));
            check(&mut library, 1, |lane| lane.checked_sub(by).map(|from| (0, from)));
            check(&mut library, 1, |lane| (lane + by < lanes).then_some((0, lane + by)));
        }
    }
}

#[test]
fn transposes_selections_and_random_maps() {
    for lanes in [20, 32, 48, 320] {
        let mut library = Library::new(lanes);
        let width = if lanes == 20 { 4 } else { 16 };
        for to in [0, 1, width - 1] {
            check(&mut library, width as u8, |lane| Some((lane % width, lane - lane % width + to)));
        }
        check(&mut library, 2, |lane| (lane % 3 < 2).then_some((lane % 3, lane)));
        check(&mut library, 1, |_| None);
        check(&mut library, 1, |lane| Some((0, lanes - 1 - lane)));
        for seed in 0..20 {
            let sources = 1 + seed % 5;
            let map = |lane: usize| {
                let mut state = (1000 * seed + lane) as u64;
                random(&mut state, 9);
                (random(&mut state, 9) > 0).then(|| (random(&mut state, sources), random(&mut state, lanes)))
            };
            check(&mut library, sources as u8, map);
        }
    }
}

#[test]
fn neighbours_are_moved_together() {
    let wanted: Vec<_> = (0..16).map(|lane| (lane != 3).then_some((0, 100 + lane))).collect();
    let (stretches, single) = plan(&wanted, 320);
    assert_eq!((stretches.len(), single.len()), (1, 0));
}

//! What the SRAM of a random program holds at the start: regions of the same kind in every slice, and ports.

use std::ops::Range;

use isa::program::ZERO_LANE;
use isa::{Chip, Element, Hemisphere, Placement, Port, PortKind, Segment, SegmentData};

use super::board::Board;
use super::rng::Rng;

/// Bytes that make special numbers of binary16 and binary32: zeros, subnormals, ones, infinities, NaNs.
const SPECIAL: [u8; 14] = [0, 1, 2, 0x3c, 0x3f, 0x40, 0x7c, 0x7e, 0x7f, 0x80, 0xbc, 0xc0, 0xfc, 0xff];

/// What is wanted of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Anything.
    Any,
    /// Small integers, the same in each superlane's lanes or not.
    Small,
    /// Zeros.
    Zero,
    /// Values that nobody brings.
    Unknown,
    /// Nothing at all.
    Free,
}

/// The words of each slice that have a flavour.
pub fn region(chip: &Chip, flavour: Flavour) -> Range<u32> {
    let at = |percent: u32| chip.words_per_slice() * percent / 100;
    match flavour {
        Flavour::Any => at(0)..at(35),
        Flavour::Small => at(35)..at(45),
        Flavour::Zero => at(45)..at(52),
        Flavour::Unknown => at(52)..at(58),
        Flavour::Free => at(66)..at(100),
    }
}

/// Where ports that the host writes lie.
fn port_region(chip: &Chip) -> Range<u32> {
    let at = |percent: u32| chip.words_per_slice() * percent / 100;
    at(58)..at(66)
}

/// Every slice of a chip.
pub fn slices(chip: &Chip) -> Vec<(Hemisphere, u16)> {
    let count = chip.mem.slices_per_hemisphere;
    Hemisphere::BOTH.into_iter().flat_map(|half| (0..count).map(move |slice| (half, slice))).collect()
}

/// Fills the slices, and gives the host its ports.
pub fn fill(rng: &mut Rng, board: &mut Board) {
    let chip = board.chip.clone();
    let unknown = rng.chance(20);
    for (hemisphere, slice) in slices(&chip) {
        let segment = |range: Range<u32>, data: SegmentData, board: &mut Board| {
            for word in range.clone() {
                board.hold((hemisphere, slice, word));
            }
            let words = range.end - range.start;
            board.program.memory.push(Segment {
                hemisphere,
                slice,
                address: range.start,
                words,
                data,
                node: 1,
            });
        };
        let any = region(&chip, Flavour::Any);
        let cut = any.start + rng.range(1..i64::from(any.end - any.start)) as u32;
        for range in [any.start..cut, cut..any.end] {
            let data = bytes(rng, &chip, range.len());
            segment(range, data, board);
        }
        let small = region(&chip, Flavour::Small);
        let data = (0..small.len() * chip.lanes).map(|_| rng.below(9) as u8).collect::<Vec<u8>>();
        segment(small, SegmentData::Bytes(data.into()), board);
        segment(region(&chip, Flavour::Zero), SegmentData::Fill(0), board);
        let data = match (unknown, rng.below(2)) {
            (false, _) => SegmentData::Fill(rng.byte()),
            (true, 0) => SegmentData::Absent,
            (true, _) => SegmentData::Digest([7; 32]),
        };
        segment(region(&chip, Flavour::Unknown), data, board);
    }
    ports(rng, board);
    maps(rng, board);
}

fn bytes(rng: &mut Rng, chip: &Chip, words: usize) -> SegmentData {
    let special = rng.chance(50);
    let byte = |_| if special && rng.chance(70) { *rng.pick(&SPECIAL) } else { rng.byte() };
    SegmentData::Bytes((0..words * chip.lanes).map(byte).collect::<Vec<u8>>().into())
}

/// An input of each kind of element, and a state; each in a few of the slices.
fn ports(rng: &mut Rng, board: &mut Board) {
    let chip = board.chip.clone();
    let all = slices(&chip);
    let region = port_region(&chip);
    let kinds = [
        ("f32", PortKind::Input, Element::F32),
        ("f16", PortKind::Input, Element::F16),
        ("f16", PortKind::Input, Element::F16Low),
        ("i32", PortKind::State, Element::I32),
        ("mask", PortKind::Input, Element::Mask),
        ("state", PortKind::State, Element::F32),
        ("i8", PortKind::Input, Element::I8),
        ("f8", PortKind::State, Element::F8),
    ];
    for (place, (name, kind, element)) in kinds.into_iter().enumerate() {
        let address = region.start + place as u32;
        if rng.chance(40) && name != "f16" || address >= region.end {
            continue;
        }
        let first = rng.below(all.len() - element.bytes() + 1);
        let stripe = all[first..first + element.bytes()].to_vec();
        for &(hemisphere, slice) in &stripe {
            board.hold((hemisphere, slice, address));
        }
        board.program.ports.push(row(&chip, name, kind, element, address, stripe));
    }
}

/// A port of one vector.
pub fn row(
    chip: &Chip,
    name: &str,
    kind: PortKind,
    element: Element,
    address: u32,
    stripe: Vec<(Hemisphere, u16)>,
) -> Port {
    let placement = Placement {
        batches: 1,
        rows: 1,
        columns: chip.lanes as u32,
        broadcast: false,
        tile_rows: 1,
        rows_per_stripe: 1,
        address,
        stripes: vec![stripe],
    };
    Port { name: name.to_owned(), kind, element, shape: vec![chip.lanes as u32], parts: vec![placement] }
}

/// Lane maps of each kind: [`PERMUTATIONS`], then [`DISTRIBUTIONS`], then [`SELECTIONS`].
fn maps(rng: &mut Rng, board: &mut Board) {
    let (lanes, width) = (board.chip.lanes, board.chip.lanes_per_superlane);
    let zero = |rng: &mut Rng, entry: usize| if rng.chance(10) { ZERO_LANE } else { entry as u16 };
    let mut maps = Vec::new();
    for _ in PERMUTATIONS {
        let mut map: Vec<u16> = (0..lanes as u16).collect();
        for end in (1..lanes).rev() {
            map.swap(end, rng.below(end + 1));
        }
        maps.push(map.into_iter().map(|entry| zero(rng, entry.into())).collect());
    }
    for _ in DISTRIBUTIONS {
        // What lies past the first superlane counts for nothing.
        let entry = |lane| {
            let entry = rng.below(if lane < width { width } else { 900 });
            zero(rng, entry)
        };
        maps.push((0..lanes).map(entry).collect());
    }
    for _ in SELECTIONS {
        let entry = |_| {
            let entry = rng.below(2);
            zero(rng, entry)
        };
        maps.push((0..lanes).map(entry).collect::<Vec<u16>>());
    }
    board.program.maps = maps;
}

pub const PERMUTATIONS: Range<u16> = 0..3;
pub const DISTRIBUTIONS: Range<u16> = 3..6;
pub const SELECTIONS: Range<u16> = 6..8;

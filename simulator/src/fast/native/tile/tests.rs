//! Products against `isa::numeric`, by all kernels that the host has.

use isa::numeric::{dot_f8, dot_f16, dot_i8};
use isa::stream::Format;

use super::Tile;
use super::kernels::Level;

/// A cheap sequence of bits.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }
}

/// What a vector holds: numbers that are often not normal, ordinary ones, or many zeros.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Wild,
    Finite,
    Tame,
    Sparse,
    Zero,
}

const KINDS: [Kind; 5] = [Kind::Wild, Kind::Finite, Kind::Tame, Kind::Sparse, Kind::Zero];

/// Lanes of binary16 bits, or of integers in the low bytes.
fn vector(random: &mut Random, kind: Kind, lanes: usize) -> Vec<u16> {
    const WILD: [u16; 8] = [0x7c00, 0xfc00, 0x7e00, 0x7c01, 0, 0x8000, 0x7bff, 0x0001];
    let lane = |_| {
        let bits = random.next() as u16;
        match kind {
            // One in a few hundred is special, so that most sums are numbers.
            Kind::Wild if bits.is_multiple_of(301) => WILD[usize::from(bits / 301 % 8)],
            Kind::Wild | Kind::Finite => {
                if bits & 0x7c00 == 0x7c00 {
                    bits & 0x83ff
                } else {
                    bits
                }
            }
            Kind::Tame => bits & 0x8fff | 0x3000,
            Kind::Sparse => {
                if bits.is_multiple_of(7) {
                    bits & 0x8fff | 0x2000
                } else {
                    bits & 0x8000
                }
            }
            Kind::Zero => bits & 0x8000,
        }
    };
    (0..lanes).map(lane).collect()
}

/// Lanes of F8 in the low bytes, and anything in the high ones.
fn quarters(random: &mut Random, kind: Kind, lanes: usize) -> Vec<u16> {
    let lane = |_| {
        let bits = random.next() as u16;
        let number = if bits & 0x7f == 0x7f { bits ^ 1 } else { bits };
        match kind {
            Kind::Wild if bits.is_multiple_of(301) => bits | 0x7f,
            Kind::Wild | Kind::Finite => number,
            Kind::Tame => bits & 0xff87 | 0x38,
            Kind::Sparse if bits.is_multiple_of(7) => number,
            Kind::Sparse | Kind::Zero => bits & 0xff80,
        }
    };
    (0..lanes).map(lane).collect()
}

fn planes(vector: &[u16]) -> [Vec<u8>; 2] {
    [0, 8].map(|shift| vector.iter().map(|bits| (bits >> shift) as u8).collect())
}

fn check(format: Format, lanes: usize, rows: usize, weights: Kind, inputs: Kind, batch: usize, seed: u64) {
    let mut random = Random(seed);
    let vector = if format == Format::F8 { quarters } else { vector };
    let weights_of_rows: Vec<Option<Vec<u16>>> = (0..rows)
        .map(|row| (row % 5 != 3 && !(32..64).contains(&row)).then(|| vector(&mut random, weights, lanes)))
        .collect();
    let bytes: Vec<Option<[Vec<u8>; 2]>> =
        weights_of_rows.iter().map(|row| row.as_deref().map(planes)).collect();
    let slices: Vec<Option<[&[u8]; 2]>> =
        bytes.iter().map(|row| row.as_ref().map(|[low, high]| [low.as_slice(), high.as_slice()])).collect();
    let tile = Tile::pack(format, lanes, &slices);
    let width = usize::from(format.streams());
    assert!(tile.lines.capacity() * 64 <= rows.next_multiple_of(32) * lanes.next_multiple_of(2) * width);
    let vectors: Vec<Vec<u16>> = (0..batch).map(|_| vector(&mut random, inputs, lanes)).collect();
    let bytes: Vec<[Vec<u8>; 2]> = vectors.iter().map(|vector| planes(vector)).collect();
    let slices: Vec<[&[u8]; 2]> = bytes.iter().map(|[low, high]| [low.as_slice(), high.as_slice()]).collect();
    let zeros = vec![0; lanes];
    let expect = |vector: &Vec<u16>| -> Vec<u32> {
        let dot = |row: &Option<Vec<u16>>| {
            let row = row.as_ref().unwrap_or(&zeros);
            let small = |vector: &[u16]| vector.iter().map(|bits| *bits as i8).collect::<Vec<_>>();
            let codes = |vector: &[u16]| vector.iter().map(|bits| *bits as u8).collect::<Vec<_>>();
            match format {
                Format::F16 => dot_f16(row, vector),
                Format::F8 => dot_f8(&codes(row), &codes(vector)),
                _ => dot_i8(&small(row), &small(vector)),
            }
        };
        weights_of_rows.iter().map(dot).collect()
    };
    let expected: Vec<Vec<u32>> = vectors.iter().map(expect).collect();
    for level in Level::all() {
        let mut products = vec![vec![0xdead_beef; rows]; batch];
        tile.multiply_by(level, &slices, &mut products.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        assert!(
            products == expected,
            "{level:?} {format:?} {lanes} lanes {rows} rows {weights:?} weights {inputs:?} activations × {batch}"
        );
    }
}

#[test]
fn products_are_those_of_the_reference() {
    for format in Format::OF_PLANES {
        for (lanes, rows) in [(32, 32), (48, 20), (320, 320), (17, 67), (1, 1)] {
            for weights in KINDS {
                for inputs in KINDS {
                    for batch in if lanes == 320 { 8..=8 } else { 1..=9 } {
                        check(format, lanes, rows, weights, inputs, batch, (lanes + batch) as u64);
                    }
                }
            }
        }
        for batch in 0..=17 {
            check(format, 320, 320, Kind::Wild, Kind::Wild, batch, batch as u64);
        }
    }
}

#[test]
fn zeros_times_infinities_are_nan() {
    for batch in [1, 2, 4, 8] {
        check(Format::F16, 32, 96, Kind::Zero, Kind::Wild, batch, 7);
        check(Format::F16, 320, 32, Kind::Wild, Kind::Zero, batch, 7);
        check(Format::F8, 32, 96, Kind::Zero, Kind::Wild, batch, 7);
        check(Format::F8, 320, 32, Kind::Wild, Kind::Zero, batch, 7);
    }
}

#[test]
fn blocks_of_zeros_take_no_room() {
    let zeros = vec![0; 320];
    let tile = Tile::pack(Format::F16, 320, &vec![Some([zeros.as_slice(), zeros.as_slice()]); 320]);
    assert!(tile.lines.is_empty() && tile.finite);
    let tile = Tile::pack(Format::I8, 320, &[None; 320]);
    assert_eq!(tile.lines.capacity(), 0);
    assert!(tile.bytes() < 1000);
}

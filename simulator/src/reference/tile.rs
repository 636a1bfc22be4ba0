//! A tile of weights, and its product with a vector.

use isa::stream::Format;
use isa::{Chip, numeric};

/// Rows that are summed side by side, so that no addition waits for the one before it.
const BLOCK: usize = 8;

/// Weights as the array multiplies by them.
pub(crate) struct Tile {
    /// I8, F8 or F16; in the buffer also I4, F4 or F8Wide.
    pub(crate) format: Format,
    lanes: usize,
    /// Row after row. All formats are exact in f32; rows of I4 and F4 are bytes, each a number.
    weights: Vec<f32>,
}

impl Tile {
    /// All zeros.
    pub(crate) fn new(format: Format, lanes: usize, rows: usize) -> Tile {
        Tile { format, lanes, weights: vec![0.0; lanes * rows] }
    }

    /// Sets whole rows; `values` holds one vector of `lanes` weights for each.
    pub(crate) fn set_rows(&mut self, rows: &[usize], values: &[f32]) {
        for (&row, value) in rows.iter().zip(values.chunks(self.lanes)) {
            self.weights[row * self.lanes..(row + 1) * self.lanes].copy_from_slice(value);
        }
    }

    /// Of I4 and F4, what the array holds: each code times the scale of its block. Other formats as they are.
    pub(crate) fn installed(self, chip: &Chip) -> Tile {
        match self.format {
            Format::I4 | Format::F4 => {}
            // All of its numbers are numbers of F16.
            format => return Tile { format: format.held(), ..self },
        }
        let mut tile = Tile::new(Format::F16, self.lanes, chip.mxm.rows.into());
        let byte = |row: usize, lane: usize| self.weights[row * self.lanes + lane] as u8;
        let block = chip.block_lanes();
        for (at, weight) in tile.weights.iter_mut().enumerate() {
            let (row, lane) = (at / self.lanes, at % self.lanes);
            let first = chip.four_bit_rows((row / block * block) as u32) as usize;
            let beside = lane / block * block + row % block;
            let scale = u16::from_le_bytes([byte(first, beside), byte(first + 1, beside)]);
            let pair = byte(first + 2 + row % block / 2, lane);
            let code = if (row % block).is_multiple_of(2) { pair & 0xf } else { pair >> 4 };
            *weight = f16_to_f32(numeric::scaled(self.format, code, scale));
        }
        tile
    }

    /// For every row, the sum over the lanes of weight × activation. Each product is exact in f64; the products are added in f64 in
    /// the order of the lanes, so a sum is rounded (to f32) once, up to f64's own rounding; I8 and F8 sums are exact.
    pub(crate) fn multiply(&self, activations: &[f32]) -> Vec<f64> {
        let mut sums = Vec::with_capacity(self.weights.len() / self.lanes);
        let mut blocks = self.weights.chunks_exact(BLOCK * self.lanes);
        for block in &mut blocks {
            let rows: [&[f32]; BLOCK] =
                std::array::from_fn(|row| &block[row * self.lanes..(row + 1) * self.lanes]);
            let mut block_sums = [0.0; BLOCK];
            for (lane, &activation) in activations.iter().enumerate() {
                for (sum, row) in block_sums.iter_mut().zip(rows) {
                    *sum += f64::from(row[lane]) * f64::from(activation);
                }
            }
            sums.extend(block_sums);
        }
        for row in blocks.remainder().chunks(self.lanes) {
            let products = row.iter().zip(activations).map(|(&weight, &x)| f64::from(weight) * f64::from(x));
            sums.push(products.fold(0.0, |sum, product| sum + product));
        }
        sums
    }
}

/// Vectors of I8 or F8 (one stream each) or F16 (two streams each: low bytes, then high bytes) as numbers; of I4 and F4 (one
/// stream each) the bytes.
pub(crate) fn decode(format: Format, bytes: &[u8], lanes: usize) -> Vec<f32> {
    match format {
        Format::F16 => {}
        Format::I4 | Format::F4 => return bytes.iter().map(|byte| f32::from(*byte)).collect(),
        Format::F8 | Format::F8Wide => return bytes.iter().map(|byte| f8_to_f32(*byte)).collect(),
        // The wider formats are refused before a program runs.
        Format::I8 | Format::I32 | Format::F32 => {
            return bytes.iter().map(|byte| f32::from(*byte as i8)).collect();
        }
    }
    let mut numbers = vec![0.0; bytes.len() / 2];
    for (numbers, bytes) in numbers.chunks_mut(lanes).zip(bytes.chunks(2 * lanes)) {
        let (low, high) = bytes.split_at(lanes);
        for ((number, low), high) in numbers.iter_mut().zip(low).zip(high) {
            *number = f16_to_f32(u16::from_le_bytes([*low, *high]));
        }
    }
    numbers
}

/// The binary16 number with these bits. Without branches, so that whole tiles convert quickly.
fn f16_to_f32(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7fff) << 13;
    // Exponents of binary16 lie 112 lower than those of binary32, and the product makes subnormals normal.
    let scaled = (f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23)).to_bits();
    let special = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(scaled | special | u32::from(bits & 0x8000) << 16)
}

/// The F8 number with these bits. Without branches, as above.
fn f8_to_f32(bits: u8) -> f32 {
    let magnitude = u32::from(bits & 0x7f) << 20;
    // Exponents of F8 lie 120 lower than those of binary32, and the product makes subnormals normal.
    let scaled = (f32::from_bits(magnitude) * f32::from_bits((127 + 120) << 23)).to_bits();
    let special = if bits & 0x7f == 0x7f { 0x7fc0_0000 } else { 0 };
    f32::from_bits(scaled | special | u32::from(bits & 0x80) << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f8_converts_exactly() {
        for bits in 0..=u8::MAX {
            let (ours, theirs) = (f8_to_f32(bits), isa::numeric::from_f8(bits));
            assert!(ours == theirs || ours.is_nan() && theirs.is_nan(), "{bits:02x}: {ours} {theirs}");
            assert_eq!(ours.is_sign_negative(), theirs.is_sign_negative());
        }
    }

    #[test]
    fn every_f16_converts_exactly() {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (f16_to_f32(bits), half::f16::from_bits(bits).to_f32());
            assert!(
                ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(),
                "{bits:04x}: {ours} {theirs}"
            );
        }
    }

    #[test]
    fn rows_are_summed_in_blocks_and_one_by_one() {
        let (lanes, rows) = (3, BLOCK + 1);
        let mut tile = Tile::new(Format::F16, lanes, rows);
        let weights: Vec<f32> = (0..lanes * rows).map(|i| i as f32).collect();
        tile.set_rows(&(0..rows).rev().collect::<Vec<_>>(), &weights);
        let sums = tile.multiply(&[1.0, 0.0, -2.0]);
        let expected: Vec<f64> = weights.chunks(lanes).rev().map(|w| f64::from(w[0] - 2.0 * w[2])).collect();
        assert_eq!(sums, expected);
    }

    #[test]
    fn zero_activations_meet_infinite_weights() {
        let mut tile = Tile::new(Format::F16, 2, 2);
        tile.set_rows(&[0, 1], &[f32::INFINITY, 1.0, 2.0, 3.0]);
        let sums = tile.multiply(&[0.0, 1.0]);
        assert!(sums[0].is_nan());
        assert_eq!(sums[1], 3.0);
    }
}

//! A tile of weights, and its product with a vector.

use isa::stream::Format;

/// Weights as the array multiplies by them.
pub(crate) struct Tile {
    /// I8 or F16.
    pub(crate) format: Format,
    rows: usize,
    /// The weight from input lane k to row n is at `k * rows + n`. Both formats are exact in f32.
    weights: Vec<f32>,
    /// No weight is infinite or NaN, so a zero activation adds nothing.
    finite: bool,
}

impl Tile {
    /// All zeros.
    pub(crate) fn new(format: Format, lanes: usize, rows: usize) -> Tile {
        Tile { format, rows, weights: vec![0.0; lanes * rows], finite: true }
    }

    /// Sets whole rows; `values` holds one vector of `lanes` weights for each.
    pub(crate) fn set_rows(&mut self, rows: &[usize], values: &[f32]) {
        let lanes = self.weights.len() / self.rows;
        self.finite &= values.iter().all(|value| value.is_finite());
        for (lane, column) in self.weights.chunks_mut(self.rows).enumerate() {
            for (index, &row) in rows.iter().enumerate() {
                column[row] = values[index * lanes + lane];
            }
        }
    }

    /// For every row, the sum over the lanes of weight × activation. Each product is exact in f64; the products are added in f64 in
    /// the order of the lanes, so a sum is rounded (to f32) once, up to f64's own rounding; I8 sums are exact.
    pub(crate) fn multiply(&self, activations: &[f32]) -> Vec<f64> {
        let mut sums = vec![0.0; self.rows];
        for (column, &activation) in self.weights.chunks(self.rows).zip(activations) {
            // A sum that starts at +0 never becomes −0, so leaving out ±0 changes no bit.
            if activation == 0.0 && self.finite {
                continue;
            }
            let activation = f64::from(activation);
            for (sum, &weight) in sums.iter_mut().zip(column) {
                *sum += f64::from(weight) * activation;
            }
        }
        sums
    }
}

/// Vectors of I8 (one stream each) or F16 (two streams each: low bytes, then high bytes) as numbers.
pub(crate) fn decode(format: Format, bytes: &[u8], lanes: usize) -> Vec<f32> {
    match format {
        Format::F16 => bytes
            .chunks(2 * lanes)
            .flat_map(|vector| {
                let (low, high) = vector.split_at(lanes);
                low.iter().zip(high).map(|(low, high)| f16_to_f32(u16::from_le_bytes([*low, *high])))
            })
            .collect(),
        // The wider formats are refused before a program runs.
        Format::I8 | Format::I32 | Format::F32 => bytes.iter().map(|byte| f32::from(*byte as i8)).collect(),
    }
}

/// The binary16 number with these bits. Without branches, so that whole tiles convert quickly.
fn f16_to_f32(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7fff) << 13;
    // Exponents of binary16 lie 112 lower than those of binary32, and the product makes subnormals normal.
    let scaled = (f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23)).to_bits();
    let special = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(scaled | special | u32::from(bits & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn zero_activations_meet_infinite_weights() {
        let mut tile = Tile::new(Format::F16, 2, 2);
        tile.set_rows(&[0, 1], &[f32::INFINITY, 1.0, 2.0, 3.0]);
        let sums = tile.multiply(&[0.0, 1.0]);
        assert!(sums[0].is_nan());
        assert_eq!(sums[1], 3.0);
    }
}

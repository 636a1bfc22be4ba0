//! Matrix tiles, multiplied by vector instructions of the host.
//!
//! The sums of many rows run side by side, each in the order of the lanes, as the reference has them: so the weights are packed
//! transposed, in blocks of [`ROWS`] rows, a [`Line`] for each lane (F16) or pair of lanes (I8, F8). The product of two binary16 numbers is
//! exact in f64, so a fused multiplication and addition rounds as the reference's addition does. Sums of F8 are exact in f64 in any order.

use std::ops::Range;

use isa::numeric::NAN;
use isa::stream::Format;

mod activations;
mod kernels;
mod pack;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use kernels::Level;

/// Rows of a block.
const ROWS: usize = 32;

/// The weights of a block of rows: of one lane in F16, of two lanes in I8 and F8, those of a row side by side.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u16; ROWS]);

/// The weights of an array, packed for products.
pub(crate) struct Tile {
    format: Format,
    lanes: usize,
    rows: usize,
    /// The lines that hold weights; all others are zeros, and not stored.
    span: Range<usize>,
    /// For each block of rows, which of the stored blocks it is; none where all weights are zero.
    blocks: Vec<Option<u32>>,
    /// The blocks that are stored, one after another.
    lines: Vec<Line>,
    /// No weight is an infinity or NaN, in F16.
    finite: bool,
    /// The rows in which a weight is NaN, in F8.
    wrong: Vec<u32>,
}

impl Tile {
    /// `rows[n]`: the planes (low byte, high byte; I8 and F8 have one, and ignore the second) of weight row n, `lanes` bytes each, or none if
    /// it was not loaded.
    pub(crate) fn pack(format: Format, lanes: usize, rows: &[Option<[&[u8]; 2]>]) -> Tile {
        let (blocks, lines, wrong) = (Vec::new(), Vec::new(), Vec::new());
        let mut tile = Tile { format, lanes, rows: 0, span: 0..0, blocks, lines, finite: true, wrong };
        tile.repack(format, lanes, rows);
        tile.lines.shrink_to_fit();
        tile
    }

    /// The same, in the room of a tile that is needed no longer.
    pub(crate) fn repack(&mut self, format: Format, lanes: usize, rows: &[Option<[&[u8]; 2]>]) {
        kernels::repack(Level::of_host(), self, format, lanes, rows);
    }

    /// The same, by the vector instructions that the caller may use.
    #[inline(always)]
    fn repack_here(&mut self, format: Format, lanes: usize, rows: &[Option<[&[u8]; 2]>]) {
        let chunks = pack::span(format, lanes, rows);
        let per_line = if format == Format::F16 { 1 } else { 2 };
        (self.format, self.lanes, self.rows, self.finite) = (format, lanes, rows.len(), true);
        self.span = chunks.start / per_line..chunks.end.div_ceil(per_line);
        self.blocks.clear();
        self.lines.clear();
        let count = self.span.len();
        let loaded = rows.chunks(ROWS).filter(|rows| rows.iter().any(Option::is_some)).count();
        self.lines.reserve_exact(count * loaded);
        for rows in rows.chunks(ROWS) {
            let block = (self.lines.len() / count.max(1)) as u32;
            let found = pack::block(format, lanes, chunks.clone(), rows, &mut self.lines);
            self.finite &= found.finite;
            if found.zero {
                self.lines.truncate(block as usize * count);
            }
            self.blocks.push((!found.zero).then_some(block));
        }
        self.wrong.clear();
        if format == Format::F8 {
            self.wrong
                .extend((0..).zip(rows).filter(|(_, row)| pack::has_nan(lanes, row)).map(|(row, _)| row));
        }
    }

    /// Bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Tile>()
            + self.blocks.capacity() * size_of::<Option<u32>>()
            + self.lines.capacity() * size_of::<Line>()
            + self.wrong.capacity() * size_of::<u32>()
    }

    /// `vectors`: for each activation vector its planes; `products`: for each, one 32-bit result per row, as bits (f32 or i32).
    pub(crate) fn multiply(&self, vectors: &[[&[u8]; 2]], products: &mut [&mut [u32]]) {
        self.multiply_by(Level::of_host(), vectors, products);
    }

    fn multiply_by(&self, level: Level, vectors: &[[&[u8]; 2]], products: &mut [&mut [u32]]) {
        assert_eq!(vectors.len(), products.len(), "a product for each vector");
        let mut start = 0;
        while start < vectors.len() {
            let count = match vectors.len() - start {
                left @ 1..=2 => left,
                3 => 2,
                4..=7 => 4,
                _ => 8,
            };
            let (vectors, products) = (&vectors[start..start + count], &mut products[start..start + count]);
            match (self.format, count) {
                (Format::F16, 1) => self.halves::<1>(level, vectors, products),
                (Format::F16, 2) => self.halves::<2>(level, vectors, products),
                (Format::F16, 4) => self.halves::<4>(level, vectors, products),
                (Format::F16, _) => self.halves::<8>(level, vectors, products),
                (Format::F8, 1) => self.quarters::<1>(level, vectors, products),
                (Format::F8, 2) => self.quarters::<2>(level, vectors, products),
                (Format::F8, 4) => self.quarters::<4>(level, vectors, products),
                (Format::F8, _) => self.quarters::<8>(level, vectors, products),
                (_, 1) => self.bytes_by::<1>(level, vectors, products),
                (_, 2) => self.bytes_by::<2>(level, vectors, products),
                (_, 4) => self.bytes_by::<4>(level, vectors, products),
                (..) => self.bytes_by::<8>(level, vectors, products),
            }
            start += count;
        }
    }

    fn halves<const V: usize>(&self, level: Level, vectors: &[[&[u8]; 2]], products: &mut [&mut [u32]]) {
        let inputs = kernels::inputs::<V>(level, vectors, self.lanes, self.finite);
        let (met, values) = inputs.within(self.span.clone());
        for (block, first) in self.blocks.iter().zip((0..self.rows).step_by(ROWS)) {
            let end = self.rows.min(first + ROWS);
            let Some(block) = block else {
                products.iter_mut().for_each(|product| product[first..end].fill(0));
                continue;
            };
            let mut sums = [[0; ROWS]; V];
            kernels::halves(level, &self.lines(*block)[met.clone()], values, &mut sums);
            for (product, sums) in products.iter_mut().zip(&sums) {
                product[first..end].copy_from_slice(&sums[..end - first]);
            }
        }
        // Zero times infinity is NaN, in the weights that are not stored too.
        for (vector, product) in products.iter_mut().enumerate().filter(|(vector, _)| !inputs.finite[*vector])
        {
            let everywhere = inputs.special_outside(vector, &self.span);
            for (block, first) in self.blocks.iter().zip((0..self.rows).step_by(ROWS)) {
                if everywhere || block.is_none() {
                    product[first..self.rows.min(first + ROWS)].fill(NAN);
                }
            }
        }
    }

    fn bytes_by<const V: usize>(&self, level: Level, vectors: &[[&[u8]; 2]], products: &mut [&mut [u32]]) {
        let inputs = activations::bytes::<V>(vectors, self.lanes);
        let (met, values) = inputs.within(self.span.clone());
        for (block, first) in self.blocks.iter().zip((0..self.rows).step_by(ROWS)) {
            let end = self.rows.min(first + ROWS);
            let mut sums = [[0; ROWS]; V];
            if let Some(block) = block {
                kernels::bytes(level, &self.lines(*block)[met.clone()], values, &mut sums);
            }
            for (product, sums) in products.iter_mut().zip(&sums) {
                product[first..end].copy_from_slice(&sums[..end - first]);
            }
        }
    }

    fn quarters<const V: usize>(&self, level: Level, vectors: &[[&[u8]; 2]], products: &mut [&mut [u32]]) {
        let inputs = kernels::quarter_inputs::<V>(level, vectors, self.lanes);
        let (met, values) = inputs.within(self.span.clone());
        for (block, first) in self.blocks.iter().zip((0..self.rows).step_by(ROWS)) {
            let end = self.rows.min(first + ROWS);
            let mut sums = [[0; ROWS]; V];
            if let Some(block) = block {
                kernels::quarters(level, &self.lines(*block)[met.clone()], values, &mut sums);
            }
            for (product, sums) in products.iter_mut().zip(&sums) {
                product[first..end].copy_from_slice(&sums[..end - first]);
            }
        }
        // F8 has no infinities: a NaN comes of NaNs only, and the kernels take NaNs for numbers.
        for (product, finite) in products.iter_mut().zip(inputs.finite) {
            if finite {
                self.wrong.iter().for_each(|row| product[*row as usize] = NAN);
            } else {
                product[..self.rows].fill(NAN);
            }
        }
    }

    fn lines(&self, block: u32) -> &[Line] {
        let count = self.span.len();
        &self.lines[block as usize * count..][..count]
    }
}

//! Matrix tiles, multiplied by vector instructions of the host.

use isa::stream::Format;

/// The weights of an array, packed for products.
pub(crate) struct Tile {
    format: Format,
    lanes: usize,
    rows: usize,
}

impl Tile {
    /// `rows[n]`: the planes (low byte, high byte; I8 has one, and ignores the second) of weight row n, `lanes` bytes each, or none if
    /// it was not loaded.
    pub(crate) fn pack(format: Format, lanes: usize, rows: &[Option<[&[u8]; 2]>]) -> Tile {
        Tile { format, lanes, rows: rows.len() }
    }

    /// Bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        0
    }

    /// `vectors`: for each activation vector its planes; `products`: for each, one 32-bit result per row, as bits (f32 or i32).
    pub(crate) fn multiply(&self, vectors: &[[&[u8]; 2]], products: &mut [&mut [u32]]) {
        let _ = (vectors, products, self.format, self.lanes, self.rows);
        unimplemented!("products")
    }
}

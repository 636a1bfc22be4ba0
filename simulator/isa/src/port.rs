//! Ports: where the host finds a program's inputs, outputs and state in SRAM.

use crate::Hemisphere;

/// How the host uses a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortKind {
    /// Written before each run.
    Input,
    /// Read after each run.
    Output,
    /// Zero at first, kept from run to run; may be read and written.
    State,
}

/// Element type in SRAM. The host's own types are f32, i32 and bool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// 4 bytes.
    F32,
    /// 2 bytes; the host's f32 is rounded to nearest even.
    F16,
    /// 2 bytes; f16((x − f16(x)) × 2^11): what binary16 loses of the host's f32; 0 where f16(x) is not finite. Only beside an F16 port of the same name.
    F16Low,
    /// 4 bytes.
    I32,
    /// 4 bytes, all ones for true.
    Mask,
    /// 1 byte; the host's i32 is saturated.
    I8,
    /// 1 byte, [`crate::Format::F8`]; the host's f32 is rounded to nearest even and saturated.
    F8,
}

impl Element {
    /// Bytes per lane.
    pub fn bytes(self) -> usize {
        match self {
            Element::F32 | Element::I32 | Element::Mask => 4,
            Element::F16 | Element::F16Low => 2,
            Element::I8 | Element::F8 => 1,
        }
    }
}

/// Where an array [batches, rows, columns] lies: columns on lanes, cut into chunks of one vector each; the vector of (batch, row, chunk) lies in stripe
/// `(row % tile_rows) / rows_per_stripe` at word
/// `address + ((batch · tiles + row / tile_rows) · chunks + chunk) · rows_per_stripe + (row % tile_rows) % rows_per_stripe`,
/// with `tiles = ceil(rows / tile_rows)`. Byte b of each element is in the stripe's slice b (least significant first).
/// Lanes past the last column hold zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Placement {
    /// Leading axes, flattened.
    pub batches: u32,
    /// Rows of one batch.
    pub rows: u32,
    /// Length of the last axis.
    pub columns: u32,
    /// The last axis has length 1 and its element stands in every lane.
    pub broadcast: bool,
    /// Rows in one tile; a plain array has one tile.
    pub tile_rows: u32,
    /// Rows of a tile in one stripe.
    pub rows_per_stripe: u32,
    /// First word, the same in every slice.
    pub address: u32,
    /// Slices of each stripe, one per byte of the element.
    pub stripes: Vec<Vec<(Hemisphere, u16)>>,
}

impl Placement {
    /// Vectors per row on a machine with `lanes` lanes.
    pub fn chunks(&self, lanes: usize) -> u32 {
        if self.broadcast { 1 } else { self.columns.div_ceil(lanes as u32).max(1) }
    }

    /// Stripe and word of one vector.
    pub fn locate(&self, batch: u32, row: u32, chunk: u32, chunks: u32) -> (usize, u32) {
        let tiles = self.rows.div_ceil(self.tile_rows);
        let (tile, in_tile) = (row / self.tile_rows, row % self.tile_rows);
        let group = (batch * tiles + tile) * chunks + chunk;
        let word = self.address + group * self.rows_per_stripe + in_tile % self.rows_per_stripe;
        ((in_tile / self.rows_per_stripe) as usize, word)
    }

    /// Words taken in each slice.
    pub fn words(&self, lanes: usize) -> u32 {
        self.batches * self.rows.div_ceil(self.tile_rows) * self.chunks(lanes) * self.rows_per_stripe
    }
}

/// A named array that the host writes or reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// The model's name for it.
    pub name: String,
    /// Input, output or state.
    pub kind: PortKind,
    /// Type in SRAM.
    pub element: Element,
    /// The model's shape; its product is batches × rows × columns of all parts together.
    pub shape: Vec<u32>,
    /// Consecutive ranges of batches, or of rows, each placed by itself. Parts of equally many rows whose columns together make the last axis
    /// lie side by side. An input that is needed in several places has several ports of one name.
    pub parts: Vec<Placement>,
}

impl Port {
    /// For each part, the number of its first element, and how many elements further on its next row begins.
    pub fn origins(&self) -> Vec<(usize, usize)> {
        let width = self.shape.last().map_or(1, |&columns| columns as usize);
        let (mut offset, mut at) = (0, 0);
        let mut origins = Vec::new();
        while let Some(first) = self.parts.get(at) {
            let rows = (first.batches, first.rows);
            let mut columns = vec![0];
            for part in self.parts[at..].iter().take_while(|part| (part.batches, part.rows) == rows) {
                let sum = columns[columns.len() - 1] + part.columns as usize;
                columns.push(sum);
                if sum >= width {
                    break;
                }
            }
            // Parts that do not make up the last axis follow each other.
            if columns.pop() != Some(width) {
                columns = vec![0];
            }
            let pitch = if columns.len() == 1 { first.columns as usize } else { width };
            origins.extend(columns.iter().map(|column| (offset + column, pitch)));
            offset += rows.0 as usize * rows.1 as usize * pitch;
            at += columns.len();
        }
        origins
    }
}

//! Arrays in SRAM before they have addresses: which slices hold which byte of which vector.

use cranelift_entity::{PrimaryMap, entity_impl};
use isa::place::Hemisphere;
use isa::{Chip, Element};

use super::floorplan::Floorplan;
use crate::graph::NodeId;

/// An array; prints as `a5`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageId(u32);
entity_impl!(StorageId, "a");

/// How long an array lives, and who fills it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Part of the memory image: the value of a constant expression.
    Constant,
    /// A lane mask of the memory image: all ones (`false`: +inf / −inf) in lanes below the number.
    Mask {
        /// Lanes that count.
        lanes: usize,
        /// What the others become.
        kind: MaskKind,
    },
    /// Written by the host.
    Input(String),
    /// Read by the host.
    Output(String),
    /// Kept from run to run; name of the input and of the output.
    State(String, String),
    /// Written and read within a run.
    Temporary,
}

/// What a lane mask does to lanes past the last column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MaskKind {
    /// Bitwise and with it makes them zero.
    Zero,
    /// The lesser of it and them is −inf.
    NegativeInfinity,
}

/// A range of slices with a linear address space of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Region {
    /// A group of four slices, by number.
    Group(Hemisphere, u16),
    /// A pair of slices for the left operands of products.
    Pair(Hemisphere, u16),
    /// A set of slices striped with weights.
    Set(Hemisphere, u16),
}

/// An array [batches, rows, columns] with columns on lanes.
///
/// A tile of `tile_rows` rows of one batch is a unit, and lies in one hemisphere; rows of a tile are dealt to stripes in
/// blocks of `rows_per_stripe`. Word of (unit, chunk, row of block): (unit's index · chunks + chunk) · rows_per_stripe + row.
#[derive(Clone, Debug)]
pub struct Storage {
    /// The graph node whose value it holds.
    pub node: NodeId,
    /// Element type in SRAM.
    pub element: Element,
    /// Who fills it.
    pub role: Role,
    /// Last axis.
    pub columns: usize,
    /// One element in every lane.
    pub broadcast: bool,
    /// Vectors per row.
    pub chunks: u32,
    /// Leading axes.
    pub batches: u32,
    /// Rows of a batch.
    pub rows: u32,
    /// Rows of a tile.
    pub tile_rows: u32,
    /// Rows of a tile in one stripe.
    pub rows_per_stripe: u32,
    /// Region and index within it of each unit (batch · tiles + tile).
    pub units: Vec<(Region, u32)>,
}

/// Where a vector lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Region.
    pub region: Region,
    /// Stripe in it.
    pub stripe: u32,
    /// Word from the array's base in the region.
    pub word: u32,
}

impl Storage {
    /// Tiles of one batch.
    pub fn tiles(&self) -> u32 {
        self.rows.div_ceil(self.tile_rows)
    }

    /// Number of a vector, from its row (over all batches) and chunk.
    pub fn vector(&self, row: u32, chunk: u32) -> u32 {
        row * self.chunks + chunk
    }

    /// Number of vectors.
    pub fn vectors(&self) -> u32 {
        self.batches * self.rows * self.chunks
    }

    /// Where the vector of a row (over all batches) and chunk lies.
    pub fn locate(&self, row: u32, chunk: u32) -> Location {
        let (batch, row) = (row / self.rows, row % self.rows);
        let (tile, in_tile) = (row / self.tile_rows, row % self.tile_rows);
        let (region, index) = self.units[(batch * self.tiles() + tile) as usize];
        let stripe = in_tile / self.rows_per_stripe;
        let word = (index * self.chunks + chunk) * self.rows_per_stripe + in_tile % self.rows_per_stripe;
        Location { region, stripe, word }
    }

    /// Regions it lies in, and the words it takes in each.
    pub fn regions(&self) -> Vec<(Region, u32)> {
        let mut regions: Vec<(Region, u32)> = Vec::new();
        for &(region, index) in &self.units {
            let words = (index + 1) * self.chunks * self.rows_per_stripe;
            match regions.iter_mut().find(|(r, _)| *r == region) {
                Some((_, most)) => *most = (*most).max(words),
                None => regions.push((region, words)),
            }
        }
        regions
    }

    /// Bytes of SRAM it takes.
    pub fn bytes(&self, chip: &Chip, plan: &Floorplan) -> u64 {
        let slices = |region| plan.slices(region).len() as u64;
        let words: u64 =
            self.regions().iter().map(|&(region, words)| u64::from(words) * slices(region)).sum();
        words * chip.lanes as u64
    }
}

/// All arrays of a chip.
#[derive(Clone, Debug)]
pub struct Storages {
    /// By id.
    pub arrays: PrimaryMap<StorageId, Storage>,
    /// Which slices make up each region.
    pub plan: Floorplan,
}

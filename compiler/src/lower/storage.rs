//! Arrays in SRAM before they have addresses: which slices hold which byte of which vector.

use std::ops::Range;

use cranelift_entity::{PrimaryMap, entity_impl};
use isa::place::Hemisphere;
use isa::{Chip, Element, Format};

use super::floorplan::Floorplan;
use crate::graph::{Few, NodeId};

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
    /// The greatest integer in the lanes of columns, the least beyond, which wins no maximum.
    LeastInteger,
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
    /// The part of a set from which one plane loads weights.
    Strip(Hemisphere, u16, u8),
    /// A set, and slices of groups beside it.
    WideSet(Hemisphere),
    /// The part of that from which one plane loads weights.
    WideStrip(Hemisphere, u8),
}

/// How tiles are dealt over more stripes than arrive together. In a round, the first tile lies in the regular stripes; in each of the others,
/// the extra ones stand in for the next few of them. So each stripe has a part of all tiles of a round but one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deal {
    /// Tiles of a round.
    pub round: u32,
    /// Tiles (chunks of units) with as many rows a stripe that lie before this unit, from its word on.
    pub before: u32,
}

impl Deal {
    /// Blocks of rows that so many tiles take in a stripe.
    fn blocks(&self, tiles: u32) -> u32 {
        tiles / self.round * (self.round - 1) + (tiles % self.round).min(self.round - 1)
    }

    /// Where the rows of a tile lie that come `place`-th of those that arrive together: stripe of `all`, extra ones first, and block.
    fn place(&self, tile: u32, place: u32, all: u32) -> (u32, u32) {
        let (round, turn, extra) = (tile / self.round, tile % self.round, all / self.round);
        let first = round * (self.round - 1);
        let own = place / extra + 1;
        match turn == own {
            true => (place % extra, first + turn - 1),
            false => (extra + place, first + turn - u32::from(turn > own)),
        }
    }
}

/// Rows and chunks of an array that lie together in one region: rows dealt to stripes in blocks of `per_stripe`, each block of each chunk
/// at adjacent words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Where.
    pub region: Region,
    /// First stripe of the region.
    pub stripe: u32,
    /// First word, from the array's base in the region.
    pub word: u32,
    /// First row (over all batches).
    pub row: u32,
    /// Rows.
    pub rows: u32,
    /// First chunk.
    pub chunk: u32,
    /// Chunks.
    pub chunks: u32,
    /// Rows in one stripe.
    pub per_stripe: u32,
    /// How its chunks take turns on the stripes of a wide region.
    pub deal: Option<Deal>,
}

impl Unit {
    /// Words that it takes, with those of units that it is dealt together with.
    pub fn words(&self) -> u32 {
        let blocks = self.deal.map_or(self.chunks, |deal| deal.blocks(deal.before + self.chunks));
        blocks * self.per_stripe
    }

    /// The stripe of its region, which has `all`, and the word there of a chunk's rows that come `place`-th of those that arrive together.
    pub fn place(&self, chunk: u32, place: u32, all: u32) -> (u32, u32) {
        match self.deal {
            None => (self.stripe + place, self.block(chunk)),
            Some(deal) => {
                let (stripe, block) = deal.place(deal.before + chunk - self.chunk, place, all);
                (stripe, self.word + block * self.per_stripe)
            }
        }
    }

    /// What units of a region are in order by: the order in which they were laid out.
    pub fn turn(&self) -> (u32, u32) {
        (self.word, self.deal.map_or(0, |deal| deal.before))
    }

    /// The word of a chunk's first row of a stripe.
    pub fn block(&self, chunk: u32) -> u32 {
        self.word + (chunk - self.chunk) * self.per_stripe
    }
}

/// Images of height × width rows with rows of zeros around them, so that the window of a convolution is a pattern of distances between rows
/// wherever it lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Height and width of an image.
    pub size: [u32; 2],
    /// Zeros above and to the left.
    pub before: [u32; 2],
    /// Zeros below and to the right.
    pub after: [u32; 2],
}

impl Frame {
    /// Height and width with the zeros.
    pub fn framed(&self) -> [u32; 2] {
        [0, 1].map(|axis| self.before[axis] + self.size[axis] + self.after[axis])
    }

    /// A frame with the zeros of both; nothing if they are not around the same images.
    pub fn with(&self, other: &Frame) -> Option<Frame> {
        let most = |a: [u32; 2], b: [u32; 2]| [0, 1].map(|axis| a[axis].max(b[axis]));
        let (before, after) = (most(self.before, other.before), most(self.after, other.after));
        (self.size == other.size).then_some(Frame { size: self.size, before, after })
    }

    /// The framed row of an image's row.
    pub fn row(&self, row: u32) -> u32 {
        let [height, width] = self.size;
        let (image, y, x) = (row / (height * width), row / width % height, row % width);
        let [framed_height, framed_width] = self.framed();
        (image * framed_height + self.before[0] + y) * framed_width + self.before[1] + x
    }

    /// The framed rows of zeros of so many images.
    pub fn zeros(&self, images: u32) -> Vec<u32> {
        let [height, width] = self.framed();
        let inside =
            |axis: usize, at: u32| (self.before[axis]..self.before[axis] + self.size[axis]).contains(&at);
        let rows = 0..images * height * width;
        rows.filter(|row| !(inside(0, row / width % height) && inside(1, row % width))).collect()
    }
}

/// An array [batches, rows, columns] with columns on lanes.
///
/// It is cut into units. What a host or an index must find is cut evenly: a tile of `tile_rows` rows of one batch is a unit, with
/// `rows_per_stripe` rows a stripe. Weights of products are cut as the planes share the work; a unit that is there several times is for several
/// planes, each of which multiplies its share of the activations. What is too tall for a region, or written by several planes at once, lies
/// in several regions.
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
    /// Rows of `columns` elements that make up a row: the places of a convolution's window.
    pub taps: u32,
    /// Weights of four bits: rows of scales and pairs of rows, as the planes load them.
    pub few: Option<Few>,
    /// Zeros around images; `rows` counts them.
    pub frame: Option<Frame>,
    /// Leading axes.
    pub batches: u32,
    /// Rows of a batch.
    pub rows: u32,
    /// Rows of a tile.
    pub tile_rows: u32,
    /// Rows of a tile in one stripe.
    pub rows_per_stripe: u32,
    /// Words of a slice that a Scatter of columns, or a Gather from a small table, may choose from; 0 where there is none.
    pub scattered: u32,
    /// Matrices that an index chooses from, if it does: units are of one of them, and each of its words is followed by the same word of the others,
    /// so that a window of them begins at any word and lies in one bank. Else 1.
    pub choices: u32,
    /// Its parts, by first row and then first chunk.
    pub units: Vec<Unit>,
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
    /// The format in which the planes load it.
    pub fn loaded(&self) -> Format {
        match (self.few, &self.role) {
            (Some(few), _) => few.format(),
            (None, Role::State(..)) if self.element == Element::F8 => Format::F8Wide,
            _ => super::pass::format(self.element),
        }
    }

    /// The rows of an array of a matrix of so many: of weights of four bits, those of the buffer.
    pub fn rows_of(few: Option<Few>, rows: u32, chip: &Chip) -> u32 {
        if few.is_none() {
            return rows;
        }
        let plane = u32::from(chip.mxm.rows);
        rows / plane * chip.four_bit_rows(plane) + chip.four_bit_rows(rows % plane)
    }

    /// Rows of the array that a plane holds.
    pub fn tile(&self, chip: &Chip) -> u32 {
        chip.buffer_rows(self.loaded()).into()
    }

    /// Tiles of one batch.
    pub fn tiles(&self) -> u32 {
        self.rows.div_ceil(self.tile_rows)
    }

    /// A row (over all batches) of the tensor as a row of the array.
    pub fn row(&self, row: u32) -> u32 {
        self.frame.map_or(row, |frame| frame.row(row))
    }

    /// Number of a vector, from its row in the array and chunk.
    pub fn vector(&self, row: u32, chunk: u32) -> u32 {
        row * self.chunks + chunk
    }

    /// Number of vectors.
    pub fn vectors(&self) -> u32 {
        self.batches * self.rows * self.chunks
    }

    /// Where the vector of a row of the array and chunk lies.
    pub fn locate(&self, row: u32, chunk: u32) -> Location {
        let unit = &self.units[self.unit(row, chunk)];
        let (stripe, in_stripe) = ((row - unit.row) / unit.per_stripe, (row - unit.row) % unit.per_stripe);
        Location { region: unit.region, stripe: unit.stripe + stripe, word: unit.block(chunk) + in_stripe }
    }

    /// Words that a Gather or a Scatter may choose from, if rows are found by their numbers; else 1.
    pub fn indexed_words(&self) -> u32 {
        if self.choices > 1 {
            return self.choices;
        }
        if self.scattered > 0 {
            return self.scattered;
        }
        let found =
            |unit: &Unit| matches!(unit.region, Region::Set(..)) && unit.per_stripe == self.rows_per_stripe;
        if self.units.iter().all(found) { self.rows_per_stripe.max(1) } else { 1 }
    }

    /// How often each unit of weights is there.
    pub fn copies(&self) -> usize {
        let first = self.units.first().map(|unit| (unit.row, unit.chunk));
        self.units.iter().take_while(|unit| Some((unit.row, unit.chunk)) == first).count().max(1)
    }

    /// Index of the unit of a row and chunk.
    fn unit(&self, row: u32, chunk: u32) -> usize {
        let after = self.units.partition_point(|unit| unit.row <= row);
        let first = self.units[after - 1].row;
        let from = self.units[..after].partition_point(|unit| unit.row < first);
        from + self.units[from..after].partition_point(|unit| unit.chunk <= chunk) - 1
    }

    /// The only unit of an array that lies in one piece.
    pub fn whole(region: Region, rows: u32, chunks: u32) -> Vec<Unit> {
        vec![unit(region, 0..rows, 0..chunks)]
    }

    /// Room for a vector per row within a run of the program, in one region.
    pub fn temporary(node: NodeId, element: Element, lanes: usize, rows: u32, region: Region) -> Storage {
        Storage {
            node,
            element,
            role: Role::Temporary,
            columns: lanes,
            broadcast: false,
            chunks: 1,
            taps: 1,
            few: None,
            frame: None,
            batches: 1,
            rows,
            tile_rows: rows,
            rows_per_stripe: rows,
            scattered: 0,
            choices: 1,
            units: Storage::whole(region, rows, 1),
        }
    }

    /// Puts the array into one region in one piece.
    pub fn lie(&mut self, region: Region) {
        self.units = Storage::whole(region, self.batches * self.rows, self.chunks);
    }

    /// Makes the array one of images with zeros around them.
    pub fn enclose(&mut self, frame: Frame) {
        let [height, width] = frame.framed();
        self.rows = self.batches * self.rows / (frame.size[0] * frame.size[1]) * height * width;
        self.batches = 1;
        (self.tile_rows, self.rows_per_stripe) = (self.rows, self.rows);
        self.frame = Some(frame);
    }

    /// Makes the array one of weights [rows, places of a window, columns].
    pub fn window(&mut self, places: u32) {
        self.rows = self.batches * self.rows / places;
        self.batches = 1;
        (self.tile_rows, self.rows_per_stripe) = (self.rows, self.rows);
        self.taps = places;
        self.chunks *= places;
    }

    /// Spreads the array over several regions: chunks in turns, or where there are fewer of them than regions, equal ranges of rows.
    pub fn spread(&mut self, regions: &[Region]) {
        let (rows, count) = (self.batches * self.rows, regions.len() as u32);
        if self.chunks < count {
            return self.band(regions);
        }
        let place = |chunk: u32| regions[(chunk % count) as usize];
        self.units = (0..self.chunks).map(|chunk| unit(place(chunk), 0..rows, chunk..chunk + 1)).collect();
        self.stack();
    }

    /// Spreads the array over several regions by equal ranges of rows.
    pub fn band(&mut self, regions: &[Region]) {
        let (rows, chunks) = (self.batches * self.rows, self.chunks);
        self.units = parts(rows, regions).map(|(region, rows)| unit(region, rows, 0..chunks)).collect();
        self.stack();
    }

    /// Spreads the array over several regions by equal ranges of chunks.
    pub fn split(&mut self, regions: &[Region]) {
        let (rows, chunks) = (self.batches * self.rows, self.chunks);
        self.units = parts(chunks, regions).map(|(region, chunks)| unit(region, 0..rows, chunks)).collect();
        self.stack();
    }

    /// Puts units of one region one after the other.
    fn stack(&mut self) {
        let mut next: Vec<(Region, u32)> = Vec::new();
        for unit in &mut self.units {
            let words = unit.words();
            match next.iter_mut().find(|(region, _)| *region == unit.region) {
                Some((_, word)) => (unit.word, *word) = (*word, *word + words),
                None => next.push((unit.region, words)),
            }
        }
    }

    /// Whether ranges of rows lie in different regions.
    pub fn is_banded(&self) -> bool {
        self.units.len() > 1 && self.units.iter().all(|unit| unit.chunks == self.chunks)
    }

    /// The region of an array that lies in one piece.
    pub fn region(&self) -> Region {
        self.units[0].region
    }

    /// Regions it lies in, and the words it takes in each.
    pub fn regions(&self) -> Vec<(Region, u32)> {
        let mut regions: Vec<(Region, u32)> = Vec::new();
        for unit in &self.units {
            let words = (unit.word + unit.words()) * self.choices;
            match regions.iter_mut().find(|(region, _)| *region == unit.region) {
                Some((_, most)) => *most = (*most).max(words),
                None => regions.push((unit.region, words)),
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

/// Equal ranges of rows or chunks, one for each region.
fn parts(all: u32, regions: &[Region]) -> impl Iterator<Item = (Region, Range<u32>)> {
    let first = move |part: u64| (u64::from(all) * part / regions.len() as u64) as u32;
    regions.iter().zip(0..).map(move |(&region, part)| (region, first(part)..first(part + 1)))
}

/// Rows and chunks in one piece, from the first word on.
fn unit(region: Region, rows: Range<u32>, chunks: Range<u32>) -> Unit {
    Unit {
        region,
        stripe: 0,
        word: 0,
        row: rows.start,
        rows: rows.len() as u32,
        chunk: chunks.start,
        chunks: chunks.len() as u32,
        per_stripe: (rows.len() as u32).max(1),
        deal: None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_dealt_in_rounds_leave_no_holes_and_never_meet() {
        // 16 parts of a tile arrive together; they lie in 20 stripes.
        let (deal, tiles) = (Deal { round: 5, before: 0 }, 23);
        let mut places = std::collections::BTreeSet::new();
        for tile in 0..tiles {
            let stripes: std::collections::BTreeSet<u32> =
                (0..16).map(|place| deal.place(tile, place, 20).0).collect();
            assert_eq!(stripes.len(), 16, "tile {tile}: a slice reads one word a cycle");
            places.extend((0..16).map(|place| deal.place(tile, place, 20)));
        }
        assert_eq!(places.len(), 23 * 16, "no two parts in one place");
        assert!(places.iter().all(|&(stripe, block)| stripe < 20 && block < deal.blocks(tiles)));
        assert_eq!(deal.blocks(25) * 20, 25 * 16, "whole rounds fill all stripes");
    }
}

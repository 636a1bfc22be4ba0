//! Products: a conveyor for each site, and the addition of the sums of tiles that were cut along k.

use std::collections::BTreeMap;

use isa::instruction::VxmOp;
use isa::place::Hemisphere;
use isa::{Chip, Element};

use super::alu::{AluProgram, Value};
use super::arrays::{Arrays, Forms};
use super::conv::Taps;
use super::conveyor::{Belt, Target, Work};
use super::flow::Flow;
use super::pass::{Feed, Pass};
use super::storage::{Region, Storage, StorageId, Unit};
use super::tiling::Site;
use super::vxm::{cut, pieces};
use crate::diagnostic::Diagnostic;
use crate::graph::NodeId;

/// For each batch of the weights, or each row of the index that chooses it: rows of the activations and of the result.
pub type Sharing = BTreeMap<u32, Vec<(u32, u32)>>;

/// The same, of some activations, for each copy of the weights.
type Shares = BTreeMap<u32, Vec<Vec<(u32, u32)>>>;

/// A product.
pub struct Tiled<'a> {
    /// The machine.
    pub chip: &'a Chip,
    /// The product.
    pub node: NodeId,
    /// Weights.
    pub weights: StorageId,
    /// Activations in each hemisphere.
    pub left: [StorageId; 2],
    /// The index that chooses the weights, if one does: by plane, in each hemisphere.
    pub index: Option<[[StorageId; 2]; 2]>,
    /// The result.
    pub out: StorageId,
    /// Of a convolution, where a window's places are.
    pub taps: Option<Taps>,
}

/// The parts of tiles that were cut, by batch and chunk of the result: arrays of their sums, and the result's rows.
type Parts = BTreeMap<(u32, u32), (Vec<StorageId>, Vec<u32>)>;

impl Tiled<'_> {
    /// The flows, in an order in which each comes after what it depends on.
    pub fn flows(&self, arrays: &mut Arrays, sharing: &Sharing) -> Result<Vec<Flow>, Diagnostic> {
        let most = usize::from(self.chip.mxm.accumulators);
        let copies = arrays.storages.arrays[self.weights].copies();
        let share = |rows: &[(u32, u32)]| rows.len().div_ceil(copies).max(1);
        let blocks = sharing.values().map(|rows| share(rows).div_ceil(most)).max().unwrap_or(0);
        let mut flows = Vec::new();
        for block in 0..blocks {
            let of_block = |rows: &[(u32, u32)]| -> Vec<Vec<(u32, u32)>> {
                let shares = rows.chunks(share(rows));
                // Equal blocks, so that none is shorter than its weights take to load.
                let shares = shares.map(|share| share.chunks(share.len().div_ceil(blocks)).nth(block));
                shares.map(|rows| rows.unwrap_or(&[]).to_vec()).collect()
            };
            let of_block = sharing.iter().map(|(batch, rows)| (*batch, of_block(rows))).collect();
            flows.extend(self.block(arrays, &of_block)?);
        }
        Ok(flows)
    }

    /// As many activations as there are accumulators.
    fn block(&self, arrays: &mut Arrays, sharing: &Shares) -> Result<Vec<Flow>, Diagnostic> {
        let (work, parts) = self.work(arrays, sharing);
        let weights = &arrays.storages.arrays[self.weights];
        let tiles = weights.rows.div_ceil(weights.tile(self.chip));
        let mut sites: BTreeMap<Region, Vec<Work>> = BTreeMap::new();
        for own in work {
            sites.entry(own.units[0].region).or_default().push(own);
        }
        let mut flows = Vec::new();
        for (region, mut work) in sites {
            let Some(site) = Site::of(region) else { continue };
            // Stable: choices stay in turn.
            work.sort_by_key(|own| own.units[0].turn());
            let half = usize::from(site.hemisphere == Hemisphere::West);
            let (left, taps) = (self.left[half], self.taps.as_ref());
            let index = self.index.map(|index| index[usize::from(site.plane)][half]);
            let (chip, node, weights) = (self.chip, self.node, self.weights);
            let belt = Belt { chip, arrays, node, weights, left, index, taps };
            // What has more of k than of rows may begin before all of k is there; else results come early.
            let sums: usize = work.iter().map(|own| own.rows.len()).sum();
            let weights = &arrays.storages.arrays[self.weights];
            let by_chunk = weights.chunks > tiles && sums <= usize::from(self.chip.mxm.accumulators);
            flows.push(belt.flow(site, &work, by_chunk));
        }
        for (chunk, (storages, rows)) in parts {
            flows.extend(self.addition(arrays, chunk, &storages, &rows)?);
        }
        Ok(flows)
    }

    /// What each unit multiplies, and the parts to be added.
    fn work(&self, arrays: &mut Arrays, sharing: &Shares) -> (Vec<Work>, Parts) {
        let weights = arrays.storages.arrays[self.weights].clone();
        let lanes = weights.tile(self.chip);
        let mut work = Vec::new();
        let mut parts = Parts::new();
        // Batch and chunk of the result's columns.
        let tile = |unit: &Unit| (unit.row / weights.rows, unit.row % weights.rows / lanes);
        let next = |a: &Unit, b: &Unit| tile(a) == tile(b) && a.chunk == b.chunk && a.row + a.rows == b.row;
        let mut copies: BTreeMap<(u32, u32), usize> = BTreeMap::new();
        for units in weights.units.chunk_by(next) {
            let (batch, chunk) = tile(&units[0]);
            let copy = copies.entry((units[0].row, units[0].chunk)).or_default();
            // What an index chooses from lies in the same units, which work for each choice in turn.
            let batches = if self.index.is_some() { 0..=u32::MAX } else { batch..=batch };
            let turns = sharing.range(batches).filter_map(|(&of, shares)| Some((of, shares.get(*copy)?)));
            let turns: Vec<(u32, &Vec<(u32, u32)>)> = turns.filter(|(_, rows)| !rows.is_empty()).collect();
            *copy += 1;
            let all: Vec<u32> = turns.iter().flat_map(|(_, rows)| rows.iter().map(|(_, row)| *row)).collect();
            let part = (units[0].chunks != weights.chunks && !all.is_empty()).then(|| {
                let (storages, results) = parts.entry((batch, chunk)).or_default();
                let storage = self.partial(arrays, &units[0], storages, chunk, all.len() as u32);
                storages.push(storage);
                *results = all;
                storage
            });
            let mut first = 0;
            for (of, rows) in turns {
                let (units, choice) = (units.to_vec(), self.index.map(|_| of));
                let (rows, target) = match part {
                    None => (rows.clone(), Target { storage: self.out, chunk }),
                    Some(storage) => {
                        let rows = rows.iter().zip(first..).map(|((left, _), at)| (*left, at));
                        (rows.collect(), Target { storage, chunk: 0 })
                    }
                };
                first += rows.len() as u32;
                work.push(Work { units, rows, target, choice });
            }
        }
        (work, parts)
    }

    /// An array for the sums of a part, in other slices than its fellows and the result; or where the part's site writes whole tiles, if that
    /// is its own place.
    fn partial(
        &self,
        arrays: &mut Arrays,
        unit: &Unit,
        fellows: &[StorageId],
        chunk: u32,
        rows: u32,
    ) -> StorageId {
        let groups = arrays.storages.plan.groups;
        let regions = (0..groups).flat_map(|n| Hemisphere::BOTH.map(|half| Region::Group(half, n)));
        let taken: Vec<Region> = fellows.iter().map(|&id| arrays.storages.arrays[id].region()).collect();
        let out = &arrays.storages.arrays[self.out];
        let place = out.locate(0, chunk).region;
        // Fellows may be read in turns; what is written at the same time may not share a bank with them.
        let clashes =
            |region: &Region| (*region == place, taken.iter().filter(|other| *other == region).count());
        let weights = &arrays.storages.arrays[self.weights];
        let lanes = weights.tile(self.chip);
        let whole = |other: &&Unit| other.region == unit.region && other.chunks == weights.chunks;
        let own = weights.units.iter().find(whole).filter(|_| out.units.len() > 1);
        let own = own.map(|own| out.locate(0, own.row % weights.rows / lanes).region);
        let region = own.or(regions.min_by_key(clashes)).unwrap_or(Region::Group(Hemisphere::East, 0));
        let element = out.element;
        arrays.storages.arrays.push(Storage::temporary(self.node, element, self.chip.lanes, rows, region))
    }

    /// Adds the sums of a tile's parts.
    fn addition(
        &self,
        arrays: &Arrays,
        (_, chunk): (u32, u32),
        parts: &[StorageId],
        rows: &[u32],
    ) -> Result<Vec<Flow>, Diagnostic> {
        let space: Vec<(u32, u32)> = rows.iter().map(|&row| (row, chunk)).collect();
        let vectors: Vec<(u32, u32)> = (0..rows.len() as u32).map(|row| (row, 0)).collect();
        let feeds: Vec<Feed> =
            parts.iter().map(|&storage| Feed { storage, vectors: vectors.clone() }).collect();
        let mut program = AluProgram::default();
        let add =
            if arrays.storages.arrays[self.out].element == Element::I32 { VxmOp::IntAdd } else { VxmOp::Add };
        let mut sum = Value::Input(0);
        for part in 1..parts.len() {
            sum = program.push(add, sum, Some(Value::Input(part)));
        }
        let results = [(Forms { plain: Some(self.out), ..Forms::default() }, sum)];
        pieces(arrays, &space, &feeds, &results)
            .into_iter()
            .map(|part| {
                let space = &space[part.clone()];
                let pass = Pass { chip: self.chip, arrays, node: self.node, name: "add", space };
                pass.flow(&cut(&feeds, &part), &program, &results)
            })
            .collect()
    }
}

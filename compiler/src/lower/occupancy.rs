//! Roomy layouts, for tall activations: each lies in as many regions as it is tall, and together they get as many slices as they need at once.
//!
//! Where an array goes is decided by how long it lives, in the order in which kernels are made, so that each slice has room for those that
//! are alive at once.

use std::collections::BTreeMap;
use std::ops::Range;

use cranelift_entity::SecondaryMap;
use isa::{Chip, Hemisphere};

use super::alu::is_pointwise;
use super::context::Context;
use super::floorplan::{Floorplan, Room};
use super::fuse::Groups;
use super::moves::is_move;
use super::order::{Work, order};
use super::spread::{WEIGHTS, is_product};
use super::storage::{Region, Role, Storage, StorageId, Storages, Unit};
use crate::graph::{NodeId, Op};

/// The part of a slice that is given away, in percent: what is free is seldom in one piece.
const FULL: u32 = 90;
/// Pieces of a bank that an array is cut into, if it is longer than one.
const PIECES: u32 = 2;

/// What activations get of what they need, in percent.
const SPARE: u64 = 200;
/// What weights get of what they need, in percent.
const TIGHT: u64 = 115;

/// Where an array may be cut to lie in several regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    Nowhere,
    Rows,
    Anywhere,
}

/// When an array is alive: the first and the last of the pieces of work that touch it.
type Life = (usize, usize);

/// What is in which slice when.
pub(super) struct Occupancy {
    chip: Chip,
    lives: SecondaryMap<NodeId, Life>,
    cuts: SecondaryMap<NodeId, Cut>,
    taken: BTreeMap<(Hemisphere, u16), Vec<(Life, u32)>>,
}

impl Occupancy {
    /// Nothing is taken.
    pub(super) fn new(context: &Context<'_>, groups: &Groups, chip: &Chip) -> Occupancy {
        Occupancy {
            chip: chip.clone(),
            lives: lives(context, groups),
            cuts: cuts(context),
            taken: BTreeMap::new(),
        }
    }

    /// The slices that the arrays of another layout need at once.
    pub(super) fn room(&self, ordinary: &Storages) -> Room {
        let peak = |of: fn(&Region) -> bool| {
            let mut changes: BTreeMap<usize, i64> = BTreeMap::new();
            for array in ordinary.arrays.values() {
                let (first, last) = self.life(array);
                let words: u32 =
                    array.regions().iter().filter(|(region, _)| of(region)).map(|(_, words)| words).sum();
                *changes.entry(first).or_default() += i64::from(words);
                *changes.entry(last.saturating_add(1)).or_default() -= i64::from(words);
            }
            let alive = changes.values().scan(0, |alive, change| {
                *alive += change;
                Some(*alive)
            });
            // Each hemisphere has its copy of left operands, and half of the rest.
            let words = alive.max().unwrap_or(0).cast_unsigned() / 2;
            (words * SPARE).div_ceil(100 * u64::from(self.chip.words_per_slice()))
        };
        let pairs = peak(|region| matches!(region, Region::Pair(..))).max(Room::LEAST.pairs.into());
        // One more, since the last is for constants.
        let groups = 1 + peak(|region| matches!(region, Region::Group(..))).max(Room::LEAST.groups.into());
        let beside = |array: &&Storage| !matches!(array.region(), Region::Group(..) | Region::Pair(..));
        let weights = ordinary.arrays.values().filter(|array| !array.units.is_empty()).filter(beside);
        let weights: u64 = weights.map(|array| array.bytes(&self.chip, &ordinary.plan)).sum();
        let slice = u64::from(self.chip.words_per_slice()) * self.chip.lanes as u64;
        let weights = (weights * TIGHT).div_ceil(200 * slice).max(WEIGHTS.into());
        let most = u64::from(self.chip.mem.slices_per_hemisphere).saturating_sub(weights);
        let all = 2 * pairs + 4 * groups;
        let share = |count: u64, least: u16| ((count * most.min(all) / all) as u16).max(least);
        Room { pairs: share(pairs, Room::LEAST.pairs), groups: share(groups, Room::LEAST.groups) }
    }

    /// Puts a 32-bit array into groups; the last ones are for constants where some arrays are dealt over all of the others (`spreads`). One that is
    /// `dealt` lies in as many as planes write at once, one that is `halved` in both hemispheres alike.
    pub(super) fn groups(
        &mut self,
        storages: &Storages,
        storage: &mut Storage,
        (spreads, dealt, halved): (bool, bool, bool),
        near: [Vec<StorageId>; 2],
    ) {
        let groups = storages.plan.groups;
        let own = if spreads && storage.role != Role::Constant { 0..groups - 1 } else { 0..groups };
        let by = match (dealt, halved) {
            (true, _) => 2 * u32::from(self.chip.mxm.planes_per_hemisphere),
            (_, true) => 2,
            _ => 1,
        };
        let regions = |turn: u32| {
            let halves = Hemisphere::BOTH.into_iter();
            let halves = halves.filter(|&half| by == 1 || half == Hemisphere::BOTH[turn as usize % 2]);
            halves.flat_map(|half| own.clone().map(move |n| Region::Group(half, n))).collect()
        };
        let cut = self.cuts[storage.node];
        self.place(storages, storage, (cut, by), &regions, near);
    }

    /// Puts a left operand into pairs of a hemisphere.
    pub(super) fn pairs(&mut self, storages: &Storages, storage: &mut Storage, half: Hemisphere) {
        let regions = |_| (0..storages.plan.pairs).map(|n| Region::Pair(half, n)).collect();
        self.place(storages, storage, (Cut::Anywhere, 1), &regions, Default::default());
    }

    /// Puts an array where there is room for as long as it lives: in one region, or if it may be cut, in as many times `by` as make each piece
    /// short. `regions` has the choice for each piece in turn; best is one without what is read while it is written, nor what is read with
    /// it (`near`).
    fn place(
        &mut self,
        storages: &Storages,
        storage: &mut Storage,
        (cut, by): (Cut, u32),
        regions: &dyn Fn(u32) -> Vec<Region>,
        near: [Vec<StorageId>; 2],
    ) {
        let plan = &storages.plan;
        let rows = storage.batches * storage.rows;
        let by_chunks = cut == Cut::Anywhere && storage.chunks > rows;
        let (long, wide) = if by_chunks { (storage.chunks, rows) } else { (rows, storage.chunks) };
        let words = |count: u32| long.div_ceil(count) * wide;
        let short = |count: &u32| *count >= long || words(*count) <= self.chip.mem.words_per_bank / PIECES;
        let count = match cut {
            Cut::Nowhere => 1,
            _ => (by..).step_by(by as usize).find(short).unwrap_or(by).min(long.max(1)),
        };
        let life = self.life(storage);
        let mut chosen: Vec<Region> = Vec::new();
        for turn in 0..count {
            let piece = |turn: u32| (u64::from(long) * u64::from(turn) / u64::from(count)) as u32;
            let piece = if by_chunks { 0..rows } else { piece(turn)..piece(turn + 1) };
            let rank = |region: &Region| {
                let clash = |id: &&StorageId| meets(&storages.arrays[**id], *region, (rows, &piece));
                let clashes = near.each_ref().map(|with| with.iter().filter(clash).count());
                let (most, own) = (self.most(plan, *region, life), chosen.iter().filter(|&r| r == region));
                let own = own.count() as u32;
                let full = most + (own + 1) * words(count) > self.chip.words_per_slice() * FULL / 100;
                (full, own, clashes, most, *region)
            };
            chosen.extend(regions(turn).into_iter().min_by_key(rank));
        }
        match chosen.as_slice() {
            [one] => storage.lie(*one),
            several if by_chunks => storage.split(several),
            several => storage.band(several),
        }
        self.note(storage, plan);
    }

    /// The most words of a slice of a region that are taken at any time of a life.
    fn most(&self, plan: &Floorplan, region: Region, life: Life) -> u32 {
        let at = |slice: u16| {
            let taken = self.taken.get(&(region.hemisphere(), slice)).map_or(&[][..], Vec::as_slice);
            let alive = taken.iter().filter(|((first, last), _)| *first <= life.1 && life.0 <= *last);
            let alive: Vec<_> = alive.collect();
            // The most is reached when one of them begins, or at the first moment.
            let begins = alive.iter().map(|((first, _), _)| (*first).max(life.0));
            let then = |at: usize| {
                let there = alive.iter().filter(|((first, last), _)| (*first..=*last).contains(&at));
                there.map(|(_, words)| words).sum::<u32>()
            };
            begins.map(then).max().unwrap_or(0)
        };
        plan.slices(region).map(at).max().unwrap_or(0)
    }

    fn life(&self, storage: &Storage) -> Life {
        match storage.role {
            Role::Temporary => self.lives[storage.node],
            Role::Output(_) => (self.lives[storage.node].0, usize::MAX),
            _ => (0, usize::MAX),
        }
    }

    fn note(&mut self, storage: &Storage, plan: &Floorplan) {
        let life = self.life(storage);
        for (region, words) in storage.regions() {
            for slice in plan.slices(region) {
                self.taken.entry((region.hemisphere(), slice)).or_default().push((life, words));
            }
        }
    }
}

/// Whether an array has rows in a region; of one with as many rows, the same ones.
fn meets(array: &Storage, region: Region, (rows, piece): (u32, &Range<u32>)) -> bool {
    let like = array.batches * array.rows == rows;
    let there = |unit: &Unit| unit.row < piece.end && piece.start < unit.row + unit.rows;
    array.units.iter().any(|unit| unit.region == region && (!like || there(unit)))
}

/// The life of each base.
fn lives(context: &Context<'_>, groups: &Groups) -> SecondaryMap<NodeId, Life> {
    let mut at: SecondaryMap<NodeId, usize> = SecondaryMap::new();
    for (turn, work) in order(context, groups).into_iter().enumerate() {
        match work {
            Work::Node(node) => at[node] = turn,
            Work::Group(group) => groups.groups[group].nodes.iter().for_each(|&node| at[node] = turn),
        }
    }
    let mut lives: SecondaryMap<NodeId, Life> = SecondaryMap::new();
    for (node, data) in context.graph.nodes.iter() {
        lives[node] = (at[node], at[node]);
        for base in data.inputs.iter().map(|&input| context.base(input)) {
            lives[base].1 = lives[base].1.max(at[node]);
        }
    }
    lives
}

/// How each base may be cut in 32 bits: kernels that look where each vector is take any piece, reductions whole rows.
fn cuts(context: &Context<'_>) -> SecondaryMap<NodeId, Cut> {
    let mut cuts: SecondaryMap<NodeId, Cut> = SecondaryMap::with_default(Cut::Anywhere);
    for (node, data) in context.graph.nodes.iter() {
        let skipped = context.constant[node] || context.is_pure_view(node);
        let looks = is_pointwise(&data.op)
            || is_product(&data.op)
            || is_move(context, node)
            || matches!(data.op, Op::Input(_) | Op::Gather { .. });
        let cut = match data.op {
            _ if skipped || looks => continue,
            Op::Reduce { .. } => Cut::Rows,
            _ => {
                cuts[node] = Cut::Nowhere;
                Cut::Nowhere
            }
        };
        for base in data.inputs.iter().map(|&input| context.base(input)) {
            cuts[base] = cuts[base].min(cut);
        }
    }
    for state in &context.graph.states {
        cuts[state.input] = Cut::Nowhere;
    }
    cuts
}

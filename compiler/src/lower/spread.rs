//! Arrays that lie in several regions: those too tall for one, and those that several planes write at once.
//!
//! A region is as tall as a slice. Where the arrays of a program are taller, it gets more regions beside its weights; a 32-bit array of many
//! vectors that only products and pointwise passes touch is dealt over all groups, so that planes write, and passes read, side by side.

use cranelift_entity::SecondaryMap;
use isa::{Chip, Hemisphere};

use super::alu::is_pointwise;
use super::context::Context;
use super::floorplan::{Floorplan, Room};
use super::legalize::appends_columns;
use super::storage::{Region, Role, Storage};
use crate::graph::{NodeId, Op};

/// How far a 32-bit array is spread, or may be. In a chip of few banks, a pass over arrays in many places may have to read and write one bank at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spread {
    /// In one piece.
    One,
    /// A tall one over several groups, as many as planes can write at once.
    Groups,
    /// Others over both hemispheres, by rows.
    Hemispheres,
}

impl Spread {
    /// From the best to what always has a schedule.
    pub const ALL: [Spread; 3] = [Spread::Hemispheres, Spread::Groups, Spread::One];
}

/// Arrays of fewer vectors lie in one piece.
const SPREAD: u32 = 512;
/// Arrays of fewer vectors lie in one hemisphere.
const HALVED: usize = 32;
/// Slices of a hemisphere that are left for weights in any case.
pub(super) const WEIGHTS: u16 = 8;

/// Whether a node is a product, whatever the shape of its left operand.
pub fn is_product(op: &Op) -> bool {
    matches!(op, Op::MatMul { .. } | Op::Conv { .. })
}

/// The room that the tallest arrays need: left operands of two products, and three 32-bit arrays.
pub fn room(context: &Context<'_>, chip: &Chip, spreadable: &SecondaryMap<NodeId, bool>) -> Room {
    let (mut left, mut given, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for (node, data) in context.graph.nodes.iter() {
        if context.constant[node] || context.is_pure_view(node) || matches!(data.op, Op::Input(_)) {
            continue;
        }
        let regions = |node: NodeId, words: u32| {
            let chunks = context.columns(node).div_ceil(chip.lanes).max(1) as u32;
            (least(context.rows(node) as u32, chunks, words), node)
        };
        if is_product(&data.op) {
            let base = context.base(data.inputs[0]);
            let stays = matches!(context.graph.nodes[base].op, Op::Input(_));
            if stays { &mut given } else { &mut left }.push(regions(base, chip.words_per_slice()));
        }
        // States stay as they are; what is appended to those by columns is turned on the way.
        let stays = matches!(data.op, Op::Append { .. } | Op::Transpose { .. });
        if !stays && !data.ty.element.is_narrow() {
            plain.push(regions(node, chip.mem.words_per_bank));
        }
    }
    let tallest = |mut list: Vec<(u32, NodeId)>, count: usize| {
        list.sort_unstable();
        list.dedup();
        list.iter().rev().take(count).map(|(regions, _)| *regions).sum::<u32>() as u16
    };
    // What the host gives stays where it is. Arrays that are not tall share pairs, and half of one is to spare in any case.
    given.sort_unstable();
    given.dedup();
    let (tall, short): (Vec<_>, Vec<_>) = given.into_iter().partition(|(regions, _)| *regions > 1);
    let words = |node: NodeId| context.rows(node) * context.columns(node).div_ceil(chip.lanes).max(1);
    let shared: usize = short.into_iter().map(|(_, node)| words(node)).sum();
    let shared = shared.saturating_sub(chip.words_per_slice() as usize / 2);
    let shared = shared.div_ceil(chip.words_per_slice() as usize) as u16;
    let pairs = tallest(tall, usize::MAX) + shared + tallest(left, 2);
    let banks = tallest(plain.clone(), 3);
    // A group has several banks, of which an array takes one; each hemisphere has its half of the groups.
    let planes = 2 * chip.mxm.planes_per_hemisphere as u16;
    let one = tallest(plain, 1).next_multiple_of(planes.max(1)).div_ceil(2);
    let groups = banks.div_ceil(2 * chip.mem.banks as u16).max(one);
    // Constants that passes read all the time lie beside arrays that are spread, not among them.
    let groups = groups.max(Room::LEAST.groups) + u16::from(spreads(context, chip, spreadable));
    let most = chip.mem.slices_per_hemisphere.saturating_sub(weights(context, chip));
    let pairs = pairs.min(most / 4).max(Room::LEAST.pairs);
    Room { pairs, groups: groups.min(most.saturating_sub(2 * pairs) / 4).max(Room::LEAST.groups) }
}

/// Slices of a hemisphere that stay for weights: states by columns want a stripe for each lane of a superlane.
fn weights(context: &Context<'_>, chip: &Chip) -> u16 {
    let some = context.graph.nodes.values().any(appends_columns);
    if some { 2 * chip.lanes_per_superlane as u16 } else { WEIGHTS }
}

/// Whether some array is dealt over several groups.
pub fn spreads(context: &Context<'_>, chip: &Chip, spreadable: &SecondaryMap<NodeId, bool>) -> bool {
    let computed = |&node: &NodeId| !context.constant[node] && !context.is_pure_view(node);
    let mut nodes = context.graph.nodes.keys().filter(computed);
    nodes.any(|node| is_spread(context, chip, spreadable, node))
}

/// Whether a tensor's 32-bit array is dealt over several groups.
pub fn is_spread(
    context: &Context<'_>,
    chip: &Chip,
    spreadable: &SecondaryMap<NodeId, bool>,
    node: NodeId,
) -> bool {
    let words = context.rows(node) * context.columns(node).div_ceil(chip.lanes);
    spreadable[node] && words >= SPREAD as usize
}

/// The least number of regions that an array is dealt over so that it takes so many words at most in each. Chunks are cut only where they are
/// few.
fn least(rows: u32, chunks: u32, most: u32) -> u32 {
    let words = |count: u32| match chunks < count {
        true => rows.div_ceil(count) * chunks,
        false => chunks.div_ceil(count) * rows,
    };
    (1..).find(|&count| words(count) <= most).unwrap_or(1)
}

/// Bases that only products of constant weights and pointwise passes write and read in 32 bits; none if each array is to
/// lie in one piece.
pub fn spreadable(context: &Context<'_>, most: Spread) -> SecondaryMap<NodeId, bool> {
    let mut spreadable: SecondaryMap<NodeId, bool> = SecondaryMap::with_default(most >= Spread::Groups);
    for (node, data) in context.graph.nodes.iter() {
        if context.constant[node] || context.is_pure_view(node) || is_pointwise(&data.op) {
            continue;
        }
        match &data.op {
            Op::Input(_) => {}
            op if is_product(op) && context.constant[context.base(data.inputs[1])] => {}
            _ => {
                spreadable[node] = false;
                data.inputs.iter().for_each(|&input| spreadable[context.base(input)] = false);
            }
        }
    }
    for state in &context.graph.states {
        spreadable[state.input] = false;
    }
    spreadable
}

/// Bases whose 32-bit array lies in both hemispheres, half of the rows each: results of products with matrices of which the planes of either
/// hemisphere have half, and what is computed from them, as long as only passes, reductions and products read it.
pub fn halved(context: &Context<'_>, chip: &Chip, most: Spread) -> SecondaryMap<NodeId, bool> {
    let mut halved: SecondaryMap<NodeId, bool> = SecondaryMap::new();
    for (node, data) in context.graph.nodes.iter() {
        if context.constant[node] || context.is_pure_view(node) {
            continue;
        }
        let from_halved = |&input: &NodeId| halved[context.base(input)] && context.same_space(node, input);
        halved[node] = match &data.op {
            Op::MatMul { .. } if most >= Spread::Hemispheres => {
                let right = data.inputs[1];
                let matrices: usize = context.graph.shape(right).iter().rev().skip(2).product();
                !context.constant[context.base(right)] && matrices > 1
            }
            op => is_pointwise(op) && data.inputs.iter().any(from_halved),
        } && context.rows(node) * context.columns(node).div_ceil(chip.lanes) >= HALVED;
    }
    for (node, data) in context.graph.nodes.iter() {
        let read = |at: usize| context.base(data.inputs[at]);
        if context.constant[node] || context.is_pure_view(node) {
            continue;
        }
        match &data.op {
            op if is_pointwise(op) || matches!(op, Op::Reduce { .. }) => {}
            op if is_product(op) => halved[read(1)] = false,
            _ => (0..data.inputs.len()).for_each(|at| halved[read(at)] = false),
        }
    }
    for &(_, output) in &context.graph.outputs {
        halved[context.base(output)] = false;
    }
    halved
}

/// Puts a 32-bit array where it is best to begin, and the rest of it into the groups after that one: as many as there are planes, so that
/// each writes groups of its own, or a multiple of that. In each it takes a bank at most, so that others can be read while it is written.
pub fn spread_plain(storage: &mut Storage, plan: &Floorplan, chip: &Chip, first: Region) {
    let rows = storage.batches * storage.rows;
    // The last groups are for constants.
    let groups: Vec<Region> =
        (0..plan.groups - 1).flat_map(|n| Hemisphere::BOTH.map(|half| Region::Group(half, n))).collect();
    let at = groups.iter().position(|region| *region == first).unwrap_or(0);
    let planes = 2 * usize::from(chip.mxm.planes_per_hemisphere);
    let least = least(rows, storage.chunks, chip.mem.words_per_bank) as usize;
    let count = least.next_multiple_of(planes).min(groups.len());
    let turned: Vec<Region> = (0..count).map(|turn| groups[(at + turn) % groups.len()]).collect();
    storage.spread(&turned);
}

/// Puts a left operand into as many pairs as it is tall: the next ones in turn that inputs leave room in.
pub fn spread_pairs(storage: &mut Storage, pairs: &mut Pairs, chip: &Chip, half: Hemisphere) {
    let rows = storage.batches * storage.rows;
    let all = pairs.given.len() as u16;
    let count = least(rows, storage.chunks, chip.words_per_slice()).min(all.into()) as u16;
    let mut place = |first: u16| {
        let turns: Vec<Region> = (0..count).map(|turn| Region::Pair(half, (first + turn) % all)).collect();
        if count == 1 {
            storage.lie(turns[0])
        } else {
            storage.spread(&turns)
        }
        storage.regions()
    };
    let fits = |regions: &[(Region, u32)]| {
        regions.iter().all(|(region, words)| pairs.given_in(*region) + words <= chip.words_per_slice())
    };
    let turns = (0..all).map(|turn| (pairs.next + turn) % all);
    let first = turns.into_iter().find(|&first| fits(&place(first))).unwrap_or(pairs.next % all);
    let regions = place(first);
    if half == Hemisphere::West {
        // Both hemispheres are alike.
        pairs.next = (first + count) % all;
        if let Role::Input(_) = storage.role {
            for (region, words) in regions {
                if let Region::Pair(_, n) = region {
                    pairs.given[usize::from(n)] += words;
                }
            }
        }
    }
}

/// Where left operands go.
#[derive(Clone, Debug)]
pub struct Pairs {
    /// Whose turn it is.
    next: u16,
    /// Words of each pair that inputs take.
    given: Vec<u32>,
}

impl Pairs {
    /// The pairs of a floor plan.
    pub fn new(plan: &Floorplan) -> Pairs {
        Pairs { next: 0, given: vec![0; plan.pairs.into()] }
    }

    fn given_in(&self, region: Region) -> u32 {
        if let Region::Pair(_, n) = region { self.given[usize::from(n)] } else { 0 }
    }
}

//! Reductions over lanes: trips of rotations through the SXM, combined in the VXM.
//!
//! One trip combines a vector with all of its rotations, after which all lanes agree. With lanes = p · q, two trips do with p + q rotations:
//! the first combines a vector with its rotations by q, 2q, … (p of them, itself included), after which lanes that are equal modulo q agree; the second
//! with its rotations by 0, 1, …, q − 1. Chunks of a row are combined before, with lanes past the last column made neutral.

mod fold;
mod plan;

use std::collections::BTreeMap;

use isa::instruction::{MapId, VxmOp};
use isa::place::{Hemisphere, Queue, Slice};
use isa::{Chip, Element};

use super::arrays::Arrays;
use super::compress::Item;
use super::context::Context;
use super::flow::{Access, Act, AluOperand, Flow, FlowQueue, StreamRef, WordRef};
use super::maps::Maps;
use super::needs::bad_node;
use super::pad::{Pad, Pads};
use super::pass::{Feed, Pass, emit, untangle};
use super::storage::{MaskKind, Region, Storage, StorageId};
use super::vxm::plain;
use crate::diagnostic::Diagnostic;
use crate::graph::{ElementType, Node, NodeId, Op, ReduceOp};
use fold::{Fold, Series};
use plan::{Trip, Work, trips};

/// Most blocks of rows.
const BLOCKS: usize = 16;
/// Rows of a block, if there are so many.
const LEAST_ROWS: usize = 8;

/// Lowers a reduction of the last axis.
pub fn reduce(
    context: &Context<'_>,
    arrays: &mut Arrays,
    chip: &Chip,
    maps: &mut Maps,
    node: NodeId,
    pads: &Pads,
) -> Result<Vec<Flow>, Diagnostic> {
    let data = &context.graph.nodes[node];
    let op = operation(node, data)?;
    let input = data.inputs[0];
    let base = context.base(input);
    let columns = context.columns(input);
    let source = plain(arrays, base)?;
    let out = plain(arrays, node)?;
    let rows = &context.view(input).rows;
    let chunks = columns.div_ceil(chip.lanes) as u32;
    let partial = !columns.is_multiple_of(chip.lanes);
    let kind = match op {
        VxmOp::Max => MaskKind::NegativeInfinity,
        VxmOp::IntMax => MaskKind::LeastInteger,
        _ => MaskKind::Zero,
    };
    let mask = (partial && !(kind == MaskKind::Zero && pads.of(context, base) == Pad::Known(0)))
        .then(|| arrays.masks[&(columns % chip.lanes, kind)]);
    let direct = chunks == 1 && mask.is_none();
    let work = Work { rows: rows.len() as i64, chunks: chunks.into(), direct };
    let plan = trips(chip, work);
    let mut reducer = Reducer { chip, arrays, maps, node, op, flows: Vec::new() };
    let mut blocks = blocks(reducer.arrays, (source, out), rows);
    let sources: Vec<Region> = blocks.iter().map(|block| reducer.place(&block[0])).collect();
    let mut hemispheres: Vec<Hemisphere> = sources.iter().map(|region| region.hemisphere()).collect();
    if !direct || plan[0].both {
        let mut masks: BTreeMap<Region, Feed> = BTreeMap::new();
        let mut first = 0;
        for (turn, (block, hemisphere)) in blocks.iter_mut().zip(&mut hemispheres).enumerate() {
            let region = sources[turn];
            let mask =
                mask.map(|mask| masks.entry(region).or_insert_with(|| reducer.beside(mask, region)).clone());
            *hemisphere = hemisphere.other();
            let mut apart: Vec<Region> = mask.iter().map(|mask| reducer.place(mask)).collect();
            apart.extend([region, reducer.place(&from_row(out, first, 1))]);
            first += block[0].vectors.len();
            let to = reducer.temporaries(turn, block[0].vectors.len(), *hemisphere, plan[0].both, &apart);
            let flow = reducer.combine(&block[0], chunks, mask.as_ref(), &to);
            reducer.flows.push(flow);
            *block = to;
        }
    }
    for (at, trip) in plan.iter().enumerate() {
        let mut first = 0;
        for (turn, (block, hemisphere)) in blocks.iter_mut().zip(&mut hemispheres).enumerate() {
            // Two trips of one hemisphere each go to different ones.
            *hemisphere = hemisphere.other();
            let rows = block[0].vectors.len();
            let last = from_row(out, first, rows);
            let mut apart: Vec<Region> = block.iter().map(|feed| reducer.place(feed)).collect();
            apart.extend([sources[turn], reducer.place(&last)]);
            let to = match plan.get(at + 1) {
                Some(next) => reducer.temporaries(turn, rows, *hemisphere, next.both, &apart),
                None => vec![last],
            };
            reducer.trip(block, trip, &to);
            *block = to;
            first += rows;
        }
    }
    Ok(reducer.flows)
}

/// What combines two elements.
fn operation(node: NodeId, data: &Node) -> Result<VxmOp, Diagnostic> {
    match (&data.op, data.ty.element) {
        (Op::Reduce { op: ReduceOp::Sum, .. }, ElementType::I32) => Ok(VxmOp::IntAdd),
        (Op::Reduce { op: ReduceOp::Sum, .. }, _) => Ok(VxmOp::Add),
        (Op::Reduce { op: ReduceOp::Max, .. }, ElementType::F32) => Ok(VxmOp::Max),
        (Op::Reduce { op: ReduceOp::Max, .. }, ElementType::I32) => Ok(VxmOp::IntMax),
        (op, element) => {
            Err(bad_node(format!("{node} ({}): {op:?} of {element:?} is not supported yet", data.origin)))
        }
    }
}

/// Rows in blocks, in each of which those of the source lie in one region, and their results, too.
fn blocks(arrays: &Arrays, (source, out): (StorageId, StorageId), rows: &[u32]) -> Vec<Vec<Feed>> {
    let region = |id: StorageId, row: u32| arrays.storages.arrays[id].locate(row, 0).region;
    let vectors: Vec<(u32, u32)> = rows.iter().copied().zip(0..).collect();
    let regions = |&(row, to): &(u32, u32)| (region(source, row), region(out, to));
    let blocks = vectors.chunk_by(|one, other| regions(one) == regions(other));
    let blocks = blocks.flat_map(|block| block.chunks(block_rows(rows.len())));
    let feed = |block: &[(u32, u32)]| Feed {
        storage: source,
        vectors: block.iter().map(|&(row, _)| (row, 0)).collect(),
    };
    blocks.map(|block| vec![feed(block)]).collect()
}

/// Rows that go their way together. While a block is written to SRAM the one before is read, from other banks.
fn block_rows(rows: usize) -> usize {
    rows.div_ceil(BLOCKS).max(LEAST_ROWS)
}

/// The vectors of some rows of an array that has one for each row.
fn from_row(storage: StorageId, first: usize, rows: usize) -> Feed {
    Feed { storage, vectors: (first..first + rows).map(|row| (row as u32, 0)).collect() }
}

struct Reducer<'a> {
    chip: &'a Chip,
    arrays: &'a mut Arrays,
    maps: &'a mut Maps,
    node: NodeId,
    op: VxmOp,
    flows: Vec<Flow>,
}

impl Reducer<'_> {
    fn place(&self, feed: &Feed) -> Region {
        feed.region(self.arrays)
    }

    /// Arrays for one vector per row in one hemisphere or in both, in other slices than some that are read or written together with them.
    fn temporaries(
        &mut self,
        turn: usize,
        rows: usize,
        one: Hemisphere,
        both: bool,
        apart: &[Region],
    ) -> Vec<Feed> {
        let sides = if both { Hemisphere::BOTH.to_vec() } else { vec![one] };
        let groups = self.arrays.storages.plan.groups;
        let first = (self.node.as_u32() as usize + turn) as u16 % groups;
        let temporary = |side: Hemisphere| {
            let turns = (0..groups).map(|turn| Region::Group(side, (first + turn) % groups));
            let clashes = |region: &Region| apart.iter().filter(|&other| other == region).count();
            let region = turns.min_by_key(clashes).unwrap_or(Region::Group(side, 0));
            Storage::temporary(self.node, Element::F32, self.chip.lanes, rows as u32, region)
        };
        let rooms: Vec<Storage> = sides.into_iter().map(temporary).collect();
        let ids = rooms.into_iter().map(|room| self.arrays.storages.arrays.push(room));
        ids.map(|id| from_row(id, 0, rows)).collect()
    }

    /// The limits of a lane mask, in other slices than what is read together with it: those give one word a cycle.
    fn beside(&mut self, mask: StorageId, other: Region) -> Feed {
        let limits = Feed { storage: mask, vectors: vec![(1, 0)] };
        if self.place(&limits) != other {
            return limits;
        }
        let copy = self.temporaries(0, 1, other.hemisphere().other(), false, &[]);
        let flow = self.combine(&limits, 1, None, &copy);
        self.flows.push(flow);
        copy[0].clone()
    }

    /// Combines the chunks of each row as they pass, one a cycle.
    fn combine(&self, feed: &Feed, chunks: u32, mask: Option<&Feed>, out: &[Feed]) -> Flow {
        let rows = feed.vectors.len();
        let space: Vec<(u32, u32)> = (0..rows as u32).map(|row| (row, 0)).collect();
        let pass =
            Pass { chip: self.chip, arrays: self.arrays, node: self.node, name: "chunks", space: &space };
        let mut flow = Flow::new(self.node, "chunks");
        let interval = i64::from(chunks);
        let fold = Fold { chip: self.chip, op: self.op, rows: rows as i64, interval };
        let vectors =
            feed.vectors.iter().flat_map(|&(row, first)| (0..chunks).map(move |chunk| (row, first + chunk)));
        let vectors = Feed { storage: feed.storage, vectors: vectors.collect() };
        let stream = pass.feed(&mut flow, &vectors, 0, 1);
        let x = AluOperand::Stream(StreamRef(stream, 0), pass.format(feed.storage));
        let last = match mask {
            None => {
                let all = fold.stream(x, 0, interval);
                fold.along(&mut flow, all)
            }
            Some(mask) => {
                let op = match self.op {
                    VxmOp::Max => VxmOp::Min,
                    VxmOp::IntMax => VxmOp::IntMin,
                    _ => VxmOp::And,
                };
                let cycle = interval - 1;
                let limits = Feed { storage: mask.storage, vectors: vec![mask.vectors[0]; rows] };
                let stream = pass.feed(&mut flow, &limits, cycle, interval);
                let b = Some(AluOperand::Stream(StreamRef(stream, 0), pass.format(mask.storage)));
                let masked = Series { op, a: x, b, cycle, count: 1 };
                match chunks {
                    1 => masked,
                    _ => {
                        let full = fold.stream(x, 0, interval - 1);
                        let full = fold.along(&mut flow, full);
                        fold.join(&mut flow, full, masked)
                    }
                }
            }
        };
        fold.put(&mut flow, &pass, last, out);
        untangle(&mut flow);
        flow
    }

    /// Combines each vector, which lies in one array or in an equal one in either hemisphere, with its rotations.
    fn trip(&mut self, feeds: &[Feed], trip: &Trip, out: &[Feed]) {
        let steps = trip.steps();
        let zeros = match self.op {
            // Rotations beyond the last one are those that were there before.
            VxmOp::Max | VxmOp::IntMax => 0,
            _ => steps as usize * trip.width() - trip.count,
        };
        let count = steps as usize * trip.width() - zeros;
        let maps = self.maps.rotations(count, trip.step, zeros);
        let mut flow = Flow::new(self.node, "rotate");
        let format = isa::stream::Format::F32;
        let mut streams = Vec::new();
        for (side, feed) in feeds.iter().enumerate() {
            let first = maps + (side * trip.ways * steps as usize) as MapId;
            let inward = self.rotations(&mut flow, feed, first, trip.ways, steps);
            streams.extend(inward.into_iter().map(|stream| AluOperand::Stream(StreamRef(stream, 0), format)));
        }
        let rows = feeds[0].vectors.len();
        let fold = Fold { chip: self.chip, op: self.op, rows: rows as i64, interval: steps };
        let series = fold.across(&mut flow, &streams, 0, steps);
        let last = fold.along(&mut flow, series);
        let space: Vec<(u32, u32)> = (0..rows as u32).map(|row| (row, 0)).collect();
        let pass =
            Pass { chip: self.chip, arrays: self.arrays, node: self.node, name: "rotate", space: &space };
        fold.put(&mut flow, &pass, last, out);
        self.flows.push(flow);
    }

    /// Rotations of each vector of an array, made by the SXM of its hemisphere: `ways` at a time for `steps` cycles a row, by maps from `first`
    /// on. Returns the streams on which they pass the VXM from cycle 0 on.
    fn rotations(&self, flow: &mut Flow, feed: &Feed, first: MapId, ways: usize, steps: i64) -> Vec<usize> {
        let rows = feed.vectors.len() as i64;
        let array = &self.arrays.storages.arrays[feed.storage];
        let region = feed.region(self.arrays);
        let hemisphere = region.hemisphere();
        let sxm = i64::from(Slice::Sxm(Hemisphere::East).position(self.chip));
        let origin = Slice::Sxm(hemisphere).position(self.chip);
        let permute = -(i64::from(self.chip.latency.sxm) + i64::from(self.chip.stagger()) + sxm);
        let slots = (permute - sxm, permute - sxm + rows * steps);
        let outward = flow.stream(hemisphere.outward(), 4, (origin.signum(), origin), slots);
        let slices = self.arrays.storages.plan.slices(region);
        let read = i64::from(self.chip.latency.read);
        let start = |slice: u16| permute - (sxm - 1 - i64::from(slice)) - read;
        for (byte, slice) in slices.clone().enumerate() {
            let words = feed.vectors.iter().enumerate();
            let items = words.flat_map(|(r, &(row, chunk))| {
                let word = array.locate(row, chunk).word;
                (0..steps).map(move |step| Item::once(start(slice) + r as i64 * steps + step, word))
            });
            let queue = FlowQueue::Fixed(Queue::MemRead(hemisphere, slice));
            emit(flow, queue, items.collect(), |word, _| {
                let word = WordRef { storage: feed.storage, hemisphere, slice, word };
                Act::Read(word, StreamRef(outward, byte as u16))
            });
        }
        for (r, &(row, chunk)) in feed.vectors.iter().enumerate() {
            // The first of the reads, and the last, so that the word lives until then.
            let cycle = start(slices.start) + r as i64 * steps;
            for cycle in [cycle, cycle + steps - 1] {
                flow.reads.push(Access { storage: feed.storage, vector: array.vector(row, chunk), cycle });
            }
        }
        let mut streams = Vec::new();
        for way in 0..ways as i64 {
            let inward = flow.stream(hemisphere.inward(), 4, (origin, 0), (0, rows * steps));
            let map = |i: i64| u32::from(first) + (way * steps + i % steps) as u32;
            let items = (0..rows * steps).map(|i| Item::once(permute + i, map(i))).collect();
            let queue = flow.sxm.len();
            let span = emit(flow, FlowQueue::Sxm(queue), items, |map, _| {
                Act::Permute(map as u16, StreamRef(outward, 0), StreamRef(inward, 0))
            });
            flow.sxm.push((hemisphere, span.0, span.1));
            streams.push(inward);
        }
        streams
    }
}

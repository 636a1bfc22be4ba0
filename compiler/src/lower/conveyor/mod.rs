//! Many tiles of weights through one site, one right after the other: a single rigid flow.
//!
//! While a tile's rows arrive on all streams of the site, the tile before it multiplies. Activations come on the streams of the last stripe, in
//! cycles in which no weights do.

mod weights;

use std::collections::BTreeMap;

use isa::Chip;
use isa::instruction::AccMode;
use isa::place::{MxmPort, Queue, Slice};
use isa::stream::Format;

use super::arrays::Arrays;
use super::compress::Item;
use super::conv::Taps;
use super::floorplan::position;
use super::flow::{Access, Act, Conveyor, Flow, FlowQueue, StreamRef, WordRef, joined};
use super::needs::INDEX_STREAMS;
use super::pass::emit;
use super::storage::{Region, Storage, StorageId, Unit};
use super::tiling::Site;
use crate::graph::NodeId;

/// Slots that are less than this apart are taken as one interval.
const NEAR: i64 = 5;

/// A tile on its way: from which unit, which chunk, into which accumulators, and when.
#[derive(Clone, Debug)]
struct Window {
    /// Of the site's work.
    work: usize,
    chunk: u32,
    /// Cycles of LW, and in how many of them the last stripe's streams carry weights.
    loads: (i64, i64),
    /// First accumulator.
    accumulator: u32,
    /// Whether it begins the sums, and whether it ends them.
    ends: (bool, bool),
    /// First LW.
    load: i64,
    /// Each ABC.
    vectors: Vec<i64>,
}

/// Where the sums of a unit go.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The array.
    pub storage: StorageId,
    /// Chunk of it.
    pub chunk: u32,
}

/// What a site does with a tile of weights.
#[derive(Clone, Debug)]
pub struct Work {
    /// The weights: units of adjacent rows and the same chunks.
    pub units: Vec<Unit>,
    /// Rows of the activations, and of the target for each.
    pub rows: Vec<(u32, u32)>,
    /// Where the sums go.
    pub target: Target,
    /// The row of the index that chooses the weights, if one does.
    pub choice: Option<u32>,
}

/// Everything about a product that its conveyors share.
pub struct Belt<'a> {
    /// The machine.
    pub chip: &'a Chip,
    /// Arrays.
    pub arrays: &'a Arrays,
    /// The product.
    pub node: NodeId,
    /// Weights.
    pub weights: StorageId,
    /// Activations.
    pub left: StorageId,
    /// The index that chooses the weights, if one does.
    pub index: Option<StorageId>,
    /// Of a convolution, where a window's places are.
    pub taps: Option<&'a Taps>,
}

impl Belt<'_> {
    /// The flow of one site, with its work in order. `by_chunk` takes all units' first chunks first, and so on.
    pub fn flow(&self, site: Site, work: &[Work], by_chunk: bool) -> Flow {
        let mut flow = Flow::new(self.node, "conveyor");
        let windows = self.windows(work, by_chunk);
        let streams = self.weights(&mut flow, site, &windows, work);
        let sums = self.products(&mut flow, site, &windows, work, streams);
        self.results(&mut flow, site, work, sums);
        let last = &windows[windows.len() - 1];
        let cycles = self.cycles();
        flow.mxm = Some(Conveyor {
            hemisphere: site.hemisphere,
            plane: site.plane,
            paired: site.paired,
            load: windows[0].load,
            install: self.install(&windows[0]),
            installed: self.install(last),
            idle: last.vectors.last().map_or(0, |abc| abc + cycles),
        });
        flow
    }

    /// Where the streams of weights begin: activations come through the inner slices on some of them, and lead them where weights lie there, too.
    fn nearest(&self, region: Region) -> u16 {
        let plan = &self.arrays.storages.plan;
        let first = plan.slices(region).start;
        if first < plan.inner() { 0 } else { first }
    }

    fn storage(&self, id: StorageId) -> &Storage {
        &self.arrays.storages.arrays[id]
    }

    /// Streams on which a weight row arrives, of four bits a row of scales or a pair.
    fn bytes(&self) -> usize {
        self.storage(self.weights).element.bytes()
    }

    /// That of activations, and of weights in the array.
    fn format(&self) -> Format {
        self.storage(self.weights).loaded().held()
    }

    /// Streams on which an activation arrives, and cycles that it keeps the site busy.
    fn width(&self) -> usize {
        self.format().streams().into()
    }

    fn cycles(&self) -> i64 {
        self.width() as i64
    }

    /// Weight rows that arrive together, and those of them that come on the streams of activations.
    fn stripes(&self) -> (i64, i64) {
        let shared = self.width() / self.bytes();
        let all = i64::from(self.arrays.storages.plan.stripes) * shared as i64;
        let taken = self.index.map_or(0, |_| i64::from(INDEX_STREAMS) / self.bytes() as i64);
        (all - taken, shared as i64)
    }

    fn install(&self, window: &Window) -> i64 {
        let arrival = window.load + window.loads.0 - 1 + i64::from(self.chip.latency.load);
        let latency = &self.chip.latency;
        // So that activations find the other cycles.
        let late = self.takes_turns(window) && (latency.load + latency.install).is_multiple_of(2);
        arrival + i64::from(late)
    }

    /// Whether weights and one vector share the last stripe cycle by cycle: a tile arrives in one, and is multiplied for two.
    fn takes_turns(&self, window: &Window) -> bool {
        window.loads == (1, 1) && window.vectors.len() == 1 && self.cycles() == 2
    }

    /// Tiles in order, as close as the streams and the site allow.
    fn windows(&self, work: &[Work], by_chunk: bool) -> Vec<Window> {
        let window = |index: usize, chunk: u32| {
            let Work { units, rows, .. } = &work[index];
            let chunks = chunks(&work[index]);
            let last = |unit: &Unit| {
                let (stripes, shared) = self.stripes();
                let per_stripe = i64::from(unit.per_stripe);
                (i64::from(unit.rows) - (stripes - shared) * per_stripe).clamp(0, per_stripe)
            };
            Window {
                work: index,
                chunk,
                loads: (
                    units.iter().map(|unit| i64::from(unit.per_stripe)).sum(),
                    units.iter().map(last).sum(),
                ),
                accumulator: if by_chunk { index as u32 * rows.len() as u32 } else { 0 },
                ends: (chunk == chunks.start, chunk + 1 == chunks.end),
                load: 0,
                vectors: vec![0; rows.len()],
            }
        };
        let mut windows = Vec::new();
        if by_chunk {
            let last = work.iter().map(|own| chunks(own).end).max().unwrap_or(0);
            for chunk in 0..last {
                let with = (0..work.len()).filter(|&index| chunks(&work[index]).contains(&chunk));
                windows.extend(with.map(|index| window(index, chunk)));
            }
        } else {
            for (index, own) in work.iter().enumerate() {
                windows.extend(chunks(own).map(|chunk| window(index, chunk)));
            }
        }
        for at in 1..=windows.len() {
            let before = &windows[at - 1];
            let mut load =
                before.load + if self.takes_turns(before) { self.cycles() } else { before.loads.0 };
            while !self.fits(&mut windows, at, load) {
                load += 1;
            }
        }
        windows
    }

    /// Puts window `at` at a load, if the activations of the one before then find their cycles.
    fn fits(&self, windows: &mut [Window], at: usize, load: i64) -> bool {
        let cycles = self.cycles();
        let ready = |window: &Window| self.install(window) + i64::from(self.chip.latency.install);
        let (before, after) = windows.split_at_mut(at);
        let index = before.len() - 1;
        let end = match after.first_mut() {
            Some(next) => {
                next.load = load;
                ready(next)
            }
            None => i64::MAX,
        };
        // Weights on the last stripe, of this window and those around it.
        let last = |window: &Window| (window.load, window.load + window.loads.1);
        // Loading, installing and the next tile's loading: no more windows than that are under way at once.
        let near =
            before.len().saturating_sub(usize::from(self.chip.latency.load + self.chip.latency.install) + 2);
        if let Some(next) = after.first() {
            let (from, to) = last(next);
            let mut vectors = before[near..index].iter().flat_map(|window| &window.vectors);
            if vectors.any(|abc| (from..to).contains(abc)) {
                return false;
            }
        }
        let taken: Vec<(i64, i64)> = before[near..].iter().chain(after.first()).map(last).collect();
        let idle = index
            .checked_sub(1)
            .and_then(|index| before[index].vectors.last())
            .map_or(i64::MIN, |&abc| abc + cycles);
        let mut cycle = ready(&before[index]).max(idle);
        for vector in 0..before[index].vectors.len() {
            while let Some(&(_, free)) = taken.iter().find(|(from, to)| (*from..*to).contains(&cycle)) {
                cycle = free;
            }
            if cycle + cycles > end {
                return false;
            }
            before[index].vectors[vector] = cycle;
            cycle += cycles;
        }
        true
    }

    /// Activations, and the sums of their products. Returns the streams of the sums, with the cycles in which they are put on them.
    fn products(
        &self,
        flow: &mut Flow,
        site: Site,
        windows: &[Window],
        work: &[Work],
        streams: usize,
    ) -> Sums {
        let plan = &self.arrays.storages.plan;
        let (hemisphere, bytes) = (site.hemisphere, self.width());
        let mxm = i64::from(Slice::Mxm(hemisphere).position(self.chip).abs());
        let queue = |port| FlowQueue::Fixed(Queue::Mxm(hemisphere, site.plane, port));
        let left = self.storage(self.left);
        let to = self.stripes().0 as usize * self.bytes() - bytes;
        let read = i64::from(self.chip.latency.read);
        let slots: Vec<(i64, i64)> =
            windows.iter().flat_map(|window| &window.vectors).map(|abc| (abc - mxm, abc - mxm + 1)).collect();
        let copy = if site.paired { 0 } else { u16::from(site.plane) };
        let start = |slice: u16| -(mxm - 1 - i64::from(slice)) - read;
        let mut items: BTreeMap<u16, Vec<Item>> = BTreeMap::new();
        let mut reads: BTreeMap<u32, (i64, i64)> = BTreeMap::new();
        for window in windows {
            let (further, chunk) = self.taps.map_or((0, window.chunk), |taps| taps.of(window.chunk));
            for (abc, (row, _)) in window.vectors.iter().zip(&work[window.work].rows) {
                let row = row + further;
                let place = left.locate(row, chunk);
                let slice = plan.slices(place.region).start + copy;
                items.entry(slice).or_default().push(Item::once(start(slice) + abc, place.word));
                let span = reads.entry(left.vector(row, chunk)).or_insert((i64::MAX, i64::MIN));
                *span = (span.0.min(start(slice) + abc), span.1.max(start(slice) + abc));
            }
        }
        let nearest = items.keys().next().copied().unwrap_or(0);
        let way = [nearest, plan.inner() - 1].map(|slice| position(self.chip, hemisphere, slice));
        if self.nearest(work[0].units[0].region) >= plan.inner() {
            flow.lead(StreamRef(streams, to as u16), bytes as u16, way.into(), joined(slots, NEAR));
        }
        for (first, items) in items {
            for byte in 0..bytes as u16 {
                let slice = first + byte;
                let items =
                    items.iter().map(|item| Item { cycle: item.cycle + i64::from(byte), ..item.clone() });
                emit(
                    flow,
                    FlowQueue::Fixed(Queue::MemRead(hemisphere, slice)),
                    items.collect(),
                    |word, _| {
                        let word = WordRef { storage: self.left, hemisphere, slice, word };
                        Act::Read(word, StreamRef(streams, to as u16 + byte))
                    },
                );
            }
        }
        for (vector, (first, last)) in reads {
            flow.reads.extend([first, last].map(|cycle| Access { storage: self.left, vector, cycle }));
        }
        let abcs = windows.iter().flat_map(|window| &window.vectors).map(|&abc| Item::once(abc, 0)).collect();
        emit(flow, queue(MxmPort::Stream), abcs, |_, _| {
            Act::Abc(StreamRef(streams, to as u16), self.format())
        });
        let arrival = i64::from(self.chip.latency.product) + i64::from(self.chip.stagger());
        let mut sums = Sums { stream: flow.streams.len(), puts: Vec::new() };
        let mut acts: BTreeMap<(bool, bool), Vec<Item>> = BTreeMap::new();
        for window in windows {
            for (at, abc) in window.vectors.iter().enumerate() {
                let item = Item::once(abc + arrival, window.accumulator + at as u32);
                acts.entry(window.ends).or_default().push(item);
            }
            if window.ends.1 {
                let emitted = arrival + i64::from(self.chip.latency.accumulate);
                sums.puts.push((window.work, window.vectors.iter().map(|abc| abc + emitted).collect()));
            }
        }
        for ((first, last), items) in acts {
            let mode = if first { AccMode::Start } else { AccMode::Add };
            let emits = last.then_some(StreamRef(sums.stream, 0));
            emit(flow, queue(MxmPort::Accumulate), items, |address, _| Act::Acc(address as u16, mode, emits));
        }
        sums
    }

    /// Sums on their way into SRAM.
    fn results(&self, flow: &mut Flow, site: Site, work: &[Work], sums: Sums) {
        let plan = &self.arrays.storages.plan;
        let hemisphere = site.hemisphere;
        let mxm = Slice::Mxm(hemisphere).position(self.chip);
        let mut items: BTreeMap<(StorageId, Region, u16, usize), Vec<Item>> = BTreeMap::new();
        let (mut slots, mut end) = (Vec::new(), mxm);
        for (index, puts) in &sums.puts {
            let Work { rows, target, .. } = &work[*index];
            let array = self.storage(target.storage);
            for (put, (_, row)) in puts.iter().zip(rows) {
                let place = array.locate(*row, target.chunk);
                let half = place.region.hemisphere();
                let distance = |slice| i64::from((mxm - position(self.chip, half, slice)).abs());
                let slices = plan.slices(place.region);
                let far = slices.clone().max_by_key(|slice| distance(*slice)).unwrap_or(0);
                let to = position(self.chip, half, far);
                end = if (to - mxm).abs() > (end - mxm).abs() { to } else { end };
                slots.push((put + i64::from(mxm.abs()), put + i64::from(mxm.abs()) + 1));
                for (byte, slice) in slices.enumerate() {
                    let item = Item::once(put + distance(slice), place.word);
                    items.entry((target.storage, place.region, slice, byte)).or_default().push(item);
                }
                let vector = array.vector(*row, target.chunk);
                flow.writes.push(Access { storage: target.storage, vector, cycle: put + distance(far) });
            }
        }
        let stream = flow.streams_in(hemisphere.inward(), 4, (mxm, end), joined(slots, NEAR));
        debug_assert_eq!(stream, sums.stream, "the sums' streams are named before they are added");
        for ((storage, region, slice, byte), items) in items {
            let half = region.hemisphere();
            emit(flow, FlowQueue::Fixed(Queue::MemWrite(half, slice)), items, |word, _| {
                let word = WordRef { storage, hemisphere: half, slice, word };
                Act::Write(word, StreamRef(stream, byte as u16))
            });
        }
    }
}

/// The chunks of k of a tile.
fn chunks(work: &Work) -> std::ops::Range<u32> {
    let unit = &work.units[0];
    unit.chunk..unit.chunk + unit.chunks
}

/// Sums that leave the accumulators: streams, and for each work that ends when each vector does.
struct Sums {
    stream: usize,
    puts: Vec<(usize, Vec<i64>)>,
}

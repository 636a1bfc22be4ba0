//! Weights on their way from SRAM into a site's buffer and array.

use std::collections::BTreeMap;

use isa::place::{MxmPort, Queue, Slice};

use super::{Belt, Window, Work};
use crate::lower::compress::Item;
use crate::lower::floorplan::position;
use crate::lower::flow::{Access, Act, Flow, FlowQueue, StreamRef, WordRef, joined};
use crate::lower::needs::INDEX_STREAMS;
use crate::lower::pass::emit;
use crate::lower::storage::{Role, StorageId, Unit};
use crate::lower::tiling::Site;

/// For each unit: when its first rows are loaded, and by which window.
fn arrivals<'w>(
    windows: &'w [Window],
    work: &'w [Work],
) -> impl Iterator<Item = (i64, &'w Unit, &'w Window)> {
    windows.iter().flat_map(|window| {
        work[window.work].units.iter().scan(window.load, move |load, unit| {
            let first = *load;
            *load += i64::from(unit.per_stripe);
            Some((first, unit, window))
        })
    })
}

impl Belt<'_> {
    /// Weights from SRAM into the buffer and the array. Returns the streams.
    pub(super) fn weights(&self, flow: &mut Flow, site: Site, windows: &[Window], work: &[Work]) -> usize {
        let (hemisphere, bytes) = (site.hemisphere, self.bytes());
        let mxm = i64::from(Slice::Mxm(isa::Hemisphere::East).position(self.chip));
        let region = work[0].units[0].region;
        let nearest = self.nearest(region);
        let path = (position(self.chip, hemisphere, nearest), Slice::Mxm(hemisphere).position(self.chip));
        let last = &windows[windows.len() - 1];
        let end = last.vectors.last().map_or(0, |abc| abc + 1).max(last.load + last.loads.0);
        let (stripes, _) = self.stripes();
        let width = stripes as u16 * bytes as u16;
        let stream = flow.stream(hemisphere.outward(), width, path, (windows[0].load - mxm, end - mxm));
        let queue = |port| FlowQueue::Fixed(Queue::Mxm(hemisphere, site.plane, port));
        let mut loads: BTreeMap<(u32, u32), Vec<Item>> = BTreeMap::new();
        for (load, unit, window) in arrivals(windows, work) {
            let before = unit.row - work[window.work].units[0].row;
            for row in 0..unit.per_stripe.min(unit.rows) {
                let count = (unit.rows - row).div_ceil(unit.per_stripe);
                let item = Item::once(load + i64::from(row), before + row);
                loads.entry((count, unit.per_stripe)).or_default().push(item);
            }
        }
        let loaded = self.storage(self.weights).loaded();
        for ((count, per_stripe), items) in loads {
            emit(flow, queue(MxmPort::Load), items, |row, _| {
                Act::Lw(StreamRef(stream, 0), count as u8, row as u16, per_stripe as u16, loaded)
            });
        }
        let installs = windows.iter().map(|window| Item::once(self.install(window), 0)).collect();
        emit(flow, queue(MxmPort::Install), installs, |_, _| Act::Iw);
        self.reads(flow, site, (windows, work), stream);
        stream
    }

    /// Reads of weights, so that they pass the plane on streams when they are loaded; by the index, where one chooses them.
    fn reads(&self, flow: &mut Flow, site: Site, (windows, work): (&[Window], &[Work]), stream: usize) {
        let plan = &self.arrays.storages.plan;
        let (hemisphere, bytes) = (site.hemisphere, self.bytes());
        let mxm = i64::from(Slice::Mxm(isa::Hemisphere::East).position(self.chip));
        let region = work[0].units[0].region;
        let index = self.index.map(|index| self.choose(flow, site, index, windows, work));
        let choices = self.storage(self.weights).choices;
        let latency = &self.chip.latency;
        let read = i64::from(if index.is_some() { latency.gather } else { latency.read });
        let all = plan.stripes_of(region, bytes);
        // By slice, and by the row's place among those that are loaded at once: it comes on a stream of that number.
        let mut reads: BTreeMap<(u16, u32), Vec<Item>> = BTreeMap::new();
        for (load, unit, window) in arrivals(windows, work) {
            for place in 0..unit.rows.div_ceil(unit.per_stripe) {
                let count = (unit.rows - place * unit.per_stripe).min(unit.per_stripe);
                let (stripe, word) = unit.place(window.chunk, place, all);
                let slice = plan.slice(region, stripe, bytes, 0);
                let rows = (0..count).map(|row| Item::once(load + i64::from(row), (word + row) * choices));
                reads.entry((slice, place)).or_default().extend(rows);
            }
        }
        for ((first, place), items) in reads {
            for byte in 0..bytes as u16 {
                let slice = first + byte;
                let start = -(mxm - 1 - i64::from(slice)) - read;
                let queue = FlowQueue::Fixed(Queue::MemRead(hemisphere, slice));
                let to = StreamRef(stream, place as u16 * bytes as u16 + byte);
                let items = items.iter().map(|item| Item { cycle: item.cycle + start, ..item.clone() });
                emit(flow, queue, items.collect(), |word, _| {
                    let word = WordRef { storage: self.weights, hemisphere, slice, word };
                    match index {
                        Some(index) => Act::Gather(word, 0, choices, StreamRef(index, 0), to),
                        None => Act::Read(word, to),
                    }
                });
            }
        }
        let array = self.storage(self.weights);
        if array.role != Role::Constant {
            let far = mxm - 1 - i64::from(self.nearest(region)) + read;
            for (load, unit, window) in arrivals(windows, work) {
                // A state changes as a whole.
                let rows = if matches!(array.role, Role::State(..)) { 1 } else { unit.rows };
                flow.reads.extend((0..rows).map(|row| Access {
                    storage: self.weights,
                    vector: array.vector(unit.row + row, window.chunk),
                    cycle: load + i64::from(row % unit.per_stripe) - far,
                }));
            }
        }
    }

    /// The index that chooses the weights of each tile, past all slices that hold them. Returns its streams.
    fn choose(
        &self,
        flow: &mut Flow,
        site: Site,
        index: StorageId,
        windows: &[Window],
        work: &[Work],
    ) -> usize {
        let (chip, array, hemisphere) = (self.chip, self.storage(index), site.hemisphere);
        let slices = self.arrays.storages.plan.slices(array.region());
        let mxm = i64::from(Slice::Mxm(isa::Hemisphere::East).position(chip));
        // In whatever slice a weight lies, it takes the index that passes so long before it arrives.
        let first = |window: &Window| window.load - mxm - i64::from(chip.latency.gather);
        let slots = windows.iter().map(|window| (first(window), first(window) + window.loads.0)).collect();
        // Nobody takes the last one's slots that no weights lie in, so they go on to the edge.
        let path = (position(chip, hemisphere, slices.start), Slice::C2c(hemisphere).position(chip));
        let stream = flow.streams_in(hemisphere.outward(), INDEX_STREAMS as u16, path, joined(slots, 1));
        for (byte, slice) in slices.clone().enumerate() {
            let start = 1 + i64::from(slice) - i64::from(chip.latency.read);
            let rows = windows.iter().flat_map(|window| {
                let place = array.locate(work[window.work].choice.unwrap_or(0), 0);
                (0..window.loads.0).map(move |load| Item::once(start + first(window) + load, place.word))
            });
            emit(flow, FlowQueue::Fixed(Queue::MemRead(hemisphere, slice)), rows.collect(), |word, _| {
                let word = WordRef { storage: index, hemisphere, slice, word };
                Act::Read(word, StreamRef(stream, byte as u16))
            });
        }
        let start = 1 + i64::from(slices.start) - i64::from(chip.latency.read);
        for window in windows {
            let vector = array.vector(work[window.work].choice.unwrap_or(0), 0);
            let earliest = start + first(window);
            let last = earliest + window.loads.0 + i64::from(INDEX_STREAMS);
            flow.reads.extend([earliest, last].map(|cycle| Access { storage: index, vector, cycle }));
        }
        stream
    }
}

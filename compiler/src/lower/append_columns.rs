//! Caches by columns: a superlane of columns written at a position that is data.
//!
//! The recent rows of a pack, one a stripe, are transposed by the SXM: vector i then has in superlane s the new elements of row 16 s + i. Which
//! superlane of the cache they belong to is known only when the program runs. So every vector is rotated by every number of superlanes, and goes past
//! the slices of its rows together with an index that is a word only in the superlane that has arrived at its place.

use std::ops::Range;

use isa::Chip;
use isa::place::{Hemisphere, Queue, Slice};

use super::arrays::Arrays;
use super::compress::Item;
use super::context::Context;
use super::floorplan::position;
use super::flow::{Access, Act, Flow, FlowQueue, StreamRef, WordRef};
use super::maps::Maps;
use super::needs::bad_node;
use super::pass::emit;
use super::storage::{Role, Storage, StorageId, Unit};
use crate::diagnostic::Diagnostic;
use crate::graph::NodeId;

/// Streams that a queue of the SXM permutes at once.
const GROUP: usize = 4;
/// Cycles by which reads and writes of one slice must miss each other.
const APART: i64 = 9;

/// Lowers an Append of a superlane of columns.
pub fn append(
    context: &Context<'_>,
    arrays: &mut Arrays,
    chip: &Chip,
    maps: &mut Maps,
    node: NodeId,
) -> Result<Vec<Flow>, Diagnostic> {
    let data = &context.graph.nodes[node];
    let turned = context.base(data.inputs[1]);
    let recent = context.base(context.graph.nodes[turned].inputs[0]);
    let forms = (
        arrays.forms[context.base(data.inputs[0])].striped,
        arrays.forms[recent].striped,
        arrays.forms[context.base(data.inputs[3])].indices[0],
    );
    let (Some(state), Some(recent), Some(index)) = forms else {
        return Err(bad_node(format!("{node} ({}): an operand has no array", data.origin)));
    };
    let turned = turned_rows(arrays, node, recent);
    let width = chip.lanes_per_superlane;
    let map = maps.rotations(usize::from(chip.stagger()), width, 0);
    let columns = Columns { chip, arrays, node, state, recent, turned, index, map };
    let mut flows = Vec::new();
    for pack in 0..columns.storage(recent).batches {
        flows.push(columns.turn(pack));
        let windows = columns.windows(pack);
        for rotations in columns.pieces() {
            flows.extend(windows.iter().map(|window| columns.scatter(pack, rotations.clone(), window)));
        }
    }
    Ok(flows)
}

/// Room for the transposed recent rows: as the rows themselves lie.
fn turned_rows(arrays: &mut Arrays, node: NodeId, recent: StorageId) -> StorageId {
    let recent = arrays.storages.arrays[recent].clone();
    arrays.storages.arrays.push(Storage { node, role: Role::Temporary, ..recent })
}

/// Units of a pack that one Scatter may choose from.
struct Window {
    /// Index of their first word.
    first: u32,
    units: Vec<Unit>,
}

struct Columns<'a> {
    chip: &'a Chip,
    arrays: &'a Arrays,
    node: NodeId,
    state: StorageId,
    recent: StorageId,
    turned: StorageId,
    index: [StorageId; 2],
    /// Rotation by no superlane; the next ones follow.
    map: u16,
}

impl Columns<'_> {
    fn storage(&self, id: StorageId) -> &Storage {
        &self.arrays.storages.arrays[id]
    }

    /// Bytes of an element.
    fn bytes(&self) -> usize {
        self.storage(self.state).element.bytes()
    }

    /// Rows of the recent ones, of a tile of the state, and lanes of a superlane.
    fn width(&self) -> u32 {
        self.chip.lanes_per_superlane as u32
    }

    /// The unit of an array of recent rows that a pack is.
    fn block(&self, id: StorageId, pack: u32) -> &Unit {
        &self.storage(id).units[pack as usize]
    }

    fn hemisphere(&self, pack: u32) -> Hemisphere {
        self.block(self.recent, pack).region.hemisphere()
    }

    /// Slices between a slice and the SXM, and one.
    fn distance(&self, slice: u16) -> i64 {
        self.sxm() - 1 - i64::from(slice)
    }

    fn sxm(&self) -> i64 {
        i64::from(Slice::Sxm(Hemisphere::East).position(self.chip))
    }

    fn slice(&self, unit: &Unit, row: u32, byte: usize) -> u16 {
        self.arrays.storages.plan.slice(unit.region, unit.stripe + row, self.bytes(), byte)
    }

    /// The way from the innermost slice of a unit to the SXM.
    fn path(&self, unit: &Unit) -> (i32, i32) {
        let hemisphere = unit.region.hemisphere();
        let near = self.arrays.storages.plan.slices(unit.region).start;
        (position(self.chip, hemisphere, near), Slice::Sxm(hemisphere).position(self.chip))
    }

    /// Rows in, columns out, in one cycle.
    fn turn(&self, pack: u32) -> Flow {
        let mut flow = Flow::new(self.node, "turn");
        let hemisphere = self.hemisphere(pack);
        let (from, to) = (self.block(self.recent, pack), self.block(self.turned, pack));
        let width = self.width() as u16;
        let (read, sxm) = (i64::from(self.chip.latency.read), i64::from(self.chip.latency.sxm));
        let (near, end) = self.path(from);
        let at = self.sxm();
        let wide = self.bytes() as u16 * width;
        let outward = flow.stream(hemisphere.outward(), wide, (near, end), (-at, 1 - at));
        let inward = flow.stream(hemisphere.inward(), wide, (end, near), (sxm + at, sxm + at + 1));
        for byte in 0..self.bytes() as u16 {
            let act = Act::Transpose(StreamRef(outward, byte * width), StreamRef(inward, byte * width));
            flow.run(FlowQueue::Sxm(byte.into()), 0, act, Vec::new());
            flow.sxm.push((hemisphere, 0, 1));
            for row in 0..self.width() {
                let slice = self.slice(from, row, byte.into());
                let away = self.distance(slice);
                let stream = byte * width + row as u16;
                let word = WordRef { storage: self.recent, hemisphere, slice, word: from.word };
                let queue = FlowQueue::Fixed(Queue::MemRead(hemisphere, slice));
                flow.run(queue, -away - read, Act::Read(word, StreamRef(outward, stream)), Vec::new());
                let word = WordRef { storage: self.turned, hemisphere, slice, word: to.word };
                let queue = FlowQueue::Fixed(Queue::MemWrite(hemisphere, slice));
                flow.run(queue, sxm + away, Act::Write(word, StreamRef(inward, stream)), Vec::new());
            }
        }
        for row in 0..self.width() {
            let away = self.distance(self.slice(from, row, 0));
            let vector = |id: StorageId, unit: &Unit| self.storage(id).vector(unit.row + row, 0);
            let (storage, vector_in) = (self.recent, vector(self.recent, from));
            flow.reads.push(Access { storage, vector: vector_in, cycle: -away - read });
            let (storage, vector_out) = (self.turned, vector(self.turned, to));
            flow.writes.push(Access { storage, vector: vector_out, cycle: sxm + away });
        }
        flow
    }

    /// Queues that rotate data; one more has the index.
    fn queues(&self) -> usize {
        usize::from(self.chip.sxm.queues_per_hemisphere).saturating_sub(1).max(1)
    }

    /// Rows that are rotated in a cycle.
    fn at_once(&self) -> u32 {
        (self.queues() * GROUP / self.bytes()) as u32
    }

    fn cycles_per_rotation(&self) -> i64 {
        i64::from(self.width().div_ceil(self.at_once()))
    }

    /// Rotations in stretches so short that no slice is read and written at the same time.
    fn pieces(&self) -> Vec<Range<u32>> {
        let latency = &self.chip.latency;
        let way = i64::from(latency.read) + i64::from(latency.sxm) + i64::from(self.chip.stagger());
        let rotations = u32::from(self.chip.stagger());
        let most = ((way - APART) / self.cycles_per_rotation()).max(1) as usize;
        (0..rotations).step_by(most).map(|from| from..(from + most as u32).min(rotations)).collect()
    }

    /// The units of a pack of the state, in stretches that a bank holds.
    fn windows(&self, pack: u32) -> Vec<Window> {
        let (state, packs) = (self.storage(self.state), self.storage(self.recent).batches);
        let own = state.units.len() / packs as usize;
        let units = &state.units[pack as usize * own..][..own];
        let each = state.scattered / units[0].words().max(1);
        let (each, words) = (each.max(1) as usize, units[0].words());
        let window =
            |(at, own): (usize, &[Unit])| Window { first: (at * each) as u32 * words, units: own.to_vec() };
        units.chunks(each).enumerate().map(window).collect()
    }

    /// All rows of a pack through some rotations, and into the state where they belong, if that is within a window.
    fn scatter(&self, pack: u32, rotations: Range<u32>, window: &Window) -> Flow {
        let mut flow = Flow::new(self.node, "columns");
        let hemisphere = self.hemisphere(pack);
        let unit = self.block(self.turned, pack);
        let per_rotation = self.cycles_per_rotation();
        let cycles = i64::from(rotations.end - rotations.start) * per_rotation;
        let at = self.sxm();
        let late = i64::from(self.chip.latency.sxm) + i64::from(self.chip.stagger());
        let (near, end) = self.path(unit);
        let slots = [(-at, cycles - at), (late + at, late + at + cycles)];
        let wide = (self.queues() * GROUP) as u16;
        let outward = flow.stream(hemisphere.outward(), wide, (near, end), slots[0]);
        let inward = flow.stream(hemisphere.inward(), wide, (end, near), slots[1]);
        let index = self.index(&mut flow, hemisphere, rotations.clone(), (near, end), slots);
        // Cycle, rotation and first row of each step.
        let steps: Vec<(i64, u32, u32)> = rotations
            .clone()
            .flat_map(|rotation| (0..per_rotation).map(move |step| (rotation, step)))
            .enumerate()
            .map(|(cycle, (rotation, step))| (cycle as i64, rotation, step as u32 * self.at_once()))
            .collect();
        for queue in 0..=self.queues() {
            let data = queue < self.queues();
            let first = (queue * GROUP / self.bytes()) as u32;
            let items = steps.iter().filter(|(_, _, row)| !data || row + first < self.width()).map(
                |&(cycle, rotation, _)| {
                    Item::once(cycle, u32::from(self.map) + if data { rotation } else { 0 })
                },
            );
            let (from, to) = match data {
                true => [outward, inward].map(|stream| StreamRef(stream, (queue * GROUP) as u16)).into(),
                false => index,
            };
            emit(&mut flow, FlowQueue::Sxm(queue), items.collect(), |map, _| {
                Act::Permute(map as u16, from, to)
            });
            flow.sxm.push((hemisphere, 0, cycles));
        }
        self.rows(&mut flow, (pack, window), &steps, (outward, inward, index.1));
        flow
    }

    /// Reads of the transposed rows, and their way into the state.
    fn rows(
        &self,
        flow: &mut Flow,
        (pack, window): (u32, &Window),
        steps: &[(i64, u32, u32)],
        (outward, inward, index): (usize, usize, StreamRef),
    ) {
        let hemisphere = self.hemisphere(pack);
        let unit = self.block(self.turned, pack);
        let read = i64::from(self.chip.latency.read);
        let late = i64::from(self.chip.latency.sxm) + i64::from(self.chip.stagger());
        let state = self.storage(self.state);
        let units = &window.units;
        let words: u32 = units.iter().map(Unit::words).sum();
        let mut done = 0;
        for row in 0..self.width() {
            let place = row % self.at_once();
            let own = || steps.iter().filter(|(_, _, first)| row - place == *first);
            for byte in 0..self.bytes() {
                let stream = (place as usize * self.bytes() + byte) as u16;
                let slice = self.slice(unit, row, byte);
                let start = -self.distance(slice) - read;
                let items = own().map(|&(cycle, ..)| Item::once(start + cycle, unit.word)).collect();
                emit(flow, FlowQueue::Fixed(Queue::MemRead(hemisphere, slice)), items, |word, _| {
                    let word = WordRef { storage: self.turned, hemisphere, slice, word };
                    Act::Read(word, StreamRef(outward, stream))
                });
                let slice = self.slice(&units[0], row, byte);
                let start = late + self.distance(slice);
                let items = own().map(|&(cycle, ..)| Item::once(start + cycle, units[0].word)).collect();
                let span =
                    emit(flow, FlowQueue::Fixed(Queue::MemWrite(hemisphere, slice)), items, |word, _| {
                        let word = WordRef { storage: self.state, hemisphere, slice, word };
                        Act::Scatter(word, window.first as i32, words, index, StreamRef(inward, stream))
                    });
                done = done.max(span.1 - 1);
            }
            let vector = self.storage(self.turned).vector(unit.row + row, 0);
            let start = -self.distance(self.slice(unit, row, 0)) - read;
            let cycles = own().map(|(cycle, ..)| *cycle);
            for cycle in cycles.clone().min().into_iter().chain(cycles.max()) {
                flow.reads.push(Access { storage: self.turned, vector, cycle: start + cycle });
            }
        }
        for unit in units {
            let vectors = (0..unit.chunks).map(|chunk| state.vector(unit.row, chunk));
            let storage = self.state;
            flow.writes.extend(vectors.map(|vector| Access { storage, vector, cycle: done }));
        }
    }

    /// The index of each rotation beside the data: outward to the SXM, and back with it.
    fn index(
        &self,
        flow: &mut Flow,
        hemisphere: Hemisphere,
        rotations: Range<u32>,
        (near, end): (i32, i32),
        slots: [(i64, i64); 2],
    ) -> (StreamRef, StreamRef) {
        let storage = self.index[usize::from(hemisphere == Hemisphere::West)];
        let array = self.storage(storage);
        let slices = self.arrays.storages.plan.slices(array.region());
        let first = position(self.chip, hemisphere, slices.start);
        let outward = flow.stream(hemisphere.outward(), GROUP as u16, (first, end), slots[0]);
        let inward = flow.stream(hemisphere.inward(), GROUP as u16, (end, near), slots[1]);
        let per_rotation = self.cycles_per_rotation();
        let read = i64::from(self.chip.latency.read);
        let cycle = |rotation: u32| i64::from(rotation - rotations.start) * per_rotation;
        for (byte, slice) in slices.clone().enumerate() {
            let start = -self.distance(slice) - read;
            let items = rotations.clone().flat_map(|rotation| {
                let word = array.locate(rotation, 0).word;
                (0..per_rotation).map(move |step| Item::once(start + cycle(rotation) + step, word))
            });
            let queue = FlowQueue::Fixed(Queue::MemRead(hemisphere, slice));
            emit(flow, queue, items.collect(), |word, _| {
                Act::Read(WordRef { storage, hemisphere, slice, word }, StreamRef(outward, byte as u16))
            });
        }
        let start = -self.distance(slices.start) - read;
        for rotation in rotations.clone() {
            let (vector, from) = (array.vector(rotation, 0), start + cycle(rotation));
            let reads = [from, from + per_rotation - 1];
            flow.reads.extend(reads.map(|cycle| Access { storage, vector, cycle }));
        }
        (StreamRef(outward, 0), StreamRef(inward, 0))
    }
}

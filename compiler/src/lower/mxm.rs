//! Matrix products: tiles of weights loaded, installed, and activations streamed through them.
//!
//! out[j] = a[j] · b[j]ᵀ. A tile is up to `rows` rows of one b by one chunk of k; chunks of k follow each other and add up in the
//! accumulators. Batches that share a b stream through the same installed tile.

use isa::Chip;
use isa::instruction::AccMode;
use isa::place::{Hemisphere, MxmPort, Queue, Slice};
use isa::stream::Format;

use super::arrays::{Arrays, bad_node};
use super::compress::Item;
use super::context::Context;
use super::floorplan::position;
use super::flow::{Access, Act, Flow, FlowQueue, MxmRole, StreamRef, WordRef};
use super::pass::{emit, format, repeat};
use super::storage::{Role, Storage, StorageId, Unit};
use super::tiled::{Sharing, Tiled};
use crate::diagnostic::Diagnostic;
use crate::graph::NodeId;

struct Product<'a> {
    chip: &'a Chip,
    arrays: &'a Arrays,
    node: NodeId,
    weights: StorageId,
    left: [StorageId; 2],
    out: StorageId,
}

/// One tile: unit of the weights, chunk of k.
#[derive(Clone, Copy)]
struct Tile {
    unit: Unit,
    /// Chunk of the result's columns.
    tile: u32,
    chunk: u32,
}

/// Lowers a product.
pub fn product(
    context: &Context<'_>,
    arrays: &mut Arrays,
    chip: &Chip,
    node: NodeId,
) -> Result<Vec<Flow>, Diagnostic> {
    let data = &context.graph.nodes[node];
    let (a, b) = (data.inputs[0], data.inputs[1]);
    let shape = &data.ty.shape;
    let (m, n, k) = (shape[shape.len() - 2], shape[shape.len() - 1], context.columns(a));
    let forms = (
        arrays.forms[context.base(b)].tiles.or(arrays.forms[context.base(b)].striped),
        arrays.forms[context.base(a)].halves,
        arrays.forms[node].plain,
    );
    let (Some(weights), Some(left), Some(out)) = forms else {
        return Err(bad_node(format!("{node} ({}): an operand has no array", data.origin)));
    };
    if n == 1 {
        return Err(bad_node(format!(
            "{node} ({}): a product with one column is not supported yet",
            data.origin
        )));
    }
    let element = arrays.storages.arrays[weights].element;
    if let Some(problem) = chip.mxm.refuses(&chip.name, format(element)) {
        return Err(bad_node(format!("{node} ({}): {problem}", data.origin)));
    }
    let with_last = |rows: usize, last: usize| {
        let mut target = shape[..shape.len() - 2].to_vec();
        target.extend([rows, last]);
        target
    };
    let a_rows: Vec<u32> = context
        .rows_for(a, &with_last(m, k))
        .into_iter()
        .map(|row| arrays.storages.arrays[left[0]].row(row))
        .collect();
    let b_rows = context.rows_for(b, &with_last(n, k));
    let per_batch = arrays.storages.arrays[weights].rows as usize;
    if n != per_batch
        || b_rows.chunks(n).any(|rows| {
            !(rows[0] as usize).is_multiple_of(n) || rows[n - 1] as usize != rows[0] as usize + n - 1
        })
    {
        return Err(bad_node(format!(
            "{node} ({}): the right operand is not made of whole matrices",
            data.origin
        )));
    }
    let mut sharing = Sharing::new();
    for (batch, rows) in b_rows.chunks(n).enumerate() {
        let activations = (batch * m..(batch + 1) * m).map(|row| (a_rows[row], row as u32));
        sharing.entry(rows[0] / n as u32).or_default().extend(activations);
    }
    if arrays.forms[context.base(b)].tiles.is_some() {
        return Tiled { chip, node, weights, left, out, taps: None }.flows(arrays, &sharing);
    }
    let product = Product { chip, arrays, node, weights, left, out };
    let mut flows = Vec::new();
    for (batch, activations) in &sharing {
        for block in activations.chunks(usize::from(chip.mxm.accumulators)) {
            product.matrix(*batch, block, &mut flows);
        }
    }
    Ok(flows)
}

impl Product<'_> {
    fn storage(&self, id: StorageId) -> &Storage {
        &self.arrays.storages.arrays[id]
    }

    fn distance(&self) -> i64 {
        i64::from(Slice::Mxm(Hemisphere::East).position(self.chip))
    }

    fn matrix(&self, batch: u32, activations: &[(u32, u32)], flows: &mut Vec<Flow>) {
        let weights = self.storage(self.weights);
        let first = (batch * weights.tiles()) as usize;
        for (tile, &unit) in weights.units[first..first + weights.tiles() as usize].iter().enumerate() {
            for chunk in 0..weights.chunks {
                let tile = Tile { unit, tile: tile as u32, chunk };
                flows.push(self.load(tile));
                flows.push(self.install(tile));
                flows.push(self.stream(tile, activations, chunk + 1 == weights.chunks));
            }
        }
    }

    fn load(&self, tile: Tile) -> Flow {
        let weights = self.storage(self.weights);
        let hemisphere = tile.unit.region.hemisphere();
        let per_stripe = tile.unit.per_stripe;
        let stripes = tile.unit.rows.div_ceil(per_stripe);
        let mut flow = Flow::new(self.node, "load");
        flow.mxm = Some(MxmRole::Load(hemisphere, i64::from(per_stripe)));
        let mxm = self.distance();
        let near = self.arrays.storages.plan.slices(tile.unit.region).start;
        let path = (position(self.chip, hemisphere, near), Slice::Mxm(hemisphere).position(self.chip));
        let slots = (-mxm, i64::from(per_stripe) - mxm);
        let stream = flow.stream(hemisphere.outward(), 2 * stripes as u16, path, slots);
        let full = tile.unit.rows - (stripes - 1) * per_stripe;
        for (first, end, count) in [(0, full, stripes), (full, per_stripe, stripes - 1)] {
            if first < end && count > 0 {
                let act =
                    Act::Lw(StreamRef(stream, 0), count as u8, first as u16, per_stripe as u16, Format::F16);
                let items = (first..end).map(|c| Item::once(i64::from(c), c)).collect();
                emit(
                    &mut flow,
                    FlowQueue::Fixed(Queue::Mxm(hemisphere, 0, MxmPort::Load)),
                    items,
                    |row, _| match act {
                        Act::Lw(stream, count, _, stride, format) => {
                            Act::Lw(stream, count, row as u16, stride, format)
                        }
                        other => other,
                    },
                );
            }
        }
        let base = tile.unit.block(tile.chunk);
        for stripe in 0..stripes {
            let count = per_stripe.min(tile.unit.rows - stripe * per_stripe);
            for byte in 0..2 {
                let slice = self.arrays.storages.plan.slice(tile.unit.region, stripe, 2, byte);
                let start = -(mxm - 1 - i64::from(slice)) - i64::from(self.chip.latency.read);
                let items = (0..count).map(|c| Item::once(start + i64::from(c), base + c)).collect();
                let to = StreamRef(stream, (2 * stripe) as u16 + byte as u16);
                emit(&mut flow, FlowQueue::Fixed(Queue::MemRead(hemisphere, slice)), items, |word, _| {
                    Act::Read(WordRef { storage: self.weights, hemisphere, slice, word }, to)
                });
            }
        }
        if weights.role != Role::Constant {
            let far = mxm - 1 - i64::from(self.arrays.storages.plan.slices(tile.unit.region).start);
            for row in 0..tile.unit.rows {
                let cycle = i64::from(row % per_stripe) - far - i64::from(self.chip.latency.read);
                let vector = weights.vector(tile.unit.row + row, tile.chunk);
                flow.reads.push(Access { storage: self.weights, vector, cycle });
            }
        }
        flow
    }

    fn install(&self, tile: Tile) -> Flow {
        let hemisphere = tile.unit.region.hemisphere();
        let mut flow = Flow::new(self.node, "install");
        flow.mxm = Some(MxmRole::Install(hemisphere));
        flow.run(FlowQueue::Fixed(Queue::Mxm(hemisphere, 0, MxmPort::Install)), 0, Act::Iw, Vec::new());
        flow
    }

    fn stream(&self, tile: Tile, activations: &[(u32, u32)], last: bool) -> Flow {
        let hemisphere = tile.unit.region.hemisphere();
        let count = activations.len() as u32;
        let span = 2 * i64::from(count);
        let mut flow = Flow::new(self.node, "stream");
        flow.mxm = Some(MxmRole::Stream(hemisphere, span));
        let mxm = self.distance();
        let left = self.left[usize::from(hemisphere == Hemisphere::West)];
        let array = self.storage(left);
        let region = array.region();
        let read = i64::from(self.chip.latency.read);
        let slices = self.arrays.storages.plan.slices(region);
        let path =
            (position(self.chip, hemisphere, slices.start), Slice::Mxm(hemisphere).position(self.chip));
        let input = flow.stream(hemisphere.outward(), 2, path, (-mxm, span - 1 - mxm));
        for (byte, slice) in slices.clone().enumerate() {
            let start = -(mxm - 1 - i64::from(slice)) - read;
            let word = |row: u32| array.locate(row, tile.chunk).word;
            let items = activations.iter().enumerate();
            let items = items.map(|(i, (row, _))| Item::once(start + 2 * i as i64, word(*row))).collect();
            emit(&mut flow, FlowQueue::Fixed(Queue::MemRead(hemisphere, slice)), items, |word, _| {
                Act::Read(WordRef { storage: left, hemisphere, slice, word }, StreamRef(input, byte as u16))
            });
        }
        let start = -(mxm - 1 - i64::from(slices.start)) - read;
        for (i, (row, _)) in activations.iter().enumerate() {
            let vector = array.vector(*row, tile.chunk);
            flow.reads.push(Access { storage: left, vector, cycle: start + 2 * i as i64 });
        }
        let queue = |port| FlowQueue::Fixed(Queue::Mxm(hemisphere, 0, port));
        flow.run(queue(MxmPort::Stream), 0, Act::Abc(StreamRef(input, 0), Format::F16), repeat(count, 2));
        let arrival = i64::from(self.chip.latency.product) + i64::from(self.chip.stagger());
        let mode = if tile.chunk == 0 { AccMode::Start } else { AccMode::Add };
        let sums = last.then(|| self.sums(&mut flow, tile, activations, arrival));
        let items = (0..count).map(|i| Item::once(arrival + 2 * i64::from(i), i)).collect();
        emit(&mut flow, queue(MxmPort::Accumulate), items, |address, _| {
            Act::Acc(address as u16, mode, sums.map(|stream| StreamRef(stream, 0)))
        });
        flow
    }

    /// Streams of the sums, and their writes.
    fn sums(&self, flow: &mut Flow, tile: Tile, activations: &[(u32, u32)], arrival: i64) -> usize {
        let hemisphere = tile.unit.region.hemisphere();
        let mxm = self.distance();
        let emitted = arrival + i64::from(self.chip.latency.accumulate);
        let origin = Slice::Mxm(hemisphere).position(self.chip);
        let span = 2 * activations.len() as i64 - 1;
        let array = self.storage(self.out);
        let region = array.region();
        let slices = self.arrays.storages.plan.slices(region);
        let last = match region.hemisphere() == hemisphere {
            true => slices.start,
            false => slices.end - 1,
        };
        let path = (origin, position(self.chip, region.hemisphere(), last));
        let stream = flow.stream(hemisphere.inward(), 4, path, (emitted + mxm, emitted + mxm + span));
        let travel = |slice: u16| match region.hemisphere() == hemisphere {
            true => mxm - 1 - i64::from(slice),
            false => mxm + 1 + i64::from(slice),
        };
        for (byte, slice) in slices.clone().enumerate() {
            let words = activations.iter().map(|(_, row)| array.locate(*row, tile.tile).word);
            let items = words.enumerate();
            let items =
                items.map(|(i, word)| Item::once(emitted + travel(slice) + 2 * i as i64, word)).collect();
            emit(flow, FlowQueue::Fixed(Queue::MemWrite(region.hemisphere(), slice)), items, |word, _| {
                let word = WordRef { storage: self.out, hemisphere: region.hemisphere(), slice, word };
                Act::Write(word, StreamRef(stream, byte as u16))
            });
        }
        let latest = slices.map(travel).max().unwrap_or(0);
        for (i, (_, row)) in activations.iter().enumerate() {
            let vector = array.vector(*row, tile.tile);
            flow.writes.push(Access { storage: self.out, vector, cycle: emitted + latest + 2 * i as i64 });
        }
        stream
    }
}

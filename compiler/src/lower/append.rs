//! Caches: new rows written at a position that is data, by Scatter.

use std::collections::BTreeMap;

use isa::Chip;
use isa::instruction::VxmOp;
use isa::place::{Hemisphere, Queue};
use isa::stream::Format;

use super::arrays::Arrays;
use super::compress::Item;
use super::context::Context;
use super::floorplan::position;
use super::flow::{Access, Act, AluOperand, Flow, FlowQueue, StreamRef, WordRef};
use super::pass::{Feed, Pass, emit, format, untangle};
use super::storage::{Region, Storage, StorageId};
use super::vxm::plain;
use crate::diagnostic::Diagnostic;
use crate::graph::NodeId;

/// One new vector that passes the slices of one tile of the state.
struct Step {
    /// Row and chunk of the new rows.
    source: (u32, u32),
    region: Region,
    windows: Vec<Window>,
}

/// What one stripe holds of the tile.
struct Window {
    stripe: u32,
    word: u32,
    /// The position that means the first of its rows.
    first: i64,
    count: u32,
}

/// Lowers an Append: new rows, in the state's element type, go past all its slices together with the position, and the slice that holds the row
/// writes it.
pub fn append(
    context: &Context<'_>,
    arrays: &Arrays,
    chip: &Chip,
    node: NodeId,
) -> Result<Vec<Flow>, Diagnostic> {
    let data = &context.graph.nodes[node];
    let state = arrays.forms[context.base(data.inputs[0])];
    let source = plain(arrays, context.base(data.inputs[1]))?;
    let position = plain(arrays, context.base(data.inputs[2]))?;
    let rows = context.view(data.inputs[1]).rows;
    let shape = context.graph.shape(data.inputs[1]);
    let length = shape[shape.len() - 2];
    let state_shape = context.graph.shape(node);
    let capacity = state_shape[state_shape.len() - 2] as u32;
    let position_row = context.view(data.inputs[2]).rows[0];
    let mut flows = Vec::new();
    for target in state.plain.into_iter().chain(state.striped) {
        let array = &arrays.storages.arrays[target];
        let mut steps = Vec::new();
        for (n, &row) in rows.iter().enumerate() {
            let (batch, at) = ((n / length) as u32, (n % length) as i64);
            for chunk in 0..array.chunks {
                steps.extend(
                    tiles(array, capacity, batch, chunk, at).into_iter().map(|(region, windows)| Step {
                        source: (row, chunk),
                        region,
                        windows,
                    }),
                );
            }
        }
        for hemisphere in Hemisphere::BOTH {
            let own: Vec<&Step> =
                steps.iter().filter(|step| step.region.hemisphere() == hemisphere).collect();
            if own.is_empty() {
                continue;
            }
            let space: Vec<(u32, u32)> = own.iter().map(|step| step.source).collect();
            let pass = Pass { chip, arrays, node, name: "append", space: &space };
            flows.push(Append { pass, source, position, position_row, target, hemisphere }.flow(&own));
        }
    }
    Ok(flows)
}

/// Tiles that a row of a batch may lie in, and what their stripes hold; `at` is the row's distance from the position.
fn tiles(array: &Storage, capacity: u32, batch: u32, chunk: u32, at: i64) -> Vec<(Region, Vec<Window>)> {
    if array.rows != capacity || array.units.len() == 1 {
        // All batches in one tile.
        let word = chunk * array.rows_per_stripe + batch * capacity;
        if array.rows_per_stripe >= array.tile_rows {
            return vec![(array.region(), vec![Window { stripe: 0, word, first: -at, count: capacity }])];
        }
    }
    let tile = |tile: u32| {
        let unit = array.units[(batch * array.tiles() + tile) as usize];
        let first = tile * array.tile_rows;
        let windows = (0..unit.rows.div_ceil(unit.per_stripe)).map(|stripe| {
            let in_tile = stripe * unit.per_stripe;
            Window {
                stripe,
                word: unit.block(chunk),
                first: i64::from(first + in_tile) - at,
                count: unit.per_stripe.min(unit.rows - in_tile),
            }
        });
        (unit.region, windows.collect())
    };
    (0..array.tiles()).map(tile).collect()
}

struct Append<'a> {
    pass: Pass<'a>,
    source: StorageId,
    position: StorageId,
    position_row: u32,
    target: StorageId,
    hemisphere: Hemisphere,
}

impl Append<'_> {
    fn flow(&self, steps: &[&Step]) -> Flow {
        let arrays = &self.pass.arrays.storages;
        let target = &arrays.arrays[self.target];
        let mut flow = Flow::new(self.pass.node, "append");
        let d = i64::from(self.pass.chip.latency.vxm);
        let source = Feed { storage: self.source, vectors: self.pass.space.to_vec() };
        let position = Feed { storage: self.position, vectors: vec![(self.position_row, 0); steps.len()] };
        let width = target.element.bytes();
        // Row and position leave the VXM together, even where they must enter it in turns.
        let clash = arrays.arrays[self.source].region() == arrays.arrays[self.position].region();
        let (turn, interval, leave) = if clash { (1, 2, 1 + d) } else { (0, 1, 0) };
        let data =
            self.through(&mut flow, &source, (0, leave), interval, (width as u16, format(target.element)));
        let index = self.through(&mut flow, &position, (turn, leave), interval, (4, Format::I32));
        let mut by_slice: BTreeMap<(u16, u32), (usize, Vec<Item>)> = BTreeMap::new();
        let mut done = 0;
        for (n, step) in steps.iter().enumerate() {
            for window in &step.windows {
                for byte in 0..width {
                    let slice = arrays.plan.slice(step.region, window.stripe, width, byte);
                    let cycle = leave + n as i64 * interval + d + 1 + i64::from(slice);
                    done = done.max(cycle);
                    let item = Item {
                        cycle,
                        word: i64::from(window.word),
                        window: window.first,
                        repeats: Vec::new(),
                    };
                    by_slice.entry((slice, window.count)).or_insert((byte, Vec::new())).1.push(item);
                }
            }
        }
        for ((slice, count), (byte, items)) in by_slice {
            emit(
                &mut flow,
                FlowQueue::Fixed(Queue::MemWrite(self.hemisphere, slice)),
                items,
                |word, window| {
                    let word = WordRef { storage: self.target, hemisphere: self.hemisphere, slice, word };
                    Act::Scatter(word, window, count, StreamRef(index, 0), StreamRef(data, byte as u16))
                },
            );
        }
        let writes = (0..target.vectors()).map(|vector| Access { storage: self.target, vector, cycle: done });
        flow.writes.extend(writes);
        untangle(&mut flow);
        flow
    }

    /// Takes a feed in at a cycle and puts it on outward streams by an ALU that dispatches at another.
    fn through(
        &self,
        flow: &mut Flow,
        feed: &Feed,
        (enter, leave): (i64, i64),
        interval: i64,
        (width, put): (u16, Format),
    ) -> usize {
        let count = feed.vectors.len() as i64;
        let stream = self.pass.feed(flow, feed, enter, interval);
        let mut operand = AluOperand::Stream(StreamRef(stream, 0), self.pass.format(feed.storage));
        if enter != leave {
            let loaded = self.alu(flow, enter, interval, count, operand, None);
            operand = AluOperand::Alu(loaded, (leave - enter) as u8);
        }
        let first = leave + i64::from(self.pass.chip.latency.vxm);
        let last = first + (count - 1) * interval + 1;
        let arrays = &self.pass.arrays.storages;
        let regions = arrays.arrays[self.target].regions();
        let own = regions.iter().filter(|(region, _)| region.hemisphere() == self.hemisphere);
        let far = own.map(|(region, _)| arrays.plan.slices(*region).end - 1).max().unwrap_or(0);
        let to = position(self.pass.chip, self.hemisphere, far);
        let out = flow.stream(self.hemisphere.outward(), width, (0, to), (first, last));
        self.alu(flow, leave, interval, count, operand, Some((StreamRef(out, 0), put)));
        out
    }

    fn alu(
        &self,
        flow: &mut Flow,
        cycle: i64,
        interval: i64,
        count: i64,
        a: AluOperand,
        result: Option<(StreamRef, Format)>,
    ) -> usize {
        let index = flow.alus.len();
        let items = (0..count).map(|i| Item::once(cycle + i * interval, 0)).collect();
        let act = Act::Alu { op: VxmOp::Pass, a, b: None, result };
        let span = emit(flow, FlowQueue::Alu(index), items, |_, _| act);
        flow.alus.push(span);
        index
    }
}

//! Embeddings: rows of a table chosen by indices, by Gather.

use std::collections::BTreeMap;

use isa::Chip;
use isa::instruction::VxmOp;
use isa::place::{Hemisphere, Queue, Slice};

use super::arrays::Arrays;
use super::compress::Item;
use super::context::Context;
use super::floorplan::position;
use super::flow::{Access, Act, AluOperand, Flow, FlowQueue, StreamRef, WordRef};
use super::needs::bad_node;
use super::pass::{Pass, emit, format};
use super::storage::{Storage, StorageId, Unit};
use super::vxm::plain;
use crate::diagnostic::Diagnostic;
use crate::graph::NodeId;

/// Lowers rows of a table chosen by indices. Every slice of the table looks at every index, once for each tile it holds; what it does not
/// hold it gives as zeros; and an ALU ORs it all together.
pub fn gather(
    context: &Context<'_>,
    arrays: &Arrays,
    chip: &Chip,
    node: NodeId,
) -> Result<Vec<Flow>, Diagnostic> {
    let data = &context.graph.nodes[node];
    let forms = arrays.forms[context.base(data.inputs[0])];
    let Some(table) = forms.table.or(forms.striped) else {
        return Err(bad_node(format!("{node} ({}): the table has no array", data.origin)));
    };
    let Some(index) = arrays.forms[context.base(data.inputs[1])].indices[0] else {
        return Err(bad_node(format!("{node} ({}): the indices have no array", data.origin)));
    };
    let rows = context.view(data.inputs[1]).rows;
    let out = plain(arrays, node)?;
    let chunks = arrays.storages.arrays[table].chunks;
    let mut flows = Vec::new();
    for (row, &index_row) in rows.iter().enumerate() {
        for chunk in 0..chunks {
            let space = [(row as u32, chunk)];
            let pass = Pass { chip, arrays, node, name: "gather", space: &space };
            flows.push(Gather { pass, table, index, index_row, out, chunk }.flow());
        }
    }
    Ok(flows)
}

struct Gather<'a> {
    pass: Pass<'a>,
    table: StorageId,
    index: [StorageId; 2],
    index_row: u32,
    out: StorageId,
    chunk: u32,
}

impl Gather<'_> {
    fn array(&self, id: StorageId) -> &Storage {
        &self.pass.arrays.storages.arrays[id]
    }

    fn flow(&self) -> Flow {
        let mut flow = Flow::new(self.pass.node, "gather");
        let d = i64::from(self.pass.chip.latency.vxm);
        let mut sums: Vec<(usize, i64)> = Vec::new();
        for hemisphere in Hemisphere::BOTH {
            let table = self.array(self.table);
            let units: Vec<Unit> =
                table.units.iter().copied().filter(|unit| unit.region.hemisphere() == hemisphere).collect();
            if !units.is_empty() {
                sums.push(self.side(&mut flow, hemisphere, &units));
            }
        }
        let mut sum = sums[0];
        if let Some(&other) = sums.get(1) {
            let cycle = sum.1.max(other.1) + d;
            let delay = |of: (usize, i64)| AluOperand::Alu(of.0, (cycle - of.1) as u8);
            let act = Act::Alu { op: VxmOp::Or, a: delay(sum), b: Some(delay(other)), result: None };
            let index = flow.alus.len();
            flow.alus.push((cycle, cycle + 1));
            flow.run(FlowQueue::Alu(index), cycle, act, Vec::new());
            sum = (index, cycle);
        }
        let cycle = sum.1 + d;
        let (row, chunk) = self.pass.space[0];
        let hemisphere = self.array(self.out).locate(row, chunk).region.hemisphere();
        let stream = self.pass.result(&mut flow, self.out, hemisphere, &[(0, self.pass.space[0])], cycle, 1);
        let result = Some((StreamRef(stream, 0), self.pass.format(self.out)));
        let act = Act::Alu { op: VxmOp::Pass, a: AluOperand::Alu(sum.0, d as u8), b: None, result };
        flow.run(FlowQueue::Alu(flow.alus.len()), cycle, act, Vec::new());
        flow.alus.push((cycle, cycle + 1));
        flow
    }

    /// The tiles in one hemisphere; returns the ALU that has their sum, and its last cycle.
    fn side(&self, flow: &mut Flow, hemisphere: Hemisphere, units: &[Unit]) -> (usize, i64) {
        let chip = self.pass.chip;
        let plan = &self.pass.arrays.storages.plan;
        let table = self.array(self.table);
        let (width, d) = (table.element.bytes(), i64::from(chip.latency.vxm));
        let wait = i64::from(chip.latency.gather);
        let last = (units.len() as i64 - 1) * d;
        let slices = plan.slices(units[0].region);
        let (near, far) = (1 + i64::from(slices.start), i64::from(slices.end));
        // What a slice puts in cycle t − distance passes the VXM in cycle t; for that it takes the index in cycle t − distance − d_gather.
        let index_slots = (-2 * far - wait, last - 2 * near - wait + 1);
        let index = self.index(flow, hemisphere, index_slots);
        let path = (position(chip, hemisphere, slices.end - 1), 0);
        let inward = flow.stream(hemisphere.inward(), width as u16, path, (0, last + 1));
        let mut by_slice: BTreeMap<(u16, u32), Vec<Item>> = BTreeMap::new();
        for (n, unit) in units.iter().enumerate() {
            for stripe in 0..unit.rows.div_ceil(unit.per_stripe) {
                let first = stripe * unit.per_stripe;
                let count = unit.per_stripe.min(unit.rows - first);
                for byte in 0..width {
                    let slice = plan.slice(unit.region, stripe, width, byte);
                    let cycle = n as i64 * d - (1 + i64::from(slice)) - wait;
                    let (word, window) = (i64::from(unit.block(self.chunk)), i64::from(unit.row + first));
                    let item = Item { cycle, word, window, repeats: Vec::new() };
                    by_slice.entry((slice, count)).or_default().push(item);
                }
            }
        }
        for ((slice, count), items) in by_slice {
            let byte = (slice - slices.start) as usize % width;
            emit(flow, FlowQueue::Fixed(Queue::MemRead(hemisphere, slice)), items, |word, window| {
                let word = WordRef { storage: self.table, hemisphere, slice, word };
                Act::Gather(word, window, count, StreamRef(index, 0), StreamRef(inward, byte as u16))
            });
        }
        let x = AluOperand::Stream(StreamRef(inward, 0), format(table.element));
        let alu = flow.alus.len();
        flow.alus.push((0, last + 1));
        flow.run(
            FlowQueue::Alu(alu),
            0,
            Act::Alu { op: VxmOp::Pass, a: x, b: None, result: None },
            Vec::new(),
        );
        let b = Some(AluOperand::Alu(alu, d as u8));
        let items = (1..units.len() as i64).map(|n| Item::once(n * d, 0)).collect();
        emit(flow, FlowQueue::Alu(alu), items, |_, _| Act::Alu { op: VxmOp::Or, a: x, b, result: None });
        (alu, last)
    }

    /// The index on an outward stream of a hemisphere, in all of the slots.
    fn index(&self, flow: &mut Flow, hemisphere: Hemisphere, slots: (i64, i64)) -> usize {
        let storage = self.index[usize::from(hemisphere == Hemisphere::West)];
        let array = self.array(storage);
        let slices = self.pass.arrays.storages.plan.slices(array.region());
        let chip = self.pass.chip;
        // Not every slot's index is taken, so they go on to the edge.
        let path = (position(chip, hemisphere, slices.start), Slice::C2c(hemisphere).position(chip));
        let stream = flow.stream(hemisphere.outward(), 4, path, slots);
        let place = array.locate(self.index_row, 0);
        let first = slots.0 - i64::from(self.pass.chip.latency.read);
        let earliest = first + 1 + i64::from(slices.start);
        for (byte, slice) in slices.enumerate() {
            let start = first + 1 + i64::from(slice);
            let items = (0..slots.1 - slots.0).map(|i| Item::once(start + i, place.word)).collect();
            emit(flow, FlowQueue::Fixed(Queue::MemRead(hemisphere, slice)), items, |word, _| {
                Act::Read(WordRef { storage, hemisphere, slice, word }, StreamRef(stream, byte as u16))
            });
        }
        let vector = array.vector(self.index_row, 0);
        flow.reads.push(Access { storage, vector, cycle: earliest });
        flow.reads.push(Access { storage, vector, cycle: earliest + slots.1 - slots.0 + 4 });
        stream
    }
}

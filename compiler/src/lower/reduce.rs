//! Reductions over lanes: two trips of rotations through the SXM, combined in the VXM.
//!
//! With lanes = p · q: the first trip combines a vector with its rotations by q, 2q, … (p of them, itself included), after which lanes that are equal modulo q agree;
//! the second with its rotations by 0, 1, …, q − 1, after which all lanes agree. Chunks of a row are combined before, with lanes past the last column made neutral.

use isa::instruction::VxmOp;
use isa::place::{Hemisphere, Queue, Slice};
use isa::{Chip, Element};

use super::alu::{AluProgram, Value};
use super::arrays::{Arrays, Forms, bad_node};
use super::compress::Item;
use super::context::Context;
use super::flow::{Access, Act, AluOperand, Flow, FlowQueue, StreamRef, WordRef};
use super::maps::Maps;
use super::pad::{Pad, Pads};
use super::pass::{Feed, Pass, emit, untangle};
use super::storage::{MaskKind, Region, Storage, StorageId};
use super::vxm::plain;
use crate::diagnostic::Diagnostic;
use crate::graph::{ElementType, NodeId, Op, ReduceOp};

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
    let op = match (&data.op, data.ty.element) {
        (Op::Reduce { op: ReduceOp::Sum, .. }, ElementType::I32) => VxmOp::IntAdd,
        (Op::Reduce { op: ReduceOp::Sum, .. }, _) => VxmOp::Add,
        (Op::Reduce { op: ReduceOp::Max, .. }, ElementType::F32) => VxmOp::Max,
        (op, element) => {
            return Err(bad_node(format!(
                "{node} ({}): {op:?} of {element:?} is not supported yet",
                data.origin
            )));
        }
    };
    let input = data.inputs[0];
    let base = context.base(input);
    let columns = context.columns(input);
    let source = plain(arrays, base)?;
    let rows = context.view(input).rows;
    let chunks = columns.div_ceil(chip.lanes) as u32;
    let partial = !columns.is_multiple_of(chip.lanes);
    let mask = (partial && !(op != VxmOp::Max && pads.of(context, base) == Pad::Known(0))).then(|| {
        let kind = if op == VxmOp::Max { MaskKind::NegativeInfinity } else { MaskKind::Zero };
        arrays.masks[&(columns % chip.lanes, kind)]
    });
    let mut flows = Vec::new();
    let mut reducer = Reducer { chip, arrays, maps, node, op };
    let mut feed = Feed { storage: source, vectors: rows.iter().map(|&row| (row, 0)).collect() };
    if chunks > 1 || mask.is_some() {
        let apart: Vec<StorageId> = std::iter::once(source).chain(mask).collect();
        let whole = reducer.temporary(rows.len(), &apart);
        flows.push(reducer.combine_chunks(&feed, chunks, mask, whole)?);
        feed = Feed { storage: whole, vectors: (0..rows.len() as u32).map(|row| (row, 0)).collect() };
    }
    let superlanes = usize::from(chip.stagger());
    let out = plain(reducer.arrays, node)?;
    let half = reducer.temporary(rows.len(), &[feed.storage, out]);
    flows.push(reducer.trip(&feed, chip.lanes_per_superlane, superlanes, half));
    let feed = Feed { storage: half, vectors: (0..rows.len() as u32).map(|row| (row, 0)).collect() };
    flows.push(reducer.trip(&feed, superlanes, 1, out));
    Ok(flows)
}

struct Reducer<'a> {
    chip: &'a Chip,
    arrays: &'a mut Arrays,
    maps: &'a mut Maps,
    node: NodeId,
    op: VxmOp,
}

impl Reducer<'_> {
    /// An array for one vector per row, in other slices than some that are read or written together with it.
    fn temporary(&mut self, rows: usize, apart: &[StorageId]) -> StorageId {
        let groups = self.arrays.storages.plan.groups;
        let regions =
            (0..groups).flat_map(|n| Hemisphere::BOTH.map(|hemisphere| Region::Group(hemisphere, n)));
        let regions: Vec<Region> = regions.collect();
        let first = self.node.as_u32() as usize;
        let place = |id: StorageId| self.arrays.storages.arrays[id].region();
        let turns = (0..regions.len()).map(|turn| regions[(first + turn) % regions.len()]);
        let clashes = |region: &Region| apart.iter().filter(|&&id| place(id) == *region).count();
        let region = turns.min_by_key(clashes).unwrap_or(regions[0]);
        let (element, lanes) = (Element::F32, self.chip.lanes);
        let room = Storage::temporary(self.node, element, lanes, rows as u32, region);
        self.arrays.storages.arrays.push(room)
    }

    /// Combines the chunks of each row, with the last one masked.
    fn combine_chunks(
        &self,
        feed: &Feed,
        chunks: u32,
        mask: Option<StorageId>,
        out: StorageId,
    ) -> Result<Flow, Diagnostic> {
        let mask_op = if self.op == VxmOp::Max { VxmOp::Min } else { VxmOp::And };
        let space: Vec<(u32, u32)> = (0..feed.vectors.len() as u32).map(|row| (row, 0)).collect();
        let pass =
            Pass { chip: self.chip, arrays: self.arrays, node: self.node, name: "mask", space: &space };
        let of_chunk = |chunk: u32| Feed {
            storage: feed.storage,
            vectors: feed.vectors.iter().map(|&(row, _)| (row, chunk)).collect(),
        };
        let mut feeds: Vec<Feed> = (0..chunks).map(of_chunk).collect();
        let mut program = AluProgram::default();
        let mut last = Value::Input(chunks as usize - 1);
        if let Some(mask) = mask {
            feeds.push(Feed { storage: mask, vectors: vec![(1, 0); space.len()] });
            last = program.push(mask_op, last, Some(Value::Input(chunks as usize)));
        }
        if chunks <= 4 {
            let mut sum = last;
            for chunk in 0..chunks as usize - 1 {
                sum = program.push(self.op, sum, Some(Value::Input(chunk)));
            }
            let forms = Forms { plain: Some(out), ..Forms::default() };
            return pass.flow(&feeds, &program, &[(forms, sum)]);
        }
        Ok(self.accumulate(feed, chunks, mask.map(|mask| (mask, mask_op)), out))
    }

    /// Many chunks: one ALU adds up a row's chunks as they pass, `d_vxm` cycles apart.
    fn accumulate(&self, feed: &Feed, chunks: u32, mask: Option<(StorageId, VxmOp)>, out: StorageId) -> Flow {
        let space: Vec<(u32, u32)> = (0..feed.vectors.len() as u32).map(|row| (row, 0)).collect();
        let pass =
            Pass { chip: self.chip, arrays: self.arrays, node: self.node, name: "chunks", space: &space };
        let mut flow = Flow::new(self.node, "chunks");
        let d = i64::from(self.chip.latency.vxm);
        let rows = feed.vectors.len() as u32;
        let items: Vec<(u32, u32)> =
            feed.vectors.iter().flat_map(|&(row, _)| (0..chunks).map(move |chunk| (row, chunk))).collect();
        let total = items.len() as u32;
        let stream = pass.feed(&mut flow, &Feed { storage: feed.storage, vectors: items }, 0, d);
        let mut x = AluOperand::Stream(StreamRef(stream, 0), pass.format(feed.storage));
        let mut cycle = 0;
        if let Some((mask, op)) = mask {
            let every = |first: i64| (0..i64::from(total)).map(|i| first + i * d).collect();
            let arrays = &self.arrays.storages.arrays;
            if arrays[mask].region() == arrays[feed.storage].region() {
                // They share slices: the mask follows one cycle behind, and the data waits for it.
                let load =
                    self.alu(&mut flow, every(0), Act::Alu { op: VxmOp::Pass, a: x, b: None, result: None });
                x = AluOperand::Alu(load, d as u8 + 1);
                cycle = d + 1;
            }
            let vectors = (0..total).map(|i| (u32::from(i % chunks + 1 == chunks), 0)).collect();
            let limits = pass.feed(&mut flow, &Feed { storage: mask, vectors }, cycle, d);
            let b = Some(AluOperand::Stream(StreamRef(limits, 0), pass.format(mask)));
            let masked = self.alu(&mut flow, every(cycle), Act::Alu { op, a: x, b, result: None });
            x = AluOperand::Alu(masked, d as u8);
            cycle += d;
        }
        let sum = flow.alus.len();
        let end = cycle + (i64::from(total) - 1) * d;
        flow.alus.push((cycle, end + 1));
        for row in 0..i64::from(rows) {
            let start = cycle + row * i64::from(chunks) * d;
            let first = Act::Alu { op: VxmOp::Pass, a: x, b: None, result: None };
            flow.run(FlowQueue::Alu(sum), start, first, Vec::new());
            let more = Act::Alu { op: self.op, a: x, b: Some(AluOperand::Alu(sum, d as u8)), result: None };
            let items = (1..i64::from(chunks)).map(|chunk| Item::once(start + chunk * d, 0)).collect();
            emit(&mut flow, FlowQueue::Alu(sum), items, |_, _| more);
        }
        let done = cycle + i64::from(chunks) * d;
        self.put(&mut flow, &pass, AluOperand::Alu(sum, d as u8), done, i64::from(chunks) * d, out);
        untangle(&mut flow);
        flow
    }

    /// An ALU that dispatches at the given cycles.
    fn alu(&self, flow: &mut Flow, cycles: Vec<i64>, act: Act) -> usize {
        let index = flow.alus.len();
        let items = cycles.into_iter().map(|cycle| Item::once(cycle, 0)).collect();
        let span = emit(flow, FlowQueue::Alu(index), items, |_, _| act);
        flow.alus.push(span);
        index
    }

    /// A last ALU that sends one vector per row on its way.
    fn put(
        &self,
        flow: &mut Flow,
        pass: &Pass<'_>,
        from: AluOperand,
        cycle: i64,
        interval: i64,
        out: StorageId,
    ) {
        let hemisphere = self.arrays.storages.arrays[out].region().hemisphere();
        let vectors: Vec<(usize, (u32, u32))> = pass.space.iter().copied().enumerate().collect();
        let stream = pass.result(flow, out, hemisphere, &vectors, cycle, interval);
        let result = Some((StreamRef(stream, 0), pass.format(out)));
        let cycles = (0..vectors.len() as i64).map(|i| cycle + i * interval).collect();
        self.alu(flow, cycles, Act::Alu { op: VxmOp::Pass, a: from, b: None, result });
    }

    /// Combines each vector with its rotations by 0, step, 2 · step, …, `count` in all.
    fn trip(&mut self, feed: &Feed, count: usize, step: usize, out: StorageId) -> Flow {
        let map = self.maps.rotations(count, step);
        let mut flow = Flow::new(self.node, "rotate");
        let n = count as i64;
        let rows = feed.vectors.len() as i64;
        let array = &self.arrays.storages.arrays[feed.storage];
        let region = array.region();
        let hemisphere = region.hemisphere();
        let sxm = i64::from(Slice::Sxm(Hemisphere::East).position(self.chip));
        let origin = Slice::Sxm(hemisphere).position(self.chip);
        // Rotation j of row r passes the VXM in cycle r · n + j.
        let permute = -(i64::from(self.chip.latency.sxm) + i64::from(self.chip.stagger()) + sxm);
        let slots = (permute - sxm, permute - sxm + rows * n);
        let outward = flow.stream(hemisphere.outward(), 4, (origin.signum(), origin), slots);
        let inward = flow.stream(hemisphere.inward(), 4, (origin, 0), (0, rows * n));
        let slices = self.arrays.storages.plan.slices(region);
        let read = i64::from(self.chip.latency.read);
        for (byte, slice) in slices.clone().enumerate() {
            let start = permute - (sxm - 1 - i64::from(slice)) - read;
            let words = feed.vectors.iter().enumerate();
            let items = words.flat_map(|(r, &(row, chunk))| {
                let word = array.locate(row, chunk).word;
                (0..n).map(move |j| Item::once(start + r as i64 * n + j, word))
            });
            emit(
                &mut flow,
                FlowQueue::Fixed(Queue::MemRead(hemisphere, slice)),
                items.collect(),
                |word, _| {
                    Act::Read(
                        WordRef { storage: feed.storage, hemisphere, slice, word },
                        StreamRef(outward, byte as u16),
                    )
                },
            );
        }
        let start = permute - (sxm - 1 - i64::from(slices.start)) - read;
        for (r, &(row, chunk)) in feed.vectors.iter().enumerate() {
            let cycle = start + r as i64 * n;
            flow.reads.push(Access { storage: feed.storage, vector: array.vector(row, chunk), cycle });
            // The last of the reads, so that the word lives until then.
            flow.reads.push(Access {
                storage: feed.storage,
                vector: array.vector(row, chunk),
                cycle: cycle + n - 1,
            });
        }
        let items = (0..rows * n).map(|i| Item::once(permute + i, u32::from(map) + (i % n) as u32)).collect();
        let span = emit(&mut flow, FlowQueue::Sxm(0), items, |map, _| {
            Act::Permute(map as u16, StreamRef(outward, 0), StreamRef(inward, 0))
        });
        flow.sxm.push((hemisphere, span.0, span.1));
        let (alu, cycle) = self.tree(&mut flow, inward, rows, n);
        let d = i64::from(self.chip.latency.vxm);
        let space: Vec<(u32, u32)> = (0..rows as u32).map(|row| (row, 0)).collect();
        let pass =
            Pass { chip: self.chip, arrays: self.arrays, node: self.node, name: "rotate", space: &space };
        self.put(&mut flow, &pass, AluOperand::Alu(alu, d as u8), cycle + d, n, out);
        flow
    }

    /// Combines n vectors that arrive one per cycle: pairs, pairs of pairs, …, then what is left by the binary digits of n. Returns the last ALU and
    /// the cycle of its dispatch for row 0.
    fn tree(&self, flow: &mut Flow, inward: usize, rows: i64, n: i64) -> (usize, i64) {
        let d = i64::from(self.chip.latency.vxm);
        let x = AluOperand::Stream(StreamRef(inward, 0), isa::stream::Format::F32);
        let load = Act::Alu { op: VxmOp::Pass, a: x, b: None, result: None };
        let mut levels = vec![self.alu(flow, (0..rows * n).collect(), load)];
        let mut size = 1;
        while 2 * size <= n {
            let level = levels.len() as i64;
            let below = levels[levels.len() - 1];
            let b = Some(AluOperand::Alu(below, (d + size) as u8));
            let act = Act::Alu { op: self.op, a: AluOperand::Alu(below, d as u8), b, result: None };
            size *= 2;
            let ends = (0..rows).flat_map(|r| (1..=n / size).map(move |block| r * n + block * size - 1));
            let cycles = ends.map(|end| end + level * d).collect();
            levels.push(self.alu(flow, cycles, act));
        }
        let mut level = levels.len() - 1;
        let mut done = 1i64 << level;
        let mut sum = (levels[level], done - 1 + level as i64 * d);
        while level > 0 {
            level -= 1;
            if n & (1 << level) == 0 {
                continue;
            }
            done += 1 << level;
            let next = (levels[level], done - 1 + level as i64 * d);
            let cycle = sum.1.max(next.1) + d;
            let delay = |of: (usize, i64)| AluOperand::Alu(of.0, (cycle - of.1) as u8);
            let act = Act::Alu { op: self.op, a: delay(sum), b: Some(delay(next)), result: None };
            sum = (self.alu(flow, (0..rows).map(|r| cycle + r * n).collect(), act), cycle);
        }
        sum
    }
}

//! Lane movement: slices, pads, concatenations and reshapes that change what is on which lane.
//!
//! Every vector of the result is put together from stretches of lanes of source vectors. Each source vector passes the SXM once per
//! result vector it contributes to, with a map that moves its stretches and zeroes all other lanes; the VXM ORs the pieces.

use std::collections::BTreeMap;

use isa::Chip;
use isa::instruction::{MapId, VxmOp};
use isa::place::{Hemisphere, Queue, Slice};

use super::arrays::Arrays;
use super::compress::Item;
use super::context::Context;
use super::flow::{Access, Act, AluOperand, Flow, FlowQueue, StreamRef, WordRef};
use super::maps::Maps;
use super::needs::bad_node;
use super::pass::{Pass, emit, untangle};
use super::storage::{Region, StorageId};
use super::vxm::{plain, space};
use crate::diagnostic::Diagnostic;
use crate::graph::{NodeId, Op};

/// Whether a node moves data between lanes, or copies rows together.
pub fn is_move(context: &Context<'_>, node: NodeId) -> bool {
    let data = &context.graph.nodes[node];
    let rank = data.ty.shape.len();
    match &data.op {
        Op::Slice { axis, .. } => axis + 1 == rank,
        Op::Concat { .. } => !context.is_pure_view(node),
        Op::Pad { .. } => true,
        Op::Reshape { .. } => context.columns(node) != context.columns(data.inputs[0]),
        _ => false,
    }
}

/// Elements [to, to + count) of a row of the result come from [from, from + count) of a row of an input.
struct Stretch {
    row: u32,
    to: usize,
    count: usize,
    input: usize,
    source_row: u32,
    from: usize,
}

/// A stretch of lanes: to, from, count.
type Lanes = (usize, usize, usize);

/// What goes into a result vector: by input, row and chunk, the stretches of lanes.
type Sources = BTreeMap<(usize, u32, u32), Vec<Lanes>>;

/// A source vector that goes into a result vector through a map.
#[derive(Clone, Copy)]
struct Piece {
    storage: StorageId,
    row: u32,
    chunk: u32,
    map: MapId,
}

/// Lowers a move.
pub fn movement(
    context: &Context<'_>,
    arrays: &Arrays,
    chip: &Chip,
    maps: &mut Maps,
    node: NodeId,
) -> Result<Vec<Flow>, Diagnostic> {
    let data = &context.graph.nodes[node];
    // A single column is held in all lanes, and so are those that it comes from.
    let single = context.columns(node) == 1;
    if single && data.inputs.iter().any(|&input| context.columns(input) != 1) {
        let message =
            format!("{node} ({}): moving a single lane to all lanes is not supported yet", data.origin);
        return Err(bad_node(message));
    }
    let stretches = stretches(context, node)?;
    let mut vectors: BTreeMap<(u32, u32), Sources> = BTreeMap::new();
    for stretch in stretches {
        let broadcast = context.columns(data.inputs[stretch.input]) == 1;
        let (mut done, all) = (0, if single { chip.lanes } else { stretch.count });
        while done < all {
            let (to, from) = (stretch.to + done, if broadcast { stretch.from } else { stretch.from + done });
            let to_lane = to % chip.lanes;
            let from_lane = if broadcast { to_lane } else { from % chip.lanes };
            let count = (all - done).min(chip.lanes - to_lane).min(chip.lanes - from_lane);
            let target = ((to / chip.lanes) as u32, stretch.row);
            let source =
                (stretch.input, stretch.source_row, if broadcast { 0 } else { (from / chip.lanes) as u32 });
            vectors.entry(target).or_default().entry(source).or_default().push((to_lane, from_lane, count));
            done += count;
        }
    }
    let mut pieces: Vec<Vec<Piece>> = Vec::new();
    for (row, chunk) in space(context, chip, node) {
        let mut of_vector = Vec::new();
        for ((input, row, chunk), lanes) in vectors.get(&(chunk, row)).into_iter().flatten() {
            let storage = plain(arrays, context.base(data.inputs[*input]))?;
            let piece =
                |lanes: Vec<Lanes>| Piece { storage, row: *row, chunk: *chunk, map: maps.stretches(&lanes) };
            of_vector.extend(once_each(lanes).into_iter().map(piece));
        }
        pieces.push(of_vector);
    }
    let (space, out) = (space(context, chip, node), plain(arrays, node)?);
    // One region of the result after the other.
    let region = |(row, chunk): (u32, u32)| arrays.storages.arrays[out].locate(row, chunk).region;
    let parts = space.chunk_by(|&one, &other| region(one) == region(other));
    let mut rest = pieces.as_slice();
    let flows = parts.map(|space| {
        let (pieces, after) = rest.split_at(space.len());
        rest = after;
        Mover { pass: Pass { chip, arrays, node, name: "move", space }, out }.flow(pieces)
    });
    flows.collect()
}

/// Stretches in parts in each of which no lane is taken twice, since a map moves a lane to one place.
fn once_each(lanes: &[Lanes]) -> Vec<Vec<Lanes>> {
    let mut parts: Vec<Vec<Lanes>> = Vec::new();
    for &(to, from, count) in lanes {
        let free = |part: &&mut Vec<Lanes>| {
            part.iter().all(|&(_, other, many)| other + many <= from || from + count <= other)
        };
        match parts.iter_mut().find(free) {
            Some(part) => part.push((to, from, count)),
            None => parts.push(vec![(to, from, count)]),
        }
    }
    parts
}

fn stretches(context: &Context<'_>, node: NodeId) -> Result<Vec<Stretch>, Diagnostic> {
    let data = &context.graph.nodes[node];
    let shape = &data.ty.shape;
    let rank = shape.len();
    let (rows, columns) = (context.rows(node), context.columns(node));
    let views: Vec<_> = data.inputs.iter().map(|&input| context.view(input)).collect();
    let wide = |input: usize| context.columns(data.inputs[input]);
    let mut result = Vec::new();
    let mut push = |row: usize, to, count, input: usize, source: usize, from| {
        result.push(Stretch {
            row: row as u32,
            to,
            count,
            input,
            source_row: views[input].rows[source],
            from,
        });
    };
    match &data.op {
        Op::Slice { start, count, .. } => (0..rows).for_each(|row| push(row, 0, *count, 0, row, *start)),
        Op::Reshape { .. } => {
            let width = wide(0);
            let mut at = 0;
            while at < rows * columns {
                let (to, from) = (at % columns, at % width);
                let count = (columns - to).min(width - from);
                push(at / columns, to, count, 0, at / width, from);
                at += count;
            }
        }
        Op::Pad { axis, before, value, .. } => {
            if *value != 0 {
                return Err(bad_node(format!(
                    "{node} ({}): padding with a value other than 0 is not supported yet",
                    data.origin
                )));
            }
            let source = context.graph.shape(data.inputs[0]);
            for row in 0..views[0].rows.len() {
                match axis + 1 == rank {
                    true => push(row, *before, wide(0), 0, row, 0),
                    false => push(along(source, shape, *axis, row, *before), 0, columns, 0, row, 0),
                }
            }
        }
        _ => {
            let Op::Concat { axis } = data.op else { return Ok(result) };
            let mut offset = 0;
            for (input, view) in views.iter().enumerate() {
                let source = context.graph.shape(data.inputs[input]);
                for row in 0..view.rows.len() {
                    match axis + 1 == rank {
                        true => push(row, offset, wide(input), input, row, 0),
                        false => push(along(source, shape, axis, row, offset), 0, columns, input, row, 0),
                    }
                }
                offset += source[axis];
            }
        }
    }
    Ok(result)
}

/// Row of the result for a row of a source that lies at `offset` along `axis`.
fn along(source: &[usize], target: &[usize], axis: usize, row: usize, offset: usize) -> usize {
    let inner: usize = source[axis + 1..source.len() - 1].iter().product();
    let (outer, at) = (row / (source[axis] * inner), row % (source[axis] * inner));
    outer * target[axis] * inner + offset * inner + at
}

struct Mover<'a> {
    pass: Pass<'a>,
    out: StorageId,
}

impl Mover<'_> {
    fn flow(&self, vectors: &[Vec<Piece>]) -> Result<Flow, Diagnostic> {
        let chip = self.pass.chip;
        let mut flow = Flow::new(self.pass.node, "move");
        let d = i64::from(chip.latency.vxm);
        // Pieces of one vector are d_vxm apart, so that one ALU can OR each to the sum of those before; between them come those of others.
        let alone = vectors.iter().all(|pieces| pieces.len() <= 1);
        let (spacing, together) = if alone { (1, 1) } else { (d, d as usize) };
        let mut timed: Vec<(i64, Piece)> = Vec::new();
        let mut done: Vec<(i64, (u32, u32))> = Vec::new();
        let mut acts: Vec<(i64, Option<(Hemisphere, bool)>)> = Vec::new();
        let mut start = 0;
        for (vectors, space) in vectors.chunks(together).zip(self.pass.space.chunks(together)) {
            for (first, (pieces, &at)) in (start..).zip(vectors.iter().zip(space)) {
                if pieces.is_empty() {
                    acts.push((first, None));
                }
                for (n, piece) in pieces.iter().enumerate() {
                    let cycle = first + n as i64 * spacing;
                    acts.push((cycle, Some((self.hemisphere(piece), n > 0))));
                    timed.push((cycle, *piece));
                }
                done.push((first + (pieces.len().max(1) as i64 - 1) * spacing, at));
            }
            start += vectors.iter().map(|pieces| pieces.len().max(1) as i64).max().unwrap_or(0) * spacing;
        }
        timed.sort_by_key(|(cycle, _)| *cycle);
        acts.sort_by_key(|(cycle, _)| *cycle);
        done.sort_unstable();
        let mut inward = BTreeMap::new();
        for hemisphere in Hemisphere::BOTH {
            let own: Vec<(i64, Piece)> =
                timed.iter().copied().filter(|(_, piece)| self.hemisphere(piece) == hemisphere).collect();
            if let (Some(first), Some(last)) = (own.first(), own.last()) {
                let slots = (first.0, last.0 + 1);
                inward.insert(hemisphere, self.permutes(&mut flow, hemisphere, &own, slots));
            }
        }
        let sum = flow.alus.len();
        flow.alus.push((0, acts.last().map_or(0, |(cycle, _)| cycle + 1)));
        let own = AluOperand::Alu(sum, d as u8);
        for acts in acts.chunk_by(|a, b| a.1 == b.1) {
            let act = match acts[0].1 {
                None => Act::Alu { op: VxmOp::Pass, a: AluOperand::Immediate(0), b: None, result: None },
                Some((hemisphere, more)) => {
                    let x = AluOperand::Stream(StreamRef(inward[&hemisphere], 0), self.pass.format(self.out));
                    let (op, b) = if more { (VxmOp::Or, Some(own)) } else { (VxmOp::Pass, None) };
                    Act::Alu { op, a: x, b, result: None }
                }
            };
            let items = acts.iter().map(|(cycle, _)| Item::once(*cycle, 0)).collect();
            emit(&mut flow, FlowQueue::Alu(sum), items, |_, _| act);
        }
        self.put(&mut flow, own, &done);
        untangle(&mut flow);
        Ok(flow)
    }

    /// The last ALU: sends each finished vector on its way.
    fn put(&self, flow: &mut Flow, sum: AluOperand, done: &[(i64, (u32, u32))]) {
        let d = i64::from(self.pass.chip.latency.vxm);
        let hemisphere = self.region(self.out, done[0].1).hemisphere();
        let vectors: Vec<(usize, (u32, u32))> =
            done.iter().map(|&(cycle, at)| (cycle as usize, at)).collect();
        let stream = self.pass.result(flow, self.out, hemisphere, &vectors, d, 1);
        let result = Some((StreamRef(stream, 0), self.pass.format(self.out)));
        let index = flow.alus.len();
        let items = done.iter().map(|(cycle, _)| Item::once(cycle + d, 0)).collect();
        let act = Act::Alu { op: VxmOp::Pass, a: sum, b: None, result };
        let span = emit(flow, FlowQueue::Alu(index), items, |_, _| act);
        flow.alus.push(span);
    }

    fn region(&self, storage: StorageId, (row, chunk): (u32, u32)) -> Region {
        self.pass.arrays.storages.arrays[storage].locate(row, chunk).region
    }

    fn hemisphere(&self, piece: &Piece) -> Hemisphere {
        self.region(piece.storage, (piece.row, piece.chunk)).hemisphere()
    }

    /// Reads and permutes, so that each piece passes the VXM in its cycle. Returns the stream on which they do.
    fn permutes(
        &self,
        flow: &mut Flow,
        hemisphere: Hemisphere,
        pieces: &[(i64, Piece)],
        slots: (i64, i64),
    ) -> usize {
        let chip = self.pass.chip;
        let sxm = i64::from(Slice::Sxm(Hemisphere::East).position(chip));
        let origin = Slice::Sxm(hemisphere).position(chip);
        let lead = i64::from(chip.latency.sxm) + i64::from(chip.stagger()) + sxm;
        let before = (slots.0 - lead - sxm, slots.1 - lead - sxm);
        let outward = flow.stream(hemisphere.outward(), 4, (origin.signum(), origin), before);
        let inward = flow.stream(hemisphere.inward(), 4, (origin, 0), slots);
        let read = i64::from(chip.latency.read);
        let arrays = &self.pass.arrays.storages;
        let mut by_place: BTreeMap<(StorageId, Region), Vec<(i64, Piece)>> = BTreeMap::new();
        for &(cycle, piece) in pieces {
            let region = self.region(piece.storage, (piece.row, piece.chunk));
            by_place.entry((piece.storage, region)).or_default().push((cycle, piece));
        }
        for ((storage, region), pieces) in by_place {
            let array = &arrays.arrays[storage];
            let slices = arrays.plan.slices(region);
            let start = |cycle: i64, slice: u16| cycle - lead - (sxm - 1 - i64::from(slice)) - read;
            for (byte, slice) in slices.clone().enumerate() {
                let items = pieces.iter().map(|(cycle, piece)| {
                    Item::once(start(*cycle, slice), array.locate(piece.row, piece.chunk).word)
                });
                emit(
                    flow,
                    FlowQueue::Fixed(Queue::MemRead(hemisphere, slice)),
                    items.collect(),
                    |word, _| {
                        Act::Read(
                            WordRef { storage, hemisphere, slice, word },
                            StreamRef(outward, byte as u16),
                        )
                    },
                );
            }
            for (cycle, piece) in &pieces {
                let vector = array.vector(piece.row, piece.chunk);
                flow.reads.push(Access { storage, vector, cycle: start(*cycle, slices.start) });
            }
        }
        let items =
            pieces.iter().map(|(cycle, piece)| Item::once(cycle - lead, u32::from(piece.map))).collect();
        let queue = flow.sxm.len();
        let span = emit(flow, FlowQueue::Sxm(queue), items, |map, _| {
            Act::Permute(map as u16, StreamRef(outward, 0), StreamRef(inward, 0))
        });
        flow.sxm.push((hemisphere, span.0, span.1));
        inward
    }
}

//! Links: exchanges among the chips of a group, and what comes from and goes to other stages.
//!
//! The chips of a group run one program in the same cycles, so that a chip knows when its peers send: an exchange is one rigid kernel. Vectors
//! of 32-bit arrays go byte by byte. A vector that several peers want is read once for each hemisphere, since a stream passes all links
//! of a hemisphere; what arrives is written wherever the stream passes on its way in.

use std::collections::{BTreeMap, BTreeSet};

use isa::Chip;
use isa::place::{Hemisphere, Queue, Slice};

use super::arrays::Arrays;
use super::compress::Item;
use super::context::Context;
use super::floorplan::position;
use super::flow::{Access, Act, Flow, FlowQueue, StreamRef, WordRef, joined};
use super::needs::bad_node;
use super::pad::{Pad, Pads};
use super::pass::emit;
use super::storage::StorageId;
use crate::diagnostic::Diagnostic;
use crate::graph::{Gates, NodeId, Op};
use crate::links::{Axis, Links, Pace, Transfer};

/// Slots that are less than this apart are taken as one interval.
const NEAR: i64 = 8;

/// A vector of one byte of an array: row, chunk and byte.
type Vector = (u32, u32, usize);

/// Lowers an exchange among the chips of a group.
pub fn exchange(
    context: &Context<'_>,
    arrays: &Arrays,
    chip: &Chip,
    (links, pads): (&Links, &Pads),
    node: NodeId,
) -> Result<Flow, Diagnostic> {
    let data = &context.graph.nodes[node];
    let bad = |what: String| bad_node(format!("{node} ({}): {what}", data.origin));
    let (from, to, rows) = operands(context, arrays, node)?;
    let chunks = arrays.storages.arrays[from].chunks;
    let (wanted, stride) = match data.op {
        Op::AllGather { chips, stride, .. } => (chips, stride),
        Op::AllToAll { stride } => (context.graph.shape(node)[0], stride),
        _ => (0, 0),
    };
    let Some(axis) = links.axis(wanted, stride) else {
        return Err(bad(format!("there are no {wanted} chips whose ranks are {stride} apart")));
    };
    // For each chip behind (none: this one): which vectors of its array come, and where they go.
    let mut parts: Vec<Vec<(Vector, Vector)>> = Vec::new();
    if let Op::AllGather { padded, .. } = data.op {
        let whole = padded.is_none_or(|padded| padded.is_multiple_of(chip.lanes));
        if !whole {
            return Err(bad(format!("parts that do not begin at vectors of {} elements", chip.lanes)));
        }
        zeros_past(context, (chip, pads), node)?;
        // Rows and chunks from one part to the next.
        let (down, along) = match padded {
            Some(padded) => (0, (padded / chip.lanes) as u32),
            None => (rows.len() as u32, 0),
        };
        let vectors = vectors(&rows, chunks);
        let to = |d: u32| {
            let place = move |&(at, (row, chunk, byte)): &(u32, Vector)| {
                ((row, chunk, byte), (at + d * down, chunk + d * along, byte))
            };
            vectors.iter().map(place).collect()
        };
        parts.extend((0..wanted as u32).map(to));
    } else {
        let each = rows.len() / wanted;
        for (d, rows) in rows.chunks(each.max(1)).enumerate() {
            let place = |(at, (row, chunk, byte)): (u32, Vector)| {
                ((row, chunk, byte), (at + (d * each) as u32, chunk, byte))
            };
            parts.push(vectors(rows, chunks).into_iter().map(place).collect());
        }
    }
    let mut work = Work::new(arrays, chip, node, "exchange");
    for (own, result) in &parts[0] {
        work.keep((from, *own), (to, *result))?;
    }
    work.swap(axis, (from, to), &parts[1..]);
    Ok(work.finish())
}

/// Lowers what comes from another stage.
pub fn arrive(arrays: &Arrays, chip: &Chip, node: NodeId, transfer: &Transfer) -> Result<Flow, Diagnostic> {
    let Some(to) = arrays.forms[node].plain else { return Err(bad_node(format!("{node} has no array"))) };
    let array = &arrays.storages.arrays[to];
    let rows: Vec<u32> = (0..array.batches * array.rows).collect();
    let links = shared(&transfer.links);
    let mut work = Work::new(arrays, chip, node, "receive");
    if let Some(gates) = &transfer.gates {
        work.act_as(&gates.to);
    }
    for (index, (_, vector)) in vectors(&rows, array.chunks).into_iter().enumerate() {
        let (wave, link) = (index / links.len(), links[index % links.len()]);
        let cycle = wave as i64 * i64::from(transfer.pace.vector_cycles);
        work.receive(link, cycle, (to, vector));
    }
    let mut flow = work.finish();
    // The link is aligned before.
    flow.links.iter_mut().for_each(|(_, from, _)| *from -= 1);
    Ok(flow)
}

/// Lowers what goes to another stage.
pub fn depart(
    context: &Context<'_>,
    arrays: &Arrays,
    chip: &Chip,
    pads: &Pads,
    (node, transfer): (NodeId, &Transfer),
) -> Result<Flow, Diagnostic> {
    let base = context.base(node);
    let Some(from) = arrays.forms[base].plain else { return Err(bad_node(format!("{node} has no array"))) };
    if !context.columns(node).is_multiple_of(chip.lanes) && pads.of(context, base) != Pad::Known(0) {
        return Err(bad_node(format!("{node}: the lanes past the last column may not be zero")));
    }
    let links = shared(&transfer.links);
    let mut work = Work::new(arrays, chip, node, "send");
    let chunks = arrays.storages.arrays[from].chunks;
    let all = match &transfer.gates {
        Some(gates) => {
            work.act_as(&gates.from);
            through(gates, &context.view(node).rows, chunks)
        }
        None => vectors(&context.view(node).rows, chunks),
    };
    for (index, (_, vector)) in all.into_iter().enumerate() {
        let (wave, link) = (index / links.len(), links[index % links.len()]);
        let cycle = wave as i64 * i64::from(transfer.pace.vector_cycles);
        work.send(&[link], cycle, (from, vector), transfer.pace);
    }
    Ok(work.finish())
}

/// The vectors that a gate sends, of the rows that it gathered in its node.
fn through(gates: &Gates, rows: &[u32], chunks: u32) -> Vec<(u32, Vector)> {
    let each = rows.len() / gates.node;
    let part = |ahead: usize| &rows[gates.part(ahead) * each..][..each];
    vectors(&(0..gates.each).flat_map(part).copied().collect::<Vec<u32>>(), chunks)
}

/// Lowers what crosses from node to node.
pub fn cross(
    context: &Context<'_>,
    arrays: &Arrays,
    chip: &Chip,
    (links, pads): (&Links, &Pads),
    node: NodeId,
) -> Result<Flow, Diagnostic> {
    zeros_past(context, (chip, pads), node)?;
    let (from, to, rows) = operands(context, arrays, node)?;
    let way = match context.graph.nodes[node].op {
        Op::Cross { chips, stride, distance, .. } => {
            links.axis(chips, stride).and_then(|axis| axis.ways.get(distance.wrapping_sub(1)))
        }
        _ => None,
    };
    let Some(way) = way else { return Err(bad_node(format!("{node} crosses where no chip has a link"))) };
    let all = through(&way.gates, &rows, arrays.storages.arrays[from].chunks);
    let shared = shared(&way.links);
    let mut work = Work::new(arrays, chip, node, "cross");
    for (index, (at, (row, chunk, byte))) in all.into_iter().enumerate() {
        let link = shared[index % shared.len()];
        work.act_as(&way.gates.from);
        let cycle = work.send(&[link], 0, (from, (row, chunk, byte)), way.pace);
        work.act_as(&way.gates.to);
        work.receive(link, cycle + i64::from(way.pace.latency_cycles), (to, (at, chunk, byte)));
    }
    Ok(work.finish())
}

/// Lowers how the chips of a node get their parts from those that received them.
pub fn from_gates(
    context: &Context<'_>,
    arrays: &Arrays,
    chip: &Chip,
    (links, pads): (&Links, &Pads),
    node: NodeId,
) -> Result<Flow, Diagnostic> {
    zeros_past(context, (chip, pads), node)?;
    let (from, to, rows) = operands(context, arrays, node)?;
    let (Op::FromGates(gates), Some(axis)) = (&context.graph.nodes[node].op, links.axes.first()) else {
        return Err(bad_node(format!("{node} has no gates")));
    };
    let mut work = Work::new(arrays, chip, node, "from gates");
    let each = rows.len() / gates.each;
    for (ahead, rows) in rows.chunks(each.max(1)).enumerate() {
        let vectors = vectors(rows, arrays.storages.arrays[from].chunks);
        for (index, (at, own)) in vectors.into_iter().enumerate() {
            let result = (to, (at, own.1, own.2));
            work.act_as(&gates.to);
            if ahead == 0 {
                work.keep((from, own), result)?;
                continue;
            }
            let out = shared(&axis.peers[ahead - 1]);
            let back = shared(&axis.peers[gates.node - ahead - 1]);
            let cycle = work.send(&[out[index % out.len()]], 0, (from, own), axis.pace);
            work.act_as(&gates.served(ahead));
            work.receive(back[index % back.len()], cycle + i64::from(axis.pace.latency_cycles), result);
        }
    }
    Ok(work.finish())
}

/// The arrays of an exchange's operand and result, and the operand's rows.
fn operands(
    context: &Context<'_>,
    arrays: &Arrays,
    node: NodeId,
) -> Result<(StorageId, StorageId, Vec<u32>), Diagnostic> {
    let data = &context.graph.nodes[node];
    let input = data.inputs[0];
    let forms = (arrays.forms[context.base(input)].plain, arrays.forms[node].plain);
    let (Some(from), Some(to)) = forms else {
        return Err(bad_node(format!("{node} ({}): an operand has no array", data.origin)));
    };
    Ok((from, to, context.view(input).rows))
}

/// Refuses an exchange whose operand may have something past its last column.
fn zeros_past(context: &Context<'_>, (chip, pads): (&Chip, &Pads), node: NodeId) -> Result<(), Diagnostic> {
    let data = &context.graph.nodes[node];
    let input = data.inputs[0];
    if context.columns(input).is_multiple_of(chip.lanes)
        || pads.of(context, context.base(input)) == Pad::Known(0)
    {
        return Ok(());
    }
    let what = "the lanes past the last column may not be zero";
    Err(bad_node(format!("{node} ({}): {what}", data.origin)))
}

/// The vectors of some rows of a 32-bit array, byte by byte; with each the number of its row among them.
fn vectors(rows: &[u32], chunks: u32) -> Vec<(u32, Vector)> {
    let of_row = |(at, &row): (usize, &u32)| {
        (0..chunks).flat_map(move |chunk| (0..4).map(move |byte| (at as u32, (row, chunk, byte))))
    };
    rows.iter().enumerate().flat_map(of_row).collect()
}

/// As many of the links as share four bytes evenly.
fn shared(links: &[Queue]) -> &[Queue] {
    &links[..[4, 2, 1].into_iter().find(|&count| count <= links.len()).unwrap_or(0)]
}

/// The hemisphere of a link.
fn side(link: Queue) -> Hemisphere {
    match link {
        Queue::C2c(hemisphere, _) => hemisphere,
        _ => Hemisphere::East,
    }
}

/// What an event does: reads or writes an array, or takes a vector from or puts one on a link; on which byte of which streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Read(StorageId, Lane, usize),
    Write(StorageId, Lane, usize),
    Send(Lane, usize),
    Receive(Lane, usize),
}

/// Four streams: those that lead to the links of a hemisphere, or come from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lane {
    edge: Hemisphere,
    out: bool,
}

/// A dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    queue: Queue,
    cycle: i64,
    what: What,
    word: u32,
    role: Option<usize>,
}

/// Links for one vector: that to the chip ahead that gets it, that from the chip behind whose vector comes in turn, and where this one goes.
struct Peer {
    out: Queue,
    back: Queue,
    result: Vector,
}

/// Where a vector lies.
struct Spot {
    hemisphere: Hemisphere,
    slice: u16,
    word: u32,
}

/// A kernel on links in the making. A slot is the cycle in which a value passes the VXM, or would.
struct Work<'a> {
    arrays: &'a Arrays,
    chip: &'a Chip,
    flow: Flow,
    events: Vec<Event>,
    /// Dispatches so far.
    taken: BTreeSet<(Queue, i64)>,
    /// Slots of each byte's stream so far.
    slots: BTreeMap<Lane, BTreeSet<(usize, i64)>>,
    /// The slice of each lane that is farthest from its links, as [`Work::along`] counts.
    reach: BTreeMap<Lane, i64>,
    /// When each link is free for the next Send, and for the next Receive.
    free: BTreeMap<Queue, [i64; 2]>,
    /// Who does what is added, by its number in the flow; nothing: every chip.
    role: Option<usize>,
}

impl<'a> Work<'a> {
    fn new(arrays: &'a Arrays, chip: &'a Chip, node: NodeId, name: &'static str) -> Work<'a> {
        Work {
            arrays,
            chip,
            flow: Flow::new(node, name),
            events: Vec::new(),
            taken: BTreeSet::new(),
            slots: BTreeMap::new(),
            reach: BTreeMap::new(),
            free: BTreeMap::new(),
            role: None,
        }
    }

    /// What is added from here on is done by these ranks.
    fn act_as(&mut self, ranks: &[usize]) {
        let known = self.flow.roles.iter().position(|role| role == ranks);
        self.role = Some(known.unwrap_or_else(|| {
            self.flow.roles.push(ranks.to_vec());
            self.flow.roles.len() - 1
        }));
    }

    fn spot(&self, (storage, (row, chunk, byte)): (StorageId, Vector)) -> Spot {
        let storages = &self.arrays.storages;
        let place = storages.arrays[storage].locate(row, chunk);
        let slice = storages.plan.slice(place.region, place.stripe, 4, byte);
        Spot { hemisphere: place.region.hemisphere(), slice, word: place.word }
    }

    /// Distance from the VXM toward an edge; negative in the other hemisphere.
    fn along(&self, edge: Hemisphere, spot: &Spot) -> i64 {
        let distance = i64::from(position(self.chip, spot.hemisphere, spot.slice).abs());
        if spot.hemisphere == edge { distance } else { -distance }
    }

    /// Distance of the links from the VXM.
    fn edge(&self) -> i64 {
        i64::from(Slice::C2c(Hemisphere::East).position(self.chip))
    }

    /// Takes a slot and notes the events of its value, all of which are free.
    fn take(&mut self, lane: Lane, byte: usize, slot: i64, farthest: i64, events: &[Event]) {
        self.slots.entry(lane).or_default().insert((byte, slot));
        let reach = self.reach.entry(lane).or_insert(farthest);
        *reach = (*reach).min(farthest);
        self.taken.extend(events.iter().map(|event| (event.queue, event.cycle)));
        self.events.extend(events);
    }

    fn is_free(&self, lane: Lane, byte: usize, slot: i64, events: &[Event]) -> bool {
        !self.slots.get(&lane).is_some_and(|slots| slots.contains(&(byte, slot)))
            && events.iter().all(|event| !self.taken.contains(&(event.queue, event.cycle)))
    }

    fn access(&self, (storage, (row, chunk, _)): (StorageId, Vector), cycle: i64) -> Access {
        Access { storage, vector: self.arrays.storages.arrays[storage].vector(row, chunk), cycle }
    }

    /// Reads a vector so that it passes the VXM in a slot on its way to an edge.
    fn read(&self, from: (StorageId, Vector), lane: Lane, slot: i64) -> Event {
        let (spot, byte) = (self.spot(from), from.1.2);
        let cycle = slot + self.along(lane.edge, &spot) - i64::from(self.chip.latency.read);
        let queue = Queue::MemRead(spot.hemisphere, spot.slice);
        Event { queue, cycle, what: What::Read(from.0, lane, byte), word: spot.word, role: self.role }
    }

    /// Copies a vector to another slice, which a stream passes from the first one.
    fn keep(&mut self, from: (StorageId, Vector), to: (StorageId, Vector)) -> Result<(), Diagnostic> {
        let (source, target, byte) = (self.spot(from), self.spot(to), from.1.2);
        let ahead = |edge: &Hemisphere| self.along(*edge, &target) > self.along(*edge, &source);
        let Some(edge) = Hemisphere::BOTH.into_iter().find(ahead) else {
            return Err(bad_node(format!("{}: an exchange within one slice", self.flow.node)));
        };
        let lane = Lane { edge, out: true };
        let queue = Queue::MemWrite(target.hemisphere, target.slice);
        let what = What::Write(to.0, lane, byte);
        let events = |work: &Self, slot: i64| {
            let write = Event {
                queue,
                cycle: slot + work.along(edge, &target),
                what,
                word: target.word,
                role: work.role,
            };
            [work.read(from, lane, slot), write]
        };
        let slot = (0..).find(|&slot| self.is_free(lane, byte, slot, &events(self, slot))).unwrap_or(0);
        let [read, write] = events(self, slot);
        self.flow.reads.push(self.access(from, read.cycle));
        self.flow.writes.push(self.access(to, write.cycle));
        let farthest = self.along(edge, &source);
        self.take(lane, byte, slot, farthest, &[read, write]);
        Ok(())
    }

    /// Sends a vector on links of one hemisphere, in a cycle from `earliest` on. Returns that cycle.
    fn send(&mut self, links: &[Queue], earliest: i64, from: (StorageId, Vector), pace: Pace) -> i64 {
        let lane = Lane { edge: side(links[0]), out: true };
        let byte = from.1.2;
        let free = |link: &Queue| self.free.get(link).map_or(i64::MIN, |free| free[0]);
        let earliest = links.iter().map(free).fold(earliest, i64::max);
        let events = |work: &Self, cycle: i64| {
            let send = |&queue: &Queue| Event {
                queue,
                cycle,
                what: What::Send(lane, byte),
                word: 0,
                role: work.role,
            };
            let read = work.read(from, lane, cycle - work.edge());
            std::iter::once(read).chain(links.iter().map(send)).collect::<Vec<Event>>()
        };
        let fits = |&cycle: &i64| self.is_free(lane, byte, cycle - self.edge(), &events(self, cycle));
        let cycle = (earliest..).find(fits).unwrap_or(earliest);
        let events = events(self, cycle);
        self.flow.reads.push(self.access(from, events[0].cycle));
        let farthest = self.along(lane.edge, &self.spot(from));
        self.take(lane, byte, cycle - self.edge(), farthest, &events);
        for &link in links {
            self.free.entry(link).or_insert([i64::MIN; 2])[0] = cycle + i64::from(pace.vector_cycles);
        }
        cycle
    }

    /// Receives a vector, in a cycle from `earliest` on, and writes it.
    fn receive(&mut self, link: Queue, earliest: i64, to: (StorageId, Vector)) {
        let lane = Lane { edge: side(link), out: false };
        let (spot, byte) = (self.spot(to), to.1.2);
        let along = self.along(lane.edge, &spot);
        let role = self.role;
        let slot = |cycle: i64| cycle + i64::from(self.chip.latency.c2c) + self.edge();
        let events = |cycle: i64| {
            let queue = Queue::MemWrite(spot.hemisphere, spot.slice);
            let what = What::Write(to.0, lane, byte);
            [
                Event { queue: link, cycle, what: What::Receive(lane, byte), word: 0, role },
                Event { queue, cycle: slot(cycle) - along, what, word: spot.word, role },
            ]
        };
        let earliest = earliest.max(self.free.get(&link).map_or(i64::MIN, |free| free[1]));
        let fits = |&cycle: &i64| self.is_free(lane, byte, slot(cycle), &events(cycle));
        let cycle = (earliest..).find(fits).unwrap_or(earliest);
        let (slot, events) = (slot(cycle), events(cycle));
        self.flow.writes.push(self.access(to, events[1].cycle));
        self.take(lane, byte, slot, along, &events);
        self.free.entry(link).or_insert([i64::MIN; 2])[1] = cycle + 1;
    }

    /// Sends a part to each peer, and receives one from each.
    fn swap(&mut self, axis: &Axis, (from, to): (StorageId, StorageId), parts: &[Vec<(Vector, Vector)>]) {
        let vectors = parts.first().map_or(0, Vec::len);
        let mut arrivals: Vec<(i64, Queue, Vector)> = Vec::new();
        for index in 0..vectors {
            // Peers that get the same vector over links of one hemisphere get it from one Read.
            let mut sends: BTreeMap<(Hemisphere, Vector), Vec<Peer>> = BTreeMap::new();
            for (d, part) in parts.iter().enumerate() {
                let (ahead, behind) = (shared(&axis.peers[d]), shared(&axis.peers[parts.len() - 1 - d]));
                let (out, back) = (ahead[index % ahead.len()], behind[index % behind.len()]);
                sends.entry((side(out), part[index].0)).or_default().push(Peer {
                    out,
                    back,
                    result: part[index].1,
                });
            }
            for ((_, vector), peers) in sends {
                let out: Vec<Queue> = peers.iter().map(|peer| peer.out).collect();
                let cycle = self.send(&out, 0, (from, vector), axis.pace);
                let arrival = cycle + i64::from(axis.pace.latency_cycles);
                arrivals.extend(peers.into_iter().map(|peer| (arrival, peer.back, peer.result)));
            }
        }
        arrivals.sort_by_key(|&(cycle, link, _)| (cycle, link));
        for (cycle, link, result) in arrivals {
            self.receive(link, cycle, (to, result));
        }
    }

    /// The kernel.
    fn finish(mut self) -> Flow {
        let edge = self.edge();
        let mut streams: BTreeMap<Lane, usize> = BTreeMap::new();
        for (&lane, slots) in &self.slots {
            let sign = if lane.edge == Hemisphere::East { 1 } else { -1 };
            let (far, edge) = (sign * self.reach[&lane] as i32, sign * edge as i32);
            let (direction, path) = match lane.out {
                true => (lane.edge.outward(), (far, edge)),
                false => (lane.edge.inward(), (edge, far)),
            };
            let slots = joined(slots.iter().map(|&(_, slot)| (slot, slot + 1)).collect(), NEAR);
            streams.insert(lane, self.flow.streams_in(direction, 4, path, slots));
        }
        self.events.sort();
        let same = |a: &Event, b: &Event| (a.queue, a.role, a.what) == (b.queue, b.role, b.what);
        for events in self.events.chunk_by(same) {
            let Event { queue, what, role, .. } = events[0];
            let before = self.flow.runs.len();
            let items = events.iter().map(|event| Item::once(event.cycle, event.word)).collect();
            let stream = |lane: Lane, byte: usize| StreamRef(streams[&lane], byte as u16);
            emit(&mut self.flow, FlowQueue::Fixed(queue), items, |word, _| match (what, queue) {
                (What::Read(storage, lane, byte), Queue::MemRead(hemisphere, slice)) => {
                    Act::Read(WordRef { storage, hemisphere, slice, word }, stream(lane, byte))
                }
                (What::Write(storage, lane, byte), Queue::MemWrite(hemisphere, slice)) => {
                    Act::Write(WordRef { storage, hemisphere, slice, word }, stream(lane, byte))
                }
                (What::Send(lane, byte) | What::Read(_, lane, byte), _) => Act::Send(stream(lane, byte)),
                (What::Receive(lane, byte) | What::Write(_, lane, byte), _) => {
                    Act::Receive(stream(lane, byte))
                }
            });
            self.flow.runs[before..].iter_mut().for_each(|run| run.role = role);
        }
        let mut spans: BTreeMap<Queue, (i64, i64)> = BTreeMap::new();
        for event in self.events.iter().filter(|event| matches!(event.queue, Queue::C2c(..))) {
            let span = spans.entry(event.queue).or_insert((event.cycle, event.cycle + 1));
            *span = (span.0.min(event.cycle), span.1.max(event.cycle + 1));
        }
        for (queue, free) in &self.free {
            spans.entry(*queue).and_modify(|span| span.1 = span.1.max(free[0]));
        }
        self.flow.links = spans.into_iter().map(|(queue, (from, to))| (queue, from, to)).collect();
        self.flow
    }
}

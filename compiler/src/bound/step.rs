//! What each operator adds to a path.

use super::convolution::Meetings;
use super::cost::{self, Alu};
use super::machine::Place;
use super::path::{Cause, Earliest, End, Moment, Path};
use super::rows;
use super::times::Times;
use super::window::Recent;
use crate::graph::{ElementType, NodeId, Op, ReduceOp};

impl Path<'_> {
    /// When a runtime node's tensor can be there.
    pub(super) fn step(&self, node: NodeId) -> Moment {
        let data = &self.graph.nodes[node];
        let known: Vec<bool> = data.inputs.iter().map(|&input| self.constant[input]).collect();
        let element = |at: usize| data.inputs.get(at).map_or(data.ty.element, |&x| self.graph.ty(x).element);
        let from = element(usize::from(data.op == Op::Select));
        if let Some(alu) = cost::pointwise(&data.op, from, &known) {
            return self.pointwise(node, alu);
        }
        match &data.op {
            Op::Append { .. } => self.append(node),
            Op::Slice { .. } => self.slice(node),
            _ if rows::is_view(self.graph, node) => self.moments[data.inputs[0]],
            Op::MatMul { .. } | Op::Conv { .. } if self.products.of[node].is_some() => self.product(node),
            Op::Reduce { op, .. } => self.reduce(node, *op),
            Op::Gather { .. } => self.gather(node),
            _ => self.movement(node),
        }
    }

    fn done(&self, node: NodeId) -> (Times, Cause) {
        (self.moments[node].done.times, Some((node, End::Done)))
    }

    fn begin(&self, node: NodeId) -> (Times, Cause) {
        (self.moments[node].begin.times, Some((node, End::Begin)))
    }

    /// All products that the inputs need.
    fn before(&self, node: NodeId) -> Recent {
        let mut recent = Recent::default();
        self.graph.nodes[node].inputs.iter().for_each(|&input| recent.extend(&self.moments[input].recent));
        recent
    }

    /// A tensor that is made on a stream, and has to be written.
    fn made(&self, node: NodeId, begin: Earliest, done: Earliest) -> Moment {
        let mut done = done;
        done.raise(begin.times, Some((node, End::Begin)));
        let stored = done.times.any(Place::Mem) + u64::from(self.machine.chip.latency.write);
        Moment { begin, done, stored, recent: self.before(node) }
    }

    /// Each element is made by operations on elements of all operands.
    fn pointwise(&self, node: NodeId, alu: Alu) -> Moment {
        let data = &self.graph.nodes[node];
        if alu.depth == 0 {
            let mut moment = self.moments[data.inputs[0]];
            if cost::is_rounding(&data.op) {
                moment.begin.times = moment.begin.times.rounded();
                moment.done.times = moment.done.times.rounded();
            }
            return self.made(node, moment.begin, moment.done);
        }
        let start = Earliest::new(Times::at(&self.machine, Place::Vxm, 0), None);
        let (mut begin, mut done) = (start, start);
        let latency = alu.depth * self.machine.vxm();
        for &input in data.inputs.iter().filter(|&&input| !self.constant[input]) {
            let through = |(times, from): (Times, Cause)| {
                (Times::at(&self.machine, Place::Vxm, times.any(Place::Vxm) + latency), from)
            };
            let (times, from) = through(self.begin(input));
            begin.raise(times, from);
            let (times, from) = through(self.done(input));
            done.raise(times, from);
        }
        // The last operation of each vector needs an ALU.
        let vectors = self.machine.vectors(self.elements[node] as usize);
        let spread = vectors.div_ceil(u64::from(self.machine.chip.vxm.alus)).max(1) - 1;
        let last = begin.times.any(Place::Vxm) + spread;
        done.raise(Times::at(&self.machine, Place::Vxm, last), Some((node, End::Begin)));
        self.made(node, begin, done)
    }

    fn product(&self, node: NodeId) -> Moment {
        let machine = &self.machine;
        let data = &self.graph.nodes[node];
        let (a, b) = (data.inputs[0], data.inputs[1]);
        let sum = |cycle: u64| Times::sum(machine, cycle + machine.product());
        let meetings = Meetings::of(self.graph, node);
        let whole = rows::row_count(self.graph, a) == 1;
        let (times, from) = if whole { self.done(a) } else { self.begin(a) };
        let mut begin = Earliest::new(sum(times.operand(Place::Mxm)), from);
        if meetings.as_ref().is_some_and(|meetings| meetings.hollow) {
            // A window of zeros needs nothing.
            begin = Earliest::new(Times::at(machine, Place::Mem, 0), None);
        }
        let (times, from) = self.begin(b);
        begin.raise(sum(times.operand(Place::Mxm) + machine.install()), from);
        // Places that no window has in it are not needed.
        let all = meetings.as_ref().is_none_or(Meetings::all);
        let (times, from) = if all { self.done(a) } else { self.begin(a) };
        let mut done = Earliest::new(sum(times.operand(Place::Mxm)), from);
        let (times, from) = self.done(b);
        done.raise(sum(times.operand(Place::Mxm) + machine.install()), from);
        let mut recent = self.before(node);
        let (release, cause) = self.begin(a);
        let release = release.operand(Place::Mxm);
        if let Some(number) = self.products.of[node] {
            let product = &self.products.list[number as usize];
            let (planes, cycles) = product.operands.planes();
            let arrays = 2 * u64::from(machine.chip.mxm.planes_per_hemisphere) / planes;
            let turns = product.passes.div_ceil(arrays.max(1)).max(1);
            done.raise(sum(release + (turns - 1) * cycles), cause);
            recent.insert(number);
            if let Some((last, left)) = self.last_load(recent.members()) {
                done.raise(sum(last + machine.install()), Some((left, End::Begin)));
            }
        }
        Moment { recent, ..self.made(node, begin, done) }
    }

    /// A row's elements meet in the VXM, for which all but one superlane's (or one lane's) pass the SXM; or they are summed by the MXM.
    fn reduce(&self, node: NodeId, op: ReduceOp) -> Moment {
        let machine = &self.machine;
        let data = &self.graph.nodes[node];
        let x = data.inputs[0];
        let by_mxm = op == ReduceOp::Sum && data.ty.element == ElementType::F32;
        let either = |cycle: u64, times: Times| {
            let vxm = Times::at(machine, Place::Vxm, cycle);
            let mxm = Times::sum(machine, times.operand(Place::Mxm) + machine.product());
            if by_mxm { vxm.min(mxm) } else { vxm }
        };
        let last = |times: Times| either(times.any(Place::Vxm) + machine.vxm(), times);
        let (times, from) = self.begin(x);
        let mut begin = Earliest::new(either(self.across(x, times), times), from);
        let (times, from) = self.done(x);
        if rows::row_count(self.graph, x) == 1 {
            begin.raise(last(times), from);
        }
        let done = Earliest::new(last(times), from);
        self.made(node, begin, done)
    }

    /// When the columns of a row can have met in the VXM, if none is there before.
    fn across(&self, x: NodeId, times: Times) -> u64 {
        let machine = &self.machine;
        let columns = if flat(self.graph, x) { 1 } else { rows::columns(self.graph, x) as u64 };
        let chunks = machine.vectors(columns as usize);
        let lanes = machine.chip.lanes_per_superlane as u64;
        let levels =
            |values: u64| u64::from(values.next_power_of_two().trailing_zeros()).max(1) * machine.vxm();
        let moved = times.any(Place::Sxm)
            + u64::from(machine.chip.latency.sxm)
            + machine.distance(Place::Sxm, Place::Vxm);
        let mut cycle = times.any(Place::Vxm) + levels(columns);
        if columns > chunks {
            cycle = cycle.max(moved + levels(columns - chunks));
        }
        if columns > chunks * lanes {
            cycle = cycle.max(moved + machine.stagger() + levels(columns - chunks * lanes));
        }
        cycle
    }

    fn gather(&self, node: NodeId) -> Moment {
        let indices = self.graph.nodes[node].inputs[1];
        let latency = u64::from(self.machine.chip.latency.gather);
        let through =
            |(times, from): (Times, Cause)| Earliest::new(times.through_memory(&self.machine, latency), from);
        self.made(node, through(self.begin(indices)), through(self.done(indices)))
    }

    /// New rows are written where the position says, and read from there.
    fn append(&self, node: NodeId) -> Moment {
        let inputs = &self.graph.nodes[node].inputs;
        let (state, new) = (&self.moments[inputs[0]], &self.moments[inputs[1]]);
        let latency = &self.machine.chip.latency;
        let (write, read) = (u64::from(latency.write), u64::from(latency.read));
        let mut done = state.done;
        done.raise(new.done.times.through_memory(&self.machine, write + read), Some((inputs[1], End::Done)));
        let stored = state.stored.max(new.done.times.any(Place::Mem) + write);
        Moment { begin: state.begin, done, stored, recent: self.before(node) }
    }

    /// Elements of a slice may be the first of the whole; of the rest of it nothing is needed.
    fn slice(&self, node: NodeId) -> Moment {
        let data = &self.graph.nodes[node];
        let whole = &self.moments[data.inputs[0]];
        let written = u64::from(self.machine.chip.latency.write);
        let (begin, done) = match data.op {
            Op::Slice { axis, start, count, .. } if axis + 1 == data.ty.shape.len() => {
                let (times, from) = self.begin(data.inputs[0]);
                self.moved((times, from), start, count).unwrap_or((whole.begin, whole.begin))
            }
            _ => (whole.begin, whole.begin),
        };
        let stored = (done.times.any(Place::Mem) + written).min(whole.stored);
        Moment { begin, done, stored, recent: Recent::default() }
    }

    /// The first and the last of `count` elements that move by so many lanes; nothing where they do not move.
    fn moved(&self, (times, from): (Times, Cause), by: usize, count: usize) -> Option<(Earliest, Earliest)> {
        let chip = self.machine.chip;
        if by.is_multiple_of(chip.lanes) {
            return None;
        }
        let latency = u64::from(chip.latency.sxm);
        // Of a superlane's worth of lanes some leave their superlane.
        let crossing = if count >= chip.lanes_per_superlane { self.machine.stagger() } else { 0 };
        let through = |latency| Earliest::new(times.through_sxm(&self.machine, latency), from);
        Some((through(latency), through(latency + crossing)))
    }

    /// Tensors put together, or lanes cut in pieces or joined: some elements may stay where they are.
    fn movement(&self, node: NodeId) -> Moment {
        let data = &self.graph.nodes[node];
        let on_lanes = |axis: usize| axis + 1 == data.ty.shape.len();
        let mut pieces: Vec<(NodeId, usize)> = Vec::new();
        let mut begin: Option<Earliest> = None;
        match &data.op {
            Op::Concat { axis } => {
                let mut offset = 0;
                for &input in &data.inputs {
                    pieces.push((input, if on_lanes(*axis) { offset } else { 0 }));
                    offset += self.graph.shape(input).get(*axis).copied().unwrap_or(0);
                }
            }
            Op::Pad { axis, before, .. } => {
                pieces.push((data.inputs[0], if on_lanes(*axis) { *before } else { 0 }));
                begin = Some(Earliest::new(Times::at(&self.machine, Place::Mem, 0), None));
            }
            Op::Reshape { .. } => {
                let x = data.inputs[0];
                let piece = rows::columns(self.graph, x).min(rows::columns(self.graph, node));
                pieces.extend([(x, 0), (x, if piece > 1 { piece } else { 0 })]);
            }
            _ => {
                // Not a legal operator: nothing is known about it.
                let nothing = Earliest::new(Times::at(&self.machine, Place::Mem, 0), None);
                return Moment { begin: nothing, done: nothing, stored: 0, recent: Recent::default() };
            }
        }
        let mut done = Earliest::new(Times::at(&self.machine, Place::Mem, 0), None);
        let least = |one: Option<Earliest>, other: Earliest| match one {
            Some(one) if one.times.any(Place::Mem) <= other.times.any(Place::Mem) => {
                Some(Earliest::new(one.times.min(other.times), one.from))
            }
            Some(one) => Some(Earliest::new(one.times.min(other.times), other.from)),
            None => Some(other),
        };
        for (input, by) in pieces {
            let (times, from) = self.done(input);
            done.raise(times, from);
            let columns = rows::columns(self.graph, input).min(rows::columns(self.graph, node));
            // A tensor of one column stands in every lane.
            let by = if columns == 1 { 0 } else { by };
            match self.moved(self.begin(input), by, columns) {
                Some((first, last)) => {
                    begin = least(begin, first);
                    done.raise(last.times, last.from);
                }
                None => begin = least(begin, self.moments[input].begin),
            }
        }
        let begin = begin.unwrap_or(done);
        self.made(node, begin, done)
    }
}

/// Whether all columns of a tensor are surely equal because it is expanded.
fn flat(graph: &crate::graph::Graph, node: NodeId) -> bool {
    let mut node = node;
    while rows::is_view(graph, node) {
        let input = graph.nodes[node].inputs[0];
        if rows::columns(graph, node) != rows::columns(graph, input) {
            return true;
        }
        node = input;
    }
    false
}

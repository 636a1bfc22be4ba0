//! One pass of vectors from SRAM through chained ALUs and back to SRAM, cycle by cycle.
//!
//! Vector i of every input and of every result passes the VXM a fixed number of cycles after vector i − 1. An input that one
//! ALU uses arrives when that ALU wants it; one that several use, or that shares its slices with another, goes through an ALU of its own
//! and is forwarded.

use std::collections::BTreeMap;

use isa::instruction::VxmOp;
use isa::place::{Hemisphere, Queue};
use isa::stream::Format;
use isa::{Chip, Element, Repeat};

use super::alu::{AluProgram, Value};
use super::arrays::{Arrays, Forms};
use super::compress::{Item, compress};
use super::floorplan::position;
use super::flow::{Access, Act, AluOperand, Flow, FlowQueue, FlowRun, StreamRef, WordRef};
use super::storage::{Region, StorageId};
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::NodeId;

/// Vectors that enter the VXM: number i is at that row and chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// A 32-bit array.
    pub storage: StorageId,
    /// Row and chunk.
    pub vectors: Vec<(u32, u32)>,
}

impl Feed {
    /// Where its vectors lie: a pass reads each input from one region.
    pub(super) fn region(&self, arrays: &Arrays) -> Region {
        let array = &arrays.storages.arrays[self.storage];
        self.vectors.first().map_or(array.region(), |&(row, chunk)| array.locate(row, chunk).region)
    }
}

/// A pass: what it is for, and the rows and chunks of its results, in order.
pub struct Pass<'a> {
    /// The machine.
    pub chip: &'a Chip,
    /// Arrays.
    pub arrays: &'a Arrays,
    /// The node it works for.
    pub node: NodeId,
    /// Word for people.
    pub name: &'static str,
    /// Row and chunk of each result vector.
    pub space: &'a [(u32, u32)],
}

/// Where a value can be had: from an ALU of the flow, dispatched at a cycle; from a stream; or at once.
#[derive(Clone, Copy)]
enum Source {
    Alu(usize, i64),
    Direct(usize),
    Immediate(u32),
}

impl Pass<'_> {
    /// The flow.
    pub fn flow(
        &self,
        feeds: &[Feed],
        program: &AluProgram,
        results: &[(Forms, Value)],
    ) -> Result<Flow, Diagnostic> {
        let mut flow = Flow::new(self.node, self.name);
        let (feeds, merged) = merge(feeds);
        let (phases, interval) = self.phases(&feeds);
        let d = i64::from(self.chip.latency.vxm);
        let uses = uses(program, results, &merged, feeds.len());
        let mut sources: Vec<Source> = Vec::new();
        for (n, feed) in feeds.iter().enumerate() {
            if uses[n] == 0 {
                sources.push(Source::Immediate(0));
                continue;
            }
            if interval == 1 && uses[n] == 1 {
                sources.push(Source::Direct(n));
                continue;
            }
            let stream = self.feed(&mut flow, feed, phases[n], interval);
            let operand = AluOperand::Stream(StreamRef(stream, 0), self.format(feed.storage));
            let alu = self.alu(&mut flow, phases[n], interval, VxmOp::Pass, operand, None, None);
            sources.push(Source::Alu(alu, phases[n]));
        }
        let mut ops: Vec<Source> = Vec::new();
        let mut runs: Vec<usize> = Vec::new();
        for op in &program.ops {
            let source = |value: Value| match value {
                Value::Input(n) => sources[merged[n]],
                Value::Op(n) => ops[n],
                Value::Immediate(bits) => Source::Immediate(bits),
            };
            let operands: Vec<Source> = [Some(op.a), op.b].into_iter().flatten().map(source).collect();
            let cycle =
                operands.iter().map(|s| if let Source::Alu(_, c) = s { c + d } else { 0 }).max().unwrap_or(0);
            let mut read: Vec<AluOperand> = Vec::new();
            for (at, operand) in operands.iter().enumerate() {
                let again = at == 1
                    && matches!((operands[0], operand), (Source::Direct(a), Source::Direct(b)) if a == *b);
                let operand =
                    if again { read[0] } else { self.operand(&mut flow, &feeds, *operand, cycle, interval)? };
                read.push(operand);
            }
            runs.push(flow.runs.len());
            let alu = self.alu(&mut flow, cycle, interval, op.op, read[0], read.get(1).copied(), None);
            ops.push(Source::Alu(alu, cycle));
        }
        let mut free: Vec<bool> = vec![true; program.ops.len()];
        for (forms, value) in results {
            let source = match *value {
                Value::Input(n) => sources[merged[n]],
                Value::Op(n) => ops[n],
                Value::Immediate(bits) => Source::Immediate(bits),
            };
            let own = match *value {
                Value::Op(n) if std::mem::take(&mut free[n]) => Some(runs[n]),
                _ => None,
            };
            self.results(&mut flow, &feeds, forms, source, own, interval)?;
        }
        untangle(&mut flow);
        Ok(flow)
    }

    /// Sends a value to each array that wants it. `own` is the run of the ALU that makes it, if that has no stream yet.
    fn results(
        &self,
        flow: &mut Flow,
        feeds: &[Feed],
        forms: &Forms,
        source: Source,
        own: Option<usize>,
        interval: i64,
    ) -> Result<(), Diagnostic> {
        let d = i64::from(self.chip.latency.vxm);
        let mut own = own;
        let mut source = source;
        let pairs = forms.halves.into_iter().chain(forms.indices.into_iter().flatten()).flatten();
        for storage in forms.plain.into_iter().chain(pairs).chain(forms.striped) {
            for hemisphere in Hemisphere::BOTH {
                let array = &self.arrays.storages.arrays[storage];
                let inside = |at: (u32, u32)| array.locate(at.0, at.1).region.hemisphere() == hemisphere;
                let space = self.space.iter().map(|&(row, chunk)| (array.row(row), chunk));
                let vectors: Vec<(usize, (u32, u32))> =
                    space.enumerate().filter(|&(_, at)| inside(at)).collect();
                if vectors.is_empty() {
                    continue;
                }
                let all = vectors.len() == self.space.len();
                let cycle = match (all, own.take(), source) {
                    (true, Some(run), Source::Alu(_, cycle)) => {
                        let stream = self.result(flow, storage, hemisphere, &vectors, cycle, interval);
                        if let Act::Alu { result, .. } = &mut flow.runs[run].act {
                            *result = Some((StreamRef(stream, 0), self.format(storage)));
                        }
                        continue;
                    }
                    (_, kept, Source::Alu(_, cycle)) => {
                        own = kept;
                        cycle + d
                    }
                    (_, kept, _) => {
                        own = kept;
                        0
                    }
                };
                let operand = self.operand(flow, feeds, source, cycle, interval)?;
                let stream = self.result(flow, storage, hemisphere, &vectors, cycle, interval);
                let put = Some((StreamRef(stream, 0), self.format(storage)));
                let index = flow.alus.len();
                let items =
                    vectors.iter().map(|(i, _)| Item::once(cycle + *i as i64 * interval, 0)).collect();
                let act = Act::Alu { op: VxmOp::Pass, a: operand, b: None, result: put };
                let end = emit(flow, FlowQueue::Alu(index), items, |_, _| act);
                flow.alus.push((end.0, end.1));
                if let Source::Direct(_) = source {
                    source = Source::Alu(index, cycle);
                    if !all {
                        return Err(bug("a direct input feeds a partial result"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Streams of a result and its writes, by rows of the array; the ALU dispatches vector i at `cycle + i · interval`.
    pub(super) fn result(
        &self,
        flow: &mut Flow,
        storage: StorageId,
        hemisphere: Hemisphere,
        vectors: &[(usize, (u32, u32))],
        cycle: i64,
        interval: i64,
    ) -> usize {
        let array = &self.arrays.storages.arrays[storage];
        let width = array.element.bytes();
        let put = |i: usize| cycle + i as i64 * interval + i64::from(self.chip.latency.vxm);
        let slots = (put(vectors[0].0), put(vectors[vectors.len() - 1].0) + 1);
        let regions = vectors.iter().map(|&(_, (row, chunk))| array.locate(row, chunk).region);
        let far = regions.map(|region| self.arrays.storages.plan.slices(region).end - 1).max().unwrap_or(0);
        let path = (0, position(self.chip, hemisphere, far));
        let stream = flow.stream(hemisphere.outward(), width as u16, path, slots);
        // By stripe: each stripe's slices write their own vectors.
        let mut stripes: BTreeMap<(Region, u32), Vec<(usize, u32)>> = BTreeMap::new();
        for &(i, (row, chunk)) in vectors {
            let place = array.locate(row, chunk);
            stripes.entry((place.region, place.stripe)).or_default().push((i, place.word));
            let slices = self.arrays.storages.plan.slices(place.region);
            let far = i64::from(slices.end);
            flow.writes.push(Access { storage, vector: array.vector(row, chunk), cycle: put(i) + far });
        }
        for ((region, stripe), vectors) in stripes {
            let plan = &self.arrays.storages.plan;
            let copies = plan.copies(region, width);
            for (byte, copy) in (0..width).flat_map(|byte| (0..copies).map(move |copy| (byte, copy))) {
                let slice = plan.slice(region, stripe, width, byte) + copy;
                let distance = 1 + i64::from(slice);
                let items = vectors.iter().map(|&(i, word)| Item::once(put(i) + distance, word)).collect();
                emit(flow, FlowQueue::Fixed(Queue::MemWrite(hemisphere, slice)), items, |word, _| {
                    Act::Write(WordRef { storage, hemisphere, slice, word }, StreamRef(stream, byte as u16))
                });
            }
        }
        stream
    }

    /// Reads of an input, so that vector i passes the VXM at `cycle + i · interval`. All lie in one region.
    pub(super) fn feed(&self, flow: &mut Flow, feed: &Feed, cycle: i64, interval: i64) -> usize {
        let array = &self.arrays.storages.arrays[feed.storage];
        let region = feed.region(self.arrays);
        let hemisphere = region.hemisphere();
        let slices = self.arrays.storages.plan.slices(region);
        let path = (position(self.chip, hemisphere, slices.end - 1), 0);
        let last = cycle + (feed.vectors.len() as i64 - 1) * interval;
        let stream = flow.stream(hemisphere.inward(), array.element.bytes() as u16, path, (cycle, last + 1));
        let read = i64::from(self.chip.latency.read);
        for (byte, slice) in slices.clone().enumerate() {
            let start = cycle - (1 + i64::from(slice)) - read;
            let words = feed.vectors.iter().map(|&(row, chunk)| array.locate(row, chunk).word);
            let items =
                words.enumerate().map(|(i, word)| Item::once(start + i as i64 * interval, word)).collect();
            emit(flow, FlowQueue::Fixed(Queue::MemRead(hemisphere, slice)), items, |word, _| {
                Act::Read(
                    WordRef { storage: feed.storage, hemisphere, slice, word },
                    StreamRef(stream, byte as u16),
                )
            });
        }
        let start = cycle - i64::from(slices.end) - read;
        for (i, &(row, chunk)) in feed.vectors.iter().enumerate() {
            let cycle = start + i as i64 * interval;
            flow.reads.push(Access { storage: feed.storage, vector: array.vector(row, chunk), cycle });
        }
        stream
    }

    fn operand(
        &self,
        flow: &mut Flow,
        feeds: &[Feed],
        source: Source,
        cycle: i64,
        interval: i64,
    ) -> Result<AluOperand, Diagnostic> {
        Ok(match source {
            Source::Immediate(bits) => AluOperand::Immediate(bits),
            Source::Direct(n) => {
                let stream = self.feed(flow, &feeds[n], cycle, interval);
                AluOperand::Stream(StreamRef(stream, 0), self.format(feeds[n].storage))
            }
            Source::Alu(alu, dispatched) => {
                let delay = cycle - dispatched;
                if delay > i64::from(self.chip.vxm.forward_depth) {
                    return Err(bug("a pointwise group is deeper than ALUs can forward"));
                }
                AluOperand::Alu(alu, delay as u8)
            }
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one ALU instruction")]
    fn alu(
        &self,
        flow: &mut Flow,
        cycle: i64,
        interval: i64,
        op: VxmOp,
        a: AluOperand,
        b: Option<AluOperand>,
        result: Option<(StreamRef, Format)>,
    ) -> usize {
        let index = flow.alus.len();
        let count = self.space.len() as u32;
        flow.alus.push((cycle, cycle + i64::from(count - 1) * interval + 1));
        let repeats = repeat(count, interval);
        flow.run(FlowQueue::Alu(index), cycle, Act::Alu { op, a, b, result }, repeats);
        index
    }

    pub(super) fn format(&self, storage: StorageId) -> Format {
        format(self.arrays.storages.arrays[storage].element)
    }

    /// Phase of each input within the interval: inputs that share slices take turns.
    fn phases(&self, feeds: &[Feed]) -> (Vec<i64>, i64) {
        let mut seen: BTreeMap<Region, i64> = BTreeMap::new();
        let mut phases = Vec::new();
        for feed in feeds {
            let region = feed.region(self.arrays);
            let turn = seen.entry(region).or_default();
            phases.push(*turn);
            *turn += 1;
        }
        (phases, seen.values().copied().max().unwrap_or(1))
    }
}

/// The stream format of an element.
pub fn format(element: Element) -> Format {
    match element {
        Element::F32 => Format::F32,
        Element::I32 | Element::Mask => Format::I32,
        Element::F16 | Element::F16Low => Format::F16,
        Element::I8 => Format::I8,
        Element::F8 => Format::F8,
    }
}

/// One repeat, or none.
pub fn repeat(count: u32, interval: i64) -> Vec<Repeat> {
    if count <= 1 {
        return Vec::new();
    }
    vec![Repeat { count, interval: interval as u32, step: 0, window_step: 0 }]
}

/// Adds runs for a list of dispatches; returns the first cycle and the cycle after the last.
pub fn emit(
    flow: &mut Flow,
    queue: FlowQueue,
    items: Vec<Item>,
    act: impl Fn(u32, i32) -> Act,
) -> (i64, i64) {
    let mut span = (i64::MAX, i64::MIN);
    for item in compress(items) {
        flow.run(queue, item.cycle, act(item.word as u32, item.window as i32), item.repeats);
        let end = flow.runs.last().map_or(item.cycle, |run| run.end());
        span = (span.0.min(item.cycle), span.1.max(end));
    }
    span
}

/// Reads of arrays that share slices may take turns: brings those of each queue into the order of their cycles.
pub fn untangle(flow: &mut Flow) {
    let mut spans: BTreeMap<FlowQueue, Vec<(i64, i64)>> = BTreeMap::new();
    for run in flow.runs.iter().filter(|run| matches!(run.act, Act::Read(..))) {
        spans.entry(run.queue).or_default().push((run.cycle, run.end()));
    }
    for (queue, mut spans) in spans {
        spans.sort_unstable();
        if spans.windows(2).all(|pair| pair[0].1 <= pair[1].0) {
            continue;
        }
        let (tangled, rest): (Vec<FlowRun>, Vec<FlowRun>) =
            flow.runs.drain(..).partition(|run| run.queue == queue);
        flow.runs = rest;
        let mut dispatches: Vec<(i64, Act)> = tangled.iter().flat_map(dispatches).collect();
        dispatches.sort_by_key(|(cycle, _)| *cycle);
        for (cycle, act) in dispatches {
            flow.run(queue, cycle, act, Vec::new());
        }
    }
}

/// Every dispatch of a run of reads.
fn dispatches(run: &FlowRun) -> Vec<(i64, Act)> {
    let Act::Read(word, stream) = run.act else { return vec![(run.cycle, run.act)] };
    let mut list = vec![(run.cycle, i64::from(word.word))];
    for repeat in run.repeats.iter().rev() {
        let (interval, step) = (i64::from(repeat.interval), i64::from(repeat.step));
        let times = 0..i64::from(repeat.count);
        list = times.flat_map(|n| list.iter().map(move |&(c, w)| (c + n * interval, w + n * step))).collect();
    }
    list.into_iter()
        .map(|(cycle, at)| (cycle, Act::Read(WordRef { word: at as u32, ..word }, stream)))
        .collect()
}

/// Equal inputs once; and for each input, which of the distinct ones it is.
fn merge(feeds: &[Feed]) -> (Vec<Feed>, Vec<usize>) {
    let mut distinct: Vec<Feed> = Vec::new();
    let mut merged = Vec::new();
    for feed in feeds {
        merged.push(distinct.iter().position(|old| old == feed).unwrap_or_else(|| {
            distinct.push(feed.clone());
            distinct.len() - 1
        }));
    }
    (distinct, merged)
}

/// How many ALUs take each input.
fn uses(program: &AluProgram, results: &[(Forms, Value)], merged: &[usize], count: usize) -> Vec<usize> {
    let mut uses = vec![0; count];
    let note = |value: Value, uses: &mut Vec<usize>| {
        if let Value::Input(n) = value {
            uses[merged[n]] += 1;
        }
    };
    for op in &program.ops {
        note(op.a, &mut uses);
        if let Some(b) = op.b
            && b != op.a
        {
            note(b, &mut uses);
        }
    }
    for (_, value) in results {
        // A result that is an input itself: let an ALU load it, since it may go to several arrays.
        note(*value, &mut uses);
        note(*value, &mut uses);
    }
    uses
}

fn bug(what: &str) -> Diagnostic {
    Diagnostic::new(Kind::Bug, "pass", what)
}

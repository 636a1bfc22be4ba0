//! Instruction text: whether it is in its queue when it is needed, whether the queue has room for it, and whether what an Ifetch takes is it.

use std::collections::BTreeMap;
use std::ops::Range;

use isa::text::Extent;
use isa::{Chip, ChipProgram, Hemisphere, Icu, Instruction, Mem, Page, Queue, Repeat, Run};

use super::super::lattice::Lattice;
use super::runs::{Line, Timeline};
use super::streams::Traffic;
use crate::fault::{Dispatch, Raised};

/// The words that hold text, by slice.
pub(super) struct TextWords(BTreeMap<(Hemisphere, u16), Vec<Range<u32>>>);

impl TextWords {
    pub(super) fn of(chip: &Chip, program: &ChipProgram) -> TextWords {
        let mut words: BTreeMap<(Hemisphere, u16), Vec<Range<u32>>> = BTreeMap::new();
        for page in program.text.values().flatten() {
            let range = page.address..page.address + u32::from(chip.icu.fetch_vectors);
            words.entry((page.hemisphere, page.slice)).or_default().push(range);
        }
        words.values_mut().for_each(|ranges| ranges.sort_by_key(|range| range.start));
        TextWords(words)
    }

    /// The first of them among `first..=last`.
    pub(super) fn first_in(&self, slice: (Hemisphere, u16), first: i64, last: i64) -> Option<u32> {
        let ranges = self.0.get(&slice)?;
        let range = ranges.get(ranges.partition_point(|range| i64::from(range.end) <= first))?;
        (i64::from(range.start) <= last).then(|| range.start.max(first.max(0) as u32))
    }
}

fn is_fetch(run: &Run) -> bool {
    matches!(run.instruction, Instruction::Icu(Icu::Ifetch { .. }))
}

/// Parts a queue's runs: all but the Ifetches; and these, each as what it takes, cycle by cycle.
pub(super) fn part<'p>(chip: &Chip, line: Line<'p>) -> (Line<'p>, Option<Line<'p>>) {
    if !line.runs.iter().any(is_fetch) {
        return (line, None);
    }
    let vectors = Repeat { count: chip.icu.fetch_vectors.into(), interval: 1, step: 0, window_step: 0 };
    let (fetches, others): (Vec<Run>, Vec<Run>) = line.runs.iter().cloned().partition(is_fetch);
    let fetches = fetches.into_iter().map(|run| Run { repeats: vec![vectors], ..run }).collect();
    let (queue, position) = (line.queue, line.position);
    (Line::new(queue, position, others), Some(Line::new(queue, position, fetches)))
}

impl Line<'static> {
    fn new(queue: Queue, position: i32, runs: Vec<Run>) -> Line<'static> {
        let cycles = runs.iter().map(Lattice::of).collect();
        Line { queue, position, runs: runs.into(), cycles }
    }
}

/// The first cycle in which a queue has too much text or too little, and what is wrong in it.
pub(super) fn levels(chip: &Chip, queue: Queue, runs: &[Run]) -> Vec<Raised> {
    if !runs.iter().any(is_fetch) {
        return Vec::new();
    }
    let text = isa::text::text(runs);
    let mut level = Level {
        capacity: chip.icu.queue_bytes.into(),
        page_bytes: chip.page_bytes() as u64,
        arrived: chip.icu.queue_bytes.into(),
        freed: 0,
        coming: None,
        faults: Vec::new(),
    };
    let (mut begins, mut freed) = (0, 0);
    for (run, extent) in runs.iter().zip(&text.extents) {
        if run.cycle < begins || !level.faults.is_empty() {
            break;
        }
        level.begin(begins, freed, queue, run, *extent);
        (begins, freed) = (run.last_cycle().saturating_add(1), extent.frees);
        if is_fetch(run) {
            level.land(run.cycle.saturating_add(1));
            let by = Dispatch { cycle: run.cycle, queue, instruction: run.instruction, node: run.node };
            level.coming = Some((by, run.cycle.saturating_add(chip.icu.fetch_vectors.into())));
        }
    }
    level.land(begins);
    level.freed = freed;
    level.land(u64::MAX);
    let first = level.faults.iter().map(|fault| fault.cycle).min();
    level.faults.retain(|fault| Some(fault.cycle) == first);
    level.faults
}

/// What is in a queue.
struct Level {
    capacity: u64,
    page_bytes: u64,
    arrived: u64,
    freed: u64,
    /// The Ifetch whose page is coming, and when it has come.
    coming: Option<(Dispatch, u64)>,
    faults: Vec<Raised>,
}

impl Level {
    /// The queue begins with a run, and has left the one before, up to byte `freed`.
    fn begin(&mut self, cycle: u64, freed: u64, queue: Queue, run: &Run, extent: Extent) {
        self.land(cycle);
        self.freed = freed;
        self.land(cycle.saturating_add(1));
        if extent.needs > self.arrived {
            let by = Dispatch { cycle: run.cycle, queue, instruction: run.instruction, node: run.node };
            self.faults.push(by.queue_underflow(cycle, extent.needs, self.arrived));
        }
    }

    /// A page that comes before `cycle` has come.
    fn land(&mut self, cycle: u64) {
        if let Some((by, due)) = self.coming.take_if(|(_, due)| *due < cycle) {
            self.arrived += self.page_bytes;
            let held = self.arrived - self.freed;
            if held > self.capacity {
                self.faults.push(by.queue_overflow(due, held, self.capacity));
            }
        }
    }
}

/// A vector of a page, taken in some cycle.
pub(super) struct Taking<'p> {
    /// The Ifetch.
    pub(super) by: Dispatch,
    /// Which page of its queue, where it lies, and the word that should come.
    pub(super) index: usize,
    pub(super) page: &'p Page,
    pub(super) word: u32,
}

impl Taking<'_> {
    /// Is this what a Read of the page's word put?
    pub(super) fn is_right(&self, timeline: &Timeline<'_>, source: Option<(Queue, u64)>) -> bool {
        let Some((queue, cycle)) = source else { return false };
        let read = timeline.dispatch(queue, cycle as i64).map(|by| by.instruction);
        queue == Queue::MemRead(self.page.hemisphere, self.page.slice)
            && matches!(read, Some(Instruction::Mem(Mem::Read { address, .. })) if address == self.word)
    }
}

/// What a queue's Ifetches take in a cycle. `line` has them only.
pub(super) fn taking<'p>(timeline: &Timeline<'p>, line: &Line<'_>, cycle: i64) -> Option<Taking<'p>> {
    let index = line.between(cycle, cycle).start;
    let run = line.runs.get(index).filter(|run| run.cycle as i64 <= cycle)?;
    let page = timeline.pages.get(&line.queue)?.get(index)?;
    let by = Dispatch { cycle: run.cycle, queue: line.queue, instruction: run.instruction, node: run.node };
    Some(Taking { by, index, page, word: page.address + (cycle - run.cycle as i64) as u32 })
}

/// The first cycle before `horizon` in which an Ifetch takes something else than its page; else `horizon`. Nothing else is wrong before it.
pub(super) fn wrong_text(timeline: &Timeline<'_>, traffic: &Traffic, mut horizon: i64) -> i64 {
    for line in &timeline.fetches {
        for run in line.runs.iter() {
            let Instruction::Icu(Icu::Ifetch { stream }) = run.instruction else { continue };
            let first = run.cycle as i64;
            for cycle in first..horizon.min(first + i64::from(timeline.chip.icu.fetch_vectors)) {
                let source = traffic.source(timeline, stream, line.position, cycle);
                if taking(timeline, line, cycle).is_some_and(|taking| !taking.is_right(timeline, source)) {
                    horizon = cycle;
                    break;
                }
            }
        }
    }
    horizon
}

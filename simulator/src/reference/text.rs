//! What one queue holds of its instruction text, and the Ifetch that brings more of it.

use isa::text::Extent;
use isa::{Chip, Icu, Instruction, Mem, Page, Queue, Run};

use crate::fault::{Dispatch, Raised};
use crate::stream::Registers;

/// A queue that fetches some of its text.
pub(crate) struct QueueText {
    position: i32,
    lanes: usize,
    /// Bytes that the queue holds.
    capacity: u64,
    /// For each run, the bytes that it needs and those that nobody needs after it.
    extents: Vec<Extent>,
    /// Where the pages lie, and what they hold.
    pages: Vec<(Page, Vec<u8>)>,
    /// Bytes of the text that have come, and those of them that are needed no longer.
    arrived: u64,
    freed: u64,
    /// The run that comes next, and the cycle in which the queue begins with it.
    run: usize,
    begins: Option<u64>,
    /// Pages that have come.
    brought: usize,
    /// The Ifetch whose page is coming, and the cycle in which its next vector passes, or after its last one.
    fetching: Option<(Dispatch, u64)>,
}

impl QueueText {
    /// None for a queue that fetches nothing.
    pub(crate) fn new(chip: &Chip, queue: Queue, runs: &[Run], pages: &[Page]) -> Option<QueueText> {
        if pages.is_empty() {
            return None;
        }
        let text = isa::text::text(runs);
        let capacity = u64::from(chip.icu.queue_bytes);
        let content = |(index, page): (usize, &Page)| (*page, isa::text::page(chip, &text.bytes, index));
        Some(QueueText {
            position: queue.slice().position(chip),
            lanes: chip.lanes,
            capacity,
            pages: pages.iter().enumerate().map(content).collect(),
            extents: text.extents,
            arrived: capacity,
            freed: 0,
            run: 0,
            begins: Some(0),
            brought: 0,
            fetching: None,
        })
    }

    /// The next cycle in which something is to be done here; none if there is nothing to wait for.
    pub(crate) fn next_cycle(&self) -> Option<u64> {
        self.begins.into_iter().chain(self.fetching.map(|(_, next)| next)).min()
    }

    /// The beginning of a cycle: a page has come, or the queue begins with `run`.
    pub(crate) fn begin(&mut self, cycle: u64, queue: Queue, run: Option<&Run>, faults: &mut Vec<Raised>) {
        let page_bytes = self.pages.first().map_or(0, |(_, page)| page.len());
        let vectors = (page_bytes / self.lanes) as u64;
        if let Some((by, _)) = self.fetching.take_if(|(by, _)| by.cycle + vectors <= cycle) {
            self.brought += 1;
            self.arrived += page_bytes as u64;
            if self.arrived - self.freed > self.capacity {
                faults.push(by.queue_overflow(cycle, self.arrived - self.freed, self.capacity));
            }
        }
        if self.begins.take_if(|begins| *begins <= cycle).is_some()
            && let (Some(run), Some(extent)) = (run, self.extents.get(self.run))
            && extent.needs > self.arrived
        {
            let by = Dispatch { cycle: run.cycle, queue, instruction: run.instruction, node: run.node };
            faults.push(by.queue_underflow(cycle, extent.needs, self.arrived));
        }
    }

    /// An instruction has left the queue, the last of its run or not.
    pub(crate) fn left(&mut self, by: &Dispatch, last: bool) {
        if matches!(by.instruction, Instruction::Icu(Icu::Ifetch { .. })) {
            self.fetching = Some((*by, by.cycle));
        }
        if last {
            self.freed = self.extents[self.run].frees;
            self.run += 1;
            self.begins = (self.run < self.extents.len()).then_some(by.cycle + 1);
        }
    }

    /// Takes the vector of the page that passes in this cycle.
    pub(crate) fn take(&mut self, cycle: u64, registers: &Registers, faults: &mut Vec<Raised>) {
        let Some((by, next)) = self.fetching.as_mut().filter(|(_, next)| *next == cycle) else { return };
        let Instruction::Icu(Icu::Ifetch { stream }) = by.instruction else { return };
        let vector = cycle - by.cycle;
        *next += 1;
        let value = match registers.take(by, stream, 1, self.position) {
            Ok(value) => value,
            Err(fault) => return faults.push(Raised { cycle, ..fault }),
        };
        let Some((page, content)) = self.pages.get(self.brought) else { return };
        let word = page.address + vector as u32;
        let right = |source: Dispatch| {
            source.queue == Queue::MemRead(page.hemisphere, page.slice)
                && matches!(source.instruction, Instruction::Mem(Mem::Read { address, .. }) if address == word)
        };
        let wanted = content.chunks(self.lanes).nth(vector as usize);
        if !registers.source(stream, self.position).is_some_and(right) || wanted != Some(value) {
            faults.push(by.wrong_text(cycle, self.brought, page, word));
        }
    }
}

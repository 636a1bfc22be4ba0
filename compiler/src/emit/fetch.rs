//! Fetching instruction text: what a queue does not hold from the start lies in SRAM, and is brought page by page in the gaps that the
//! schedule leaves, as soon as the queue has room.
//!
//! The queues that read SRAM grow by what they read for others, so they come last, and each of them brings its own pages, or is brought
//! them by one that is still to come.

use std::collections::BTreeMap;

use isa::place::{Hemisphere, Queue, Slice};
use isa::stream::{Direction, Stream};
use isa::text::text_after;
use isa::{Chip, Icu, Instruction, Mem, Page, Repeat, Run};

use super::words::FreeWords;
use crate::diagnostic::{Diagnostic, Kind};
use crate::lower::flow::StreamUse;
use crate::schedule::reservation::{Bank, Demand, Reservations};

/// Bytes that a text may grow by where an Ifetch and its Read come in: themselves, NOPs, and runs that were done again and are told twice.
const GROWTH: u64 = 192;

/// Places that are tried for a page, in each gap of its queue.
const MOST_HOSTS: usize = 24;

/// Gaps of its queue that are tried for a page.
const MOST_GAPS: usize = 64;

/// Adds to the queues what brings their text, and says where the pages lie.
pub(super) fn fetch(
    queues: &mut BTreeMap<Queue, Vec<Run>>,
    words: FreeWords,
    reservations: Reservations,
    chip: &Chip,
) -> Result<BTreeMap<Queue, Vec<Page>>, Diagnostic> {
    let mut fetcher = Fetcher { chip, queues, words, reservations, hosted: BTreeMap::new() };
    let mut order: Vec<Queue> = fetcher.queues.keys().copied().collect();
    // Slices without room of their own first: others can bring their pages.
    order.sort_by_key(|queue| match queue {
        Queue::MemRead(half, slice) => (1, fetcher.words.has(*half, *slice)),
        _ => (0, false),
    });
    let mut pages = BTreeMap::new();
    for (at, &queue) in order.iter().enumerate() {
        let done = if matches!(queue, Queue::MemRead(..)) { &order[..at] } else { &[] };
        let own = fetcher.queue(queue, done)?;
        if !own.is_empty() {
            pages.insert(queue, own);
        }
    }
    Ok(pages)
}

struct Fetcher<'a> {
    chip: &'a Chip,
    queues: &'a mut BTreeMap<Queue, Vec<Run>>,
    words: FreeWords,
    reservations: Reservations,
    /// Pages in each slice so far.
    hosted: BTreeMap<(Hemisphere, u16), u32>,
}

/// How far a queue's pages have been placed.
struct Progress {
    /// Runs up to the last Ifetch, the bytes of their text, and the cycle after them.
    runs: usize,
    bytes: u64,
    free: u64,
    /// Bytes that are in the queue, or have been, when all pages placed so far have come.
    arrived: u64,
}

/// Where a page comes from, and when.
struct Choice {
    bank: Bank,
    /// Dispatch of the Ifetch and of the Read.
    cycle: u64,
    read: u64,
    demand: Demand,
    fit: crate::schedule::reservation::Fit,
}

impl Fetcher<'_> {
    /// Pages of one queue. The queues in `done` have their pages already, and must not grow.
    fn queue(&mut self, queue: Queue, done: &[Queue]) -> Result<Vec<Page>, Diagnostic> {
        let capacity = u64::from(self.chip.icu.queue_bytes);
        let mut progress = Progress { runs: 0, bytes: 0, free: 0, arrived: capacity };
        let mut pages = Vec::new();
        loop {
            let rest = &self.queues[&queue][progress.runs..];
            let most = progress.arrived - progress.bytes;
            let text = text_after(progress.free, rest, most as usize);
            if text.bytes.len() as u64 <= most {
                return Ok(pages);
            }
            // The first run that may reach beyond what is there, and the first that makes room for one page more.
            let (bytes, arrived) = (progress.bytes, progress.arrived);
            let reaches = |extent: &isa::text::Extent| bytes + extent.needs + GROWTH > arrived;
            let wanted = (arrived + self.chip.page_bytes() as u64).saturating_sub(capacity);
            let last = text.extents.iter().position(reaches).unwrap_or(text.extents.len());
            let room = text.extents.iter().position(|extent| bytes + extent.frees >= wanted);
            let first = if bytes >= wanted { None } else { Some(room.unwrap_or(usize::MAX)) };
            let choice = self.choose(queue, &progress, first, last, done);
            let Some(choice) = choice else { return Err(self.too_dense(queue, &progress, first, last)) };
            pages.push(self.commit(queue, &mut progress, choice));
        }
    }

    /// The first gap between the runs that make room and the run that needs the page, and a bank from which it can come then. `first` and
    /// `last` count from those runs on that are done with.
    fn choose(
        &mut self,
        queue: Queue,
        progress: &Progress,
        first: Option<usize>,
        last: usize,
        done: &[Queue],
    ) -> Option<Choice> {
        let runs = &self.queues[&queue][progress.runs..];
        let vectors = u64::from(self.chip.icu.fetch_vectors);
        // Two Ifetches of a queue do not overlap.
        let soonest = if progress.runs == 0 { 0 } else { progress.free + vectors - 1 };
        let hosts = self.hosts(queue, done);
        // The gap before run `next`; another run must follow before the one that needs the page.
        for next in (first.map_or(0, |first| first.saturating_add(1))..last).take(MOST_GAPS) {
            let from = next.checked_sub(1).map_or(progress.free, |before| runs[before].last_cycle() + 1);
            let until = runs[next].cycle;
            let arrives = runs[last - 1].last_cycle() + 1;
            let (from, until) = (from.max(soonest), until.min((arrives + 1).saturating_sub(vectors)));
            if from >= until {
                continue;
            }
            let choice = hosts.iter().find_map(|&bank| self.from(queue, progress, bank, from, until));
            if choice.is_some() {
                return choice;
            }
        }
        None
    }

    /// Banks that could hold the page: those of slices that hold few so far, near ones before far ones.
    fn hosts(&self, queue: Queue, done: &[Queue]) -> Vec<Bank> {
        let here = queue.slice().position(self.chip);
        let may = |&(half, slice, _): &Bank| {
            let host = Queue::MemRead(half, slice);
            !done.contains(&host)
        };
        let mut hosts: Vec<Bank> = self.words.banks().filter(may).collect();
        hosts.sort_by_key(|&(half, slice, bank)| {
            let own = queue == Queue::MemRead(half, slice);
            let hosted = self.hosted.get(&(half, slice)).copied().unwrap_or(0);
            let far = (Slice::Mem(half, slice).position(self.chip) - here).abs();
            (!own, hosted, far, half, bank)
        });
        hosts.truncate(MOST_HOSTS);
        hosts
    }

    /// The first cycle in `from..until` in which an Ifetch of `queue` can take a page from a bank.
    fn from(&self, queue: Queue, progress: &Progress, bank: Bank, from: u64, until: u64) -> Option<Choice> {
        let (half, slice, _) = bank;
        let reader = Queue::MemRead(half, slice);
        let (there, here) = (Slice::Mem(half, slice).position(self.chip), queue.slice().position(self.chip));
        let direction = if there <= here { Direction::East } else { Direction::West };
        let (delay, way) = (i64::from(self.chip.latency.read), i64::from((there - here).abs()));
        let vectors = i64::from(self.chip.icu.fetch_vectors);
        if reader == queue && delay < vectors {
            // It would have to take what it is still reading.
            return None;
        }
        let put = direction.slot(delay, there);
        let demand = Demand {
            queues: vec![(reader, vec![(0, vectors)])],
            banks: vec![(bank, vec![(0, vectors)])],
            streams: vec![StreamUse {
                direction,
                width: 1,
                align: 1,
                from: there,
                to: here,
                slots: vec![(put, put + vectors)],
                of: None,
            }],
            ..Demand::default()
        };
        // Its own Read comes after all that is done with.
        let least = if reader == queue { progress.free } else { 0 };
        let mut read = (from as i64 - delay - way).max(least as i64);
        loop {
            let fit = self.reservations.fit(&demand, read)?;
            let cycle = fit.start + delay + way;
            if cycle >= until as i64 {
                return None;
            }
            match self.between(reader, fit.start as u64, vectors as u64) {
                Ok(()) => {
                    let (cycle, read) = (cycle as u64, fit.start as u64);
                    return Some(Choice { bank, cycle, read, demand, fit });
                }
                Err(next) => read = next as i64,
            }
        }
    }

    /// Are these cycles between two runs of a queue? Else where the next gap may begin.
    fn between(&self, queue: Queue, from: u64, cycles: u64) -> Result<(), u64> {
        let runs = self.queues.get(&queue).map_or(&[][..], Vec::as_slice);
        let at = runs.partition_point(|run| run.last_cycle() < from);
        match runs.get(at) {
            Some(run) if run.cycle < from + cycles => Err(run.last_cycle() + 1),
            _ => Ok(()),
        }
    }

    fn commit(&mut self, queue: Queue, progress: &mut Progress, choice: Choice) -> Page {
        let Choice { bank: (hemisphere, slice, bank), cycle, read, demand, fit } = choice;
        self.reservations.take(&demand, &fit);
        *self.hosted.entry((hemisphere, slice)).or_default() += 1;
        let vectors = u32::from(self.chip.icu.fetch_vectors);
        let page = Page { hemisphere, slice, address: self.words.take((hemisphere, slice, bank)) };
        let stream = Stream { number: fit.streams[0] as u8, direction: demand.streams[0].direction };
        let repeats = vec![Repeat { count: vectors, interval: 1, step: 1, window_step: 0 }];
        let instruction = Instruction::Mem(Mem::Read { address: page.address, stream });
        self.insert(Queue::MemRead(hemisphere, slice), Run { cycle: read, instruction, repeats, node: 0 });
        let instruction = Instruction::Icu(Icu::Ifetch { stream });
        let at = self.insert(queue, Run { cycle, instruction, repeats: Vec::new(), node: 0 });
        let told = text_after(progress.free, &self.queues[&queue][progress.runs..=at], usize::MAX);
        progress.bytes += told.bytes.len() as u64;
        progress.runs = at + 1;
        progress.free = cycle + 1;
        progress.arrived += self.chip.page_bytes() as u64;
        page
    }

    /// Adds a run between others; where it stands.
    fn insert(&mut self, queue: Queue, run: Run) -> usize {
        let runs = self.queues.entry(queue).or_default();
        let at = runs.partition_point(|other| other.cycle < run.cycle);
        runs.insert(at, run);
        at
    }

    fn too_dense(&self, queue: Queue, progress: &Progress, first: Option<usize>, last: usize) -> Diagnostic {
        if self.words.pages() == 0 {
            let message = format!("no MEM slice has words left for the instructions of {queue}");
            return Diagnostic::new(Kind::Unsupported, "does-not-fit", message);
        }
        let rest = &self.queues[&queue][progress.runs..];
        let begin = first.and_then(|first| rest.get(first)).map_or(progress.free, |run| run.last_cycle() + 1);
        let end = last.checked_sub(1).and_then(|last| rest.get(last)).map_or(begin, |run| run.cycle);
        let page = self.chip.page_bytes();
        let message = format!(
            "the instructions of {queue} come too thick: between cycles {begin} and {end} there is no room to fetch the next {page} bytes \
             of them"
        );
        Diagnostic::new(Kind::Unsupported, "instruction-fetch", message)
            .note(format!("the queue holds {} bytes (icu.queue_bytes of the chip, which is assumed)", self.chip.icu.queue_bytes))
            .note(format!("free for text: {} pages, in all MEM slices together", self.words.pages()))
            .note("what would make it compile: a chip whose queues hold more, a shorter --context, a smaller --batch")
    }
}

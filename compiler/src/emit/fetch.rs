//! Fetching instruction text: what a queue does not hold from the start lies in SRAM, and is brought page by page in the gaps that the
//! schedule leaves, as soon as the queue has room.
//!
//! The queues that read SRAM grow by what they read for others, so they come last, and each of them brings its own pages, or is brought
//! them by one that is still to come.

use std::collections::BTreeMap;

use isa::place::{Hemisphere, Queue, Slice};
use isa::stream::{Direction, Stream};
use isa::text::{Extent, text_after};
use isa::{Chip, Icu, Instruction, Mem, Page, Repeat, Run};

use super::words::FreeWords;
use crate::diagnostic::{Diagnostic, Kind};
use crate::lower::flow::StreamUse;
use crate::schedule::reservation::{Bank, Demand, Fit, Reservations};

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
    /// Bytes that are in the queue, or have been, when all pages placed so far have come; and the cycle from which on they have.
    arrived: u64,
    came: u64,
}

/// Where a page comes from, and when.
struct Choice {
    bank: Bank,
    /// Dispatch of the Ifetch and of the Read.
    cycle: u64,
    read: u64,
    demand: Demand,
    fit: Fit,
}

impl Fetcher<'_> {
    /// Pages of one queue. The queues in `done` have their pages already, and must not grow.
    fn queue(&mut self, queue: Queue, done: &[Queue]) -> Result<Vec<Page>, Diagnostic> {
        let capacity = u64::from(self.chip.icu.queue_bytes);
        let mut progress = Progress { runs: 0, bytes: 0, free: 0, arrived: capacity, came: 0 };
        let mut pages = Vec::new();
        loop {
            let rest = &self.queues[&queue][progress.runs..];
            let most = progress.arrived - progress.bytes;
            let text = text_after(progress.free, rest, most as usize);
            if text.bytes.len() as u64 <= most {
                return Ok(pages);
            }
            // The first run that reaches beyond what is there, and the first that makes room for one page more.
            let (bytes, arrived) = (progress.bytes, progress.arrived);
            let reaches = |extent: &Extent| bytes + extent.needs > arrived;
            let wanted = (arrived + self.chip.page_bytes() as u64).saturating_sub(capacity);
            let last = text.extents.iter().position(reaches).unwrap_or(text.extents.len());
            let room = text.extents.iter().position(|extent| bytes + extent.frees >= wanted);
            let first = if bytes >= wanted { None } else { Some(room.unwrap_or(usize::MAX)) };
            let choice = self.choose(queue, &progress, first, last, done);
            let Some(choice) = choice else { return Err(self.too_dense(queue, &progress, first, last)) };
            pages.push(self.commit(queue, &mut progress, &choice));
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
        let arrives = last.checked_sub(1).map_or(0, |before| runs[before].last_cycle() + 1);
        // The gap before run `next`; another run must follow before the one that needs the page.
        let gap = |next: usize| {
            let from = next.checked_sub(1).map_or(progress.free, |before| runs[before].last_cycle() + 1);
            // Two Ifetches of a queue do not overlap.
            (from.max(progress.came), runs[next].cycle.min((arrives + 1).saturating_sub(vectors)))
        };
        let gaps = (first.map_or(0, |first| first.saturating_add(1))..last).map(gap);
        let gaps: Vec<(u64, u64)> = gaps.filter(|(from, until)| from < until).take(MOST_GAPS).collect();
        let hosts = self.hosts(queue, done);
        for (from, until) in gaps {
            for &bank in &hosts {
                let choice = self.from(queue, progress, bank, from, until);
                if let Some(choice) = choice.filter(|choice| self.holds(queue, progress, choice)) {
                    return Some(choice);
                }
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

    /// Does the queue, with this page, hold at any time what it needs and no more than it can? As far as runs begin before the page has come:
    /// what comes in among them may change their text, where some were done again.
    fn holds(&mut self, queue: Queue, progress: &Progress, choice: &Choice) -> bool {
        let (page, capacity) = (self.chip.page_bytes() as u64, u64::from(self.chip.icu.queue_bytes));
        let comes = choice.cycle + u64::from(self.chip.icu.fetch_vectors);
        let (read, fetch) = self.runs(choice, self.words.next(choice.bank));
        let (half, slice, _) = choice.bank;
        let own = queue == Queue::MemRead(half, slice);
        let runs = self.queues.entry(queue).or_default();
        let read = own.then(|| insert(runs, read));
        let fetch = insert(runs, fetch);
        let most = progress.arrived + page - progress.bytes;
        let text = text_after(progress.free, &runs[progress.runs..], most as usize);
        let (mut begins, mut freed, mut holds) = (progress.free, [progress.bytes; 2], true);
        for (run, extent) in runs[progress.runs..].iter().zip(&text.extents) {
            if begins >= comes {
                break;
            }
            let there = if begins < progress.came { progress.arrived - page } else { progress.arrived };
            holds &= progress.bytes + extent.needs <= there;
            begins = run.last_cycle() + 1;
            // What has left when the last page came, and when this one comes.
            for (freed, comes) in freed.iter_mut().zip([progress.came, comes]) {
                *freed = if begins <= comes { progress.bytes + extent.frees } else { *freed };
            }
        }
        runs.remove(fetch);
        read.map(|at| runs.remove(at));
        holds && progress.arrived - freed[0] <= capacity && progress.arrived + page - freed[1] <= capacity
    }

    /// The Read and the Ifetch.
    fn runs(&self, choice: &Choice, address: u32) -> (Run, Run) {
        let stream =
            Stream { number: choice.fit.streams[0] as u8, direction: choice.demand.streams[0].direction };
        let count = self.chip.icu.fetch_vectors.into();
        let repeats = vec![Repeat { count, interval: 1, step: 1, window_step: 0 }];
        let read = Instruction::Mem(Mem::Read { address, stream });
        let fetch = Instruction::Icu(Icu::Ifetch { stream });
        (
            Run { cycle: choice.read, instruction: read, repeats, node: 0 },
            Run { cycle: choice.cycle, instruction: fetch, repeats: Vec::new(), node: 0 },
        )
    }

    fn commit(&mut self, queue: Queue, progress: &mut Progress, choice: &Choice) -> Page {
        let (hemisphere, slice, _) = choice.bank;
        self.reservations.take(&choice.demand, &choice.fit);
        *self.hosted.entry((hemisphere, slice)).or_default() += 1;
        let page = Page { hemisphere, slice, address: self.words.take(choice.bank) };
        let (read, fetch) = self.runs(choice, page.address);
        insert(self.queues.entry(Queue::MemRead(hemisphere, slice)).or_default(), read);
        let runs = self.queues.entry(queue).or_default();
        let at = insert(runs, fetch);
        let told = text_after(progress.free, &runs[progress.runs..=at], usize::MAX);
        progress.bytes += told.bytes.len() as u64;
        progress.runs = at + 1;
        progress.free = choice.cycle + 1;
        progress.came = choice.cycle + u64::from(self.chip.icu.fetch_vectors);
        progress.arrived += self.chip.page_bytes() as u64;
        page
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

/// Adds a run between others; where it stands.
fn insert(runs: &mut Vec<Run>, run: Run) -> usize {
    let at = runs.partition_point(|other| other.cycle < run.cycle);
    runs.insert(at, run);
    at
}

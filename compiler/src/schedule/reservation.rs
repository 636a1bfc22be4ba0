//! What is taken when: streams by slot, queues, ALUs, and SRAM banks by cycle; and where a flow fits.

use std::collections::BTreeMap;

use isa::Chip;
use isa::place::{Hemisphere, Queue};
use isa::stream::Direction;

use super::timeline::Timeline;
use crate::lower::floorplan::Floorplan;
use crate::lower::flow::StreamUse;

/// A SRAM bank.
pub type Bank = (Hemisphere, u16, u8);

/// Relative cycles (or slots) in which something is needed: sorted, disjoint, half open.
pub type Spans = Vec<(i64, i64)>;

/// What a flow needs, at cycles relative to its start.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    /// Queues.
    pub queues: Vec<(Queue, Spans)>,
    /// Banks.
    pub banks: Vec<(Bank, Spans)>,
    /// ALUs, each another one.
    pub alus: Vec<(i64, i64)>,
    /// SXM queues, each another one.
    pub sxm: Vec<(Hemisphere, i64, i64)>,
    /// Streams.
    pub streams: Vec<StreamUse>,
}

/// Where a flow was put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Its start.
    pub start: i64,
    /// Number of each ALU.
    pub alus: Vec<u8>,
    /// Number of each SXM queue.
    pub sxm: Vec<u8>,
    /// First stream of each use.
    pub streams: Vec<u16>,
}

/// The chip's reservation tables.
#[derive(Clone, Debug)]
pub struct Reservations {
    streams: u16,
    /// MEM slices of a hemisphere that are the inner ones.
    inner: i32,
    /// Streams that bring activations to the planes.
    led: [u16; 2],
    slots: BTreeMap<(Direction, Zone, u16), Timeline>,
    queues: BTreeMap<Queue, Timeline>,
    banks: BTreeMap<Bank, Timeline>,
    alus: Vec<Timeline>,
    sxm: BTreeMap<(Hemisphere, u8), Timeline>,
}

impl Reservations {
    /// Nothing is taken.
    pub fn new(chip: &Chip, plan: &Floorplan) -> Reservations {
        let sxm = Hemisphere::BOTH
            .into_iter()
            .flat_map(|h| (0..chip.sxm.queues_per_hemisphere).map(move |n| ((h, n), Timeline::default())));
        Reservations {
            streams: chip.streams,
            inner: plan.inner().into(),
            led: [plan.stripes - 1, 2 * plan.stripes - 1],
            slots: BTreeMap::new(),
            queues: BTreeMap::new(),
            banks: BTreeMap::new(),
            alus: vec![Timeline::default(); usize::from(chip.vxm.alus)],
            sxm: sxm.collect(),
        }
    }

    /// The earliest fit at or after `earliest`. Nothing if the chip has too few ALUs, queues or streams for it at any time.
    pub fn fit(&self, demand: &Demand, earliest: i64) -> Option<Fit> {
        let mut start = earliest;
        loop {
            let mut next = start;
            for (queue, spans) in &demand.queues {
                if let Some(timeline) = self.queues.get(queue) {
                    next = timeline.next_free_all(spans, next);
                }
            }
            for (bank, spans) in &demand.banks {
                if let Some(timeline) = self.banks.get(bank) {
                    next = timeline.next_free_all(spans, next);
                }
            }
            if next > start {
                start = next;
                continue;
            }
            match self.choose(demand, start)? {
                Ok(fit) => return Some(fit),
                Err(next) => start = next,
            }
        }
    }

    /// Numbers for ALUs, SXM queues and streams at a start; or a later start to try.
    fn choose(&self, demand: &Demand, start: i64) -> Option<Result<Fit, i64>> {
        let mut fit = Fit { start, ..Fit::default() };
        for &(from, to) in &demand.alus {
            let free = |n: &usize| !fit.alus.contains(&(*n as u8));
            let choice = (0..self.alus.len())
                .filter(free)
                .map(|n| (self.alus[n].next_free(from, to, start), n))
                .min()?;
            if choice.0 > start {
                return Some(Err(choice.0));
            }
            fit.alus.push(choice.1 as u8);
        }
        for (at, &(hemisphere, from, to)) in demand.sxm.iter().enumerate() {
            let used = |n: u8| (0..at).any(|other| demand.sxm[other].0 == hemisphere && fit.sxm[other] == n);
            let choices = self.sxm.iter().filter(|((h, n), _)| *h == hemisphere && !used(*n));
            let choice = choices.map(|((_, n), timeline)| (timeline.next_free(from, to, start), *n)).min()?;
            if choice.0 > start {
                return Some(Err(choice.0));
            }
            fit.sxm.push(choice.1);
        }
        for use_ in &demand.streams {
            let choice = self.choose_stream(demand, &fit, use_, start)?;
            if choice.0 > start {
                return Some(Err(choice.0));
            }
            fit.streams.push(choice.1);
        }
        Some(Ok(fit))
    }

    /// Wide groups from the bottom, narrow ones from the top, so that they stay out of each other's way, and out of that of activations.
    fn choose_stream(&self, demand: &Demand, fit: &Fit, use_: &StreamUse, start: i64) -> Option<(i64, u16)> {
        if let Some(of) = use_.of {
            let base = fit.streams[of.0] + of.1;
            return Some((self.streams_free(use_, base, start), base));
        }
        let last = self.streams.checked_sub(use_.width)? / use_.align * use_.align;
        let count = last / use_.align + 1;
        let wide = use_.width > 4;
        let led = |base: &u16| !wide && self.led.iter().any(|led| (*base..base + use_.width).contains(led));
        let bases = || (0..count).map(|n| if wide { n * use_.align } else { last - n * use_.align });
        let candidates = bases().filter(|base| !led(base)).chain(bases().filter(led));
        let mut best: Option<(i64, u16)> = None;
        for base in candidates {
            let clash = fit.streams.iter().zip(&demand.streams).any(|(&other, of)| {
                of.direction == use_.direction && other < base + use_.width && base < other + of.width
            });
            if clash {
                continue;
            }
            let free = self.streams_free(use_, base, start);
            if free == start {
                return Some((free, base));
            }
            if best.is_none_or(|(soonest, _)| free < soonest) {
                best = Some((free, base));
            }
        }
        best
    }

    /// The earliest start from `start` on at which these streams may be free.
    fn streams_free(&self, use_: &StreamUse, base: u16, start: i64) -> i64 {
        let numbers = base..base + use_.width;
        let lines =
            numbers.flat_map(|number| self.zones(use_).map(move |zone| (use_.direction, zone, number)));
        let timelines = lines.filter_map(|line| self.slots.get(&line));
        timelines.map(|timeline| timeline.next_free_all(&use_.slots, start)).max().unwrap_or(start)
    }

    /// Takes everything that a fitted flow needs.
    pub fn take(&mut self, demand: &Demand, fit: &Fit) {
        let start = fit.start;
        for (queue, spans) in &demand.queues {
            self.queues.entry(*queue).or_default().take_all(spans, start);
        }
        for (bank, spans) in &demand.banks {
            self.banks.entry(*bank).or_default().take_all(spans, start);
        }
        for (&(from, to), &alu) in demand.alus.iter().zip(&fit.alus) {
            self.alus[usize::from(alu)].take(start + from, start + to);
        }
        for (&(hemisphere, from, to), &queue) in demand.sxm.iter().zip(&fit.sxm) {
            self.sxm.entry((hemisphere, queue)).or_default().take(start + from, start + to);
        }
        for (use_, &base) in demand.streams.iter().zip(&fit.streams) {
            for number in base..base + use_.width {
                for zone in self.zones(use_) {
                    let timeline = self.slots.entry((use_.direction, zone, number)).or_default();
                    timeline.take_all(&use_.slots, start);
                }
            }
        }
    }

    /// Zones that values pass from their first put to their last take. A value that was taken may be replaced further on.
    fn zones(&self, use_: &StreamUse) -> impl Iterator<Item = Zone> + use<> {
        let zone = |position: i32| {
            let outer = Zone::from(position.abs() > self.inner) + Zone::from(position != 0);
            outer * position.signum() as Zone
        };
        let (from, to) = (zone(use_.from), zone(use_.to));
        from.min(to)..=from.max(to)
    }
}

/// A part of the row of slices: 0 is the VXM, ±1 the inner MEM slices, ±2 the outer ones and all beyond; east is positive.
type Zone = i8;

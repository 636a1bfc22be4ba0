//! The streams: which runs put values into which slots, where two of them collide, and who takes from an empty slot.
//!
//! A value stays in its slot as it moves, so a slot is put to twice exactly if the slots of two puts have one in common; the put further
//! downstream comes later. A take finds what was put upstream of it, or at its own position, in its slot.

use isa::stream::{Direction, Stream};
use isa::{Queue, Slice};

use super::super::lattice::{Lattice, first_common};
use super::cover::missing;
use super::effects::{put, takes};
use super::hulls::{Hull, Hulls};
use super::runs::Timeline;

/// A run's puts to, or takes from, one stream.
#[derive(Clone, Copy)]
struct Use {
    /// Its first and last slot.
    first: i64,
    last: i64,
    line: u32,
    run: u32,
    /// Of the slice, counted along the direction of the stream.
    downstream: i32,
    /// Cycles from the dispatch.
    delay: i32,
    merge: bool,
}

impl Hull for Use {
    fn first(&self) -> i64 {
        self.first
    }
    fn last(&self) -> i64 {
        self.last
    }
}

impl Use {
    fn slots(&self, timeline: &Timeline<'_>) -> Lattice {
        let cycles = &timeline.lines[self.line as usize].cycles[self.run as usize];
        cycles.shifted(i64::from(self.delay - self.downstream))
    }

    /// The cycle in which a slot is where this use is.
    fn cycle(&self, slot: i64) -> i64 {
        slot + i64::from(self.downstream)
    }
}

/// The puts of every stream.
pub(super) struct Puts {
    streams: usize,
    by_stream: Vec<Hulls<Use>>,
}

fn index(streams: usize, stream: Stream, offset: usize) -> Option<usize> {
    let number = usize::from(stream.number) + offset;
    let side = match stream.direction {
        Direction::East => 0,
        Direction::West => streams,
    };
    (number < streams).then_some(side + number)
}

/// All uses of every stream that may matter before cycle `horizon`: puts, or takes.
fn uses(timeline: &Timeline<'_>, horizon: i64, puts: bool) -> Vec<Vec<Use>> {
    let streams = usize::from(timeline.chip.streams);
    let mut uses = vec![Vec::new(); 2 * streams];
    for (number, line) in timeline.lines.iter().enumerate() {
        for (run, cycles) in line.cycles.iter().enumerate() {
            let instruction = &line.runs[run].instruction;
            let mut add = |stream: Stream, count: usize, delay: i64, merge: bool| {
                let downstream = stream.direction.sign() as i32 * line.position;
                let shift = delay - i64::from(downstream);
                if cycles.first() + delay > horizon {
                    return;
                }
                for offset in 0..count {
                    let Some(index) = index(streams, stream, offset) else { break };
                    uses[index].push(Use {
                        first: cycles.first() + shift,
                        last: cycles.last() + shift,
                        line: number as u32,
                        run: run as u32,
                        downstream,
                        delay: delay as i32,
                        merge,
                    });
                }
            };
            if puts {
                put(timeline.chip, instruction)
                    .into_iter()
                    .for_each(|put| add(put.stream, put.count, put.delay, put.merge));
            } else {
                takes(timeline.chip, instruction, |stream, count| add(stream, count, 0, false));
            }
        }
    }
    uses
}

impl Puts {
    pub(super) fn new(timeline: &Timeline<'_>, horizon: i64) -> Puts {
        let by_stream = uses(timeline, horizon, true).into_iter().map(Hulls::new).collect();
        Puts { streams: timeline.chip.streams.into(), by_stream }
    }

    /// The first cycle before `horizon` in which a value is put where another one is; else `horizon`.
    pub(super) fn collision(&self, timeline: &Timeline<'_>, mut horizon: i64) -> i64 {
        let mut active: Vec<Use> = Vec::new();
        for puts in &self.by_stream {
            active.clear();
            for put in puts.items() {
                active.retain(|other| other.last >= put.first);
                for other in &active {
                    if let Some(cycle) = collision(timeline, other, put) {
                        horizon = horizon.min(cycle);
                    }
                }
                active.push(*put);
            }
        }
        horizon
    }

    /// The first cycle before `horizon` in which a slot is taken that nobody put to; else `horizon`. No collision may come before.
    pub(super) fn empty(&self, timeline: &Timeline<'_>, mut horizon: i64) -> i64 {
        let mut given = Vec::new();
        for (takes, puts) in uses(timeline, horizon, false).iter().zip(&self.by_stream) {
            for take in takes {
                let limit = horizon - i64::from(take.downstream);
                if take.first >= limit {
                    continue;
                }
                let mut shared = false;
                given.clear();
                puts.meeting(take.first, take.last.min(limit), |put| {
                    if put.downstream <= take.downstream {
                        given.push(put.slots(timeline));
                        shared |= put.merge;
                    }
                });
                if let Some(slot) = missing(&take.slots(timeline), limit, &mut given, shared) {
                    horizon = take.cycle(slot);
                }
            }
        }
        horizon
    }

    /// Whose value is in a slot, by queue and cycle of dispatch, of those put before cycle `before`: that of the first to put.
    pub(super) fn holder(
        &self,
        timeline: &Timeline<'_>,
        stream: Stream,
        position: i32,
        before: i64,
    ) -> Option<(Queue, u64)> {
        let slot = stream.direction.slot(before, position);
        let mut holder: Option<((i64, bool), (Queue, u64))> = None;
        let puts = self.by_stream.get(index(self.streams, stream, 0)?)?;
        puts.meeting(slot, slot, |put| {
            let cycle = put.cycle(slot);
            if cycle >= before || !put.slots(timeline).contains(slot) {
                return;
            }
            let key = (cycle, put.merge);
            if holder.as_ref().is_none_or(|(first, _)| key < *first) {
                let queue = timeline.lines[put.line as usize].queue;
                holder = Some((key, (queue, (cycle - i64::from(put.delay)) as u64)));
            }
        });
        holder.map(|(_, by)| by)
    }
}

/// The first cycle in which the later of two puts finds the value of the other.
fn collision(timeline: &Timeline<'_>, a: &Use, b: &Use) -> Option<i64> {
    let alone = match timeline.lines[a.line as usize].queue.slice() {
        // Different delays bring what one queue dispatched at different times together.
        Slice::Sxm(_) => false,
        // Reads and gathers of one queue may meet: the gather joins.
        _ => a.line == b.line,
    };
    // Gathers come last, and join.
    let joins = match a.downstream.cmp(&b.downstream) {
        std::cmp::Ordering::Less => b.merge,
        std::cmp::Ordering::Greater => a.merge,
        std::cmp::Ordering::Equal => a.merge || b.merge,
    };
    if alone || joins {
        return None;
    }
    let slot = first_common(&a.slots(timeline), &b.slots(timeline))?;
    Some(a.cycle(slot).max(b.cycle(slot)))
}

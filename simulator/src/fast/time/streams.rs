//! The streams: which runs put values into which slots, where a value is lost to another, and who takes from an empty slot.
//!
//! A value stays in its slot as it moves, so a slot is put to twice exactly if the slots of two puts have one in common; the put further
//! downstream comes later. It finds the value of the other taken exactly if somebody between the two takes from the slot. A take finds what
//! was put upstream of it, or at its own position, in its slot.

use isa::stream::{Direction, Stream};
use isa::{Queue, Slice};

use super::super::lattice::{Lattice, each_common, first_common};
use super::cover::missing;
use super::effects::{put, takes};
use super::hulls::{Hull, Hulls};
use super::runs::{Line, Timeline};

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
    /// Has slots in common with other puts.
    shared: bool,
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
        let cycles = &line(timeline, self.line).cycles[self.run as usize];
        cycles.shifted(i64::from(self.delay - self.downstream))
    }

    /// The cycle in which a slot is where this use is.
    fn cycle(&self, slot: i64) -> i64 {
        slot + i64::from(self.downstream)
    }
}

/// The puts and takes of every stream.
pub(super) struct Traffic {
    streams: usize,
    puts: Vec<Hulls<Use>>,
    takes: Vec<Hulls<Use>>,
}

/// The value in a slot.
#[derive(Clone, Copy)]
pub(super) struct Held {
    /// Who put it, and when that was dispatched.
    pub(super) by: (Queue, u64),
    /// Somebody has taken it.
    pub(super) taken: bool,
    /// Other values have joined it.
    pub(super) joined: bool,
}

fn index(streams: usize, stream: Stream, offset: usize) -> Option<usize> {
    let number = usize::from(stream.number) + offset;
    let side = match stream.direction {
        Direction::East => 0,
        Direction::West => streams,
    };
    (number < streams).then_some(side + number)
}

/// A line by its number: those of the Ifetches come last.
fn line<'t, 'p>(timeline: &'t Timeline<'p>, number: u32) -> &'t Line<'p> {
    let number = number as usize;
    timeline.lines.get(number).unwrap_or_else(|| &timeline.fetches[number - timeline.lines.len()])
}

/// All uses of every stream that may matter before cycle `horizon`: puts, or takes.
fn uses(timeline: &Timeline<'_>, horizon: i64, puts: bool) -> Vec<Vec<Use>> {
    let streams = usize::from(timeline.chip.streams);
    let mut uses = vec![Vec::new(); 2 * streams];
    for (number, line) in timeline.lines.iter().chain(&timeline.fetches).enumerate() {
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
                        shared: merge,
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

impl Traffic {
    pub(super) fn new(timeline: &Timeline<'_>, horizon: i64) -> Traffic {
        let [puts, takes] = [true, false]
            .map(|puts| uses(timeline, horizon, puts).into_iter().map(Hulls::new).collect::<Vec<_>>());
        Traffic { streams: timeline.chip.streams.into(), puts, takes }
    }

    /// The first cycle before `horizon` in which a value is put where another one is that nobody has taken; else `horizon`. Notes which puts
    /// have slots in common up to there.
    ///
    /// All pairs of puts are looked at, and not only those with no third between them: where somebody takes between a third and the later,
    /// somebody takes between the earlier and the later.
    pub(super) fn collision(&mut self, timeline: &Timeline<'_>, mut horizon: i64) -> i64 {
        let mut active: Vec<(usize, Use)> = Vec::new();
        let mut sharing = Vec::new();
        for (puts, takes) in self.puts.iter_mut().zip(&self.takes) {
            active.clear();
            for (index, put) in puts.items().iter().enumerate() {
                active.retain(|(_, other)| other.last >= put.first);
                for (other_index, other) in &active {
                    let (up, down) =
                        if other.downstream <= put.downstream { (other, put) } else { (put, other) };
                    let Some(slot) = common(timeline, up, down) else { continue };
                    if down.cycle(slot) < horizon {
                        sharing.extend([index, *other_index]);
                        horizon = lost(timeline, takes, up, down, slot, horizon);
                    }
                }
                active.push((index, *put));
            }
            sharing.drain(..).for_each(|index| puts.item_mut(index).shared = true);
        }
        horizon
    }

    /// The first cycle before `horizon` in which a slot is taken that nobody put to; else `horizon`. [`Traffic::collision`] must have looked up
    /// to there, and found nothing.
    pub(super) fn empty(&self, timeline: &Timeline<'_>, mut horizon: i64) -> i64 {
        let mut given = Vec::new();
        for (takes, puts) in self.takes.iter().zip(&self.puts) {
            for take in takes.items() {
                let limit = horizon - i64::from(take.downstream);
                if take.first >= limit {
                    continue;
                }
                let mut shared = false;
                given.clear();
                puts.meeting(take.first, take.last.min(limit), |put| {
                    if put.downstream <= take.downstream {
                        given.push(put.slots(timeline));
                        shared |= put.shared;
                    }
                });
                if let Some(slot) = missing(&take.slots(timeline), limit, &mut given, shared) {
                    horizon = take.cycle(slot);
                }
            }
        }
        horizon
    }

    /// The value in a slot as cycle `before` begins, in which the slot is at `position`.
    pub(super) fn held(
        &self,
        timeline: &Timeline<'_>,
        stream: Stream,
        position: i32,
        before: i64,
    ) -> Option<Held> {
        let here = stream.direction.sign() as i32 * position;
        self.last(timeline, stream, stream.direction.slot(before, position), here)
    }

    /// Who put the value that passes `position` in `cycle`, if nothing has joined it.
    pub(super) fn source(
        &self,
        timeline: &Timeline<'_>,
        stream: Stream,
        position: i32,
        cycle: i64,
    ) -> Option<(Queue, u64)> {
        let here = stream.direction.sign() as i32 * position;
        let held = self.last(timeline, stream, stream.direction.slot(cycle, position), here + 1)?;
        (!held.joined).then_some(held.by)
    }

    /// The value in a slot before it comes to `here`.
    fn last(&self, timeline: &Timeline<'_>, stream: Stream, slot: i64, here: i32) -> Option<Held> {
        let index = index(self.streams, stream, 0)?;
        let mut puts: Vec<&Use> = Vec::new();
        self.puts.get(index)?.meeting(slot, slot, |put| {
            if put.downstream < here && put.slots(timeline).contains(slot) {
                puts.push(put);
            }
        });
        puts.sort_by_key(|put| (put.downstream, put.merge));
        let taken_between = |from: &Use, to: i32| {
            let mut taken = false;
            self.takes.get(index).into_iter().for_each(|takes| {
                takes.meeting(slot, slot, |take| {
                    let between = from.downstream <= take.downstream && take.downstream < to;
                    taken |= between && take.slots(timeline).contains(slot);
                });
            });
            taken
        };
        let mut holder: Option<(&Use, bool)> = None;
        for put in puts {
            // What joins leaves the value with the one that was there.
            match &mut holder {
                Some((held, joined)) if put.merge && !taken_between(held, put.downstream) => *joined = true,
                _ => holder = Some((put, false)),
            }
        }
        holder.map(|(put, joined)| {
            let queue = line(timeline, put.line).queue;
            let by = (queue, (put.cycle(slot) - i64::from(put.delay)) as u64);
            Held { by, taken: taken_between(put, here), joined }
        })
    }
}

/// The first slot that two puts have in common, if the one downstream must not find there what nobody has taken.
fn common(timeline: &Timeline<'_>, up: &Use, down: &Use) -> Option<i64> {
    let alone = match line(timeline, up.line).queue.slice() {
        // Different delays bring what one queue dispatched at different times together.
        Slice::Sxm(_) => false,
        // Reads and gathers of one queue may meet: the gather joins.
        _ => up.line == down.line,
    };
    // Gathers come last, and join.
    let joins = down.merge || up.merge && up.downstream == down.downstream;
    if alone || joins {
        return None;
    }
    first_common(&up.slots(timeline), &down.slots(timeline))
}

/// The first cycle before `horizon` in which `down` is put where nobody has taken what `up` put before; else `horizon`. `first` is the first
/// slot that they have in common.
fn lost(
    timeline: &Timeline<'_>,
    takes: &Hulls<Use>,
    up: &Use,
    down: &Use,
    first: i64,
    mut horizon: i64,
) -> i64 {
    let way = i64::from(down.downstream);
    let mut given = Vec::new();
    takes.meeting(first, up.last.min(down.last).min(horizon - way), |take| {
        if up.downstream <= take.downstream && take.downstream < down.downstream {
            given.push(take.slots(timeline));
        }
    });
    if given.is_empty() {
        return down.cycle(first);
    }
    each_common(&up.slots(timeline), &down.slots(timeline), &mut |part| {
        // Takers of a slot may be many.
        if let Some(slot) = missing(&part, horizon - way, &mut given.clone(), true) {
            horizon = down.cycle(slot);
        }
        part.first() < horizon - way
    });
    horizon
}

//! Operands that are wrong in themselves: the first iteration of each run in which they are.
//!
//! Where no step moves an operand, the first iteration decides. Else the iterations are halved, in the order of time, wherever the range of
//! the operand's values may hold a wrong one.

use isa::instruction::{Mem, Sxm, Window};
use isa::{Chip, Instruction, Queue, Run};

use super::runs::{Line, Timeline, stepped};
use super::world::{AtRest, World, dispatch, window_span};
use crate::fault::Dispatch;
use crate::reference::sxm::{check_distribution, check_permutation, check_selection};

/// The first cycle before `horizon` in which an operand is wrong in itself; else `horizon`. The MXM's are left to its planes.
pub(super) fn wrong_operand(timeline: &Timeline<'_>, mut horizon: i64) -> i64 {
    let (chip, maps, joined) = (timeline.chip, timeline.maps, timeline.joined);
    let mut world = AtRest { chip, maps, joined, text: &timeline.text };
    let mut good = GoodMaps::default();
    let others = timeline.lines.iter().filter(|line| !matches!(line.queue, Queue::Mxm(..)));
    for line in others.chain(&timeline.fetches) {
        for (run, cycles) in line.runs.iter().zip(&line.cycles) {
            if cycles.first() >= horizon {
                break;
            }
            let mut search = Search { world: &mut world, good: &mut good, line, run };
            if let Some(cycle) = search.first(run.cycle as i64, 0, 0, 0, None) {
                horizon = horizon.min(cycle);
            }
        }
    }
    horizon
}

/// Which maps each kind of instruction can follow, once they have been looked at.
#[derive(Default)]
struct GoodMaps {
    kinds: [Option<Vec<bool>>; 3],
}

impl GoodMaps {
    /// Can all maps `first..=last` be followed?
    fn all(&mut self, world: &AtRest<'_>, by: &Dispatch, sxm: &Sxm, first: i64, last: i64) -> bool {
        let kind = match sxm {
            Sxm::Select { .. } => 0,
            Sxm::Permute { .. } => 1,
            _ => 2,
        };
        let (lanes, width) = (world.chip.lanes, world.chip.lanes_per_superlane);
        let good = self.kinds[kind].get_or_insert_with(|| {
            let follow = |map: &Vec<u16>| match kind {
                0 => check_selection(by, map).is_ok(),
                1 => check_permutation(by, map, lanes).is_ok(),
                _ => check_distribution(by, map, width).is_ok(),
            };
            world.maps.iter().map(follow).collect()
        });
        let range = usize::try_from(first).ok().zip(usize::try_from(last).ok());
        range
            .and_then(|(first, last)| good.get(first..=last))
            .is_some_and(|maps| maps.iter().all(|good| *good))
    }
}

struct Search<'s, 'p> {
    world: &'s mut AtRest<'p>,
    good: &'s mut GoodMaps,
    line: &'s Line<'p>,
    run: &'s Run,
}

impl Search<'_, '_> {
    /// The first wrong iteration among some of `level` (its first and its number, else all) and all of those within it.
    fn first(
        &mut self,
        cycle: i64,
        by: i64,
        window_by: i64,
        level: usize,
        part: Option<(i64, i64)>,
    ) -> Option<i64> {
        let Some(repeat) = self.run.repeats.get(level) else {
            let wrong = match stepped(self.line.queue, self.run, cycle, by, window_by) {
                Ok(by) => dispatch(self.world, &by).is_err(),
                Err(_) => true,
            };
            return wrong.then_some(cycle);
        };
        let (first, count) = part.unwrap_or((0, repeat.count.into()));
        let fixed = level == 0 && self.run.repeats.iter().all(|r| r.step == 0 && r.window_step == 0);
        if fixed {
            return self.first(cycle, by, window_by, self.run.repeats.len(), None);
        }
        if level == 0 && part.is_none() {
            // What no step moves is looked at once.
            if let Some(cycle) = self.first(cycle, by, window_by, self.run.repeats.len(), None) {
                return Some(cycle);
            }
        }
        if self.surely_good(by, window_by, level, (first, count)) {
            return None;
        }
        if count == 1 {
            let (step, window_step) = (i64::from(repeat.step), i64::from(repeat.window_step));
            let cycle = cycle + first * i64::from(repeat.interval);
            return self.first(cycle, by + first * step, window_by + first * window_step, level + 1, None);
        }
        let half = count / 2;
        self.first(cycle, by, window_by, level, Some((first, half)))
            .or_else(|| self.first(cycle, by, window_by, level, Some((first + half, count - half))))
    }

    /// Are the moved operands right whatever they are in the range that these iterations span?
    fn surely_good(&mut self, by: i64, window_by: i64, level: usize, (first, count): (i64, i64)) -> bool {
        let range = |start: i64, step: fn(&isa::Repeat) -> i32| {
            let (mut low, mut high) = (start, start);
            // Far iterations of a wrong run may lead anywhere.
            for (index, repeat) in self.run.repeats.iter().enumerate().skip(level) {
                let step = i64::from(step(repeat));
                let (from, to) = if index == level {
                    (first, first + count - 1)
                } else {
                    (0, i64::from(repeat.count) - 1)
                };
                let (from, to) = (from.saturating_mul(step), to.saturating_mul(step));
                low = low.saturating_add(from.min(to));
                high = high.saturating_add(from.max(to));
            }
            (low, high)
        };
        let (low, high) = range(by, |repeat| repeat.step);
        let within = |value: i64, least: i64, most: i64| {
            value.saturating_add(low) >= least && value.saturating_add(high) <= most
        };
        let chip: &Chip = self.world.chip();
        match self.run.instruction {
            Instruction::Mem(Mem::Read { address, .. } | Mem::Write { address, .. }) => {
                let (first, last) =
                    (i64::from(address).saturating_add(low), i64::from(address).saturating_add(high));
                within(address.into(), 0, i64::from(chip.words_per_slice()) - 1) && self.no_text(first, last)
            }
            Instruction::Mem(Mem::Gather { window, .. } | Mem::Scatter { window, .. }) => {
                let Window { first, base, .. } = window;
                let span = i64::try_from(window_span(window)).unwrap_or(i64::MAX / 2);
                let bank = i64::from(chip.mem.words_per_bank);
                let (base_low, base_high) = (
                    i64::from(base).saturating_add(low),
                    i64::from(base).saturating_add(high).saturating_add(span),
                );
                let (low, high) = range(window_by, |repeat| repeat.window_step);
                base_low >= 0
                    && base_high < i64::from(chip.words_per_slice())
                    && base_low / bank == base_high / bank
                    && self.no_text(base_low, base_high)
                    && i64::from(first).saturating_add(low) >= i32::MIN.into()
                    && i64::from(first).saturating_add(high) <= i32::MAX.into()
            }
            Instruction::Sxm(Sxm::Shift { lanes, .. }) => {
                within(lanes.into(), i16::MIN.into(), i16::MAX.into())
            }
            Instruction::Sxm(
                sxm @ (Sxm::Select { map, .. } | Sxm::Permute { map, .. } | Sxm::Distribute { map, .. }),
            ) => {
                let first = Dispatch {
                    cycle: self.run.cycle,
                    queue: self.line.queue,
                    instruction: self.run.instruction,
                    node: self.run.node,
                };
                let map = i64::from(map);
                self.good.all(self.world, &first, &sxm, map.saturating_add(low), map.saturating_add(high))
            }
            _ => true,
        }
    }

    /// Does a write to these words, if it is one, leave instruction text alone?
    fn no_text(&self, first: i64, last: i64) -> bool {
        match self.line.queue {
            Queue::MemWrite(half, index) => self.world.text.first_in((half, index), first, last).is_none(),
            _ => true,
        }
    }
}

//! What makes a program well formed on a chip: everything that can be said of each queue, segment and port by itself.
//!
//! Hazards, where one run meets another on a stream, a bank or a plane, are the simulator's to find. The cost is in runs, not in instructions.

use crate::program::MAX_REPEATS;
use crate::{
    Chip, ChipProgram, Element, Hemisphere, Placement, Port, Program, Queue, Run, Segment, SegmentData,
};

mod instruction;
mod maps;

/// Problems listed; a damaged program has no use for more.
const MOST_PROBLEMS: usize = 100;

/// Checks that every queue, operand, address and placement exists on the chip, that repeats nest, and that each queue is in order.
///
/// # Errors
/// One line for each problem, saying where it is; after a hundred the list ends.
pub fn verify(program: &Program, chip: &Chip) -> Result<(), Vec<String>> {
    let mut checker = Checker { chip, nodes: program.nodes.len(), problems: Vec::new() };
    for (index, body) in program.chips.iter().enumerate() {
        // Equal chips stand together as a rule; what holds for one holds for the next.
        if index > 0 && program.chips[index - 1] == *body {
            continue;
        }
        checker.chip_program(&format!("chip {index}"), body);
    }
    if checker.problems.is_empty() { Ok(()) } else { Err(checker.problems) }
}

struct Checker<'a> {
    chip: &'a Chip,
    nodes: usize,
    problems: Vec<String>,
}

impl Checker<'_> {
    fn problem(&mut self, place: &str, message: &str) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(format!("{place}: {message}"));
        }
    }

    fn full(&self) -> bool {
        self.problems.len() >= MOST_PROBLEMS
    }

    fn chip_program(&mut self, place: &str, body: &ChipProgram) {
        for (index, map) in body.maps.iter().enumerate() {
            if map.len() != self.chip.lanes {
                let message = format!("has {} lanes, the chip {}", map.len(), self.chip.lanes);
                self.problem(&format!("{place}, map m{index}"), &message);
            }
        }
        self.memory(place, &body.memory);
        for port in &body.ports {
            self.port(&format!("{place}, port \"{}\"", port.name), port, &body.ports);
        }
        for problem in crate::text::problems(self.chip, body) {
            self.problem(place, &problem);
        }
        let maps = maps::MapKinds::of(&body.maps, self.chip);
        for (queue, runs) in &body.queues {
            if self.full() {
                return;
            }
            let place = format!("{place}, {queue}");
            if self.queue_exists(*queue) {
                self.runs(&place, *queue, runs, &maps);
            } else {
                self.problem(&place, "the chip has no such queue");
            }
        }
    }

    fn queue_exists(&self, queue: Queue) -> bool {
        let chip = self.chip;
        match queue {
            Queue::MemRead(_, slice) | Queue::MemWrite(_, slice) => slice < chip.mem.slices_per_hemisphere,
            Queue::Vxm(alu) => alu < chip.vxm.alus,
            Queue::Mxm(_, plane, _) => plane < chip.mxm.planes_per_hemisphere,
            Queue::Sxm(_, queue) => queue < chip.sxm.queues_per_hemisphere,
            Queue::C2c(_, link) => link < chip.c2c.links_per_hemisphere,
        }
    }

    fn runs(&mut self, place: &str, queue: Queue, runs: &[Run], maps: &maps::MapKinds) {
        let mut free = 0;
        for (index, run) in runs.iter().enumerate() {
            if self.full() {
                return;
            }
            let mut problems = instruction::problems(self.chip, queue, run, maps);
            problems.extend(repeat_problems(run));
            if run.node as usize >= self.nodes {
                problems.push(format!("node n{} does not exist: the program names {}", run.node, self.nodes));
            }
            if run.cycle < free {
                problems.push(format!("starts before cycle {free}, when the queue is free again"));
            }
            free = run.last_cycle().saturating_add(1);
            for problem in problems {
                self.problem(&format!("{place}, run {index} ({run})"), &problem);
            }
        }
    }

    fn memory(&mut self, place: &str, memory: &[Segment]) {
        let words = self.chip.words_per_slice();
        let mut taken: Vec<(Hemisphere, u16, u64, u64)> = Vec::new();
        for segment in memory {
            let Segment { hemisphere, slice, address, words: length, .. } = segment;
            let place = format!("{place}, segment {hemisphere}.mem{slice} @{address} words {length}");
            if *slice >= self.chip.mem.slices_per_hemisphere {
                self.problem(&place, "the chip has no such slice");
            }
            let end = u64::from(*address) + u64::from(*length);
            if end > u64::from(words) {
                self.problem(&place, &format!("ends at word {end}, the slice has {words}"));
            }
            if let SegmentData::Bytes(bytes) = &segment.data {
                let expected = u64::from(*length) * self.chip.lanes as u64;
                if bytes.len() as u64 != expected {
                    self.problem(&place, &format!("holds {} bytes, its words take {expected}", bytes.len()));
                }
            }
            if segment.node as usize >= self.nodes {
                self.problem(&place, &format!("node n{} does not exist", segment.node));
            }
            if *length > 0 {
                taken.push((*hemisphere, *slice, u64::from(*address), end));
            }
        }
        taken.sort_unstable();
        for pair in taken.windows(2) {
            let ((hemisphere, slice, _, end), (next_hemisphere, next_slice, address, _)) = (pair[0], pair[1]);
            if (hemisphere, slice) == (next_hemisphere, next_slice) && address < end {
                let place = format!("{place}, {hemisphere}.mem{slice}");
                self.problem(&place, &format!("two segments overlap at word {address}"));
            }
        }
    }

    fn port(&mut self, place: &str, port: &Port, all: &[Port]) {
        let elements =
            |part: &Placement| u128::from(part.batches) * u128::from(part.rows) * u128::from(part.columns);
        let placed: u128 = port.parts.iter().map(elements).fold(0, u128::saturating_add);
        let shape = port.shape.iter().fold(1u128, |product, &size| product.saturating_mul(u128::from(size)));
        if placed != shape {
            self.problem(place, &format!("its parts hold {placed} elements, its shape {shape}"));
        }
        let high = |other: &Port| other.name == port.name && other.element == Element::F16;
        if port.element == Element::F16Low && !all.iter().any(high) {
            self.problem(
                place,
                "holds the low parts of values whose high parts (f16) no port of this name holds",
            );
        }
        for (index, part) in port.parts.iter().enumerate() {
            self.part(&format!("{place}, part {index}"), port.element, part);
        }
    }

    fn part(&mut self, place: &str, element: Element, part: &Placement) {
        if part.tile_rows == 0 || part.rows_per_stripe == 0 {
            return self.problem(place, "a tile and a stripe have at least one row");
        }
        if part.broadcast && part.columns != 1 {
            self.problem(
                place,
                &format!("broadcasts {} columns; only one can be in every lane", part.columns),
            );
        }
        let stripes = part.rows.min(part.tile_rows).div_ceil(part.rows_per_stripe) as usize;
        if part.stripes.len() < stripes {
            self.problem(place, &format!("has {} stripes, its rows need {stripes}", part.stripes.len()));
        }
        let chunks =
            if part.broadcast { 1 } else { (part.columns as usize).div_ceil(self.chip.lanes).max(1) };
        let groups = [part.rows.div_ceil(part.tile_rows), chunks as u32, part.rows_per_stripe];
        let words =
            groups.iter().fold(u128::from(part.batches), |words, &n| words.saturating_mul(u128::from(n)));
        let (end, slice_words) = (u128::from(part.address) + words, self.chip.words_per_slice());
        if end > u128::from(slice_words) {
            self.problem(place, &format!("ends at word {end}, a slice has {slice_words}"));
        }
        for (index, stripe) in part.stripes.iter().enumerate() {
            if stripe.len() != element.bytes() {
                let message = format!(
                    "stripe {index} has {} slices, one for each of {} bytes are needed",
                    stripe.len(),
                    element.bytes()
                );
                self.problem(place, &message);
            }
            for (at, (hemisphere, slice)) in stripe.iter().enumerate() {
                if *slice >= self.chip.mem.slices_per_hemisphere {
                    self.problem(place, &format!("the chip has no slice {hemisphere}.mem{slice}"));
                }
                if stripe[..at].contains(&(*hemisphere, *slice)) {
                    self.problem(place, &format!("stripe {index} puts two bytes in {hemisphere}.mem{slice}"));
                }
            }
        }
    }
}

/// Depth, counts and intervals, and that each level ends before the next one outward begins again.
fn repeat_problems(run: &Run) -> Vec<String> {
    let mut problems = Vec::new();
    let levels = run.repeats.len();
    if levels > MAX_REPEATS {
        problems.push(format!("{levels} levels of repeats, at most {MAX_REPEATS} are possible"));
    }
    let mut span = 0u128;
    for (level, repeat) in run.repeats.iter().enumerate().rev() {
        let (count, interval) = (u128::from(repeat.count), u128::from(repeat.interval));
        if count == 0 || interval == 0 {
            problems.push(format!(
                "repeat level {level} has count {count} and interval {interval}; both are at least 1"
            ));
        } else if count > 1 && interval <= span {
            problems.push(format!(
                "repeat level {level} comes every {interval} cycles, but what it repeats spans {}",
                span + 1
            ));
        }
        span = span.saturating_add(count.saturating_sub(1) * interval);
    }
    if u128::from(run.cycle) + span > i64::MAX as u128 {
        problems.push("ends after cycle 2^63 − 1".to_string());
    }
    problems
}

#[cfg(test)]
mod tests;

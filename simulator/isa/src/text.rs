//! The instruction text of a queue: its bytes, what of them the queue must hold when, and the pages in which the rest comes.
//!
//! The first `icu.queue_bytes` of a queue's text are in the queue when the program starts: the host loads them together with the
//! weights (assumed). What follows lies in SRAM, in pages of as many bytes as an Ifetch brings, the last one filled up with zeros.

use crate::encode::{MOST_AGAIN_RUNS, Writer, cycle_after};
use crate::{Chip, ChipProgram, Hemisphere, Icu, Instruction, Page, Placement, Port, Queue, Run};

/// Most bytes of runs that are said once to be done again: a queue holds them until the last time.
const MOST_AGAIN_BYTES: usize = 96;

/// What a run has to do with its queue's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of the text that must be in the queue, or have been, as the queue begins with the run.
    pub needs: u64,
    /// Bytes of the text that the queue needs no longer when the run's last instruction has left it.
    pub frees: u64,
}

/// The text of some runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// For each run.
    pub extents: Vec<Extent>,
}

/// The text of a queue's runs.
pub fn text(runs: &[Run]) -> Text {
    text_after(0, runs, usize::MAX)
}

/// The text of runs that stand behind others which leave the queue free from cycle `free` on; of no more runs than reach beyond `most` bytes.
pub fn text_after(free: u64, runs: &[Run], most: usize) -> Text {
    let (mut out, mut extents) = (Writer(Vec::new()), Vec::new());
    let (mut free, mut at) = (free, 0);
    while at < runs.len() && out.0.len() <= most {
        let again = Again::find(&runs[at..]);
        let body = again.as_ref().map_or(1, |again| again.steps.len());
        let start = out.0.len() as u64;
        for run in &runs[at..at + body] {
            out.run(free, run);
            free = cycle_after(run);
            let end = out.0.len() as u64;
            extents.push(Extent { needs: end, frees: if again.is_some() { start } else { end } });
        }
        at += body;
        let Some(again) = again else { continue };
        out.again(again.times, again.interval, &again.steps);
        let end = out.0.len() as u64;
        let more = body * again.times;
        extents.resize(extents.len() + more, Extent { needs: end, frees: start });
        at += more;
        free = cycle_after(&runs[at - 1]);
        if let Some(last) = extents.last_mut() {
            last.frees = end;
        }
    }
    Text { bytes: out.0, extents }
}

/// Runs that are done again: those at the head of a list, each time `interval` cycles later, their operands moved by `steps`.
struct Again {
    times: usize,
    interval: u64,
    steps: Vec<i32>,
}

impl Again {
    /// What saves most bytes; none if nothing does.
    fn find(runs: &[Run]) -> Option<Again> {
        let candidates = (1..=MOST_AGAIN_RUNS).filter_map(|body| {
            let again = Again::of(runs, body)?;
            let (mut told, mut saying) = (Writer(Vec::new()), Writer(Vec::new()));
            let mut free = cycle_after(&runs[body - 1]);
            for run in &runs[body..2 * body] {
                told.run(free, run);
                free = cycle_after(run);
            }
            saying.again(again.times, again.interval, &again.steps);
            let saved = (told.0.len() * again.times).checked_sub(saying.0.len() + 1)?;
            (told.0.len() <= MOST_AGAIN_BYTES).then_some((saved, body, again))
        });
        candidates.max_by_key(|(saved, body, _)| (*saved, usize::MAX - body)).map(|(_, _, again)| again)
    }

    /// How often the first `body` runs are done again.
    fn of(runs: &[Run], body: usize) -> Option<Again> {
        let interval = runs.get(body)?.cycle.wrapping_sub(runs[0].cycle);
        let step = |at: usize| step_between(&runs[at - body], runs.get(at)?, interval);
        let steps: Vec<i32> = (body..2 * body).map(step).collect::<Option<_>>()?;
        let mut same = 2 * body;
        while step(same).is_some_and(|step| step == steps[same % body]) {
            same += 1;
        }
        Some(Again { times: same / body - 1, interval, steps })
    }
}

/// By how much the main operand moves from a run to one that is the same, `interval` cycles later. Instruction control is not done again.
fn step_between(run: &Run, next: &Run, interval: u64) -> Option<i32> {
    if next.cycle.wrapping_sub(run.cycle) != interval || next.repeats != run.repeats {
        return None;
    }
    if matches!(run.instruction, Instruction::Icu(_)) {
        return None;
    }
    let by = match (run.instruction.main_operand(), next.instruction.main_operand()) {
        (Some(from), Some(to)) => i32::try_from(to - from).ok()?,
        _ => 0,
    };
    (run.instruction.moved(by.into())? == next.instruction).then_some(by)
}

/// Pages that a text of so many bytes needs.
pub fn pages(chip: &Chip, bytes: usize) -> usize {
    bytes.saturating_sub(chip.icu.queue_bytes as usize).div_ceil(chip.page_bytes())
}

/// The content of a page: the `index`-th of a text.
pub fn page(chip: &Chip, bytes: &[u8], index: usize) -> Vec<u8> {
    let rest = bytes.get(chip.icu.queue_bytes as usize..).unwrap_or_default();
    let mut page = rest.chunks(chip.page_bytes()).nth(index).unwrap_or_default().to_vec();
    page.resize(chip.page_bytes(), 0);
    page
}

/// What is wrong with the pages of a program and the Ifetches that bring them, as far as it does not depend on time: one sentence each.
pub fn problems(chip: &Chip, program: &ChipProgram) -> Vec<String> {
    let mut problems = Vec::new();
    for (queue, runs) in &program.queues {
        queue_problems(chip, *queue, runs, program.text.get(queue).map_or(&[], Vec::as_slice), &mut problems);
    }
    let pages = program.text.iter().flat_map(|(queue, pages)| pages.iter().map(move |page| (queue, page)));
    let mut taken = Vec::new();
    for (queue, &Page { hemisphere, slice, address }) in pages {
        let end = u64::from(address) + u64::from(chip.icu.fetch_vectors);
        if !program.queues.contains_key(queue) {
            problems.push(format!("{queue} has pages of text and no runs"));
        }
        if slice >= chip.mem.slices_per_hemisphere || end > u64::from(chip.words_per_slice()) {
            problems.push(format!(
                "{queue}: a page at word {address} of {hemisphere}.mem{slice}, which has no such"
            ));
        }
        taken.push((hemisphere, slice, u64::from(address), end, true));
    }
    if !taken.is_empty() {
        taken.extend(program.memory.iter().map(|segment| {
            let end = u64::from(segment.address) + u64::from(segment.words);
            (segment.hemisphere, segment.slice, u64::from(segment.address), end, false)
        }));
        taken.extend(program.ports.iter().flat_map(|port| port_words(chip, port)));
    }
    problems.extend(overlaps(taken));
    problems
}

/// Words that something takes, in a slice, from a first one to an end; whether it is text.
type Taken = (Hemisphere, u16, u64, u64, bool);

/// The words of a port.
fn port_words(chip: &Chip, port: &Port) -> Vec<Taken> {
    let words = |part: &Placement| {
        let extents = [part.batches, part.rows.div_ceil(part.tile_rows.max(1)), part.chunks(chip.lanes)];
        let product = |words: u64, extent: &u32| words.saturating_mul(u64::from(*extent));
        extents.iter().fold(u64::from(part.rows_per_stripe), product)
    };
    let taken = |part: &Placement| -> Vec<Taken> {
        let start = u64::from(part.address);
        let end = start.saturating_add(words(part));
        part.stripes.iter().flatten().map(|&(half, slice)| (half, slice, start, end, false)).collect()
    };
    port.parts.iter().flat_map(taken).collect()
}

/// Words that hold text and something else.
fn overlaps(mut taken: Vec<Taken>) -> Vec<String> {
    taken.sort_unstable();
    let mut problems = Vec::new();
    for slice in taken.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
        // The furthest end so far, of anything, and of text.
        let (mut end, mut text_end) = (0, 0);
        for &(half, number, start, own_end, is_text) in slice {
            if start < own_end && start < if is_text { end } else { text_end } {
                problems.push(format!("word {start} of {half}.mem{number} holds text, and something else"));
            }
            end = end.max(own_end);
            text_end = if is_text { text_end.max(own_end) } else { text_end };
        }
    }
    problems
}

fn queue_problems(chip: &Chip, queue: Queue, runs: &[Run], pages: &[Page], problems: &mut Vec<String>) {
    let bytes = text(runs).bytes.len();
    let needed = self::pages(chip, bytes);
    let is_fetch = |run: &&Run| matches!(run.instruction, Instruction::Icu(Icu::Ifetch { .. }));
    let fetches: Vec<&Run> = runs.iter().filter(is_fetch).collect();
    let vectors = u64::from(chip.icu.fetch_vectors);
    // More pages than are needed hold zeros: what fetches a text may be said so that the text is shorter than without.
    if pages.len() < needed || fetches.len() != pages.len() {
        let (held, fetched) = (chip.icu.queue_bytes, fetches.len());
        let brought = pages.len();
        problems.push(format!(
            "{queue}: {bytes} bytes of text, of which the queue holds {held}, make {needed} pages; there are {brought} pages and {fetched} Ifetches"
        ));
    }
    if fetches.iter().any(|run| !run.repeats.is_empty()) {
        problems.push(format!("{queue}: an Ifetch does not repeat"));
    }
    if fetches.windows(2).any(|pair| pair[1].cycle < pair[0].cycle.saturating_add(vectors)) {
        problems.push(format!("{queue}: an Ifetch takes {vectors} cycles, and another begins within them"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asm;

    /// The runs of east.mxm0.load in assembly.
    fn load(runs: &str) -> Vec<Run> {
        let text =
            format!("program \"c\" nodes {{ n0 \"\" }} chip 0 {{ queue east.mxm0.load {{ {runs} }} }}");
        let program = asm::parse(&text).unwrap_or_else(|errors| panic!("{errors:?}"));
        program.chips[0].queues.values().flatten().cloned().collect()
    }

    #[test]
    fn what_is_done_again_stays_until_the_last_time() {
        let runs = load(
            "@5: LW i8 s0e x2 -> row 0 by 1 @6: LW i8 s2e x1 -> row 2 by 1
             @9: LW i8 s0e x2 -> row 0 by 1 @10: LW i8 s2e x1 -> row 2 by 1
             @13: LW i8 s0e x2 -> row 0 by 1 @14: LW i8 s2e x1 -> row 2 by 1 @15: LW i8 s0e x2 -> row 1 by 1",
        );
        let extents: Vec<(u64, u64)> =
            text(&runs).extents.iter().map(|extent| (extent.needs, extent.frees)).collect();
        // NOP 2 bytes, LW 6, Again 4.
        assert_eq!(extents, [(8, 0), (14, 0), (18, 0), (18, 0), (18, 0), (18, 18), (24, 24)]);
        let alone = text_after(14, &runs[5..], usize::MAX);
        assert_eq!(alone.bytes.len(), 12);
        assert_eq!(text_after(0, &runs, 1).extents.len(), 6);
    }

    #[test]
    fn pages_hold_what_the_queue_does_not() {
        let mut chip = Chip::preset("tsp-v1").unwrap();
        assert_eq!(
            (pages(&chip, 0), pages(&chip, 2560), pages(&chip, 2561), pages(&chip, 3841)),
            (0, 0, 1, 3)
        );
        chip.lanes = 2;
        chip.icu.queue_bytes = 3;
        let bytes: Vec<u8> = (1..=9).collect();
        assert_eq!(pages(&chip, bytes.len()), 2);
        assert_eq!([page(&chip, &bytes, 0), page(&chip, &bytes, 1)], [[4, 5, 6, 7], [8, 9, 0, 0]]);
    }
}

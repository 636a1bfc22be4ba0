//! Which words hold something when they are read.
//!
//! A word that holds something goes on doing so. So of the accesses that a run repeats to the same word only the first counts, for reads as
//! for writes; and all that is needed of the past is when each word was first written.

use std::ops::Range;

use isa::instruction::{Instruction, Mem, Window};

use super::bits::Bits;
use super::mem::{Accesses, Found};
use super::paths::Path;
use super::runs::{NEVER, Timeline};

/// The words of a slice as its writes proceed.
struct Words {
    /// The first cycle in which a word is surely written; the least number if it held something from the start.
    written: Vec<i64>,
    /// Words with such a cycle.
    marked: Bits,
    /// The first cycle in which a Scatter may have written a word; without entries when there is no Scatter.
    touched: Vec<i64>,
    /// Words that are surely written before the run in question begins.
    before: Bits,
}

/// The words of a path, as far as they are words of the slice.
fn hull(path: &Path, words: u32) -> Range<usize> {
    let (low, high) = path.words();
    let clip = |word: i64| word.clamp(0, words.into()) as usize;
    clip(low)..clip(high.saturating_add(1))
}

/// Finds the first read of a word that holds nothing, and the first access for which indices decide whether its words do.
pub(super) fn unwritten(
    timeline: &Timeline<'_>,
    reads: &Accesses<'_>,
    writes: Option<&Accesses<'_>>,
    present: &[Range<u32>],
    found: &mut Found,
) {
    let count = timeline.chip.words_per_slice();
    let mut initial = Bits::new(count);
    present.iter().for_each(|words| initial.fill(words.start as usize..words.end as usize));
    let open = |path: &&Path| !initial.all(hull(path, count));
    if !reads.paths.iter().any(|path| open(&path)) {
        return;
    }
    let mut words = Words::new(count, initial, present);
    let (mut begun, mut done) = (0, 0);
    for (run, (path, cycles)) in reads.paths.iter().zip(&reads.line.cycles).enumerate() {
        if cycles.first() > found.horizon {
            break;
        }
        let range = hull(path, count);
        if reads.is_void(run) || words.before.all(range.clone()) {
            continue;
        }
        if let Some(writes) = writes {
            let times = &writes.line.cycles;
            while times.get(done).is_some_and(|times| times.last() < cycles.first()) {
                words.complete(writes, done, count);
                done += 1;
            }
            if words.before.all(range) {
                continue;
            }
            while times.get(begun).is_some_and(|times| times.first() <= cycles.last()) {
                words.mark(writes, begun, found.horizon, count);
                begun += 1;
            }
        }
        match reads.line.runs[run].instruction {
            Instruction::Mem(Mem::Gather { window, .. }) => words.gather(path, window, found),
            _ => words.read(path, found),
        }
    }
}

impl Words {
    fn new(count: u32, initial: Bits, present: &[Range<u32>]) -> Words {
        let mut written = vec![NEVER; count as usize];
        let mut before = Bits::new(count);
        for range in present {
            let range = range.start as usize..range.end as usize;
            before.fill(range.clone());
            if let Some(written) = written.get_mut(range) {
                written.fill(i64::MIN);
            }
        }
        Words { written, marked: initial, touched: Vec::new(), before }
    }

    /// A run of writes lies wholly in the past.
    fn complete(&mut self, writes: &Accesses<'_>, run: usize, count: u32) {
        let path = &writes.paths[run];
        let range = hull(path, count);
        if writes.is_indexed(run) || self.before.all(range.clone()) {
            return;
        }
        let path = path.without_repetition();
        if path.contiguous() {
            self.before.fill(range);
        } else {
            path.walk(NEVER, &mut |_, word| {
                self.before.insert(word as usize);
                true
            });
        }
    }

    /// Notes the first cycles of the words that a run writes, or may write.
    fn mark(&mut self, writes: &Accesses<'_>, run: usize, limit: i64, count: u32) {
        let path = &writes.paths[run];
        if let Instruction::Mem(Mem::Scatter { window, .. }) = writes.line.runs[run].instruction {
            self.touched.resize(count as usize, NEVER);
            path.without_repetition().walk(limit, &mut |cycle, base| {
                for word in window_words(window, base) {
                    if let Some(first) = self.touched.get_mut(word) {
                        *first = cycle.min(*first);
                    }
                }
                true
            });
            return;
        }
        if self.marked.all(hull(path, count)) {
            return;
        }
        path.without_repetition().walk(limit, &mut |cycle, word| {
            let word = word as usize;
            if !self.marked.contains(word) {
                self.marked.insert(word);
                if let Some(first) = self.written.get_mut(word) {
                    *first = cycle;
                }
            }
            true
        });
    }

    fn is_written(&self, word: usize, cycle: i64) -> bool {
        self.written.get(word).is_some_and(|first| *first < cycle)
    }

    fn read(&self, path: &Path, found: &mut Found) {
        path.without_repetition().walk(found.horizon + 1, &mut |cycle, word| {
            let word = word as usize;
            if self.is_written(word, cycle) {
                return true;
            }
            if self.touched.get(word).is_some_and(|first| *first < cycle) {
                found.depends_in(cycle);
                return true;
            }
            found.horizon = cycle;
            false
        });
    }

    fn gather(&self, path: &Path, window: Window, found: &mut Found) {
        path.without_repetition().walk(found.horizon + 1, &mut |cycle, base| {
            let sure = window_words(window, base).all(|word| self.is_written(word, cycle));
            if !sure {
                found.depends_in(cycle);
            }
            sure
        });
    }
}

/// The words that a window's indices mean when its first word is `base`.
fn window_words(window: Window, base: i64) -> impl Iterator<Item = usize> {
    let count = if window.stride == 0 { window.count.min(1) } else { window.count };
    (0..i64::from(count)).filter_map(move |i| usize::try_from(base + i * i64::from(window.stride)).ok())
}

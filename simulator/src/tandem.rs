//! Two engines on one program: each write to SRAM, each report and each fault of the second is compared with the first's.
//!
//! The first runs to its end, and of each event only a hash is kept. The second is compared while it runs. Where it differs, the
//! first runs once more, from what its SRAM held before, up to that event, to say which lane differs.

use isa::{ChipProgram, Instruction, Mem, Mxm, Queue, Report, Run};

use crate::event::{Event, Watch};
use crate::fault::{Fault, FaultKind, Place};
use crate::ports::Words;
use crate::reference;

/// An engine: executes its program, and tells what it writes.
pub(crate) trait Execute: Words {
    /// Its name in messages.
    fn name(&self) -> &'static str;
    /// Executes the program once, and tells `watch` of every event.
    fn run_watched(&mut self, watch: Watch<'_>) -> Result<Report, Fault>;
    /// As [`crate::Machine::values_known`].
    fn values_known(&self) -> bool;
}

impl Execute for reference::Machine {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn run_watched(&mut self, watch: Watch<'_>) -> Result<Report, Fault> {
        reference::Machine::run_watched(self, watch)
    }

    fn values_known(&self) -> bool {
        reference::Machine::values_known(self)
    }
}

/// Two engines with the same program and the same SRAM.
pub(crate) struct Tandem<A, B> {
    first: A,
    second: B,
    program: ChipProgram,
    nodes: Vec<String>,
}

/// An event with a value of its own.
struct Kept {
    number: usize,
    cycle: u64,
    queue: Queue,
    node: u32,
    word: u32,
    superlanes: u64,
    value: Vec<u8>,
}

impl Kept {
    fn of(number: usize, event: &Event<'_>) -> Kept {
        Kept {
            number,
            cycle: event.cycle,
            queue: event.queue,
            node: event.node,
            word: event.word,
            superlanes: event.superlanes,
            value: event.value.to_vec(),
        }
    }

    /// The write in words.
    fn describe(&self) -> String {
        let Kept { cycle, queue, node, word, superlanes, .. } = self;
        let slice = queue.slice();
        format!("word {word} of {slice} in cycle {cycle} for node {node}, superlanes {superlanes:#x}")
    }
}

impl<A: Execute + Clone, B: Execute> Tandem<A, B> {
    /// Two engines that were loaded with `program`.
    pub(crate) fn new(first: A, second: B, program: ChipProgram, nodes: Vec<String>) -> Tandem<A, B> {
        Tandem { first, second, program, nodes }
    }

    /// Executes the program once on both.
    ///
    /// # Errors
    /// The program's first fault, if both find it; [`FaultKind::EnginesDiffer`] where they differ.
    pub(crate) fn run(&mut self) -> Result<Report, Fault> {
        let before = self.first.clone();
        let mut digests = Vec::new();
        let expected = self.first.run_watched(&mut |event| digests.push(event.digest()));
        // Of the cycle of a fault nothing is said: an engine may stop before its writes, or after.
        let end = expected.as_ref().err().map_or(u64::MAX, |fault| fault.cycle);
        let (mut number, mut different) = (0, None);
        let found = self.second.run_watched(&mut |event| {
            if different.is_none() && event.cycle < end {
                if digests.get(number) != Some(&event.digest()) {
                    different = Some(Kept::of(number, event));
                }
                number += 1;
            }
        });
        if let Some(kept) = different {
            return Err(self.differing_event(before, &kept));
        }
        if expected != found {
            return Err(self.differing_results(&expected, &found));
        }
        if expected.is_ok() && number < digests.len() {
            return Err(self.missing_event(before, number));
        }
        if expected.is_ok() && self.first.values_known() != self.second.values_known() {
            let says = |known| if known { "known" } else { "unknown" };
            let detail = format!(
                "values are {} to the {} engine, {} to the {} one",
                says(self.first.values_known()),
                self.first.name(),
                says(self.second.values_known()),
                self.second.name()
            );
            return Err(self.fault(0, None, detail));
        }
        expected
    }

    /// False once a run has used words that nobody brought.
    pub(crate) fn values_known(&self) -> bool {
        self.first.values_known()
    }

    /// Event `number` of the first engine, which runs once more for it.
    fn again(mut first: A, number: usize) -> Option<Kept> {
        let (mut count, mut kept) = (0, None);
        // How it ends is known already.
        let _ = first.run_watched(&mut |event| {
            if count == number {
                kept = Some(Kept::of(number, event));
            }
            count += 1;
        });
        kept
    }

    fn differing_event(&self, before: A, second: &Kept) -> Fault {
        let (a, b) = (self.first.name(), self.second.name());
        let detail = match Self::again(before, second.number) {
            None => {
                format!("the {b} engine writes {}; the {a} engine writes nothing more", second.describe())
            }
            Some(first) if first.describe() != second.describe() => {
                format!("the {a} engine writes {}; the {b} engine {}", first.describe(), second.describe())
            }
            Some(first) => {
                let lanes = first.value.iter().zip(&second.value);
                let at = lanes.clone().position(|(a, b)| a != b).unwrap_or(0);
                let count = lanes.filter(|(a, b)| a != b).count();
                format!(
                    "{}: {count} lanes differ; lane {at} is {:#04x} to the {a} engine, {:#04x} to the {b} one",
                    first.describe(),
                    first.value.get(at).copied().unwrap_or(0),
                    second.value.get(at).copied().unwrap_or(0)
                )
            }
        };
        self.fault(second.cycle, Some(second), format!("write {}: {detail}", second.number))
    }

    fn missing_event(&self, before: A, number: usize) -> Fault {
        let (a, b) = (self.first.name(), self.second.name());
        let first = Self::again(before, number);
        let what = first.as_ref().map_or_else(String::new, Kept::describe);
        let detail =
            format!("write {number}: the {a} engine writes {what}; the {b} engine writes nothing more");
        self.fault(first.as_ref().map_or(0, |kept| kept.cycle), first.as_ref(), detail)
    }

    fn differing_results(&self, first: &Result<Report, Fault>, second: &Result<Report, Fault>) -> Fault {
        let says = |result: &Result<Report, Fault>| match result {
            Ok(report) => format!("{} cycles, {:?}", report.cycles, report.dispatched),
            Err(fault) => format!("the fault {:?}: {fault}", fault.kind),
        };
        let detail = format!(
            "the {} engine finds {}\n  and the {} engine {}",
            self.first.name(),
            says(first),
            self.second.name(),
            says(second)
        );
        // At the fault that one of them has; a difference of reports has no place.
        match (first, second) {
            (Err(fault), _) | (Ok(_), Err(fault)) => {
                Fault { kind: FaultKind::EnginesDiffer, detail, ..fault.clone() }
            }
            (Ok(report), Ok(_)) => self.fault(report.cycles, None, detail),
        }
    }

    /// A difference, at an event if there is one.
    fn fault(&self, cycle: u64, event: Option<&Kept>, detail: String) -> Fault {
        let queues = &self.program.queues;
        let queue =
            event.map_or_else(|| queues.keys().next().copied().unwrap_or(Queue::Vxm(0)), |event| event.queue);
        let runs = queues.get(&queue).map_or(&[][..], Vec::as_slice);
        let covers = |run: &&Run| run.cycle <= cycle && cycle <= run.last_cycle();
        let run = runs.iter().find(covers).or(runs.first());
        let mut instruction = run.map_or(Instruction::Mxm(Mxm::Iw), |run| run.instruction);
        if let (Instruction::Mem(Mem::Write { address, .. }), Some(event)) = (&mut instruction, event) {
            *address = event.word;
        }
        let node = event.map_or(0, |event| event.node) as usize;
        Fault {
            kind: FaultKind::EnginesDiffer,
            cycle,
            place: Place { queue, bank: None },
            instruction,
            dispatched: cycle,
            node: self.nodes.get(node).cloned().unwrap_or_default(),
            detail,
        }
    }
}

impl<A: Words, B: Words> Words for Tandem<A, B> {
    fn write_word(&mut self, slice: usize, word: u32, value: &[u8]) {
        self.first.write_word(slice, word, value);
        self.second.write_word(slice, word, value);
    }

    fn read_word(&self, slice: usize, word: u32, value: &mut [u8]) -> bool {
        self.first.read_word(slice, word, value)
    }
}

#[cfg(test)]
mod tests;

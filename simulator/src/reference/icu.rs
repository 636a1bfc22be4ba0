//! The instruction queues: each unrolls its runs and says what leaves in this cycle.

use isa::instruction::{Instruction, Mem, Mxm, Sxm};
use isa::program::{MAX_REPEATS, Repeat, Run};
use isa::{Chip, ChipProgram, Queue};

use super::text::QueueText;
use crate::fault::{Dispatch, FaultKind, Raised};
use crate::stream::Registers;

/// All queues of a chip, lowest first.
pub(crate) struct Icu<'p> {
    queues: Vec<Unroll<'p>>,
    /// The first cycle in which a queue would have to dispatch twice, or go back in time.
    disorder: Option<Raised>,
}

impl<'p> Icu<'p> {
    /// Queues at their first instructions.
    pub(crate) fn new(chip: &Chip, program: &'p ChipProgram) -> Icu<'p> {
        let unroll = |(&queue, runs): (&Queue, &'p Vec<Run>)| {
            let pages = program.text.get(&queue).map_or(&[][..], Vec::as_slice);
            Unroll { text: QueueText::new(chip, queue, runs, pages), ..Unroll::new(queue, runs) }
        };
        let queues = program.queues.iter().map(unroll).collect();
        let disorder =
            program.queues.iter().filter_map(|(queue, runs)| disorder(*queue, runs)).min_by_key(Raised::key);
        Icu { queues, disorder }
    }

    /// The cycle of the next dispatch, of a disorder, or in which text is waited for, whichever comes first; none when all queues have run dry.
    pub(crate) fn next_cycle(&self) -> Option<u64> {
        let disorder = self.disorder.iter().map(|fault| fault.cycle);
        let texts = self.queues.iter().filter_map(|queue| queue.text.as_ref()?.next_cycle());
        self.queues.iter().filter_map(|queue| queue.next).chain(disorder).chain(texts).min()
    }

    /// What leaves the queues in `cycle`, lowest queue first.
    pub(crate) fn dispatch(&mut self, cycle: u64, leaving: &mut Vec<Dispatch>, faults: &mut Vec<Raised>) {
        faults.extend(self.disorder.take_if(|fault| fault.cycle <= cycle));
        for queue in &mut self.queues {
            if let Some(text) = &mut queue.text {
                text.begin(cycle, queue.queue, queue.runs.first(), faults);
            }
            if queue.next != Some(cycle) {
                continue;
            }
            let (dispatch, left) = (queue.instruction(), queue.runs.len());
            queue.advance();
            match dispatch {
                Ok(dispatch) => {
                    if let Some(text) = &mut queue.text {
                        text.left(&dispatch, queue.runs.len() < left);
                    }
                    leaving.push(dispatch);
                }
                Err(fault) => faults.push(fault),
            }
        }
    }

    /// The second half of a cycle: Ifetches take what passes.
    pub(crate) fn take_text(&mut self, cycle: u64, registers: &Registers, faults: &mut Vec<Raised>) {
        for text in self.queues.iter_mut().filter_map(|queue| queue.text.as_mut()) {
            text.take(cycle, registers, faults);
        }
    }
}

/// One queue's place in its runs.
struct Unroll<'p> {
    queue: Queue,
    runs: &'p [Run],
    /// Cycle of the next dispatch.
    next: Option<u64>,
    /// How often each level of the current run has repeated.
    counters: [u32; MAX_REPEATS],
    /// Where the queue fetches some of its text.
    text: Option<QueueText>,
}

impl<'p> Unroll<'p> {
    fn new(queue: Queue, runs: &'p [Run]) -> Unroll<'p> {
        Unroll {
            queue,
            runs,
            next: runs.first().map(|run| run.cycle),
            counters: [0; MAX_REPEATS],
            text: None,
        }
    }

    /// The instruction at the head, stepped.
    fn instruction(&self) -> Result<Dispatch, Raised> {
        let run = &self.runs[0];
        let total = |step: fn(&Repeat) -> i32| -> i64 {
            run.repeats
                .iter()
                .zip(self.counters)
                .map(|(repeat, times)| i64::from(step(repeat)) * i64::from(times))
                .sum()
        };
        let mut dispatch = Dispatch {
            cycle: self.next.unwrap_or(run.cycle),
            queue: self.queue,
            instruction: run.instruction,
            node: run.node,
        };
        match step(run.instruction, total(|repeat| repeat.step), total(|repeat| repeat.window_step)) {
            Some(instruction) => {
                dispatch.instruction = instruction;
                Ok(dispatch)
            }
            None => Err(dispatch.steps_lead_out()),
        }
    }

    /// Goes on to the next instruction: the innermost level that has repeats left takes one, those within it start again.
    fn advance(&mut self) {
        let run = &self.runs[0];
        for level in (0..run.repeats.len()).rev() {
            self.counters[level] += 1;
            if self.counters[level] < run.repeats[level].count {
                let offset: u64 = run
                    .repeats
                    .iter()
                    .zip(self.counters)
                    .map(|(r, times)| u64::from(r.interval) * u64::from(times))
                    .sum();
                self.next = Some(run.cycle + offset);
                return;
            }
            self.counters[level] = 0;
        }
        self.runs = &self.runs[1..];
        self.next = self.runs.first().map(|run| run.cycle);
    }
}

/// Moves an instruction's main operand on; none when it would leave its range of values.
pub(crate) fn step(mut instruction: Instruction, by: i64, window_by: i64) -> Option<Instruction> {
    match &mut instruction {
        Instruction::Mem(Mem::Read { address, .. } | Mem::Write { address, .. }) => {
            *address = u32::try_from(i64::from(*address) + by).ok()?;
        }
        Instruction::Mem(Mem::Gather { window, .. } | Mem::Scatter { window, .. }) => {
            window.base = u32::try_from(i64::from(window.base) + by).ok()?;
            window.first = i32::try_from(i64::from(window.first) + window_by).ok()?;
        }
        Instruction::Mxm(Mxm::Lw { row, .. }) => *row = u16::try_from(i64::from(*row) + by).ok()?,
        Instruction::Mxm(Mxm::Acc { address, .. }) => {
            *address = u16::try_from(i64::from(*address) + by).ok()?
        }
        Instruction::Sxm(Sxm::Shift { lanes, .. }) => *lanes = i16::try_from(i64::from(*lanes) + by).ok()?,
        Instruction::Sxm(
            Sxm::Permute { map, .. } | Sxm::Select { map, .. } | Sxm::Distribute { map, .. },
        ) => {
            *map = u16::try_from(i64::from(*map) + by).ok()?;
        }
        Instruction::Icu(_)
        | Instruction::Vxm(_)
        | Instruction::Mxm(Mxm::Iw | Mxm::Abc { .. })
        | Instruction::Sxm(Sxm::Rotate { .. } | Sxm::Transpose { .. })
        | Instruction::C2c(_) => {}
    }
    Some(instruction)
}

/// The first cycle in which a queue's dispatch cycles fail to increase: within a run, where a repeat's body takes as long as its interval; or
/// from one run to the next.
pub(crate) fn disorder(queue: Queue, runs: &[Run]) -> Option<Raised> {
    let mut first: Option<Raised> = None;
    let mut found = |run: &Run, cycle: u64, detail: String| {
        let by = Dispatch { cycle: run.cycle, queue, instruction: run.instruction, node: run.node };
        let fault = by.fault_in(cycle, FaultKind::QueueOrder, detail);
        if first.as_ref().is_none_or(|other| fault.cycle < other.cycle) {
            first = Some(fault);
        }
    };
    let mut previous: Option<u64> = None;
    for run in runs {
        if let Some(last) = previous.filter(|last| *last >= run.cycle) {
            found(run, run.cycle, format!("the run before it ends in cycle {last}"));
        }
        let mut body = 0;
        for repeat in run.repeats.iter().rev() {
            if repeat.count > 1 && u64::from(repeat.interval) <= body {
                let detail =
                    format!("a body of {} cycles repeats every {} cycles", body + 1, repeat.interval);
                found(run, run.cycle + u64::from(repeat.interval), detail);
            }
            if repeat.count > 1 && repeat.interval == 0 {
                found(run, run.cycle, "a repeat with interval 0".to_owned());
            }
            body += u64::from(repeat.count.saturating_sub(1)) * u64::from(repeat.interval);
        }
        previous = Some(previous.unwrap_or(0).max(run.last_cycle()));
    }
    first
}

//! Random systems of two to four chips, sound and damaged: both ways to run them say the same.
//!
//! The systems are the same every time. `LPUC_AGREE_TIMES=n` tries n times as many; `LPUC_AGREE_ONLY=seed` runs one alone, and prints its
//! programs.
#![allow(clippy::print_stderr, reason = "for whoever asks for one case")]

mod support;
#[path = "support/system.rs"]
mod small;
#[path = "support/random/rng.rs"]
#[allow(dead_code, unreachable_pub, reason = "as in the rest of the support")]
mod random;

use std::collections::{BTreeMap, BTreeSet};

use isa::system::queue_of_port;
use isa::{Hemisphere, Instruction, Mem, Placed, Queue, Run, System, SystemProgram};
use random::Rng;
use simulator::{FaultKind, SystemFault, SystemReport};
use small::{LATENCY, RECEIVE, VECTOR, agreed, each, link, node};
use support::{Draft, East, West, e, w};

/// Systems to try.
const CASES: u64 = 4000;

/// Programs of a system in the making, in cycles of its clock.
struct Sketch {
    system: System,
    drafts: Vec<Draft>,
    starts: Vec<u64>,
    /// From when on a queue of a chip is free.
    free: BTreeMap<(usize, Queue), u64>,
}

/// A transfer of some vectors, in one run at either end or in two.
struct Transfer {
    from: usize,
    to: usize,
    side: Hemisphere,
    /// Stream and MEM slice, which it shares with no other.
    number: u8,
    count: u32,
    interval: u32,
    wait: u64,
    two_runs: bool,
}

impl Sketch {
    fn new(rng: &mut Rng) -> Sketch {
        let chips = rng.range(2..5) as usize;
        let starts = (0..chips).map(|_| if rng.chance(30) { 0 } else { rng.range(0..60) as u64 }).collect();
        let mut drafts = vec![Draft::default(); chips];
        let mut free = BTreeMap::new();
        for (chip, draft) in drafts.iter_mut().enumerate() {
            for port in 0..2 * (chips as u8 - 1) {
                draft.deskew(0, queue_of_port(port));
                free.insert((chip, queue_of_port(port)), 1);
            }
            for side in [East, West] {
                for slice in 0..4 {
                    draft.word(side, slice, 0, |lane| lane as u8);
                }
            }
        }
        Sketch { system: node(chips as u32), drafts, starts, free }
    }

    /// When two queues and what they did before allow a transfer to be sent and to be received; both are busy up to their last cycle then.
    fn send(&mut self, transfer: &Transfer) {
        let (from, to) = (transfer.from as u32, transfer.to as u32);
        let (out, into) = link(&self.system, from, to, transfer.side);
        let (slice, (outward, inward)) = (transfer.number % 4, streams(transfer));
        let read = Queue::MemRead(transfer.side, slice.into());
        // MEM slice i stands at 1 + i, C2C at 7.
        let passes = 5 + 6 - u64::from(slice);
        let free = |at: (usize, Queue)| self.free.get(&at).copied().unwrap_or(0);
        let first = [
            self.starts[transfer.from] + free((transfer.from, read)),
            (self.starts[transfer.from] + free((transfer.from, out))).saturating_sub(passes),
            (self.starts[transfer.to] + free((transfer.to, into)) + 1).saturating_sub(passes + LATENCY),
        ];
        let first = first.into_iter().max().unwrap_or(0);
        let span = u64::from(transfer.count - 1) * u64::from(transfer.interval);
        let at = |chip: usize, cycle: u64| cycle - self.starts[chip];
        let (reads, sends) = (at(transfer.from, first), at(transfer.from, first + passes));
        let receives = at(transfer.to, first + passes + LATENCY + transfer.wait);
        let word = Mem::Read { address: 0, stream: outward };
        add(&mut self.drafts[transfer.from], transfer, false, (reads, read, word.into()));
        let send = isa::C2c::Send { stream: outward };
        add(&mut self.drafts[transfer.from], transfer, false, (sends, out, send.into()));
        let receiver = &mut self.drafts[transfer.to];
        let receive = isa::C2c::Receive { stream: inward };
        add(receiver, transfer, transfer.two_runs, (receives, into, receive.into()));
        // To the nearest slice, and another bank than what is read.
        let write = Mem::Write { address: 64 + u32::from(transfer.number), stream: inward };
        let written = receives + RECEIVE + 6;
        if free((transfer.to, Queue::MemWrite(transfer.side, 0))) <= written {
            add(receiver, transfer, false, (written, Queue::MemWrite(transfer.side, 0), write.into()));
            self.free.insert((transfer.to, Queue::MemWrite(transfer.side, 0)), written + span + 1);
        }
        self.free.insert((transfer.from, read), reads + span + 1);
        self.free.insert((transfer.from, out), sends + span + VECTOR);
        self.free.insert((transfer.to, into), receives + span + 1);
    }

    fn program(&self) -> SystemProgram {
        let drafts: Vec<(&Draft, u64)> = self.drafts.iter().zip(self.starts.iter().copied()).collect();
        each(&drafts)
    }
}

fn streams(transfer: &Transfer) -> (isa::Stream, isa::Stream) {
    match transfer.side {
        East => (e(transfer.number), w(transfer.number)),
        West => (w(transfer.number), e(transfer.number)),
    }
}

/// Adds a run, or two that do the same.
fn add(draft: &mut Draft, transfer: &Transfer, two: bool, (cycle, queue, step): (u64, Queue, support::Step)) {
    let (count, interval) = (transfer.count, transfer.interval);
    let first = if two { count / 2 } else { 0 };
    for (begin, count) in [(0, first), (first, count - first)] {
        if count > 0 {
            let begins = cycle + u64::from(begin) * u64::from(interval);
            draft.repeat(begins, queue, support::Step(step.0), &[(count, interval, 0)]);
        }
    }
}

fn transfers(rng: &mut Rng, sketch: &mut Sketch) {
    for number in 0..rng.range(1..12) as u8 {
        let chips = sketch.drafts.len();
        let from = rng.below(chips);
        let to = (from + 1 + rng.below(chips - 1)) % chips;
        let count = rng.range(1..9) as u32;
        let interval = rng.range(VECTOR as i64..9) as u32;
        // As long as no more than three wait.
        let wait = if rng.chance(50) { 0 } else { rng.range(0..3 * i64::from(interval)) as u64 };
        let side = *rng.pick(&[East, West]);
        let two_runs = rng.chance(30);
        sketch.send(&Transfer { from, to, side, number, count, interval, wait, two_runs });
    }
}

/// Changes a run of a link, or its neighbourhood.
fn damage(rng: &mut Rng, program: &mut SystemProgram) {
    let chip = rng.below(program.program.chips.len());
    if rng.chance(10) {
        let placed: &mut Placed = &mut program.placed[chip];
        placed.start_cycle = placed.start_cycle.saturating_add_signed(rng.range(-30..60));
        return;
    }
    let queues = &mut program.program.chips[chip].queues;
    if rng.chance(10) {
        // Everything faster than a link takes it.
        let repeats = queues.values_mut().flatten().flat_map(|run| &mut run.repeats);
        return repeats.for_each(|repeat| repeat.interval = VECTOR as u32 - 1);
    }
    let is_link = |(queue, runs): &(&Queue, &Vec<Run>)| matches!(queue, Queue::C2c(..)) && !runs.is_empty();
    let links: Vec<Queue> = queues.iter().filter(is_link).map(|(queue, _)| *queue).collect();
    let Some(queue) = (!links.is_empty()).then(|| *rng.pick(&links)) else { return };
    let runs: &mut Vec<Run> = queues.entry(queue).or_default();
    let index = rng.below(runs.len());
    let run = &mut runs[index];
    match rng.below(6) {
        0 | 1 => run.cycle = run.cycle.saturating_add_signed(rng.range(-12..30)),
        2 => drop(runs.remove(index)),
        3 => run.repeats.iter_mut().for_each(|repeat| repeat.count += rng.range(0..3) as u32),
        4 => run.repeats.iter_mut().for_each(|repeat| repeat.interval = rng.range(1..12) as u32),
        _ => {
            if let Instruction::C2c(isa::C2c::Receive { stream } | isa::C2c::Send { stream }) =
                &mut run.instruction
            {
                stream.number = if rng.chance(20) { 33 } else { rng.range(0..12) as u8 };
                stream.direction = *rng.pick(&[isa::Direction::East, isa::Direction::West]);
            }
        }
    }
    if rng.chance(70) {
        runs.sort_by_key(|run| run.cycle);
    }
}

fn case(seed: u64) -> (System, SystemProgram, bool) {
    let mut rng = Rng::new(seed);
    let mut sketch = Sketch::new(&mut rng);
    transfers(&mut rng, &mut sketch);
    let mut program = sketch.program();
    let damaged = seed % 2 == 1;
    if damaged {
        (0..rng.range(1..3)).for_each(|_| damage(&mut rng, &mut program));
    }
    (sketch.system, program, damaged)
}

#[test]
fn both_ways_say_the_same() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let only = number("LPUC_AGREE_ONLY");
    let cases = CASES * number("LPUC_AGREE_TIMES").unwrap_or(1).max(1);
    let mut kinds: BTreeSet<FaultKind> = BTreeSet::new();
    let (mut sound, mut soundly_damaged) = (0, 0);
    for seed in only.map_or(0..cases, |seed| seed..seed + 1) {
        let (system, program, damaged) = case(seed);
        if only.is_some() {
            eprintln!("{}\n{:#?}", isa::asm::print(&program.program), program.placed);
        }
        let outcome: Result<SystemReport, SystemFault> =
            std::panic::catch_unwind(|| agreed(&system, &program)).unwrap_or_else(|_| panic!("case {seed}"));
        match outcome {
            Ok(_) if damaged => soundly_damaged += 1,
            Ok(_) => sound += 1,
            Err(fault) if !damaged && only.is_none() => panic!("case {seed} is not damaged: {fault}"),
            Err(fault) => {
                kinds.insert(fault.fault.kind);
            }
        }
    }
    if only.is_none() {
        assert_eq!(sound, cases / 2);
        assert!(soundly_damaged > cases / 50, "{soundly_damaged}");
        let links = [
            FaultKind::LinkBusy,
            FaultKind::NotDeskewed,
            FaultKind::NothingArrived,
            FaultKind::ReceiverFull,
            FaultKind::LeftOnLink,
            FaultKind::EmptySlot,
            FaultKind::StreamOutOfRange,
            FaultKind::QueueOrder,
        ];
        let missed: Vec<_> = links.iter().filter(|kind| !kinds.contains(kind)).collect();
        assert!(missed.is_empty(), "never met: {missed:?}");
    }
}

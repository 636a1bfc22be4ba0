//! From kernels to a schedule: a cycle, streams, ALUs, queues and addresses for every flow.
//!
//! List scheduling: flows in the order in which lowering made them, each at the earliest cycle at which its operands are there and nothing that
//! it needs is taken. Later flows fill the gaps that earlier ones leave. Ties go to the lowest number, so the schedule is a function of its input.

pub mod timeline;
mod planes;
pub mod reservation;
pub mod memory;
pub(crate) mod print;

use std::collections::BTreeMap;

use cranelift_entity::SecondaryMap;
use isa::Chip;

use crate::diagnostic::{Diagnostic, Kind};
use crate::lower::flow::{Act, Flow, FlowQueue, FlowRun, Kernels, WordRef, joined};
use crate::lower::storage::{Region, Role, Storage, StorageId, Storages};
use memory::{Bases, Full, Memory};
use planes::Planes;
use reservation::{Demand, Fit, Reservations, Spans};

/// Where and when everything is.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Place of each flow, in the kernels' order.
    pub fits: Vec<Fit>,
    /// Addresses.
    pub bases: Bases,
    /// Greatest number of bytes of activations at once.
    pub activation_bytes: u64,
    /// What is taken when.
    pub reservations: Reservations,
}

struct Scheduler<'a> {
    chip: &'a Chip,
    kernels: &'a Kernels,
    reservations: Reservations,
    memory: Memory,
    /// When each vector of an array can be read; never for those that are not written yet.
    available: SecondaryMap<StorageId, Vec<i64>>,
    planes: Planes,
    /// From when on an array has its words to itself.
    free_from: SecondaryMap<StorageId, i64>,
    /// Flows that still read or write an array.
    pending: SecondaryMap<StorageId, u32>,
    last_use: SecondaryMap<StorageId, i64>,
    /// Arrays of the same slices that a flow reads while it writes the other.
    apart: SecondaryMap<StorageId, Vec<StorageId>>,
}

/// What is wrong where weights and states fit, but not the rest: another layout may have the room.
pub const NO_ROOM: &str = "no-room";

/// Schedules all flows.
pub fn solve(kernels: &Kernels, chip: &Chip) -> Result<Schedule, Diagnostic> {
    solve_delayed(kernels, chip, &mut |_| 0)
}

/// As [`solve`], but each flow, by its number, starts that many cycles (none negative) after it could at the earliest. For tests: what it
/// gives is as legal as any other schedule.
pub fn solve_delayed(
    kernels: &Kernels,
    chip: &Chip,
    delay: &mut dyn FnMut(usize) -> i64,
) -> Result<Schedule, Diagnostic> {
    let mut scheduler = Scheduler {
        chip,
        kernels,
        reservations: Reservations::new(chip, &kernels.storages.plan),
        memory: Memory::new(chip),
        available: SecondaryMap::new(),
        planes: Planes::new(chip),
        free_from: SecondaryMap::new(),
        pending: SecondaryMap::new(),
        last_use: SecondaryMap::new(),
        apart: apart(kernels),
    };
    scheduler.place_static().map_err(|full| does_not_fit(kernels, chip, &full))?;
    scheduler.memory.close(&kernels.storages);
    for flow in &kernels.flows {
        for storage in used(flow) {
            scheduler.pending[storage] += 1;
        }
    }
    let mut fits = Vec::with_capacity(kernels.flows.len());
    for (number, flow) in kernels.flows.iter().enumerate() {
        fits.push(scheduler.place(flow, delay(number))?);
    }
    let activation_bytes = scheduler.memory.peak_bytes();
    let bases = scheduler.memory.bases().clone();
    Ok(Schedule { fits, bases, activation_bytes, reservations: scheduler.reservations })
}

impl Scheduler<'_> {
    /// Addresses of all that is there before the program starts or stays after it ends.
    fn place_static(&mut self) -> Result<(), Full> {
        let storages = &self.kernels.storages;
        let stays = |array: &Storage| !matches!(array.role, Role::Temporary | Role::Output(_));
        let mut arrays: Vec<(StorageId, &Storage)> =
            storages.arrays.iter().filter(|(_, array)| stays(array)).collect();
        for &(id, array) in &arrays {
            self.available[id] = vec![0; array.vectors() as usize];
        }
        let in_best_banks: Result<(), Full> =
            arrays.iter().try_for_each(|&(id, _)| self.memory.allocate(storages, id, 0, &[]).map(|_| ()));
        if in_best_banks.is_ok() {
            return Ok(());
        }
        // Banks in turns leave holes. Without them, and with what lies in most slices first, there are none.
        self.memory = Memory::new(self.chip);
        self.memory.set_dense(true);
        let slices = |region| storages.plan.slices(region).len();
        arrays
            .sort_by_key(|(_, array)| (!array.region().is_wide(), std::cmp::Reverse(slices(array.region()))));
        for (id, _) in arrays {
            self.memory.allocate(storages, id, 0, &[])?;
        }
        self.memory.set_dense(false);
        Ok(())
    }

    fn place(&mut self, flow: &Flow, delay: i64) -> Result<Fit, Diagnostic> {
        let begins = flow.runs.iter().map(|run| run.cycle).chain(flow.links.iter().map(|&(_, from, _)| from));
        let mut earliest = begins.map(|cycle| -cycle).max().unwrap_or(0);
        for read in &flow.reads {
            match self.available[read.storage].get(read.vector as usize) {
                Some(&cycle) if cycle < i64::MAX => earliest = earliest.max(cycle - read.cycle),
                _ => return Err(self.bug(flow, "reads a vector that nothing wrote before it")),
            }
        }
        earliest = earliest.max(flow.mxm.map_or(0, |conveyor| self.planes.earliest(conveyor))) + delay;
        for write in first_writes(flow) {
            if !self.memory.has(write.0) {
                let apart = self.banks_apart(write.0);
                let from = self.memory.allocate(&self.kernels.storages, write.0, earliest + write.1, &apart);
                self.free_from[write.0] =
                    from.map_err(|full| does_not_fit(self.kernels, self.chip, &full))?;
            }
            // Every flow that writes it waits until others have left its words.
            earliest = earliest.max(self.free_from[write.0] - write.1);
        }
        let demand = self.demand(flow)?;
        let Some(fit) = self.reservations.fit(&demand, earliest) else {
            return Err(self.bug(flow, "needs more ALUs, queues or streams than the chip has"));
        };
        self.reservations.take(&demand, &fit);
        self.commit(flow, fit.start);
        Ok(fit)
    }

    /// Banks that an array had better not be in: those of arrays that some flow reads while it writes this one, or writes while it reads it.
    fn banks_apart(&self, storage: StorageId) -> Vec<(Region, u32)> {
        let mut banks = std::collections::BTreeSet::new();
        for &other in &self.apart[storage] {
            for (region, words) in self.kernels.storages.arrays[other].regions() {
                if let Some(base) = self.memory.bases().base(other, region) {
                    let bank = self.chip.mem.words_per_bank;
                    banks.extend((base / bank..=(base + words - 1) / bank).map(|bank| (region, bank)));
                }
            }
        }
        banks.into_iter().collect()
    }

    fn commit(&mut self, flow: &Flow, start: i64) {
        let latency = &self.chip.latency;
        if let Some(conveyor) = flow.mxm {
            self.planes.commit(conveyor, start);
        }
        for write in &flow.writes {
            let vectors = self.kernels.storages.arrays[write.storage].vectors() as usize;
            let times = &mut self.available[write.storage];
            times.resize(vectors, i64::MAX);
            let readable = start + write.cycle + i64::from(latency.write);
            let time = &mut times[write.vector as usize];
            *time = if *time == i64::MAX { readable } else { readable.max(*time) };
            self.last_use[write.storage] = self.last_use[write.storage].max(readable);
        }
        for read in &flow.reads {
            // Slices nearer than the first one read up to a hemisphere's width later.
            let end = start + read.cycle + i64::from(self.chip.mem.slices_per_hemisphere) + 1;
            self.last_use[read.storage] = self.last_use[read.storage].max(end);
        }
        for storage in used(flow) {
            self.pending[storage] -= 1;
            if self.pending[storage] == 0 && self.kernels.storages.arrays[storage].role == Role::Temporary {
                let from = self.last_use[storage];
                self.memory.release(&self.kernels.storages, storage, from);
            }
        }
    }

    fn demand(&self, flow: &Flow) -> Result<Demand, Diagnostic> {
        let mut queues: BTreeMap<isa::Queue, Spans> = BTreeMap::new();
        // Per bank: reads and writes.
        let mut banks: BTreeMap<reservation::Bank, [Spans; 2]> = BTreeMap::new();
        for run in &flow.runs {
            let FlowQueue::Fixed(queue) = run.queue else { continue };
            if let isa::Queue::C2c(..) = queue {
                continue;
            }
            let spans = run.busy(LEAST_GAP);
            if let Some(word) = memory_word(&run.act) {
                let (first, last) = self.addresses(flow, run, word)?;
                let bank = |address: u32| (address / self.chip.mem.words_per_bank) as u8;
                let port = usize::from(matches!(run.act, Act::Write(..) | Act::Scatter(..)));
                for bank in bank(first)..=bank(last) {
                    banks.entry((word.hemisphere, word.slice, bank)).or_default()[port].extend(&spans);
                }
            }
            queues.entry(queue).or_default().extend(spans);
        }
        for &(queue, from, to) in &flow.links {
            queues.entry(queue).or_default().push((from, to));
        }
        let mut both = Vec::new();
        for (bank, [reads, writes]) in banks {
            let (reads, writes) = (joined(reads, LEAST_GAP), joined(writes, LEAST_GAP));
            if reads.iter().any(|read| writes.iter().any(|write| read.0.max(write.0) < read.1.min(write.1))) {
                return Err(self.bug(flow, "reads and writes one bank at the same time"));
            }
            both.push((bank, joined([reads, writes].concat(), LEAST_GAP)));
        }
        Ok(Demand {
            queues: queues.into_iter().map(|(queue, spans)| (queue, joined(spans, LEAST_GAP))).collect(),
            banks: both,
            alus: flow.alus.clone(),
            sxm: flow.sxm.clone(),
            streams: flow.streams.clone(),
        })
    }

    /// First and last address that a run touches.
    fn addresses(&self, flow: &Flow, run: &FlowRun, word: WordRef) -> Result<(u32, u32), Diagnostic> {
        let base =
            self.memory.bases().in_slice(&self.kernels.storages, word.storage, word.hemisphere, word.slice);
        let Some(base) = base else { return Err(self.bug(flow, "uses an array that has no address")) };
        let window = match run.act {
            Act::Gather(_, _, count, ..) | Act::Scatter(_, _, count, ..) => i64::from(count) - 1,
            _ => 0,
        };
        let steps = run.repeats.iter().map(|repeat| i64::from(repeat.step) * i64::from(repeat.count - 1));
        let (down, up) = steps.fold((0, window), |(down, up), step| (down + step.min(0), up + step.max(0)));
        let at = i64::from(base) + i64::from(word.word);
        Ok(((at + down) as u32, (at + up) as u32))
    }

    fn bug(&self, flow: &Flow, what: &str) -> Diagnostic {
        Diagnostic::new(Kind::Bug, "schedule", format!("flow {} of {} {what}", flow.name, flow.node))
    }
}

/// Cycles between dispatches that others may use; shorter pauses of a run are not worth the looking.
const LEAST_GAP: i64 = 8;

/// The word that a memory instruction names.
pub fn memory_word(act: &Act) -> Option<WordRef> {
    match act {
        Act::Read(word, _) | Act::Write(word, _) | Act::Gather(word, ..) | Act::Scatter(word, ..) => {
            Some(*word)
        }
        _ => None,
    }
}

/// Arrays that a flow reads or writes, each once.
fn used(flow: &Flow) -> Vec<StorageId> {
    let mut used: Vec<StorageId> =
        flow.reads.iter().chain(&flow.writes).map(|access| access.storage).collect();
    used.sort();
    used.dedup();
    used
}

/// For each array, those in the same slices that some flow reads while it writes this one, or the other way round.
fn apart(kernels: &Kernels) -> SecondaryMap<StorageId, Vec<StorageId>> {
    let regions: SecondaryMap<StorageId, Vec<Region>> = {
        let mut regions: SecondaryMap<StorageId, Vec<Region>> = SecondaryMap::new();
        for (id, array) in kernels.storages.arrays.iter() {
            let groups = matches!(array.region(), Region::Group(..));
            let most = if groups { usize::MAX } else { 1 };
            regions[id] = array.regions().into_iter().take(most).map(|(region, _)| region).collect();
        }
        regions
    };
    let meet = |one: StorageId, other: StorageId| regions[one].iter().any(|r| regions[other].contains(r));
    let mut pairs = std::collections::BTreeSet::new();
    for flow in &kernels.flows {
        let written: std::collections::BTreeSet<StorageId> =
            flow.writes.iter().map(|write| write.storage).collect();
        for &write in &written {
            for read in used(flow) {
                if read != write && meet(read, write) {
                    pairs.extend([(read, write), (write, read)]);
                }
            }
        }
    }
    let mut apart: SecondaryMap<StorageId, Vec<StorageId>> = SecondaryMap::new();
    pairs.into_iter().for_each(|(one, other)| apart[one].push(other));
    apart
}

/// The first write to each array, as a relative cycle that is surely not later.
fn first_writes(flow: &Flow) -> Vec<(StorageId, i64)> {
    let mut first: BTreeMap<StorageId, i64> = BTreeMap::new();
    for run in &flow.runs {
        if let Act::Write(word, _) | Act::Scatter(word, ..) = run.act {
            let cycle = first.entry(word.storage).or_insert(run.cycle);
            *cycle = (*cycle).min(run.cycle);
        }
    }
    first.into_iter().collect()
}

/// Bytes by kind: constants, states, all else that stays.
pub fn static_bytes(storages: &Storages, chip: &Chip) -> (u64, u64, u64) {
    let mut bytes = (0, 0, 0);
    for array in storages.arrays.values() {
        let size = array.bytes(chip, &storages.plan);
        match array.role {
            Role::Constant | Role::Mask { .. } => bytes.0 += size,
            Role::State(..) => bytes.1 += size,
            Role::Input(_) | Role::Output(_) => bytes.2 += size,
            Role::Temporary => {}
        }
    }
    bytes
}

fn does_not_fit(kernels: &Kernels, chip: &Chip, full: &Full) -> Diagnostic {
    let (weights, states, ports) = static_bytes(&kernels.storages, chip);
    let (needed, capacity) = (weights + states + ports, chip.sram_bytes());
    let slices = kernels.storages.plan.slices(full.region).len();
    let array = &kernels.storages.arrays[full.storage];
    let message = if needed > capacity {
        format!("the model does not fit one {} chip: over by {} bytes", chip.name, needed - capacity)
    } else {
        format!(
            "the model does not fit one {} chip as it is laid out: no room for {} more words in {slices} slices, for {} rows of {} ({})",
            chip.name,
            full.words,
            array.batches * array.rows,
            array.columns,
            array.node
        )
    };
    let chips = needed.div_ceil(capacity.max(1));
    let code = match array.role {
        Role::Constant | Role::Mask { .. } | Role::State(..) => "does-not-fit",
        Role::Input(_) | Role::Output(_) | Role::Temporary => NO_ROOM,
    };
    Diagnostic::new(Kind::Unsupported, code, message)
        .note(format!("weights       {weights:>14} bytes, as they lie in SRAM"))
        .note(format!("KV cache      {states:>14} bytes"))
        .note(format!("inputs/outputs{ports:>14} bytes"))
        .note(format!("together      {needed:>14} bytes (instructions and temporaries come on top)"))
        .note(format!("SRAM          {capacity:>14} bytes on a chip"))
        .note(format!("what would make it fit: at least {} chips (chains are not supported yet), fewer bits per weight (--precision fp16), or a shorter --context", chips.max(2)))
}

//! What of a chip is free, and when: a little model that accepts a run only if the program stays legal with it.
//!
//! Runs come in any order of time. What the MXM planes need beyond streams is kept by [`super::products`].

use std::collections::{BTreeMap, BTreeSet};

use isa::instruction::{Operand, Vxm, Window};
use isa::program::ZERO_LANE;
use isa::stream::Direction;
use isa::{Chip, ChipProgram, Hemisphere, Instruction, Mem, Mxm, Queue, Run, Slice, Stream, Sxm};

/// A word of a slice.
pub type Word = (Hemisphere, u16, u32);

/// A chip, the program so far, and what it uses.
pub struct Board {
    pub chip: Chip,
    pub program: ChipProgram,
    slots: BTreeMap<(Direction, u8, i64), Slot>,
    words: BTreeMap<Word, Uses>,
    /// Banks that a slice reads or writes, by cycle.
    banks: BTreeSet<(Hemisphere, u16, u64, bool, u32)>,
    alus: BTreeSet<(u8, u64)>,
}

/// Who puts on a slot and who takes from it: distances along the stream's direction.
#[derive(Clone, Default)]
struct Slot {
    /// With whether a gather does it, which comes after any other.
    puts: Vec<(i64, bool)>,
    takes: Vec<i64>,
    /// Something relies on there being no other value.
    sealed: bool,
}

impl Slot {
    /// Is no value lost? All but gathers must find taken what was put before them.
    fn is_legal(&self) -> bool {
        let mut puts = self.puts.clone();
        puts.sort_unstable();
        puts.windows(2)
            .all(|pair| pair[1].1 || self.takes.iter().any(|take| (pair[0].0..pair[1].0).contains(take)))
    }

    fn allows_put(&self, way: i64, gather: bool) -> bool {
        let mut with = self.clone();
        with.puts.push((way, gather));
        !self.sealed && with.is_legal()
    }
}

#[derive(Default)]
struct Uses {
    /// Holds something from the start.
    initial: bool,
    /// Something relies on its never being written.
    constant: bool,
    reads: Vec<u64>,
    writes: Vec<u64>,
    /// Writes that depend on an index.
    perhaps: Vec<u64>,
}

/// What an instruction does, as far as others notice.
enum Effect {
    Take {
        stream: Stream,
        count: usize,
        position: i32,
        cycle: u64,
    },
    Put {
        stream: Stream,
        count: usize,
        position: i32,
        cycle: u64,
        gather: bool,
    },
    Read {
        word: Word,
        cycle: u64,
    },
    /// A read of a word whose presence is known from elsewhere.
    Trust {
        word: Word,
        cycle: u64,
    },
    Write {
        word: Word,
        cycle: u64,
        sure: bool,
    },
    Bank {
        hemisphere: Hemisphere,
        slice: u16,
        cycle: u64,
        read: bool,
        bank: u32,
    },
    Dispatch {
        alu: u8,
        cycle: u64,
    },
    Forward {
        alu: u8,
        cycle: u64,
    },
}

/// The dispatches of a run, stepped; none if a step leads out of range.
pub fn elements(run: &Run) -> Option<Vec<(u64, Instruction)>> {
    let mut all = vec![(run.cycle, 0i64, 0i64)];
    for repeat in &run.repeats {
        all = all
            .into_iter()
            .flat_map(|(cycle, step, window)| {
                (0..i64::from(repeat.count)).map(move |i| {
                    (
                        cycle + u64::from(repeat.interval) * i as u64,
                        step + i64::from(repeat.step) * i,
                        window + i64::from(repeat.window_step) * i,
                    )
                })
            })
            .collect();
    }
    all.into_iter().map(|(cycle, by, window)| Some((cycle, stepped(run.instruction, by, window)?))).collect()
}

/// The instruction with its main operand moved on.
pub fn stepped(mut instruction: Instruction, by: i64, window_by: i64) -> Option<Instruction> {
    match &mut instruction {
        Instruction::Mem(Mem::Read { address, .. } | Mem::Write { address, .. }) => {
            *address = u32::try_from(i64::from(*address) + by).ok()?;
        }
        Instruction::Mem(Mem::Gather { window, .. } | Mem::Scatter { window, .. }) => {
            window.base = u32::try_from(i64::from(window.base) + by).ok()?;
            window.first = i32::try_from(i64::from(window.first) + window_by).ok()?;
        }
        Instruction::Mxm(Mxm::Lw { row: n, .. } | Mxm::Acc { address: n, .. })
        | Instruction::Sxm(
            Sxm::Permute { map: n, .. } | Sxm::Select { map: n, .. } | Sxm::Distribute { map: n, .. },
        ) => *n = u16::try_from(i64::from(*n) + by).ok()?,
        Instruction::Sxm(Sxm::Shift { lanes, .. }) => *lanes = i16::try_from(i64::from(*lanes) + by).ok()?,
        _ => {}
    }
    Some(instruction)
}

/// The words of a window.
pub fn window_words(window: Window) -> impl Iterator<Item = u64> {
    (0..u64::from(window.count.max(1))).map(move |i| u64::from(window.base) + i * u64::from(window.stride))
}

impl Board {
    pub fn new(chip: &Chip) -> Board {
        Board {
            chip: chip.clone(),
            program: ChipProgram::default(),
            slots: BTreeMap::new(),
            words: BTreeMap::new(),
            banks: BTreeSet::new(),
            alus: BTreeSet::new(),
        }
    }

    /// A word holds something from the start.
    pub fn hold(&mut self, word: Word) {
        self.words.entry(word).or_default().initial = true;
    }

    /// Adds the run if the program stays legal.
    pub fn add(&mut self, queue: Queue, run: &Run) -> bool {
        let accepted = self.accepts(queue, run, false);
        if accepted {
            self.put(queue, run);
        }
        accepted
    }

    /// As [`Board::add`], for a gather whose indices are known to name words that are there.
    pub fn add_trusted(&mut self, queue: Queue, run: &Run) -> bool {
        let accepted = self.accepts(queue, run, true);
        if accepted {
            self.put(queue, run);
        }
        accepted
    }

    /// Does the program stay legal with this run?
    pub fn accepts(&self, queue: Queue, run: &Run, trusted: bool) -> bool {
        let Some(elements) = elements(run) else { return false };
        if !elements.windows(2).all(|pair| pair[0].0 < pair[1].0) || !self.is_idle(queue, run) {
            return false;
        }
        let own: Vec<u64> = elements.iter().map(|(cycle, _)| *cycle).collect();
        elements.iter().all(|(cycle, instruction)| {
            self.effects(queue, instruction, *cycle, trusted)
                .is_some_and(|effects| effects.iter().all(|effect| self.allows(queue, effect, &own)))
        })
    }

    /// Puts a run that was accepted into its queue.
    pub fn put(&mut self, queue: Queue, run: &Run) {
        for (cycle, instruction) in elements(run).unwrap_or_default() {
            for effect in self.effects(queue, &instruction, cycle, false).unwrap_or_default() {
                self.apply(effect);
            }
        }
        let runs = self.program.queues.entry(queue).or_default();
        let place = runs.partition_point(|other| other.cycle < run.cycle);
        runs.insert(place, run.clone());
    }

    /// Does nothing ever write the words that a run reads, now or in the pieces to come? Then they are kept so.
    pub fn is_constant(&mut self, queue: Queue, run: &Run) -> bool {
        let Slice::Mem(hemisphere, slice) = queue.slice() else { return false };
        let words: Vec<u32> = elements(run)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(_, instruction)| match instruction {
                Instruction::Mem(Mem::Read { address, .. }) => Some(address),
                _ => None,
            })
            .collect();
        let untouched = words.iter().all(|word| {
            self.words
                .get(&(hemisphere, slice, *word))
                .is_some_and(|uses| uses.writes.is_empty() && uses.perhaps.is_empty())
        });
        if untouched {
            for word in words {
                self.words.entry((hemisphere, slice, word)).or_default().constant = true;
            }
        }
        untouched
    }

    /// Have the slots of a group of four that is at `position` in these cycles one value each? Then there will be no other.
    pub fn seal(&mut self, stream: Stream, position: i32, run: &Run) -> bool {
        elements(run).unwrap_or_default().into_iter().all(|(cycle, _)| {
            keys(stream, 4, position, cycle).all(|key| {
                let slot = self.slots.entry(key).or_default();
                slot.sealed = matches!(slot.puts[..], [(_, false)]);
                slot.sealed
            })
        })
    }

    /// What a run of this instruction takes first: groups of streams, where.
    pub fn takes(&self, queue: Queue, run: &Run) -> Vec<(Stream, usize, i32)> {
        let effects = self.effects(queue, &run.instruction, run.cycle, true).unwrap_or_default();
        let take = |effect: &Effect| match *effect {
            Effect::Take { stream, count, position, .. } => Some((stream, count, position)),
            _ => None,
        };
        effects.iter().filter_map(take).collect()
    }

    /// How often a value is replaced: by whatever is not a gather, and by gathers.
    pub fn replaced(&self) -> (usize, usize) {
        let (mut plain, mut gathers) = (0, 0);
        for slot in self.slots.values() {
            let mut puts = slot.puts.clone();
            puts.sort_unstable();
            for pair in puts.windows(2) {
                let taken = slot.takes.iter().any(|take| (pair[0].0..pair[1].0).contains(take));
                match pair[1].1 {
                    true if taken => gathers += 1,
                    true => {}
                    false => plain += 1,
                }
            }
        }
        (plain, gathers)
    }

    fn is_idle(&self, queue: Queue, run: &Run) -> bool {
        let runs = self.program.queues.get(&queue).map_or(&[][..], Vec::as_slice);
        runs.iter().all(|other| other.last_cycle() < run.cycle || run.last_cycle() < other.cycle)
    }

    /// The effects of an instruction; none if it is malformed.
    fn effects(
        &self,
        queue: Queue,
        instruction: &Instruction,
        cycle: u64,
        trusted: bool,
    ) -> Option<Vec<Effect>> {
        let position = queue.slice().position(&self.chip);
        match (*instruction, queue.slice()) {
            (Instruction::Mem(mem), Slice::Mem(hemisphere, slice)) => {
                self.mem(mem, hemisphere, slice, position, cycle, trusted)
            }
            (Instruction::Vxm(vxm), _) => {
                let Queue::Vxm(alu) = queue else { return None };
                self.vxm(&vxm, alu, cycle)
            }
            (Instruction::Sxm(sxm), _) => self.sxm(sxm, position, cycle),
            (Instruction::Mxm(mxm), _) => {
                let take = |stream, count, align| {
                    self.group(stream, count, align)?;
                    Some(vec![Effect::Take { stream, count, position, cycle }])
                };
                match mxm {
                    Mxm::Lw { stream, count, format, .. } => {
                        let width = usize::from(format.streams());
                        take(stream, usize::from(count) * width, width)
                    }
                    Mxm::Abc { stream, format } => {
                        let width = usize::from(format.streams());
                        take(stream, width, width)
                    }
                    Mxm::Acc { emit: Some(stream), .. } => {
                        self.group(stream, 4, 4)?;
                        let cycle = cycle + u64::from(self.chip.latency.accumulate);
                        Some(vec![Effect::Put { stream, count: 4, position, cycle, gather: false }])
                    }
                    Mxm::Acc { emit: None, .. } | Mxm::Iw => Some(Vec::new()),
                }
            }
            _ => None,
        }
    }

    /// Are these streams there, and is the first a multiple of `align`?
    pub fn group(&self, stream: Stream, count: usize, align: usize) -> Option<()> {
        let first = usize::from(stream.number);
        (first % align == 0 && first + count <= usize::from(self.chip.streams)).then_some(())
    }

    fn mem(
        &self,
        mem: Mem,
        hemisphere: Hemisphere,
        slice: u16,
        position: i32,
        cycle: u64,
        trusted: bool,
    ) -> Option<Vec<Effect>> {
        let latency = &self.chip.latency;
        let per_bank = self.chip.mem.words_per_bank;
        let words = self.chip.words_per_slice();
        let bank = |read, word: u32| Effect::Bank { hemisphere, slice, cycle, read, bank: word / per_bank };
        let owned = |window: Window| -> Option<Vec<Word>> {
            let all: Vec<u64> = window_words(window).collect();
            let last = *all.last()?;
            let fits = last < u64::from(words) && last as u32 / per_bank == window.base / per_bank;
            fits.then(|| all.into_iter().map(|word| (hemisphere, slice, word as u32)).collect())
        };
        let index_of = |stream| {
            self.group(stream, 4, 4)?;
            Some(Effect::Take { stream, count: 4, position, cycle })
        };
        match mem {
            Mem::Read { address, stream } => {
                self.group(stream, 1, 1)?;
                (address < words).then_some(())?;
                let put = cycle + u64::from(latency.read);
                Some(vec![
                    bank(true, address),
                    Effect::Read { word: (hemisphere, slice, address), cycle },
                    Effect::Put { stream, count: 1, position, cycle: put, gather: false },
                ])
            }
            Mem::Write { address, stream } => {
                self.group(stream, 1, 1)?;
                (address < words).then_some(())?;
                Some(vec![
                    bank(false, address),
                    Effect::Take { stream, count: 1, position, cycle },
                    Effect::Write { word: (hemisphere, slice, address), cycle, sure: true },
                ])
            }
            Mem::Gather { window, index, stream } => {
                self.group(stream, 1, 1)?;
                let put = cycle + u64::from(latency.gather);
                let mut effects = vec![
                    bank(true, window.base),
                    index_of(index)?,
                    Effect::Put { stream, count: 1, position, cycle: put, gather: true },
                ];
                effects.extend(owned(window)?.into_iter().map(|word| match trusted {
                    true => Effect::Trust { word, cycle },
                    false => Effect::Read { word, cycle },
                }));
                Some(effects)
            }
            Mem::Scatter { window, index, stream } => {
                self.group(stream, 1, 1)?;
                let mut effects = vec![
                    bank(false, window.base),
                    index_of(index)?,
                    Effect::Take { stream, count: 1, position, cycle },
                ];
                effects.extend(owned(window)?.into_iter().map(|word| Effect::Write {
                    word,
                    cycle,
                    sure: false,
                }));
                Some(effects)
            }
        }
    }

    fn vxm(&self, vxm: &Vxm, alu: u8, cycle: u64) -> Option<Vec<Effect>> {
        let (least, most) = (self.chip.latency.vxm, u16::from(self.chip.vxm.forward_depth));
        let mut effects = vec![Effect::Dispatch { alu, cycle }];
        for operand in [Some(vxm.a), vxm.b].into_iter().flatten() {
            match operand {
                Operand::Immediate(_) => {}
                Operand::Stream(stream, format) => {
                    let count = usize::from(format.streams());
                    self.group(stream, count, count)?;
                    effects.push(Effect::Take { stream, count, position: 0, cycle });
                }
                Operand::Alu { alu, delay } => {
                    (least..=most).contains(&u16::from(delay)).then_some(())?;
                    effects.push(Effect::Forward { alu, cycle: cycle.checked_sub(delay.into())? });
                }
            }
        }
        if let Some((stream, format)) = vxm.result {
            let count = usize::from(format.streams());
            self.group(stream, count, count)?;
            let cycle = cycle + u64::from(least);
            effects.push(Effect::Put { stream, count, position: 0, cycle, gather: false });
        }
        Some(effects)
    }

    fn sxm(&self, sxm: Sxm, position: i32, cycle: u64) -> Option<Vec<Effect>> {
        let width = self.chip.lanes_per_superlane;
        let crossing = matches!(sxm, Sxm::Shift { .. } | Sxm::Permute { .. } | Sxm::Rotate { .. });
        let stagger = if crossing { u64::from(self.chip.stagger()) } else { 0 };
        let put_cycle = cycle + u64::from(self.chip.latency.sxm) + stagger;
        let map = |map: u16| self.program.maps.get(usize::from(map));
        let (sources, count, to, outputs) = match sxm {
            Sxm::Shift { streams, from, to, .. } => (vec![from], streams.into(), to, streams.into()),
            Sxm::Permute { map: id, streams, from, to } => {
                let mut used: Vec<u16> =
                    map(id)?.iter().copied().filter(|entry| *entry != ZERO_LANE).collect();
                used.sort_unstable();
                let fits = used.windows(2).all(|pair| pair[0] < pair[1])
                    && used.iter().all(|entry| usize::from(*entry) < self.chip.lanes);
                fits.then_some(())?;
                (vec![from], streams.into(), to, streams.into())
            }
            Sxm::Distribute { map: id, streams, from, to } => {
                let fits =
                    map(id)?[..width].iter().all(|entry| *entry == ZERO_LANE || usize::from(*entry) < width);
                fits.then_some(())?;
                (vec![from], streams.into(), to, streams.into())
            }
            Sxm::Select { map: id, streams, from, other, to } => {
                map(id)?.iter().all(|entry| [0, 1, ZERO_LANE].contains(entry)).then_some(())?;
                (vec![from, other], streams.into(), to, streams.into())
            }
            Sxm::Rotate { n, from, to } => (vec![from], usize::from(n), to, usize::from(n * n)),
            Sxm::Transpose { from, to } => (vec![from], width, to, width),
        };
        self.group(to, outputs, 1)?;
        let mut effects =
            vec![Effect::Put { stream: to, count: outputs, position, cycle: put_cycle, gather: false }];
        for stream in sources {
            self.group(stream, count, 1)?;
            effects.push(Effect::Take { stream, count, position, cycle });
        }
        Some(effects)
    }

    fn allows(&self, queue: Queue, effect: &Effect, own: &[u64]) -> bool {
        let write_cycles = u64::from(self.chip.latency.write);
        let in_flight = |write: u64, read: u64| write < read && read < write + write_cycles;
        match *effect {
            Effect::Take { stream, count, position, cycle } => {
                let way = stream.direction.sign() * i64::from(position);
                keys(stream, count, position, cycle).all(|key| {
                    self.slots.get(&key).is_some_and(|slot| slot.puts.iter().any(|(put, _)| *put <= way))
                })
            }
            Effect::Put { stream, count, position, cycle, gather } => {
                let way = stream.direction.sign() * i64::from(position);
                keys(stream, count, position, cycle)
                    .all(|key| self.slots.get(&key).is_none_or(|slot| slot.allows_put(way, gather)))
            }
            Effect::Read { word, cycle } => self.words.get(&word).is_some_and(|uses| {
                (uses.initial || uses.writes.iter().any(|write| write + write_cycles <= cycle))
                    && !uses.writes.iter().chain(&uses.perhaps).any(|write| in_flight(*write, cycle))
            }),
            Effect::Trust { word, cycle } => self.words.get(&word).is_some_and(|uses| {
                !uses.writes.iter().chain(&uses.perhaps).any(|write| in_flight(*write, cycle))
            }),
            Effect::Write { word, cycle, .. } => self
                .words
                .get(&word)
                .is_none_or(|uses| !uses.constant && !uses.reads.iter().any(|read| in_flight(cycle, *read))),
            Effect::Bank { hemisphere, slice, cycle, read, bank } => {
                !self.banks.contains(&(hemisphere, slice, cycle, !read, bank))
            }
            Effect::Dispatch { .. } => true,
            Effect::Forward { alu, cycle } => {
                self.alus.contains(&(alu, cycle)) || queue == Queue::Vxm(alu) && own.contains(&cycle)
            }
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Put { stream, count, position, cycle, gather } => {
                let way = stream.direction.sign() * i64::from(position);
                for key in keys(stream, count, position, cycle) {
                    self.slots.entry(key).or_default().puts.push((way, gather));
                }
            }
            Effect::Read { word, cycle } | Effect::Trust { word, cycle } => {
                self.words.entry(word).or_default().reads.push(cycle);
            }
            Effect::Write { word, cycle, sure } => {
                let uses = self.words.entry(word).or_default();
                if sure { uses.writes.push(cycle) } else { uses.perhaps.push(cycle) }
            }
            Effect::Bank { hemisphere, slice, cycle, read, bank } => {
                self.banks.insert((hemisphere, slice, cycle, read, bank));
            }
            Effect::Dispatch { alu, cycle } => {
                self.alus.insert((alu, cycle));
            }
            Effect::Take { stream, count, position, cycle } => {
                let way = stream.direction.sign() * i64::from(position);
                for key in keys(stream, count, position, cycle) {
                    self.slots.entry(key).or_default().takes.push(way);
                }
            }
            Effect::Forward { .. } => {}
        }
    }
}

/// The slots of a group that is at a position in a cycle.
fn keys(
    stream: Stream,
    count: usize,
    position: i32,
    cycle: u64,
) -> impl Iterator<Item = (Direction, u8, i64)> {
    let slot = stream.direction.slot(cycle as i64, position);
    (0..count).map(move |offset| (stream.direction, stream.number + offset as u8, slot))
}

//! Which word holds the value of each slot that is on the chip, and which words are free for values.
//!
//! A value that was read from SRAM needs no copy: its slot names the word itself, until somebody overwrites the word.
//!
//! A slot is told of a value when that is dispatched, which is before it arrives. So a slot whose value is replaced has two for a while, and
//! who takes gets the latest that has arrived. As a rule a slot has one.

use isa::Chip;
use isa::place::{Hemisphere, Queue, Slice};
use isa::stream::{Direction, Stream};

use super::memory::{Places, Word};

/// No entry.
const NONE: u32 = u32::MAX;

/// A slot, where something passes it.
#[derive(Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) stream: Stream,
    slot: i64,
    /// The position, counted along the stream: the cycle less the slot.
    way: i32,
}

impl Spot {
    /// What passes, or is put at, a queue's slice in a cycle.
    pub(crate) fn of(chip: &Chip, queue: Queue, cycle: u64, stream: Stream) -> Spot {
        let position = queue.slice().position(chip);
        let slot = stream.direction.slot(cycle as i64, position);
        Spot { stream, slot, way: stream.direction.sign() as i32 * position }
    }
}

/// A slot's value.
#[derive(Clone, Copy)]
struct Entry {
    slot: i64,
    word: Word,
    /// Where it was put.
    way: i32,
    /// The slot's value further upstream, among the earlier ones; or [`NONE`].
    before: u32,
    /// The word is the slot's own, and may be changed.
    owned: bool,
    taken: bool,
}

/// Where an entry is.
#[derive(Clone, Copy)]
enum Place {
    Last(usize),
    Earlier(u32),
}

/// The slots of all streams, and the buffers.
pub(crate) struct Slots {
    streams: usize,
    reach: i32,
    /// Slots of a stream that are told apart; a power of two.
    ring: i64,
    /// Of each slot the value furthest downstream.
    entries: Vec<Entry>,
    /// Values that are replaced further downstream; those that are over are listed in `unused`.
    earlier: Vec<Entry>,
    unused: Vec<u32>,
    free: Vec<Word>,
    /// Buffers that become free, by cycle.
    expiring: Vec<Vec<Word>>,
    /// Cycles from a value's fall off the edge until its buffer is used again: products are computed a little late.
    linger: u64,
    /// The cycle that has been reached.
    now: u64,
    aliases: Aliases,
}

/// Slots that name words of SRAM that may be overwritten: for each word a list.
struct Aliases {
    heads: Vec<u32>,
    nodes: Vec<Alias>,
    /// Size at which the lists are weeded.
    limit: usize,
}

#[derive(Clone, Copy)]
struct Alias {
    word: Word,
    entry: u32,
    slot: i64,
    next: u32,
}

impl Slots {
    /// Empty streams.
    pub(crate) fn new(chip: &Chip, places: &Places) -> Slots {
        let reach = Slice::C2c(Hemisphere::East).position(chip);
        let d = &chip.latency;
        let slowest = [d.read, d.gather, d.vxm, d.accumulate, d.sxm].into_iter().max().unwrap_or(1);
        let ahead = u64::from(slowest) + u64::from(chip.stagger());
        let linger = u64::from(d.product) + u64::from(chip.stagger()) + 1;
        let ring = (2 * reach as u64 + ahead + 2).next_power_of_two();
        let streams = usize::from(chip.streams);
        let empty = Entry { slot: i64::MIN, word: 0, way: 0, before: NONE, owned: false, taken: false };
        Slots {
            streams,
            reach,
            ring: ring as i64,
            entries: vec![empty; 2 * streams * ring as usize],
            earlier: Vec::new(),
            unused: Vec::new(),
            free: places.buffers.clone().rev().collect(),
            expiring: vec![Vec::new(); (2 * reach as u64 + ahead + linger + 2).next_power_of_two() as usize],
            linger,
            now: 0,
            aliases: Aliases {
                heads: vec![NONE; places.buffers.start as usize],
                nodes: Vec::new(),
                limit: 1 << 16,
            },
        }
    }

    /// Time goes on: buffers of values that have left the chip become free.
    pub(crate) fn advance(&mut self, cycle: u64) {
        let mask = self.expiring.len() as u64 - 1;
        let last = cycle.min(self.now + self.expiring.len() as u64);
        for passed in self.now + 1..=last {
            self.free.append(&mut self.expiring[(passed & mask) as usize]);
        }
        self.now = cycle;
    }

    /// A buffer for a value in a slot.
    pub(crate) fn buffer(&mut self, spot: &Spot) -> Option<Word> {
        self.buffer_until(self.edge(spot.stream.direction, spot.slot))
    }

    /// A buffer for a value that leaves the chip before cycle `edge`.
    fn buffer_until(&mut self, edge: u64) -> Option<Word> {
        let word = self.free.pop()?;
        let mask = self.expiring.len() as u64 - 1;
        self.expiring[((edge + self.linger).max(self.now + 1) & mask) as usize].push(word);
        Some(word)
    }

    /// The first cycle in which a value has left the chip.
    fn edge(&self, direction: Direction, slot: i64) -> u64 {
        let edge = match direction {
            Direction::East => self.reach,
            Direction::West => -self.reach,
        };
        direction.cycle(slot, edge).max(0) as u64 + 1
    }

    fn index(&self, spot: &Spot) -> usize {
        let side = match spot.stream.direction {
            Direction::East => 0,
            Direction::West => self.streams,
        };
        let ring = self.ring as usize;
        (side + usize::from(spot.stream.number)) * ring + (spot.slot & (self.ring - 1)) as usize
    }

    /// The values of a slot, the last one first.
    fn places(&self, index: usize, slot: i64) -> impl Iterator<Item = Place> {
        let last = (self.entries[index].slot == slot).then_some(Place::Last(index));
        std::iter::successors(last, |place| {
            let before = self.entry(*place).before;
            (before != NONE).then_some(Place::Earlier(before))
        })
    }

    fn entry(&self, place: Place) -> &Entry {
        match place {
            Place::Last(index) => &self.entries[index],
            Place::Earlier(index) => &self.earlier[index as usize],
        }
    }

    fn entry_mut(&mut self, place: Place) -> &mut Entry {
        match place {
            Place::Last(index) => &mut self.entries[index],
            Place::Earlier(index) => &mut self.earlier[index as usize],
        }
    }

    /// What passes a spot: the value that was put there or last upstream of it.
    fn passing(&mut self, spot: &Spot) -> Option<&mut Entry> {
        let index = self.index(spot);
        let place = self.places(index, spot.slot).find(|place| self.entry(*place).way <= spot.way)?;
        Some(self.entry_mut(place))
    }

    /// A value in a word that is not the slot's own.
    pub(crate) fn put(&mut self, spot: &Spot, word: Word) {
        self.insert(spot, word, false);
    }

    fn insert(&mut self, spot: &Spot, word: Word, owned: bool) {
        let index = self.index(spot);
        let new = Entry { slot: spot.slot, word, way: spot.way, before: NONE, owned, taken: false };
        let last = self.entries[index];
        if last.slot != spot.slot {
            self.entries[index] = new;
            if last.before != NONE {
                self.forget(last.before);
            }
        } else {
            self.insert_among(index, new);
        }
    }

    /// A value in a slot that has one already.
    fn insert_among(&mut self, index: usize, new: Entry) {
        // The last of those further downstream.
        let later = self.places(index, new.slot).take_while(|place| self.entry(*place).way > new.way).last();
        let free = match self.unused.pop() {
            Some(free) => free,
            None => {
                self.earlier.push(new);
                self.earlier.len() as u32 - 1
            }
        };
        match later {
            Some(later) => {
                let before = std::mem::replace(&mut self.entry_mut(later).before, free);
                self.earlier[free as usize] = Entry { before, ..new };
            }
            None => {
                self.earlier[free as usize] = self.entries[index];
                self.entries[index] = Entry { before: free, ..new };
            }
        }
        // Nobody takes what is upstream of a value that has arrived.
        let arrived = self.places(index, new.slot).find(|place| self.has_arrived(self.entry(*place)));
        if let Some(arrived) = arrived {
            let over = std::mem::replace(&mut self.entry_mut(arrived).before, NONE);
            self.forget(over);
        }
    }

    fn has_arrived(&self, entry: &Entry) -> bool {
        entry.slot + i64::from(entry.way) <= self.now as i64
    }

    /// Values are over: this one and those upstream of it.
    fn forget(&mut self, mut earlier: u32) {
        while earlier != NONE {
            self.unused.push(earlier);
            earlier = self.earlier[earlier as usize].before;
        }
    }

    /// The same as [`Slots::put`], in a word of SRAM that may be overwritten.
    pub(crate) fn put_alias(&mut self, spot: &Spot, word: Word) {
        self.put(spot, word);
        let entry = self.index(spot) as u32;
        if self.aliases.nodes.len() >= self.aliases.limit {
            self.weed();
        }
        let head = &mut self.aliases.heads[word as usize];
        let next = std::mem::replace(head, self.aliases.nodes.len() as u32);
        self.aliases.nodes.push(Alias { word, entry, slot: spot.slot, next });
    }

    /// A gathered value arrives, and joins what is in the slot if nobody has taken that. `join` says in which word the two are then: the
    /// slot's own, or the new one; the new one holds the value alone if there is nothing else.
    pub(crate) fn merge(&mut self, spot: &Spot, word: Word, mut join: impl FnMut(Join)) {
        match self.passing(spot) {
            Some(entry) if entry.taken => {
                *entry = Entry { word, way: spot.way, owned: true, taken: false, ..*entry };
            }
            Some(entry) if entry.owned => join(Join { from: word, to: entry.word }),
            Some(entry) => {
                join(Join { from: entry.word, to: word });
                (entry.word, entry.owned) = (word, true);
            }
            None => self.insert(spot, word, true),
        }
    }

    /// The word of the value that passes a spot; none if there is none.
    pub(crate) fn take(&mut self, spot: &Spot) -> Option<Word> {
        let entry = self.passing(spot)?;
        entry.taken = true;
        Some(entry.word)
    }

    /// Words are about to be overwritten: every slot that names one and is still on the chip gets a buffer of its own, and `copy` is told of
    /// it. False if there is no buffer left.
    pub(crate) fn overwrite(
        &mut self,
        words: impl Iterator<Item = Word>,
        mut copy: impl FnMut(Word, Word),
    ) -> bool {
        for word in words {
            let mut at = std::mem::replace(&mut self.aliases.heads[word as usize], NONE);
            while at != NONE {
                let alias = self.aliases.nodes[at as usize];
                at = alias.next;
                let Some((place, edge)) = self.live(&alias) else { continue };
                let Some(buffer) = self.buffer_until(edge) else { return false };
                copy(word, buffer);
                self.entry_mut(place).word = buffer;
            }
        }
        true
    }

    /// The value of an alias if its slot still names the word, and is on the chip, and the value not replaced; and when it leaves the chip.
    fn live(&self, alias: &Alias) -> Option<(Place, u64)> {
        let line = alias.entry as usize / self.ring as usize;
        let direction = if line < self.streams { Direction::East } else { Direction::West };
        let edge = self.edge(direction, alias.slot);
        if edge < self.now {
            return None;
        }
        let mut replaced = false;
        let mut places = self.places(alias.entry as usize, alias.slot).take_while(|place| {
            // The first that has arrived is the last that counts.
            !std::mem::replace(&mut replaced, self.has_arrived(self.entry(*place)))
        });
        // A slice reads a word into a slot once at most.
        let place = places.find(|place| self.entry(*place).word == alias.word)?;
        Some((place, edge))
    }

    /// Forgets aliases that are over.
    fn weed(&mut self) {
        let old = std::mem::take(&mut self.aliases.nodes);
        for alias in &old {
            self.aliases.heads[alias.word as usize] = NONE;
        }
        for alias in old {
            if self.live(&alias).is_some() {
                let head = &mut self.aliases.heads[alias.word as usize];
                let next = std::mem::replace(head, self.aliases.nodes.len() as u32);
                self.aliases.nodes.push(Alias { next, ..alias });
            }
        }
        self.aliases.limit = (2 * self.aliases.nodes.len()).max(1 << 16);
    }
}

/// The bytes of `from` are ORed into those of `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Join {
    pub(crate) from: Word,
    pub(crate) to: Word,
}

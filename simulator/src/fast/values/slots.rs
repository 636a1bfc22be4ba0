//! Which word holds the value of each slot that is on the chip, and which words are free for values.
//!
//! A value that was read from SRAM needs no copy: its slot names the word itself, until somebody overwrites the word.

use isa::Chip;
use isa::place::{Hemisphere, Slice};
use isa::stream::{Direction, Stream};

use super::memory::{Places, Word};

/// No entry.
const NONE: u32 = u32::MAX;

/// A slot's value.
#[derive(Clone, Copy)]
struct Entry {
    slot: i64,
    word: Word,
    /// The word is the slot's own, and may be changed.
    owned: bool,
}

/// The slots of all streams, and the buffers.
pub(crate) struct Slots {
    streams: usize,
    reach: i32,
    /// Slots of a stream that are told apart; a power of two.
    ring: i64,
    entries: Vec<Entry>,
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
        let empty = Entry { slot: i64::MIN, word: 0, owned: false };
        Slots {
            streams,
            reach,
            ring: ring as i64,
            entries: vec![empty; 2 * streams * ring as usize],
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

    /// A buffer for a value that is put on a stream in `slot`.
    pub(crate) fn buffer(&mut self, stream: Stream, slot: i64) -> Option<Word> {
        let word = self.free.pop()?;
        let free_again = self.edge(stream.direction, slot) + self.linger;
        let mask = self.expiring.len() as u64 - 1;
        self.expiring[(free_again.max(self.now + 1) & mask) as usize].push(word);
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

    fn index(&self, stream: Stream, slot: i64) -> usize {
        let side = match stream.direction {
            Direction::East => 0,
            Direction::West => self.streams,
        };
        let ring = self.ring as usize;
        (side + usize::from(stream.number)) * ring + (slot & (self.ring - 1)) as usize
    }

    /// A value in a word that is not the slot's own.
    pub(crate) fn put(&mut self, stream: Stream, slot: i64, word: Word) {
        let index = self.index(stream, slot);
        self.entries[index] = Entry { slot, word, owned: false };
    }

    /// The same, in a word of SRAM that may be overwritten.
    pub(crate) fn put_alias(&mut self, stream: Stream, slot: i64, word: Word) {
        self.put(stream, slot, word);
        let entry = self.index(stream, slot) as u32;
        if self.aliases.nodes.len() >= self.aliases.limit {
            self.weed();
        }
        let head = &mut self.aliases.heads[word as usize];
        let next = std::mem::replace(head, self.aliases.nodes.len() as u32);
        self.aliases.nodes.push(Alias { word, entry, slot, next });
    }

    /// A value joins what is in the slot. `join` says in which word the two are then: the slot's own, or the new one; the new one holds
    /// the value alone if there is nothing else.
    pub(crate) fn merge(&mut self, stream: Stream, slot: i64, word: Word, mut join: impl FnMut(Join)) {
        let index = self.index(stream, slot);
        let entry = &mut self.entries[index];
        if entry.slot == slot && entry.owned {
            join(Join { from: word, to: entry.word });
            return;
        }
        if entry.slot == slot {
            join(Join { from: entry.word, to: word });
        }
        *entry = Entry { slot, word, owned: true };
    }

    /// The word of the value in a slot; none if it is empty.
    pub(crate) fn take(&self, stream: Stream, slot: i64) -> Option<Word> {
        let entry = self.entries[self.index(stream, slot)];
        (entry.slot == slot).then_some(entry.word)
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
                let Some(stream) = self.live(&alias) else { continue };
                let Some(buffer) = self.buffer(stream, alias.slot) else { return false };
                copy(word, buffer);
                self.entries[alias.entry as usize].word = buffer;
            }
        }
        true
    }

    /// The stream of an alias whose slot still names its word, and is on the chip.
    fn live(&self, alias: &Alias) -> Option<Stream> {
        let entry = self.entries[alias.entry as usize];
        let line = alias.entry as usize / self.ring as usize;
        let direction = if line < self.streams { Direction::East } else { Direction::West };
        let stream = Stream { number: (line % self.streams) as u8, direction };
        let named = entry.slot == alias.slot && entry.word == alias.word;
        (named && self.edge(direction, alias.slot) >= self.now).then_some(stream)
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

//! Events: what a run does to SRAM, write by write. Two engines that agree on all of them agree on every value.

use isa::{Queue, Slice};

/// A write to SRAM. Events come in the order of their cycles, within a cycle of their queues, within a queue of their superlanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event<'a> {
    /// The cycle in which the write was dispatched.
    pub(crate) cycle: u64,
    /// The queue that dispatched it.
    pub(crate) queue: Queue,
    /// Index of the model node it works for.
    pub(crate) node: u32,
    /// The MEM slice.
    pub(crate) slice: Slice,
    /// The word written.
    pub(crate) word: u32,
    /// A bit for each superlane written: all for Write; one for Scatter, which makes an event for every superlane that writes.
    pub(crate) superlanes: u64,
    /// The lanes of those superlanes, in order.
    pub(crate) value: &'a [u8],
}

/// Is told of every event.
pub(crate) type Watch<'w> = &'w mut dyn FnMut(&Event<'_>);

impl Event<'_> {
    /// A hash of everything about the event.
    pub(crate) fn digest(&self) -> u64 {
        let mut hash = Hash(0);
        hash.add(self.cycle);
        hash.add(self.key());
        hash.add(u64::from(self.node) << 32 | u64::from(self.word));
        hash.add(self.superlanes);
        let mut words = self.value.chunks_exact(8);
        for word in &mut words {
            hash.add(word.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)));
        }
        hash.add(words.remainder().iter().fold(0, |all, byte| all << 8 | u64::from(*byte)));
        hash.0
    }

    /// The slice as a number.
    fn key(&self) -> u64 {
        match self.queue {
            Queue::MemRead(half, index) | Queue::MemWrite(half, index) => u64::from(index) * 2 + half as u64,
            // Only MEM slices write to SRAM.
            Queue::Vxm(_) | Queue::Mxm(..) | Queue::Sxm(..) | Queue::C2c(..) => u64::MAX,
        }
    }
}

/// Mixes numbers one after the other; not against an adversary.
struct Hash(u64);

impl Hash {
    fn add(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isa::Hemisphere;

    #[test]
    fn every_part_of_an_event_counts() {
        let queue = |half, index| Queue::MemWrite(half, index);
        let event = |change: fn(&mut Event<'_>), value: &[u8]| {
            let queue = queue(Hemisphere::East, 3);
            let mut event =
                Event { cycle: 7, queue, node: 1, slice: queue.slice(), word: 5, superlanes: 3, value };
            change(&mut event);
            event.digest()
        };
        let value = [1; 12];
        let mut digests = vec![
            event(|_| {}, &value),
            event(|event| event.cycle = 8, &value),
            event(|event| event.queue = Queue::MemWrite(Hemisphere::West, 3), &value),
            event(|event| event.queue = Queue::MemWrite(Hemisphere::East, 4), &value),
            event(|event| event.node = 2, &value),
            event(|event| event.word = 6, &value),
            event(|event| event.superlanes = 1, &value),
        ];
        for lane in 0..value.len() {
            let mut other = value;
            other[lane] ^= 0x80;
            digests.push(event(|_| {}, &other));
        }
        assert_eq!(digests[0], event(|_| {}, &value));
        digests.sort_unstable();
        assert!(digests.windows(2).all(|pair| pair[0] != pair[1]));
    }
}

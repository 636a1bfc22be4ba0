//! How chips are joined: the levels of a system, their links, and what each takes in cycles of a chip.
//!
//! A level joins `count` units of the level below it, and the innermost level joins chips: eight chips make a node, nine nodes a rack. Units
//! and chips are numbered from 0, a unit's chips in one row, so chip c of a system is chip c mod 8 of node c / 8. A chip's ports are numbered
//! over all levels, the innermost level's first.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Chip, Hemisphere, Queue};

mod load;
mod wiring;

pub use wiring::End;

/// A system of chips. Loaded from TOML, where every field carries its unit and its source, or the word *assumed*.
#[derive(Clone, Debug, PartialEq)]
pub struct System {
    /// Preset or file name without its ending.
    pub name: String,
    /// Name of the chip that it is made of.
    pub chip: String,
    /// Time that the host takes by itself in each step, microseconds.
    pub host_us: f64,
    /// Innermost first; at least one.
    pub levels: Vec<Level>,
    /// Where each value comes from, by field name (`node.hop_ns`).
    pub sources: BTreeMap<String, String>,
}

/// One level of a system.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// What its units are called: node, rack, system.
    pub name: String,
    /// Units of the level below that one unit of this level joins.
    pub count: u32,
    /// Which of their ports are joined.
    pub wiring: Wiring,
    /// Ports that every chip has for this level.
    pub ports_per_chip: u8,
    /// The links, all alike.
    pub link: Link,
}

/// Which ports of a level are joined; N is the level's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wiring {
    /// Every pair of units has equally many links. A unit's ports, P of its chips together, are counted chip by chip; m = P / (N − 1), rounded
    /// down. Port q of unit a leads to unit (a + d) mod N, d = 1 + q / m, to its port (N − d − 1)·m + q mod m.
    AllToAll,
    /// As all-to-all, but of the chips of equal number in their units: P are the ports of one chip.
    ByRank,
    /// Units stand in a ring. Port r of a chip with an even number i in its unit leads r + 1 units on, to port r of chip i + 1.
    Ring,
    /// Units stand in a ring. The first half of a chip's ports lead to the chip of equal number in the next unit, to its other half.
    RingByRank,
}

/// A link, as its description has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Link {
    /// Bits that one port carries in one direction, in 10^9 per second.
    pub gigabits_per_second: f64,
    /// Bytes on the link for each vector: the vector and its framing.
    pub packet_bytes: u32,
    /// From the dispatch of Send to the vector on a stream of the other chip, nanoseconds.
    pub hop_ns: f64,
    /// Vectors that may have arrived without having been received.
    pub buffer_vectors: u32,
}

/// A link in cycles of a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkTiming {
    /// The next Send on the link comes so many cycles later, or more.
    pub vector_cycles: u64,
    /// From the dispatch of Send to the vector on a stream of the other chip, if it is received at once.
    pub hop_cycles: u64,
    /// From the dispatch of Send to the first cycle in which a Receive may be dispatched: `hop_cycles` without d_c2c.
    pub latency_cycles: u64,
    /// Vectors that may have arrived without having been received.
    pub buffer_vectors: u32,
}

impl Wiring {
    /// All of them.
    pub const ALL: [Wiring; 4] = [Wiring::AllToAll, Wiring::ByRank, Wiring::Ring, Wiring::RingByRank];
}

/// Its name in a description.
impl fmt::Display for Wiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wiring::AllToAll => "all-to-all",
            Wiring::ByRank => "by-rank",
            Wiring::Ring => "ring",
            Wiring::RingByRank => "ring-by-rank",
        })
    }
}

impl Link {
    /// What the link takes in cycles of this chip.
    ///
    /// # Errors
    /// One sentence: the packet does not hold a vector of the chip, or the hop takes no longer than the chip's own Receive.
    pub fn timing(&self, chip: &Chip) -> Result<LinkTiming, String> {
        if (self.packet_bytes as usize) < chip.lanes {
            let (packet, lanes) = (self.packet_bytes, chip.lanes);
            return Err(format!(
                "a packet of {packet} bytes does not hold a vector of {} of {lanes}",
                chip.name
            ));
        }
        let bits = f64::from(self.packet_bytes) * 8.0;
        let vector_cycles = (bits * chip.clock_hz / (self.gigabits_per_second * 1e9)).ceil() as u64;
        let hop_cycles = (self.hop_ns * chip.clock_hz / 1e9).ceil() as u64;
        let own = u64::from(chip.latency.c2c);
        if hop_cycles <= own {
            let (hop, name) = (self.hop_ns, &chip.name);
            return Err(format!(
                "a hop of {hop} ns is {hop_cycles} cycles of {name}, and must be more than latency.c2c = {own}"
            ));
        }
        let latency_cycles = hop_cycles - own;
        Ok(LinkTiming { vector_cycles, hop_cycles, latency_cycles, buffer_vectors: self.buffer_vectors })
    }
}

impl System {
    /// Chips of the system.
    pub fn chips(&self) -> u32 {
        self.unit_chips(self.levels.len())
    }

    /// Chips of one unit below this level: 1 for level 0, those of a node for level 1. Levels past the last have those of the system.
    pub fn unit_chips(&self, level: usize) -> u32 {
        self.levels.iter().take(level).map(|level| level.count).product()
    }

    /// Ports of each chip, of all levels together.
    pub fn ports(&self) -> u32 {
        self.levels.iter().map(|level| u32::from(level.ports_per_chip)).sum()
    }

    /// The same description for another number of units of its outermost level: as many racks or nodes as are wanted.
    ///
    /// # Errors
    /// One sentence: the level's ports are too few to join so many, or the system is too large.
    pub fn with_count(mut self, count: u32) -> Result<System, String> {
        if let Some(level) = self.levels.last_mut() {
            level.count = count;
        }
        match wiring::problems(&self).into_iter().next() {
            Some((_, problem)) => Err(problem),
            None => Ok(self),
        }
    }

    /// What the links of each level take on this chip, innermost first.
    ///
    /// # Errors
    /// One sentence for each problem: too few links on the chip, or a level's link does not go with it.
    pub fn timing(&self, chip: &Chip) -> Result<Vec<LinkTiming>, Vec<String>> {
        let (mut timings, mut problems) = (Vec::new(), Vec::new());
        let (ports, links) = (self.ports(), 2 * u32::from(chip.c2c.links_per_hemisphere));
        if ports > links {
            problems.push(format!(
                "system {} has {ports} ports per chip, and {} has {links} links",
                self.name, chip.name
            ));
        }
        for level in &self.levels {
            match level.link.timing(chip) {
                Ok(timing) => timings.push(timing),
                Err(problem) => problems.push(format!("links of {}: {problem}", level.name)),
            }
        }
        if problems.is_empty() { Ok(timings) } else { Err(problems) }
    }
}

/// The queue of a port: even ports are those of the east hemisphere.
pub fn queue_of_port(port: u8) -> Queue {
    let hemisphere = if port.is_multiple_of(2) { Hemisphere::East } else { Hemisphere::West };
    Queue::C2c(hemisphere, port / 2)
}

/// The port of a link's queue; none for other queues, and for links past the last port that a system can number.
pub fn port_of_queue(queue: Queue) -> Option<u8> {
    match queue {
        Queue::C2c(Hemisphere::East, link) => link.checked_mul(2),
        Queue::C2c(Hemisphere::West, link) => link.checked_mul(2)?.checked_add(1),
        Queue::MemRead(..) | Queue::MemWrite(..) | Queue::Vxm(_) | Queue::Mxm(..) | Queue::Sxm(..) => None,
    }
}

#[cfg(test)]
mod tests;

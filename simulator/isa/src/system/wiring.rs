//! Where each port of each chip leads, and the ways from chip to chip.

use std::collections::VecDeque;

use super::{Level, System, Wiring};

/// Most chips that a system may have.
const MOST_CHIPS: u64 = 1 << 20;

/// Most ports of a chip: they are numbered in a byte, as links are.
const MOST_PORTS: u32 = 256;

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    /// The chip.
    pub chip: u32,
    /// Its port.
    pub port: u8,
    /// The level whose link it is.
    pub level: usize,
}

/// What keeps the levels of a system from being joined: the level's number, and a sentence.
pub(super) fn problems(system: &System) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    let mut chips = 1u64;
    for (index, level) in system.levels.iter().enumerate() {
        let (count, name) = (u64::from(level.count), &level.name);
        let unit_ports = u64::from(level.ports_per_chip)
            * match level.wiring {
                Wiring::AllToAll => chips,
                Wiring::ByRank | Wiring::Ring | Wiring::RingByRank => 1,
            };
        if count == 0 {
            problems.push((index, format!("{name} joins no units, and must join at least 1")));
            return problems;
        }
        match level.wiring {
            Wiring::AllToAll | Wiring::ByRank if unit_ports < count - 1 => {
                let most = unit_ports + 1;
                let message = format!("{name} joins {count} units, and its ports are enough for {most}");
                problems.push((index, message));
            }
            Wiring::Ring if !chips.is_multiple_of(2) => {
                let message =
                    format!("{name} is a ring of units of {chips} chips, which must be an even number");
                problems.push((index, message));
            }
            Wiring::RingByRank if level.ports_per_chip % 2 != 0 => {
                let message = format!(
                    "{name} is a ring by rank with {} ports a chip, which must be an even number",
                    level.ports_per_chip
                );
                problems.push((index, message));
            }
            Wiring::AllToAll | Wiring::ByRank | Wiring::Ring | Wiring::RingByRank => {}
        }
        chips = chips.saturating_mul(count);
        if chips > MOST_CHIPS {
            problems
                .push((index, format!("{name} has {chips} chips, and at most {MOST_CHIPS} are supported")));
            return problems;
        }
    }
    if system.ports() > MOST_PORTS {
        let message = format!("{} ports per chip, and at most {MOST_PORTS} are supported", system.ports());
        problems.push((system.levels.len().saturating_sub(1), message));
    }
    problems
}

/// A port of a unit and what it is joined with, counted within one unit and its level: unit, then port.
fn all_to_all(count: u64, unit_ports: u64, (unit, port): (u64, u64)) -> Option<(u64, u64)> {
    let per_pair = unit_ports.checked_div(count - 1)?;
    let distance = 1 + port.checked_div(per_pair)?;
    (distance < count)
        .then(|| ((unit + distance) % count, (count - distance - 1) * per_pair + port % per_pair))
}

/// The unit to which port `port` of a chip with this number in its unit leads, and the chip's number there.
fn ring(count: u64, (unit, chip, port): (u64, u64, u64)) -> Option<(u64, u64)> {
    let distance = (port + 1) % count;
    let (unit, chip) =
        if chip % 2 == 0 { (unit + distance, chip + 1) } else { (unit + count - distance, chip - 1) };
    (distance != 0).then_some((unit % count, chip))
}

impl Level {
    /// Where port `port` of this level leads, from a chip of the whole this level makes. `unit_chips` are the chips of one of the units that
    /// it joins.
    fn joined(&self, unit_chips: u64, chip: u64, port: u64) -> Option<(u64, u64)> {
        let (count, ports) = (u64::from(self.count), u64::from(self.ports_per_chip));
        let (unit, inside) = (chip / unit_chips, chip % unit_chips);
        let (unit, inside, port) = match self.wiring {
            Wiring::AllToAll => {
                let (unit, port) = all_to_all(count, unit_chips * ports, (unit, inside * ports + port))?;
                (unit, port / ports, port % ports)
            }
            Wiring::ByRank => {
                let (unit, port) = all_to_all(count, ports, (unit, port))?;
                (unit, inside, port)
            }
            Wiring::RingByRank if count < 2 => return None,
            Wiring::RingByRank if port < ports / 2 => ((unit + 1) % count, inside, port + ports / 2),
            Wiring::RingByRank => ((unit + count - 1) % count, inside, port - ports / 2),
            Wiring::Ring => {
                let (unit, inside) = ring(count, (unit, inside, port))?;
                (unit, inside, port)
            }
        };
        Some((unit * unit_chips + inside, port))
    }
}

impl System {
    /// The level that a port belongs to, and the first port of that level.
    fn level_of(&self, port: u8) -> Option<(usize, u64)> {
        let mut first = 0;
        for (index, level) in self.levels.iter().enumerate() {
            let next = first + u64::from(level.ports_per_chip);
            if u64::from(port) < next {
                return Some((index, first));
            }
            first = next;
        }
        None
    }

    /// What is at the other end of a chip's port; none if nothing is, or if there is no such chip or port. The other end's other end is this one.
    pub fn port(&self, chip: u32, port: u8) -> Option<End> {
        if chip >= self.chips() {
            return None;
        }
        let (index, first) = self.level_of(port)?;
        let unit_chips = u64::from(self.unit_chips(index));
        let whole = u64::from(self.unit_chips(index + 1));
        let (outside, inside) = (u64::from(chip) / whole, u64::from(chip) % whole);
        let (other, other_port) = self.levels[index].joined(unit_chips, inside, u64::from(port) - first)?;
        let chip = u32::try_from(outside * whole + other).ok()?;
        Some(End { chip, port: u8::try_from(first + other_port).ok()?, level: index })
    }

    /// Ports of a chip that lead somewhere, with their other ends, lowest port first.
    pub fn neighbours(&self, chip: u32) -> impl Iterator<Item = (u8, End)> {
        (0..=u8::MAX).take(self.ports() as usize).filter_map(move |port| Some((port, self.port(chip, port)?)))
    }

    /// Hops from every chip to this one, by chip; empty if there is no such chip. Costs a look at every port of every chip.
    pub fn distances(&self, chip: u32) -> Vec<Option<u32>> {
        let chips = self.chips();
        if chip >= chips {
            return Vec::new();
        }
        let mut hops = vec![None; chips as usize];
        hops[chip as usize] = Some(0);
        let mut waiting = VecDeque::from([(chip, 0)]);
        while let Some((here, so_far)) = waiting.pop_front() {
            for (_, end) in self.neighbours(here) {
                let there = &mut hops[end.chip as usize];
                if there.is_none() {
                    *there = Some(so_far + 1);
                    waiting.push_back((end.chip, so_far + 1));
                }
            }
        }
        hops
    }

    /// A way with the fewest hops, each the sending chip and its port; of several such ways the one with the lowest port first. Empty from a
    /// chip to itself; none if a chip does not exist, or no way leads there.
    pub fn route(&self, from: u32, to: u32) -> Option<Vec<(u32, u8)>> {
        let hops = self.distances(to);
        let mut left = (*hops.get(from as usize)?)?;
        let (mut here, mut way) = (from, Vec::new());
        while left > 0 {
            left -= 1;
            let (port, end) = self.neighbours(here).find(|(_, end)| hops[end.chip as usize] == Some(left))?;
            way.push((here, port));
            here = end.chip;
        }
        Some(way)
    }

    /// Most hops between any two chips; none if some cannot reach each other. Costs the square of the chips, so it is for small systems.
    pub fn diameter(&self) -> Option<u32> {
        (0..self.chips())
            .map(|chip| {
                self.distances(chip).into_iter().max_by_key(|hops| hops.map_or(u32::MAX, |hops| hops))
            })
            .try_fold(0, |most, farthest| Some(most.max(farthest??)))
    }
}

//! Groups of chips, one after the other through a system, and the links that their programs name.
//!
//! All groups run programs of the same kind, and all chips of a group the same program, so that a link has one name in all of them: the names are the
//! ports of the first group's first chip. For every other chip it is said which port a name stands for.

use std::collections::{BTreeMap, BTreeSet};

use isa::system::{LinkTiming, System, queue_of_port};
use isa::{Chip, Hemisphere, Queue};

use super::ways::{self, Handing};
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::Gates;
use crate::links::{self, Axis, Links, Pace, Transfer, Way};

/// Names of what one stage hands to the next: the output of the one, the input of the other.
pub const HANDED: (&str, &str) = ("output", "hidden");

/// Where the groups of a pipeline are.
#[derive(Clone, Debug)]
pub struct Groups {
    /// Chips of each group, by rank.
    pub chips: Vec<Vec<u32>>,
    /// The links of a stage in the middle.
    links: Links,
    /// For each group and rank: which port each name stands for.
    pub ports: Vec<Vec<BTreeMap<Queue, u8>>>,
    /// Cycles on the way from each group to the next, from Send to the earliest Receive.
    pub latency_cycles: Vec<u64>,
}

/// A link between two chips: the port at each end, and the level it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Between {
    pub(super) ports: [u8; 2],
    pub(super) level: usize,
}

impl Groups {
    /// So many groups of so many chips each. Groups of a node stand next to each other, and every other node and rack is gone through backward, so
    /// that neighbours in the pipeline are neighbours on links.
    ///
    /// # Errors
    /// `system-too-small`; `unlinked` where chips that have to exchange vectors have no link, or links that do not lie alike.
    pub fn new(system: &System, chip: &Chip, chips: usize, stages: usize) -> Result<Groups, Diagnostic> {
        let timing = system.timing(chip).map_err(|problems| problem("bad-system", problems.join("; ")))?;
        let node = system.unit_chips(1) as usize;
        if chips == 0 || !(node.is_multiple_of(chips) || chips.is_multiple_of(node)) {
            let what = format!("groups of {chips} chips do not go with nodes of {node}");
            return Err(problem("bad-group", what).note("use a divisor or a multiple of the node's chips"));
        }
        let room = chips.max(node) * (system.unit_chips(2) as usize / chips.max(node));
        if room == 0 {
            let what =
                format!("groups of {chips} chips are more than the {} of a rack", system.unit_chips(2));
            return Err(problem("bad-group", what).note("use groups of at most a rack"));
        }
        let racks = (chips * stages).div_ceil(room);
        if racks * system.unit_chips(2) as usize > system.chips() as usize {
            let (wanted, name) = (chips * stages, &system.name);
            let what = format!(
                "{wanted} chips are needed in groups of {chips}, system {name} has {}",
                system.chips()
            );
            return Err(problem("system-too-small", what).note("choose a larger system with --system"));
        }
        let rack = system.unit_chips(2) as usize;
        // Groups side by side in a node, nodes (or groups of them) side by side in a rack; forward and backward in turns.
        let (in_node, in_rack) = ((node / chips).max(1), rack / chips.max(node));
        let turned = |turn: usize, at: usize, count: usize| {
            if turn.is_multiple_of(2) { at } else { count - 1 - at }
        };
        let of_stage = |stage: usize, turn: usize| {
            let (unit, at) = (stage / in_node, turned(stage / in_node, stage % in_node, in_node));
            let (rack_of, unit) = (unit / in_rack, turned(unit / in_rack, unit % in_rack, in_rack));
            let first = rack_of * rack + unit * chips.max(node) + at * chips;
            let of_rank = |rank: usize| first + rank / node * node + (rank + rank / node * turn) % node;
            (0..chips).map(|rank| if chips < node { first + rank } else { of_rank(rank) } as u32).collect()
        };
        // Where a group's nodes are joined by some of their chips, those with a link to each other may have to have the same number in their nodes.
        let turns = if chips > node { node } else { 1 };
        let of_turn = |turn: usize| {
            let mut groups = Groups {
                chips: (0..stages).map(|stage| of_stage(stage, turn)).collect(),
                links: Links::default(),
                ports: vec![vec![BTreeMap::new(); chips]; stages],
                latency_cycles: Vec::new(),
            };
            let mut stride = 1;
            for chips in mesh(system, chips) {
                groups.join_peers(system, &timing, (chips, stride))?;
                stride *= chips;
            }
            groups.join_stages(system, chip, &timing)?;
            Ok(groups)
        };
        let first = of_turn(0);
        (1..turns).fold(first, |found, turn| found.or_else(|problem| of_turn(turn).map_err(|_| problem)))
    }

    /// Ranks that exchange vectors without a gate: all, or those of one node.
    fn node(&self, system: &System) -> usize {
        self.chips[0].len().min(system.unit_chips(1) as usize)
    }

    /// Links of a stage that begins with what another hands it, or not; and ends so, or not.
    pub fn links(&self, (first, last): (bool, bool)) -> Links {
        let mut links = self.links.clone();
        if first {
            links.arrivals.clear();
        }
        if last {
            links.departures.clear();
        }
        links
    }

    /// Names the links along an axis of the groups.
    fn join_peers(
        &mut self,
        system: &System,
        timing: &[LinkTiming],
        (count, stride): (usize, usize),
    ) -> Result<(), Diagnostic> {
        let own = &self.chips[0];
        let first: Vec<Vec<Between>> = (1..count).map(|d| between(system, own[0], own[d * stride])).collect();
        if stride > 1 && first.iter().any(Vec::is_empty) {
            return self.join_nodes(system, timing, (count, stride));
        }
        let least = first.iter().map(Vec::len).min().unwrap_or(0);
        let level = first.iter().flatten().map(|link| link.level).max().unwrap_or(0);
        let name = |link: &Between| queue_of_port(link.ports[0]);
        let peers: Vec<Vec<Queue>> =
            first.iter().map(|links| links.iter().take(least).map(name).collect()).collect();
        for group in 0..self.chips.len() {
            for one in 0..self.chips[group].len() {
                for d in 1..count - one / stride % count {
                    let other = one + d * stride;
                    let names: Vec<[Queue; 2]> =
                        (0..least).map(|k| [peers[d - 1][k], peers[count - d - 1][k]]).collect();
                    let chips = [self.chips[group][one], self.chips[group][other]];
                    self.bind(system, group, [(group, one), (group, other)], (chips, &names))?;
                }
            }
        }
        self.links.axes.push(Axis {
            chips: count,
            stride,
            peers,
            pace: pace(&timing[level]),
            ways: Vec::new(),
        });
        Ok(())
    }

    /// Names the links along an axis of nodes that are joined by some of their chips.
    fn join_nodes(
        &mut self,
        system: &System,
        timing: &[LinkTiming],
        (count, stride): (usize, usize),
    ) -> Result<(), Diagnostic> {
        let node = self.node(system);
        let mut ways = Vec::new();
        for distance in 1..count {
            let ahead = |rank: usize| links::ahead((count, stride), rank, distance);
            let handing = |chips: &Vec<u32>| Handing {
                from: chips.clone(),
                to: (0..chips.len()).map(|rank| (ahead(rank), chips[ahead(rank)])).collect(),
            };
            let handings: Vec<Handing> = self.chips.iter().map(handing).collect();
            let gates = ways::gates(system, node, &handings).ok_or_else(|| self.unreached(system, count))?;
            let (first, shift) = (gates.from[0], |rank: usize| gates.ahead(rank, gates.shift));
            let all: Vec<Between> = ways::link(system, &handings[0], first, shift(first));
            let least = gates.from.iter().flat_map(|&rank| {
                handings.iter().map(move |handing| ways::link(system, handing, rank, shift(rank)).len())
            });
            let names: Vec<[Queue; 2]> = all
                .iter()
                .take(least.min().unwrap_or(0))
                .map(|link| [queue_of_port(link.ports[0]); 2])
                .collect();
            for (group, handing) in handings.iter().enumerate() {
                for &rank in &gates.from {
                    let (other, chip) = handing.to[shift(rank)];
                    let chips = [handing.from[rank], chip];
                    self.bind(system, group, [(group, rank), (group, other)], (chips, &names))?;
                }
            }
            let level = all.first().map_or(0, |link| link.level);
            let links = names.iter().map(|names| names[0]).collect();
            ways.push(Way { gates, links, pace: pace(&timing[level]) });
        }
        let pace = ways.first().map(|way| way.pace).unwrap_or_default();
        self.links.axes.push(Axis { chips: count, stride, peers: Vec::new(), pace, ways });
        Ok(())
    }

    fn unreached(&self, system: &System, nodes: usize) -> Diagnostic {
        let (chips, name) = (self.chips[0].len(), &system.name);
        let what = format!(
            "the {nodes} nodes of a group of {chips} chips of system {name} are not joined in one way for all groups"
        );
        problem("unlinked", what).note("use groups of one node, or another --system")
    }

    /// Names the links from each group to the next: as many as all neighbours have, of each chip or of the gates.
    fn join_stages(&mut self, system: &System, chip: &Chip, timing: &[LinkTiming]) -> Result<(), Diagnostic> {
        let handing = |pair: &[Vec<u32>]| Handing {
            from: pair[0].clone(),
            to: pair[1].iter().copied().enumerate().collect(),
        };
        let handings: Vec<Handing> = self.chips.windows(2).map(handing).collect();
        if handings.is_empty() {
            return Ok(());
        }
        let ranks = 0..self.chips[0].len();
        let direct = handings
            .iter()
            .all(|handing| ranks.clone().all(|rank| !ways::link(system, handing, rank, rank).is_empty()));
        let node = self.node(system);
        let gates = match direct {
            true => Gates { node, from: ranks.clone().collect(), to: ranks.collect(), shift: 0, each: 1 },
            false => ways::gates(system, node, &handings).ok_or_else(|| {
                let what =
                    format!("not all groups of system {} are joined to the next in one way", system.name);
                problem("unlinked", what).note("use groups of one node, or another --system")
            })?,
        };
        let shifted = |rank: usize| gates.ahead(rank, gates.shift);
        let links = |handing: &Handing, rank: usize| ways::link(system, handing, rank, shifted(rank));
        let all: Vec<Vec<Between>> = handings
            .iter()
            .flat_map(|handing| gates.from.iter().map(move |&rank| links(handing, rank)))
            .collect();
        let least = all.iter().map(Vec::len).min().unwrap_or(0);
        let names = self.free_names(chip, &all[0][..least])?;
        let slowest = all.iter().flatten().map(|link| pace(&timing[link.level]));
        let pace = slowest.max_by_key(|pace| pace.vector_cycles).unwrap_or_default();
        for (group, handing) in handings.iter().enumerate() {
            for &rank in &gates.from {
                let other = shifted(rank);
                let chips = [handing.from[rank], handing.to[other].1];
                self.bind(system, group, [(group, rank), (group + 1, other)], (chips, &names))?;
            }
            let level = links(handing, gates.from[0]).first().map_or(0, |link| link.level);
            self.latency_cycles.push(timing[level].latency_cycles);
        }
        let transfer = |tensor: &str, end: usize| {
            let links = names.iter().map(|names| names[end]).collect();
            vec![Transfer { tensor: tensor.to_owned(), links, pace, gates: (!direct).then(|| gates.clone()) }]
        };
        self.links.departures = transfer(HANDED.0, 0);
        self.links.arrivals = transfer(HANDED.1, 1);
        Ok(())
    }

    /// Names, for both ends of links, that no axis has taken; in the hemispheres of their ports.
    fn free_names(&self, chip: &Chip, links: &[Between]) -> Result<Vec<[Queue; 2]>, Diagnostic> {
        let axes = &self.links.axes;
        let taken: BTreeSet<Queue> = axes
            .iter()
            .flat_map(|axis| axis.peers.iter().flatten().chain(axis.ways.iter().flat_map(|way| &way.links)))
            .copied()
            .collect();
        let mut free: Vec<Queue> = Hemisphere::BOTH
            .into_iter()
            .flat_map(|half| (0..chip.c2c.links_per_hemisphere).map(move |link| Queue::C2c(half, link)))
            .filter(|queue| !taken.contains(queue))
            .collect();
        let mut name = |port: u8| {
            let same = |queue: &Queue| queue.slice() == queue_of_port(port).slice();
            let at = free.iter().position(same);
            at.map(|at| free.remove(at))
                .ok_or_else(|| problem("unlinked", "a chip has too few links".to_owned()))
        };
        links.iter().map(|link| Ok([name(link.ports[0])?, name(link.ports[1])?])).collect()
    }

    /// Gives the names at both ends of a pair of chips ports that are joined, and lie in the names' hemispheres.
    fn bind(
        &mut self,
        system: &System,
        group: usize,
        ends: [(usize, usize); 2],
        (chips, names): ([u32; 2], &[[Queue; 2]]),
    ) -> Result<(), Diagnostic> {
        let mut left = between(system, chips[0], chips[1]);
        for names in names {
            let alike = |link: &Between| {
                (0..2).all(|end| queue_of_port(link.ports[end]).slice() == names[end].slice())
            };
            let Some(at) = left.iter().position(alike) else {
                let what = format!(
                    "chips {} and {} of system {} have no link that lies as those of the first group (group {group})",
                    chips[0], chips[1], system.name
                );
                return Err(problem("unlinked", what));
            };
            let link = left.remove(at);
            for end in 0..2 {
                let (group, rank) = ends[end];
                let port = link.ports[end];
                if self.ports[group][rank].insert(names[end], port).is_some_and(|other| other != port) {
                    let what =
                        format!("chips of system {} name two links alike (group {group})", system.name);
                    return Err(problem("unlinked", what));
                }
            }
        }
        if names.is_empty() {
            let what = format!("chips {} and {} of system {} have no link", chips[0], chips[1], system.name);
            return Err(problem("unlinked", what));
        }
        Ok(())
    }
}

/// The axes of a group: the chips of a node, and the nodes if it has several.
pub fn mesh(system: &System, chips: usize) -> Vec<usize> {
    let node = (system.unit_chips(1) as usize).min(chips);
    [node, chips / node.max(1)].into_iter().filter(|&count| count > 1).collect()
}

fn pace(timing: &LinkTiming) -> Pace {
    Pace { vector_cycles: timing.vector_cycles as u32, latency_cycles: timing.latency_cycles as u32 }
}

/// The links between two chips, by the first one's ports.
pub(super) fn between(system: &System, from: u32, to: u32) -> Vec<Between> {
    let link = |port: u8| {
        let end = system.port(from, port).filter(|end| end.chip == to)?;
        Some(Between { ports: [port, end.port], level: end.level })
    };
    (0..system.ports() as u8).filter_map(link).collect()
}

fn problem(code: &'static str, what: String) -> Diagnostic {
    Diagnostic::new(Kind::Unsupported, code, what)
}

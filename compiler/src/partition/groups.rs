//! Groups of chips, one after the other through a system, and the links that their programs name.
//!
//! All groups run programs of the same kind, and all chips of a group the same program, so that a link has one name in all of them: the names are the
//! ports of the first group's first chip. For every other chip it is said which port a name stands for.

use std::collections::{BTreeMap, BTreeSet};

use isa::system::{LinkTiming, System, queue_of_port};
use isa::{Chip, Hemisphere, Queue};

use crate::diagnostic::{Diagnostic, Kind};
use crate::links::{Axis, Links, Pace, Transfer};

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
struct Between {
    ports: [u8; 2],
    level: usize,
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
        let racks = (chips * stages).div_ceil(room.max(1));
        if room == 0 || racks * system.unit_chips(2) as usize > system.chips() as usize {
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
        let of_stage = |stage: usize| {
            let (unit, at) = (stage / in_node, turned(stage / in_node, stage % in_node, in_node));
            let (rack_of, unit) = (unit / in_rack, turned(unit / in_rack, unit % in_rack, in_rack));
            let first = rack_of * rack + unit * chips.max(node) + at * chips;
            (0..chips).map(|rank| (first + rank) as u32).collect()
        };
        let mut groups = Groups {
            chips: (0..stages).map(of_stage).collect(),
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
        self.links.axes.push(Axis { chips: count, stride, peers, pace: pace(&timing[level]) });
        Ok(())
    }

    /// Names the links from each group to the next: as many as all neighbours have.
    fn join_stages(&mut self, system: &System, chip: &Chip, timing: &[LinkTiming]) -> Result<(), Diagnostic> {
        let pairs = self.chips.windows(2).flat_map(|pair| {
            pair[0].iter().copied().zip(pair[1].iter().copied()).collect::<Vec<(u32, u32)>>()
        });
        let all: Vec<Vec<Between>> = pairs.map(|(from, to)| between(system, from, to)).collect();
        let Some(first) = all.first() else { return Ok(()) };
        let least = all.iter().map(Vec::len).min().unwrap_or(0);
        let taken: BTreeSet<Queue> =
            self.links.axes.iter().flat_map(|axis| axis.peers.iter().flatten()).copied().collect();
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
        let mut names = Vec::new();
        for link in first.iter().take(least) {
            names.push([name(link.ports[0])?, name(link.ports[1])?]);
        }
        let slowest = all.iter().flatten().map(|link| pace(&timing[link.level]));
        let pace = slowest.max_by_key(|pace| pace.vector_cycles).unwrap_or_default();
        let transfer = |tensor: &str, end: usize| {
            let links = names.iter().map(|names| names[end]).collect();
            vec![Transfer { tensor: tensor.to_owned(), links, pace }]
        };
        self.links.departures = transfer(HANDED.0, 0);
        self.links.arrivals = transfer(HANDED.1, 1);
        for group in 0..self.chips.len() - 1 {
            for rank in 0..self.chips[group].len() {
                let chips = [self.chips[group][rank], self.chips[group + 1][rank]];
                self.bind(system, group, [(group, rank), (group + 1, rank)], (chips, &names))?;
            }
            let links = between(system, self.chips[group][0], self.chips[group + 1][0]);
            let level = links.first().map_or(0, |link| link.level);
            self.latency_cycles.push(timing[level].latency_cycles);
        }
        Ok(())
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
                self.ports[group][rank].insert(names[end], link.ports[end]);
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
fn between(system: &System, from: u32, to: u32) -> Vec<Between> {
    let link = |port: u8| {
        let end = system.port(from, port).filter(|end| end.chip == to)?;
        Some(Between { ports: [port, end.port], level: end.level })
    };
    (0..system.ports() as u8).filter_map(link).collect()
}

fn problem(code: &'static str, what: String) -> Diagnostic {
    Diagnostic::new(Kind::Unsupported, code, what)
}

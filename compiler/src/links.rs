//! What a chip's program may know of the links around it.

mod gates;

use isa::Queue;

pub use gates::Gates;

/// Time on a link, in cycles of the chips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// From the Send of a vector to the next one.
    pub vector_cycles: u32,
    /// From the Send of a vector to the earliest Receive at the other end.
    pub latency_cycles: u32,
}

/// Where a tensor comes from or goes to, in place of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Name of the graph's input or output.
    pub tensor: String,
    /// Links that share its vectors.
    pub links: Vec<Queue>,
    /// Their pace.
    pub pace: Pace,
    /// The chips that have those links, if not all have.
    pub gates: Option<Gates>,
}

/// How the chips of a node reach those of another node through some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The chips with links.
    pub gates: Gates,
    /// Links that share the vectors: one name for both ends.
    pub links: Vec<Queue>,
    /// Their pace.
    pub pace: Pace,
}

/// Chips of a group that exchange vectors: those whose ranks agree but for the digit rank / stride mod chips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// How many.
    pub chips: usize,
    /// Ranks from one to the next.
    pub stride: usize,
    /// Links to the chip that is 1, 2, … ahead. Those to the chip that is d behind are those to the chip that is as many ahead as there are
    /// chips, less d.
    pub peers: Vec<Vec<Queue>>,
    /// Their pace.
    pub pace: Pace,
    /// In place of links of each chip: how the node that is 1, 2, … ahead is reached.
    pub ways: Vec<Way>,
}

/// The rank so far ahead of a rank, round an axis of so many chips with so many ranks from one to the next.
pub fn ahead((chips, stride): (usize, usize), rank: usize, distance: usize) -> usize {
    let own = rank / stride % chips;
    rank - own * stride + (own + distance) % chips * stride
}

/// The links of a chip, by the names that its program has for them. All chips of a group run the program in the same cycles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The axes of the group.
    pub axes: Vec<Axis>,
    /// Inputs that come from another chip, before all else.
    pub arrivals: Vec<Transfer>,
    /// Outputs that go to another chip.
    pub departures: Vec<Transfer>,
}

impl Links {
    /// The chips along an axis of the group.
    pub fn axis(&self, chips: usize, stride: usize) -> Option<&Axis> {
        self.axes.iter().find(|axis| (axis.chips, axis.stride) == (chips, stride))
    }

    /// Chips of the group.
    pub fn chips(&self) -> usize {
        self.axes.iter().map(|axis| axis.chips).product()
    }

    /// How an input arrives, if not from the host.
    pub fn arrival(&self, name: &str) -> Option<&Transfer> {
        self.arrivals.iter().find(|transfer| transfer.tensor == name)
    }

    /// How an output departs, if not to the host.
    pub fn departure(&self, name: &str) -> Option<&Transfer> {
        self.departures.iter().find(|transfer| transfer.tensor == name)
    }
}

//! Which MEM slices do what: left operands and 32-bit arrays near the VXM, weights near the MXM.
//!
//! Weights are striped over as many slices as the MXM can take streams from in a cycle. While a tile loads, it may so use every
//! outward stream; activations pass between tiles. The other slices are groups of four (32-bit arrays) and pairs (binary16 left operands).
//!
//! Where room is short, weights take half of the groups' slices, too (a *crowded* plan): the first bank, so that 32-bit arrays have the others.

use isa::Chip;
use isa::place::{Hemisphere, Slice};

use super::storage::Region;
use crate::diagnostic::{Diagnostic, Kind};

/// Slices of a hemisphere that the arrays of a program need beside its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Pairs for the left operands of products.
    pub pairs: u16,
    /// Groups of four, at least.
    pub groups: u16,
}

impl Room {
    /// What every program gets.
    pub const LEAST: Room = Room { pairs: 2, groups: 2 };
}

/// Division of a hemisphere's slices; both hemispheres alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floorplan {
    /// Groups of four slices.
    pub groups: u16,
    /// Pairs of slices.
    pub pairs: u16,
    /// Stripes (pairs of slices) of a set of weights.
    pub stripes: u16,
    /// Sets.
    pub sets: u16,
    /// In a crowded plan, stripes more that weights lie in than arrive together, of each plane's and of each set's; else 0.
    pub extra: u16,
}

/// Tiles after which the stripes of a crowded plan have had their turn at most: what a slice reads in one round is said in so many runs.
const LONGEST_ROUND: u16 = 8;

impl Floorplan {
    /// Divides the slices of a chip.
    pub fn new(chip: &Chip, room: Room) -> Result<Floorplan, Diagnostic> {
        let slices = chip.mem.slices_per_hemisphere;
        let least = room.groups * 4 + room.pairs * 2;
        let loadable = 2 * chip.mxm.load_streams_per_plane;
        let striped = loadable.min(chip.streams).min(slices.saturating_sub(least)) / 4 * 4;
        if striped < 4 || usize::from(chip.mxm.rows) != chip.lanes {
            let message = format!(
                "chip {}: {slices} MEM slices per hemisphere and planes of {} rows by {} lanes: this compiler needs at least {} slices, \
                 and as many rows as lanes",
                chip.name,
                chip.mxm.rows,
                chip.lanes,
                least + 4,
            );
            return Err(Diagnostic::new(Kind::Unsupported, "chip-too-small", message));
        }
        let sets = ((slices - least) / striped).max(1);
        let groups = (slices - sets * striped - room.pairs * 2) / 4;
        Ok(Floorplan { groups, pairs: room.pairs, stripes: striped / 2, sets, extra: 0 })
    }

    /// The same with weights in groups, too; nothing where there is no room for a whole round of stripes.
    pub fn crowded(&self, chip: &Chip) -> Option<Floorplan> {
        let fits = |extra: &u16| {
            let round = self.stripes.is_multiple_of(*extra) && self.stripes / extra <= LONGEST_ROUND;
            round && 2 * extra <= 4 * self.groups
        };
        let extra = (1..=self.stripes).rev().find(fits)?;
        (chip.mem.banks > 1).then(|| Floorplan { extra, ..self.clone() })
    }

    /// Words of all slices of a hemisphere together in which weights can lie.
    pub fn room(&self, chip: &Chip) -> u64 {
        let own = u64::from(self.sets * 2 * self.stripes) * u64::from(chip.words_per_slice());
        own + u64::from(2 * self.extra) * u64::from(chip.mem.words_per_bank)
    }

    /// Slices of a region, in order: byte 0, byte 1, … of stripe 0, then of stripe 1, ….
    pub fn slices(&self, region: Region) -> std::ops::Range<u16> {
        // Weights of a crowded plan adjoin the groups that they share, and pairs are nearer.
        let (group, pair) = if self.extra > 0 { (2 * self.pairs, 0) } else { (0, 4 * self.groups) };
        let (wide, all) = (self.inner() - 2 * self.extra, self.stripes + self.extra);
        let (first, count) = match region {
            Region::Group(_, n) => (group + 4 * n, 4),
            Region::Pair(_, n) => (pair + 2 * n, 2),
            Region::WideSet(_) => (wide, 2 * all),
            Region::WideStrip(_, plane) => (wide + if plane == 0 { all } else { 0 }, all),
            Region::Set(_, n) => (self.first_of_set(n), 2 * self.stripes),
            // Plane 0 loads from the slices nearer to it, so that it can begin sooner.
            Region::Strip(_, n, plane) => {
                (self.first_of_set(n) + if plane == 0 { self.stripes } else { 0 }, self.stripes)
            }
        };
        first..first + count
    }

    /// Stripes of a region for elements of `width` bytes.
    pub fn stripes_of(&self, region: Region, width: usize) -> u32 {
        self.slices(region).len() as u32 / width as u32
    }

    /// How often an element of a number of bytes is held: a pair of slices has a copy of bytes for each of two planes.
    pub fn copies(&self, region: Region, width: usize) -> u16 {
        if matches!(region, Region::Pair(..)) && width == 1 { 2 } else { 1 }
    }

    /// Slices of a hemisphere that hold no weights: those nearest to the VXM.
    pub fn inner(&self) -> u16 {
        self.first_of_set(0)
    }

    fn first_of_set(&self, n: u16) -> u16 {
        4 * self.groups + 2 * self.pairs + 2 * self.stripes * n
    }

    /// The slice that holds a byte of a stripe whose elements take `width` bytes.
    pub fn slice(&self, region: Region, stripe: u32, width: usize, byte: usize) -> u16 {
        self.slices(region).start + (stripe as usize * width + byte) as u16
    }
}

impl Region {
    /// Half of the chip.
    pub fn hemisphere(self) -> Hemisphere {
        match self {
            Region::Group(hemisphere, _)
            | Region::Pair(hemisphere, _)
            | Region::Set(hemisphere, _)
            | Region::Strip(hemisphere, ..)
            | Region::WideSet(hemisphere)
            | Region::WideStrip(hemisphere, _) => hemisphere,
        }
    }

    /// Whether its slices are those of a crowded plan's weights.
    pub fn is_wide(self) -> bool {
        matches!(self, Region::WideSet(_) | Region::WideStrip(..))
    }
}

/// Position of a MEM slice.
pub fn position(chip: &Chip, hemisphere: Hemisphere, slice: u16) -> i32 {
    Slice::Mem(hemisphere, slice).position(chip)
}

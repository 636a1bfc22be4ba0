//! How the planes share the work of a product with constant weights.
//!
//! Weight rows are cut into tiles of as many rows as a plane has; a tile's result is one chunk of the product's columns. Whole tiles go to
//! the sites (planes, or pairs of planes) in turns. The tiles that are left over are cut along k, so that every site gets an equal share; the
//! sums of such a tile's parts are added afterwards.

use isa::place::Hemisphere;
use isa::{Chip, Format};

use super::storage::{Deal, Region, Unit};

/// Cycles that cutting the last tiles along k must save to be worth the addition afterwards.
const WORTH_CUTTING: u32 = 24;

/// What multiplies: a plane, or two that are one for binary16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Which half.
    pub hemisphere: Hemisphere,
    /// The plane, or the first of two.
    pub plane: u8,
    /// Whether two planes are one.
    pub paired: bool,
}

impl Site {
    /// All sites that multiply in a format.
    pub fn all(chip: &Chip, format: Format) -> Vec<Site> {
        let paired = format == Format::F16;
        let planes = if paired { 1 } else { chip.mxm.planes_per_hemisphere.min(2) };
        let of_plane = |plane| Hemisphere::BOTH.map(|hemisphere| Site { hemisphere, plane, paired });
        (0..planes).flat_map(of_plane).collect()
    }

    /// Where its weights lie, in one of the sets.
    pub fn region(self, set: Set) -> Region {
        match (self.paired, set) {
            (true, Set::Number(set)) => Region::Set(self.hemisphere, set),
            (false, Set::Number(set)) => Region::Strip(self.hemisphere, set, self.plane),
            (true, Set::Wide) => Region::WideSet(self.hemisphere),
            (false, Set::Wide) => Region::WideStrip(self.hemisphere, self.plane),
        }
    }

    /// The site whose weights lie in a region.
    pub fn of(region: Region) -> Option<Site> {
        match region {
            Region::Set(hemisphere, _) | Region::WideSet(hemisphere) => {
                Some(Site { hemisphere, plane: 0, paired: true })
            }
            Region::Strip(hemisphere, _, plane) | Region::WideStrip(hemisphere, plane) => {
                Some(Site { hemisphere, plane, paired: false })
            }
            Region::Group(..) | Region::Pair(..) => None,
        }
    }
}

/// Which slices weights lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Those of one set.
    Number(u16),
    /// Those of a crowded plan.
    Wide,
}

/// Weights of a product: [batches, rows, chunks of k].
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// Batches.
    pub batches: u32,
    /// Rows of a batch.
    pub rows: u32,
    /// Chunks of k.
    pub chunks: u32,
}

/// A tile, or some chunks of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    row: u32,
    rows: u32,
    chunk: u32,
    chunks: u32,
}

/// How activations and weight rows take turns on the streams of a site.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Weight rows that arrive together at most.
    pub stripes: u32,
    /// Stripes that weights lie in. If they are more than arrive together, tiles are dealt in rounds.
    pub lie: u32,
    /// Whether an index chooses the weights: it takes some of the streams.
    pub chosen: bool,
    /// The last of them, whose streams activations come on as well.
    pub shared: u32,
    /// Activation vectors per tile, in one go.
    pub vectors: u32,
    /// Activation vectors in all.
    pub all: u32,
    /// Cycles that a vector keeps the plane busy.
    pub cycles: u32,
    /// Whether weights nearly fill their slices, so that each stripe has to hold its share.
    pub crowded: bool,
}

impl Pace {
    /// Rows in a stripe, and about the cycles that a tile of some rows takes. Activations share the last stripes' streams, or have them
    /// to themselves.
    pub fn tile(&self, rows: u32) -> (u32, u32) {
        let busy = self.vectors * self.cycles;
        if self.chosen {
            let stripes = self.dealt(rows);
            let per_stripe = rows.div_ceil(stripes).max(1);
            let alone = stripes + self.shared <= self.stripes;
            return (per_stripe, if alone { per_stripe.max(busy) } else { per_stripe + busy });
        }
        let shared = rows.div_ceil(self.stripes).max(1);
        let last = rows.saturating_sub((self.stripes - self.shared) * shared).min(shared);
        let with_shared = shared.max(if last == 0 { busy } else { last + busy });
        let alone = rows.div_ceil(self.stripes - self.shared).max(1);
        let with_alone = alone.max(busy);
        if with_alone < with_shared && !self.crowded { (alone, with_alone) } else { (shared, with_shared) }
    }
}

impl Pace {
    /// Stripes of those that weights lie in which a chosen tile of some rows takes: as many as make a round come out even, and of these the fewest cycles;
    /// or where room is short, the least waste.
    fn dealt(&self, rows: u32) -> u32 {
        let even = |stripes: &u32| self.lie.is_multiple_of(self.lie - stripes);
        let even = (1..=self.stripes.min(self.lie - 1)).filter(even);
        let key = |stripes: &u32| {
            let per_stripe = rows.div_ceil(*stripes);
            let [cycles, waste] = [per_stripe, per_stripe * stripes];
            if self.crowded { [waste, cycles] } else { [cycles, waste] }
        };
        even.min_by_key(key).unwrap_or(self.stripes)
    }

    /// Tiles of as many rows after which each stripe has had its turn, if they are dealt.
    fn round(&self, rows: u32) -> Option<u32> {
        let taken = if self.chosen { self.dealt(rows) } else { self.stripes };
        (taken < self.lie).then(|| self.lie / (self.lie - taken))
    }
}

/// How many sites hold each tile, to multiply shares of the activations: more than one where tiles are few and activations many.
fn copies(weights: Weights, tile_rows: u32, sites: u32, pace: &Pace) -> u32 {
    let tiles = weights.batches * weights.rows.div_ceil(tile_rows);
    let cycles = |copies: u32| {
        let vectors = pace.all.div_ceil(copies);
        let blocks = vectors.div_ceil(pace.vectors).max(1);
        let own = Pace { vectors: vectors.div_ceil(blocks), ..*pace };
        let cost = |tiles: u32| tiles * weights.chunks * blocks * own.tile(weights.rows.min(tile_rows)).1;
        let most = cost((tiles * copies).div_ceil(sites));
        // Tiles that are left over may be cut along k instead, for a pass that adds the sums.
        let cut = cost(tiles * copies).div_ceil(sites) + pace.all * (tiles % sites);
        if copies == 1 { most.min(cut) } else { most }
    };
    // More copies take more SRAM: they have to be worth it.
    let worth = |copies: &u32| cycles(*copies) < cycles(1) / 10 * 9;
    (2..=sites)
        .filter(|copies| sites.is_multiple_of(*copies))
        .filter(worth)
        .min_by_key(|&n| cycles(n))
        .unwrap_or(1)
}

/// Cuts the weights: for each site, what it does, in the order of its words.
pub fn share(weights: Weights, tile_rows: u32, sites: &[Site], set: Set, pace: &Pace) -> Vec<Unit> {
    let copies = copies(weights, tile_rows, sites.len() as u32, pace);
    let mut parts = match copies {
        1 => parts(weights, tile_rows, sites.len(), pace),
        _ => copied(weights, tile_rows, sites.len(), copies),
    };
    // Plane 1 is free of a pair only once plane 0 holds weights of its own, so it never works alone.
    for (second, site) in sites.iter().enumerate().filter(|(_, site)| site.plane > 0) {
        let first = sites.iter().position(|other| other.hemisphere == site.hemisphere && other.plane == 0);
        if let Some(first) = first.filter(|&first| parts[first].is_empty()) {
            parts.swap(first, second);
        }
    }
    let mut units = Vec::new();
    for (site, parts) in sites.iter().zip(parts) {
        let mut last: Option<Unit> = None;
        for part in parts {
            let (per_stripe, round) = (pace.tile(part.rows).0, pace.round(part.rows));
            // Tiles of as many rows a stripe go on in the round of those before.
            let dealt = last.filter(|last| last.per_stripe == per_stripe);
            let (word, deal) = match (round, dealt) {
                (Some(round), Some(Unit { word, chunks, deal: Some(deal), .. })) if deal.round == round => {
                    (word, Some(Deal { round, before: deal.before + chunks }))
                }
                (Some(round), _) => (end(last), Some(Deal { round, before: 0 })),
                (None, _) => (end(last), None),
            };
            let Part { row, rows, chunk, chunks } = part;
            let region = site.region(set);
            let unit = Unit { region, stripe: 0, word, row, rows, chunk, chunks, per_stripe, deal };
            last = Some(unit);
            units.push(unit);
        }
    }
    units.sort_by_key(|unit| (unit.row, unit.chunk));
    units
}

/// The word after a unit and all before it.
fn end(last: Option<Unit>) -> u32 {
    last.map_or(0, |unit| unit.word + unit.words())
}

fn tiles(weights: Weights, tile_rows: u32) -> Vec<Part> {
    let mut tiles = Vec::new();
    for batch in 0..weights.batches {
        for first in (0..weights.rows).step_by(tile_rows as usize) {
            let rows = tile_rows.min(weights.rows - first);
            tiles.push(Part { row: batch * weights.rows + first, rows, chunk: 0, chunks: weights.chunks });
        }
    }
    tiles
}

/// Each tile to as many sites as there are copies, which go to the sites in turns.
fn copied(weights: Weights, tile_rows: u32, sites: usize, copies: u32) -> Vec<Vec<Part>> {
    let mut shares = vec![Vec::new(); sites];
    let all =
        tiles(weights, tile_rows).into_iter().flat_map(|tile| std::iter::repeat_n(tile, copies as usize));
    for (at, tile) in all.enumerate() {
        shares[at % sites].push(tile);
    }
    shares
}

fn parts(weights: Weights, tile_rows: u32, sites: usize, pace: &Pace) -> Vec<Vec<Part>> {
    let tiles = tiles(weights, tile_rows);
    let cost = |part: &Part| pace.tile(part.rows).1 * part.chunks;
    let whole = tiles.len() / sites * sites;
    let (whole, rest) = tiles.split_at(whole);
    let uncut = rest.iter().map(cost).max().unwrap_or(0);
    let total: u32 = rest.iter().map(cost).sum();
    let mut shares = vec![Vec::new(); sites];
    if uncut >= total.div_ceil(sites as u32) + WORTH_CUTTING {
        // Cut parts come first, so that their sums are added while the whole tiles are at work.
        for (share, parts) in shares.iter_mut().zip(cut(rest, sites, total, cost)) {
            share.extend(parts);
        }
    }
    for (at, tile) in whole.iter().enumerate() {
        shares[at % sites].push(*tile);
    }
    if shares.iter().map(|share| share.iter().map(|part| part.chunks * part.rows).sum::<u32>()).sum::<u32>()
        < weights.batches * weights.rows * weights.chunks
    {
        for (share, tile) in shares.iter_mut().zip(rest) {
            share.push(*tile);
        }
    }
    shares
}

/// Cuts tiles along k into as many shares of about equal cost.
fn cut(tiles: &[Part], sites: usize, total: u32, cost: impl Fn(&Part) -> u32) -> Vec<Vec<Part>> {
    let mut shares: Vec<Vec<Part>> = vec![Vec::new(); sites];
    let mut done = 0;
    for tile in tiles {
        let one = cost(&Part { chunks: 1, ..*tile });
        for chunk in 0..tile.chunks {
            // By the middle of the chunk's cost.
            let middle = u64::from(2 * done + one) * sites as u64 / u64::from(2 * total.max(1));
            let share = &mut shares[(middle as usize).min(sites - 1)];
            match share.last_mut() {
                Some(part) if part.row == tile.row => part.chunks += 1,
                _ => share.push(Part { chunk, chunks: 1, ..*tile }),
            }
            done += one;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(rows: u32, chunks: u32) -> Vec<Vec<(u32, u32, u32, u32)>> {
        let pace = Pace {
            stripes: 32,
            lie: 32,
            chosen: false,
            shared: 1,
            vectors: 1,
            all: 1,
            cycles: 1,
            crowded: false,
        };
        let parts = parts(Weights { batches: 1, rows, chunks }, 320, 4, &pace);
        let tuple = |part: &Part| (part.row, part.rows, part.chunk, part.chunks);
        parts.iter().map(|share| share.iter().map(tuple).collect()).collect()
    }

    #[test]
    fn whole_tiles_go_round_and_the_rest_is_cut_along_k() {
        // 4096 rows are twelve tiles and 256 rows; 13 chunks of these are 3, 4, 3 and 3.
        let shares = shares(4096, 13);
        let cut: Vec<u32> = shares.iter().map(|share| share[0].3).collect();
        assert_eq!(cut.iter().sum::<u32>(), 13);
        assert!(cut.iter().all(|&chunks| chunks == 3 || chunks == 4), "{cut:?}");
        for (site, share) in shares.iter().enumerate() {
            assert_eq!(share[0].0, 3840);
            let whole: Vec<u32> = share[1..].iter().map(|part| part.0).collect();
            assert_eq!(whole, [0, 4, 8].map(|tile| (tile + site as u32) * 320));
        }
    }

    #[test]
    fn chosen_tiles_take_stripes_that_a_round_fills() {
        let pace = Pace {
            stripes: 12,
            lie: 16,
            chosen: true,
            shared: 1,
            vectors: 1,
            all: 1,
            cycles: 1,
            crowded: false,
        };
        // Rows in a stripe, and tiles of a round: three rows of eleven stripes are the fastest, four of eight leave nothing empty.
        assert_eq!((pace.tile(32).0, pace.round(32)), (3, Some(4)));
        let crowded = Pace { crowded: true, ..pace };
        assert_eq!((crowded.tile(32).0, crowded.round(32)), (4, Some(2)));
    }

    #[test]
    fn what_gains_little_is_not_cut() {
        assert_eq!(shares(400, 2), [vec![(0, 320, 0, 2)], vec![(320, 80, 0, 2)], vec![], vec![]]);
    }
}

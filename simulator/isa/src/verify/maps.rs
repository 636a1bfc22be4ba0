//! What each lane map can be used for.

use crate::Chip;
use crate::program::ZERO_LANE;

/// Which maps Permute and Distribute can use; Select takes any.
pub(super) struct MapKinds {
    permutes: Vec<bool>,
    distributes: Vec<bool>,
}

impl MapKinds {
    pub(super) fn of(maps: &[Vec<u16>], chip: &Chip) -> Self {
        let permutes = |map: &Vec<u16>| {
            let mut used = vec![false; chip.lanes];
            map.iter().filter(|&&lane| lane != ZERO_LANE).all(|&lane| {
                used.get_mut(usize::from(lane)).is_some_and(|used| !std::mem::replace(used, true))
            })
        };
        let per_superlane = chip.lanes_per_superlane;
        let distributes = |map: &Vec<u16>| {
            let within = |&lane: &u16| lane == ZERO_LANE || usize::from(lane) < per_superlane;
            map.len() >= per_superlane && map[..per_superlane].iter().all(within)
        };
        MapKinds {
            permutes: maps.iter().map(permutes).collect(),
            distributes: maps.iter().map(distributes).collect(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.permutes.len()
    }

    pub(super) fn permutes(&self, map: usize) -> bool {
        self.permutes[map]
    }

    pub(super) fn distributes(&self, map: usize) -> bool {
        self.distributes[map]
    }
}

//! Lane maps, each kept once.

use isa::instruction::MapId;
use isa::program::ZERO_LANE;

/// The lane maps of a program.
#[derive(Clone, Debug, Default)]
pub struct Maps {
    lanes: usize,
    maps: Vec<Vec<u16>>,
    rotations: Vec<([usize; 3], MapId)>,
}

impl Maps {
    /// No maps yet.
    pub fn new(lanes: usize) -> Maps {
        Maps { lanes, ..Maps::default() }
    }

    /// Maps n, n + 1, …: lane i gets lane i + j · step (modulo lanes), for j below `count`; then `zeros` maps that leave nothing. Returns n.
    pub fn rotations(&mut self, count: usize, step: usize, zeros: usize) -> MapId {
        let holds = |old: &[usize; 3]| {
            *old == [count, step, zeros] || (zeros == 0 && old[0] >= count && old[1] == step)
        };
        if let Some((_, first)) = self.rotations.iter().find(|(old, _)| holds(old)) {
            return *first;
        }
        let first = self.maps.len() as MapId;
        for j in 0..count {
            self.maps.push((0..self.lanes).map(|lane| ((lane + j * step) % self.lanes) as u16).collect());
        }
        self.maps.extend(std::iter::repeat_n(vec![ZERO_LANE; self.lanes], zeros));
        self.rotations.push(([count, step, zeros], first));
        first
    }

    /// The map that moves stretches of lanes: (first destination lane, first source lane, number of lanes); other lanes get zero.
    pub fn stretches(&mut self, stretches: &[(usize, usize, usize)]) -> MapId {
        let mut map = vec![ZERO_LANE; self.lanes];
        for &(to, from, count) in stretches {
            for lane in 0..count {
                map[to + lane] = (from + lane) as u16;
            }
        }
        let found = self.maps.iter().position(|old| *old == map);
        found.unwrap_or_else(|| {
            self.maps.push(map);
            self.maps.len() - 1
        }) as MapId
    }

    /// All maps.
    pub fn into_vec(self) -> Vec<Vec<u16>> {
        self.maps
    }
}

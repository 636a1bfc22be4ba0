//! The compiled code that tapes call, by number.

use indexmap::IndexMap;

use isa::Chip;

use crate::fast::native::{Chain, ChainCode, LaneCode, LaneMove, Library};

/// Code that has been compiled so far, one for each distinct shape.
pub(crate) struct Kernels {
    chain_numbers: IndexMap<Chain, u32>,
    move_numbers: IndexMap<LaneMove, u32>,
    pub(crate) chains: Vec<ChainCode>,
    pub(crate) moves: Vec<LaneCode>,
    /// The shapes of the chains, and the numbers of sources of the moves.
    shapes: Vec<Chain>,
    sources: Vec<u8>,
    /// Last, as the code above must not outlive it.
    library: Library,
}

impl Kernels {
    /// None yet.
    pub(crate) fn new(chip: &Chip) -> Kernels {
        Kernels {
            chain_numbers: IndexMap::new(),
            move_numbers: IndexMap::new(),
            chains: Vec::new(),
            moves: Vec::new(),
            shapes: Vec::new(),
            sources: Vec::new(),
            library: Library::new(chip.lanes),
        }
    }

    /// The number of a chain's code.
    pub(crate) fn chain(&mut self, chain: Chain) -> u32 {
        if let Some(number) = self.chain_numbers.get(&chain) {
            return *number;
        }
        let number = self.chains.len() as u32;
        self.chains.push(self.library.chain(&chain));
        self.shapes.push(chain.clone());
        self.chain_numbers.insert(chain, number);
        number
    }

    /// The shape of a chain.
    pub(crate) fn shape(&self, number: u32) -> Option<&Chain> {
        self.shapes.get(number as usize)
    }

    /// How many source words a move has.
    pub(crate) fn sources(&self, number: u32) -> usize {
        self.sources.get(number as usize).copied().unwrap_or(0).into()
    }

    /// The number of a move's code.
    pub(crate) fn lane_move(&mut self, lane_move: LaneMove) -> u32 {
        if let Some(number) = self.move_numbers.get(&lane_move) {
            return *number;
        }
        let number = self.moves.len() as u32;
        self.moves.push(self.library.lane_move(&lane_move));
        self.sources.push(lane_move.sources);
        self.move_numbers.insert(lane_move, number);
        number
    }
}

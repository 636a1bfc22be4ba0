//! Random programs for small chips: legal ones, damaged ones, and wholly random ones. A seed names each, for ever.
//!
//! A legal program is made of pieces: a value comes from SRAM, an ALU, or a product, goes through slices as it passes them, and is written
//! somewhere down its stream. [`board::Board`] knows what is free, so that every piece leaves the program legal.
#![allow(dead_code, unreachable_pub, reason = "as in the rest of the support")]

mod aim;
mod board;
mod chips;
mod census;
mod damage;
mod indexed;
mod memory;
mod observe;
mod pieces;
mod products;
mod replace;
mod rng;
mod wild;

pub use census::{ALL as FEATURES, features};
pub use observe::{Outcome, observed, outcome};
pub use rng::Rng;

use isa::{Chip, ChipProgram, Program};

/// A chip and a program for it.
#[derive(Clone, Debug)]
pub struct Case {
    pub chip: Chip,
    pub program: Program,
}

impl Case {
    fn new(chip: &Chip, one: ChipProgram) -> Case {
        let nodes = ["", "first", "second", "third"].map(str::to_owned).to_vec();
        Case { chip: chip.clone(), program: Program { chip: chip.name.clone(), nodes, chips: vec![one] } }
    }
}

/// A program without hazards.
pub fn legal(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let chips = chips::all();
    let chip = rng.pick(&chips).clone();
    pieces::program(rng, &chip)
}

/// A program that may have hazards, but can be loaded: a legal one with one or two damages, or a wholly random one.
pub fn damaged(seed: u64) -> Case {
    let mut rng = Rng::new(seed ^ 0xdead_beef);
    loop {
        let case = if rng.chance(80) {
            damage::damaged(&mut rng, legal(seed))
        } else {
            let chips = chips::all();
            let chip = rng.pick(&chips).clone();
            wild::program(&mut rng, &chip)
        };
        if simulator::Machine::load(simulator::Engine::Reference, &case.chip, &case.program).is_ok() {
            return case;
        }
    }
}

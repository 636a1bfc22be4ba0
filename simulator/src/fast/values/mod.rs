//! Values: what a checked program computes, vector by vector.
//!
//! The program is unrolled once into a [`tape`] of operations on words, in which every value's way over the streams has been followed
//! already; long programs in stretches. A tape that fits is kept for the next run.

mod bits;
mod build;
mod execute;
mod fuse;
mod kernels;
mod memory;
mod slots;
mod tape;
mod tiles;
mod unroll;

use isa::{Chip, ChipProgram};

use crate::event::Watch;
use build::Builder;
pub(crate) use build::{Lost, Workshop};
use kernels::Kernels;
pub(crate) use memory::Memory;
use tape::Tape;
use tiles::Tiles;

/// Operations on one stretch of tape: about a hundred megabytes at most.
const STRETCH: usize = 2 << 20;

/// Bytes that tiles may take beside: those with rows that were not loaded are larger than what they are made of.
const SPARE: usize = 50 << 20;

/// Executes one program's values, as often as one likes.
pub(crate) struct Values {
    kernels: Kernels,
    tiles: Tiles,
    /// The whole program, if it is short enough.
    tape: Option<Tape>,
    watched: bool,
    /// Operations on one stretch of tape.
    stretch: usize,
}

impl Values {
    /// Nothing is compiled yet. Tiles may take as many bytes as the program brings, and a little more.
    pub(crate) fn new(chip: &Chip, program: &ChipProgram) -> Values {
        let brought: usize = program.memory.iter().map(|segment| segment.words as usize * chip.lanes).sum();
        Values {
            kernels: Kernels::new(chip),
            tiles: Tiles::new(brought + SPARE),
            tape: None,
            watched: false,
            stretch: STRETCH,
        }
    }

    /// Executes the program once. Says whether no word was used whose values nobody had brought.
    pub(crate) fn run(
        &mut self,
        chip: &Chip,
        program: &ChipProgram,
        memory: &mut Memory,
        mut watch: Option<Watch<'_>>,
    ) -> Result<bool, Lost> {
        if watch.is_some() && !self.watched {
            self.watched = true;
            self.tape = None;
        }
        let (kernels, tiles) = (&mut self.kernels, &mut self.tiles);
        let mut shop = Workshop { chip, program, memory, kernels, tiles };
        if let Some(tape) = &self.tape {
            return Ok(stretch(&mut shop, tape, watch, true));
        }
        let mut builder = Builder::new(&shop, self.watched);
        let mut tape = Tape::new(shop.memory.places.buffers.start as usize);
        let (mut known, mut stretches) = (true, 0);
        loop {
            tape.clear();
            let ended = builder.fill(&mut shop, &mut tape, self.stretch)?;
            fuse::fuse(&mut tape, shop.kernels, &shop.memory.places);
            known &= stretch(&mut shop, &tape, reborrow(&mut watch), false);
            stretches += 1;
            if ended {
                break;
            }
        }
        if stretches == 1 {
            tape.ops.shrink_to_fit();
            self.tape = Some(tape);
        }
        Ok(known)
    }
}

/// Executes a tape. What it writes is known afterwards, which need not be said twice of one tape.
fn stretch(shop: &mut Workshop<'_>, tape: &Tape, watch: Option<Watch<'_>>, again: bool) -> bool {
    let known = !tape.unknown.meets(&shop.memory.unknown);
    let chosen = execute::execute(shop, tape, watch);
    if !again {
        shop.memory.written(&tape.written);
    }
    known && chosen
}

/// The watcher, for one stretch.
fn reborrow<'a>(watch: &'a mut Option<Watch<'_>>) -> Option<Watch<'a>> {
    match watch {
        Some(watch) => Some(&mut **watch),
        None => None,
    }
}

#[cfg(test)]
mod tests;

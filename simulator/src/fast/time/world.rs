//! What an instruction asks of its surroundings when it is dispatched, and the checks of each kind of instruction in their order.
//!
//! The order is the reference's, since the first check that fails says what the fault is. What the answers are is another matter: of a cycle in
//! question, exact ([`super::moment`]); for the checks that depend on nothing but the instruction, always good ([`AtRest`]).

use isa::instruction::{Mem, Operand, Sxm, Vxm, Window};
use isa::place::{Hemisphere, Queue};
use isa::stream::{Format, Stream};
use isa::{C2c, Chip, Icu, Instruction};

use super::Joined;
use super::fetch::TextWords;
use crate::fault::{Dispatch, Raised};
use crate::reference::sxm::{check_distribution, check_permutation, check_selection, find};
use crate::stream::{check_group, name};

/// The surroundings in the cycle of a dispatch.
pub(super) trait World {
    fn chip(&self) -> &Chip;
    fn maps(&self) -> &[Vec<u16>];
    /// Do the chip's links lead anywhere?
    fn joined(&self) -> Joined;
    /// Does a value pass this position on this stream?
    fn holds(&self, stream: Stream, position: i32) -> bool;
    /// Did this ALU dispatch something in `cycle`?
    fn dispatched(&self, alu: u8, cycle: u64) -> bool;
    /// The words that hold instruction text.
    fn text(&self) -> &TextWords;
    /// The read port of this slice uses a bank.
    fn read_from(&mut self, slice: (Hemisphere, u16), bank: u32);
    /// The bank that the read port of this slice uses.
    fn reading(&self, slice: (Hemisphere, u16)) -> Option<u32>;
    /// Is this word complete?
    fn readable(&self, by: &Dispatch, slice: (Hemisphere, u16), word: u32) -> Result<(), Raised>;

    /// Has the chip these streams?
    fn check(&self, by: &Dispatch, stream: Stream, count: usize, align: usize) -> Result<(), Raised> {
        check_group(self.chip().streams.into(), by, stream, count, align)
    }

    /// Takes adjacent streams.
    fn take(&self, by: &Dispatch, stream: Stream, count: usize, position: i32) -> Result<(), Raised> {
        self.check(by, stream, count, 1)?;
        match (0..count).map(|offset| name(stream, offset)).find(|one| !self.holds(*one, position)) {
            Some(hole) => Err(by.empty_slot(hole, position)),
            None => Ok(()),
        }
    }

    /// Takes one wide value.
    fn take_group(&self, by: &Dispatch, stream: Stream, format: Format, position: i32) -> Result<(), Raised> {
        let count = usize::from(format.streams());
        self.check(by, stream, count, count)?;
        self.take(by, stream, count, position)
    }
}

/// The checks of an instruction outside the MXM.
pub(super) fn dispatch(world: &mut impl World, by: &Dispatch) -> Result<(), Raised> {
    let position = by.queue.slice().position(world.chip());
    match (by.instruction, by.queue) {
        (Instruction::Mem(mem), Queue::MemRead(half, index) | Queue::MemWrite(half, index)) => {
            dispatch_mem(world, by, (half, index), position, mem)
        }
        (Instruction::Vxm(vxm), _) => dispatch_vxm(world, by, position, vxm),
        (Instruction::Sxm(sxm), _) => dispatch_sxm(world, by, position, sxm),
        (Instruction::Icu(Icu::Ifetch { stream }), _) => world.take(by, stream, 1, position),
        (Instruction::C2c(_), _) if world.joined() == Joined::No => {
            Err(crate::reference::c2c::not_connected(by))
        }
        (Instruction::C2c(C2c::Send { stream }), _) => world.take(by, stream, 1, position),
        (Instruction::C2c(C2c::Receive { stream }), _) => world.check(by, stream, 1, 1),
        _ => Ok(()),
    }
}

fn dispatch_mem(
    world: &mut impl World,
    by: &Dispatch,
    slice: (Hemisphere, u16),
    position: i32,
    mem: Mem,
) -> Result<(), Raised> {
    match mem {
        Mem::Read { address, stream } => {
            world.check(by, stream, 1, 1)?;
            let bank = bank_of(world.chip(), by, address)?;
            world.read_from(slice, bank);
            world.readable(by, slice, address)
        }
        Mem::Write { address, stream } => {
            use_write_port(world, by, slice, (address, 0))?;
            world.take(by, stream, 1, position)
        }
        Mem::Gather { window, index, stream } => {
            world.check(by, stream, 1, 1)?;
            check_window(world.chip(), by, window)?;
            let bank = bank_of(world.chip(), by, window.base)?;
            world.read_from(slice, bank);
            world.take_group(by, index, Format::I32, position)
        }
        Mem::Scatter { window, index, stream } => {
            check_window(world.chip(), by, window)?;
            use_write_port(world, by, slice, (window.base, window_span(window)))?;
            world.take_group(by, index, Format::I32, position)?;
            world.take(by, stream, 1, position)
        }
    }
}

fn bank_of(chip: &Chip, by: &Dispatch, address: u32) -> Result<u32, Raised> {
    if address >= chip.words_per_slice() {
        return Err(by.no_word(address.into(), chip.words_per_slice()));
    }
    Ok(address / chip.mem.words_per_bank)
}

fn use_write_port(
    world: &mut impl World,
    by: &Dispatch,
    slice: (Hemisphere, u16),
    (address, span): (u32, u64),
) -> Result<(), Raised> {
    let bank = bank_of(world.chip(), by, address)?;
    if let Some(word) = world.text().first_in(slice, address.into(), i64::from(address) + span as i64) {
        return Err(by.text_overwritten(word));
    }
    if world.reading(slice) == Some(bank) { Err(by.bank_conflict(bank)) } else { Ok(()) }
}

/// Words from a window's first to its last.
pub(super) fn window_span(window: Window) -> u64 {
    u64::from(window.count.saturating_sub(1)) * u64::from(window.stride)
}

fn check_window(chip: &Chip, by: &Dispatch, window: Window) -> Result<(), Raised> {
    let last = u64::from(window.base) + window_span(window);
    if last >= u64::from(chip.words_per_slice()) {
        return Err(by.no_word(last, chip.words_per_slice()));
    }
    let bank = chip.mem.words_per_bank;
    if window.base / bank != last as u32 / bank {
        return Err(by.window_across(window.base, last, bank));
    }
    Ok(())
}

fn dispatch_vxm(world: &impl World, by: &Dispatch, position: i32, vxm: Vxm) -> Result<(), Raised> {
    if let Some((stream, format)) = vxm.result {
        let count = usize::from(format.streams());
        world.check(by, stream, count, count)?;
    }
    [Some(vxm.a), vxm.b].into_iter().flatten().try_for_each(|operand| match operand {
        Operand::Immediate(_) => Ok(()),
        Operand::Stream(stream, format) => world.take_group(by, stream, format, position),
        Operand::Alu { alu, delay } => {
            let chip = world.chip();
            let (delay, least, most) =
                (u64::from(delay), u64::from(chip.latency.vxm), u64::from(chip.vxm.forward_depth));
            if delay < least || delay > most {
                return Err(by.forward_delay(delay, least, most));
            }
            if alu >= chip.vxm.alus {
                return Err(by.no_alu(alu, chip.vxm.alus.into()));
            }
            if by.cycle < delay || !world.dispatched(alu, by.cycle - delay) {
                return Err(by.forward_of_nothing(alu, delay));
            }
            Ok(())
        }
    })
}

fn dispatch_sxm(world: &impl World, by: &Dispatch, position: i32, sxm: Sxm) -> Result<(), Raised> {
    let (lanes, width) = (world.chip().lanes, world.chip().lanes_per_superlane);
    let take = |stream: Stream, count: usize| world.take(by, stream, count, position);
    let (to, count) = match sxm {
        Sxm::Shift { streams, from, to, .. } => {
            take(from, streams.into())?;
            (to, streams.into())
        }
        Sxm::Select { map, streams, from, other, to } => {
            let map = find(by, world.maps(), map)?;
            take(from, streams.into())?;
            take(other, streams.into())?;
            check_selection(by, map)?;
            (to, streams.into())
        }
        Sxm::Permute { map, streams, from, to } => {
            check_permutation(by, find(by, world.maps(), map)?, lanes)?;
            take(from, streams.into())?;
            (to, streams.into())
        }
        Sxm::Distribute { map, streams, from, to } => {
            check_distribution(by, find(by, world.maps(), map)?, width)?;
            take(from, streams.into())?;
            (to, streams.into())
        }
        Sxm::Rotate { n, from, to } => {
            take(from, n.into())?;
            (to, usize::from(n) * usize::from(n))
        }
        Sxm::Transpose { from, to } => {
            take(from, width)?;
            (to, width)
        }
    };
    world.check(by, to, count, 1)
}

/// Surroundings in which every value is there: what is refused here is wrong in itself.
pub(super) struct AtRest<'p> {
    pub(super) chip: &'p Chip,
    pub(super) maps: &'p [Vec<u16>],
    pub(super) joined: Joined,
    pub(super) text: &'p TextWords,
}

impl World for AtRest<'_> {
    fn chip(&self) -> &Chip {
        self.chip
    }
    fn maps(&self) -> &[Vec<u16>] {
        self.maps
    }
    fn joined(&self) -> Joined {
        self.joined
    }
    fn holds(&self, _: Stream, _: i32) -> bool {
        true
    }
    fn dispatched(&self, _: u8, _: u64) -> bool {
        true
    }
    fn text(&self) -> &TextWords {
        self.text
    }
    fn read_from(&mut self, _: (Hemisphere, u16), _: u32) {}
    fn reading(&self, _: (Hemisphere, u16)) -> Option<u32> {
        None
    }
    fn readable(&self, _: &Dispatch, _: (Hemisphere, u16), _: u32) -> Result<(), Raised> {
        Ok(())
    }
}

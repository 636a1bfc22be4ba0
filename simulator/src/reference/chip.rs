//! One chip in motion: the slices along the row, and what each does in a cycle.

use isa::place::{Hemisphere, Queue, Slice};
use isa::{Chip, Instruction};

use super::c2c::{C2cSlice, Vector};
use super::mem::MemSlice;
use super::mxm::MxmSlice;
use super::sxm::SxmSlice;
use super::vxm::VxmSlice;
use crate::event::Watch;
use crate::fault::{Dispatch, Raised};
use crate::stream::Registers;

/// The slices and the stream registers between them. SRAM belongs to the machine, and outlives a run.
pub(crate) struct Row<'m> {
    registers: Registers,
    mem: &'m mut [MemSlice],
    vxm: VxmSlice,
    mxm: [MxmSlice; 2],
    sxm: [SxmSlice; 2],
    c2c: [C2cSlice; 2],
    slices_per_hemisphere: usize,
}

fn side(hemisphere: Hemisphere) -> usize {
    match hemisphere {
        Hemisphere::East => 0,
        Hemisphere::West => 1,
    }
}

impl<'m> Row<'m> {
    /// A chip at rest.
    pub(crate) fn new(chip: &Chip, mem: &'m mut [MemSlice]) -> Row<'m> {
        mem.iter_mut().for_each(MemSlice::restart);
        Row {
            registers: Registers::new(chip),
            mem,
            vxm: VxmSlice::new(chip),
            mxm: Hemisphere::BOTH.map(|half| MxmSlice::new(chip, half, Slice::Mxm(half).position(chip))),
            sxm: Hemisphere::BOTH.map(|half| SxmSlice::new(chip, Slice::Sxm(half).position(chip))),
            c2c: Hemisphere::BOTH.map(|half| C2cSlice::new(chip, half)),
            slices_per_hemisphere: chip.mem.slices_per_hemisphere.into(),
        }
    }

    /// Nothing is under way but values on streams that nobody may ever take.
    pub(crate) fn is_idle(&self) -> bool {
        self.mem.iter().all(MemSlice::is_idle)
            && self.vxm.is_idle()
            && self.mxm.iter().all(MxmSlice::is_idle)
            && self.sxm.iter().all(SxmSlice::is_idle)
            && self.c2c.iter().all(C2cSlice::is_idle)
    }

    /// The stream registers.
    pub(crate) fn registers(&self) -> &Registers {
        &self.registers
    }

    /// Says in which cycle of the system's clock the chip's cycle 0 is.
    pub(crate) fn start_at(&mut self, start: u64) {
        self.c2c.iter_mut().for_each(|slice| slice.start_at(start));
    }

    /// What has been sent since this was last asked.
    pub(crate) fn take_sent(&mut self) -> Vec<Vector> {
        self.c2c.iter_mut().flat_map(C2cSlice::take_sent).collect()
    }

    /// Links at whose end a vector will arrive as one too many, if no other is received before.
    pub(crate) fn too_many(&self) -> impl Iterator<Item = (Queue, &Vector)> {
        self.c2c.iter().flat_map(C2cSlice::too_many)
    }

    /// Links with vectors that nobody has received, and the oldest of each.
    pub(crate) fn left(&self) -> impl Iterator<Item = (Queue, &Vector)> {
        self.c2c.iter().flat_map(C2cSlice::left)
    }

    /// The links of a queue's hemisphere; those of the east for a queue of another slice.
    pub(crate) fn c2c_mut(&mut self, queue: Queue) -> &mut C2cSlice {
        let hemisphere = match queue {
            Queue::C2c(hemisphere, _) => hemisphere,
            Queue::MemRead(..) | Queue::MemWrite(..) | Queue::Vxm(_) | Queue::Mxm(..) | Queue::Sxm(..) => {
                Hemisphere::East
            }
        };
        &mut self.c2c[side(hemisphere)]
    }

    /// Every value moves on by this many registers.
    pub(crate) fn shift(&mut self, cycles: u64) {
        self.registers.shift_by(cycles);
    }

    /// The first half of a cycle: what has been under way arrives. Says whether anything did. Gathers come last, since they may join other
    /// values.
    pub(crate) fn arrive(&mut self, cycle: u64, faults: &mut Vec<Raised>) -> bool {
        let registers = &mut self.registers;
        let mut any = false;
        for slice in self.mem.iter_mut() {
            any |= slice.put_reads(cycle, registers, faults);
        }
        any |= self.vxm.put(cycle, registers, faults);
        for slice in &mut self.mxm {
            any |= slice.arrive(cycle, registers, faults);
        }
        for slice in &mut self.sxm {
            any |= slice.put(cycle, registers, faults);
        }
        for slice in &mut self.c2c {
            any |= slice.put(cycle, registers, faults);
        }
        for slice in self.mem.iter_mut() {
            any |= slice.put_gathers(cycle, registers, faults);
        }
        any
    }

    /// The second half: the instructions that leave their queues take what passes.
    pub(crate) fn dispatch(
        &mut self,
        leaving: &[Dispatch],
        maps: &[Vec<u16>],
        faults: &mut Vec<Raised>,
        watch: Watch<'_>,
    ) {
        for by in leaving {
            let done = match (by.instruction, by.queue) {
                (Instruction::Mem(mem), Queue::MemRead(half, index) | Queue::MemWrite(half, index)) => {
                    let slice = side(half) * self.slices_per_hemisphere + usize::from(index);
                    self.mem[slice].dispatch(by, mem, &self.registers, watch)
                }
                (Instruction::Vxm(vxm), Queue::Vxm(_)) => self.vxm.dispatch(by, vxm, &self.registers),
                (Instruction::Mxm(mxm), Queue::Mxm(half, ..)) => {
                    self.mxm[side(half)].dispatch(by, mxm, &self.registers)
                }
                (Instruction::Sxm(sxm), Queue::Sxm(half, _)) => {
                    self.sxm[side(half)].dispatch(by, sxm, maps, &self.registers)
                }
                (Instruction::C2c(c2c), Queue::C2c(half, _)) => {
                    self.c2c[side(half)].dispatch(by, c2c, &self.registers)
                }
                // Programs with an instruction in another slice's queue are refused when they are loaded.
                _ => Ok(()),
            };
            faults.extend(done.err());
        }
    }

    /// The end of a cycle: what nobody took is lost.
    pub(crate) fn finish(&mut self, cycle: u64, faults: &mut Vec<Raised>) {
        for slice in &mut self.mxm {
            slice.drop_products(cycle, faults);
        }
    }

    /// No instruction so far used a value that nobody brought.
    pub(crate) fn values_known(&self) -> bool {
        self.mem.iter().all(|slice| slice.values_known)
    }
}

//! The C2C links of one hemisphere: what the chip sends on them, and what has come from the other chips.

use std::collections::VecDeque;

use isa::place::{Hemisphere, Queue, Slice};
use isa::system::LinkTiming;
use isa::{C2c, Chip};

use crate::fault::{Dispatch, FaultKind, Raised};
use crate::stream::{Output, Pipeline, Registers};

/// A vector on a link, or waiting at its end.
pub(crate) struct Vector {
    /// The Send, of the other chip.
    pub(crate) by: Dispatch,
    /// Cycle of the system's clock from which it can be received.
    pub(crate) arrives: u64,
    /// One byte per lane.
    pub(crate) bytes: Vec<u8>,
}

/// A chip's end of a link.
#[derive(Default)]
struct End {
    /// None where nothing is at the other end.
    timing: Option<LinkTiming>,
    /// The cycle from which the link takes the next vector.
    free: u64,
    deskewed: bool,
    /// What has come or is on its way here, in the order of arrival.
    coming: VecDeque<Vector>,
}

/// One slice; each of its queues has a link.
pub(crate) struct C2cSlice {
    hemisphere: Hemisphere,
    position: i32,
    cycles: u64,
    /// Cycle of the system's clock in which the chip's cycle 0 is.
    start: u64,
    ends: Vec<End>,
    receiving: Pipeline<Output>,
    /// Sends and Deskews under way.
    working: Pipeline<()>,
    /// What was sent in this cycle.
    sent: Vec<Vector>,
}

/// What any use of a link raises that leads nowhere.
pub(crate) fn not_connected(by: &Dispatch) -> Raised {
    by.fault(FaultKind::LinkNotConnected, "no chip is at the other end")
}

impl C2cSlice {
    /// A slice none of whose links leads anywhere yet.
    pub(crate) fn new(chip: &Chip, hemisphere: Hemisphere) -> C2cSlice {
        C2cSlice {
            hemisphere,
            position: Slice::C2c(hemisphere).position(chip),
            cycles: chip.latency.c2c.into(),
            start: 0,
            ends: (0..chip.c2c.links_per_hemisphere).map(|_| End::default()).collect(),
            receiving: Pipeline::new(),
            working: Pipeline::new(),
            sent: Vec::new(),
        }
    }

    /// Says when the chip's cycle 0 is.
    pub(crate) fn start_at(&mut self, start: u64) {
        self.start = start;
    }

    /// Joins a link with another chip's.
    pub(crate) fn connect(&mut self, queue: Queue, timing: LinkTiming) {
        if let Some(end) = self.end(queue) {
            end.timing = Some(timing);
        }
    }

    fn end(&mut self, queue: Queue) -> Option<&mut End> {
        match queue {
            Queue::C2c(_, link) => self.ends.get_mut(usize::from(link)),
            Queue::MemRead(..) | Queue::MemWrite(..) | Queue::Vxm(_) | Queue::Mxm(..) | Queue::Sxm(..) => {
                None
            }
        }
    }

    /// Nothing is under way on this chip.
    pub(crate) fn is_idle(&self) -> bool {
        self.receiving.is_empty() && self.working.is_empty()
    }

    /// What was received arrives at the streams in `cycle`; Sends and Deskews end. Says whether there was any.
    pub(crate) fn put(&mut self, cycle: u64, registers: &mut Registers, faults: &mut Vec<Raised>) -> bool {
        let mut any = false;
        while self.working.arrive(cycle).is_some() {
            any = true;
        }
        while let Some(output) = self.receiving.arrive(cycle) {
            faults.extend(registers.put(cycle, self.position, &output).err());
            any = true;
        }
        any
    }

    /// Does what an instruction does at its dispatch.
    pub(crate) fn dispatch(&mut self, by: &Dispatch, c2c: C2c, registers: &Registers) -> Result<(), Raised> {
        let (done, clock, position) = (by.cycle + self.cycles, by.cycle + self.start, self.position);
        let Some(end) = self.end(by.queue) else { return Err(not_connected(by)) };
        let Some(timing) = end.timing else { return Err(not_connected(by)) };
        match c2c {
            C2c::Send { stream } => {
                let bytes = registers.take(by, stream, 1, position)?.to_vec();
                if by.cycle < end.free {
                    return Err(by.link_busy(end.free));
                }
                end.free = by.cycle + timing.vector_cycles;
                self.sent.push(Vector { by: *by, arrives: clock + timing.latency_cycles, bytes });
                self.working.send(done, ());
            }
            C2c::Receive { stream } => {
                // Whatever else is wrong with the instruction, the vector is taken from the link.
                let arrived = end.coming.pop_front_if(|vector| vector.arrives <= clock);
                registers.check(by, stream, 1, 1)?;
                if !end.deskewed {
                    return Err(by.not_deskewed());
                }
                let Some(vector) = arrived else { return Err(by.nothing_arrived()) };
                self.receiving.send(done, Output { by: *by, stream, bytes: vector.bytes, merge: false });
            }
            C2c::Deskew => {
                end.deskewed = true;
                self.working.send(done, ());
            }
        }
        Ok(())
    }

    /// What has been sent since this was last asked.
    pub(crate) fn take_sent(&mut self) -> Vec<Vector> {
        std::mem::take(&mut self.sent)
    }

    /// A vector sets out for this end of a link.
    pub(crate) fn accept(&mut self, queue: Queue, vector: Vector) {
        if let Some(end) = self.end(queue) {
            end.coming.push_back(vector);
        }
    }

    /// Links, and of each the vector that will be one too many when it arrives, if no other is received before.
    pub(crate) fn too_many(&self) -> impl Iterator<Item = (Queue, &Vector)> {
        self.queues().filter_map(|(queue, end)| {
            let most = end.timing?.buffer_vectors as usize;
            Some((queue, end.coming.get(most)?))
        })
    }

    /// Links, and of each the oldest vector that nobody has received.
    pub(crate) fn left(&self) -> impl Iterator<Item = (Queue, &Vector)> {
        self.queues().filter_map(|(queue, end)| Some((queue, end.coming.front()?)))
    }

    fn queues(&self) -> impl Iterator<Item = (Queue, &End)> {
        let queue = |link| Queue::C2c(self.hemisphere, link);
        (0..=u8::MAX).map(queue).zip(&self.ends)
    }
}

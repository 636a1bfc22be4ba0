//! Where things are: hemispheres, functional slices, their positions along a row, and the instruction queues.
//!
//! A position counts stream registers from the VXM, which stands at 0: the east hemisphere is positive, the west
//! negative. Going outward in a hemisphere: MEM 0 at 1, MEM i at 1 + i, SXM at M + 1, MXM at M + 2, C2C at M + 3,
//! where M is the number of MEM slices in a hemisphere (order of the slices: ISCA 2020; one register per slice: assumed).

use std::fmt;
use std::str::FromStr;

use crate::Chip;
use crate::stream::Direction;

/// The east or the west half of a chip, seen from the VXM in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hemisphere {
    /// Positions above 0.
    East,
    /// Positions below 0.
    West,
}

impl Hemisphere {
    /// Both hemispheres, in the order in which everything is listed.
    pub const BOTH: [Hemisphere; 2] = [Hemisphere::East, Hemisphere::West];

    /// The direction that leads from the VXM to this hemisphere's edge.
    pub fn outward(self) -> Direction {
        match self {
            Hemisphere::East => Direction::East,
            Hemisphere::West => Direction::West,
        }
    }

    /// The direction that leads from this hemisphere's edge to the VXM.
    pub fn inward(self) -> Direction {
        self.outward().opposite()
    }

    /// The other half of the chip.
    pub fn other(self) -> Hemisphere {
        match self {
            Hemisphere::East => Hemisphere::West,
            Hemisphere::West => Hemisphere::East,
        }
    }
}

/// A functional slice: one column of the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slice {
    /// The vector slice in the middle.
    Vxm,
    /// A memory slice; index 0 is nearest the VXM.
    Mem(Hemisphere, u16),
    /// The lane-switching slice of a hemisphere.
    Sxm(Hemisphere),
    /// The matrix planes of a hemisphere.
    Mxm(Hemisphere),
    /// The chip-to-chip links of a hemisphere.
    C2c(Hemisphere),
}

impl Slice {
    /// Position in stream registers from the VXM, east positive.
    pub fn position(self, chip: &Chip) -> i32 {
        let slices = i32::from(chip.mem.slices_per_hemisphere);
        let (hemisphere, distance) = match self {
            Slice::Vxm => return 0,
            Slice::Mem(hemisphere, index) => (hemisphere, 1 + i32::from(index)),
            Slice::Sxm(hemisphere) => (hemisphere, slices + 1),
            Slice::Mxm(hemisphere) => (hemisphere, slices + 2),
            Slice::C2c(hemisphere) => (hemisphere, slices + 3),
        };
        match hemisphere {
            Hemisphere::East => distance,
            Hemisphere::West => -distance,
        }
    }
}

/// What one of the four queues of an MXM plane feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MxmPort {
    /// LW.
    Load,
    /// IW.
    Install,
    /// ABC.
    Stream,
    /// ACC.
    Accumulate,
}

/// An in-order instruction queue. At most one instruction leaves each queue per cycle.
///
/// `tsp-v1` is published to have 144. Here a MEM slice has one queue for its read port and one for its write port,
/// since it does both in one cycle; that makes more than 144, and is a choice of this model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// Read and Gather of a memory slice.
    MemRead(Hemisphere, u16),
    /// Write and Scatter of a memory slice.
    MemWrite(Hemisphere, u16),
    /// One of the VXM's ALUs (the same operation in every lane).
    Vxm(u8),
    /// One port of an MXM plane.
    Mxm(Hemisphere, u8, MxmPort),
    /// One of the SXM's instruction queues.
    Sxm(Hemisphere, u8),
    /// One C2C link.
    C2c(Hemisphere, u8),
}

impl Queue {
    /// The slice that the queue's instructions act in.
    pub fn slice(self) -> Slice {
        match self {
            Queue::MemRead(hemisphere, index) | Queue::MemWrite(hemisphere, index) => {
                Slice::Mem(hemisphere, index)
            }
            Queue::Vxm(_) => Slice::Vxm,
            Queue::Mxm(hemisphere, ..) => Slice::Mxm(hemisphere),
            Queue::Sxm(hemisphere, _) => Slice::Sxm(hemisphere),
            Queue::C2c(hemisphere, _) => Slice::C2c(hemisphere),
        }
    }
}

impl fmt::Display for Hemisphere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hemisphere::East => "east",
            Hemisphere::West => "west",
        })
    }
}

/// `vxm`, `east.mem12`, `west.sxm`, `east.mxm`, `west.c2c`.
impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Slice::Vxm => f.write_str("vxm"),
            Slice::Mem(hemisphere, index) => write!(f, "{hemisphere}.mem{index}"),
            Slice::Sxm(hemisphere) => write!(f, "{hemisphere}.sxm"),
            Slice::Mxm(hemisphere) => write!(f, "{hemisphere}.mxm"),
            Slice::C2c(hemisphere) => write!(f, "{hemisphere}.c2c"),
        }
    }
}

impl MxmPort {
    /// All four, in order.
    pub const ALL: [MxmPort; 4] = [MxmPort::Load, MxmPort::Install, MxmPort::Stream, MxmPort::Accumulate];
}

impl fmt::Display for MxmPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MxmPort::Load => "load",
            MxmPort::Install => "install",
            MxmPort::Stream => "stream",
            MxmPort::Accumulate => "accumulate",
        })
    }
}

/// `east.mem12.read`, `vxm.alu3`, `west.mxm1.load`, `east.sxm0`, `west.c2c5`.
impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Queue::MemRead(hemisphere, index) => write!(f, "{hemisphere}.mem{index}.read"),
            Queue::MemWrite(hemisphere, index) => write!(f, "{hemisphere}.mem{index}.write"),
            Queue::Vxm(alu) => write!(f, "vxm.alu{alu}"),
            Queue::Mxm(hemisphere, plane, port) => write!(f, "{hemisphere}.mxm{plane}.{port}"),
            Queue::Sxm(hemisphere, queue) => write!(f, "{hemisphere}.sxm{queue}"),
            Queue::C2c(hemisphere, link) => write!(f, "{hemisphere}.c2c{link}"),
        }
    }
}

impl FromStr for Hemisphere {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Hemisphere::BOTH.into_iter().find(|hemisphere| hemisphere.to_string() == text).ok_or(())
    }
}

/// Reads what `Display` writes.
impl FromStr for Queue {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let (first, second) = (parts.next().unwrap_or_default(), parts.next().ok_or(())?);
        let (third, end) = (parts.next(), parts.next());
        if end.is_some() {
            return Err(());
        }
        if first == "vxm" {
            let alu = number(second, "alu").ok_or(())?;
            return if third.is_none() { Ok(Queue::Vxm(alu)) } else { Err(()) };
        }
        let hemisphere: Hemisphere = first.parse()?;
        if let Some(index) = number(second, "mem") {
            return match third {
                Some("read") => Ok(Queue::MemRead(hemisphere, index)),
                Some("write") => Ok(Queue::MemWrite(hemisphere, index)),
                _ => Err(()),
            };
        }
        if let Some(plane) = number(second, "mxm") {
            let port = MxmPort::ALL.into_iter().find(|port| Some(port.to_string().as_str()) == third);
            return port.map(|port| Queue::Mxm(hemisphere, plane, port)).ok_or(());
        }
        match (number(second, "sxm"), number(second, "c2c"), third) {
            (Some(queue), None, None) => Ok(Queue::Sxm(hemisphere, queue)),
            (None, Some(link), None) => Ok(Queue::C2c(hemisphere, link)),
            _ => Err(()),
        }
    }
}

/// The number after `prefix`, written without sign or leading zeros.
fn number<T: FromStr + ToString>(text: &str, prefix: &str) -> Option<T> {
    let digits = text.strip_prefix(prefix)?;
    digits.parse().ok().filter(|number: &T| number.to_string() == digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_queues_read_back() {
        for (queue, name) in [
            (Queue::MemRead(Hemisphere::East, 12), "east.mem12.read"),
            (Queue::MemWrite(Hemisphere::West, 0), "west.mem0.write"),
            (Queue::Vxm(3), "vxm.alu3"),
            (Queue::Mxm(Hemisphere::West, 1, MxmPort::Accumulate), "west.mxm1.accumulate"),
            (Queue::Sxm(Hemisphere::East, 2), "east.sxm2"),
            (Queue::C2c(Hemisphere::West, 47), "west.c2c47"),
        ] {
            assert_eq!(queue.to_string(), name);
            assert_eq!(name.parse(), Ok(queue));
        }
        for wrong in
            ["", "vxm", "vxm.alu", "vxm.alu256", "vxm.alu03", "east.mem1", "east.mem1.load", "north.sxm0"]
        {
            assert_eq!(wrong.parse::<Queue>(), Err(()), "{wrong}");
        }
    }
}

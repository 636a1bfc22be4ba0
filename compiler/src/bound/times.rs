//! The earliest cycles at which a value can pass each place.

use super::machine::{Machine, Place};

/// For each place, a cycle before which the value does not pass it, in any format, and in the format that the MXM takes.
///
/// Only the VXM changes formats. Both are 1-Lipschitz in the distance of places: streams move one register a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    wide: [u64; 4],
    narrow: [u64; 4],
}

impl Times {
    /// A value put on a stream at a place, in whatever format is wanted.
    pub(super) fn at(machine: &Machine<'_>, place: Place, cycle: u64) -> Times {
        let times = Place::ALL.map(|other| cycle + machine.distance(place, other));
        Times { wide: times, narrow: times }
    }

    /// A sum that the MXM puts on a stream: 32 bits, until the VXM changes that.
    pub(super) fn sum(machine: &Machine<'_>, cycle: u64) -> Times {
        let sum = Times::at(machine, Place::Mxm, cycle);
        Times { narrow: Times::at(machine, Place::Vxm, sum.any(Place::Vxm) + machine.vxm()).wide, ..sum }
    }

    /// What is in SRAM before the program starts.
    pub(super) fn stored(machine: &Machine<'_>) -> Times {
        Times::at(machine, Place::Mem, u64::from(machine.chip.latency.read))
    }

    /// In any format.
    pub(super) fn any(&self, place: Place) -> u64 {
        self.wide[place as usize]
    }

    /// In the format that the MXM takes.
    pub(super) fn operand(&self, place: Place) -> u64 {
        self.narrow[place as usize]
    }

    /// Both of two bounds hold.
    pub(super) fn max(self, other: Times) -> Times {
        self.join(other, u64::max)
    }

    /// One of two bounds holds.
    pub(super) fn min(self, other: Times) -> Times {
        self.join(other, u64::min)
    }

    /// The value rounded to what the MXM takes.
    pub(super) fn rounded(self) -> Times {
        Times { wide: self.narrow, ..self }
    }

    /// The value on its way through an instruction of the SXM.
    pub(super) fn through_sxm(self, machine: &Machine<'_>, latency: u64) -> Times {
        let put = |cycle: u64| Times::at(machine, Place::Sxm, cycle + latency);
        let wide = put(self.any(Place::Sxm)).wide;
        let at_vxm = wide[Place::Vxm as usize] + machine.vxm();
        let late = Times::at(machine, Place::Vxm, at_vxm);
        Times { wide, narrow: put(self.operand(Place::Sxm)).min(late).wide }
    }

    /// The value after some cycles in a MEM slice.
    pub(super) fn through_memory(self, machine: &Machine<'_>, latency: u64) -> Times {
        let slice = |times: [u64; 4]| {
            let nearest = Times::at(machine, Place::Mem, times[Place::Mem as usize] + latency).wide;
            // On the way from where it was made to where it goes.
            Place::ALL.map(|place| nearest[place as usize].max(times[place as usize] + latency))
        };
        Times { wide: slice(self.wide), narrow: slice(self.narrow) }
    }

    fn join(self, other: Times, pick: impl Fn(u64, u64) -> u64) -> Times {
        let both =
            |a: [u64; 4], b: [u64; 4]| Place::ALL.map(|place| pick(a[place as usize], b[place as usize]));
        Times { wide: both(self.wide, other.wide), narrow: both(self.narrow, other.narrow) }
    }
}

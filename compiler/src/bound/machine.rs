//! The chip as the bound sees it: what passes where in a cycle, how far places are apart, what latencies follow each other.

use isa::Chip;

/// Where a value passes on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Whichever MEM slice is best.
    Mem,
    /// The VXM.
    Vxm,
    /// The SXM of either hemisphere.
    Sxm,
    /// The MXM of either hemisphere.
    Mxm,
}

impl Place {
    /// All places.
    pub(super) const ALL: [Place; 4] = [Place::Mem, Place::Vxm, Place::Sxm, Place::Mxm];
}

/// Rates, distances and latencies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine<'c> {
    /// The chip.
    pub(super) chip: &'c Chip,
}

impl Machine<'_> {
    /// Cycles by which the last superlane runs behind the first.
    pub(super) fn stagger(&self) -> u64 {
        u64::from(self.chip.stagger())
    }

    /// Cycles of a VXM operation.
    pub(super) fn vxm(&self) -> u64 {
        u64::from(self.chip.latency.vxm)
    }

    /// Vectors that a row of so many elements takes.
    pub(super) fn vectors(&self, elements: usize) -> u64 {
        elements.div_ceil(self.chip.lanes) as u64
    }

    /// Fewest cycles between two places.
    pub(super) fn distance(&self, from: Place, to: Place) -> u64 {
        let position = |place| match place {
            Place::Mem | Place::Vxm => 0,
            Place::Sxm => u64::from(self.chip.mem.slices_per_hemisphere) + 1,
            Place::Mxm => u64::from(self.chip.mem.slices_per_hemisphere) + 2,
        };
        match (from, to) {
            (Place::Mem, Place::Mem) => 0,
            // The slice nearest the VXM or the SXM is one register away, with the SXM between it and the MXM.
            (Place::Mem, Place::Mxm) | (Place::Mxm, Place::Mem) => 2,
            (Place::Mem, _) | (_, Place::Mem) => 1,
            (from, to) => position(from).abs_diff(position(to)),
        }
    }

    /// Vectors of one byte per lane that can enter both MXMs as weights in a cycle.
    pub(super) fn load_rate(&self) -> u64 {
        let ports =
            u64::from(self.chip.mxm.planes_per_hemisphere) * u64::from(self.chip.mxm.load_streams_per_plane);
        2 * ports.min(u64::from(self.chip.streams))
    }

    /// Vectors of one byte per lane that the arrays and the buffers of all planes hold: two tiles each.
    pub(super) fn held(&self) -> u64 {
        2 * 2 * u64::from(self.chip.mxm.planes_per_hemisphere) * u64::from(self.chip.mxm.rows)
    }

    /// Cycles from ABC until the product's sum is on a stream at the MXM.
    pub(super) fn product(&self) -> u64 {
        let latency = &self.chip.latency;
        u64::from(latency.product) + self.stagger() + u64::from(latency.accumulate)
    }

    /// Cycles from LW until the array multiplies by the weights.
    pub(super) fn install(&self) -> u64 {
        u64::from(self.chip.latency.load) + u64::from(self.chip.latency.install)
    }

    /// Cycles from the Write of the last vector until the end of the program.
    pub(super) fn finish(&self) -> u64 {
        u64::from(self.chip.latency.write) + self.stagger()
    }

    /// Cycle of the last LW if so many vectors come from SRAM, and so many are made by the program.
    ///
    /// In cycle d_read + 2 + j the first vectors of the j-th nearest slices arrive, and a slice gives one vector a cycle. What is made at run
    /// time comes from the VXM, past which nothing goes before cycle d_read + 1.
    pub(super) fn last_load(&self, stored: u64, made: u64) -> u64 {
        let rate = self.load_rate();
        let slices = u64::from(self.chip.mem.slices_per_hemisphere);
        let first = u64::from(self.chip.latency.read) + self.distance(Place::Mem, Place::Mxm);
        let from_vxm =
            u64::from(self.chip.latency.read) + 1 + self.vxm() + self.distance(Place::Vxm, Place::Mxm);
        let (mut left, mut cycle) = (stored + made, first);
        loop {
            let near = slices.min(cycle - first + 1);
            let full = 2 * near >= rate || (made > 0 && cycle >= from_vxm);
            let arrive = if full { rate } else { 2 * near };
            if full || near == slices && made == 0 {
                return cycle + left.div_ceil(arrive.max(1)).max(1) - 1;
            }
            if left <= arrive {
                return cycle;
            }
            left -= arrive;
            cycle += 1;
        }
    }
}

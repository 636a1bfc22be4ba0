//! The weights of the planes as far as they are scheduled: when a buffer, an array and its products allow the next tile.

use std::collections::BTreeMap;

use isa::Chip;
use isa::chip::Latency;
use isa::place::Hemisphere;

use crate::lower::flow::Conveyor;

/// One plane.
#[derive(Clone, Copy, Debug, Default)]
struct Plane {
    /// Cycle of the last IW.
    installed: i64,
    /// When the array multiplies by what was installed last.
    ready: i64,
    /// End of the last activation.
    idle: i64,
    /// Whether what is in the plane is half of a pair's.
    paired: bool,
}

/// All planes.
pub(super) struct Planes {
    latency: Latency,
    /// Cycles from the last activation until its product is gone.
    drain: i64,
    planes: BTreeMap<(Hemisphere, u8), Plane>,
}

impl Planes {
    /// Nothing is loaded.
    pub(super) fn new(chip: &Chip) -> Planes {
        let numbers = 0..chip.mxm.planes_per_hemisphere;
        let all = numbers.flat_map(|n| Hemisphere::BOTH.map(|hemisphere| (hemisphere, n)));
        Planes {
            latency: chip.latency.clone(),
            drain: i64::from(chip.latency.product) + i64::from(chip.stagger()) + 1,
            planes: all.map(|plane| (plane, Plane::default())).collect(),
        }
    }

    /// The cycle from which the planes allow a flow.
    pub(super) fn earliest(&self, conveyor: Conveyor) -> i64 {
        let (load, install) = (i64::from(self.latency.load), i64::from(self.latency.install));
        let Conveyor { hemisphere, plane, paired, .. } = conveyor;
        let own = self.planes[&(hemisphere, plane)];
        let loads = self.load_from(hemisphere, plane, paired) - conveyor.load;
        loads.max(own.idle - install - conveyor.install).max(own.installed + load - conveyor.install)
    }

    /// The cycle from which LW fills the next tile.
    fn load_from(&self, hemisphere: Hemisphere, number: u8, paired: bool) -> i64 {
        let own = self.planes[&(hemisphere, number)];
        // Rows that arrive after an IW are of the next tile.
        let mut from = own.installed - i64::from(self.latency.load) + 1;
        if own.paired != paired {
            from = from.max(own.idle + self.drain);
        }
        match self.planes.get(&(hemisphere, 1)) {
            // A pair needs plane 1 at rest.
            Some(other) if paired && !other.paired => {
                from = from.max(other.idle.max(other.ready) + self.drain)
            }
            _ => {}
        }
        if number == 1 && !paired && own.paired {
            // Plane 1 is alone as soon as plane 0 holds weights of its own.
            let first = self.planes[&(hemisphere, 0)];
            from = from.max(first.ready).max(first.idle + self.drain);
        }
        from
    }

    /// Takes note of a flow that starts at a cycle.
    pub(super) fn commit(&mut self, conveyor: Conveyor, start: i64) {
        let install = i64::from(self.latency.install);
        let Conveyor { hemisphere, plane, paired, installed, idle, .. } = conveyor;
        self.each(hemisphere, plane, paired, |plane| {
            plane.installed = start + installed;
            plane.ready = start + installed + install;
            plane.idle = start + idle;
        });
    }

    fn each(&mut self, hemisphere: Hemisphere, number: u8, paired: bool, change: impl Fn(&mut Plane)) {
        for plane in number..=number + u8::from(paired) {
            if let Some(plane) = self.planes.get_mut(&(hemisphere, plane)) {
                change(plane);
                plane.paired = paired;
            }
        }
    }
}

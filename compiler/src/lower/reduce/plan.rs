//! How many trips through the SXM a reduction makes, and in which hemispheres.

use isa::Chip;
use isa::place::{Hemisphere, Slice};

/// A trip of every vector through the SXM: combined with its rotations by `step`, 2 · `step`, ….
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trip {
    /// Rotations, with that by nothing.
    pub(super) count: usize,
    /// Lanes from one to the next.
    pub(super) step: usize,
    /// Whether the SXMs of both hemispheres share them.
    pub(super) both: bool,
    /// SXM queues in use in a hemisphere.
    pub(super) ways: usize,
}

impl Trip {
    /// Rotations at a time.
    pub(super) fn width(&self) -> usize {
        if self.both { 2 * self.ways } else { self.ways }
    }

    /// Cycles for a row.
    pub(super) fn steps(&self) -> i64 {
        self.count.div_ceil(self.width()) as i64
    }
}

/// What is to be reduced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// Rows.
    pub(super) rows: i64,
    /// Vectors of a row.
    pub(super) chunks: i64,
    /// Whether they can go to the SXM of one hemisphere from where they are.
    pub(super) direct: bool,
}

/// The trips that are done soonest.
///
/// One trip with all rotations has the least latency, two with the rotations of factors of the lanes the least work. Both hemispheres take
/// half of the time each; one of them leaves the other to the other trip, which then need not wait.
pub(super) fn trips(chip: &Chip, work: Work) -> Vec<Trip> {
    let lanes = chip.lanes;
    let ways = ways(chip);
    let trip = |count: usize, step: usize, both: bool| Trip { count, step, both, ways };
    let either = [true, false];
    let mut plans: Vec<Vec<Trip>> = either.iter().map(|&both| vec![trip(lanes, 1, both)]).collect();
    for step in (2..lanes).filter(|step| lanes.is_multiple_of(*step)) {
        for (first, second) in either.into_iter().flat_map(|first| either.map(|second| (first, second))) {
            plans.push(vec![trip(lanes / step, step, first), trip(step, 1, second)]);
        }
    }
    plans.into_iter().min_by_key(|plan| cost(chip, work, plan)).unwrap_or_default()
}

/// SXM queues for a trip: a power of two, with streams and ALUs for what they put.
fn ways(chip: &Chip) -> usize {
    let most = usize::from(chip.sxm.queues_per_hemisphere)
        .min(usize::from(chip.streams) / 8)
        .min(usize::from(chip.vxm.alus) / 4)
        .max(1);
    1 << most.ilog2()
}

/// Cycles until the result is there, and half of those in which an SXM is busy, when it can do nothing else.
fn cost(chip: &Chip, work: Work, plan: &[Trip]) -> i64 {
    let latency = &chip.latency;
    let (rows, d) = (work.rows, i64::from(latency.vxm));
    let memory = i64::from(latency.write) + i64::from(latency.read) + 4;
    let sxm = i64::from(Slice::Sxm(Hemisphere::East).position(chip));
    let there_and_back = 2 * sxm + i64::from(latency.sxm) + i64::from(chip.stagger()) + 5 * d + memory;
    // Cycles in which the first and the last vector can enter a trip.
    let both = plan[0].both;
    let (mut first, mut last) = (1, rows);
    if !work.direct || both {
        let prepare = memory + 4 * d;
        (first, last) = (work.chunks + prepare, rows * work.chunks + prepare);
    }
    let mut busy_until = 0;
    let mut busy = 0;
    for (at, trip) in plan.iter().enumerate() {
        let steps = trip.steps();
        let alone = at == 0 || (!trip.both && !plan[at - 1].both);
        let start = first.max(last - (rows - 1) * steps).max(if alone { 0 } else { busy_until });
        busy_until = start + rows * steps;
        busy += rows * steps * if trip.both { 2 } else { 1 };
        (first, last) = (start + steps + there_and_back, busy_until + there_and_back);
    }
    last + busy / 4
}

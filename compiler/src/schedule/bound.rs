//! A lower bound on the cycles of these kernels on this chip, whatever the schedule.
//!
//! The greater of each resource's total time and of the longest dependence path, in which every flow starts as soon as its operands are
//! there and nothing else is in its way.

use cranelift_entity::SecondaryMap;
use isa::Chip;

use crate::lower::flow::{Act, FlowQueue, Kernels, MxmRole};
use crate::lower::storage::StorageId;

/// A bound and what it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Cycles.
    pub cycles: u64,
    /// `weight streaming`, `products`, `vector operations`, or `dependences`.
    pub limiter: &'static str,
}

/// The bound of a set of kernels.
pub fn bound(kernels: &Kernels, chip: &Chip) -> Bound {
    let mut weight_streams = 0u64;
    let mut products = 0u64;
    let mut operations = 0u64;
    for flow in &kernels.flows {
        for run in &flow.runs {
            let count: u64 = run.repeats.iter().map(|repeat| u64::from(repeat.count)).product();
            match run.act {
                Act::Lw(_, vectors, _, _, format) => {
                    weight_streams += count * u64::from(format.streams()) * u64::from(vectors);
                }
                // Of four planes, binary16 takes two for two cycles.
                Act::Abc(_, format) => products += count * u64::from(format.streams()).pow(2),
                Act::Alu { .. } if matches!(run.queue, FlowQueue::Alu(_)) => operations += count,
                _ => {}
            }
        }
    }
    let per_hemisphere = u64::from(chip.streams.min(2 * chip.mxm.load_streams_per_plane));
    let candidates = [
        (weight_streams.div_ceil(2 * per_hemisphere), "weight streaming"),
        (products / 4, "products"),
        (operations.div_ceil(u64::from(chip.vxm.alus)), "vector operations"),
        (longest_path(kernels, chip), "dependences"),
    ];
    // The first of equals, so that a bound by a resource is not blamed on dependences.
    let mut best = Bound { cycles: 0, limiter: candidates[0].1 };
    for (cycles, limiter) in candidates {
        if cycles > best.cycles {
            best = Bound { cycles, limiter };
        }
    }
    best
}

/// End of the last flow if nothing but data and the install of its own weights holds any flow up.
fn longest_path(kernels: &Kernels, chip: &Chip) -> u64 {
    let mut available: SecondaryMap<StorageId, Vec<i64>> = SecondaryMap::new();
    let mut loaded = 0;
    let mut last = 0;
    for flow in &kernels.flows {
        let mut start = flow.runs.iter().map(|run| -run.cycle).max().unwrap_or(0);
        for read in &flow.reads {
            let ready = available[read.storage].get(read.vector as usize).copied().unwrap_or(0);
            start = start.max(ready - read.cycle);
        }
        match flow.mxm {
            Some(MxmRole::Load(_, cycles)) => loaded = start + cycles - 1 + i64::from(chip.latency.load),
            Some(MxmRole::Install(_)) => {
                start = start.max(loaded);
                loaded = start + i64::from(chip.latency.install);
            }
            Some(MxmRole::Stream(..)) => start = start.max(loaded),
            Some(MxmRole::Conveyor(_)) | None => {}
        }
        for write in &flow.writes {
            let vectors = kernels.storages.arrays[write.storage].vectors() as usize;
            let times = &mut available[write.storage];
            times.resize(vectors, 0);
            let readable = start + write.cycle + i64::from(chip.latency.write);
            times[write.vector as usize] = times[write.vector as usize].max(readable);
            last = last.max(readable);
        }
    }
    last.max(0) as u64 + u64::from(chip.stagger())
}

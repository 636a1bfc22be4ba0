//! Small chips that differ in everything a program depends on.

use isa::chip::{Latency, MemUnits, MxmUnits, SxmUnits, VxmUnits};
use isa::{Chip, Format};

use crate::support::tiny;

/// All of them.
pub fn all() -> Vec<Chip> {
    vec![tiny(), three_superlanes(), quick(), single()]
}

/// Three superlanes of eight lanes, four small banks, few streams and accumulators, planes that load two streams.
fn three_superlanes() -> Chip {
    Chip {
        name: "three".to_owned(),
        lanes: 24,
        lanes_per_superlane: 8,
        streams: 24,
        mem: MemUnits { slices_per_hemisphere: 5, banks: 4, words_per_bank: 32 },
        mxm: MxmUnits {
            planes_per_hemisphere: 2,
            rows: 24,
            load_streams_per_plane: 2,
            accumulators: 3,
            formats: Format::OF_WEIGHTS.to_vec(),
        },
        vxm: VxmUnits { alus: 6, forward_depth: 9 },
        sxm: SxmUnits { queues_per_hemisphere: 1 },
        latency: Latency {
            read: 2,
            write: 6,
            gather: 3,
            vxm: 3,
            load: 4,
            install: 3,
            product: 5,
            accumulate: 2,
            sxm: 4,
            c2c: 3,
        },
        ..tiny()
    }
}

/// Every latency is 1, and there is one bank only: a slice either reads or writes. One plane, with fewer rows than lanes.
fn quick() -> Chip {
    Chip {
        name: "quick".to_owned(),
        lanes: 48,
        lanes_per_superlane: 16,
        streams: 64,
        mem: MemUnits { slices_per_hemisphere: 3, banks: 1, words_per_bank: 100 },
        mxm: MxmUnits {
            planes_per_hemisphere: 1,
            rows: 20,
            load_streams_per_plane: 8,
            accumulators: 16,
            formats: Format::OF_WEIGHTS.to_vec(),
        },
        vxm: VxmUnits { alus: 3, forward_depth: 3 },
        latency: Latency {
            read: 1,
            write: 1,
            gather: 1,
            vxm: 1,
            load: 1,
            install: 1,
            product: 1,
            accumulate: 1,
            sxm: 1,
            c2c: 1,
        },
        ..tiny()
    }
}

/// One superlane, so nothing is staggered much; three planes; slow writes.
fn single() -> Chip {
    Chip {
        name: "single".to_owned(),
        lanes: 16,
        lanes_per_superlane: 16,
        streams: 32,
        mem: MemUnits { slices_per_hemisphere: 4, banks: 2, words_per_bank: 50 },
        mxm: MxmUnits {
            planes_per_hemisphere: 3,
            rows: 16,
            load_streams_per_plane: 16,
            accumulators: 5,
            formats: Format::OF_WEIGHTS.to_vec(),
        },
        vxm: VxmUnits { alus: 8, forward_depth: 20 },
        latency: Latency { write: 12, read: 3, vxm: 2, ..tiny().latency },
        ..tiny()
    }
}

//! Which kernels this host has.

use std::sync::OnceLock;

use isa::stream::Format;

use super::activations::{self, Inputs};
use super::{Line, ROWS, Tile, portable};

/// A set of vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The best of this host, found out once.
    pub(super) fn of_host() -> Level {
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| *Level::all().last().expect("one at least"))
    }

    /// All of this host, the best last.
    pub(super) fn all() -> Vec<Level> {
        let mut levels = vec![Level::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c")
            {
                levels.push(Level::Avx2);
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
                    levels.push(Level::Avx512);
                }
            }
        }
        levels
    }
}

/// Packs rows of weights into a tile.
pub(super) fn repack(
    level: Level,
    tile: &mut Tile,
    format: Format,
    lanes: usize,
    rows: &[Option<[&[u8]; 2]>],
) {
    match level {
        Level::Portable => tile.repack_here(format, lanes, rows),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the host has the features, or it would not have the level.
        Level::Avx2 => unsafe { super::x86::avx2::repack(tile, format, lanes, rows) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { super::x86::avx512::repack(tile, format, lanes, rows) },
    }
}

/// F16 vectors as kernels take them.
pub(super) fn inputs<const V: usize>(
    level: Level,
    vectors: &[[&[u8]; 2]],
    lanes: usize,
    skip: bool,
) -> Inputs<f64, V> {
    match level {
        Level::Portable => activations::halves(vectors, lanes, skip),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the host has the features, or it would not have the level.
        Level::Avx2 => unsafe { super::x86::avx2::inputs(vectors, lanes, skip) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { super::x86::avx512::inputs(vectors, lanes, skip) },
    }
}

/// F16: the products of one block of rows with some vectors, as bits of f32.
pub(super) fn halves<const V: usize>(
    level: Level,
    lines: &[Line],
    inputs: &[[f64; V]],
    results: &mut [[u32; ROWS]; V],
) {
    match level {
        Level::Portable => portable::halves(lines, inputs, results),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the host has the features, or it would not have the level.
        Level::Avx2 => unsafe { super::x86::avx2::halves(lines, inputs, results) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { super::x86::avx512::halves(lines, inputs, results) },
    }
}

/// F8 vectors as kernels take them.
pub(super) fn quarter_inputs<const V: usize>(
    level: Level,
    vectors: &[[&[u8]; 2]],
    lanes: usize,
) -> Inputs<[f64; 2], V> {
    match level {
        Level::Portable => activations::quarters(vectors, lanes),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the host has the features, or it would not have the level.
        Level::Avx2 => unsafe { super::x86::avx2::quarter_inputs(vectors, lanes) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { super::x86::avx512::quarter_inputs(vectors, lanes) },
    }
}

/// F8: the products of one block of rows with some vectors, as bits of f32.
pub(super) fn quarters<const V: usize>(
    level: Level,
    lines: &[Line],
    inputs: &[[[f64; 2]; V]],
    results: &mut [[u32; ROWS]; V],
) {
    match level {
        Level::Portable => portable::quarters(lines, inputs, results),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the host has the features, or it would not have the level.
        Level::Avx2 => unsafe { super::x86::avx2::quarters(lines, inputs, results) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { super::x86::avx512::quarters(lines, inputs, results) },
    }
}

/// I8: the products of one block of rows with some vectors.
pub(super) fn bytes<const V: usize>(
    level: Level,
    lines: &[Line],
    inputs: &[[i32; V]],
    results: &mut [[u32; ROWS]; V],
) {
    match level {
        Level::Portable => portable::bytes(lines, inputs, results),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the host has the features, or it would not have the level.
        Level::Avx2 => unsafe { super::x86::avx2::bytes(lines, inputs, results) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { super::x86::avx512::bytes(lines, inputs, results) },
    }
}

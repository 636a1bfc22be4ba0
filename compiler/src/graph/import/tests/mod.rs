//! Models in, values out.

mod cache;
mod control;
mod few_bits;
mod learned;
mod windows;
mod operators;
mod recorded;
mod refusals;
mod vision;

use super::{Bindings, import};
use crate::graph::eval::{Data, Tensor};

/// Errors where two tensors are not the same up to rounding.
fn close(got: &Tensor, want: &Tensor, tolerance: f32) -> Result<(), String> {
    if got.shape != want.shape {
        return Err(format!("shape {:?}, not {:?}", got.shape, want.shape));
    }
    let same = match (&got.data, &want.data) {
        (Data::F32(got), Data::F32(want)) => got.iter().zip(want).all(|(a, b)| {
            (a - b).abs() <= tolerance * b.abs().max(1.0) || a == b || a.is_nan() && b.is_nan()
        }),
        (got, want) => got == want,
    };
    if same { Ok(()) } else { Err(format!("{got:?}, not {want:?}")) }
}

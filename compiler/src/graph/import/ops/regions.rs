//! Regions of images, of which the data says where they are, cut into cells.

use super::choose::numbers;
use super::sample::{Mode, Outside, weights};
use super::{Translate, one};
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp, UnaryOp};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "RoiAlign" => roi_align,
        "MaxRoiPool" => greatest,
        _ => return None,
    })
}

/// Means of regions' cells: in each cell so many places a side, whose weights are a product of those of the two axes.
fn roi_align(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, regions, images) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let (shape, of_regions) = (c.ty(&x).shape, c.ty(&regions).shape);
    let (&[n, _, height, width], &[count, 4]) = (&shape[..], &of_regions[..]) else {
        return Err(Issue::Invalid(format!("regions {of_regions:?} of {shape:?}")));
    };
    let samples = length(c.int("sampling_ratio", 0))?;
    if samples == 0 || c.text("mode", "avg") != "avg" {
        return Err(Issue::Unsupported(
            "sampling_ratio 0, where the number of places depends on data, or another mode than `avg`"
                .to_owned(),
        ));
    }
    let default = if c.opset < 16 { "output_half_pixel" } else { "half_pixel" };
    let half = c.text("coordinate_transformation_mode", default) == "half_pixel";
    let scale = c.float("spatial_scale", 1.0);
    let cells = [length(c.int("output_height", 1))?, length(c.int("output_width", 1))?];
    let mut matrices = Vec::new();
    for (axis, (&cells, length)) in cells.iter().zip([height, width]).enumerate() {
        let mut side = |start: usize| {
            let value = c.build.one_of(&regions, 1, start)?;
            let value = c.build.with_real(BinaryOp::Mul, &value, scale)?;
            c.build.with_real(BinaryOp::Sub, &value, if half { 0.5 } else { 0.0 })
        };
        let (start, end) = (side(1 - axis)?, side(3 - axis)?);
        let mut extent = c.build.binary(BinaryOp::Sub, &end, &start)?;
        if !half {
            extent = c.build.with_real(BinaryOp::Max, &extent, 1.0)?;
        }
        let places = cells * samples;
        let parts: Vec<f32> = (0..places).map(|at| (at as f32 + 0.5) / places as f32).collect();
        let parts = Value::known(Tensor::f32([1, places], parts));
        let at = c.build.binary(BinaryOp::Mul, &extent, &parts)?;
        let at = c.build.binary(BinaryOp::Add, &at, &start)?;
        // Farther out than one element there is nothing.
        let before = c.build.binary(BinaryOp::Less, &at, &Value::real(-1.0))?;
        let after = c.build.binary(BinaryOp::Less, &Value::real(length as f32), &at)?;
        let beyond = c.build.binary(BinaryOp::Or, &before, &after)?;
        let beyond = c.build.reshape(&beyond, vec![count, places, 1])?;
        let own = weights(c.build, &at, length, Mode::Linear, Outside::Border)?;
        let own = c.build.apply(Op::Select, &[beyond, Value::real(0.0), own])?;
        let own = c.build.reshape(&own, vec![count, cells, samples, length])?;
        let sum = c.build.apply(Op::Reduce { op: ReduceOp::Sum, axis: 2 }, &[own])?;
        let mean = c.build.with_real(BinaryOp::Mul, &sum, 1.0 / samples as f32)?;
        matrices.push(c.build.reshape(&mean, vec![count, 1, cells, length])?);
    }
    let x = if n == 1 { x } else { c.build.apply(Op::Gather { axis: 0 }, &[x, images])? };
    let y = c.build.apply(Op::MatMul { transpose_b: true }, &[x, matrices[1].clone()])?;
    c.build.apply(Op::MatMul { transpose_b: false }, &[matrices[0].clone(), y]).map(one)
}

/// Most elements that are compared for all cells.
const MAX_COMPARED: usize = 1 << 22;

/// The greatest elements of regions' cells: which rows and columns are in a cell is asked of whole numbers, which is exact.
fn greatest(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, regions) = (c.input(0)?, c.input(1)?);
    let (shape, of_regions) = (c.ty(&x).shape, c.ty(&regions).shape);
    let cells = c.ints("pooled_shape").unwrap_or_default();
    let cells = cells.iter().map(|&n| length(n)).collect::<Outcome<Vec<_>>>()?;
    let (&[_, channels, height, width], &[count, 5], &[rows, columns]) =
        (&shape[..], &of_regions[..], &cells[..])
    else {
        return Err(Issue::Invalid(format!("cells {cells:?} in regions {of_regions:?} of {shape:?}")));
    };
    let all =
        [count, channels, height, columns, width].iter().fold(1, |all: usize, &n| all.saturating_mul(n));
    if all > MAX_COMPARED {
        return Err(Issue::Unsupported(format!(
            "{count} regions of {shape:?}: {all} elements would be compared, at most {MAX_COMPARED} are supported"
        )));
    }
    let scale = c.float("spatial_scale", 1.0);
    let mut side = |start: usize, scale: f32| {
        let value = c.build.one_of(&regions, 1, start)?;
        let value = c.build.with_real(BinaryOp::Mul, &value, scale)?;
        let value = c.build.with_real(BinaryOp::Add, &value, 0.5)?;
        c.build.unary(UnaryOp::Floor, &value)
    };
    let image = side(0, 1.0)?;
    let sides = [side(1, scale)?, side(2, scale)?, side(3, scale)?, side(4, scale)?];
    let image = c.build.cast(&image, ElementType::I32)?;
    let image = c.build.reshape(&image, vec![count])?;
    let x = c.build.apply(Op::Gather { axis: 0 }, &[x, image])?;
    let least = || Value::real(f32::NEG_INFINITY);
    let in_row = inside(c, &sides[0], &sides[2], columns, width)?;
    let in_row = c.build.reshape(&in_row, vec![count, 1, 1, columns, width])?;
    let wide = c.build.reshape(&x, vec![count, channels, height, 1, width])?;
    let row = c.build.apply(Op::Select, &[in_row, wide, least()])?;
    let row = c.build.apply(Op::Reduce { op: ReduceOp::Max, axis: 4 }, &[row])?;
    let row = c.build.reshape(&row, vec![count, channels, 1, height, columns])?;
    let in_column = inside(c, &sides[1], &sides[3], rows, height)?;
    let in_column = c.build.reshape(&in_column, vec![count, 1, rows, height, 1])?;
    let best = c.build.apply(Op::Select, &[in_column, row, least()])?;
    let best = c.build.apply(Op::Reduce { op: ReduceOp::Max, axis: 3 }, &[best])?;
    // Nothing is in an empty cell.
    let none = c.build.binary(BinaryOp::Equal, &best, &least())?;
    let best = c.build.apply(Op::Select, &[none, Value::real(0.0), best])?;
    c.build.reshape(&best, vec![count, channels, rows, columns]).map(one)
}

/// Whether a place of an axis is in a cell of a region from one place to another, [regions, cells, length]: cell c of n of an extent e begins at
/// c · e / n, rounded down, and ends at (c + 1) · e / n, rounded up.
fn inside(c: &mut Call<'_>, start: &Value, end: &Value, cells: usize, length: usize) -> Outcome {
    let count = c.ty(start).elements();
    let extent = c.build.binary(BinaryOp::Sub, end, start)?;
    let extent = c.build.with_real(BinaryOp::Add, &extent, 1.0)?;
    let extent = c.build.with_real(BinaryOp::Max, &extent, 1.0)?;
    let extent = c.build.reshape(&extent, vec![count, 1, 1])?;
    let start = c.build.reshape(start, vec![count, 1, 1])?;
    let places = numbers(ElementType::F32, 3, 2, length);
    let from_start = c.build.binary(BinaryOp::Sub, &places, &start)?;
    let scaled = c.build.with_real(BinaryOp::Mul, &from_start, cells as f32)?;
    let next = c.build.with_real(BinaryOp::Add, &scaled, cells as f32)?;
    let cell = numbers(ElementType::F32, 3, 1, cells);
    let low = c.build.binary(BinaryOp::Mul, &cell, &extent)?;
    let high = c.build.binary(BinaryOp::Add, &low, &extent)?;
    let after = c.build.binary(BinaryOp::Less, &low, &next)?;
    let before = c.build.binary(BinaryOp::Less, &scaled, &high)?;
    c.build.binary(BinaryOp::And, &after, &before)
}

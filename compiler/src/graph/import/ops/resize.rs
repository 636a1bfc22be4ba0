//! Images in other sizes: along each axis a product with a known matrix, or known elements.

use super::Translate;
use super::index::take;
use super::matrix::along;
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Issue, Outcome, Value};
use crate::graph::import::call::{Call, length, normalize};
use crate::graph::{ElementType, Op};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "Resize" => resize,
        "Upsample" => resize,
        _ => return None,
    })
}

/// What an axis becomes.
#[derive(Clone, Debug)]
struct Scaled {
    axis: usize,
    from: usize,
    to: usize,
    scale: f32,
    /// The part that is shown, from 0 to 1.
    region: [f32; 2],
}

/// How elements between those that exist are made.
struct Filter {
    /// Names of the mode and of where an element of the result lies.
    mode: String,
    coordinates: String,
    nearest: String,
    /// Elements outside have no weight, where else the nearest one inside takes it.
    exclude_outside: bool,
    /// A smaller image takes all elements in.
    antialias: bool,
    cubic: f32,
}

fn resize(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
    let axes = scaled(c, &c.ty(&x).shape)?;
    // Before version 11 there was but one way.
    let old = c.node.op_type() == "Upsample" || c.opset < 11;
    let filter = Filter {
        mode: c.text("mode", "nearest"),
        coordinates: c.text("coordinate_transformation_mode", if old { "asymmetric" } else { "half_pixel" }),
        nearest: c.text("nearest_mode", if old { "simple" } else { "round_prefer_floor" }),
        exclude_outside: c.int("exclude_outside", 0) != 0,
        antialias: c.int("antialias", 0) != 0,
        cubic: c.float("cubic_coeff_a", -0.75),
    };
    let element = c.ty(&x).element;
    let rank = c.ty(&x).shape.len();
    let mut y = x;
    let mut outside: Option<Value> = None;
    for axis in &axes {
        let places: Vec<f32> = (0..axis.to).map(|at| filter.place(axis, at)).collect::<Outcome<_>>()?;
        if filter.coordinates == "tf_crop_and_resize" {
            let last = axis.from as f32 - 1.0;
            let beyond: Vec<bool> = places.iter().map(|&at| at < 0.0 || at > last).collect();
            let mut shape = vec![1; rank];
            shape[axis.axis] = axis.to;
            let beyond = Value::known(Tensor::bool(shape, beyond));
            outside = Some(match outside {
                Some(before) => c.build.binary(crate::graph::BinaryOp::Or, &before, &beyond)?,
                None => beyond,
            });
        }
        let unchanged = axis.from == axis.to && axis.scale == 1.0 && axis.region == [0.0, 1.0];
        if unchanged {
            continue;
        }
        y = if filter.mode == "nearest" {
            let chosen: Vec<usize> =
                places.iter().map(|&at| filter.nearest(at, axis)).collect::<Outcome<_>>()?;
            take(c.build, &y, &Value::integers(&chosen), axis.axis)?
        } else {
            let matrix = filter.matrix(axis, &places)?;
            let real = c.build.cast(&y, ElementType::F32)?;
            along(c.build, &real, axis.axis, &matrix)?
        };
    }
    y = c.build.cast(&y, element)?;
    if let Some(outside) = outside {
        let value = c.build.cast(&Value::real(c.float("extrapolation_value", 0.0)), element)?;
        y = c.build.apply(Op::Select, &[outside, value, y])?;
    }
    Ok(vec![y])
}

/// All axes that a node names, with their new lengths.
fn scaled(c: &Call<'_>, shape: &[usize]) -> Outcome<Vec<Scaled>> {
    let rank = shape.len();
    let axes: Vec<usize> = match c.ints("axes") {
        Some(axes) => axes.iter().map(|&axis| normalize(axis, rank)).collect::<Outcome<_>>()?,
        None => (0..rank).collect(),
    };
    let old = c.node.op_type() == "Upsample" || c.opset < 11;
    let scales = match c.attribute("scales") {
        Some(scales) => Some(scales.floats.clone()),
        None => c.known_reals(if old { 1 } else { 2 }, "scales")?,
    };
    let sizes = if old { None } else { c.optional_ints(3, "sizes")?.filter(|sizes| !sizes.is_empty()) };
    let count = scales.as_ref().map(Vec::len).or(sizes.as_ref().map(Vec::len));
    if count != Some(axes.len()) {
        return Err(Issue::Invalid(format!(
            "scales or sizes of {count:?} axes, of {} axes {shape:?}",
            axes.len()
        )));
    }
    // Other ways do not look at it.
    let cropped = c.text("coordinate_transformation_mode", "") == "tf_crop_and_resize";
    let regions = if cropped { c.known_reals(1, "region")? } else { None };
    let region = |at: usize| match &regions {
        Some(regions) if regions.len() == 2 * axes.len() => [regions[at], regions[axes.len() + at]],
        _ => [0.0, 1.0],
    };
    let mut all = Vec::new();
    for (at, &axis) in axes.iter().enumerate() {
        let from = shape[axis];
        let (to, scale) = match (&sizes, &scales) {
            (Some(sizes), _) => (length(sizes[at])?, sizes[at] as f32 / from as f32),
            (None, Some(scales)) => ((f64::from(scales[at]) * from as f64).floor() as usize, scales[at]),
            (None, None) => (from, 1.0),
        };
        if scale.is_nan() || scale <= 0.0 || from == 0 {
            return Err(Issue::Invalid(format!("axis {axis} of {shape:?} is scaled by {scale}")));
        }
        all.push(Scaled { axis, from, to, scale, region: region(at) });
    }
    let policy = c.text("keep_aspect_ratio_policy", "stretch");
    if sizes.is_some() && policy != "stretch" {
        let both = all.iter().map(|axis| axis.scale);
        let scale = match policy.as_str() {
            "not_larger" => both.fold(f32::INFINITY, f32::min),
            "not_smaller" => both.fold(0.0, f32::max),
            other => return Err(Issue::Invalid(format!("keep_aspect_ratio_policy is `{other}`"))),
        };
        for axis in &mut all {
            axis.scale = scale;
            axis.to = (scale * axis.from as f32 + 0.5).floor() as usize;
        }
    }
    Ok(all)
}

impl Filter {
    /// Where an element of the result lies among those of the axis. In binary32, as others compute it: roundings decide which is nearest.
    fn place(&self, axis: &Scaled, at: usize) -> Outcome<f32> {
        let (at, from, to) = (at as f32, axis.from as f32, axis.to as f32);
        let centered = (at + 0.5) / axis.scale - 0.5;
        Ok(match self.coordinates.as_str() {
            "half_pixel" => centered,
            "pytorch_half_pixel" => {
                if axis.to > 1 {
                    centered
                } else {
                    0.0
                }
            }
            "half_pixel_symmetric" => {
                let adjustment = to / (axis.scale * from);
                from / 2.0 * (1.0 - adjustment) + centered
            }
            "asymmetric" => at / axis.scale,
            "align_corners" => {
                if axis.to > 1 {
                    at * (from - 1.0) / (to - 1.0)
                } else {
                    0.0
                }
            }
            "tf_half_pixel_for_nn" => (at + 0.5) / axis.scale,
            "tf_crop_and_resize" => {
                let [start, end] = axis.region;
                if axis.to > 1 {
                    start * (from - 1.0) + at * (end - start) * (from - 1.0) / (to - 1.0)
                } else {
                    0.5 * (start + end) * (from - 1.0)
                }
            }
            other => return Err(Issue::Unsupported(format!("coordinate_transformation_mode `{other}`"))),
        })
    }

    /// The element that is nearest to a place.
    fn nearest(&self, at: f32, axis: &Scaled) -> Outcome<usize> {
        let rounded = match self.nearest.as_str() {
            "round_prefer_floor" => (at - 0.5).ceil(),
            "round_prefer_ceil" => (at + 0.5).floor(),
            "floor" => at.floor(),
            "ceil" => at.ceil(),
            "simple" if axis.scale < 1.0 => at.ceil(),
            "simple" => at.floor(),
            other => return Err(Issue::Unsupported(format!("nearest_mode `{other}`"))),
        };
        // Negative numbers become 0.
        Ok((rounded as usize).min(axis.from - 1))
    }

    /// The distance at which an element has no weight.
    fn reach(&self) -> Outcome<f64> {
        match self.mode.as_str() {
            "linear" => Ok(1.0),
            "cubic" => Ok(2.0),
            other => Err(Issue::Unsupported(format!("mode `{other}`"))),
        }
    }

    /// The weight of an element at some distance.
    fn weight(&self, distance: f64) -> f64 {
        let (x, a) = (distance.abs(), f64::from(self.cubic));
        if self.mode == "linear" {
            (1.0 - x).max(0.0)
        } else if x <= 1.0 {
            ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
        } else if x < 2.0 {
            ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
        } else {
            0.0
        }
    }

    /// Weights of all elements in each of the result: [to, from].
    fn matrix(&self, axis: &Scaled, places: &[f32]) -> Outcome<Value> {
        let narrow = if self.antialias { f64::from(axis.scale).min(1.0) } else { 1.0 };
        let reach = (self.reach()? / narrow).ceil() as i64;
        let last = axis.from as i64 - 1;
        let mut matrix = vec![0.0f32; axis.to * axis.from];
        for (row, &at) in matrix.chunks_exact_mut(axis.from).zip(places) {
            let at = f64::from(at);
            let left = at.ceil() as i64 - 1;
            let taps =
                (left + 1 - reach..=left + reach).map(|tap| (tap, self.weight((tap as f64 - at) * narrow)));
            let taps: Vec<(i64, f64)> =
                taps.filter(|(tap, _)| !self.exclude_outside || (0..=last).contains(tap)).collect();
            let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
            let sum = if sum == 0.0 { 1.0 } else { sum };
            for (tap, weight) in taps {
                row[tap.clamp(0, last) as usize] += (weight / sum) as f32;
            }
        }
        Ok(Value::known(Tensor::f32([axis.to, axis.from], matrix)))
    }
}

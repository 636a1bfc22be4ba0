//! Elements around a tensor, and the middle of one.

use super::Translate;
use super::index::take;
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length, normalize};
use crate::graph::{ElementType, Op, TensorType};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "Pad" => pad,
        "CenterCropPad" => center,
        _ => return None,
    })
}

fn pad(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let mut a = c.input(0)?;
    let rank = c.ty(&a).shape.len();
    let pads = c.ints_or_input("pads", 1)?;
    let axes = match c.optional_ints(3, "axes")? {
        Some(axes) => axes.iter().map(|&axis| normalize(axis, rank)).collect::<Outcome<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(Issue::Invalid(format!("{} pads for {} axes", pads.len(), axes.len())));
    }
    let mode = c.text("mode", "constant");
    let value = c.optional(2).unwrap_or(Value::real(c.float("value", 0.0)));
    // What is added is true.
    let mut added: Option<Value> = None;
    let ty = c.ty(&a);
    for (i, &axis) in axes.iter().enumerate() {
        let (before, after) = (pads[i], pads[axes.len() + i]);
        // Negative padding cuts off.
        let shape = c.ty(&a).shape;
        let cut = |n: i64| usize::try_from(n.min(0).unsigned_abs()).unwrap_or(usize::MAX);
        let kept = shape[axis].checked_sub(cut(before)).and_then(|n| n.checked_sub(cut(after)));
        let count =
            kept.ok_or_else(|| Issue::Invalid(format!("pads {pads:?} cut off more than {shape:?} has")))?;
        a = c.build.apply(Op::Slice { axis, start: cut(before), count, step: 1 }, &[a])?;
        let (before, after) = (length(before.max(0))?, length(after.max(0))?);
        if (before, after) == (0, 0) {
            continue;
        }
        if mode != "constant" {
            let places = around(&mode, count, before, after)?;
            a = take(c.build, &a, &Value::integers(&places), axis)?;
            continue;
        }
        let bits = value_bits(c.build, &value, ty.element)?;
        a = c.build.apply(Op::Pad { axis, before, after, value: bits.unwrap_or(0) }, &[a])?;
        if bits.is_none() {
            let beyond: Vec<bool> =
                (0..before + count + after).map(|at| at < before || at >= before + count).collect();
            let mut along = vec![1; rank];
            along[axis] = beyond.len();
            let here = Value::known(Tensor::bool(along, beyond));
            added = Some(match added {
                Some(added) => c.build.binary(crate::graph::BinaryOp::Or, &added, &here)?,
                None => here,
            });
        }
    }
    if let Some(added) = added {
        let value = c.build.reshape(&value, vec![])?;
        a = c.build.apply(Op::Select, &[added, value, a])?;
    }
    Ok(vec![a])
}

/// The bits of a value as an element of a type, where it is known.
fn value_bits(build: &mut Builder, value: &Value, element: ElementType) -> Outcome<Option<u32>> {
    if value.tensor().is_none() {
        return Ok(None);
    }
    let value = build.cast(value, element)?;
    Ok(value.tensor().and_then(|tensor| tensor.bits().first().copied()))
}

/// Where the elements around an axis and in it come from.
fn around(mode: &str, length: usize, before: usize, after: usize) -> Outcome<Vec<usize>> {
    let at = |place: i64| {
        let last = length as i64 - 1;
        match mode {
            "edge" if length > 0 => Ok(place.clamp(0, last)),
            "wrap" if length > 0 => Ok(place.rem_euclid(length as i64)),
            "reflect" if length == 1 => Ok(0),
            "reflect" if length > 0 => {
                let there = place.rem_euclid(2 * last);
                Ok(there.min(2 * last - there))
            }
            "edge" | "wrap" | "reflect" => {
                Err(Issue::Invalid(format!("mode is `{mode}`, of an axis without elements")))
            }
            other => Err(Issue::Unsupported(format!("mode `{other}`"))),
        }
    };
    (-(before as i64)..(length + after) as i64).map(|place| at(place).map(|at| at as usize)).collect()
}

/// The middle of axes that are too long, and zeros around those that are too short.
fn center(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let mut a = c.input(0)?;
    let TensorType { shape, .. } = c.ty(&a);
    let lengths = c.known_ints(1, "shape")?.iter().map(|&n| length(n)).collect::<Outcome<Vec<_>>>()?;
    let axes = match c.ints("axes") {
        Some(axes) => axes.iter().map(|&axis| normalize(axis, shape.len())).collect::<Outcome<Vec<_>>>()?,
        None => (0..shape.len()).collect(),
    };
    if axes.len() != lengths.len() {
        return Err(Issue::Invalid(format!("{lengths:?} for axes {axes:?} of {shape:?}")));
    }
    for (&axis, &wanted) in axes.iter().zip(&lengths) {
        let (start, count) = (shape[axis].saturating_sub(wanted) / 2, wanted.min(shape[axis]));
        a = c.build.apply(Op::Slice { axis, start, count, step: 1 }, &[a])?;
        let missing = wanted.saturating_sub(shape[axis]);
        let (before, after) = (missing / 2, missing.div_ceil(2));
        a = c.build.apply(Op::Pad { axis, before, after, value: 0 }, &[a])?;
    }
    Ok(vec![a])
}

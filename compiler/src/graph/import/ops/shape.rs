//! Operators that move elements without changing them, and those that ask for shapes.

use super::{Translate, one};
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length, normalize};
use crate::graph::{Op, shape};

/// Most elements that a slice takes backwards.
const MAX_REVERSED: usize = 1 << 24;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "Shape" => shape_of,
        "Size" => size,
        "Reshape" => reshape,
        "Flatten" => flatten,
        "Squeeze" => squeeze,
        "Unsqueeze" => unsqueeze,
        "Transpose" => transpose,
        "Expand" => expand,
        "Tile" => tile,
        "Concat" => concat,
        "Split" => split,
        "Slice" => slice,
        "DepthToSpace" => |c| blocks(c, true),
        "SpaceToDepth" => |c| blocks(c, false),
        _ => return None,
    })
}

/// From version 15 on, of a part of the axes.
fn shape_of(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let shape = c.ty(&c.input(0)?).shape;
    let rank = shape.len() as i64;
    let bound = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let (start, end) = (bound(c.int("start", 0)), bound(c.int("end", rank)));
    Ok(vec![Value::integers(shape.get(start..end).unwrap_or_default())])
}

fn size(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let elements = shape::count(&c.ty(&c.input(0)?).shape)?;
    Ok(vec![Value::integer(i32::try_from(elements).unwrap_or(i32::MAX))])
}

fn reshape(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let asked = c.ints_or_input("shape", 1)?;
    let old = c.ty(&a).shape;
    let copy_zero = c.int("allowzero", 0) == 0;
    let mut new = Vec::with_capacity(asked.len());
    let mut free = None;
    for (axis, &wanted) in asked.iter().enumerate() {
        match wanted {
            -1 if free.is_none() => {
                free = Some(axis);
                new.push(1);
            }
            -1 => return Err(Issue::Invalid(format!("the shape {asked:?} leaves two axes open"))),
            0 if copy_zero => new.push(*old.get(axis).ok_or_else(|| {
                Issue::Invalid(format!("the shape {asked:?} copies axis {axis}, the input {old:?} has none"))
            })?),
            wanted => new.push(length(wanted)?),
        }
    }
    if let Some(axis) = free {
        let (elements, rest) = (shape::count(&old)?, shape::count(&new)?);
        if rest == 0 || elements % rest != 0 {
            return Err(Issue::Invalid(format!(
                "{old:?} does not reshape to {asked:?}: {elements} is no multiple of {rest}"
            )));
        }
        new[axis] = elements / rest;
    }
    Ok(vec![c.build.reshape(&a, new)?])
}

fn flatten(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let shape = c.ty(&a).shape;
    // The axis may be the rank itself: everything in front.
    let axis = match c.int("axis", 1) {
        axis if axis == shape.len() as i64 => shape.len(),
        axis => normalize(axis, shape.len())?,
    };
    let (front, back) = shape.split_at(axis);
    Ok(vec![c.build.reshape(&a, vec![front.iter().product(), back.iter().product()])?])
}

fn squeeze(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let shape = c.ty(&a).shape;
    let axes = match c.axes(1, shape.len())? {
        Some(axes) => axes,
        None => (0..shape.len()).filter(|&axis| shape[axis] == 1).collect(),
    };
    if let Some(&axis) = axes.iter().find(|&&axis| shape[axis] != 1) {
        return Err(Issue::Invalid(format!("axis {axis} of {shape:?} is squeezed, its length is not 1")));
    }
    let new = (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).collect();
    Ok(vec![c.build.reshape(&a, new)?])
}

fn unsqueeze(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let shape = c.ty(&a).shape;
    let count = c.ints("axes").map(<[i64]>::len).or(c.optional_ints(1, "axes")?.map(|axes| axes.len()));
    let count = count.ok_or_else(|| Issue::Invalid("its axes are missing".to_owned()))?;
    let rank = shape.len() + count;
    let mut axes = c.axes(1, rank)?.unwrap_or_default();
    axes.sort_unstable();
    axes.dedup();
    if axes.len() != count {
        return Err(Issue::Invalid("an axis is given twice".to_owned()));
    }
    let mut new = shape;
    for axis in axes {
        new.insert(axis, 1);
    }
    Ok(vec![c.build.reshape(&a, new)?])
}

fn transpose(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let rank = c.ty(&a).shape.len();
    let permutation = match c.ints("perm") {
        Some(perm) => perm.iter().map(|&axis| normalize(axis, rank)).collect::<Outcome<_>>()?,
        None => (0..rank).rev().collect(),
    };
    Ok(vec![c.build.apply(Op::Transpose { permutation }, &[a])?])
}

/// Broadcasts both ways: an axis of 1 in the asked shape keeps the input's length.
fn expand(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let asked: Vec<usize> = c.known_ints(1, "shape")?.iter().map(|&v| length(v)).collect::<Outcome<_>>()?;
    let shape = shape::broadcast(&c.ty(&a).shape, &asked)?;
    Ok(vec![c.build.apply(Op::Expand { shape }, &[a])?])
}

/// Every axis repeated: for each, a new axis before it that is expanded and joined with it.
fn tile(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let mut a = c.input(0)?;
    let repeats = c.known_ints(1, "repeats")?;
    let shape = c.ty(&a).shape;
    if repeats.len() != shape.len() {
        return Err(Issue::Invalid(format!(
            "{} repeats for the {} axes of {shape:?}",
            repeats.len(),
            shape.len()
        )));
    }
    for (axis, &repeat) in repeats.iter().enumerate() {
        let repeat = length(repeat)?;
        let now = c.ty(&a).shape;
        if repeat == 1 {
            continue;
        }
        let mut apart = now.clone();
        apart.insert(axis, 1);
        a = c.build.reshape(&a, apart.clone())?;
        apart[axis] = repeat;
        a = c.build.apply(Op::Expand { shape: apart }, &[a])?;
        let mut joined = now;
        joined[axis] = joined[axis]
            .checked_mul(repeat)
            .ok_or_else(|| Issue::Invalid("the result is too large".to_owned()))?;
        a = c.build.reshape(&a, joined)?;
    }
    Ok(vec![a])
}

fn concat(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let all = c.all()?;
    let rank = c.ty(&all[0]).shape.len();
    let axis = normalize(c.attribute("axis").and_then(|axis| axis.i).unwrap_or(1), rank)?;
    appended(c.build, &all, axis).map(one)
}

/// Values one after the other. Appending to the old content of a state makes its new content.
pub(super) fn appended(build: &mut Builder, all: &[Value], axis: usize) -> Outcome {
    if let [Value::Past(past), new] = all {
        let past = build.pasts[*past].clone();
        if past.axis == axis
            && let Some(position) = build.position
        {
            let inputs = [Value::Node(past.input), new.clone(), Value::Node(position)];
            return build.apply(Op::Append { axis }, &inputs);
        }
    }
    // Empty parts of known length zero, as a first step without a past has them, add nothing.
    let filled: Vec<Value> =
        all.iter().filter(|part| build.shape(part).get(axis) != Some(&0)).cloned().collect();
    let parts = if filled.is_empty() || filled.len() == all.len() { all } else { &filled };
    build.apply(Op::Concat { axis }, parts)
}

fn split(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let shape = c.ty(&a).shape;
    let axis = c.axis(0, shape.len())?;
    let sizes = match c.ints("split") {
        Some(sizes) => Some(sizes.to_vec()),
        None => c.optional_ints(1, "part lengths")?,
    };
    let sizes: Vec<usize> = match sizes {
        Some(sizes) => sizes.iter().map(|&size| length(size)).collect::<Outcome<_>>()?,
        None => {
            // Equal parts; the last may be shorter.
            let parts = length(c.int("num_outputs", c.node.output.len() as i64))?.max(1);
            let part = shape[axis].div_ceil(parts);
            let start = |i: usize| part.saturating_mul(i).min(shape[axis]);
            if parts > c.node.output.len() {
                return Err(Issue::Invalid(format!("{parts} parts for {} outputs", c.node.output.len())));
            }
            (0..parts).map(|i| start(i + 1) - start(i)).collect()
        }
    };
    let mut start = 0usize;
    let mut parts = Vec::new();
    for count in sizes {
        parts.push(c.build.apply(Op::Slice { axis, start, count, step: 1 }, std::slice::from_ref(&a))?);
        start = start.saturating_add(count);
    }
    if start != shape[axis] {
        return Err(Issue::Invalid(format!(
            "the parts have {start} elements in all, axis {axis} of {shape:?} has not"
        )));
    }
    Ok(parts)
}

fn slice(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let mut a = c.input(0)?;
    let rank = c.ty(&a).shape.len();
    let (starts, ends) = (c.ints_or_input("starts", 1)?, c.ints_or_input("ends", 2)?);
    let axes = c.ints("axes").map(<[i64]>::to_vec).or(c.optional_ints(3, "axes")?);
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = c.optional_ints(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(Issue::Invalid("its starts, ends, axes and steps are not equally many".to_owned()));
    }
    for (i, &axis) in axes.iter().enumerate() {
        let axis = normalize(axis, rank)?;
        let length = c.ty(&a).shape[axis] as i64;
        let (start, count, step) = range(starts[i], ends[i], steps[i], length)?;
        a = if step > 0 {
            let (start, step) = (start as usize, step as usize);
            c.build.apply(Op::Slice { axis, start: if count == 0 { 0 } else { start }, count, step }, &[a])?
        } else {
            if count > MAX_REVERSED || length > i64::from(i32::MAX) {
                return Err(Issue::Unsupported(format!("{count} elements are taken backwards")));
            }
            let indices: Vec<i32> = (0..count as i64).map(|i| (start + i * step) as i32).collect();
            let indices = Value::known(Tensor::i32([count], indices));
            c.build.apply(Op::Gather { axis }, &[a, indices])?
        };
    }
    Ok(vec![a])
}

/// First index, number of elements and step of a slice, after numpy's clamping.
fn range(start: i64, end: i64, step: i64, length: i64) -> Outcome<(i64, usize, i64)> {
    // More than the whole axis in one step is one element; this also keeps the arithmetic small.
    let step = step.clamp(-length.max(1), length.max(1));
    let from_front = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
    let (start, end) = (from_front(start), from_front(end));
    let (start, span) = match step {
        0 => return Err(Issue::Invalid("a step is 0".to_owned())),
        1.. => {
            let start = start.clamp(0, length);
            (start, end.clamp(0, length) - start)
        }
        _ => {
            let start = start.clamp(-1, length - 1);
            (start, start - end.clamp(-1, length - 1))
        }
    };
    let count = if span <= 0 { 0 } else { (span - 1) / step.abs() + 1 };
    Ok((start, count as usize, step))
}

/// Blocks of an image, b × b each, and the channels that hold them. In `DCR` order the blocks' places come before the channels, else after.
fn blocks(c: &mut Call<'_>, to_space: bool) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
    let shape = c.ty(&x).shape;
    let b = length(c.int("blocksize", 0))?;
    let &[n, channels, height, width] = &shape[..] else {
        return Err(Issue::Invalid(format!("blocks of an image {shape:?}")));
    };
    let square = b.checked_mul(b).unwrap_or(0);
    let fits = if to_space { [channels, 0, 0] } else { [0, height, width] };
    let by = [square, b, b];
    if square == 0 || fits.iter().zip(by).any(|(length, by)| length % by != 0) {
        return Err(Issue::Invalid(format!("blocks of {b} × {b} of an image {shape:?}")));
    }
    let first = match c.text("mode", "DCR").as_str() {
        "DCR" => true,
        "CRD" => false,
        other => return Err(Issue::Invalid(format!("mode is `{other}`"))),
    };
    let (apart, permutation, joined) = if to_space {
        let rest = channels / square;
        let apart = if first { [n, b, b, rest, height, width] } else { [n, rest, b, b, height, width] };
        let permutation = if first { [0, 3, 4, 1, 5, 2] } else { [0, 1, 4, 2, 5, 3] };
        (apart, permutation, [n, rest, height * b, width * b])
    } else {
        let (height, width) = (height / b, width / b);
        let permutation = if first { [0, 3, 5, 1, 2, 4] } else { [0, 1, 3, 5, 2, 4] };
        ([n, channels, height, b, width, b], permutation, [n, channels * square, height, width])
    };
    let x = c.build.reshape(&x, apart.to_vec())?;
    let x = c.build.apply(Op::Transpose { permutation: permutation.to_vec() }, &[x])?;
    Ok(vec![c.build.reshape(&x, joined.to_vec())?])
}

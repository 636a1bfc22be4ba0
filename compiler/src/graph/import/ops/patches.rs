//! Convolutions as products: windows side by side, and laid over each other again. Channels are last meanwhile, so that places are rows.

use super::convolution::Window;
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::{BinaryOp, Op, shape};

/// Most places of a window.
const MAX_PLACES: usize = 1 << 10;

/// [N, C, ..] as [N, .., C].
pub(super) fn channels_last(build: &mut Builder, x: &Value) -> Outcome {
    let rank = build.shape(x).len();
    let permutation = [0].into_iter().chain(2..rank).chain([1]).collect();
    build.apply(Op::Transpose { permutation }, std::slice::from_ref(x))
}

/// [N, .., C] as [N, C, ..].
pub(super) fn channels_second(build: &mut Builder, x: &Value) -> Outcome {
    let rank = build.shape(x).len();
    let permutation = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    build.apply(Op::Transpose { permutation }, std::slice::from_ref(x))
}

/// The number of places of a window, if they are not too many to be taken one by one.
pub(super) fn places(kernel: &[usize]) -> Outcome<usize> {
    let places = shape::count(kernel)?;
    if places > MAX_PLACES {
        return Err(Issue::Unsupported(format!(
            "windows of {kernel:?}: {places} places, at most {MAX_PLACES} are supported"
        )));
    }
    Ok(places)
}

/// What lies at each place of the windows of x [N, .., C], zeros around it: [N, .., C] for each.
pub(super) fn windows(build: &mut Builder, x: &Value, window: &Window) -> Outcome<Vec<Value>> {
    places(&window.kernel)?;
    let mut all = vec![x.clone()];
    for (i, &[before, after]) in window.padding.iter().enumerate() {
        let axis = i + 1;
        let (stride, dilation) = (window.strides[i], window.dilations[i]);
        let length = build.shape(x)[axis] + before + after;
        let reach = (window.kernel[i] - 1).saturating_mul(dilation);
        let last = length.checked_sub(reach.saturating_add(1));
        let last =
            last.ok_or_else(|| Issue::Invalid(format!("a window reaches {reach} on an axis of {length}")))?;
        let count = last / stride + 1;
        let mut next = Vec::new();
        for part in &all {
            let padded = Op::Pad { axis, before, after, value: 0 };
            let padded = build.apply(padded, std::slice::from_ref(part))?;
            for at in 0..window.kernel[i] {
                let slice = Op::Slice { axis, start: at * dilation, count, step: stride };
                next.push(build.apply(slice, std::slice::from_ref(&padded))?);
            }
        }
        all = next;
    }
    Ok(all)
}

/// What lies at each place of windows, [N, .., C], times weights [O, C / groups, ..] that need not be known: [N, O, ..].
pub(super) fn weighted(build: &mut Builder, windows: &[Value], weights: &Value, groups: usize) -> Outcome {
    let Some(mut result) = windows.first().map(|part| build.shape(part)) else {
        return Err(Issue::Invalid("a window without places".to_owned()));
    };
    let last = result.len() - 1;
    let (out, each, channels) = (build.shape(weights)[0], build.shape(weights)[1], result[last]);
    if groups == 0 || out % groups != 0 || each.checked_mul(groups) != Some(channels) {
        return Err(Issue::Invalid(format!("{groups} groups of {each} channels make {out} of {channels}")));
    }
    let rows = result[..last].iter().product();
    let inner = windows.len() * channels;
    let left = build.apply(Op::Concat { axis: last }, windows)?;
    let left = build.reshape(&left, vec![rows, inner])?;
    let right = build.reshape(weights, vec![out, each, windows.len()])?;
    let right = dense(build, &right, groups)?;
    let right = build.apply(Op::Transpose { permutation: vec![0, 2, 1] }, &[right])?;
    let right = build.reshape(&right, vec![out, inner])?;
    let y = build.apply(Op::MatMul { transpose_b: true }, &[left, right])?;
    result[last] = out;
    let y = build.reshape(&y, result)?;
    channels_second(build, &y)
}

/// Weights [a, b / groups, k] of groups of channels as [a, b, k], with zeros for channels of other groups: what the planes would do with their lanes
/// is nothing else.
pub(super) fn dense(build: &mut Builder, weights: &Value, groups: usize) -> Outcome {
    if groups == 1 {
        return Ok(weights.clone());
    }
    let (rows, each) = (build.shape(weights)[0], build.shape(weights)[1]);
    let repeated = build.apply(Op::Concat { axis: 1 }, &vec![weights.clone(); groups])?;
    let own = |row: usize, column: usize| row * groups / rows == column / each;
    let own: Vec<bool> =
        (0..rows).flat_map(|row| (0..each * groups).map(move |column| own(row, column))).collect();
    let own = Value::known(Tensor::bool([rows, each * groups, 1], own));
    build.apply(Op::Select, &[own, repeated, Value::real(0.0)])
}

/// Windows [N, *L, *K, C] over each other: the sums [N, C, ..] of what lies at the same place. Of the axes, what `window` pads is cut off, and zeros
/// come after it, up to so many elements of each axis.
pub(super) fn overlapped(build: &mut Builder, x: &Value, window: &Window, lengths: &[usize]) -> Outcome {
    places(&window.kernel)?;
    let axes = lengths.len();
    let mut x = x.clone();
    for (i, &wanted) in lengths.iter().enumerate() {
        let (kernel, dilation) = (window.kernel[i], window.dilations[i]);
        x = stretched(build, &x, i + 1, window.strides[i])?;
        let mut sum: Option<Value> = None;
        for at in 0..kernel {
            let part = build.one_of(&x, 1 + axes + i, at)?;
            let (before, after) = (at * dilation, (kernel - 1 - at) * dilation);
            let part = build.apply(Op::Pad { axis: i + 1, before, after, value: 0 }, &[part])?;
            sum = Some(match sum {
                Some(sum) => build.binary(BinaryOp::Add, &sum, &part)?,
                None => part,
            });
        }
        x = sum.unwrap_or(x);
        let [start, _] = window.padding[i];
        let length = build.shape(&x)[i + 1];
        let end = start.saturating_add(wanted);
        let after = end.saturating_sub(length);
        x = build.apply(Op::Pad { axis: i + 1, before: 0, after, value: 0 }, &[x])?;
        x = build.apply(Op::Slice { axis: i + 1, start, count: wanted, step: 1 }, &[x])?;
    }
    let shape = build.shape(&x);
    let y = build.reshape(&x, [&shape[..1], lengths, &shape[1 + 2 * axes..]].concat())?;
    channels_second(build, &y)
}

/// Zeros between the elements of an axis that is not the last.
fn stretched(build: &mut Builder, x: &Value, axis: usize, stride: usize) -> Outcome {
    if stride == 1 {
        return Ok(x.clone());
    }
    let mut shape = build.shape(x);
    shape.insert(axis + 1, 1);
    let x = build.reshape(x, shape.clone())?;
    let x = build.apply(Op::Pad { axis: axis + 1, before: 0, after: stride - 1, value: 0 }, &[x])?;
    shape.remove(axis + 1);
    shape[axis] *= stride;
    let count = shape[axis] - (stride - 1);
    let x = build.reshape(&x, shape)?;
    build.apply(Op::Slice { axis, start: 0, count, step: 1 }, &[x])
}

//! Reading and writing single elements by indices.

use super::choose::{Joined, along, from_front, numbers, scatter};
use super::index::take;
use super::{Translate, one};
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length, normalize};
use crate::graph::{BinaryOp, ElementType, Op, TensorType, shape};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "GatherElements" => gather_elements,
        "GatherND" => gather_nd,
        "Scatter" | "ScatterElements" => scatter_elements,
        "ScatterND" => scatter_nd,
        "TensorScatter" => tensor_scatter,
        "ReverseSequence" => reverse_sequence,
        "OneHot" => one_hot,
        _ => return None,
    })
}

/// Data is cut to the part of the other axes that the indices cover.
fn gather_elements(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (mut data, index) = (c.input(0)?, c.input(1)?);
    let (from, to) = (c.ty(&data).shape, c.ty(&index).shape);
    let at = c.axis(0, from.len())?;
    same_rank(&from, &to)?;
    for axis in (0..from.len()).filter(|&axis| axis != at) {
        let cut = Op::Slice { axis, start: 0, count: to[axis], step: 1 };
        data = c.build.apply(cut, &[data])?;
    }
    let index = from_front(c.build, &index, from[at])?;
    along(c.build, &data, &index, at).map(one)
}

fn same_rank(data: &[usize], index: &[usize]) -> Outcome<()> {
    if data.len() == index.len() {
        return Ok(());
    }
    Err(Issue::Invalid(format!("indices of shape {index:?} into {data:?}")))
}

/// Index tuples [.., depth] into axes of the given lengths, as indices into these axes joined.
fn joined(build: &mut Builder, tuples: &Value, lengths: &[usize]) -> Outcome {
    let shape = build.shape(tuples);
    let axis = shape.len() - 1;
    let mut sum = Value::integer(0);
    for (start, &length) in lengths.iter().enumerate() {
        let index = build.one_of(tuples, axis, start)?;
        let index = from_front(build, &index, length)?;
        let length = i32::try_from(length)
            .map_err(|_| Issue::Unsupported(format!("an axis of {length} is too long for indices")))?;
        sum = build.binary(BinaryOp::Mul, &sum, &Value::integer(length))?;
        sum = build.binary(BinaryOp::Add, &sum, &index)?;
    }
    build.reshape(&sum, shape[..axis].to_vec())
}

/// How many axes the tuples of indices go into: the length of their last axis, of at most `rank`.
fn depth(index: &[usize], rank: usize) -> Outcome<usize> {
    let depth = index.last().copied().filter(|&depth| depth >= 1 && depth <= rank);
    depth.ok_or_else(|| Issue::Invalid(format!("indices of shape {index:?} into {rank} axes")))
}

/// One index into the leading axes joined; axes of a batch are joined in front of them.
fn gather_nd(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (data, tuples) = (c.input(0)?, c.input(1)?);
    let (shape, index_shape) = (c.ty(&data).shape, c.ty(&tuples).shape);
    let batch = length(c.int("batch_dims", 0))?;
    let agree = batch < shape.len().min(index_shape.len()) && shape[..batch] == index_shape[..batch];
    if !agree {
        return Err(Issue::Invalid(format!(
            "{batch} axes of a batch of indices {index_shape:?} and data {shape:?}"
        )));
    }
    let depth = depth(&index_shape, shape.len() - batch)?;
    let (front, rest) = shape.split_at(batch + depth);
    let (batches, elements) = (front[..batch].iter().product(), front[batch..].iter().product::<usize>());
    let places = shape::count(front)?;
    let mut index = joined(c.build, &tuples, &front[batch..])?;
    if batch > 0 {
        let outer = &index_shape[..index_shape.len() - 1];
        let flat = c.build.reshape(&index, vec![batches, outer[batch..].iter().product()])?;
        let each = Value::integer(i32::try_from(elements).unwrap_or(i32::MAX));
        let starts = numbers(ElementType::I32, 2, 0, batches);
        let starts = c.build.binary(BinaryOp::Mul, &starts, &each)?;
        let flat = c.build.binary(BinaryOp::Add, &flat, &starts)?;
        index = c.build.reshape(&flat, outer.to_vec())?;
    }
    let data = c.build.reshape(&data, [&[places], rest].concat())?;
    take(c.build, &data, &index, 0).map(one)
}

fn how(c: &Call<'_>) -> Outcome<Joined> {
    Ok(match c.text("reduction", "none").as_str() {
        "none" => Joined::Replaced,
        "add" => Joined::By(BinaryOp::Add),
        "mul" => Joined::By(BinaryOp::Mul),
        "max" => Joined::By(BinaryOp::Max),
        "min" => Joined::By(BinaryOp::Min),
        other => return Err(Issue::Invalid(format!("reduction is `{other}`"))),
    })
}

/// Where the indices cover only a part of the other axes, the rest gets indices that no place has.
fn scatter_elements(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (data, index, mut updates) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let (to, from) = (c.ty(&data).shape, c.ty(&index).shape);
    let (at, how) = (c.axis(0, to.len())?, how(c)?);
    same_rank(&to, &from)?;
    if c.ty(&updates).shape != from {
        return Err(Issue::Invalid(format!("updates {:?} for indices {from:?}", c.ty(&updates).shape)));
    }
    let mut index = from_front(c.build, &index, to[at])?;
    let value = u32::try_from(to[at]).unwrap_or(u32::MAX);
    for axis in (0..to.len()).filter(|&axis| axis != at) {
        let after = to[axis].checked_sub(from[axis]);
        let after = after.ok_or_else(|| Issue::Invalid(format!("indices of shape {from:?} into {to:?}")))?;
        index = c.build.apply(Op::Pad { axis, before: 0, after, value }, &[index])?;
        updates = c.build.apply(Op::Pad { axis, before: 0, after, value: 0 }, &[updates])?;
    }
    scatter(c.build, &data, &index, &updates, at, how).map(one)
}

/// Rows of the leading axes joined.
fn scatter_nd(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (data, tuples, updates) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let (shape, index_shape, how) = (c.ty(&data).shape, c.ty(&tuples).shape, how(c)?);
    let depth = depth(&index_shape, shape.len())?;
    let (front, rest) = shape.split_at(depth);
    let index = joined(c.build, &tuples, front)?;
    let (places, count) = (shape::count(front)?, index_shape[..index_shape.len() - 1].iter().product());
    let width: usize = rest.iter().product();
    // A row of one element is no row: then the places are on the lanes.
    let flat = |length: usize| if width == 1 { vec![length] } else { vec![length, width] };
    let index = c.build.reshape(&index, if width == 1 { vec![count] } else { vec![count, 1] })?;
    let (data, updates) = (c.build.reshape(&data, flat(places))?, c.build.reshape(&updates, flat(count))?);
    let result = scatter(c.build, &data, &index, &updates, 0, how)?;
    c.build.reshape(&result, shape).map(one)
}

/// New elements of a cache, from a place of each batch on; past the end they go on at the start if the cache is a ring.
fn tensor_scatter(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (data, updates) = (c.input(0)?, c.input(1)?);
    let (shape, new) = (c.ty(&data).shape, c.ty(&updates).shape);
    let rank = shape.len();
    let axis = normalize(c.int("axis", -2), rank)?;
    let start = c.optional(2).unwrap_or(Value::integer(0));
    let batch = c.ty(&start).elements();
    let fits = new.len() == rank && axis > 0 && new[axis] <= shape[axis] && [1, shape[0]].contains(&batch);
    if !fits {
        return Err(Issue::Invalid(format!("{batch} places of {new:?} along axis {axis} of {shape:?}")));
    }
    let mut starts = vec![1; rank];
    starts[0] = batch;
    let start = c.build.reshape(&start, starts)?;
    let steps = numbers(ElementType::I32, rank, axis, new[axis]);
    let mut index = c.build.binary(BinaryOp::Add, &start, &steps)?;
    match c.text("mode", "linear").as_str() {
        "linear" => {}
        "circular" => {
            let length = Value::integer(i32::try_from(shape[axis]).unwrap_or(i32::MAX));
            let past = c.build.binary(BinaryOp::LessEqual, &length, &index)?;
            let wrapped = c.build.binary(BinaryOp::Sub, &index, &length)?;
            index = c.build.apply(Op::Select, &[past, wrapped, index])?;
        }
        other => return Err(Issue::Invalid(format!("mode is `{other}`"))),
    }
    scatter(c.build, &data, &index, &updates, axis, Joined::Replaced).map(one)
}

/// The first elements of each batch, as many as its length says, the other way round.
fn reverse_sequence(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (data, lengths) = (c.input(0)?, c.input(1)?);
    let shape = c.ty(&data).shape;
    let rank = shape.len();
    let batch = normalize(c.int("batch_axis", 1), rank)?;
    let time = normalize(c.int("time_axis", 0), rank)?;
    if batch == time || c.ty(&lengths).shape != [shape[batch]] {
        return Err(Issue::Invalid(format!("axes {batch} and {time} of {shape:?}, and {}", c.ty(&lengths))));
    }
    let mut per_batch = vec![1; rank];
    per_batch[batch] = shape[batch];
    let lengths = c.build.reshape(&lengths, per_batch)?;
    let places = numbers(ElementType::I32, rank, time, shape[time]);
    let inside = c.build.binary(BinaryOp::Less, &places, &lengths)?;
    let last = c.build.binary(BinaryOp::Sub, &lengths, &Value::integer(1))?;
    let mirrored = c.build.binary(BinaryOp::Sub, &last, &places)?;
    let index = c.build.apply(Op::Select, &[inside, mirrored, places])?;
    along(c.build, &data, &index, time).map(one)
}

/// One value where the new axis' place is the index, another elsewhere.
fn one_hot(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (index, values) = (c.input(0)?, c.input(2)?);
    let places = c.known_ints(1, "depth")?.first().copied().unwrap_or(0);
    let places = length(places)?;
    let TensorType { element, shape } = c.ty(&index);
    let axis = c.axis(-1, shape.len() + 1)?;
    let index = from_front(c.build, &index, places)?;
    let index = c.build.with_axis(&index, axis)?;
    let here = numbers(element, shape.len() + 1, axis, places);
    let hits = c.build.binary(BinaryOp::Equal, &index, &here)?;
    let mut value = |start: usize| {
        let value = c.build.one_of(&values, 0, start)?;
        c.build.reshape(&value, vec![])
    };
    let (off, on) = (value(0)?, value(1)?);
    c.build.apply(Op::Select, &[hits, on, off]).map(one)
}

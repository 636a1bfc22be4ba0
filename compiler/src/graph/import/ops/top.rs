//! The greatest or least elements along an axis, in order.

use super::Translate;
use super::choose::{MAX_VECTORS, at_once, numbers, only, vectors};
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp, TensorType};

/// Longest list that is found one element after the other.
const MAX_ROUNDS: usize = 64;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    (operator == "TopK").then_some(top)
}

/// Values and their places. An order that is not asked for is given all the same.
fn top(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let TensorType { element, shape } = c.ty(&a);
    let axis = c.axis(-1, shape.len())?;
    let k = match c.attribute("k").and_then(|k| k.i) {
        Some(k) => k,
        None => c.known_ints(1, "number k of elements")?.first().copied().unwrap_or(1),
    };
    let k = length(k)?;
    if k > shape[axis] {
        return Err(Issue::Invalid(format!("{k} elements of axis {axis} of {shape:?}")));
    }
    if element == ElementType::Bool {
        return Err(Issue::Invalid("its input is made of truth values".to_owned()));
    }
    let largest = c.int("largest", 1) != 0;
    let all = vectors(&shape).saturating_mul(shape[axis]);
    if all <= MAX_VECTORS {
        return by_rank(c.build, &a, axis, k, largest);
    }
    if k > MAX_ROUNDS {
        return Err(Issue::Unsupported(format!(
            "the first {k} of {shape:?} along axis {axis}: to put an axis in order takes {all} vectors of comparisons, at most {MAX_VECTORS} are supported, or a k of at most {MAX_ROUNDS}"
        )));
    }
    in_rounds(c.build, &a, axis, k, largest)
}

/// How many elements come before each one, and then for each rank the element that has it.
fn by_rank(build: &mut Builder, a: &Value, axis: usize, k: usize, largest: bool) -> Outcome<Vec<Value>> {
    let shape = build.shape(a);
    let (rank, length) = (shape.len() + 1, shape[axis]);
    let own = build.with_axis(a, axis)?;
    let part = at_once(vectors(&shape));
    let mut ranks = Value::real(0.0);
    // Axis `axis` counts the elements that may come before, the next one those that are ranked.
    for start in (0..length).step_by(part) {
        let count = part.min(length - start);
        let others = Op::Slice { axis, start, count, step: 1 };
        let other = build.apply(others, std::slice::from_ref(a))?;
        let other = build.with_axis(&other, axis + 1)?;
        let mut parts = Vec::new();
        // An equal one that is earlier comes before: none of these for what lies in front of them, all for what lies behind.
        for (first, end) in [(0, start), (start, start + count), (start + count, length)] {
            if first == end {
                continue;
            }
            let ranked = Op::Slice { axis: axis + 1, start: first, count: end - first, step: 1 };
            let own = build.apply(ranked, std::slice::from_ref(&own))?;
            let (low, high) = if largest { (&own, &other) } else { (&other, &own) };
            let before = if first == start {
                let [here, there] = [axis, axis + 1].map(|at| numbers(ElementType::F32, rank, at, count));
                let earlier = build.binary(BinaryOp::Less, &here, &there)?;
                let equal = build.binary(BinaryOp::Equal, low, high)?;
                let tied = build.binary(BinaryOp::And, &equal, &earlier)?;
                let before = build.binary(BinaryOp::Less, low, high)?;
                build.binary(BinaryOp::Or, &before, &tied)?
            } else {
                build.binary(if end == start { BinaryOp::Less } else { BinaryOp::LessEqual }, low, high)?
            };
            let before = build.cast(&before, ElementType::F32)?;
            parts.push(build.apply(Op::Reduce { op: ReduceOp::Sum, axis }, &[before])?);
        }
        let before = build.apply(Op::Concat { axis: axis + 1 }, &parts)?;
        ranks = build.binary(BinaryOp::Add, &ranks, &before)?;
    }
    // [.., 1, length, ..] against [.., k, 1, ..].
    let wanted = numbers(ElementType::F32, rank, axis, k);
    let chosen = build.binary(BinaryOp::Equal, &ranks, &wanted)?;
    let values = only(build, &chosen, &own, axis + 1)?;
    let values = build.without_axis(&values, axis + 1)?;
    let places = numbers(ElementType::I32, rank, axis + 1, length);
    let places = only(build, &chosen, &places, axis + 1)?;
    Ok(vec![values, build.without_axis(&places, axis + 1)?])
}

/// The first of the best, again and again without those that were found.
fn in_rounds(build: &mut Builder, a: &Value, axis: usize, k: usize, largest: bool) -> Outcome<Vec<Value>> {
    let TensorType { element, shape } = build.ty(a);
    let op = if largest { ReduceOp::Max } else { ReduceOp::Min };
    let worst = match (element, largest) {
        (ElementType::F32, true) => Value::real(f32::NEG_INFINITY),
        (ElementType::F32, false) => Value::real(f32::INFINITY),
        (_, true) => Value::integer(i32::MIN),
        (_, false) => Value::integer(i32::MAX),
    };
    let (rank, length) = (shape.len(), shape[axis]);
    let reals = numbers(ElementType::F32, rank, axis, length);
    let whole = numbers(ElementType::I32, rank, axis, length);
    let mut found: Option<Value> = None;
    let (mut values, mut places) = (Vec::new(), Vec::new());
    for _ in 0..k {
        let rest = match &found {
            Some(found) => build.apply(Op::Select, &[found.clone(), worst.clone(), a.clone()])?,
            None => a.clone(),
        };
        let best = build.apply(Op::Reduce { op, axis }, std::slice::from_ref(&rest))?;
        let equal = build.binary(BinaryOp::Equal, &rest, &best)?;
        let far = Value::real(length as f32);
        let mut candidates = build.apply(Op::Select, &[equal, reals.clone(), far.clone()])?;
        if let Some(found) = &found {
            candidates = build.apply(Op::Select, &[found.clone(), far, candidates])?;
        }
        let first = build.apply(Op::Reduce { op: ReduceOp::Min, axis }, &[candidates])?;
        let here = build.binary(BinaryOp::Equal, &reals, &first)?;
        values.push(best);
        places.push(only(build, &here, &whole, axis)?);
        found = Some(match found {
            Some(found) => build.binary(BinaryOp::Or, &found, &here)?,
            None => here,
        });
    }
    Ok(vec![build.apply(Op::Concat { axis }, &values)?, build.apply(Op::Concat { axis }, &places)?])
}

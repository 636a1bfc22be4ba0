//! Reductions and softmax.

use super::quantize::range;
use super::{Translate, choose};
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::Call;
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp, UnaryOp};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "ReduceSum" => |c| with(c, |b, a, axes| sequence(b, ReduceOp::Sum, a, axes)),
        "ReduceMax" => |c| bound(c, |b, a, axes| sequence(b, ReduceOp::Max, a, axes)),
        "ReduceMin" => |c| bound(c, |b, a, axes| sequence(b, ReduceOp::Min, a, axes)),
        "ReduceMean" => |c| with(c, mean),
        "ReduceSumSquare" => |c| with(c, sum_of_squares),
        "ReduceL1" => |c| {
            with(c, |b, a, axes| {
                let a = b.unary(UnaryOp::Abs, a)?;
                sequence(b, ReduceOp::Sum, &a, axes)
            })
        },
        "ReduceL2" => |c| {
            with(c, |b, a, axes| {
                let sum = sum_of_squares(b, a, axes)?;
                b.unary(UnaryOp::Sqrt, &sum)
            })
        },
        "ReduceLogSum" => |c| {
            with(c, |b, a, axes| {
                let sum = sequence(b, ReduceOp::Sum, a, axes)?;
                b.unary(UnaryOp::Log, &sum)
            })
        },
        "ReduceLogSumExp" => |c| with(c, log_of_sum_of_powers),
        "ReduceProd" => |c| with(c, product),
        "ArgMax" => |c| extreme(c, ReduceOp::Max),
        "ArgMin" => |c| extreme(c, ReduceOp::Min),
        "Hardmax" => hardmax,
        "Softmax" => |c| softmax(c, false),
        "LogSoftmax" => |c| softmax(c, true),
        _ => return None,
    })
}

type Reduction = fn(&mut Builder, &Value, &[usize]) -> Outcome;

/// Reads axes and keepdims, reduces with the axes kept, then drops them if asked.
fn with(c: &mut Call<'_>, reduce: Reduction) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let shape = c.ty(&a).shape;
    let mut axes = c.axes(1, shape.len())?.unwrap_or_default();
    axes.sort_unstable();
    axes.dedup();
    if axes.is_empty() {
        if c.int("noop_with_empty_axes", 0) != 0 {
            return Ok(vec![a]);
        }
        axes = (0..shape.len()).collect();
    }
    let mut result = reduce(c.build, &a, &axes)?;
    if c.int("keepdims", 1) == 0 {
        let rest = (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).collect();
        result = c.build.reshape(&result, rest)?;
    }
    Ok(vec![result])
}

/// The greatest or least; of truth values as numbers, and of nothing the limit of the model's own type.
fn bound(c: &mut Call<'_>, reduce: Reduction) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let ty = c.ty(&a);
    if ty.element == ElementType::Bool {
        c.inputs[0] = Some(c.build.cast(&a, ElementType::I32)?);
    }
    let mut result = with(c, reduce)?;
    if ty.element == ElementType::Bool {
        result[0] = c.build.cast(&result[0], ElementType::Bool)?;
    }
    if ty.elements() == 0
        && let Some((low, high)) = c.kind(0).ok().and_then(range)
    {
        let above = c.build.binary(BinaryOp::Max, &result[0], &Value::integer(low))?;
        result[0] = c.build.binary(BinaryOp::Min, &above, &Value::integer(high))?;
    }
    Ok(result)
}

pub(super) fn sequence(build: &mut Builder, op: ReduceOp, a: &Value, axes: &[usize]) -> Outcome {
    axes.iter().try_fold(a.clone(), |a, &axis| {
        if build.shape(&a)[axis] == 1 { Ok(a) } else { build.apply(Op::Reduce { op, axis }, &[a]) }
    })
}

/// Mean along axes, which stay with length 1.
pub(super) fn mean(build: &mut Builder, a: &Value, axes: &[usize]) -> Outcome {
    let ty = build.ty(a);
    let count: usize = axes.iter().map(|&axis| ty.shape[axis]).product();
    let sum = sequence(build, ReduceOp::Sum, a, axes)?;
    match ty.element {
        ElementType::I32 => {
            build.binary(BinaryOp::Div, &sum, &Value::integer(i32::try_from(count).unwrap_or(i32::MAX)))
        }
        _ => build.with_real(BinaryOp::Mul, &sum, (1.0 / count as f64) as f32),
    }
}

fn sum_of_squares(build: &mut Builder, a: &Value, axes: &[usize]) -> Outcome {
    let square = build.binary(BinaryOp::Mul, a, a)?;
    sequence(build, ReduceOp::Sum, &square, axes)
}

/// max + log Σ e^(x − max), which does not overflow.
fn log_of_sum_of_powers(build: &mut Builder, a: &Value, axes: &[usize]) -> Outcome {
    let most = sequence(build, ReduceOp::Max, a, axes)?;
    let below = build.binary(BinaryOp::Sub, a, &most)?;
    let powers = build.unary(UnaryOp::Exp, &below)?;
    let sum = sequence(build, ReduceOp::Sum, &powers, axes)?;
    let log = build.unary(UnaryOp::Log, &sum)?;
    build.binary(BinaryOp::Add, &most, &log)
}

/// Halves of each axis times each other, until one element is left; an odd one waits.
pub(super) fn product(build: &mut Builder, a: &Value, axes: &[usize]) -> Outcome {
    let mut a = a.clone();
    for &axis in axes {
        let mut odd: Option<Value> = None;
        if build.shape(&a)[axis] == 0 {
            a = neutral(build, &a, axis)?;
        }
        loop {
            let length = build.shape(&a)[axis];
            let half = length / 2;
            let part = |build: &mut Builder, start: usize, count: usize| {
                build.apply(Op::Slice { axis, start, count, step: 1 }, std::slice::from_ref(&a))
            };
            if length <= 1 {
                break;
            }
            if length % 2 == 1 {
                let last = part(build, length - 1, 1)?;
                odd = Some(match odd {
                    Some(before) => build.binary(BinaryOp::Mul, &before, &last)?,
                    None => last,
                });
            }
            let (low, high) = (part(build, 0, half)?, part(build, half, half)?);
            a = build.binary(BinaryOp::Mul, &low, &high)?;
        }
        if let Some(odd) = odd {
            a = build.binary(BinaryOp::Mul, &a, &odd)?;
        }
    }
    Ok(a)
}

/// The product of nothing along an axis.
fn neutral(build: &mut Builder, a: &Value, axis: usize) -> Outcome {
    let mut ty = build.ty(a);
    ty.shape[axis] = 1;
    let one = build.cast(&Value::integer(1), ty.element)?;
    build.apply(Op::Expand { shape: ty.shape }, &[one])
}

/// 0, 1, … along an axis of a shape, as reals that broadcast to it.
fn numbers(shape: &[usize], axis: usize) -> Value {
    choose::numbers(ElementType::F32, shape.len(), axis, shape[axis])
}

/// The place along an axis of the greatest or least element; of equal ones the first, or the last. The axis stays.
fn place(build: &mut Builder, op: ReduceOp, a: &Value, axis: usize, last: bool) -> Outcome {
    let shape = build.shape(a);
    let best = build.apply(Op::Reduce { op, axis }, std::slice::from_ref(a))?;
    let equal = build.binary(BinaryOp::Equal, a, &best)?;
    let (other, op) = if last { (-1.0, ReduceOp::Max) } else { (shape[axis] as f32, ReduceOp::Min) };
    let places = build.apply(Op::Select, &[equal, numbers(&shape, axis), Value::real(other)])?;
    build.apply(Op::Reduce { op, axis }, &[places])
}

/// Whether an element is the first of the greatest along an axis (Bool).
pub(super) fn first_of_greatest(build: &mut Builder, a: &Value, axis: usize) -> Outcome {
    let place = place(build, ReduceOp::Max, a, axis, false)?;
    let numbers = numbers(&build.shape(a), axis);
    build.binary(BinaryOp::Equal, &numbers, &place)
}

fn extreme(c: &mut Call<'_>, op: ReduceOp) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let mut shape = c.ty(&a).shape;
    let axis = c.axis(0, shape.len())?;
    let place = place(c.build, op, &a, axis, c.int("select_last_index", 0) != 0)?;
    // Whole already, which a chip cannot know.
    let place = c.build.unary(UnaryOp::Round, &place)?;
    let place = c.build.cast(&place, ElementType::I32)?;
    if c.int("keepdims", 1) != 0 {
        return Ok(vec![place]);
    }
    shape.remove(axis);
    Ok(vec![c.build.reshape(&place, shape)?])
}

/// One at the first of the greatest along an axis, else zero. Before version 13 all axes from `axis` on are one.
fn hardmax(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let shape = c.ty(&a).shape;
    let axis = c.axis(if c.opset < 13 { 1 } else { -1 }, shape.len())?;
    if c.opset < 13 && axis + 1 < shape.len() {
        return Err(Issue::Unsupported("several axes at once (before version 13)".to_owned()));
    }
    let here = first_of_greatest(c.build, &a, axis)?;
    let element = c.ty(&a).element;
    Ok(vec![c.build.cast(&here, element)?])
}

/// x − max − log Σ e^(x − max) along an axis.
pub(super) fn log_softmax(build: &mut Builder, a: &Value, axis: usize) -> Outcome {
    let most = build.apply(Op::Reduce { op: ReduceOp::Max, axis }, std::slice::from_ref(a))?;
    let below = build.binary(BinaryOp::Sub, a, &most)?;
    let powers = build.unary(UnaryOp::Exp, &below)?;
    let sum = build.apply(Op::Reduce { op: ReduceOp::Sum, axis }, &[powers])?;
    let log = build.unary(UnaryOp::Log, &sum)?;
    build.binary(BinaryOp::Sub, &below, &log)
}

/// Before version 13 all axes from `axis` on are one.
fn softmax(c: &mut Call<'_>, logarithm: bool) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let shape = c.ty(&a).shape;
    if shape.is_empty() {
        return Err(Issue::Invalid("its input is a scalar".to_owned()));
    }
    let axis = c.axis(if c.opset < 13 { 1 } else { -1 }, shape.len())?;
    let joined = c.opset < 13 && axis + 1 < shape.len();
    let (a, axis) = if joined {
        let (front, back) = shape.split_at(axis);
        (c.build.reshape(&a, vec![front.iter().product(), back.iter().product()])?, 1)
    } else {
        (a, axis)
    };
    let result = if logarithm {
        log_softmax(c.build, &a, axis)?
    } else {
        c.build.apply(Op::Softmax { axis }, &[a])?
    };
    Ok(vec![c.build.reshape(&result, shape)?])
}

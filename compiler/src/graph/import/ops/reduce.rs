//! Reductions and softmax.

use super::Translate;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::Call;
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp, UnaryOp};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "ReduceSum" => |c| with(c, |b, a, axes| sequence(b, ReduceOp::Sum, a, axes)),
        "ReduceMax" => |c| with(c, |b, a, axes| sequence(b, ReduceOp::Max, a, axes)),
        "ReduceMin" => |c| with(c, |b, a, axes| sequence(b, ReduceOp::Min, a, axes)),
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

fn sequence(build: &mut Builder, op: ReduceOp, a: &Value, axes: &[usize]) -> Outcome {
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
        let most = c.build.apply(Op::Reduce { op: ReduceOp::Max, axis }, std::slice::from_ref(&a))?;
        let below = c.build.binary(BinaryOp::Sub, &a, &most)?;
        let powers = c.build.unary(UnaryOp::Exp, &below)?;
        let sum = c.build.apply(Op::Reduce { op: ReduceOp::Sum, axis }, &[powers])?;
        let log = c.build.unary(UnaryOp::Log, &sum)?;
        c.build.binary(BinaryOp::Sub, &below, &log)?
    } else {
        c.build.apply(Op::Softmax { axis }, &[a])?
    };
    Ok(vec![c.build.reshape(&result, shape)?])
}

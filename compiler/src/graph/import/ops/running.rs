//! Running sums and products: each element joined with those before it.

use super::Translate;
use super::choose::{one, zero};
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, normalize};
use crate::graph::{BinaryOp, ElementType, Op};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "CumSum" => |c| running(c, BinaryOp::Add),
        "CumProd" => |c| running(c, BinaryOp::Mul),
        _ => return None,
    })
}

/// Each element joined with the one before it, then with the two before, the four before, and so on: exact for integers.
fn running(c: &mut Call<'_>, op: BinaryOp) -> Outcome<Vec<Value>> {
    let mut a = c.input(0)?;
    let shape = c.ty(&a).shape;
    let axis = c.known_ints(1, "axis")?.first().copied().unwrap_or(0);
    let axis = normalize(axis, shape.len())?;
    let reverse = c.int("reverse", 0) != 0;
    if c.ty(&a).element == ElementType::Bool {
        return Err(Issue::Invalid("its input is made of truth values".to_owned()));
    }
    if c.int("exclusive", 0) != 0 && shape[axis] > 0 {
        a = moved(c.build, &a, axis, 1, reverse, op)?;
    }
    let mut reach = 1;
    while reach < shape[axis] {
        let before = moved(c.build, &a, axis, reach, reverse, op)?;
        a = c.build.binary(op, &a, &before)?;
        reach *= 2;
    }
    Ok(vec![a])
}

/// All elements so many places further on along an axis, or back; what changes nothing comes after them.
fn moved(build: &mut Builder, a: &Value, axis: usize, by: usize, back: bool, op: BinaryOp) -> Outcome {
    let ty = build.ty(a);
    let neutral = if op == BinaryOp::Mul { one(ty.element) } else { zero(ty.element) };
    let value = neutral.tensor().and_then(|tensor| tensor.bits().first().copied()).unwrap_or(0);
    let count = ty.shape[axis] - by;
    let start = if back { by } else { 0 };
    let kept = build.apply(Op::Slice { axis, start, count, step: 1 }, std::slice::from_ref(a))?;
    let (before, after) = if back { (0, by) } else { (by, 0) };
    build.apply(Op::Pad { axis, before, after, value }, &[kept])
}

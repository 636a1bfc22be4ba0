//! Attention of heads: products, a mask and a softmax.
//!
//! Grouped query heads stand below each other as rows of one product with the key head that they share. What a mask forbids counts as the
//! lowest number, so that a row of which everything is forbidden has a softmax as well; where that can be, its result is made zero, as
//! ONNX has it.

use super::choose;
use super::shape::appended;
use crate::graph::import::SLOTS;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp, UnaryOp};

/// How scores become shares.
#[derive(Clone, Debug)]
pub(super) struct Scoring {
    pub(super) scale: f32,
    /// Scores are kept between −softcap and softcap; 0 for no limit.
    pub(super) softcap: f32,
    /// Where a query may look (Bool), broadcasting to [batch, heads, queries, keys].
    pub(super) allowed: Option<Value>,
    /// Added to the scores, broadcasting alike.
    pub(super) bias: Option<Value>,
    /// Whether a query may be allowed nothing.
    pub(super) may_be_blind: bool,
    /// A score for each head that takes part in the softmax but brings nothing, [1, heads, 1, 1].
    pub(super) sink: Option<Value>,
}

/// What attention makes.
pub(super) struct Attended {
    /// [batch, heads, queries, head size of the values]
    pub(super) y: Value,
    /// Scores as they come from the product, after the cap, after the mask, and after the softmax: [batch, heads, queries, keys].
    pub(super) scores: [Value; 4],
}

/// Queries [b, h, s, d] on keys [b, g, t, d] and values [b, g, t, e], where h is a multiple of g.
pub(super) fn attend(build: &mut Builder, [q, k, v]: [&Value; 3], scoring: &Scoring) -> Outcome<Attended> {
    let (of_q, of_k, of_v) = (build.shape(q), build.shape(k), build.shape(v));
    let (&[b, h, s, d], &[_, g, t, _], &[_, _, _, e]) = (&of_q[..], &of_k[..], &of_v[..]) else {
        return Err(Issue::Invalid(format!("heads of shapes {of_q:?}, {of_k:?} and {of_v:?}")));
    };
    if g == 0 || h % g != 0 || of_k != [b, g, t, d] || of_v != [b, g, t, e] {
        return Err(Issue::Invalid(format!("heads of shapes {of_q:?}, {of_k:?} and {of_v:?} do not agree")));
    }
    let rows = h / g * s;
    let together = build.reshape(q, vec![b, g, rows, d])?;
    let together = build.with_real(BinaryOp::Mul, &together, scoring.scale)?;
    let raw = build.apply(Op::MatMul { transpose_b: true }, &[together, k.clone()])?;
    let raw = build.reshape(&raw, vec![b, h, s, t])?;
    let capped = match scoring.softcap {
        0.0 => raw.clone(),
        cap => {
            let inner = build.with_real(BinaryOp::Mul, &raw, 1.0 / cap)?;
            let inner = build.unary(UnaryOp::Tanh, &inner)?;
            build.with_real(BinaryOp::Mul, &inner, cap)?
        }
    };
    let masked = masked(build, &capped, scoring, f32::NEG_INFINITY)?;
    let lowest = match scoring.bias {
        // What is forbidden by −∞ has a difference to the greatest only if that is a number.
        Some(_) => build.with_real(BinaryOp::Max, &masked, f32::MIN)?,
        None => self::masked(build, &capped, scoring, f32::MIN)?,
    };
    let mut shares = softmax(build, &lowest, scoring.sink.as_ref())?;
    if scoring.may_be_blind {
        let seen = match (&scoring.bias, &scoring.allowed) {
            (None, Some(allowed)) => allowed.clone(),
            _ => build.binary(BinaryOp::Less, &Value::real(f32::NEG_INFINITY), &masked)?,
        };
        shares = build.apply(Op::Select, &[seen, shares, Value::real(0.0)])?;
    }
    let grouped = build.reshape(&shares, vec![b, g, rows, t])?;
    let y = build.apply(Op::MatMul { transpose_b: false }, &[grouped, v.clone()])?;
    let y = build.reshape(&y, vec![b, h, s, e])?;
    Ok(Attended { y, scores: [raw, capped, masked, shares] })
}

/// Scores with the bias, and `forbidden` where a query may not look.
fn masked(build: &mut Builder, scores: &Value, scoring: &Scoring, forbidden: f32) -> Outcome {
    let mut masked = scores.clone();
    if let Some(bias) = &scoring.bias {
        masked = build.binary(BinaryOp::Add, &masked, bias)?;
    }
    match &scoring.allowed {
        Some(allowed) => build.apply(Op::Select, &[allowed.clone(), masked, Value::real(forbidden)]),
        None => Ok(masked),
    }
}

/// Shares along the last axis; with a sink, which takes its own and gives nothing.
fn softmax(build: &mut Builder, scores: &Value, sink: Option<&Value>) -> Outcome {
    let axis = build.shape(scores).len() - 1;
    let Some(sink) = sink else { return build.apply(Op::Softmax { axis }, std::slice::from_ref(scores)) };
    let most = build.apply(Op::Reduce { op: ReduceOp::Max, axis }, std::slice::from_ref(scores))?;
    let most = build.binary(BinaryOp::Max, &most, sink)?;
    let mut power = |of: &Value| {
        let below = build.binary(BinaryOp::Sub, of, &most)?;
        build.unary(UnaryOp::Exp, &below)
    };
    let (parts, sunk) = (power(scores)?, power(sink)?);
    let sum = build.apply(Op::Reduce { op: ReduceOp::Sum, axis }, std::slice::from_ref(&parts))?;
    let sum = build.binary(BinaryOp::Add, &sum, &sunk)?;
    build.binary(BinaryOp::Div, &parts, &sum)
}

/// [b, s, heads · d] as [b, heads, s, d].
pub(super) fn split_heads(build: &mut Builder, x: &Value, heads: usize) -> Outcome {
    let shape = build.shape(x);
    let [b, s, wide] = shape[..] else {
        return Err(Issue::Invalid(format!("heads in a tensor of shape {shape:?}")));
    };
    if heads == 0 || wide % heads != 0 {
        return Err(Issue::Invalid(format!("{heads} heads in {wide} elements")));
    }
    let apart = build.reshape(x, vec![b, s, heads, wide / heads])?;
    build.apply(Op::Transpose { permutation: vec![0, 2, 1, 3] }, &[apart])
}

/// [b, heads, s, d] as [b, s, heads · d].
pub(super) fn join_heads(build: &mut Builder, x: &Value) -> Outcome {
    let beside = build.apply(Op::Transpose { permutation: vec![0, 2, 1, 3] }, std::slice::from_ref(x))?;
    let shape = build.shape(&beside);
    build.reshape(&beside, vec![shape[0], shape[1], shape[2] * shape[3]])
}

/// A cache with new rows after the old ones: [b, g, t, d].
pub(super) fn grown(build: &mut Builder, past: Option<Value>, new: &Value) -> Outcome {
    match past {
        Some(past) => appended(build, &[past, new.clone()], 2),
        None => Ok(new.clone()),
    }
}

/// 0, 1, … along an axis of four.
pub(super) fn numbers(count: usize, axis: usize) -> Value {
    choose::numbers(ElementType::I32, 4, axis, count)
}

pub(super) fn both(build: &mut Builder, a: Option<Value>, b: Value) -> Outcome<Option<Value>> {
    match a {
        Some(a) => build.binary(BinaryOp::And, &a, &b).map(Some),
        None => Ok(Some(b)),
    }
}

/// A whole number for each sequence, [b], as [b, 1, 1, 1].
pub(super) fn per_sequence(build: &mut Builder, value: &Value) -> Outcome {
    let count = build.ty(value).elements();
    build.reshape(value, vec![count, 1, 1, 1])
}

/// Whether keys of numbers `keys` are seen from queries of numbers `queries`: none that is later by more than `right`, none earlier by more
/// than `left`; negative for no limit.
pub(super) fn window(
    build: &mut Builder,
    keys: &Value,
    queries: &Value,
    [left, right]: [i64; 2],
) -> Outcome<Option<Value>> {
    let bounded = |limit: i64| i32::try_from(limit).unwrap_or(i32::MAX >> 1);
    let mut seen = None;
    if right >= 0 {
        let last = build.binary(BinaryOp::Add, queries, &Value::integer(bounded(right)))?;
        seen = Some(build.binary(BinaryOp::LessEqual, keys, &last)?);
    }
    if left >= 0 {
        let first = build.binary(BinaryOp::Sub, queries, &Value::integer(bounded(left)))?;
        let late = build.binary(BinaryOp::LessEqual, &first, keys)?;
        seen = both(build, seen, late)?;
    }
    Ok(seen)
}

/// Whether some row of a mask that is known has nothing in it; of others it is not known.
pub(super) fn may_be_blind(allowed: Option<&Value>) -> bool {
    let Some(allowed) = allowed else { return false };
    let Some(tensor) = allowed.tensor() else { return true };
    let width = tensor.shape.last().copied().unwrap_or(1).max(1);
    tensor.as_bool().is_none_or(|all| all.chunks(width).any(|row| !row.contains(&true)))
}

/// The numbers of a cache's slots, which its length does not change.
pub(super) fn slots(build: &mut Builder, count: usize) -> Outcome {
    let origin = std::mem::replace(&mut build.origin, SLOTS.to_owned());
    // As a node of its own, so that it keeps its name.
    let node = build.node(&numbers(count, 3));
    build.origin = origin;
    Ok(Value::Node(node?))
}

/// A part of the last axis.
pub(super) fn part(build: &mut Builder, x: &Value, start: usize, count: usize) -> Outcome {
    let axis = build.shape(x).len().saturating_sub(1);
    build.apply(Op::Slice { axis, start, count, step: 1 }, std::slice::from_ref(x))
}

//! Attention in its many forms: ONNX's own, ONNX Runtime's with many heads, with grouped heads, and fused with its projections.

use super::Translate;
use super::heads::{
    Attended, Scoring, attend, both, grown, join_heads, may_be_blind, numbers, part, per_sequence, slots,
    split_heads, window,
};
use super::rotary::{Rotation, rotate};
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, ElementType, Op};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "Attention" => attention,
        _ => return None,
    })
}

/// Operators of ONNX Runtime's own domain.
pub(super) fn contributed(operator: &str) -> Option<Translate> {
    Some(match operator {
        "GroupQueryAttention" => grouped,
        "MultiHeadAttention" => many_heads,
        "Attention" => with_projections,
        _ => return None,
    })
}

/// Caches in a node's operands, and the outputs that continue them: (operator, past, present); all grow along axis 2.
pub(in crate::graph::import) const CACHES: [(&str, [usize; 2], [usize; 2]); 3] = [
    ("Attention", [4, 5], [1, 2]),
    ("GroupQueryAttention", [3, 4], [1, 2]),
    ("MultiHeadAttention", [6, 7], [1, 2]),
];

/// ONNX's Attention: Q, K, V, mask, past key, past value, lengths of an outer cache.
fn attention(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (mut q, mut k, mut v) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let flat = c.ty(&q).shape.len() == 3;
    if flat {
        let heads = [length(c.int("q_num_heads", 0))?, length(c.int("kv_num_heads", 0))?];
        q = split_heads(c.build, &q, heads[0])?;
        k = split_heads(c.build, &k, heads[1])?;
        v = split_heads(c.build, &v, heads[1])?;
    }
    let past = c.optional(4);
    let old = past.as_ref().map_or(0, |past| c.ty(past).shape.get(2).copied().unwrap_or(0));
    let (k, v) = (grown(c.build, past, &k)?, grown(c.build, c.optional(5), &v)?);
    let (of_q, of_k) = (c.ty(&q).shape, c.ty(&k).shape);
    let (&[.., s, d], &[.., t, _]) = (&of_q[..], &of_k[..]) else {
        return Err(Issue::Invalid(format!("heads of shapes {of_q:?} and {of_k:?}")));
    };
    let (mut allowed, mut bias) = (None, None);
    if let Some(mask) = c.optional(3) {
        let mask = widened(c, mask, t)?;
        match c.ty(&mask).element {
            ElementType::Bool => allowed = Some(mask),
            _ => bias = Some(mask),
        }
    }
    let lengths = match c.optional(6) {
        Some(lengths) => Some(per_sequence(c.build, &lengths)?),
        None => None,
    };
    let first = match &lengths {
        Some(lengths) => c.build.binary(BinaryOp::Sub, lengths, &Value::integer(s as i32))?,
        None => Value::integer(i32::try_from(old).unwrap_or(i32::MAX >> 1)),
    };
    let queries = c.build.binary(BinaryOp::Add, &numbers(s, 2), &first)?;
    let right = if c.int("is_causal", 0) != 0 { 0 } else { c.int("right_window_size", -1) };
    let limits = [c.int("left_window_size", -1), right];
    if let Some(seen) = window(c.build, &numbers(t, 3), &queries, limits)? {
        allowed = both(c.build, allowed, seen)?;
    }
    if let Some(lengths) = &lengths {
        let filled = c.build.binary(BinaryOp::Less, &numbers(t, 3), lengths)?;
        allowed = both(c.build, allowed, filled)?;
    }
    let scoring = Scoring {
        scale: c.float("scale", 1.0 / (d as f32).sqrt()),
        softcap: c.float("softcap", 0.0),
        may_be_blind: bias.is_some() || may_be_blind(allowed.as_ref()),
        allowed,
        bias,
        sink: None,
    };
    let Attended { mut y, scores } = attend(c.build, [&q, &k, &v], &scoring)?;
    if flat {
        y = join_heads(c.build, &y)?;
    }
    let place = usize::try_from(c.int("qk_matmul_output_mode", 0)).unwrap_or(usize::MAX);
    let mode = scores.get(place).cloned();
    let mode = mode.ok_or_else(|| Issue::Invalid("qk_matmul_output_mode is not 0 to 3".to_owned()))?;
    Ok(vec![y, k, v, mode])
}

/// A mask whose last axis is made as long as the keys: what it does not cover is forbidden.
fn widened(c: &mut Call<'_>, mask: Value, keys: usize) -> Outcome {
    let ty = c.ty(&mask);
    let have = ty.shape.last().copied().unwrap_or(1);
    let Some(after) = keys.checked_sub(have).filter(|&after| after > 0 && !ty.shape.is_empty()) else {
        return Ok(mask);
    };
    let value = if ty.element == ElementType::Bool { 0 } else { f32::NEG_INFINITY.to_bits() };
    c.build.apply(Op::Pad { axis: ty.shape.len() - 1, before: 0, after, value }, &[mask])
}

/// Queries, keys and values of one tensor [b, s, (h + 2 g) · d], whose parts stand one after the other.
fn unpacked(build: &mut Builder, x: &Value, [heads, kv_heads]: [usize; 2]) -> Outcome<[Value; 3]> {
    let shape = build.shape(x);
    let all = heads + 2 * kv_heads;
    match shape[..] {
        [_, _, wide] if all > 0 && wide % all == 0 => {
            let (q, kv) = (wide / all * heads, wide / all * kv_heads);
            Ok([part(build, x, 0, q)?, part(build, x, q, kv)?, part(build, x, q + kv, kv)?])
        }
        _ => Err(Issue::Invalid(format!("{all} heads in a tensor of shape {shape:?}"))),
    }
}

/// Query, key, value, past key, past value, last filled slot of each sequence, total length, cosines, sines, positions, bias, sink.
/// The slots of the cache are numbered by the tokens' positions: a query sees those up to its own.
fn grouped(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let heads = [length(c.int("num_heads", 0))?, length(c.int("kv_num_heads", 0))?];
    let x = c.input(0)?;
    let [q, k, v] = match c.optional(1) {
        Some(k) => [x, k, c.input(2)?],
        None => unpacked(c.build, &x, heads)?,
    };
    let mut split = |x: &Value, heads: usize| split_heads(c.build, x, heads);
    let (mut q, mut k, v) = (split(&q, heads[0])?, split(&k, heads[1])?, split(&v, heads[1])?);
    refuse_rest(c)?;
    let [_, _, s, d] = c.ty(&q).shape[..] else { return Err(Issue::Invalid("heads".to_owned())) };
    // A first step has a past of no length; a cache that is a state has room for it.
    let is_some = |past: &Value| matches!(past, Value::Past(_)) || c.ty(past).shape.get(2) != Some(&0);
    let past = c.optional(3).filter(is_some);
    // The number of each new token: after a past it follows from the last slot that is filled.
    let after = numbers(s, 2);
    let positions = match &past {
        Some(_) => {
            let last = per_sequence(c.build, &c.input(5)?)?;
            let first = c.build.binary(BinaryOp::Sub, &last, &Value::integer(s as i32 - 1))?;
            c.build.binary(BinaryOp::Add, &first, &after)?
        }
        None => after,
    };
    if c.int("do_rotary", 0) != 0 {
        let (cos, sin) = (c.input(7)?, c.input(8)?);
        let rotation = Rotation::new(c.build, [&cos, &sin], c.int("rotary_interleaved", 0) != 0)?;
        let at = match c.optional(9) {
            Some(at) => at,
            None => {
                let rows = c.ty(&positions).elements() / s;
                c.build.reshape(&positions, vec![rows, s])?
            }
        };
        let rotation = rotation.at(c.build, &at)?.for_heads(c.build)?;
        q = rotate(c.build, &q, &rotation)?;
        k = rotate(c.build, &k, &rotation)?;
    }
    let has_past = past.is_some();
    let value_past = c.optional(4).filter(|_| has_past);
    let (k, v) = (grown(c.build, past, &k)?, grown(c.build, value_past, &v)?);
    let t = c.ty(&k).shape[2];
    let slots = if has_past { slots(c.build, t)? } else { numbers(t, 3) };
    let local = c.int("local_window_size", -1);
    let allowed = window(c.build, &slots, &positions, [if local > 0 { local - 1 } else { -1 }, 0])?;
    let sink = match c.optional(11) {
        Some(sink) => Some(c.build.reshape(&sink, vec![1, heads[0], 1, 1])?),
        None if c.int("smooth_softmax", 0) != 0 => Some(Value::known(Tensor::f32([1, 1, 1, 1], [0.0]))),
        None => None,
    };
    let scoring = Scoring {
        scale: scale_of(c, d),
        softcap: c.float("softcap", 0.0),
        allowed,
        bias: c.optional(10),
        may_be_blind: false,
        sink,
    };
    let y = attend(c.build, [&q, &k, &v], &scoring)?.y;
    let y = join_heads(c.build, &y)?;
    Ok(vec![y, k, v])
}

/// The factor of scores of heads of d elements, where 0 says that it follows from these.
fn scale_of(c: &Call<'_>, d: usize) -> f32 {
    let given = Some(c.float("scale", 0.0)).filter(|&scale| scale != 0.0);
    given.unwrap_or(1.0 / (d as f32).sqrt())
}

fn refuse_rest(c: &Call<'_>) -> Outcome<()> {
    for (name, none) in [("k_quant_type", "NONE"), ("v_quant_type", "NONE")] {
        let how = c.text(name, none);
        if how != none {
            return Err(Issue::Unsupported(format!("a cache of few bits ({name} is {how})")));
        }
    }
    Ok(())
}

/// Query, key, value, bias, mask of keys, bias of scores, past key, past value.
fn many_heads(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let heads = length(c.int("num_heads", 0))?;
    let [mut q, mut k, mut v] = match (c.optional(1), c.optional(2)) {
        (Some(k), Some(v)) => [c.input(0)?, k, v],
        (Some(kv), None) => {
            let [k, v] = interleaved(c.build, &kv)?;
            [c.input(0)?, k, v]
        }
        _ => interleaved(c.build, &c.input(0)?)?,
    };
    if let Some(bias) = c.optional(3) {
        let mut start = 0;
        for x in [&mut q, &mut k, &mut v] {
            let shape = c.ty(x).shape;
            // Keys and values that come as heads are projected already.
            let count = if shape.len() == 3 { shape[2] } else { shape[1] * shape[shape.len() - 1] };
            if shape.len() == 3 {
                let own = part(c.build, &bias, start, count)?;
                *x = c.build.binary(BinaryOp::Add, x, &own)?;
            }
            start += count;
        }
    }
    let q = split_heads(c.build, &q, heads)?;
    let mut as_heads = |x: Value| match c.build.shape(&x).len() {
        3 => split_heads(c.build, &x, heads),
        _ => Ok(x),
    };
    let (k, v) = (as_heads(k)?, as_heads(v)?);
    let (past, past_v) = (c.optional(6), c.optional(7));
    finish(c, [q, k, v], [past, past_v], [4, 5])
}

/// Parts of [b, s, heads, parts, d], each as [b, s, heads · d].
fn interleaved<const N: usize>(build: &mut Builder, x: &Value) -> Outcome<[Value; N]> {
    let shape = build.shape(x);
    let wrong = || Issue::Invalid(format!("packed heads in a tensor of shape {shape:?}"));
    let [b, s, heads, parts, d] = shape[..] else { return Err(wrong()) };
    let mut own = Vec::new();
    for at in 0..parts {
        let one = build.one_of(x, 3, at)?;
        own.push(build.reshape(&one, vec![b, s, heads * d])?);
    }
    own.try_into().map_err(|_| wrong())
}

/// Attention of heads with a mask of keys and a bias of scores at two inputs, as ONNX Runtime's encoders have it.
fn finish(
    c: &mut Call<'_>,
    [q, k, v]: [Value; 3],
    [past, past_v]: [Option<Value>; 2],
    [mask, bias]: [usize; 2],
) -> Outcome<Vec<Value>> {
    let old = past.as_ref().map_or(0, |past| c.ty(past).shape.get(2).copied().unwrap_or(0));
    let (k, v) = (grown(c.build, past, &k)?, grown(c.build, past_v, &v)?);
    let (&[b, _, s, d], &[.., t, _]) = (&c.ty(&q).shape[..], &c.ty(&k).shape[..]) else {
        return Err(Issue::Invalid("heads".to_owned()));
    };
    let mut allowed = None;
    if c.int("unidirectional", 0) != 0 {
        let first = Value::integer(i32::try_from(old).unwrap_or(i32::MAX >> 1));
        let queries = c.build.binary(BinaryOp::Add, &numbers(s, 2), &first)?;
        allowed = window(c.build, &numbers(t, 3), &queries, [-1, 0])?;
    }
    if let Some(mask) = c.optional(mask) {
        let seen = match c.ty(&mask).shape[..] {
            // The number of keys of each sequence.
            [count] if count == b => {
                let lengths = per_sequence(c.build, &mask)?;
                c.build.binary(BinaryOp::Less, &numbers(t, 3), &lengths)?
            }
            [rows, keys] if keys == t => {
                let truth = c.build.cast(&mask, ElementType::Bool)?;
                c.build.reshape(&truth, vec![rows, 1, 1, t])?
            }
            [rows, queries, keys] if keys == t => {
                let truth = c.build.cast(&mask, ElementType::Bool)?;
                c.build.reshape(&truth, vec![rows, 1, queries, t])?
            }
            ref shape => return Err(Issue::Unsupported(format!("a mask of shape {shape:?}"))),
        };
        allowed = both(c.build, allowed, seen)?;
    }
    let scoring = Scoring {
        scale: scale_of(c, d),
        softcap: 0.0,
        allowed,
        bias: c.optional(bias),
        may_be_blind: false,
        sink: None,
    };
    let y = attend(c.build, [&q, &k, &v], &scoring)?.y;
    Ok(vec![join_heads(c.build, &y)?, k, v])
}

/// x, weights of all three projections, bias, mask of keys, past, bias of scores.
fn with_projections(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, weights, heads) = (c.input(0)?, c.input(1)?, length(c.int("num_heads", 0))?);
    if c.optional(4).is_some() || c.wants(1) {
        return Err(Issue::Unsupported("a past of keys and values in one tensor".to_owned()));
    }
    if c.int("do_rotary", 0) != 0 {
        return Err(Issue::Unsupported("rotary positions inside".to_owned()));
    }
    let mut all = c.build.apply(Op::MatMul { transpose_b: false }, &[x, weights])?;
    if let Some(bias) = c.optional(2) {
        all = c.build.binary(BinaryOp::Add, &all, &bias)?;
    }
    let wide = c.ty(&all).shape.last().copied().unwrap_or(0);
    let sizes = match c.ints("qkv_hidden_sizes") {
        Some(sizes) => sizes.iter().map(|&size| length(size)).collect::<Outcome<Vec<_>>>()?,
        None => vec![wide / 3; 3],
    };
    let [q, k, v] = sizes[..] else {
        return Err(Issue::Invalid("qkv_hidden_sizes are not three".to_owned()));
    };
    let q_part = part(c.build, &all, 0, q)?;
    let (k_part, v_part) = (part(c.build, &all, q, k)?, part(c.build, &all, q + k, v)?);
    let mut split = |x: &Value| split_heads(c.build, x, heads);
    let parts = [split(&q_part)?, split(&k_part)?, split(&v_part)?];
    finish(c, parts, [None, None], [3, 5]).map(|mut outputs| vec![outputs.swap_remove(0)])
}

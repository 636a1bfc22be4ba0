//! Operators with a state along a sequence: CausalConvWithState, LinearAttention.

use super::Translate;
use super::activation::swish;
use super::recurrent::MAX_STEPS;
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, Op, UnaryOp};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "CausalConvWithState" => causal_conv,
        "LinearAttention" => linear_attention,
        _ => return None,
    })
}

fn cut(build: &mut Builder, a: &Value, axis: usize, start: usize, count: usize) -> Outcome {
    build.apply(Op::Slice { axis, start, count, step: 1 }, std::slice::from_ref(a))
}

/// Each channel of [batch, channels, length] with its own window over the elements up to each: one product for each element of the window.
fn causal_conv(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, weights, bias, past) = (c.input(0)?, c.input(1)?, c.optional(2), c.optional(3));
    let (shape, window) = (c.ty(&x).shape, c.ty(&weights).shape);
    let (&[batch, channels, steps], &[rows, 1, taps]) = (&shape[..], &window[..]) else {
        return Err(Issue::Invalid(format!("its input has shape {shape:?}, its weights {window:?}")));
    };
    if rows != channels || taps == 0 {
        return Err(Issue::Invalid(format!("its input has {channels} channels, its weights {rows}")));
    }
    let activation = c.text("activation", "none");
    let build = &mut *c.build;
    let before = vec![batch, channels, taps - 1];
    let past = match past {
        Some(past) => build.reshape(&past, before)?,
        None => Value::known(Tensor::f32(before, vec![0.0; batch * channels * (taps - 1)])),
    };
    let all = build.apply(Op::Concat { axis: 2 }, &[past, x])?;
    let weights = build.reshape(&weights, vec![channels, taps])?;
    let mut sum: Option<Value> = None;
    for tap in 0..taps {
        let (seen, weight) = (cut(build, &all, 2, tap, steps)?, cut(build, &weights, 1, tap, 1)?);
        let product = build.binary(BinaryOp::Mul, &seen, &weight)?;
        sum = Some(match sum {
            Some(sum) => build.binary(BinaryOp::Add, &sum, &product)?,
            None => product,
        });
    }
    let mut y = sum.ok_or_else(|| Issue::Invalid("its window is empty".to_owned()))?;
    if let Some(bias) = bias {
        let bias = build.reshape(&bias, vec![channels, 1])?;
        y = build.binary(BinaryOp::Add, &y, &bias)?;
    }
    let y = match activation.as_str() {
        "none" => y,
        "silu" | "swish" => swish(build, &y, 1.0)?,
        other => return Err(Issue::Invalid(format!("activation is `{other}`, not none, silu or swish"))),
    };
    Ok(vec![y, cut(build, &all, 2, steps, taps - 1)?])
}

/// What each step of linear attention takes, with all steps along axis 1.
struct Streams {
    /// [batch, steps, heads, queries of each, keys].
    query: Value,
    /// [batch, steps, heads, keys, 1].
    key: Value,
    /// [batch, steps, heads, 1, values].
    value: Value,
    /// What stays of the state, [batch, steps, heads, keys or 1, 1].
    kept: Option<Value>,
    /// How much of a step enters, [batch, steps, heads or 1, 1, 1].
    entering: Option<Value>,
}

impl Streams {
    /// One step of a stream, without its axis.
    fn at(build: &mut Builder, stream: &Value, step: usize) -> Outcome {
        let part = cut(build, stream, 1, step, 1)?;
        let mut shape = build.shape(&part);
        shape.remove(1);
        build.reshape(&part, shape)
    }

    /// The state [batch, heads, keys, values] after a step; without one it is zero.
    fn next(&self, build: &mut Builder, state: Option<Value>, step: usize, delta: bool) -> Outcome {
        let (key, mut value) = (Self::at(build, &self.key, step)?, Self::at(build, &self.value, step)?);
        let kept = match (state, &self.kept) {
            (Some(state), Some(kept)) => {
                let kept = Self::at(build, kept, step)?;
                Some(build.binary(BinaryOp::Mul, &state, &kept)?)
            }
            (state, _) => state,
        };
        if let Some(kept) = kept.as_ref().filter(|_| delta) {
            let row =
                build.apply(Op::Transpose { permutation: vec![0, 1, 3, 2] }, std::slice::from_ref(&key))?;
            let known = build.apply(Op::MatMul { transpose_b: false }, &[row, kept.clone()])?;
            value = build.binary(BinaryOp::Sub, &value, &known)?;
        }
        if let Some(entering) = &self.entering {
            let entering = Self::at(build, entering, step)?;
            value = build.binary(BinaryOp::Mul, &value, &entering)?;
        }
        let new = build.binary(BinaryOp::Mul, &key, &value)?;
        match kept {
            Some(kept) => build.binary(BinaryOp::Add, &kept, &new),
            None => Ok(new),
        }
    }
}

/// Query [batch, steps, query heads · keys], key and value [batch, steps, heads · ..], state [batch, heads, keys, values], decay, rate.
fn linear_attention(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let rule = c.text("update_rule", "gated_delta");
    let (gated, delta) = match rule.as_str() {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return Err(Issue::Invalid(format!("there is no update rule `{other}`"))),
    };
    let (heads, all_heads) = (length(c.int("kv_num_heads", 0))?, length(c.int("q_num_heads", 0))?);
    let (shape, values) = (c.ty(&c.input(0)?).shape, c.ty(&c.input(2)?).shape);
    let (&[batch, steps, width], Some(&value_width)) = (&shape[..], values.last()) else {
        return Err(Issue::Invalid(format!("its queries have shape {shape:?}, not [batch, steps, width]")));
    };
    let divides =
        heads > 0 && all_heads > 0 && all_heads.is_multiple_of(heads) && width.is_multiple_of(all_heads);
    if !divides || !value_width.is_multiple_of(heads) || steps == 0 {
        return Err(Issue::Invalid(format!(
            "{all_heads} query heads and {heads} of keys for queries {shape:?} and values {values:?}"
        )));
    }
    if steps > MAX_STEPS {
        return Err(Issue::Unsupported(format!("{steps} steps; at most {MAX_STEPS} are written out")));
    }
    let (keys, each) = (width / all_heads, all_heads / heads);
    let scale = match c.float("scale", 0.0) {
        0.0 => 1.0 / (keys as f32).sqrt(),
        given => given,
    };
    let streams = streams(c, (gated, delta), [batch, steps, heads, keys, each], scale)?;
    let mut state = c.optional(3);
    let mut shown = Vec::new();
    for step in 0..steps {
        let next = streams.next(c.build, state, step, delta)?;
        let query = Streams::at(c.build, &streams.query, step)?;
        let y = c.build.apply(Op::MatMul { transpose_b: false }, &[query, next.clone()])?;
        shown.push(c.build.reshape(&y, vec![batch, 1, each * value_width])?);
        state = Some(next);
    }
    let y = c.build.apply(Op::Concat { axis: 1 }, &shown)?;
    Ok([Some(y), state].into_iter().flatten().collect())
}

/// The inputs by heads, queries scaled.
fn streams(
    c: &mut Call<'_>,
    (gated, delta): (bool, bool),
    [batch, steps, heads, keys, each]: [usize; 5],
    scale: f32,
) -> Outcome<Streams> {
    let (query, key, value) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let value_width = c.ty(&value).shape.last().map_or(0, |width| width / heads);
    let (decay, rate) =
        (if gated { Some(c.input(4)?) } else { None }, if delta { Some(c.input(5)?) } else { None });
    let build = &mut *c.build;
    let query = build.reshape(&query, vec![batch, steps, heads, each, keys])?;
    let query = build.with_real(BinaryOp::Mul, &query, scale)?;
    let key = build.reshape(&key, vec![batch, steps, heads, keys, 1])?;
    let value = build.reshape(&value, vec![batch, steps, heads, 1, value_width])?;
    let kept = match decay {
        Some(decay) => {
            let kept = build.unary(UnaryOp::Exp, &decay)?;
            let per_key = build.shape(&kept).last() == Some(&(heads * keys)) && keys > 1;
            let rows = if per_key { keys } else { 1 };
            Some(build.reshape(&kept, vec![batch, steps, heads, rows, 1])?)
        }
        None => None,
    };
    let entering = match rate {
        Some(rate) => {
            let own = build.shape(&rate).last().copied().unwrap_or(1);
            Some(build.reshape(&rate, vec![batch, steps, own, 1, 1])?)
        }
        None => None,
    };
    Ok(Streams { query, key, value, kept, entering })
}

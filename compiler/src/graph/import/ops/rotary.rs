//! Rotary positions: pairs of elements turned by angles that follow from the position.
//!
//! x · cos + x' · sin, where x' has the elements of each pair exchanged and sin is negative for the first of them. The tables are made as wide
//! as x before rows are taken from them: constants cost nothing.

use super::heads::{join_heads, part, split_heads};
use super::{Translate, one};
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, Op, UnaryOp};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    (operator == "RotaryEmbedding").then_some(|c| embedding(c, [1, 2, 3]))
}

/// Operators of ONNX Runtime's own domain.
pub(super) fn contributed(operator: &str) -> Option<Translate> {
    (operator == "RotaryEmbedding").then_some(|c| embedding(c, [2, 3, 1]))
}

/// Angles for each element of a head that turns.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    cos: Value,
    sin: Value,
    interleaved: bool,
}

impl Rotation {
    /// Of cosines and sines for each pair, along the last axis. Pairs are neighbours, or as far apart as there are pairs.
    pub(super) fn new(build: &mut Builder, [cos, sin]: [&Value; 2], interleaved: bool) -> Outcome<Rotation> {
        let minus = build.unary(UnaryOp::Neg, sin)?;
        let cos = pairs(build, [cos, cos], interleaved)?;
        Ok(Rotation { cos, sin: pairs(build, [&minus, sin], interleaved)?, interleaved })
    }

    /// The rows of tables at positions.
    pub(super) fn at(&self, build: &mut Builder, positions: &Value) -> Outcome<Rotation> {
        let mut row =
            |table: &Value| build.apply(Op::Gather { axis: 0 }, &[table.clone(), positions.clone()]);
        Ok(Rotation { cos: row(&self.cos)?, sin: row(&self.sin)?, interleaved: self.interleaved })
    }

    /// Angles [batch, s, pairs] for heads [batch, heads, s, ..].
    pub(super) fn for_heads(&self, build: &mut Builder) -> Outcome<Rotation> {
        let mut apart = |angles: &Value| {
            let shape = build.shape(angles);
            let [b, s, wide] = shape[..] else {
                return Err(Issue::Invalid(format!("angles of shape {shape:?}")));
            };
            build.reshape(angles, vec![b, 1, s, wide])
        };
        Ok(Rotation { cos: apart(&self.cos)?, sin: apart(&self.sin)?, interleaved: self.interleaved })
    }
}

/// Two values for each pair, where the elements of pairs stand.
fn pairs(build: &mut Builder, [first, second]: [&Value; 2], interleaved: bool) -> Outcome {
    let shape = build.shape(first);
    let axis = shape.len().saturating_sub(1);
    if !interleaved {
        return build.apply(Op::Concat { axis }, &[first.clone(), second.clone()]);
    }
    let column = [&shape[..], &[1]].concat();
    let (first, second) = (build.reshape(first, column.clone())?, build.reshape(second, column)?);
    let both = build.apply(Op::Concat { axis: axis + 1 }, &[first, second])?;
    build.reshape(&both, [&shape[..axis], &[2 * shape[axis]]].concat())
}

/// Turns the first elements of the last axis, as many as there are angles for.
pub(super) fn rotate(build: &mut Builder, x: &Value, rotation: &Rotation) -> Outcome {
    let shape = build.shape(x);
    let axis = shape.len().saturating_sub(1);
    let (wide, turning) = (shape[axis], build.shape(&rotation.cos).last().copied().unwrap_or(0));
    if turning > wide || turning % 2 != 0 {
        return Err(Issue::Invalid(format!("{turning} of {wide} elements of a head turn")));
    }
    let turned = part(build, x, 0, turning)?;
    let exchanged = if rotation.interleaved {
        let other = (0..turning as i32).map(|at| at ^ 1).collect::<Vec<_>>();
        let other = Value::known(Tensor::i32([turning], other));
        build.apply(Op::Gather { axis }, &[turned.clone(), other])?
    } else {
        let half = turning / 2;
        let (first, second) = (part(build, &turned, 0, half)?, part(build, &turned, half, half)?);
        build.apply(Op::Concat { axis }, &[second, first])?
    };
    let along = build.binary(BinaryOp::Mul, &turned, &rotation.cos)?;
    let across = build.binary(BinaryOp::Mul, &exchanged, &rotation.sin)?;
    let turned = build.binary(BinaryOp::Add, &along, &across)?;
    if turning == wide {
        return Ok(turned);
    }
    let rest = part(build, x, turning, wide - turning)?;
    build.apply(Op::Concat { axis }, &[turned, rest])
}

/// The operator by itself; `at`: the inputs of cosines, sines and positions.
fn embedding(c: &mut Call<'_>, at: [usize; 3]) -> Outcome<Vec<Value>> {
    let (x, cos, sin) = (c.input(0)?, c.input(at[0])?, c.input(at[1])?);
    if c.int("is_packed_batching", 0) != 0 {
        return Err(Issue::Unsupported("packed batches".to_owned()));
    }
    let scale = c.float("scale", 1.0);
    let shape = c.ty(&x).shape;
    let flat = shape.len() == 3;
    let heads = if flat {
        // Without a number of heads, their size is what the tables turn.
        let all = shape[2] / (2 * c.ty(&cos).shape.last().copied().unwrap_or(1)).max(1);
        let heads = length(c.int("num_heads", 0))?;
        split_heads(c.build, &x, if heads == 0 { all } else { heads })?
    } else {
        x
    };
    let [b, _, s, _] = c.ty(&heads).shape[..] else {
        return Err(Issue::Invalid(format!("heads in a tensor of shape {shape:?}")));
    };
    let mut rotation = Rotation::new(c.build, [&cos, &sin], c.int("interleaved", 0) != 0)?;
    if let Some(positions) = c.optional(at[2]) {
        let positions = positions_of(c.build, &positions, [b, s])?;
        rotation = rotation.at(c.build, &positions)?;
    }
    let rotation = rotation.for_heads(c.build)?;
    let mut y = rotate(c.build, &heads, &rotation)?;
    if flat {
        y = join_heads(c.build, &y)?;
    }
    c.build.with_real(BinaryOp::Mul, &y, scale).map(one)
}

/// Positions [batch, s]; a single one is that of the first token.
fn positions_of(build: &mut Builder, positions: &Value, [b, s]: [usize; 2]) -> Outcome {
    if build.shape(positions) == [b, s] {
        return Ok(positions.clone());
    }
    let first = build.reshape(positions, vec![1, 1])?;
    let after = Value::known(Tensor::i32([1, s], (0..s as i32).collect::<Vec<_>>()));
    let all = build.binary(BinaryOp::Add, &first, &after)?;
    build.apply(Op::Expand { shape: vec![b, s] }, &[all])
}

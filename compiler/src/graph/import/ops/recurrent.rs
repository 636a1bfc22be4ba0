//! LSTM over a sequence of known length: its steps one after the other.

use super::Translate;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, Op, UnaryOp};

/// Longest sequence that is written out.
const MAX_STEPS: usize = 1024;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    (operator == "LSTM").then_some(lstm as Translate)
}

/// What this does not do.
fn check(c: &Call<'_>, steps: usize) -> Outcome<()> {
    let unsupported = |what: String| Err(Issue::Unsupported(what));
    let direction = c.text("direction", "forward");
    if direction != "forward" {
        return unsupported(format!("direction `{direction}`; only forward"));
    }
    if let Some(activations) = c.attribute("activations") {
        let names = activations.strings.iter().map(|name| String::from_utf8_lossy(name).to_lowercase());
        if !names.eq(["sigmoid", "tanh", "tanh"]) {
            return unsupported("activations other than Sigmoid, Tanh, Tanh".to_owned());
        }
    }
    for (attribute, default) in [("input_forget", 0), ("layout", 0)] {
        if c.int(attribute, default) != default {
            return unsupported(format!("{attribute} = {}", c.int(attribute, default)));
        }
    }
    if c.attribute("clip").is_some() {
        return unsupported("clip".to_owned());
    }
    if c.optional(7).is_some() {
        return unsupported("peepholes".to_owned());
    }
    if c.optional(4).is_some() {
        let lengths = c.known_ints(4, "lengths of sequences")?;
        if lengths.iter().any(|&length| length != steps as i64) {
            return unsupported("sequences that are shorter than the longest".to_owned());
        }
    }
    if steps > MAX_STEPS {
        return unsupported(format!("{steps} steps; at most {MAX_STEPS} are written out"));
    }
    Ok(())
}

/// X [steps, batch, input], W [1, 4 hidden, input], R [1, 4 hidden, hidden], B [1, 8 hidden], lengths, initial h and c
/// [1, batch, hidden]; the gates are in the order input, output, forget, cell.
fn lstm(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, w, r) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let (shape, gates) = (c.ty(&x).shape, c.ty(&w).shape);
    let (&[steps, batch, input], &[1, rows, _]) = (&shape[..], &gates[..]) else {
        return Err(Issue::Invalid(format!("X has shape {shape:?}, W {gates:?}")));
    };
    check(c, steps)?;
    let hidden = length(c.int("hidden_size", (rows / 4) as i64))?;
    if rows != 4 * hidden {
        return Err(Issue::Invalid(format!("W has {rows} rows for {hidden} hidden values")));
    }
    let bias = c.optional(3);
    let (first_h, first_c) = (c.optional(5), c.optional(6));
    let build = &mut *c.build;
    let w = build.reshape(&w, vec![4 * hidden, input])?;
    let r = build.reshape(&r, vec![4 * hidden, hidden])?;
    // Nothing stands for zeros: what would be multiplied by them is left out of the first step.
    let shaped = |build: &mut Builder, given: Option<Value>| {
        given.map(|given| build.reshape(&given, vec![batch, hidden])).transpose()
    };
    let (mut h, mut cell) = (shaped(build, first_h)?, shaped(build, first_c)?);
    // What the steps do not have to wait for is one product.
    let flat = build.reshape(&x, vec![steps * batch, input])?;
    let mut from_x = build.apply(Op::MatMul { transpose_b: true }, &[flat, w])?;
    if let Some(bias) = bias {
        let bias = build.reshape(&bias, vec![2, 4 * hidden])?;
        let parts = [0, 1].map(|start| {
            let part =
                build.apply(Op::Slice { axis: 0, start, count: 1, step: 1 }, std::slice::from_ref(&bias))?;
            build.reshape(&part, vec![4 * hidden])
        });
        let [of_w, of_r] = parts;
        let bias = build.binary(BinaryOp::Add, &of_w?, &of_r?)?;
        from_x = build.binary(BinaryOp::Add, &from_x, &bias)?;
    }
    let mut made = Vec::new();
    for step in 0..steps {
        let slice = Op::Slice { axis: 0, start: step * batch, count: batch, step: 1 };
        let own = build.apply(slice, std::slice::from_ref(&from_x))?;
        let sums = match &h {
            Some(h) => {
                let from_h = build.apply(Op::MatMul { transpose_b: true }, &[h.clone(), r.clone()])?;
                build.binary(BinaryOp::Add, &own, &from_h)?
            }
            None => own,
        };
        let (shown, next) = self::step(build, &sums, cell.as_ref(), hidden)?;
        made.push(build.reshape(&shown, vec![1, 1, batch, hidden])?);
        (h, cell) = (Some(shown), Some(next));
    }
    let (Some(h), Some(cell), false) = (h, cell, made.is_empty()) else {
        return Err(Issue::Invalid(format!("X has shape {shape:?}, without steps")));
    };
    let all = build.apply(Op::Concat { axis: 0 }, &made)?;
    let last = vec![1, batch, hidden];
    Ok(vec![all, build.reshape(&h, last.clone())?, build.reshape(&cell, last)?])
}

/// The next h and cell, from the gates' sums [batch, 4 hidden] and the old cell; without one it is zero.
fn step(build: &mut Builder, sums: &Value, cell: Option<&Value>, hidden: usize) -> Outcome<(Value, Value)> {
    let mut gate = |index: usize, op: UnaryOp| {
        let slice = Op::Slice { axis: 1, start: index * hidden, count: hidden, step: 1 };
        let part = build.apply(slice, std::slice::from_ref(sums))?;
        build.unary(op, &part)
    };
    let input = gate(0, UnaryOp::Sigmoid)?;
    let output = gate(1, UnaryOp::Sigmoid)?;
    let forget = gate(2, UnaryOp::Sigmoid)?;
    let candidate = gate(3, UnaryOp::Tanh)?;
    let mut new = build.binary(BinaryOp::Mul, &input, &candidate)?;
    if let Some(cell) = cell {
        let kept = build.binary(BinaryOp::Mul, &forget, cell)?;
        new = build.binary(BinaryOp::Add, &kept, &new)?;
    }
    let cell = new;
    let shown = build.unary(UnaryOp::Tanh, &cell)?;
    Ok((build.binary(BinaryOp::Mul, &output, &shown)?, cell))
}

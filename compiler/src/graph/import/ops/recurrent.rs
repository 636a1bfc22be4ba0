//! RNN, GRU and LSTM over sequences of known length: their steps one after the other. ONNX Runtime's DynamicQuantizeLSTM is an LSTM
//! whose matrices are bytes, and whose X and h become bytes on the way: X as a whole, h at each step.

use super::Translate;
use super::activation::Activation;
use super::cells::{Cell, Matrix, Weights};
use super::integer::bytes;
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, Op};

/// Longest sequence that is written out.
pub(super) const MAX_STEPS: usize = 1024;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "RNN" => |c| recurrent(c, Cell::Rnn, Kind::Real),
        "GRU" => |c| {
            let after = c.int("linear_before_reset", 0) != 0;
            recurrent(c, Cell::Gru { after }, Kind::Real)
        },
        "LSTM" => |c| recurrent(c, lstm(c), Kind::Real),
        _ => return None,
    })
}

/// Operators of ONNX Runtime's own domain.
pub(super) fn contributed(operator: &str) -> Option<Translate> {
    (operator == "DynamicQuantizeLSTM").then_some(|c| recurrent(c, lstm(c), Kind::Bytes))
}

fn lstm(c: &Call<'_>) -> Cell {
    Cell::Lstm { coupled: c.int("input_forget", 0) != 0 }
}

/// What the matrices are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Real,
    /// Turned, with scales and zero points in inputs 8 to 11, of each direction or of each of its columns.
    Bytes,
}

/// Lengths of a sequence.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    steps: usize,
    batch: usize,
    input: usize,
    hidden: usize,
}

/// X [steps, batch, input], W [directions, gates · hidden, input], R [directions, gates · hidden, hidden], B [directions, 2 · gates · hidden], lengths, initial
/// h and c [directions, batch, hidden], P [directions, 3 · hidden]. Y [steps, directions, batch, hidden], then the last h and c. With layout 1 the batch
/// comes first.
fn recurrent(c: &mut Call<'_>, cell: Cell, kind: Kind) -> Outcome<Vec<Value>> {
    let batch_first = c.int("layout", 0) != 0;
    let mut x = c.input(0)?;
    if batch_first {
        x = turned(c.build, &x, 0, 1)?;
    }
    let sizes = sizes(c, &x, cell, kind)?;
    let directions = directions(c)?;
    let activations = activations(c, cell, directions.len())?;
    let runs = running(c, sizes)?;
    let initial = |c: &mut Call<'_>, index: usize| match c.optional(index) {
        Some(given) if batch_first => turned(c.build, &given, 0, 1).map(Some),
        given => Ok(given),
    };
    let (first_h, first_c) = (initial(c, 5)?, if cell.has_state() { initial(c, 6)? } else { None });
    let (mut all, mut last_h, mut last_c) = (Vec::new(), Vec::new(), Vec::new());
    for (direction, &backward) in directions.iter().enumerate() {
        let weights = weights(c, (cell, kind), (direction, directions.len()), sizes, &activations)?;
        let state = |build: &mut Builder, given: &Option<Value>| {
            let part =
                given.as_ref().map(|given| part(build, given, direction, vec![sizes.batch, sizes.hidden]));
            part.transpose()
        };
        let first = (state(c.build, &first_h)?, state(c.build, &first_c)?);
        let made = steps(c.build, &x, &weights, first, (&runs, backward))?;
        let shape = vec![1, sizes.batch, sizes.hidden];
        last_h.push(c.build.reshape(&made.h, shape.clone())?);
        if let Some(last) = made.cell {
            last_c.push(c.build.reshape(&last, shape)?);
        }
        all.push(c.build.apply(Op::Concat { axis: 0 }, &made.shown)?);
    }
    let mut outputs = vec![c.build.apply(Op::Concat { axis: 1 }, &all)?];
    for last in [last_h, last_c] {
        if !last.is_empty() {
            outputs.push(c.build.apply(Op::Concat { axis: 0 }, &last)?);
        }
    }
    if batch_first {
        // [steps, directions, batch, hidden] and [directions, batch, hidden].
        outputs[0] = c.build.apply(Op::Transpose { permutation: vec![2, 0, 1, 3] }, &outputs[..1])?;
        for last in &mut outputs[1..] {
            *last = turned(c.build, last, 0, 1)?;
        }
    }
    Ok(outputs)
}

/// Two axes exchanged.
fn turned(build: &mut Builder, a: &Value, one: usize, other: usize) -> Outcome {
    let mut permutation: Vec<usize> = (0..build.shape(a).len()).collect();
    if permutation.len() <= one.max(other) {
        return Err(Issue::Invalid(format!(
            "a tensor of shape {:?} has no axis of sequences",
            build.shape(a)
        )));
    }
    permutation.swap(one, other);
    build.apply(Op::Transpose { permutation }, std::slice::from_ref(a))
}

fn sizes(c: &Call<'_>, x: &Value, cell: Cell, kind: Kind) -> Outcome<Sizes> {
    let (shape, mut gates) = (c.ty(x).shape, c.ty(&c.input(1)?).shape);
    if kind == Kind::Bytes && gates.len() == 3 {
        gates.swap(1, 2);
    }
    let (&[steps, batch, input], &[_, rows, columns]) = (&shape[..], &gates[..]) else {
        return Err(Issue::Invalid(format!("X has shape {shape:?}, W {gates:?}")));
    };
    let hidden = length(c.int("hidden_size", (rows / cell.gates()) as i64))?;
    if rows != cell.gates() * hidden || columns != input || hidden == 0 {
        return Err(Issue::Invalid(format!(
            "X has shape {shape:?}, W {gates:?}, for {hidden} hidden values"
        )));
    }
    match steps {
        0 => Err(Issue::Invalid(format!("X has shape {shape:?}, without steps"))),
        1..=MAX_STEPS => Ok(Sizes { steps, batch, input, hidden }),
        _ => Err(Issue::Unsupported(format!("{steps} steps; at most {MAX_STEPS} are written out"))),
    }
}

/// Whether each direction goes backward.
fn directions(c: &Call<'_>) -> Outcome<Vec<bool>> {
    let directions = match c.text("direction", "forward").as_str() {
        "forward" => vec![false],
        "reverse" => vec![true],
        "bidirectional" => vec![false, true],
        other => {
            return Err(Issue::Invalid(format!(
                "direction is `{other}`, not forward, reverse or bidirectional"
            )));
        }
    };
    for index in [1, 2] {
        let shape = c.ty(&c.input(index)?).shape;
        if shape.first() != Some(&directions.len()) {
            let count = directions.len();
            return Err(Issue::Invalid(format!("input {index} has shape {shape:?}, for {count} directions")));
        }
    }
    Ok(directions)
}

/// The activations of all directions; those that take parameters take the next that are given.
fn activations(c: &Call<'_>, cell: Cell, directions: usize) -> Outcome<Vec<Activation>> {
    let own = cell.activations();
    let names: Vec<String> = match c.attribute("activations") {
        Some(given) => given.strings.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
        None => own.iter().cycle().take(own.len() * directions).map(|&name| name.to_owned()).collect(),
    };
    if names.len() != own.len() * directions {
        let (expected, given) = (own.len() * directions, names.len());
        return Err(Issue::Invalid(format!("{given} activations are named, not {expected}")));
    }
    let floats = |name: &str| c.attribute(name).map_or(&[][..], |given| given.floats.as_slice()).iter();
    let (mut alphas, mut betas) = (floats("activation_alpha"), floats("activation_beta"));
    let activation = |name: &String| {
        let [alpha, beta] = Activation::parameters(name)?;
        let alpha = alpha.map_or(0.0, |own| alphas.next().copied().unwrap_or(own));
        let beta = beta.map_or(0.0, |own| betas.next().copied().unwrap_or(own));
        Ok(Activation::new(name, alpha, beta))
    };
    names.iter().map(activation).collect()
}

/// For each step whether a sequence is that long, [batch, 1]; nothing where all are.
fn running(c: &mut Call<'_>, sizes: Sizes) -> Outcome<Vec<Option<Value>>> {
    let Some(lengths) = c.optional(4) else { return Ok(vec![None; sizes.steps]) };
    let lengths = c.build.reshape(&lengths, vec![sizes.batch, 1])?;
    let mut runs = Vec::new();
    for step in 0..sizes.steps {
        let step = Value::integer(i32::try_from(step).unwrap_or(i32::MAX));
        let running = c.build.binary(BinaryOp::Less, &step, &lengths)?;
        let all =
            running.tensor().is_some_and(|known| known.as_bool().is_some_and(|all| !all.contains(&false)));
        runs.push((!all).then_some(running));
    }
    Ok(runs)
}

/// One of the first axis, in a shape.
fn part(build: &mut Builder, a: &Value, start: usize, shape: Vec<usize>) -> Outcome {
    if build.shape(a).first().is_none_or(|&count| count <= start) {
        return Err(Issue::Invalid(format!(
            "a tensor of shape {:?} has no direction {start}",
            build.shape(a)
        )));
    }
    let part = build.one_of(a, 0, start)?;
    build.reshape(&part, shape)
}

/// What a direction multiplies by and adds.
fn weights(
    c: &mut Call<'_>,
    (cell, kind): (Cell, Kind),
    (direction, directions): (usize, usize),
    sizes: Sizes,
    activations: &[Activation],
) -> Outcome<Weights> {
    let Sizes { input, hidden, .. } = sizes;
    let rows = cell.gates() * hidden;
    let (bias, peepholes) = (c.optional(3), c.optional(7));
    let clip = c.attribute("clip").and_then(|clip| clip.f);
    let mut matrix = |at: usize, columns: usize| match kind {
        Kind::Real => part(c.build, &c.input(at)?, direction, vec![rows, columns]).map(Matrix::Real),
        Kind::Bytes => byte_matrix(c, at, direction, [columns, rows]),
    };
    let (w, r) = (matrix(1, input)?, matrix(2, hidden)?);
    let build = &mut *c.build;
    let bias = bias.map(|bias| part(build, &bias, direction, vec![2 * rows])).transpose()?;
    let peepholes = peepholes.filter(|_| cell.has_state());
    let peepholes = peepholes.map(|given| part(build, &given, direction, vec![3 * hidden])).transpose()?;
    let each = activations.len() / directions;
    let activations = activations[direction * each..(direction + 1) * each].to_vec();
    Weights::new(build, cell, (w, r, bias, peepholes), (hidden, activations, clip))
}

/// A direction's matrix of bytes at input 1 or 2, with scales and zero points at 8 and 9, or 10 and 11.
fn byte_matrix(c: &mut Call<'_>, at: usize, direction: usize, shape: [usize; 2]) -> Outcome<Matrix> {
    let (matrix, scale, zero) = (c.input(at)?, c.input(6 + 2 * at)?, c.optional(7 + 2 * at));
    let kind = c.kind(at)?;
    let mut of_columns = |value: &Value| {
        let each = c.ty(value).shape.get(1..).unwrap_or_default().to_vec();
        part(c.build, value, direction, each)
    };
    let (scale, zero) = (of_columns(&scale)?, zero.map(|zero| of_columns(&zero)).transpose()?);
    let matrix = part(c.build, &matrix, direction, shape.to_vec())?;
    Ok(Matrix::Bytes(bytes(c.build, &matrix, kind, zero)?, scale))
}

/// What a direction has made.
struct Made {
    /// h of each step, [1, 1, batch, hidden], in the order of the sequence.
    shown: Vec<Value>,
    h: Value,
    cell: Option<Value>,
}

/// All steps of a direction. Nothing stands for a state of zeros: what would be multiplied by it is left out.
fn steps(
    build: &mut Builder,
    x: &Value,
    weights: &Weights,
    (mut h, mut cell): (Option<Value>, Option<Value>),
    (runs, backward): (&[Option<Value>], bool),
) -> Outcome<Made> {
    let (shape, hidden) = (build.shape(x), weights.hidden);
    let (steps, batch) = (shape[0], shape[1]);
    // What the steps do not have to wait for is one product.
    let flat = build.reshape(x, vec![steps * batch, shape[2]])?;
    let from_x = weights.of_input(build, &flat)?;
    let mut shown = Vec::new();
    let order: Vec<usize> = if backward { (0..steps).rev().collect() } else { (0..steps).collect() };
    for step in order {
        let slice = Op::Slice { axis: 0, start: step * batch, count: batch, step: 1 };
        let own = build.apply(slice, std::slice::from_ref(&from_x))?;
        let (mut new, mut next) = weights.step(build, &own, h.as_ref(), cell.as_ref())?;
        let mut seen = new.clone();
        if let Some(running) = &runs[step] {
            // A sequence that has ended, or not begun, keeps its state and shows zeros.
            let zeros = Value::known(Tensor::f32([batch, hidden], vec![0.0; batch * hidden]));
            let mut keep = |new: Value, old: Option<&Value>| {
                build.apply(Op::Select, &[running.clone(), new, old.unwrap_or(&zeros).clone()])
            };
            seen = keep(new.clone(), None)?;
            new = keep(new, h.as_ref())?;
            next = next.map(|next| keep(next, cell.as_ref())).transpose()?;
        }
        shown.push(build.reshape(&seen, vec![1, 1, batch, hidden])?);
        (h, cell) = (Some(new), next);
    }
    if backward {
        shown.reverse();
    }
    let h = h.ok_or_else(|| Issue::Invalid(format!("X has shape {shape:?}, without steps")))?;
    Ok(Made { shown, h, cell })
}

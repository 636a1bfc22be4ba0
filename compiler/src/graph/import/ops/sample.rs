//! Images read at places between their elements: products with weights that are computed from the places.

use super::choose::numbers;
use super::convolution::{Window, along_channels};
use super::patches;
use super::{Translate, one};
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, ElementType, Op, UnaryOp};

/// Most weights of all places.
const MAX_WEIGHTS: usize = 1 << 22;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "GridSample" => grid_sample,
        "AffineGrid" => affine_grid,
        "DeformConv" => deformed,
        _ => return None,
    })
}

/// What an element between others is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Nearest,
    Linear,
    Cubic,
}

/// What lies outside an axis.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Outside {
    Zeros,
    Border,
    /// About two places.
    Mirrored([f32; 2]),
}

impl Outside {
    /// Places inside that stand for others outside.
    fn inside(self, build: &mut Builder, at: &Value, length: usize) -> Outcome {
        match self {
            Outside::Zeros => Ok(at.clone()),
            Outside::Border => clamped(build, at, length),
            Outside::Mirrored([low, high]) if low == high => build.with_real(BinaryOp::Mul, at, 0.0),
            Outside::Mirrored([low, high]) => {
                let period = 2.0 * (high - low);
                let from = build.with_real(BinaryOp::Sub, at, low)?;
                let from = build.unary(UnaryOp::Abs, &from)?;
                let turns = build.with_real(BinaryOp::Mul, &from, 1.0 / period)?;
                let turns = build.unary(UnaryOp::Floor, &turns)?;
                let whole = build.with_real(BinaryOp::Mul, &turns, period)?;
                let there = build.binary(BinaryOp::Sub, &from, &whole)?;
                let back = build.binary(BinaryOp::Sub, &Value::real(period), &there)?;
                let nearer = build.binary(BinaryOp::Min, &there, &back)?;
                build.with_real(BinaryOp::Add, &nearer, low)
            }
        }
    }
}

/// Places no farther out than the first and last element.
fn clamped(build: &mut Builder, at: &Value, length: usize) -> Outcome {
    let at = build.with_real(BinaryOp::Max, at, 0.0)?;
    build.with_real(BinaryOp::Min, &at, length as f32 - 1.0)
}

/// The part of each element of an axis in what is read at places [.., P]: [.., P, length].
pub(super) fn weights(
    build: &mut Builder,
    at: &Value,
    length: usize,
    mode: Mode,
    outside: Outside,
) -> Outcome {
    let mut shape = build.shape(at);
    shape.push(1);
    let at = build.reshape(at, shape.clone())?;
    let elements = numbers(ElementType::F32, shape.len(), shape.len() - 1, length);
    let at = if mode == Mode::Nearest { build.unary(UnaryOp::Round, &at)? } else { at };
    if mode != Mode::Cubic {
        let mut at = outside.inside(build, &at, length)?;
        if outside != Outside::Zeros {
            at = clamped(build, &at, length)?;
        }
        return hat(build, &at, &elements, mode);
    }
    let left = build.unary(UnaryOp::Floor, &at)?;
    let part = build.binary(BinaryOp::Sub, &at, &left)?;
    let mut sum: Option<Value> = None;
    for tap in [-1.0f32, 0.0, 1.0, 2.0] {
        let place = build.with_real(BinaryOp::Add, &left, tap)?;
        let place = outside.inside(build, &place, length)?;
        let distance = build.with_real(BinaryOp::Sub, &part, tap)?;
        let distance = build.unary(UnaryOp::Abs, &distance)?;
        let weight = cubic(build, &distance, tap == 0.0 || tap == 1.0)?;
        let here = build.binary(BinaryOp::Equal, &place, &elements)?;
        let weight = build.apply(Op::Select, &[here, weight, Value::real(0.0)])?;
        sum = Some(match sum {
            Some(sum) => build.binary(BinaryOp::Add, &sum, &weight)?,
            None => weight,
        });
    }
    sum.ok_or_else(|| Issue::Invalid("no taps".to_owned()))
}

/// One at an element's place, falling to zero at the next ones; or one where it is the very place.
fn hat(build: &mut Builder, at: &Value, elements: &Value, mode: Mode) -> Outcome {
    if mode == Mode::Nearest {
        let here = build.binary(BinaryOp::Equal, at, elements)?;
        return build.cast(&here, ElementType::F32);
    }
    let distance = build.binary(BinaryOp::Sub, at, elements)?;
    let distance = build.unary(UnaryOp::Abs, &distance)?;
    let rest = build.binary(BinaryOp::Sub, &Value::real(1.0), &distance)?;
    build.with_real(BinaryOp::Max, &rest, 0.0)
}

/// The cubic kernel with a = −3/4 at a distance below one, or from one to two.
fn cubic(build: &mut Builder, x: &Value, near: bool) -> Outcome {
    let a = -0.75;
    let terms = if near { [a + 2.0, -(a + 3.0), 0.0, 1.0] } else { [a, -5.0 * a, 8.0 * a, -4.0 * a] };
    let mut value = Value::real(terms[0]);
    for term in &terms[1..] {
        value = build.binary(BinaryOp::Mul, &value, x)?;
        value = build.with_real(BinaryOp::Add, &value, *term)?;
    }
    Ok(value)
}

/// x [.., C, *lengths] read at places [.., P] of each axis: [.., P, C].
fn read(
    build: &mut Builder,
    x: &Value,
    lengths: &[usize],
    places: &[Value],
    mode: Mode,
    outside: impl Fn(usize) -> Outside,
) -> Outcome {
    let front = build.shape(&places[0]);
    let elements: usize = lengths.iter().product();
    let all = front.iter().fold(elements, |all, &n| all.saturating_mul(n));
    if all > MAX_WEIGHTS {
        return Err(Issue::Unsupported(format!(
            "it reads an image of {lengths:?} at places {front:?} that depend on data: {all} weights, at most {MAX_WEIGHTS} are supported"
        )));
    }
    let mut matrix: Option<Value> = None;
    let mut width = 1;
    for (place, &length) in places.iter().zip(lengths) {
        let own = weights(build, place, length, mode, outside(length))?;
        matrix = Some(match matrix {
            None => own,
            Some(sofar) => {
                let left = build.reshape(&sofar, [&front[..], &[width, 1]].concat())?;
                let right = build.reshape(&own, [&front[..], &[1, length]].concat())?;
                let both = build.binary(BinaryOp::Mul, &left, &right)?;
                build.reshape(&both, [&front[..], &[width * length]].concat())?
            }
        });
        width *= length;
    }
    let matrix = matrix.ok_or_else(|| Issue::Invalid("an image without axes".to_owned()))?;
    let shape = build.shape(x);
    let x = build.reshape(x, [&shape[..shape.len() - lengths.len()], &[elements]].concat())?;
    build.apply(Op::MatMul { transpose_b: true }, &[matrix, x])
}

/// x [N, C, ..] at the places that grid [N, .., axes] says, from −1 to 1 on each axis, the last axis first.
fn grid_sample(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, grid) = (c.input(0)?, c.input(1)?);
    let (from, to) = (c.ty(&x).shape, c.ty(&grid).shape);
    let fits =
        from.len() > 2 && to.len() == from.len() && to[0] == from[0] && to[to.len() - 1] == from.len() - 2;
    if !fits {
        return Err(Issue::Invalid(format!("it reads {from:?} at places {to:?}")));
    }
    let (lengths, axes) = (&from[2..], from.len() - 2);
    let mode = match c.text("mode", "linear").as_str() {
        "nearest" => Mode::Nearest,
        "linear" | "bilinear" => Mode::Linear,
        "cubic" | "bicubic" => Mode::Cubic,
        other => return Err(Issue::Invalid(format!("mode is `{other}`"))),
    };
    let align = c.int("align_corners", 0) != 0;
    let padding = c.text("padding_mode", "zeros");
    if !["zeros", "border", "reflection"].contains(&padding.as_str()) {
        return Err(Issue::Invalid(format!("padding_mode is `{padding}`")));
    }
    let outside = |length: usize| match padding.as_str() {
        "border" => Outside::Border,
        "reflection" if align => Outside::Mirrored([0.0, length as f32 - 1.0]),
        "reflection" => Outside::Mirrored([-0.5, length as f32 - 0.5]),
        _ => Outside::Zeros,
    };
    let count: usize = to[1..=axes].iter().product();
    let mut places = Vec::with_capacity(axes);
    for (i, &length) in lengths.iter().enumerate() {
        let at = c.build.one_of(&grid, axes + 1, axes - 1 - i)?;
        let at = c.build.reshape(&at, vec![to[0], count])?;
        let at = c.build.with_real(BinaryOp::Add, &at, 1.0)?;
        let length = length as f32;
        places.push(if align {
            let half = c.build.with_real(BinaryOp::Mul, &at, 0.5)?;
            c.build.with_real(BinaryOp::Mul, &half, length - 1.0)?
        } else {
            let whole = c.build.with_real(BinaryOp::Mul, &at, length)?;
            let whole = c.build.with_real(BinaryOp::Sub, &whole, 1.0)?;
            c.build.with_real(BinaryOp::Mul, &whole, 0.5)?
        });
    }
    let y = read(c.build, &x, lengths, &places, mode, outside)?;
    let y = c.build.apply(Op::Transpose { permutation: vec![0, 2, 1] }, &[y])?;
    c.build.reshape(&y, [&from[..2], &to[1..=axes]].concat()).map(one)
}

/// Known places of an image, each times a matrix theta [N, axes, axes + 1].
fn affine_grid(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let theta = c.input(0)?;
    let size = c.known_ints(1, "size")?.iter().map(|&n| length(n)).collect::<Outcome<Vec<_>>>()?;
    let shape = c.ty(&theta).shape;
    let axes = size.len().saturating_sub(2);
    if axes == 0 || shape != [size[0], axes, axes + 1] {
        return Err(Issue::Invalid(format!("matrices {shape:?} for images of {size:?}")));
    }
    let align = c.int("align_corners", 0) != 0;
    let space = &size[2..];
    let count: usize = space.iter().product();
    if count > MAX_WEIGHTS {
        return Err(Issue::Unsupported(format!(
            "a grid of {space:?}: at most {MAX_WEIGHTS} places are supported"
        )));
    }
    let at = |axis: usize, place: usize| {
        let length = space[axis];
        let inner: usize = space[axis + 1..].iter().product();
        let index = (place / inner % length) as f64;
        let length = length as f64;
        if !align {
            (2.0 * index + 1.0) / length - 1.0
        } else if length > 1.0 {
            2.0 * index / (length - 1.0) - 1.0
        } else {
            0.0
        }
    };
    let row = |place: usize| (0..axes).rev().map(move |axis| at(axis, place) as f32).chain([1.0]);
    let grid: Vec<f32> = (0..count).flat_map(row).collect();
    let grid = Value::known(Tensor::f32([count, axes + 1], grid));
    let y = c.build.apply(Op::MatMul { transpose_b: true }, &[grid, theta])?;
    c.build.reshape(&y, [&size[..1], space, &[axes]].concat()).map(one)
}

/// A convolution whose windows' elements lie at places of their own: x, weights, offsets [N, offset groups · window · axes, ..], bias, mask.
fn deformed(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, weights, offsets) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let (of_x, of_weights, of_offsets) = (c.ty(&x).shape, c.ty(&weights).shape, c.ty(&offsets).shape);
    let (groups, parts) = (length(c.int("group", 1))?, length(c.int("offset_group", 1))?);
    if of_x.len() < 3 || of_weights.len() != of_x.len() || of_offsets.len() != of_x.len() {
        return Err(Issue::Invalid(format!("it convolves {of_x:?} with {of_weights:?} at {of_offsets:?}")));
    }
    let (n, channels, space) = (of_x[0], of_x[1], &of_x[2..]);
    let (axes, to) = (space.len(), &of_offsets[2..]);
    let window = Window::read(c, of_weights[2..].to_vec(), space)?;
    let inside = patches::places(&window.kernel)?;
    let count: usize = to.iter().product();
    if parts == 0 || channels % parts != 0 || of_offsets[..2] != [n, parts * inside * axes] {
        return Err(Issue::Invalid(format!(
            "offsets {of_offsets:?} in {parts} groups of {channels} channels"
        )));
    }
    let offsets = c.build.reshape(&offsets, vec![n, parts, inside, axes, count])?;
    let mut places = Vec::with_capacity(axes);
    for axis in 0..axes {
        // Where the elements would be without offsets: [window, place].
        let (within, beyond): (usize, usize) =
            (window.kernel[axis + 1..].iter().product(), to[axis + 1..].iter().product());
        let base = |element: usize, place: usize| {
            let (element, place) = (element / within % window.kernel[axis], place / beyond % to[axis]);
            (place * window.strides[axis] + element * window.dilations[axis]) as f32
                - window.padding[axis][0] as f32
        };
        let bases: Vec<f32> =
            (0..inside).flat_map(|element| (0..count).map(move |place| base(element, place))).collect();
        let bases = Value::known(Tensor::f32([inside, count], bases));
        let own = c.build.one_of(&offsets, 3, axis)?;
        let own = c.build.reshape(&own, vec![n, parts, inside, count])?;
        let at = c.build.binary(BinaryOp::Add, &own, &bases)?;
        places.push(c.build.reshape(&at, vec![n, parts, inside * count])?);
    }
    let x = c.build.reshape(&x, [&[n, parts, channels / parts], space].concat())?;
    let mut read = read(c.build, &x, space, &places, Mode::Linear, |_| Outside::Zeros)?;
    if let Some(mask) = c.optional(4) {
        let mask = c.build.reshape(&mask, vec![n, parts, inside * count, 1])?;
        read = c.build.binary(BinaryOp::Mul, &read, &mask)?;
    }
    let read = c.build.reshape(&read, vec![n, parts, inside, count, channels / parts])?;
    let read = c.build.apply(Op::Transpose { permutation: vec![2, 0, 3, 1, 4] }, &[read])?;
    let mut windows = Vec::with_capacity(inside);
    for start in 0..inside {
        let part = c.build.one_of(&read, 0, start)?;
        windows.push(c.build.reshape(&part, [&[n], to, &[channels]].concat())?);
    }
    let mut y = patches::weighted(c.build, &windows, &weights, groups)?;
    if let Some(bias) = c.optional(3) {
        let bias = along_channels(c.build, &bias, of_x.len())?;
        y = c.build.binary(BinaryOp::Add, &y, &bias)?;
    }
    Ok(vec![y])
}

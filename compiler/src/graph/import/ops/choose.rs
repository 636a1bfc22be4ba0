//! Elements chosen by indices that are computed at run time: each index is compared with every place of the axis.
//!
//! What is chosen is selected and summed with zeros, which keeps it exact, infinities too. Known indices move whole rows instead.

use super::index::take;
use super::reduce::product;
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp, TensorType};

/// So many elements lie in a vector of the machine, more or less.
const VECTOR: usize = 256;
/// Most vectors of one comparison of indices with places; more are compared in parts.
const MAX_AT_ONCE: usize = 1 << 11;
/// Most vectors of all parts.
pub(super) const MAX_VECTORS: usize = 1 << 19;
/// More vectors than this are turned, if places on the lanes make fewer.
const MANY_VECTORS: usize = 1 << 12;
/// More integers than this cannot be turned.
const FEW_INTEGERS: usize = 1 << 13;

/// Vectors, more or less, that a tensor of a shape takes.
pub(super) fn vectors(shape: &[usize]) -> usize {
    let (&lanes, rows) = shape.split_last().unwrap_or((&1, &[]));
    rows.iter().fold(lanes.div_ceil(VECTOR), |all: usize, &n| all.saturating_mul(n))
}

/// How updates join what they meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// They replace it; of several the last.
    Replaced,
    /// By an operator that is associative.
    By(BinaryOp),
}

impl Joined {
    /// What changes nothing.
    fn neutral(self, element: ElementType) -> Value {
        let real = element == ElementType::F32;
        match self {
            Joined::By(BinaryOp::Mul) => one(element),
            Joined::By(BinaryOp::Max) if real => Value::real(f32::NEG_INFINITY),
            Joined::By(BinaryOp::Max) => Value::integer(i32::MIN),
            Joined::By(BinaryOp::Min) if real => Value::real(f32::INFINITY),
            Joined::By(BinaryOp::Min) => Value::integer(i32::MAX),
            Joined::By(_) | Joined::Replaced => zero(element),
        }
    }
}

/// 0 of a type.
pub(super) fn zero(element: ElementType) -> Value {
    match element {
        ElementType::F32 => Value::real(0.0),
        ElementType::Bool => Value::known(Tensor::bool([], [false])),
        _ => Value::integer(0),
    }
}

/// 1 of a type.
pub(super) fn one(element: ElementType) -> Value {
    match element {
        ElementType::F32 => Value::real(1.0),
        ElementType::Bool => Value::known(Tensor::bool([], [true])),
        _ => Value::integer(1),
    }
}

/// 0, 1, … along an axis of a tensor of so many axes, which broadcasts.
pub(super) fn numbers(element: ElementType, rank: usize, axis: usize, length: usize) -> Value {
    let mut shape = vec![1; rank];
    shape[axis] = length;
    Value::known(match element {
        ElementType::F32 => Tensor::f32(shape, (0..length).map(|at| at as f32).collect::<Vec<_>>()),
        _ => Tensor::i32(shape, (0..length).map(|at| at as i32).collect::<Vec<_>>()),
    })
}

/// Indices counted from the front, of which negative ones count from the end.
pub(super) fn from_front(build: &mut Builder, index: &Value, length: usize) -> Outcome {
    let real = build.ty(index).element == ElementType::F32;
    let number = |n: usize| if real { Value::real(n as f32) } else { Value::integer(n as i32) };
    let negative = build.binary(BinaryOp::Less, index, &number(0))?;
    let wrapped = build.binary(BinaryOp::Add, index, &number(length))?;
    build.apply(Op::Select, &[negative, wrapped, index.clone()])
}

/// Whether index [.., k, ..] is the place l, as [.., k, l, ..].
fn hits(build: &mut Builder, index: &Value, axis: usize, length: usize) -> Outcome {
    let TensorType { element, shape } = build.ty(index);
    let places = numbers(element, shape.len() + 1, axis + 1, length);
    let index = build.with_axis(index, axis + 1)?;
    build.binary(BinaryOp::Equal, &index, &places)
}

/// How many rows, each compared with so many vectors, are compared at once. From lanes to rows they go by a square of as many.
pub(super) fn at_once(vectors: usize) -> usize {
    (MAX_AT_ONCE / vectors.max(1)).clamp(1, VECTOR)
}

/// How the comparison of indices with the places of axis 1 of a tensor [a, l] or [a, l, b] is best done.
struct Way {
    /// The order in which the places come last, if they should.
    turned: Option<Vec<usize>>,
    /// So many indices at a time.
    part: usize,
}

fn way(build: &Builder, data: &Value, index: &Value) -> Outcome<Way> {
    let TensorType { element, shape } = build.ty(data);
    let (count, indices, length) = (build.shape(index)[1], build.ty(index).elements(), shape[1]);
    let each = vectors(&shape);
    let turned = match shape[..] {
        [a, length, b] => vectors(&[a, b, length]),
        _ => each,
    };
    // Turning real numbers rounds them.
    let turns = element != ElementType::I32 && indices <= FEW_INTEGERS;
    let turns = turns && turned < each && each.saturating_mul(count) > MANY_VECTORS;
    let each = if turns { turned } else { each };
    if each.saturating_mul(count) > MAX_VECTORS {
        return Err(Issue::Unsupported(format!(
            "each of its {count} indices, which depend on data, would be compared with all {length} places of an axis: {} vectors, at most {MAX_VECTORS} are supported",
            each.saturating_mul(count)
        )));
    }
    Ok(Way { turned: turns.then(|| vec![0, 2, 1]), part: at_once(each) })
}

/// A tensor that broadcasts to `full`, but for its length on an axis, with all axes before that one joined and all after it: [a, l, b]; or [a, l].
fn flat(build: &mut Builder, x: &Value, full: &[usize], axis: usize) -> Outcome {
    let mut shape = build.shape(x);
    let sides = [0..axis, axis + 1..shape.len()];
    for side in sides.clone() {
        if shape[side.clone()].iter().any(|&n| n != 1) {
            shape[side.clone()].copy_from_slice(&full[side]);
        }
    }
    let wide = build.apply(Op::Expand { shape: shape.clone() }, std::slice::from_ref(x))?;
    let [before, after] = sides.map(|side| shape[side].iter().product::<usize>());
    let last = full[axis + 1..].iter().any(|&n| n != 1).then_some(after);
    build.reshape(&wide, [before, shape[axis]].into_iter().chain(last).collect())
}

/// Whether a tensor is [a, l] or [a, l, b] already, with axis l.
fn is_flat(shape: &[usize], axis: usize) -> bool {
    axis == 1 && (shape.len() == 2 || shape.len() == 3 && shape[2] != 1)
}

fn transposed(build: &mut Builder, x: &Value, order: &[usize]) -> Outcome {
    build.apply(Op::Transpose { permutation: order.to_vec() }, std::slice::from_ref(x))
}

/// Pieces of an axis.
fn pieces(build: &mut Builder, x: &Value, axis: usize, part: usize) -> Outcome<Vec<Value>> {
    let length = build.shape(x)[axis];
    (0..length)
        .step_by(part)
        .map(|start| {
            let slice = Op::Slice { axis, start, count: part.min(length - start), step: 1 };
            build.apply(slice, std::slice::from_ref(x))
        })
        .collect()
}

/// The only element along an axis that is not left out; zero where there is none. The axis stays.
pub(super) fn only(build: &mut Builder, chosen: &Value, data: &Value, axis: usize) -> Outcome {
    let element = build.ty(data).element;
    let kept = build.apply(Op::Select, &[chosen.clone(), data.clone(), zero(element)])?;
    build.apply(Op::Reduce { op: ReduceOp::Sum, axis }, &[kept])
}

/// A function of numbers, on truth values too.
fn of_numbers(build: &mut Builder, x: &Value, with: impl FnOnce(&mut Builder, &Value) -> Outcome) -> Outcome {
    if build.ty(x).element != ElementType::Bool {
        return with(build, x);
    }
    let numbers = build.cast(x, ElementType::I32)?;
    let result = with(build, &numbers)?;
    build.cast(&result, ElementType::Bool)
}

/// data[.., index[.., k, ..], ..] at all other places of both, which broadcast; indices count from the front.
pub(super) fn along(build: &mut Builder, data: &Value, index: &Value, axis: usize) -> Outcome {
    if let Some(line) = line(index, axis) {
        return take(build, data, &line, axis);
    }
    let mut shape = build.shape(data);
    if !is_flat(&shape, axis) {
        let wide = flat(build, data, &shape, axis)?;
        let narrow = flat(build, index, &shape, axis)?;
        let found = along(build, &wide, &narrow, 1)?;
        shape[axis] = build.shape(index)[axis];
        return build.reshape(&found, shape);
    }
    let way = way(build, data, index)?;
    if let Some(order) = way.turned {
        let (data, index) = (transposed(build, data, &order)?, transposed(build, index, &order)?);
        let result = along(build, &data, &index, 2)?;
        return transposed(build, &result, &order);
    }
    let length = build.shape(data)[axis];
    of_numbers(build, data, |build, data| {
        let wide = build.with_axis(data, axis)?;
        let mut parts = Vec::new();
        for index in pieces(build, index, axis, way.part)? {
            let hits = hits(build, &index, axis, length)?;
            let sums = only(build, &hits, &wide, axis + 1)?;
            parts.push(build.without_axis(&sums, axis + 1)?);
        }
        build.apply(Op::Concat { axis }, &parts)
    })
}

/// Known indices that are the same all over the other axes, as a vector.
fn line(index: &Value, axis: usize) -> Option<Value> {
    let tensor = index.tensor()?;
    let data = tensor.as_i32()?;
    let count = tensor.shape[axis];
    let inner: usize = tensor.shape[axis + 1..].iter().product();
    let at = |place: usize| place / inner % count;
    let line: Vec<i32> = (0..count).map(|k| data[k * inner]).collect();
    let same = !data.is_empty() && data.iter().enumerate().all(|(place, &index)| index == line[at(place)]);
    same.then(|| Value::known(Tensor::i32([count], line)))
}

/// data with updates [.., k, ..] at the places index [.., k, ..] of an axis. Indices count from the front and broadcast; on the other axes updates
/// are as long as data.
pub(super) fn scatter(
    build: &mut Builder,
    data: &Value,
    index: &Value,
    updates: &Value,
    axis: usize,
    how: Joined,
) -> Outcome {
    if build.ty(updates).elements() == 0 {
        return Ok(data.clone());
    }
    let TensorType { element, shape } = build.ty(data);
    if element == ElementType::Bool {
        let updates = build.cast(updates, ElementType::I32)?;
        return of_numbers(build, data, |build, data| scatter(build, data, index, &updates, axis, how));
    }
    let line = line(index, axis);
    let known = line.as_ref().and_then(Value::tensor).and_then(Tensor::as_i32);
    // To move lanes takes products, which round.
    if let Some(places) = known
        && axis + 1 < shape.len()
    {
        return scatter_known(build, data, places, updates, axis, how);
    }
    if !is_flat(&shape, axis) {
        let [wide, index, updates] = [data, index, updates].map(|value| flat(build, value, &shape, axis));
        let result = scatter(build, &wide?, &index?, &updates?, 1, how)?;
        return build.reshape(&result, shape);
    }
    let way = match (known, way(build, data, index)) {
        (Some(places), Err(_)) => return scatter_known(build, data, places, updates, axis, how),
        (_, way) => way?,
    };
    if let Some(order) = way.turned {
        let [data, index, updates] = [data, index, updates].map(|value| transposed(build, value, &order));
        let result = scatter(build, &data?, &index?, &updates?, 2, how)?;
        return transposed(build, &result, &order);
    }
    let (indices, updates) = (pieces(build, index, axis, way.part)?, pieces(build, updates, axis, way.part)?);
    indices
        .iter()
        .zip(&updates)
        .try_fold(data.clone(), |data, (index, updates)| compared(build, &data, index, updates, axis, how))
}

/// A scatter in which each index is compared with all places.
fn compared(
    build: &mut Builder,
    data: &Value,
    index: &Value,
    updates: &Value,
    axis: usize,
    how: Joined,
) -> Outcome {
    let TensorType { element, shape } = build.ty(data);
    let hits = hits(build, index, axis, shape[axis])?;
    let wide = build.with_axis(updates, axis + 1)?;
    let Joined::By(op) = how else {
        // Of several updates of one place the last one counts.
        let rank = shape.len() + 1;
        let turns = numbers(ElementType::F32, rank, axis, build.shape(updates)[axis]);
        let turns = build.apply(Op::Select, &[hits, turns, Value::real(-1.0)])?;
        let last = build.apply(Op::Reduce { op: ReduceOp::Max, axis }, std::slice::from_ref(&turns))?;
        let untouched = build.binary(BinaryOp::Less, &last, &Value::real(0.0))?;
        let untouched = build.without_axis(&untouched, axis)?;
        let turns = numbers(ElementType::F32, rank, axis, build.shape(updates)[axis]);
        let chosen = build.binary(BinaryOp::Equal, &turns, &last)?;
        let new = only(build, &chosen, &wide, axis)?;
        let new = build.without_axis(&new, axis)?;
        return build.apply(Op::Select, &[untouched, data.clone(), new]);
    };
    let parts = build.apply(Op::Select, &[hits, wide, how.neutral(element)])?;
    let reduced = match op {
        BinaryOp::Max => build.apply(Op::Reduce { op: ReduceOp::Max, axis }, &[parts])?,
        BinaryOp::Min => build.apply(Op::Reduce { op: ReduceOp::Min, axis }, &[parts])?,
        BinaryOp::Mul => product(build, &parts, &[axis])?,
        _ => build.apply(Op::Reduce { op: ReduceOp::Sum, axis }, &[parts])?,
    };
    let reduced = build.without_axis(&reduced, axis)?;
    build.binary(op, data, &reduced)
}

/// Updates at known places of an axis: what each place gets is taken from among them; several for one place, one after the other.
fn scatter_known(
    build: &mut Builder,
    data: &Value,
    places: &[i32],
    updates: &Value,
    axis: usize,
    how: Joined,
) -> Outcome {
    let shape = build.shape(data);
    let length = shape[axis];
    let mut rounds: Vec<Vec<Option<i32>>> = Vec::new();
    for (update, &place) in places.iter().enumerate() {
        let at = usize::try_from(place).ok().filter(|&at| at < length);
        let at = at.ok_or_else(|| Issue::Invalid(format!("index {place} is outside an axis of {length}")))?;
        let free = rounds.iter().position(|round| how == Joined::Replaced || round[at].is_none());
        if free.is_none() {
            rounds.push(vec![None; length]);
        }
        let round = free.unwrap_or(rounds.len() - 1);
        rounds[round][at] = Some(update as i32);
    }
    let mut result = data.clone();
    for round in rounds {
        let part = |build: &mut Builder, from: &Value, source: &dyn Fn(usize, Option<i32>) -> i32| {
            let sources: Vec<i32> =
                round.iter().enumerate().map(|(at, &update)| source(at, update)).collect();
            take(build, from, &Value::known(Tensor::i32([length], sources)), axis)
        };
        result = match how {
            Joined::Replaced => {
                let both = build.apply(Op::Concat { axis }, &[result, updates.clone()])?;
                part(build, &both, &|at, update| update.map_or(at as i32, |update| length as i32 + update))?
            }
            Joined::By(op) => {
                let new = part(build, updates, &|_, update| update.unwrap_or(0))?;
                let both = build.binary(op, &result, &new)?;
                let mut shape = vec![1; shape.len()];
                shape[axis] = length;
                let met = Tensor::bool(shape, round.iter().map(Option::is_some).collect::<Vec<_>>());
                build.apply(Op::Select, &[Value::known(met), both, result])?
            }
        };
    }
    Ok(result)
}

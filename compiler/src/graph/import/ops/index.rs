//! Constants, ranges, triangles, and reading by index.

use super::Translate;
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length, normalize};
use crate::graph::{Constant, ElementType, Op, TensorType, shape};
use crate::onnx;
use crate::onnx::proto::TensorProto;

/// Longest range that is believed.
const MAX_RANGE: usize = 1 << 24;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "Constant" => constant,
        "ConstantOfShape" => constant_of_shape,
        "Range" => range,
        "Trilu" => trilu,
        "Gather" => gather,
        "GatherND" => gather_nd,
        "CumSum" => cumulative_sum,
        _ => return None,
    })
}

fn constant(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    if let Some(tensor) = c.tensor("value") {
        return from_proto(c.build, tensor).map(|value| vec![value]);
    }
    let attribute = c.node.attribute.first().ok_or_else(|| Issue::Invalid("it has no value".to_owned()))?;
    let saturated = |v: i64| v.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
    let tensor = match attribute.name() {
        "value_int" => Tensor::i32([], [saturated(attribute.i())]),
        "value_float" => Tensor::f32([], [attribute.f()]),
        "value_ints" => Tensor::i32(
            [attribute.ints.len()],
            attribute.ints.iter().map(|&v| saturated(v)).collect::<Vec<_>>(),
        ),
        "value_floats" => Tensor::f32([attribute.floats.len()], attribute.floats.clone()),
        other => return Err(Issue::Unsupported(format!("a constant given by `{other}`"))),
    };
    Ok(vec![Value::known(tensor)])
}

/// A tensor inside a node.
pub(in crate::graph::import) fn from_proto(build: &mut Builder, proto: &TensorProto) -> Outcome {
    let tensor = onnx::tensor(proto).map_err(|error| match error {
        onnx::TensorError::Damaged(what) => Issue::Invalid(what),
        onnx::TensorError::Unsupported(what) => Issue::Unsupported(what),
    })?;
    from_tensor(build, &tensor)
}

/// A tensor of the model.
pub(in crate::graph::import) fn from_tensor(build: &mut Builder, tensor: &onnx::Tensor) -> Outcome {
    let ty = TensorType { element: tensor.encoding.element(), shape: tensor.shape.clone() };
    build.constant(&tensor.name, ty, Constant { encoding: tensor.encoding, bytes: tensor.bytes.clone() })
}

fn constant_of_shape(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let shape = c.known_ints(0, "shape")?.iter().map(|&v| length(v)).collect::<Outcome<Vec<_>>>()?;
    let value = match c.tensor("value") {
        Some(proto) => from_proto(c.build, proto)?,
        None => Value::real(0.0),
    };
    let scalar = c.build.reshape(&value, vec![])?;
    c.build.apply(Op::Expand { shape }, &[scalar]).map(|value| vec![value])
}

fn range(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let values = [c.input(0)?, c.input(1)?, c.input(2)?];
    let known: Option<Vec<&Tensor>> = values.iter().map(Value::tensor).collect();
    let known = known.ok_or_else(|| {
        Issue::Unsupported("its bounds depend on the data of the model's inputs".to_owned())
    })?;
    let too_long = || Issue::Invalid("the range is too long".to_owned());
    let reals = |tensor: &Tensor| tensor.as_f32().and_then(|data| data.first().copied()).map(f64::from);
    let ints = |tensor: &Tensor| tensor.as_i32().and_then(|data| data.first().copied()).map(f64::from);
    let steps = |start: f64, limit: f64, delta: f64| {
        let count = ((limit - start) / delta).ceil().max(0.0);
        if count.is_finite() && count <= MAX_RANGE as f64 { Ok(count as usize) } else { Err(too_long()) }
    };
    // Sums of two 32-bit integers and a bounded count are exact in binary64.
    if let [Some(start), Some(limit), Some(delta)] = [ints(known[0]), ints(known[1]), ints(known[2])] {
        let count = steps(start, limit, delta)?;
        let data: Vec<i32> = (0..count).map(|i| (start + i as f64 * delta) as i32).collect();
        return Ok(vec![Value::known(Tensor::i32([count], data))]);
    }
    let [Some(start), Some(limit), Some(delta)] = [reals(known[0]), reals(known[1]), reals(known[2])] else {
        return Err(Issue::Invalid("its bounds are not three numbers of one type".to_owned()));
    };
    let count = steps(start, limit, delta)?;
    let data: Vec<f32> = (0..count).map(|i| (start + i as f64 * delta) as f32).collect();
    Ok(vec![Value::known(Tensor::f32([count], data))])
}

/// The upper or lower triangle of the last two axes, zero elsewhere.
fn trilu(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let a = c.input(0)?;
    let ty = c.ty(&a);
    let [.., rows, columns] = ty.shape[..] else {
        return Err(Issue::Invalid(format!("its input {:?} has less than two axes", ty.shape)));
    };
    let k = c.optional_ints(1, "diagonal")?.and_then(|k| k.first().copied()).unwrap_or(0);
    let upper = c.int("upper", 1) != 0;
    shape::count(&[rows, columns])?;
    if rows.saturating_mul(columns) > MAX_RANGE {
        return Err(Issue::Unsupported(format!("a triangle of {rows} × {columns} elements is too large")));
    }
    let kept = |row: usize, column: usize| {
        let diagonal = column as i64 - row as i64;
        if upper { diagonal >= k } else { diagonal <= k }
    };
    let mask: Vec<bool> =
        (0..rows).flat_map(|row| (0..columns).map(move |column| kept(row, column))).collect();
    let mask = Value::known(Tensor::bool([rows, columns], mask));
    let a = if ty.element == ElementType::Bool {
        return c.build.binary(crate::graph::BinaryOp::And, &a, &mask).map(|value| vec![value]);
    } else {
        a
    };
    let zero = if ty.element == ElementType::I32 { Value::integer(0) } else { Value::real(0.0) };
    c.build.apply(Op::Select, &[mask, a, zero]).map(|value| vec![value])
}

fn gather(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (data, indices) = (c.input(0)?, c.input(1)?);
    let axis = c.axis(0, c.ty(&data).shape.len())?;
    take(c.build, &data, &indices, axis).map(|value| vec![value])
}

/// Reads along an axis; known evenly spaced indices are a slice.
fn take(build: &mut Builder, data: &Value, indices: &Value, axis: usize) -> Outcome {
    let shape = build.shape(data);
    let known = indices.tensor().and_then(Tensor::as_i32).filter(|_| data.tensor().is_none());
    if let Some(found) = known.map(|indices| spaced(indices, shape[axis])) {
        let found = found?;
        if let Some((start, count, step)) = found {
            let part = build.apply(Op::Slice { axis, start, count, step }, std::slice::from_ref(data))?;
            let result = [&shape[..axis], &build.shape(indices), &shape[axis + 1..]].concat();
            return build.reshape(&part, result);
        }
    }
    build.apply(Op::Gather { axis }, &[data.clone(), indices.clone()])
}

/// Start, count and step of indices that are evenly spaced; an error where one is out of range.
fn spaced(indices: &[i32], length: usize) -> Outcome<Option<(usize, usize, usize)>> {
    let mut places = Vec::with_capacity(indices.len());
    for &index in indices {
        let place = if index < 0 { i64::from(index) + length as i64 } else { i64::from(index) };
        match usize::try_from(place) {
            Ok(place) if place < length => places.push(place),
            _ => return Err(Issue::Invalid(format!("index {index} is outside an axis of {length}"))),
        }
    }
    let Some(&first) = places.first() else { return Ok(None) };
    let step = match places.get(1) {
        Some(&second) if second > first => second - first,
        Some(_) => return Ok(None),
        None => 1,
    };
    let even = places.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(step));
    Ok(even.then_some((first, places.len(), step)))
}

/// Known index tuples into the leading axes: one index into those axes joined.
fn gather_nd(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (data, indices) = (c.input(0)?, c.input(1)?);
    if c.int("batch_dims", 0) != 0 {
        return Err(Issue::Unsupported("batch_dims is not 0".to_owned()));
    }
    let shape = c.ty(&data).shape;
    let index_shape = c.ty(&indices).shape;
    let tuples = c.known_ints(1, "indices")?;
    let (outer, depth) = match index_shape.split_last() {
        Some((&depth, outer)) if depth >= 1 && depth <= shape.len() => (outer, depth),
        _ => return Err(Issue::Invalid(format!("indices of shape {index_shape:?} into {shape:?}"))),
    };
    let joined = shape::count(&shape[..depth])?;
    let mut flat = Vec::with_capacity(tuples.len() / depth);
    for tuple in tuples.chunks_exact(depth) {
        let mut place = 0usize;
        for (&index, &length) in tuple.iter().zip(&shape) {
            let index = normalize(index, length)?;
            place = place * length + index;
        }
        flat.push(i32::try_from(place).map_err(|_| Issue::Unsupported("the data is too large".to_owned()))?);
    }
    let data = c.build.reshape(&data, [&[joined], &shape[depth..]].concat())?;
    let flat = Value::known(Tensor::i32(outer.to_vec(), flat));
    take(c.build, &data, &flat, 0).map(|value| vec![value])
}

/// Longest axis that is summed up.
const MAX_RUNNING: usize = 1 << 12;

/// The sum of each element and those before it: at run time a product with a triangle of ones. Small integers stay exact in it.
fn cumulative_sum(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    if c.int("exclusive", 0) != 0 || c.int("reverse", 0) != 0 {
        return Err(Issue::Unsupported("exclusive or reverse".to_owned()));
    }
    let a = c.input(0)?;
    let ty = c.ty(&a);
    let rank = ty.shape.len();
    let axis = c.known_ints(1, "axis")?.first().copied().unwrap_or(0);
    let axis = normalize(axis, rank)?;
    let length = ty.shape[axis];
    if length > MAX_RUNNING {
        return Err(Issue::Unsupported(format!(
            "a running sum of {length} elements; at most {MAX_RUNNING} are supported"
        )));
    }
    let ones = (0..length).flat_map(|row| (0..length).map(move |column| f32::from(u8::from(row <= column))));
    let triangle = Value::known(Tensor::f32([length, length], ones.collect::<Vec<_>>()));
    let mut swap: Vec<usize> = (0..rank).collect();
    swap.swap(axis, rank - 1);
    let last = c.build.apply(Op::Transpose { permutation: swap.clone() }, &[a])?;
    let turned = c.build.shape(&last);
    let rows = c.build.reshape(&last, vec![turned[..rank - 1].iter().product(), length])?;
    let rows = c.build.cast(&rows, ElementType::F32)?;
    let sums = c.build.apply(Op::MatMul { transpose_b: false }, &[rows, triangle])?;
    let sums = c.build.cast(&sums, ty.element)?;
    let sums = c.build.reshape(&sums, turned)?;
    c.build.apply(Op::Transpose { permutation: swap }, &[sums]).map(|value| vec![value])
}

//! Constants, ranges, triangles, and reading by index.

use super::convolution::is_constant;
use super::{Translate, choose, one};
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::import::catalogue::why_not;
use crate::graph::import::ops::pointwise::element;
use crate::graph::{Constant, ElementType, Op, TensorType, shape};
use crate::onnx;
use crate::onnx::proto::TensorProto;
use crate::onnx::proto::tensor_proto::DataType;

/// Longest range that is believed.
const MAX_RANGE: usize = 1 << 24;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "Constant" => constant,
        "ConstantOfShape" => constant_of_shape,
        "Range" => range,
        "Trilu" => trilu,
        "Gather" => gather,
        "EyeLike" => eye,
        "Compress" => compress,
        "NonZero" => nonzero,
        _ => return None,
    })
}

fn constant(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    if let Some(tensor) = c.tensor("value") {
        return from_proto(c.build, tensor).map(one);
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
    from_tensor(build, &read(proto)?)
}

fn read(proto: &TensorProto) -> Outcome<onnx::Tensor> {
    onnx::tensor(proto).map_err(|error| match error {
        onnx::TensorError::Damaged(what) => Issue::Invalid(what),
        onnx::TensorError::Unsupported(what) => Issue::Unsupported(what),
    })
}

/// The content of a tensor inside a node.
pub(super) fn from_proto_tensor(proto: &TensorProto) -> Outcome<Tensor> {
    let onnx::Tensor { encoding, shape, bytes, .. } = read(proto)?;
    let ty = TensorType { element: encoding.element(), shape };
    let tensor = Tensor::decode(&Constant { encoding, bytes }, &ty)?;
    tensor.ok_or_else(|| Issue::Unsupported("an attribute whose numbers lie in another file".to_owned()))
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
    c.build.apply(Op::Expand { shape }, &[scalar]).map(one)
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
        return c.build.binary(crate::graph::BinaryOp::And, &a, &mask).map(one);
    } else {
        a
    };
    let zero = if ty.element == ElementType::I32 { Value::integer(0) } else { Value::real(0.0) };
    c.build.apply(Op::Select, &[mask, a, zero]).map(one)
}

fn gather(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (data, indices) = (c.input(0)?, c.input(1)?);
    let axis = c.axis(0, c.ty(&data).shape.len())?;
    take(c.build, &data, &indices, axis).map(one)
}

/// Most comparisons of indices with places that the graph's Gather makes at once.
const MAX_DIRECT: usize = 1 << 14;

/// Reads along an axis; known evenly spaced indices are a slice.
pub(super) fn take(build: &mut Builder, data: &Value, indices: &Value, axis: usize) -> Outcome {
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
    let places = build.shape(indices);
    let count: usize = places.iter().product();
    let many = count.saturating_mul(shape[axis]) > MAX_DIRECT;
    if many && indices.tensor().is_none() && !is_constant(build, data) {
        // Neither is known: each index is compared with all places, part by part.
        let mut along = vec![1; shape.len()];
        along[axis] = count;
        let index = build.reshape(indices, along)?;
        let index = choose::from_front(build, &index, shape[axis])?;
        let found = choose::along(build, data, &index, axis)?;
        return build.reshape(&found, [&shape[..axis], &places, &shape[axis + 1..]].concat());
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

/// Ones on a diagonal of a matrix of a shape.
fn eye(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let ty = c.ty(&c.input(0)?);
    let &[rows, columns] = &ty.shape[..] else {
        return Err(Issue::Invalid(format!("its input {ty} has not two axes")));
    };
    let kind = c.int("dtype", 0);
    let made = i32::try_from(kind).ok().and_then(|kind| DataType::try_from(kind).ok()).and_then(element);
    if kind != 0 && made.is_none() {
        return Err(Issue::Unsupported(format!("a matrix of element type {kind}")));
    }
    if shape::count(&ty.shape)? > MAX_RANGE {
        return Err(Issue::Unsupported(format!("a diagonal in {rows} × {columns} elements is too large")));
    }
    let k = c.int("k", 0);
    let diagonal = |row: usize, column: usize| column as i64 - row as i64 == k;
    let ones: Vec<bool> =
        (0..rows).flat_map(|row| (0..columns).map(move |column| diagonal(row, column))).collect();
    let ones = Value::known(Tensor::bool([rows, columns], ones));
    c.build.cast(&ones, made.unwrap_or(ty.element)).map(one)
}

/// What is true of a known tensor, as numbers of places; else the shape of the result is not known.
fn true_places(c: &Call<'_>, index: usize) -> Outcome<Vec<usize>> {
    let value = c.input(index)?;
    let Some(tensor) = value.tensor() else {
        let reason = why_not(c.node.op_type()).unwrap_or("the shape of its result depends on data");
        return Err(Issue::Unsupported(reason.to_owned()));
    };
    // Minus zero is zero.
    let bits =
        tensor.bits().into_iter().map(|bits| bits != 0 && (tensor.as_f32().is_none() || bits != 1 << 31));
    Ok(bits.enumerate().filter(|&(_, is)| is).map(|(place, _)| place).collect())
}

/// The elements at which a condition is true, along an axis or of all.
fn compress(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let mut a = c.input(0)?;
    let places = true_places(c, 1)?;
    let mut shape = c.ty(&a).shape;
    let axis = if c.attribute("axis").is_some() {
        c.axis(0, shape.len())?
    } else {
        shape = vec![shape::count(&shape)?];
        a = c.build.reshape(&a, shape.clone())?;
        0
    };
    if places.last().is_some_and(|&last| last >= shape[axis]) {
        return Err(Issue::Invalid(format!("its condition is longer than axis {axis} of {shape:?}")));
    }
    take(c.build, &a, &Value::integers(&places), axis).map(one)
}

/// The places of elements that are not zero, a row for each axis.
fn nonzero(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let places = true_places(c, 0)?;
    let shape = c.ty(&c.input(0)?).shape;
    let mut rows: Vec<usize> = Vec::with_capacity(shape.len() * places.len());
    for axis in 0..shape.len() {
        let inner: usize = shape[axis + 1..].iter().product();
        rows.extend(places.iter().map(|&place| place / inner % shape[axis]));
    }
    let rows = Value::integers(&rows);
    c.build.reshape(&rows, vec![shape.len(), places.len()]).map(one)
}

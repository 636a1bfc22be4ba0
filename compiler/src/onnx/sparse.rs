//! Sparse tensors, written out.

use super::proto::tensor_proto::DataType;
use super::proto::{SparseTensorProto, TensorProto};
use super::tensor::{Error, External, resolve, tensor};

/// Largest tensor that is written out, in bytes.
const MAX_BYTES: usize = 1 << 32;

/// The same tensor with its zeros.
pub(super) fn dense(sparse: &SparseTensorProto, external: &External<'_>) -> Result<TensorProto, Error> {
    let damaged = |what: &str| Error::Damaged(what.to_owned());
    let part = |part: &Option<TensorProto>, name: &str| {
        let mut part = part.clone().ok_or_else(|| damaged(&format!("it has no {name}")))?;
        resolve(&mut part, external).map_err(Error::Damaged)?;
        Ok(part)
    };
    let (values, indices) = (part(&sparse.values, "values")?, part(&sparse.indices, "indices")?);
    let shape: Option<Vec<usize>> = sparse.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let shape = shape.ok_or_else(|| damaged("an axis has a negative length"))?;
    let read = tensor(&values)?;
    let (count, width) = (read.shape.iter().product::<usize>(), read.encoding.bytes(1));
    // Some types are read as wider ones, and some share bytes.
    let other = [DataType::Uint16, DataType::Uint32, DataType::Uint64].contains(&read.data_type);
    if other || read.encoding.bytes(2) != 2 * width {
        return Err(Error::Unsupported(format!("a sparse tensor of {}", read.data_type.as_str_name())));
    }
    let all = shape.iter().try_fold(width, |all, &n| all.checked_mul(n)).filter(|&all| all <= MAX_BYTES);
    let all = all.ok_or_else(|| Error::Unsupported(format!("a sparse tensor of shape {shape:?}")))?;
    let absent =
        || Error::Unsupported("a sparse tensor whose numbers are in a file that is not there".to_owned());
    let bytes = read.bytes.ok_or_else(absent)?;
    let places: Vec<i64> = tensor(&indices)?
        .bytes
        .ok_or_else(absent)?
        .chunks_exact(8)
        .map(|chunk| chunk.iter().rev().fold(0, |number, &byte| number << 8 | i64::from(byte)))
        .collect();
    // Each place is a number, or one for each axis.
    let each = if indices.dims.len() == 2 { shape.len() } else { 1 };
    if places.len() != count.saturating_mul(each) {
        return Err(damaged(&format!("{count} numbers at {} places", places.len() / each.max(1))));
    }
    let mut out = vec![0; all];
    for (at, value) in bytes.chunks_exact(width).enumerate() {
        let place = &places[at * each..(at + 1) * each];
        let axes: &[usize] = if indices.dims.len() == 2 { &shape } else { &[all / width] };
        let flat = place.iter().zip(axes).try_fold(0, |flat, (&own, &length)| {
            let own = usize::try_from(own).ok().filter(|&own| own < length)?;
            Some(flat * length + own)
        });
        let flat = flat.ok_or_else(|| damaged(&format!("{place:?} is outside of {shape:?}")))?;
        out[flat * width..(flat + 1) * width].copy_from_slice(value);
    }
    Ok(TensorProto {
        name: values.name.clone(),
        dims: sparse.dims.clone(),
        data_type: values.data_type,
        raw_data: Some(out.into()),
        ..TensorProto::default()
    })
}

//! Tensors of an ONNX file: whichever of its fields holds the data, as little-endian bytes.

use super::proto::TensorProto;
use super::proto::tensor_proto::{DataLocation, DataType};
use crate::graph::Encoding;
use bytes::Bytes;

/// Finds bytes in a side file: (location, offset, length or to the end); nothing where there is no such file.
pub type External<'a> = dyn Fn(&str, u64, Option<u64>) -> Result<Option<Bytes>, String> + 'a;

/// A constant of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name; empty for constants inside nodes.
    pub name: String,
    /// Axis lengths.
    pub shape: Vec<usize>,
    /// Element type that the model gives it.
    pub data_type: DataType,
    /// Encoding of `bytes`.
    pub encoding: Encoding,
    /// Elements, row-major; nothing where the model comes without them. As many as the shape says.
    pub bytes: Option<Bytes>,
}

/// Why a tensor cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Its parts contradict each other.
    Damaged(String),
    /// It is of a kind that this compiler does not know.
    Unsupported(String),
}

/// Largest tensor that is believed, in elements.
const MAX_ELEMENTS: usize = 1 << 40;

/// Reads one message whose side file, if any, has been brought in by [`super::decode`]. Copies only what is not in raw form already.
///
/// # Errors
///
/// Damaged where shape and data disagree; Unsupported for strings, complex numbers and the rarer small float types.
pub fn tensor(proto: &TensorProto) -> Result<Tensor, Error> {
    let shape = shape(&proto.dims).map_err(Error::Damaged)?;
    let elements: usize = shape.iter().product();
    let data_type = DataType::try_from(proto.data_type())
        .map_err(|_| Error::Damaged(format!("element type {} does not exist", proto.data_type())))?;
    let (encoding, source) = encoding(data_type)?;
    let name = proto.name().to_owned();
    let done = |bytes| Ok(Tensor { name, shape: shape.clone(), data_type, encoding, bytes });
    if proto.data_location() == DataLocation::External && proto.raw_data.is_none() {
        return done(None);
    }
    if let Some(raw) = proto.raw_data.as_ref().filter(|raw| !raw.is_empty()) {
        let expected = size(elements, encoding, source);
        if raw.len() != expected {
            return Err(Error::Damaged(format!(
                "shape {shape:?} of {data_type:?} takes {expected} bytes, there are {}",
                raw.len()
            )));
        }
        let bytes = match source {
            None => raw.clone(),
            Some(source) => source.widen_raw(raw),
        };
        return done(Some(truths(encoding, bytes)));
    }
    let (count, bytes) = typed_data(proto, elements, encoding, source);
    if count != elements {
        return Err(Error::Damaged(format!(
            "shape {shape:?} has {elements} elements, there is data for {count}"
        )));
    }
    done(Some(truths(encoding, bytes)))
}

/// Puts the bytes of a tensor's side file into its `raw_data`; leaves the message alone where there is no such file.
pub(super) fn resolve(proto: &mut TensorProto, external: &External<'_>) -> Result<(), String> {
    if proto.data_location() != DataLocation::External {
        return Ok(());
    }
    let (mut location, mut offset, mut length) = (None, 0u64, None);
    for entry in &proto.external_data {
        let number = || {
            entry
                .value()
                .parse::<u64>()
                .map_err(|_| format!("{} `{}` is no number", entry.key(), entry.value()))
        };
        match entry.key() {
            "location" => location = Some(entry.value()),
            "offset" => offset = number()?,
            "length" => length = Some(number()?),
            _ => {}
        }
    }
    let location = location.ok_or("its data is said to be in another file, but no file is named")?;
    if length.is_none() {
        // Without a length the data is as long as the shape says.
        if let (Ok(shape), Ok(Ok((encoding, source)))) =
            (shape(&proto.dims), DataType::try_from(proto.data_type()).map(encoding))
        {
            length = Some(size(shape.iter().product(), encoding, source) as u64);
        }
    }
    let bytes =
        external(location, offset, length).map_err(|what| format!("side file `{location}`: {what}"))?;
    if let Some(bytes) = bytes {
        // An empty tensor has no bytes in its file, and nothing is missing.
        proto.raw_data = Some(bytes);
    }
    Ok(())
}

/// Bytes of so many elements in a file; [`shape`] has seen to it that they can be counted.
fn size(elements: usize, encoding: Encoding, source: Option<Narrow>) -> usize {
    source.map_or(encoding.bytes(elements), |source| elements * source.bytes())
}

fn shape(dims: &[i64]) -> Result<Vec<usize>, String> {
    let shape: Vec<usize> = dims
        .iter()
        .map(|&dim| usize::try_from(dim).map_err(|_| format!("shape {dims:?} has a negative length")))
        .collect::<Result<_, _>>()?;
    let bound =
        shape.iter().try_fold(1usize, |n, &axis| n.checked_mul(axis.max(1)).filter(|&n| n <= MAX_ELEMENTS));
    bound.map(|_| shape).ok_or_else(|| format!("shape {dims:?} has too many elements"))
}

/// Integers that have no encoding of their own and are widened on reading.
#[derive(Clone, Copy)]
enum Narrow {
    U16,
    U32,
    U64,
}

impl Narrow {
    fn bytes(self) -> usize {
        match self {
            Narrow::U16 => 2,
            Narrow::U32 => 4,
            Narrow::U64 => 8,
        }
    }

    /// Little-endian elements to the wider encoding's: U16 to I32, U32 and U64 to I64 (saturated).
    fn widen_raw(self, raw: &[u8]) -> Bytes {
        let mut out = Vec::new();
        for element in raw.chunks_exact(self.bytes()) {
            let mut wide = [0u8; 8];
            wide[..element.len()].copy_from_slice(element);
            self.push(u64::from_le_bytes(wide), &mut out);
        }
        out.into()
    }

    fn push(self, value: u64, out: &mut Vec<u8>) {
        match self {
            Narrow::U16 => out.extend((value as u16 as i32).to_le_bytes()),
            Narrow::U32 => out.extend((value as u32 as i64).to_le_bytes()),
            Narrow::U64 => out.extend(i64::try_from(value).unwrap_or(i64::MAX).to_le_bytes()),
        }
    }
}

fn encoding(data_type: DataType) -> Result<(Encoding, Option<Narrow>), Error> {
    Ok(match data_type {
        DataType::Float => (Encoding::F32, None),
        DataType::Double => (Encoding::F64, None),
        DataType::Float16 => (Encoding::F16, None),
        DataType::Bfloat16 => (Encoding::Bf16, None),
        DataType::Int64 => (Encoding::I64, None),
        DataType::Int32 => (Encoding::I32, None),
        DataType::Int16 => (Encoding::I16, None),
        DataType::Int8 => (Encoding::I8, None),
        DataType::Uint8 => (Encoding::U8, None),
        DataType::Bool => (Encoding::Bool, None),
        DataType::Uint16 => (Encoding::I32, Some(Narrow::U16)),
        DataType::Uint32 => (Encoding::I64, Some(Narrow::U32)),
        DataType::Uint64 => (Encoding::I64, Some(Narrow::U64)),
        DataType::Float8e4m3fn => (Encoding::F8E4M3, None),
        DataType::Int4 => (Encoding::I4, None),
        DataType::Uint4 => (Encoding::U4, None),
        DataType::Undefined => return Err(Error::Damaged("its element type is not given".to_owned())),
        DataType::String
        | DataType::Complex64
        | DataType::Complex128
        | DataType::Float8e4m3fnuz
        | DataType::Float8e5m2
        | DataType::Float8e5m2fnuz
        | DataType::Float4e2m1
        | DataType::Float8e8m0
        | DataType::Uint2
        | DataType::Int2 => {
            return Err(Error::Unsupported(format!("element type {}", data_type.as_str_name())));
        }
    })
}

/// Data from the typed fields: how many elements (of the number that is expected), and their bytes.
fn typed_data(
    proto: &TensorProto,
    expected: usize,
    encoding: Encoding,
    source: Option<Narrow>,
) -> (usize, Bytes) {
    let mut out = Vec::new();
    let ints = &proto.int32_data;
    let count = match (encoding, source) {
        (_, Some(Narrow::U16)) => {
            ints.iter().for_each(|&v| Narrow::U16.push(v as u64, &mut out));
            ints.len()
        }
        (_, Some(wide)) => {
            proto.uint64_data.iter().for_each(|&v| wide.push(v, &mut out));
            proto.uint64_data.len()
        }
        (Encoding::F32, None) => {
            proto.float_data.iter().for_each(|v| out.extend(v.to_le_bytes()));
            proto.float_data.len()
        }
        (Encoding::F64, None) => {
            proto.double_data.iter().for_each(|v| out.extend(v.to_le_bytes()));
            proto.double_data.len()
        }
        (Encoding::I64, None) => {
            proto.int64_data.iter().for_each(|v| out.extend(v.to_le_bytes()));
            proto.int64_data.len()
        }
        (Encoding::I32, None) => {
            ints.iter().for_each(|v| out.extend(v.to_le_bytes()));
            ints.len()
        }
        // Half floats are kept as their bits, in the low half of an int32.
        (Encoding::F16 | Encoding::Bf16 | Encoding::I16, None) => {
            ints.iter().for_each(|&v| out.extend((v as u16).to_le_bytes()));
            ints.len()
        }
        // Elements of half a byte are packed here too; an odd one leaves half a byte over.
        (Encoding::I4 | Encoding::U4, None) => {
            out.extend(ints.iter().map(|&v| v as u8));
            if ints.len() == encoding.bytes(expected) { expected } else { ints.len() * 2 }
        }
        (Encoding::I8 | Encoding::U8 | Encoding::F8E4M3, None) => {
            out.extend(ints.iter().map(|&v| v as u8));
            ints.len()
        }
        // No tensor of a file is in blocks.
        (Encoding::Int4 | Encoding::Mxfp4, None) => 0,
        (Encoding::Bool, None) => {
            out.extend(ints.iter().map(|&v| u8::from(v != 0)));
            ints.len()
        }
    };
    (count, out.into())
}

/// Truth values as 0 and 1 even where the file has other bytes.
fn truths(encoding: Encoding, bytes: Bytes) -> Bytes {
    if encoding == Encoding::Bool && bytes.iter().any(|&b| b > 1) {
        return bytes.iter().map(|&b| u8::from(b != 0)).collect::<Vec<u8>>().into();
    }
    bytes
}

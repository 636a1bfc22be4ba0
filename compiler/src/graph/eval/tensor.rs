//! Tensors with values, and their way from and to constants.

use crate::graph::blocks::{self, BLOCK};
use crate::graph::f8::F8;
use crate::graph::{Constant, ElementType, Encoding, Few, TensorType, shape};
use bytes::Bytes;
use half::{bf16, f16};

/// A tensor with its values; `data` has as many elements as `shape` says, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Axis lengths; empty for a scalar.
    pub shape: Vec<usize>,
    /// Elements.
    pub data: Data,
}

/// Elements of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Real numbers.
    F32(Vec<f32>),
    /// Integers.
    I32(Vec<i32>),
    /// Truth values.
    Bool(Vec<bool>),
    /// Integers of eight bits.
    I8(Vec<i8>),
    /// Real numbers of eight bits.
    F8(Vec<F8>),
}

/// `$f` on the elements, whatever their type, and back into the same variant.
macro_rules! each {
    ($data:expr, $d:ident => $f:expr) => {
        match $data {
            Data::F32($d) => Data::F32($f),
            Data::I32($d) => Data::I32($f),
            Data::Bool($d) => Data::Bool($f),
            Data::I8($d) => Data::I8($f),
            Data::F8($d) => Data::F8($f),
        }
    };
}
pub(super) use each;

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::F32(d) => d.len(),
            Data::I32(d) => d.len(),
            Data::Bool(d) => d.len(),
            Data::I8(d) => d.len(),
            Data::F8(d) => d.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Tensor {
    /// Real numbers. `data` must have as many elements as the shape.
    pub fn f32(shape: impl Into<Vec<usize>>, data: impl Into<Vec<f32>>) -> Self {
        Tensor { shape: shape.into(), data: Data::F32(data.into()) }
    }

    /// Integers. `data` must have as many elements as the shape.
    pub fn i32(shape: impl Into<Vec<usize>>, data: impl Into<Vec<i32>>) -> Self {
        Tensor { shape: shape.into(), data: Data::I32(data.into()) }
    }

    /// Truth values. `data` must have as many elements as the shape.
    pub fn bool(shape: impl Into<Vec<usize>>, data: impl Into<Vec<bool>>) -> Self {
        Tensor { shape: shape.into(), data: Data::Bool(data.into()) }
    }

    /// Integers of eight bits. `data` must have as many elements as the shape.
    pub fn i8(shape: impl Into<Vec<usize>>, data: impl Into<Vec<i8>>) -> Self {
        Tensor { shape: shape.into(), data: Data::I8(data.into()) }
    }

    /// Real numbers of eight bits, rounded. `data` must have as many elements as the shape.
    pub fn f8(shape: impl Into<Vec<usize>>, data: impl AsRef<[f32]>) -> Self {
        let data = data.as_ref().iter().map(|&x| F8::from_f32(x)).collect();
        Tensor { shape: shape.into(), data: Data::F8(data) }
    }

    /// Zeros (false) of a type.
    pub fn zeros(ty: &TensorType) -> Self {
        let n = ty.elements();
        let data = match ty.element {
            ElementType::F32 => Data::F32(vec![0.0; n]),
            ElementType::I32 => Data::I32(vec![0; n]),
            ElementType::Bool => Data::Bool(vec![false; n]),
            ElementType::I8 => Data::I8(vec![0; n]),
            ElementType::F8 => Data::F8(vec![F8(0); n]),
        };
        Tensor { shape: ty.shape.clone(), data }
    }

    /// Its type.
    pub fn ty(&self) -> TensorType {
        let element = match &self.data {
            Data::F32(_) => ElementType::F32,
            Data::I32(_) => ElementType::I32,
            Data::Bool(_) => ElementType::Bool,
            Data::I8(_) => ElementType::I8,
            Data::F8(_) => ElementType::F8,
        };
        TensorType { element, shape: self.shape.clone() }
    }

    /// The elements, where they are real.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(d) => Some(d),
            _ => None,
        }
    }

    /// The elements, where they are integers.
    pub fn as_i32(&self) -> Option<&[i32]> {
        match &self.data {
            Data::I32(d) => Some(d),
            _ => None,
        }
    }

    /// The elements, where they are truth values.
    pub fn as_bool(&self) -> Option<&[bool]> {
        match &self.data {
            Data::Bool(d) => Some(d),
            _ => None,
        }
    }

    /// Bits of every element; two tensors of one type are the same exactly when their bits are.
    pub fn bits(&self) -> Vec<u32> {
        match &self.data {
            Data::F32(d) => d.iter().map(|x| x.to_bits()).collect(),
            Data::I32(d) => d.iter().map(|&x| x.cast_unsigned()).collect(),
            Data::Bool(d) => d.iter().map(|&x| u32::from(x)).collect(),
            Data::I8(d) => d.iter().map(|&x| u32::from(x.cast_unsigned())).collect(),
            Data::F8(d) => d.iter().map(|x| u32::from(x.0)).collect(),
        }
    }

    /// Errors where the elements are not as many as the shape says.
    pub fn check(&self) -> Result<(), String> {
        let expected = shape::count(&self.shape)?;
        match self.data.len() {
            n if n == expected => Ok(()),
            n => Err(format!("a tensor of shape {:?} must have {expected} elements, it has {n}", self.shape)),
        }
    }

    /// Errors where a constant cannot be of type `ty`: another element, or another number of bytes.
    pub fn check_constant(constant: &Constant, ty: &TensorType) -> Result<(), String> {
        let encoding = constant.encoding;
        if encoding.element() != ty.element {
            return Err(format!("a constant encoded as {} cannot be {ty}", encoding.name()));
        }
        let expected = encoding.bytes(shape::count(&ty.shape)?);
        let inputs = ty.shape.iter().rev().nth(1).copied().unwrap_or(0);
        if encoding.blocks().is_some() && constant.bytes.is_some() && !inputs.is_multiple_of(BLOCK) {
            return Err(format!(
                "{ty} in {} is not made of blocks of {BLOCK} along its last axis but one",
                encoding.name()
            ));
        }
        match &constant.bytes {
            Some(bytes) if bytes.len() != expected => Err(format!(
                "a constant {ty} in {} has {expected} bytes, not {}",
                encoding.name(),
                bytes.len()
            )),
            _ => Ok(()),
        }
    }

    /// The value of a constant of type `ty`; nothing where its bytes are absent. 64-bit integers saturate.
    pub fn decode(constant: &Constant, ty: &TensorType) -> Result<Option<Tensor>, String> {
        Self::check_constant(constant, ty)?;
        let encoding = constant.encoding;
        let Some(bytes) = &constant.bytes else { return Ok(None) };
        let data = match encoding {
            Encoding::F64 => Data::F32(each_of(bytes, |b| f64::from_le_bytes(b) as f32)),
            Encoding::F32 => Data::F32(each_of(bytes, f32::from_le_bytes)),
            Encoding::F16 => Data::F32(each_of(bytes, |b| f16::from_le_bytes(b).to_f32())),
            Encoding::Bf16 => Data::F32(each_of(bytes, |b| bf16::from_le_bytes(b).to_f32())),
            Encoding::I64 => Data::I32(each_of(bytes, |b| {
                i64::from_le_bytes(b).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
            })),
            Encoding::I32 => Data::I32(each_of(bytes, i32::from_le_bytes)),
            Encoding::I16 => Data::I32(each_of(bytes, |b| i32::from(i16::from_le_bytes(b)))),
            Encoding::I8 => Data::I32(each_of(bytes, |b| i32::from(i8::from_le_bytes(b)))),
            Encoding::U8 => Data::I32(bytes.iter().map(|&b| i32::from(b)).collect()),
            Encoding::Bool => Data::Bool(bytes.iter().map(|&b| b != 0).collect()),
            Encoding::Int4 => Data::F32(blocks::decode(Few::Int4, bytes, &ty.shape)),
            Encoding::Mxfp4 => Data::F32(blocks::decode(Few::Mxfp4, bytes, &ty.shape)),
            Encoding::F8E4M3 => Data::F32(bytes.iter().map(|&b| F8(b).to_f32()).collect()),
            Encoding::I4 | Encoding::U4 => {
                let halves = bytes.iter().flat_map(|&b| [b & 15, b >> 4]).take(ty.elements());
                // Shifted up and down again, the sign fills the upper half.
                let signed = |half: u8| i32::from((half << 4).cast_signed() >> 4);
                let number = |half| if encoding == Encoding::I4 { signed(half) } else { i32::from(half) };
                Data::I32(halves.map(number).collect())
            }
        };
        Ok(Some(Tensor { shape: ty.shape.clone(), data }))
    }

    /// A constant of the same value, in 32 bits an element (Bool, I8, F8: one byte). Constants of I8 and F8 there are none: theirs
    /// is of the same numbers as I32 and F32, [`Encoding::element`], and has to be cast.
    pub fn to_constant(&self) -> Constant {
        let (encoding, bytes): (Encoding, Vec<u8>) = match &self.data {
            Data::F32(d) => (Encoding::F32, d.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Data::I32(d) => (Encoding::I32, d.iter().flat_map(|x| x.to_le_bytes()).collect()),
            Data::Bool(d) => (Encoding::Bool, d.iter().map(|&x| u8::from(x)).collect()),
            Data::I8(d) => (Encoding::I8, d.iter().map(|x| x.cast_unsigned()).collect()),
            Data::F8(d) => (Encoding::F8E4M3, d.iter().map(|x| x.0).collect()),
        };
        Constant { encoding, bytes: Some(Bytes::from(bytes)) }
    }
}

fn each_of<const N: usize, T>(bytes: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| decode(chunk)).collect()
}

//! The host's arrays, and how their elements look in SRAM.

use isa::{Element, Format, numeric};

/// An array of the host, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// For ports of F32, F16, F16Low and F8.
    F32(Vec<f32>),
    /// For ports of I32 and I8.
    I32(Vec<i32>),
    /// For ports of Mask.
    Bool(Vec<bool>),
}

impl Array {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Array::F32(values) => values.len(),
            Array::I32(values) => values.len(),
            Array::Bool(values) => values.len(),
        }
    }

    /// No elements at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of its elements, in words.
    fn type_name(&self) -> &'static str {
        match self {
            Array::F32(_) => "f32",
            Array::I32(_) => "i32",
            Array::Bool(_) => "bool",
        }
    }

    /// Each element's bytes, least significant first; the elements' own length is `element.bytes()`.
    pub(crate) fn encode(&self, element: Element) -> Result<Vec<[u8; 4]>, String> {
        let half = |bits: u16| {
            let [low, high] = bits.to_le_bytes();
            [low, high, 0, 0]
        };
        match (self, element) {
            (Array::F32(values), Element::F32) => Ok(values.iter().map(|x| x.to_le_bytes()).collect()),
            (Array::F32(values), Element::F16) => {
                Ok(values.iter().map(|x| half(numeric::split_f16(*x).0)).collect())
            }
            (Array::F32(values), Element::F16Low) => {
                Ok(values.iter().map(|x| half(numeric::split_f16(*x).1)).collect())
            }
            (Array::F32(values), Element::F8) => {
                Ok(values.iter().map(|x| [numeric::to_f8(*x), 0, 0, 0]).collect())
            }
            (Array::I32(values), Element::I8) => {
                let saturated = |x: &i32| numeric::narrow(Format::I8, *x as u32).to_le_bytes();
                Ok(values.iter().map(saturated).collect())
            }
            (Array::I32(values), Element::I32) => Ok(values.iter().map(|x| x.to_le_bytes()).collect()),
            (Array::Bool(values), Element::Mask) => {
                Ok(values.iter().map(|x| if *x { [0xff; 4] } else { [0; 4] }).collect())
            }
            _ => Err(format!("the array is of {}, the port's elements are {element:?}", self.type_name())),
        }
    }

    /// The reverse of [`Array::encode`].
    pub(crate) fn decode(element: Element, bytes: &[[u8; 4]]) -> Array {
        let half = |b: &[u8; 4]| u16::from_le_bytes([b[0], b[1]]);
        match element {
            Element::F32 => Array::F32(bytes.iter().map(|b| f32::from_le_bytes(*b)).collect()),
            Element::F16 => Array::F32(bytes.iter().map(|b| numeric::join_f16(half(b), 0)).collect()),
            Element::F16Low => Array::F32(bytes.iter().map(|b| numeric::join_f16(0, half(b))).collect()),
            Element::I32 => Array::I32(bytes.iter().map(|b| i32::from_le_bytes(*b)).collect()),
            Element::F8 => Array::F32(bytes.iter().map(|b| numeric::from_f8(b[0])).collect()),
            Element::I8 => Array::I32(bytes.iter().map(|b| i32::from(b[0] as i8)).collect()),
            Element::Mask => Array::Bool(bytes.iter().map(|b| *b != [0; 4]).collect()),
        }
    }

    /// Adds what binary16 lost.
    pub(crate) fn plus(self, low: Array) -> Array {
        match (self, low) {
            (Array::F32(high), Array::F32(low)) => {
                Array::F32(high.iter().zip(low).map(|(a, b)| a + b).collect())
            }
            (other, _) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_halves_keep_twenty_two_bits() {
        let values = Array::F32(vec![0.0, 1.0, -2.7, 1e-3, 65504.0]);
        let parts = [Element::F16, Element::F16Low].map(|e| Array::decode(e, &values.encode(e).unwrap()));
        let [high, low] = parts;
        let (Array::F32(got), Array::F32(want)) = (high.plus(low), &values) else { unreachable!() };
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() <= want.abs() * 2f32.powi(-21), "{got} {want}");
        }
    }

    #[test]
    fn bytes_are_saturated_and_rounded() {
        let through = |array: Array, element| Array::decode(element, &array.encode(element).unwrap());
        let integers = Array::I32(vec![0, -1, 127, 128, -128, -129, i32::MAX, i32::MIN]);
        let saturated = Array::I32(vec![0, -1, 127, 127, -128, -128, 127, -128]);
        assert_eq!(through(integers, Element::I8), saturated);
        let numbers = Array::F32(vec![0.0, -1.0, 1.0625, 1.07, 500.0, f32::NEG_INFINITY, 1e-9]);
        assert_eq!(
            through(numbers, Element::F8),
            Array::F32(vec![0.0, -1.0, 1.0, 1.125, 448.0, -448.0, 0.0])
        );
        assert!(matches!(through(Array::F32(vec![f32::NAN]), Element::F8), Array::F32(x) if x[0].is_nan()));
    }

    #[test]
    fn types_must_agree() {
        assert!(Array::F32(vec![1.0]).encode(Element::I8).is_err());
        assert!(Array::I32(vec![1]).encode(Element::F8).is_err());
        assert!(Array::I32(vec![1]).encode(Element::F32).is_err());
        assert_eq!(Array::Bool(vec![true, false]).encode(Element::Mask).unwrap(), [[0xff; 4], [0; 4]]);
    }
}

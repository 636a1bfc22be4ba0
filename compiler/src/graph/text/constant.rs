//! How constants are written: numbers where that says everything, bytes where few, a digest of the bytes where many.

use super::lexer::unquote;
use super::syntax::{Content, Spanned};
use super::{Lookup, Problem};
use crate::graph::f8::F8;
use crate::graph::{Constant, Encoding, TensorType, shape};
use bytes::Bytes;
use half::{bf16, f16};
use std::fmt::{self, Write as _};

/// Longest list of numbers that is written.
const LISTED: usize = 16;
/// Most bytes that are written.
const WRITTEN_BYTES: usize = 64;
/// Most bytes that one number may be repeated to: a typing error must not take all memory.
const SPLAT_BYTES: usize = 1 << 28;

/// Writes a constant's encoding and content.
pub(super) fn print(constant: &Constant, ty: &TensorType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let encoding = constant.encoding;
    write!(f, "constant {} ", encoding.name())?;
    let Some(bytes) = &constant.bytes else { return f.write_str("absent") };
    let numbers = elements(encoding, bytes, ty);
    if let Some(mut numbers) = elements(encoding, bytes, ty)
        && let Some(first) = numbers.next()
        && bytes.len() <= SPLAT_BYTES
        && numbers.all(|element| element == first)
        && let Some(number) = number(encoding, first)
    {
        return write!(f, "splat {number}");
    }
    if bytes.len() <= LISTED * encoding.element_bits().div_ceil(8)
        && let Some(numbers) = numbers
        && let Some(list) = numbers.map(|element| number(encoding, element)).collect::<Option<Vec<_>>>()
        && list.len() <= LISTED
    {
        return write!(f, "[{}]", list.join(", "));
    }
    if bytes.len() <= WRITTEN_BYTES {
        let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        return write!(f, "hex \"{hex}\"");
    }
    write!(f, "blake3 \"{}\"", blake3::hash(bytes))
}

/// The elements, each in bytes of its own (half a byte in the low half of one); nothing where bytes are left that mean nothing.
fn elements<'a>(
    encoding: Encoding,
    bytes: &'a [u8],
    ty: &TensorType,
) -> Option<Box<dyn Iterator<Item = &'a [u8]> + 'a>> {
    const HALVES: &[u8; 16] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    let bits = encoding.element_bits();
    // An element of a block is nothing without its scale.
    if encoding.blocks().is_some() {
        return None;
    }
    if bits >= 8 {
        return Some(Box::new(bytes.chunks(bits / 8)));
    }
    let count = shape::count(&ty.shape).ok().filter(|&count| encoding.bytes(count) == bytes.len())?;
    if count % 2 == 1 && bytes.last().is_some_and(|&last| last > 15) {
        return None;
    }
    let halves = bytes.iter().flat_map(|&byte| [byte & 15, byte >> 4]).take(count);
    Some(Box::new(halves.map(|half| std::slice::from_ref(&HALVES[usize::from(half)]))))
}

/// The bytes of elements that [`elements`] has taken apart.
fn joined(encoding: Encoding, bytes: Vec<u8>) -> Bytes {
    if encoding.element_bits() >= 8 {
        return bytes.into();
    }
    let pair = |pair: &[u8]| pair[0] | pair.get(1).map_or(0, |high| high << 4);
    bytes.chunks(2).map(pair).collect::<Vec<u8>>().into()
}

/// The number that means exactly these bytes; nothing where there is none (a NaN, a Bool of 2).
fn number(encoding: Encoding, bytes: &[u8]) -> Option<String> {
    let text = match (encoding, bytes) {
        (Encoding::F64, _) => format!("{:?}", f64::from_le_bytes(bytes.try_into().ok()?)),
        (Encoding::F32, _) => format!("{:?}", f32::from_le_bytes(bytes.try_into().ok()?)),
        (Encoding::F16, _) => format!("{:?}", f16::from_le_bytes(bytes.try_into().ok()?).to_f32()),
        (Encoding::Bf16, _) => format!("{:?}", bf16::from_le_bytes(bytes.try_into().ok()?).to_f32()),
        (Encoding::I64, _) => i64::from_le_bytes(bytes.try_into().ok()?).to_string(),
        (Encoding::I32, _) => i32::from_le_bytes(bytes.try_into().ok()?).to_string(),
        (Encoding::I16, _) => i16::from_le_bytes(bytes.try_into().ok()?).to_string(),
        (Encoding::I8, &[byte]) => byte.cast_signed().to_string(),
        (Encoding::U8 | Encoding::Bool, &[byte]) => byte.to_string(),
        (Encoding::F8E4M3, &[byte]) => format!("{:?}", F8(byte).to_f32()),
        (Encoding::I4, &[half]) => ((half << 4).cast_signed() >> 4).to_string(),
        (Encoding::U4, &[half]) => half.to_string(),
        (
            Encoding::I8
            | Encoding::U8
            | Encoding::Bool
            | Encoding::F8E4M3
            | Encoding::I4
            | Encoding::U4
            | Encoding::Int4
            | Encoding::Mxfp4,
            _,
        ) => return None,
    };
    (encode(encoding, &text).ok()? == bytes).then_some(text)
}

/// Bytes of a number; an error where the encoding does not hold it. Reals are rounded to the nearest.
fn encode(encoding: Encoding, text: &str) -> Result<Vec<u8>, String> {
    fn read<T: std::str::FromStr>(encoding: Encoding, text: &str) -> Result<T, String> {
        text.parse().map_err(|_| format!("{text} is no {}", encoding.name()))
    }
    if text == "NaN" {
        return Err("NaN does not say which".to_owned());
    }
    Ok(match encoding {
        Encoding::F64 => read::<f64>(encoding, text)?.to_le_bytes().to_vec(),
        Encoding::F32 => read::<f32>(encoding, text)?.to_le_bytes().to_vec(),
        Encoding::F16 => f16::from_f64(read(encoding, text)?).to_le_bytes().to_vec(),
        Encoding::Bf16 => bf16::from_f64(read(encoding, text)?).to_le_bytes().to_vec(),
        Encoding::I64 => read::<i64>(encoding, text)?.to_le_bytes().to_vec(),
        Encoding::I32 => read::<i32>(encoding, text)?.to_le_bytes().to_vec(),
        Encoding::I16 => read::<i16>(encoding, text)?.to_le_bytes().to_vec(),
        Encoding::I8 => read::<i8>(encoding, text)?.to_le_bytes().to_vec(),
        Encoding::U8 => vec![read(encoding, text)?],
        Encoding::F8E4M3 => vec![F8::from_f32(read(encoding, text)?).0],
        Encoding::I4 => match read::<i8>(encoding, text)? {
            value @ -8..=7 => vec![value.cast_unsigned() & 15],
            _ => return Err(format!("{text} is no i4")),
        },
        Encoding::U4 => match read::<u8>(encoding, text)? {
            value @ 0..=15 => vec![value],
            _ => return Err(format!("{text} is no u4")),
        },
        Encoding::Int4 | Encoding::Mxfp4 => {
            return Err(format!("{} is written as bytes: elements, and then scales", encoding.name()));
        }
        Encoding::Bool => match text {
            "0" | "1" => vec![u8::from(text == "1")],
            _ => return Err(format!("{text} is no bool: write 0 or 1")),
        },
    })
}

/// The constant that a text means. A digest is looked up; where nobody knows its bytes, they are absent.
pub(super) fn parse(
    encoding: Encoding,
    ty: &TensorType,
    content: &Spanned<Content<'_>>,
    lookup: &mut Lookup<'_>,
) -> Result<Constant, Problem> {
    let whole = |message: String| Problem { span: content.span.clone(), message };
    let encode = |number: &Spanned<&str>| {
        encode(encoding, number.value).map_err(|message| Problem { span: number.span.clone(), message })
    };
    let elements = shape::count(&ty.shape).map_err(whole)?;
    let bytes: Option<Bytes> = match &content.value {
        Content::Absent => None,
        Content::Splat(number) => {
            let bytes = encode(number)?;
            if elements.saturating_mul(bytes.len()) > SPLAT_BYTES {
                return Err(whole(format!(
                    "a splat has at most {SPLAT_BYTES} bytes; write a small one and expand it"
                )));
            }
            Some(joined(encoding, bytes.repeat(elements)))
        }
        Content::List(list) => {
            let bytes: Vec<Vec<u8>> = list.iter().map(encode).collect::<Result<_, _>>()?;
            Some(joined(encoding, bytes.concat()))
        }
        Content::Hex(text) => {
            let text = unquote(text).map_err(whole)?;
            let pairs = text.as_bytes().chunks(2).map(|pair| {
                let pair = str::from_utf8(pair).ok().filter(|p| p.len() == 2 && !p.starts_with('+'))?;
                u8::from_str_radix(pair, 16).ok()
            });
            let bytes: Option<Vec<u8>> = pairs.collect();
            Some(
                bytes
                    .ok_or_else(|| whole("bytes are written as pairs of hexadecimal digits".to_owned()))?
                    .into(),
            )
        }
        Content::Blake3(text) => {
            let digest = unquote(text).map_err(whole)?;
            if digest.len() != 64 || !digest.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(whole("a digest has 64 hexadecimal digits".to_owned()));
            }
            lookup(&digest)
        }
    };
    Ok(Constant { encoding, bytes })
}

//! NumPy archives: named arrays in and out.
//!
//! `npyz` opens the archive and writes arrays. An array's header is read here, since a damaged one must not make us
//! multiply out an absurd shape or set aside memory for it.

use std::io::{Cursor, Read, Write};
use std::path::Path;

use bytes::Bytes;
use npyz::WriterBuilder;
use npyz::npz::{NpzArchive, NpzWriter};
use npyz::zip::write::FileOptions;
use simulator::Array as Data;

use crate::failure::Failure;

/// An array: its shape and its elements, in the host's types (other floats are converted, other integers saturated to 32 bits).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    /// Axis lengths.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub data: Data,
}

/// Most bytes of one array's header.
const MAX_HEADER_BYTES: usize = 1 << 16;

/// Reads every array of an archive, in its order.
pub(crate) fn read(path: &Path, bytes: Bytes) -> Result<Vec<(String, Array)>, Failure> {
    let bad = |what: String| {
        Failure::input(format!("error[bad-npz]: {}: {what}\n  write it with numpy.savez", path.display()))
    };
    let mut archive =
        NpzArchive::new(Cursor::new(bytes)).map_err(|error| bad(format!("not an npz archive: {error}")))?;
    let names: Vec<String> = archive.array_names().map(str::to_owned).collect();
    let mut arrays = Vec::new();
    for name in names {
        let of = |what: String| bad(format!("array `{name}`: {what}"));
        let entry =
            archive.zip_archive().by_name(&format!("{name}.npy")).map_err(|error| of(error.to_string()))?;
        arrays.push((name.clone(), array(entry).map_err(of)?));
    }
    arrays.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = arrays.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(bad(format!("array `{}` occurs twice", pair[0].0)));
    }
    Ok(arrays)
}

/// What an array's header says.
#[derive(Debug, PartialEq)]
struct Header {
    descr: String,
    shape: Vec<usize>,
}

fn array(mut entry: impl Read) -> Result<Array, String> {
    let text = header_text(&mut entry)?;
    let header = header(&text)?;
    let element_bytes: usize = match header.descr.trim_start_matches(['<', '|', '=']) {
        "f2" | "i2" | "u2" => 2,
        "f4" | "i4" | "u4" => 4,
        "f8" | "i8" | "u8" => 8,
        "b1" | "i1" | "u1" => 1,
        _ => {
            return Err(format!(
                "element type `{}` is not supported; use float32, int32 or bool",
                header.descr
            ));
        }
    };
    let elements = header.shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
    let expected = elements.and_then(|elements| elements.checked_mul(element_bytes));
    let expected = expected.ok_or_else(|| format!("shape {:?} is too large", header.shape))?;
    // Memory is taken as bytes arrive, never on the header's word. Reading on to the end makes the archive check its sum.
    let mut bytes = Vec::new();
    entry.take(expected as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() != expected {
        let relation = if bytes.len() < expected { "fewer" } else { "more" };
        return Err(format!("shape {:?} takes {expected} bytes, and there are {relation}", header.shape));
    }
    let data = elements_of(&header.descr, &bytes);
    Ok(Array { shape: header.shape, data })
}

fn header_text(entry: &mut impl Read) -> Result<String, String> {
    let short = |_| "it is cut short".to_owned();
    let mut magic = [0; 8];
    entry.read_exact(&mut magic).map_err(short)?;
    if &magic[..6] != b"\x93NUMPY" {
        return Err("it is no NumPy array".to_owned());
    }
    let mut length = [0; 4];
    match magic[6] {
        1 => entry.read_exact(&mut length[..2]).map_err(short)?,
        2 | 3 => entry.read_exact(&mut length).map_err(short)?,
        version => return Err(format!("format version {version} is not known")),
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_HEADER_BYTES {
        return Err(format!("its header claims {length} bytes"));
    }
    let mut text = vec![0; length];
    entry.read_exact(&mut text).map_err(short)?;
    String::from_utf8(text).map_err(|_| "its header is not text".to_owned())
}

/// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
fn header(text: &str) -> Result<Header, String> {
    let value = |key: &str| {
        let quoted = format!("'{key}':");
        let at = text.find(&quoted).ok_or_else(|| format!("its header has no `{key}`"))?;
        Ok::<&str, String>(text[at + quoted.len()..].trim_start())
    };
    let descr = value("descr")?.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
    let (descr, _) = descr.ok_or("its element type is a record; use a plain array")?;
    let order = value("fortran_order")?;
    if order.starts_with("True") {
        return Err("it is in Fortran order; save numpy.ascontiguousarray of it".to_owned());
    }
    if !order.starts_with("False") {
        return Err("its order is neither True nor False".to_owned());
    }
    let shape = value("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let (shape, _) = shape.ok_or("its shape is no tuple")?;
    let lengths = shape.split(',').map(str::trim).filter(|length| !length.is_empty());
    let shape: Result<Vec<usize>, String> = lengths
        .map(|length| length.parse().map_err(|_| format!("axis length `{length}` is no number")))
        .collect();
    Ok(Header { descr: descr.to_owned(), shape: shape? })
}

fn elements_of(descr: &str, bytes: &[u8]) -> Data {
    fn each<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.chunks_exact(N).map(|chunk| convert(chunk.try_into().expect("chunks are exact"))).collect()
    }
    let narrow = |value: i64| value.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
    match descr.trim_start_matches(['<', '|', '=']) {
        "f2" => Data::F32(each(bytes, |raw| half::f16::from_le_bytes(raw).to_f32())),
        "f4" => Data::F32(each(bytes, f32::from_le_bytes)),
        "f8" => Data::F32(each(bytes, |raw| f64::from_le_bytes(raw) as f32)),
        "i1" => Data::I32(each(bytes, |raw| i8::from_le_bytes(raw).into())),
        "u1" => Data::I32(each(bytes, |raw: [u8; 1]| raw[0].into())),
        "i2" => Data::I32(each(bytes, |raw| i16::from_le_bytes(raw).into())),
        "u2" => Data::I32(each(bytes, |raw| u16::from_le_bytes(raw).into())),
        "i4" => Data::I32(each(bytes, i32::from_le_bytes)),
        "u4" => Data::I32(each(bytes, |raw| narrow(u32::from_le_bytes(raw).into()))),
        "u8" => Data::I32(each(bytes, |raw| u64::from_le_bytes(raw).min(i32::MAX as u64) as i32)),
        "b1" => Data::Bool(each(bytes, |raw: [u8; 1]| raw[0] != 0)),
        _ => Data::I32(each(bytes, |raw| narrow(i64::from_le_bytes(raw)))),
    }
}

/// An archive of these arrays, byte for byte a function of them: float32, int64 and bool, as ONNX Runtime returns them.
pub(crate) fn write(arrays: &[(String, Array)]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let mut archive = NpzWriter::new(&mut bytes);
    for (name, array) in arrays {
        let shape: Vec<u64> = array.shape.iter().map(|&length| length as u64).collect();
        let options = FileOptions::default()
            .compression_method(npyz::zip::CompressionMethod::Stored)
            // Not the time of writing: the same arrays give the same bytes.
            .last_modified_time(npyz::zip::DateTime::default());
        macro_rules! put {
            ($type:ty, $elements:expr) => {{
                let mut writer =
                    archive.array::<$type>(name, options)?.default_dtype().shape(&shape).begin_nd()?;
                writer.extend($elements)?;
                writer.finish()?;
            }};
        }
        match &array.data {
            Data::F32(data) => put!(f32, data.iter().copied()),
            Data::I32(data) => put!(i64, data.iter().map(|&value| i64::from(value))),
            Data::Bool(data) => put!(bool, data.iter().copied()),
        }
    }
    archive.zip_writer().finish()?.flush()?;
    drop(archive);
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_survive_writing_and_reading() {
        let arrays = vec![
            ("flags".to_owned(), Array { shape: vec![3], data: Data::Bool(vec![true, false, true]) }),
            ("ids".to_owned(), Array { shape: vec![1, 2], data: Data::I32(vec![-7, i32::MAX]) }),
            ("scalar".to_owned(), Array { shape: vec![], data: Data::F32(vec![1.5]) }),
            ("x.0/y".to_owned(), Array { shape: vec![2, 0], data: Data::F32(vec![]) }),
        ];
        let bytes = write(&arrays).expect("memory takes everything");
        assert_eq!(bytes, write(&arrays).expect("again"));
        assert_eq!(read(Path::new("a.npz"), bytes.into()).expect("sound"), arrays);
    }

    #[test]
    fn headers_are_read_or_refused() {
        let good = header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  \n").expect("sound");
        assert_eq!(good, Header { descr: "<f4".to_owned(), shape: vec![2, 3] });
        let bad = [
            ("{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }", "Fortran"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", "record"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", "`-2` is no number"),
            ("{'descr': '<f4', 'fortran_order': False}", "no `shape`"),
        ];
        for (text, expected) in bad {
            let error = header(text).expect_err(text);
            assert!(error.contains(expected), "{error}");
        }
        let huge = "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((huge.len() as u16).to_le_bytes());
        bytes.extend(huge.as_bytes());
        assert_eq!(array(&bytes[..]).expect_err("huge"), "shape [4294967296, 4294967296] is too large");
    }
}

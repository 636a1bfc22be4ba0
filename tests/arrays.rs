//! Arrays of npz files, and how far those that a run wrote are from those that it should have written.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use npyz::npz::NpzArchive;

/// An array, its elements as real numbers, which hold what tests have but for large integers.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its elements.
    pub values: Vec<f64>,
}

/// The arrays of a file, by name.
///
/// # Panics
///
/// Where there is no such file, or it is damaged.
pub fn read(path: &Path) -> BTreeMap<String, Array> {
    let mut archive = NpzArchive::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let names: Vec<String> = archive.array_names().map(str::to_owned).collect();
    let mut read = |name: String| {
        let array = archive.by_name(&name).expect("readable").expect("named");
        let shape = array.shape().to_vec();
        (name, Array { shape, values: numbers(array) })
    };
    names.into_iter().map(&mut read).collect()
}

fn numbers(array: npyz::NpyFile<impl Read>) -> Vec<f64> {
    let kind = array.dtype().descr();
    let kind = kind.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
    macro_rules! of {
        ($type:ty) => {
            array.into_vec::<$type>().expect("readable").into_iter().map(|value| value as f64).collect()
        };
    }
    match kind.as_str() {
        "f4" => of!(f32),
        "f8" => of!(f64),
        "i1" => of!(i8),
        "i2" => of!(i16),
        "i4" => of!(i32),
        "i8" => of!(i64),
        "u1" => of!(u8),
        "u2" => of!(u16),
        "u4" => of!(u32),
        "u8" => of!(u64),
        "f2" => array.into_vec::<half::f16>().expect("readable").into_iter().map(f64::from).collect(),
        "b1" => {
            array.into_vec::<bool>().expect("readable").into_iter().map(|x| f64::from(u8::from(x))).collect()
        }
        kind => panic!("an array of {kind}"),
    }
}

/// The greatest difference over the greatest magnitude of each output that is wanted; what is wrong where that makes no sense.
///
/// # Errors
///
/// Names the output that is missing, or has another shape.
pub fn errors(
    ours: &BTreeMap<String, Array>,
    wanted: &BTreeMap<String, Array>,
) -> Result<BTreeMap<String, f64>, String> {
    let error = |(name, wanted): (&String, &Array)| {
        let ours = ours.get(name).ok_or_else(|| format!("no output `{name}`"))?;
        if ours.shape != wanted.shape {
            return Err(format!("`{name}` has shape {:?}, not {:?}", ours.shape, wanted.shape));
        }
        let magnitude = wanted.values.iter().fold(1e-30, |most: f64, value| most.max(value.abs()));
        let differences = wanted.values.iter().zip(&ours.values).map(|(a, b)| (a - b).abs());
        // Written so that NaN fails.
        let worst = differences.fold(0.0, |most: f64, next| if next <= most { most } else { next });
        Ok((name.clone(), worst / magnitude))
    };
    wanted.iter().map(error).collect()
}

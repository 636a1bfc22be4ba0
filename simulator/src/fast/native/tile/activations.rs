//! Activations as kernels take them: a few vectors side by side, without the lanes in which all of them are zero.

/// `V` vectors.
pub(super) struct Inputs<T, const V: usize> {
    /// The line of weights that each of `values` is for.
    pub(super) lines: Vec<u32>,
    /// For each line, the activations of all vectors.
    pub(super) values: Vec<[T; V]>,
    /// Whether each vector has only finite numbers.
    pub(super) finite: [bool; V],
}

/// F16 vectors. A lane of zeros adds nothing to sums that start at +0, as long as all weights are finite: then it may be left out.
pub(super) fn halves<const V: usize>(vectors: &[[&[u8]; 2]], lanes: usize, skip: bool) -> Inputs<f64, V> {
    let mut inputs =
        Inputs { lines: Vec::with_capacity(lanes), values: Vec::with_capacity(lanes), finite: [true; V] };
    let planes: [[&[u8]; 2]; V] = std::array::from_fn(|v| vectors[v].map(|plane| &plane[..lanes]));
    // All numbers first, by vector instructions if the compiler finds any.
    let numbers: [Vec<f64>; V] = planes.map(|[low, high]| {
        low.iter().zip(high).map(|(low, high)| to_f64(u16::from_le_bytes([*low, *high]))).collect()
    });
    for (finite, numbers) in inputs.finite.iter_mut().zip(&numbers) {
        // Infinities and NaN times zero are NaN.
        *finite = numbers.iter().fold(0.0, |sum, number| sum + 0.0 * number) == 0.0;
    }
    let mut columns = numbers.each_ref().map(|numbers| numbers.iter());
    for lane in 0..lanes as u32 {
        let values: [f64; V] = std::array::from_fn(|v| columns[v].next().copied().unwrap_or(0.0));
        if !(skip && values.iter().all(|value| *value == 0.0)) {
            inputs.lines.push(lane);
            inputs.values.push(values);
        }
    }
    inputs
}

/// I8 vectors: of each pair of lanes the two activations, as 16-bit integers in one word, the first in the low half.
pub(super) fn bytes<const V: usize>(vectors: &[[&[u8]; 2]], lanes: usize) -> Inputs<i32, V> {
    let mut inputs =
        Inputs { lines: Vec::with_capacity(lanes), values: Vec::with_capacity(lanes), finite: [true; V] };
    let planes: [&[u8]; V] = std::array::from_fn(|v| &vectors[v][0][..lanes]);
    for line in 0..lanes.div_ceil(2) {
        let pair = planes.map(|plane| {
            let at = |lane: usize| i32::from(plane.get(lane).copied().unwrap_or(0) as i8);
            at(2 * line) & 0xffff | at(2 * line + 1) << 16
        });
        if pair.iter().any(|pair| *pair != 0) {
            inputs.lines.push(line as u32);
            inputs.values.push(pair);
        }
    }
    inputs
}

/// The number with these bits, as f64; without branches, and without subnormal numbers on the way, which may be slow.
#[inline(always)]
pub(super) fn to_f64(bits: u16) -> f64 {
    let magnitude = u64::from(bits & 0x7fff);
    // Exponents of binary16 lie 1008 lower than those of f64.
    let normal = (magnitude << 42) + (1008 << 52);
    // A subnormal's bits under the exponent of 2^-14, with that taken off again.
    let leading = 1009u64 << 52;
    let small = f64::from_bits((magnitude << 42) + leading) - f64::from_bits(leading);
    let special = (magnitude << 42) | (0x7ff << 52);
    let value = if magnitude < 0x0400 { small.to_bits() } else { normal };
    let value = if magnitude >= 0x7c00 { special } else { value };
    f64::from_bits(value | u64::from(bits & 0x8000) << 48)
}

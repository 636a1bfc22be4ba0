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
    for lane in 0..lanes {
        let bits: [u16; V] =
            std::array::from_fn(|v| u16::from_le_bytes([planes[v][0][lane], planes[v][1][lane]]));
        if skip && bits.iter().fold(0, |any, bits| any | bits) & 0x7fff == 0 {
            continue;
        }
        for (finite, bits) in inputs.finite.iter_mut().zip(bits) {
            *finite &= bits & 0x7c00 != 0x7c00;
        }
        inputs.lines.push(lane as u32);
        inputs.values.push(bits.map(to_f64));
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

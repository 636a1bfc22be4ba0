//! Activations as kernels take them: a few vectors side by side, without the lanes at both ends in which all of them are zero.

/// `V` vectors.
pub(super) struct Inputs<T, const V: usize> {
    /// The line of weights that the first of `values` is for; the others follow.
    pub(super) first: usize,
    /// For each line, the activations of all vectors.
    pub(super) values: Vec<[T; V]>,
    /// Whether each vector has only finite numbers.
    pub(super) finite: [bool; V],
}

impl<T: Copy + Default + PartialEq, const V: usize> Inputs<T, V> {
    /// Drops the lines at both ends in which all activations are zero.
    #[inline(always)]
    fn trim(&mut self) {
        let zero = [T::default(); V];
        let end = self.values.iter().rposition(|values| *values != zero).map_or(0, |last| last + 1);
        self.values.truncate(end);
        self.first = self.values.iter().position(|values| *values != zero).unwrap_or(0);
        self.values.drain(..self.first);
    }

    /// The activations that meet lines `lines`, and which of those lines it is that they meet.
    pub(super) fn within(&self, lines: std::ops::Range<usize>) -> (std::ops::Range<usize>, &[[T; V]]) {
        let first = self.first.max(lines.start);
        let end = (self.first + self.values.len()).min(lines.end);
        if end <= first {
            return (0..0, &[]);
        }
        (
            first - lines.start..end - lines.start,
            self.values.get(first - self.first..end - self.first).unwrap_or(&[]),
        )
    }
}

impl<const V: usize> Inputs<f64, V> {
    /// Has a vector an infinity or NaN in a line that is not one of these?
    pub(super) fn special_outside(&self, vector: usize, lines: &std::ops::Range<usize>) -> bool {
        let mut numbered = (self.first..).zip(&self.values);
        numbered.any(|(line, values)| !values[vector].is_finite() && !lines.contains(&line))
    }
}

/// F16 vectors. A lane of zeros adds nothing to sums that start at +0, as long as all weights are finite: then those at the ends are left out.
#[inline(always)]
pub(super) fn halves<const V: usize>(vectors: &[[&[u8]; 2]], lanes: usize, skip: bool) -> Inputs<f64, V> {
    let mut inputs = Inputs { first: 0, values: vec![[0.0; V]; lanes], finite: [true; V] };
    for (vector, finite) in inputs.finite.iter_mut().enumerate() {
        let [low, high] = vectors[vector].map(|plane| &plane[..lanes]);
        let mut special = 0;
        for ((values, low), high) in inputs.values.iter_mut().zip(low).zip(high) {
            let bits = u16::from_le_bytes([*low, *high]);
            special |= u16::from(bits & 0x7c00 == 0x7c00);
            values[vector] = to_f64(bits);
        }
        *finite = special == 0;
    }
    if skip {
        inputs.trim();
    }
    inputs
}

/// F8 vectors: of each pair of lanes the two activations, times 2^8, which the weights lack; a NaN is some number.
#[inline(always)]
pub(super) fn quarters<const V: usize>(vectors: &[[&[u8]; 2]], lanes: usize) -> Inputs<[f64; 2], V> {
    let values = vec![[[0.0; 2]; V]; lanes.div_ceil(2)];
    let mut inputs = Inputs { first: 0, values, finite: [true; V] };
    for (vector, finite) in inputs.finite.iter_mut().enumerate() {
        let plane = &vectors[vector][0][..lanes];
        let mut special = 0;
        for (values, pair) in inputs.values.iter_mut().zip(plane.chunks(2)) {
            for (value, byte) in values[vector].iter_mut().zip(pair) {
                special |= u8::from(byte & 0x7f == 0x7f);
                *value = to_f64(as_half(*byte)) * 65536.0;
            }
        }
        *finite = special == 0;
    }
    inputs.trim();
    inputs
}

/// The bits of F8 where binary16 has its exponent and mantissa: its number, times 2^-8, but for NaN.
#[inline(always)]
pub(super) fn as_half(bits: u8) -> u16 {
    u16::from(bits & 0x80) << 8 | u16::from(bits & 0x7f) << 7
}

/// I8 vectors: of each pair of lanes the two activations, as 16-bit integers in one word, the first in the low half.
#[inline(always)]
pub(super) fn bytes<const V: usize>(vectors: &[[&[u8]; 2]], lanes: usize) -> Inputs<i32, V> {
    let mut inputs = Inputs { first: 0, values: vec![[0; V]; lanes.div_ceil(2)], finite: [true; V] };
    for (vector, [plane, _]) in vectors.iter().enumerate().take(V) {
        for (values, pair) in inputs.values.iter_mut().zip(plane[..lanes].chunks(2)) {
            let at = |lane: usize| i32::from(pair.get(lane).copied().unwrap_or(0) as i8);
            values[vector] = at(0) & 0xffff | at(1) << 16;
        }
    }
    inputs.trim();
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

//! Weights of four bits, in blocks of 32 along the axis that products sum over, each with a scale.

use half::f16;
use isa::numeric;
use isa::stream::Format;

/// Elements of a block.
pub const BLOCK: usize = 32;

/// The greatest number of e2m1 is 6, which is 1.5 · 2^2.
const GREATEST_EXPONENT: i32 = 2;
/// Powers of two that binary16 has.
const POWERS: std::ops::RangeInclusive<i32> = -24..=15;
/// Bias of a scale of eight bits, and of a binary32 number.
const BIAS: i32 = 127;
/// How near a whole number an element over its scale must be to count as one.
const EXACT: f32 = 1e-4;

/// How the elements of a block are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Few {
    /// Integers from −8 to 7; a scale in binary16.
    Int4,
    /// The Open Compute Project's MXFP4: e2m1, and a power of two, by its exponent plus 127 in a byte.
    Mxfp4,
}

impl Few {
    /// Both, with their names in the text form.
    pub const ALL: [(Few, &'static str); 2] = [(Few::Int4, "int4"), (Few::Mxfp4, "mxfp4")];

    /// Name in the text form.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The format in which the planes load such weights.
    pub fn format(self) -> Format {
        match self {
            Few::Int4 => Format::I4,
            Few::Mxfp4 => Format::F4,
        }
    }

    /// Bytes of a scale, as it is published.
    pub fn scale_bytes(self) -> usize {
        match self {
            Few::Int4 => 2,
            Few::Mxfp4 => 1,
        }
    }

    /// A published scale. What is beyond binary16 becomes the nearest power of two that it has.
    fn scale(self, bytes: &[u8]) -> f16 {
        match (self, bytes) {
            (Few::Int4, &[low, high]) => f16::from_le_bytes([low, high]),
            (Few::Mxfp4, &[exponent]) => power(i32::from(exponent) - BIAS),
            _ => f16::ZERO,
        }
    }

    /// What a code of four bits means, by a scale of 1.
    fn value(self, code: u8) -> f32 {
        f16::from_bits(numeric::scaled(self.format(), code, f16::ONE.to_bits())).to_f32()
    }

    /// A block's scale, and the codes that come nearest to its elements. What was written in such blocks before is found again.
    pub fn quantize(self, block: &[f32]) -> (f16, Vec<u8>) {
        let most = block.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
        if most == 0.0 || !most.is_finite() {
            return (f16::ONE, vec![0; block.len()]);
        }
        let scale = match self {
            Few::Int4 => {
                let whole = |scale: &f16| {
                    let near = |number: f32| {
                        (number - number.round()).abs() < EXACT && (-8.0..=7.0).contains(&number.round())
                    };
                    *scale > f16::ZERO && block.iter().all(|x| near(x / scale.to_f32()))
                };
                let known = (1..=8u8).map(|n| f16::from_f32(most / f32::from(n))).find(whole);
                known.unwrap_or_else(|| {
                    let seventh = f16::from_f32((most / 7.0).min(f16::MAX.to_f32()));
                    if seventh == f16::ZERO { f16::MIN_POSITIVE_SUBNORMAL } else { seventh }
                })
            }
            Few::Mxfp4 => power((most.to_bits() >> 23).cast_signed() - BIAS - GREATEST_EXPONENT),
        };
        (scale, block.iter().map(|x| self.code(x / scale.to_f32())).collect())
    }

    /// The code of the nearest number; ties go to even mantissas, and what is beyond is cut off.
    fn code(self, x: f32) -> u8 {
        match self {
            Few::Int4 => (x.round_ties_even().clamp(-8.0, 7.0) as i8 & 0xf).cast_unsigned(),
            Few::Mxfp4 => {
                let far = |code: &u8| (self.value(*code) - x.abs()).abs();
                let nearer = |a: &u8, b: &u8| far(a).total_cmp(&far(b)).then((a % 2).cmp(&(b % 2)));
                (0..8).min_by(nearer).unwrap_or(0) | if x < 0.0 { 8 } else { 0 }
            }
        }
    }
}

/// The power of two in binary16, or the nearest that it has.
fn power(exponent: i32) -> f16 {
    let exponent = exponent.clamp(*POWERS.start(), *POWERS.end());
    f16::from_f32(f32::from_bits(((exponent + BIAS) as u32) << 23))
}

/// The elements of a matrix [.., inputs, outputs] in blocks of inputs: codes of four bits, two a byte, and then scales.
pub fn decode(few: Few, bytes: &[u8], shape: &[usize]) -> Vec<f32> {
    let elements: usize = shape.iter().product();
    let [.., inputs, outputs] = *shape else { return Vec::new() };
    let (codes, scales) = bytes.split_at(elements / 2);
    let element = |at: usize| {
        let (row, column) = (at / outputs, at % outputs);
        let block = row / inputs * (inputs / BLOCK) + row % inputs / BLOCK;
        let from = (block * outputs + column) * few.scale_bytes();
        few.value(codes[at / 2] >> (at % 2 * 4)) * few.scale(&scales[from..][..few.scale_bytes()]).to_f32()
    };
    (0..elements).map(element).collect()
}

/// Elements in rows of so many, as blocks of each row hold them; the planes round them to binary16, as any weights.
pub fn rounded(few: Few, elements: &[f32], columns: usize) -> Vec<f32> {
    let block = |block: &[f32]| {
        let (scale, codes) = few.quantize(block);
        codes.into_iter().map(move |code| few.value(code) * scale.to_f32())
    };
    elements.chunks(columns.max(1)).flat_map(|row| row.chunks(BLOCK).flat_map(block)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of every kind that were written once are found again, whatever their greatest element.
    #[test]
    fn what_was_written_is_found_again() {
        for (few, scales) in [
            (Few::Int4, [0x1234u16, 0x3c00, 0x0401, 0x6fff].map(|bits| bits.to_le_bytes().to_vec())),
            (Few::Mxfp4, [104u8, 110, 127, 140].map(|exponent| vec![exponent])),
        ] {
            for scale in scales.map(|bytes| few.scale(&bytes)) {
                for most in (0..16).map(|code| few.value(code).abs() * scale.to_f32()) {
                    let codes = (0..16).filter(|&code| few.value(code).abs() * scale.to_f32() <= most);
                    let values = |scale: f16, codes: &[u8]| -> Vec<f32> {
                        codes.iter().map(|&code| few.value(code) * scale.to_f32()).collect()
                    };
                    let block = values(scale, &codes.collect::<Vec<u8>>());
                    let (found, codes) = few.quantize(&block);
                    assert_eq!(values(found, &codes), block, "{few:?} by {scale}");
                }
            }
        }
    }

    #[test]
    fn others_come_near() {
        let block: Vec<f32> = (0..32).map(|i| (i as f32 * 0.37).sin()).collect();
        let most = block.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        // Half of a seventh; a quarter, where 6 is the greatest and 8 is meant.
        for (few, steps) in [(Few::Int4, 14.0), (Few::Mxfp4, 4.0)] {
            for (x, near) in block.iter().zip(rounded(few, &block, 32)) {
                assert!((near - x).abs() <= 1.001 * most / steps, "{few:?}: {x} became {near}");
            }
        }
        assert_eq!(Few::Int4.quantize(&[0.0; 2]), (f16::ONE, vec![0; 2]));
        assert_eq!(Few::Mxfp4.quantize(&[f32::NAN, f32::INFINITY]).1, [0, 0]);
    }

    #[test]
    fn ties_go_to_even_mantissas() {
        let of = |x: f32| Few::Mxfp4.value(Few::Mxfp4.code(x));
        let near = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, -5.0, 99.0].map(of);
        assert_eq!(near, [0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, -4.0, 6.0]);
    }

    /// Each element by the scale of its block of inputs.
    #[test]
    fn published_matrices_are_decoded() {
        let codes: Vec<u8> = (0..64).map(|row| if row % 2 == 0 { 0x21 } else { 0xf3 }).collect();
        let bytes = [codes, [126, 127, 128, 129].to_vec()].concat();
        let elements = decode(Few::Mxfp4, &bytes, &[64, 2]);
        assert_eq!(elements[..4], [0.25, 1.0, 0.75, -6.0]);
        assert_eq!(elements[64..68], [1.0, 4.0, 3.0, -24.0]);
    }
}

//! Eight-bit floating point: OCP e4m3fn, one sign bit, four of exponent (bias 7), three of mantissa.
//!
//! Its greatest value is 448. There is no infinity; the only NaN has all bits but the sign set.

/// A number of eight bits, by its bits. Equal where the bits are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct F8(pub u8);

/// Bits of NaN, and of 448.
const NAN: u8 = 0x7f;
const MAX: u8 = 0x7e;

impl F8 {
    /// The nearest number, ties to even. What is beyond ±448 (infinity too) becomes ±448; NaN stays NaN.
    pub fn from_f32(value: f32) -> F8 {
        let size = value.abs();
        let bits = if value.is_nan() {
            NAN
        } else if size >= 448.0 {
            MAX
        } else if size < 0.015_625 {
            // Below 2^-6 numbers are multiples of 2^-9, and the eighth of them is 2^-6 itself.
            (size * 512.0).round_ties_even() as u8
        } else {
            // The exponent's bias changes from 127 to 7; 20 bits of the mantissa are rounded away, into the exponent if need be.
            let bits = size.to_bits();
            let rounded = bits + 0x7_ffff + (bits >> 20 & 1);
            ((rounded >> 20) - (120 << 3)) as u8
        };
        F8(bits | if value.is_sign_negative() { 0x80 } else { 0 })
    }

    /// Its value; every one is a binary32 number.
    pub fn to_f32(self) -> f32 {
        let (exponent, mantissa) = (self.0 >> 3 & 15, self.0 & 7);
        let size = match (exponent, mantissa) {
            (15, 7) => f32::NAN,
            (0, mantissa) => f32::from(mantissa) / 512.0,
            (exponent, mantissa) => {
                f32::from_bits((u32::from(exponent) + 120) << 23 | u32::from(mantissa) << 20)
            }
        };
        if self.0 & 0x80 == 0 { size } else { -size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let table = [
            (0x00, 0.0),
            (0x01, 0.001_953_125),
            (0x07, 0.013_671_875),
            (0x08, 0.015_625),
            (0x38, 1.0),
            (0x39, 1.125),
            (0x7e, 448.0),
            (0xb8, -1.0),
            (0xfe, -448.0),
        ];
        for (bits, value) in table {
            assert_eq!(F8(bits).to_f32(), value, "{bits:#x}");
            assert_eq!(F8::from_f32(value), F8(bits), "{value}");
        }
        assert!(F8(0x7f).to_f32().is_nan() && F8(0xff).to_f32().is_nan());
        assert_eq!(F8::from_f32(f32::NAN), F8(0x7f));
    }

    /// Every number comes back; half-way between neighbours goes to the even one, a little off to the nearer.
    #[test]
    fn nearest_even() {
        for bits in (0u8..0x7e).flat_map(|bits| [bits, bits | 0x80]) {
            let (this, next) = (F8(bits).to_f32(), F8(bits + 1).to_f32());
            assert_eq!(F8::from_f32(this), F8(bits));
            let half = (this + next) / 2.0;
            assert_eq!(F8::from_f32(half), F8(bits + (bits & 1)), "between {this} and {next}");
            assert_eq!(F8::from_f32(half + (this - half) / 1024.0), F8(bits));
            assert_eq!(F8::from_f32(half + (next - half) / 1024.0), F8(bits + 1));
        }
    }

    #[test]
    fn saturates() {
        for value in [449.0, 464.0, 1e30, f32::INFINITY] {
            assert_eq!([F8::from_f32(value), F8::from_f32(-value)], [F8(0x7e), F8(0xfe)]);
        }
        assert_eq!(F8::from_f32(-0.0), F8(0x80));
        assert_eq!(F8::from_f32(1e-30), F8(0));
    }
}

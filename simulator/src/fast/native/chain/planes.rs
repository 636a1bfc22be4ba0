//! Between the byte planes of stream groups and 32-bit lanes; `isa::numeric::{widen, narrow}` say what each format means.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use isa::numeric::NAN;
use isa::stream::Format;

use super::build::{Block, Emit, flags};

/// An address as base and offset.
type Address = (Value, Value);

/// Bytes of two vectors in turn, from their low halves.
const BYTES_LOW: [u8; 16] = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23];
/// Pairs of bytes in turn.
const PAIRS_LOW: [u8; 16] = [0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23];
/// Fours of bytes in turn.
const FOURS_LOW: [u8; 16] = [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23];
/// One low half, then the other.
const EIGHTS_LOW: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];
/// The first bytes of four lanes, then the second, and so on.
const BY_PLANE: [u8; 16] = [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15];

impl Emit<'_> {
    /// A block of a stream group.
    pub(super) fn widen(&mut self, format: Format, planes: &[Address]) -> Block {
        let [p0, p1, p2, p3] =
            std::array::from_fn(|plane| (plane < format.streams().into()).then(|| self.plane(planes[plane])));
        let p0 = p0.expect("every format has a plane");
        match (format, p1.zip(p2.zip(p3)), p1) {
            (Format::I8, ..) => {
                let halves = [self.builder.ins().swiden_low(p0), self.builder.ins().swiden_high(p0)];
                let [low, high] = halves
                    .map(|half| [self.builder.ins().swiden_low(half), self.builder.ins().swiden_high(half)]);
                [low[0], low[1], high[0], high[1]]
            }
            (_, Some((p1, (p2, p3))), _) => {
                let (low, high) = (self.interleave(BYTES_LOW, p0, p1), self.interleave(BYTES_LOW, p2, p3));
                let first = self.interleave(PAIRS_LOW, low[0], high[0]);
                let last = self.interleave(PAIRS_LOW, low[1], high[1]);
                [first[0], first[1], last[0], last[1]].map(|value| self.integer(value))
            }
            (_, None, p1) => {
                let p1 = p1.expect("F16 has two planes");
                let [low, high] = self.interleave(BYTES_LOW, p0, p1).map(|pairs| {
                    let pairs = self.cast(types::I16X8, pairs);
                    [self.builder.ins().uwiden_low(pairs), self.builder.ins().uwiden_high(pairs)]
                });
                [low[0], low[1], high[0], high[1]].map(|half| self.from_half(half))
            }
        }
    }

    /// Stores a block as planes.
    pub(super) fn narrow(&mut self, format: Format, block: Block, planes: &[Address]) {
        let stored: Vec<Value> = match format {
            Format::I8 => {
                let low = self.builder.ins().snarrow(block[0], block[1]);
                let high = self.builder.ins().snarrow(block[2], block[3]);
                vec![self.builder.ins().snarrow(low, high)]
            }
            Format::F16 => {
                let half = block.map(|value| self.to_half(value));
                let pairs = [(half[0], half[1]), (half[2], half[3])];
                let pairs = pairs.map(|(a, b)| self.builder.ins().unarrow(a, b));
                let byte = self.all(0x00ff_00ff);
                let byte = self.cast(types::I16X8, byte);
                let low = pairs.map(|pair| self.builder.ins().band(pair, byte));
                let high = pairs.map(|pair| self.builder.ins().ushr_imm_u(pair, 8));
                [low, high].map(|[a, b]| self.builder.ins().unarrow(a, b)).to_vec()
            }
            Format::I32 | Format::F32 => {
                let [a, b, c, d] = block.map(|value| {
                    let bytes = self.cast(types::I8X16, value);
                    self.shuffle(BY_PLANE, bytes, bytes)
                });
                let (ab, cd) = (self.interleave(FOURS_LOW, a, b), self.interleave(FOURS_LOW, c, d));
                let low = self.interleave(EIGHTS_LOW, ab[0], cd[0]);
                let high = self.interleave(EIGHTS_LOW, ab[1], cd[1]);
                vec![low[0], low[1], high[0], high[1]]
            }
        };
        for (value, (base, lane)) in stored.into_iter().zip(planes) {
            let address = self.builder.ins().iadd(*base, *lane);
            self.builder.ins().store(flags(), value, address, 0);
        }
    }

    fn plane(&mut self, (base, lane): Address) -> Value {
        let address = self.builder.ins().iadd(base, lane);
        self.builder.ins().load(types::I8X16, flags(), address, 0)
    }

    fn shuffle(&mut self, mask: [u8; 16], a: Value, b: Value) -> Value {
        let mask = self.builder.func.dfg.immediates.push(mask.as_slice().into());
        self.builder.ins().shuffle(a, b, mask)
    }

    /// Two vectors in turn, by a pattern of the low halves: what comes of the low halves, and of the high.
    fn interleave(&mut self, low: [u8; 16], a: Value, b: Value) -> [Value; 2] {
        [self.shuffle(low, a, b), self.shuffle(low.map(|byte| byte + 8), a, b)]
    }

    /// Lanes of binary16 bits (upper bits zero) to f32 bits.
    pub(super) fn from_half(&mut self, half: Value) -> Value {
        let magnitude = self.all(0x7fff);
        let magnitude = self.builder.ins().band(half, magnitude);
        // Exponents of binary16 lie 112 lower than those of binary32.
        let shifted = self.builder.ins().ishl_imm_u(magnitude, 13);
        let bias = self.all(112 << 23);
        let normal = self.builder.ins().iadd(shifted, bias);
        // A subnormal's bits under the exponent of 2^-14, with that taken off again; no subnormal f32 is touched, which may be slow.
        let leading = self.all(113 << 23);
        let with_leading = self.builder.ins().iadd(shifted, leading);
        let (x, y) = (self.float(with_leading), self.float(leading));
        let small = self.builder.ins().fsub(x, y);
        let small = self.integer(small);
        let one = self.all(0x0400);
        let is_small = self.builder.ins().icmp(IntCC::SignedLessThan, magnitude, one);
        let value = self.builder.ins().bitselect(is_small, small, normal);
        let most = self.all(0x7bff);
        let special = self.builder.ins().icmp(IntCC::SignedGreaterThan, magnitude, most);
        let exponent = self.all(0x7f80_0000);
        let special = self.builder.ins().band(special, exponent);
        let value = self.builder.ins().bor(value, special);
        let signed = self.builder.ins().bxor(half, magnitude);
        let sign = self.builder.ins().ishl_imm_u(signed, 16);
        let value = self.builder.ins().bor(value, sign);
        let infinity = self.all(0x7c00);
        let wrong = self.builder.ins().icmp(IntCC::SignedGreaterThan, magnitude, infinity);
        let nan = self.all(NAN);
        self.builder.ins().bitselect(wrong, nan, value)
    }

    /// Lanes of f32 bits to the nearest binary16 bits, ties to even.
    pub(super) fn to_half(&mut self, word: Value) -> Value {
        let magnitude = self.all(0x7fff_ffff);
        let magnitude = self.builder.ins().band(word, magnitude);
        // Normal: rounded by adding almost half a unit, and the last bit that stays; a carry moves on into the exponent.
        let last = self.builder.ins().ushr_imm_u(magnitude, 13);
        let one = self.all(1);
        let last = self.builder.ins().band(last, one);
        let rounding = self.all(0xfff_u32.wrapping_sub(112 << 23));
        let normal = self.builder.ins().iadd(magnitude, rounding);
        let normal = self.builder.ins().iadd(normal, last);
        let normal = self.builder.ins().ushr_imm_u(normal, 13);
        // Subnormal: the f32 addition rounds at the unit 2^-24.
        let unit = self.all(126 << 23);
        let (x, y) = (self.float(magnitude), self.float(unit));
        let small = self.builder.ins().fadd(x, y);
        let small = self.integer(small);
        let small = self.builder.ins().isub(small, unit);
        let least = self.all(113 << 23);
        let is_small = self.builder.ins().icmp(IntCC::SignedLessThan, magnitude, least);
        let value = self.builder.ins().bitselect(is_small, small, normal);
        // From 2^16 on, infinity; 65520 and more below that are rounded to it already.
        let most = self.all((143 << 23) - 1);
        let is_large = self.builder.ins().icmp(IntCC::SignedGreaterThan, magnitude, most);
        let infinity = self.all(0x7c00);
        let value = self.builder.ins().bitselect(is_large, infinity, value);
        let signed = self.builder.ins().bxor(word, magnitude);
        let sign = self.builder.ins().ushr_imm_u(signed, 16);
        let value = self.builder.ins().bor(value, sign);
        let wide_infinity = self.all(0x7f80_0000);
        let wrong = self.builder.ins().icmp(IntCC::SignedGreaterThan, magnitude, wide_infinity);
        let nan = self.all(0x7e00);
        self.builder.ins().bitselect(wrong, nan, value)
    }
}

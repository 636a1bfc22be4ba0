//! Between the byte planes of stream groups and 32-bit lanes; `isa::numeric::{widen, narrow}` say what each format means. F16 is left to
//! helpers, for whole vectors before and after the loop; formats of weights alone never come here, and would count as I8.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use isa::numeric::{F8_MOST, NAN};
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

/// The least number of F8.
const LEAST_F8: f32 = 1.0 / 512.0;

/// Which way bits move, and what moves in.
enum Shift {
    Left,
    Right,
    RightSigned,
}

impl Emit<'_> {
    /// A block of a stream group, but of F16.
    pub(super) fn widen(&mut self, format: Format, planes: &[Address]) -> Block {
        let [p0, p1, p2, p3] =
            std::array::from_fn(|plane| (plane < format.streams().into()).then(|| self.plane(planes[plane])));
        let p0 = p0.expect("every format has a plane");
        match (format, p1.zip(p2.zip(p3))) {
            (Format::I8 | Format::F8 | Format::I4 | Format::F4 | Format::F8Wide, ..) => {
                let halves = [self.builder.ins().swiden_low(p0), self.builder.ins().swiden_high(p0)];
                let [low, high] = halves
                    .map(|half| [self.builder.ins().swiden_low(half), self.builder.ins().swiden_high(half)]);
                let block = [low[0], low[1], high[0], high[1]];
                if format == Format::F8 { block.map(|value| self.widen_f8(value)) } else { block }
            }
            (_, Some((p1, (p2, p3)))) => {
                let (low, high) = (self.interleave(BYTES_LOW, p0, p1), self.interleave(BYTES_LOW, p2, p3));
                let first = self.interleave(PAIRS_LOW, low[0], high[0]);
                let last = self.interleave(PAIRS_LOW, low[1], high[1]);
                [first[0], first[1], last[0], last[1]].map(|value| self.integer(value))
            }
            (_, None) => unreachable!("F16 is widened before the loop"),
        }
    }

    /// Stores a block as planes, but of F16.
    pub(super) fn narrow(&mut self, format: Format, block: Block, planes: &[Address]) {
        let stored: Vec<Value> = match format {
            Format::I8 | Format::F8 | Format::I4 | Format::F4 | Format::F8Wide => {
                let block =
                    if format == Format::F8 { block.map(|value| self.narrow_f8(value)) } else { block };
                let low = self.builder.ins().snarrow(block[0], block[1]);
                let high = self.builder.ins().snarrow(block[2], block[3]);
                vec![self.builder.ins().snarrow(low, high)]
            }
            Format::F16 => unreachable!("F16 is narrowed after the loop"),
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

    /// Words of F8 numbers, from their codes as signed bytes.
    fn widen_f8(&mut self, code: Value) -> Value {
        let (signs, codes) = (self.all(1 << 31), self.all(0x7f));
        let sign = self.builder.ins().band(code, signs);
        let code = self.builder.ins().band(code, codes);
        let normal = self.shifted(Shift::Left, code, 20);
        let bias = self.all(120 << 23);
        let normal = self.builder.ins().iadd(normal, bias);
        let number = self.builder.ins().fcvt_from_sint(types::F32X4, code);
        let unit = self.all(LEAST_F8.to_bits());
        let unit = self.float(unit);
        let small = self.builder.ins().fmul(number, unit);
        let small = self.integer(small);
        let least = self.all(8);
        let is_small = self.builder.ins().icmp(IntCC::SignedLessThan, code, least);
        let value = self.builder.ins().bitselect(is_small, small, normal);
        let wrong = self.builder.ins().icmp(IntCC::Equal, code, codes);
        let nan = self.all(NAN);
        let value = self.builder.ins().bitselect(wrong, nan, value);
        self.builder.ins().bor(value, sign)
    }

    /// The codes of the F8 numbers nearest to words, as signed bytes.
    fn narrow_f8(&mut self, word: Value) -> Value {
        let magnitudes = self.all(i32::MAX as u32);
        let magnitude = self.builder.ins().band(word, magnitudes);
        let infinity = self.all(f32::INFINITY.to_bits());
        let wrong = self.builder.ins().icmp(IntCC::SignedGreaterThan, magnitude, infinity);
        let most = self.all(F8_MOST.to_bits());
        let magnitude = self.builder.ins().smin(magnitude, most);
        // Half of what is cut off, less one where the rest is even already.
        let odd = self.shifted(Shift::Right, magnitude, 20);
        let one = self.all(1);
        let odd = self.builder.ins().band(odd, one);
        let half = self.all(0x7_ffff_u32.wrapping_sub(120 << 23));
        let rounded = self.builder.ins().iadd(magnitude, half);
        let rounded = self.builder.ins().iadd(rounded, odd);
        let normal = self.shifted(Shift::Right, rounded, 20);
        // Where numbers are as far apart as subnormal ones of F8, an addition rounds as it should.
        let there = self.all((LEAST_F8 * 8_388_608.0).to_bits());
        let (x, shift) = (self.float(magnitude), self.float(there));
        let moved = self.builder.ins().fadd(x, shift);
        let moved = self.integer(moved);
        let small = self.builder.ins().isub(moved, there);
        let least = self.all((8.0 * LEAST_F8).to_bits());
        let is_small = self.builder.ins().icmp(IntCC::SignedLessThan, magnitude, least);
        let code = self.builder.ins().bitselect(is_small, small, normal);
        let nan = self.all(0x7f);
        let code = self.builder.ins().bitselect(wrong, nan, code);
        // A negative number's code as a signed byte: 128 less.
        let sign = self.shifted(Shift::RightSigned, word, 31);
        let low = self.all(0xffff_ff80);
        let sign = self.builder.ins().band(sign, low);
        self.builder.ins().bor(code, sign)
    }

    fn shifted(&mut self, shift: Shift, value: Value, bits: i64) -> Value {
        let bits = self.builder.ins().iconst(types::I32, bits);
        match shift {
            Shift::Left => self.builder.ins().ishl(value, bits),
            Shift::Right => self.builder.ins().ushr(value, bits),
            Shift::RightSigned => self.builder.ins().sshr(value, bits),
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
}

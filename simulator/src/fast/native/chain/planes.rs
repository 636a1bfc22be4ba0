//! Between the byte planes of stream groups and 32-bit lanes; `isa::numeric::{widen, narrow}` say what each format means. F16 is left to
//! helpers, for whole vectors before and after the loop.

use cranelift_codegen::ir::{InstBuilder, Value, types};
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
    /// A block of a stream group, but of F16.
    pub(super) fn widen(&mut self, format: Format, planes: &[Address]) -> Block {
        let [p0, p1, p2, p3] =
            std::array::from_fn(|plane| (plane < format.streams().into()).then(|| self.plane(planes[plane])));
        let p0 = p0.expect("every format has a plane");
        match (format, p1.zip(p2.zip(p3))) {
            (Format::I8, ..) => {
                let halves = [self.builder.ins().swiden_low(p0), self.builder.ins().swiden_high(p0)];
                let [low, high] = halves
                    .map(|half| [self.builder.ins().swiden_low(half), self.builder.ins().swiden_high(half)]);
                [low[0], low[1], high[0], high[1]]
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
            Format::I8 => {
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

//! Every instruction, its operands, and exactly when each of its effects happens.
//!
//! **Time.** All cycles are those of superlane 0 ("skewed time"): superlane g does the same work g cycles later, and
//! its data lies g cycles further back on the stream, so the skew cancels wherever a lane only meets itself. Where lanes
//! of different superlanes meet (MXM products; SXM Permute, Shift and Rotate) an instruction takes `stagger` =
//! lanes / lanes_per_superlane cycles more. A program ends `stagger` cycles after its last effect in superlane 0.
//!
//! `t` below is the cycle in which the instruction leaves its queue, and `p` its slice's position. "Takes s at t" means: the value
//! that passes p on stream s in cycle t; it travels on unharmed. "Puts s at t" means: a value appears on s at p in cycle t,
//! visible from the next position on in cycle t + 1, and to p itself in cycle t. `d_x` are the chip's latencies
//! ([`crate::chip::Latency`]), all at least 1.
//!
//! **Replacing.** A value travels on to the edge of the chip, or to where another one is put in its place. That is allowed once some
//! instruction has taken the value in an earlier cycle, wherever; what takes further on gets the new value, which nobody has taken yet. A
//! put onto a value that nobody has taken is a fault (but for Gather), since that value would be lost. Taking an empty slot is a fault.
//! Within a cycle puts come before takes: who takes at p in the cycle of the put gets the new value, and comes too late to have taken the old.

use crate::stream::{Format, Stream};

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Instruction {
    /// Instruction control; may stand in any queue.
    Icu(Icu),
    /// Memory.
    Mem(Mem),
    /// Vector.
    Vxm(Vxm),
    /// Matrix.
    Mxm(Mxm),
    /// Lane switching.
    Sxm(Sxm),
    /// Chip to chip.
    C2c(C2c),
}

/// Instruction control. NOP and Repeat are not here: a [`crate::Run`] says when and how often, and the encoding turns
/// gaps into NOP and repeats into Repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Icu {
    /// Parks the queue until a Notify.
    Sync,
    /// Releases every parked queue.
    Notify,
    /// Fetches the next instruction text of this queue from a stream.
    /// Takes what passes p at t, t + 1, …: as many vectors as the chip says. They are the next page of the queue's text, which is in the
    /// queue from t + fetch_vectors on. Holds up nothing: the next instruction may leave the queue at t + 1. Never repeats.
    Ifetch {
        /// Where the text arrives.
        stream: Stream,
    },
    /// Switches superlanes at and above this number off.
    Config {
        /// Superlanes left on.
        superlanes: u8,
    },
}

/// Window of indices that an indirect access owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// First index owned.
    pub first: i32,
    /// Number of indices owned.
    pub count: u32,
    /// Word of the first index.
    pub base: u32,
    /// Words from one index to the next.
    pub stride: u32,
}

/// Memory. Addresses are words of one byte per lane, linear over the slice; word a is in bank a / words_per_bank.
/// In one cycle a slice does at most one read and one write, and in different banks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mem {
    /// Uses the read port and the bank at t; puts the word at t + d_read.
    Read {
        /// Word.
        address: u32,
        /// Where to.
        stream: Stream,
    },
    /// Takes the stream, and uses the write port and the bank, at t; the word can be read from t + d_write on (earlier: a fault).
    Write {
        /// Word.
        address: u32,
        /// Where from.
        stream: Stream,
    },
    /// Takes the I32 group `index` at t and uses the read port and the bank of its window at t. In each superlane the index is that of its
    /// first lane; a superlane whose index lies in the window reads its part of the word, any other reads zeros. At t + d_gather
    /// the result is put, or, where there is a value already that nobody has taken, ORed into it, which does not count as taking it. So
    /// gathers of disjoint windows may share a slot. A value that has been taken is replaced, as by any other put.
    Gather {
        /// The indices that this slice holds; base and stride say where.
        window: Window,
        /// Where the index comes from (four streams).
        index: Stream,
        /// Where to.
        stream: Stream,
    },
    /// Takes the I32 group `index` and `stream` at t, uses the write port and the bank at t; a superlane whose index lies in the window writes its
    /// part of the word (readable from t + d_write on), any other writes nothing.
    Scatter {
        /// The indices that this slice holds.
        window: Window,
        /// Where the index comes from (four streams).
        index: Stream,
        /// Where from.
        stream: Stream,
    },
}

/// What an ALU does to 32-bit words. Semantics bit by bit: [`crate::numeric`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VxmOp {
    /// a.
    Pass,
    /// f32 a + b.
    Add,
    /// f32 a − b.
    Sub,
    /// f32 a × b.
    Mul,
    /// f32 greater of a and b (a NaN operand gives NaN).
    Max,
    /// f32 lesser of a and b (a NaN operand gives NaN).
    Min,
    /// f32 a < b, as a mask: all ones or zero.
    Less,
    /// f32 a = b, as a mask.
    Equal,
    /// i32 a + b, modulo 2^32.
    IntAdd,
    /// i32 a − b, modulo 2^32.
    IntSub,
    /// i32 a × b, modulo 2^32.
    IntMul,
    /// i32 greater.
    IntMax,
    /// i32 lesser.
    IntMin,
    /// i32 a < b, as a mask.
    IntLess,
    /// i32 a = b, as a mask.
    IntEqual,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
    /// a shifted left by b mod 32.
    ShiftLeft,
    /// a shifted right by b mod 32, zeros in.
    ShiftRight,
    /// a shifted right by b mod 32, sign in.
    ShiftRightSigned,
    /// f32 max(a, 0).
    Relu,
    /// f32 e^a.
    Exp,
    /// f32 tanh a.
    Tanh,
    /// f32 1 / sqrt(a).
    Rsqrt,
    /// f32 a rounded to the nearest binary16 value (ties to even; overflow to infinity), as f32.
    RoundF16,
    /// i32 nearest to f32 a (ties to even), saturating, NaN gives 0.
    ToInt,
    /// f32 nearest to i32 a.
    ToFloat,
}

impl VxmOp {
    /// Every operation, in the order of its code.
    pub const ALL: [VxmOp; 28] = [
        VxmOp::Pass,
        VxmOp::Add,
        VxmOp::Sub,
        VxmOp::Mul,
        VxmOp::Max,
        VxmOp::Min,
        VxmOp::Less,
        VxmOp::Equal,
        VxmOp::IntAdd,
        VxmOp::IntSub,
        VxmOp::IntMul,
        VxmOp::IntMax,
        VxmOp::IntMin,
        VxmOp::IntLess,
        VxmOp::IntEqual,
        VxmOp::And,
        VxmOp::Or,
        VxmOp::Xor,
        VxmOp::ShiftLeft,
        VxmOp::ShiftRight,
        VxmOp::ShiftRightSigned,
        VxmOp::Relu,
        VxmOp::Exp,
        VxmOp::Tanh,
        VxmOp::Rsqrt,
        VxmOp::RoundF16,
        VxmOp::ToInt,
        VxmOp::ToFloat,
    ];

    /// Its name in assembly.
    pub fn name(self) -> &'static str {
        match self {
            VxmOp::Pass => "Pass",
            VxmOp::Add => "Add",
            VxmOp::Sub => "Sub",
            VxmOp::Mul => "Mul",
            VxmOp::Max => "Max",
            VxmOp::Min => "Min",
            VxmOp::Less => "Less",
            VxmOp::Equal => "Equal",
            VxmOp::IntAdd => "IntAdd",
            VxmOp::IntSub => "IntSub",
            VxmOp::IntMul => "IntMul",
            VxmOp::IntMax => "IntMax",
            VxmOp::IntMin => "IntMin",
            VxmOp::IntLess => "IntLess",
            VxmOp::IntEqual => "IntEqual",
            VxmOp::And => "And",
            VxmOp::Or => "Or",
            VxmOp::Xor => "Xor",
            VxmOp::ShiftLeft => "ShiftLeft",
            VxmOp::ShiftRight => "ShiftRight",
            VxmOp::ShiftRightSigned => "ShiftRightSigned",
            VxmOp::Relu => "Relu",
            VxmOp::Exp => "Exp",
            VxmOp::Tanh => "Tanh",
            VxmOp::Rsqrt => "Rsqrt",
            VxmOp::RoundF16 => "RoundF16",
            VxmOp::ToInt => "ToInt",
            VxmOp::ToFloat => "ToFloat",
        }
    }

    /// Whether the operands are f32.
    pub fn takes_floats(self) -> bool {
        match self {
            VxmOp::Add
            | VxmOp::Sub
            | VxmOp::Mul
            | VxmOp::Max
            | VxmOp::Min
            | VxmOp::Less
            | VxmOp::Equal
            | VxmOp::Relu
            | VxmOp::Exp
            | VxmOp::Tanh
            | VxmOp::Rsqrt
            | VxmOp::RoundF16
            | VxmOp::ToInt => true,
            VxmOp::Pass
            | VxmOp::IntAdd
            | VxmOp::IntSub
            | VxmOp::IntMul
            | VxmOp::IntMax
            | VxmOp::IntMin
            | VxmOp::IntLess
            | VxmOp::IntEqual
            | VxmOp::And
            | VxmOp::Or
            | VxmOp::Xor
            | VxmOp::ShiftLeft
            | VxmOp::ShiftRight
            | VxmOp::ShiftRightSigned
            | VxmOp::ToFloat => false,
        }
    }

    /// How many operands the operation has: 1 or 2.
    pub fn operands(self) -> usize {
        match self {
            VxmOp::Pass
            | VxmOp::Relu
            | VxmOp::Exp
            | VxmOp::Tanh
            | VxmOp::Rsqrt
            | VxmOp::RoundF16
            | VxmOp::ToInt
            | VxmOp::ToFloat => 1,
            VxmOp::Add
            | VxmOp::Sub
            | VxmOp::Mul
            | VxmOp::Max
            | VxmOp::Min
            | VxmOp::Less
            | VxmOp::Equal
            | VxmOp::IntAdd
            | VxmOp::IntSub
            | VxmOp::IntMul
            | VxmOp::IntMax
            | VxmOp::IntMin
            | VxmOp::IntLess
            | VxmOp::IntEqual
            | VxmOp::And
            | VxmOp::Or
            | VxmOp::Xor
            | VxmOp::ShiftLeft
            | VxmOp::ShiftRight
            | VxmOp::ShiftRightSigned => 2,
        }
    }
}

/// An ALU's operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// Takes the group at t, widened to 32 bits.
    Stream(Stream, Format),
    /// The result of the instruction that ALU `alu` dispatched in cycle t − `delay`; d_vxm <= delay <= forward_depth.
    Alu {
        /// Which ALU; may be this one.
        alu: u8,
        /// Cycles since its dispatch.
        delay: u8,
    },
    /// The same 32 bits in every lane.
    Immediate(u32),
}

/// One ALU's work: result = op(a, b), to be forwarded to ALUs, and put on a stream at t + d_vxm if asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vxm {
    /// What to do.
    pub op: VxmOp,
    /// First operand.
    pub a: Operand,
    /// Second operand; present exactly when the operation has two.
    pub b: Option<Operand>,
    /// Where the result goes, and as what.
    pub result: Option<(Stream, Format)>,
}

/// Whether ACC begins a sum or adds to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccMode {
    /// accumulator = product.
    Start,
    /// accumulator = accumulator + product.
    Add,
}

/// Matrix. A plane is `rows` weight rows by `lanes`; row n and lane k hold the weight from input k to output n, so
/// the product of an activation vector x is y[n] = sum over k of w[n][k] x[k], and y[n] leaves in lane n. Formats I8, F8 and F16,
/// as far as the chip has them; weights may also come in I4, F4 and F8Wide, which are F16 in the array. In I8 and F8 each plane works by itself. With the others, planes 0 and 1 of
/// the hemisphere work as one array: its instructions stand in plane 0's queues, plane 1's queues must be idle, each F16 weight
/// row arrives on two streams, and an activation vector keeps the array busy for two cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mxm {
    /// Takes `count` vectors at t, on adjacent stream groups from `stream` on, into the buffer: the j-th into row `row + j * row_stride`.
    /// At most load_streams_per_plane streams (twice as many for F16 and what becomes F16). The rows are in the buffer from t + d_load on.
    ///
    /// In I4 and F4 each B = [`crate::Chip::block_lanes`] weight rows take two rows of scales and then a row for each pair. Scales are binary16: that of the
    /// i-th of these weight rows in the b-th block of B lanes lies in lane B · b + i, its low byte in the first row and its high byte in the second. The first
    /// row of a pair is in the low halves of bytes. IW makes F16 of them, [`crate::numeric::scaled`], so ABC is F16, too.
    Lw {
        /// First stream.
        stream: Stream,
        /// Vectors taken.
        count: u8,
        /// Row of the first vector.
        row: u16,
        /// Rows from one vector to the next.
        row_stride: u16,
        /// I8, F8 or F16; or I4, F4 or F8Wide, which are formats of weights alone.
        format: Format,
    },
    /// Moves the buffer into the array, and empties it: rows that were not loaded since are zero. The tile is what LWs at t − d_load or
    /// before loaded; rows still on their way belong to the next tile, so LWs need not pause between tiles. The array holds the new weights
    /// from t + d_install on.
    Iw,
    /// Takes an activation vector at t and multiplies it by the weights held at t (a swap during a two-cycle F16 vector is a fault). The product
    /// is at the accumulators in cycle t + d_product + stagger.
    Abc {
        /// First stream of the group.
        stream: Stream,
        /// I8, F8 or F16; must be the format in which the array holds the weights.
        format: Format,
    },
    /// Takes the product that arrives in cycle t (none: a fault; a product that nobody takes: a fault). `emit` puts the
    /// sum (F32, or I32 for I8) on a group of four inward streams at t + d_accumulate.
    Acc {
        /// Which accumulator (one vector of 32-bit sums each).
        address: u16,
        /// Begin or add.
        mode: AccMode,
        /// Where the sum goes.
        emit: Option<Stream>,
    },
}

/// An entry of [`crate::ChipProgram::maps`].
pub type MapId = u16;

/// Lane switching. Each acts on `streams` adjacent streams at once (1 to 4, but for Rotate and Transpose), taken at t. Results are put at t + d_sxm, and
/// `stagger` later for Permute, Shift and Rotate, which cross superlanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sxm {
    /// Lane i moves to lane i + lanes; zeros move in.
    Shift {
        /// Lanes up (positive) or down.
        lanes: i16,
        /// Streams acted on.
        streams: u8,
        /// First source stream.
        from: Stream,
        /// First destination stream.
        to: Stream,
    },
    /// Lane i is that of `from` where the map's entry i is 0, of `other` where it is 1, else zero.
    Select {
        /// The choice per lane.
        map: MapId,
        /// Streams acted on.
        streams: u8,
        /// First stream chosen by 0.
        from: Stream,
        /// First stream chosen by 1.
        other: Stream,
        /// First destination stream.
        to: Stream,
    },
    /// Lane i is lane map[i] of the source, or zero where the map says [`crate::program::ZERO_LANE`]. No lane may be used twice.
    Permute {
        /// Source lane per lane.
        map: MapId,
        /// Streams acted on.
        streams: u8,
        /// First source stream.
        from: Stream,
        /// First destination stream.
        to: Stream,
    },
    /// Within each superlane, lane i is lane map[i] of it, for i below lanes_per_superlane, or zero; lanes may be used often.
    Distribute {
        /// Source lane per lane of a superlane.
        map: MapId,
        /// Streams acted on.
        streams: u8,
        /// First source stream.
        from: Stream,
        /// First destination stream.
        to: Stream,
    },
    /// From n streams n × n: destination i·n + j is source i with lane l replaced by lane (l + j) mod lanes.
    Rotate {
        /// 3 or 4.
        n: u8,
        /// First of n source streams.
        from: Stream,
        /// First of n × n destination streams.
        to: Stream,
    },
    /// Sixteen (lanes_per_superlane) streams to as many: in each superlane, lane i of destination j is lane j of source i.
    Transpose {
        /// First source stream.
        from: Stream,
        /// First destination stream.
        to: Stream,
    },
}

/// Chip to chip; the queue says which link. Each way of a link is a line of its own, with the same timing: `vector_cycles` and
/// `latency_cycles` of [`crate::system::LinkTiming`]. A link has one queue, so a Send and a Receive of one link never share a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum C2c {
    /// Takes one vector at t, which occupies the link: the next Send on it comes at t + vector_cycles or later. At t + latency_cycles the
    /// vector arrives at the other chip, where it can be received from that cycle on. Of the chip's own work it is done at t + d_c2c.
    Send {
        /// Where from.
        stream: Stream,
    },
    /// Takes, at t, the oldest vector that has arrived on the link and has not been received (none: a fault), and puts it at t + d_c2c. As a
    /// cycle ends, at most `buffer_vectors` may have arrived that no Receive has taken, in that cycle or before. When all programs of a system have ended, none
    /// may be left.
    Receive {
        /// Where to.
        stream: Stream,
    },
    /// Aligns a link's arrival to the local clock: dispatched once, before the link's first Receive, which else is a fault. It has no other
    /// effect, and vectors may arrive before it.
    Deskew,
}

//! The closed set of operators, and what each means.

use super::{Constant, ElementType, Few, Gates};

/// One-operand pointwise functions. Real unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnaryOp {
    /// −a (also I32).
    Neg,
    /// |a| (also I32).
    Abs,
    /// e^a.
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// 1 / sqrt(a).
    Rsqrt,
    /// 1 / a.
    Recip,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e^−a).
    Sigmoid,
    /// Error function.
    Erf,
    /// Sine of radians.
    Sin,
    /// Cosine of radians.
    Cos,
    /// Arc tangent, in radians.
    Atan,
    /// max(a, 0).
    Relu,
    /// Greatest integer not above a.
    Floor,
    /// The nearest integer, ties to even.
    Round,
    /// Bool not.
    Not,
    /// The nearest binary16 value (ties to even, overflow to infinity), as F32.
    RoundF16,
    /// a · 2^−e, from √½ on and below √2, where e is its [`UnaryOp::Exponent`]. Only for normal positive numbers.
    Mantissa,
    /// The whole number e, as F32.
    Exponent,
    /// The 32 bits of a real number as an integer (F32 to I32), or those of an integer as a real one (I32 to F32).
    Bits,
}

/// Two-operand pointwise functions, with numpy broadcasting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BinaryOp {
    /// a + b (F32, I32).
    Add,
    /// a − b (F32, I32).
    Sub,
    /// a × b (F32, I32).
    Mul,
    /// a / b (F32; I32 toward zero).
    Div,
    /// a / b as binary32 rounds it (F32): a quotient that is rounded to a whole number afterwards must not be off by one unit.
    Quotient,
    /// a^b (F32).
    Pow,
    /// Greater (F32, I32).
    Max,
    /// Lesser (F32, I32).
    Min,
    /// a mod b, sign of b (F32, I32).
    Mod,
    /// a < b, Bool.
    Less,
    /// a <= b, Bool.
    LessEqual,
    /// a = b, Bool (F32, I32, Bool).
    Equal,
    /// And (Bool; I32 bit by bit).
    And,
    /// Or (Bool; I32 bit by bit).
    Or,
    /// Exclusive or (Bool; I32 bit by bit).
    Xor,
    /// a · 2^b, zeros in (I32; b from 0 to 31).
    ShiftLeft,
    /// floor(a · 2^−b), sign in (I32; b from 0 to 31).
    ShiftRight,
}

/// Reductions of one axis to length 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReduceOp {
    /// Sum.
    Sum,
    /// Greatest.
    Max,
    /// Least.
    Min,
}

/// An operator. `a`, `b`, … are its inputs in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// Given by the host under this name, or a state.
    Input(String),
    /// Known; the type's element follows from the encoding.
    Constant(Constant),
    /// [.., m, k] × [.., k, n] → [.., m, n]; with `transpose_b`: [.., m, k] × [.., n, k]. Leading axes broadcast; both have rank >= 2. Each dot product is
    /// rounded once. Operands are F32 or F8, the result is F32; or I8, the result is I32, modulo 2^32.
    MatMul {
        /// b's last two axes are exchanged.
        transpose_b: bool,
    },
    /// Pointwise.
    Unary(UnaryOp),
    /// Pointwise, broadcasting.
    Binary(BinaryOp),
    /// Inputs a [N, C, H, W] and weights [O, C / groups, h, w], or without the H; the result is [N, O, H', W']: cross-correlation with
    /// zeros around a. Output channel o sees input channels [C / groups · g, C / groups · (g + 1)), where g = o / (O / groups). Operands are F32,
    /// each sum rounded once; or I8, the result is I32, modulo 2^32.
    Conv {
        /// Channels are the last axis of all three: a [N, H, W, C], weights [O, h, w, C / groups], the result [N, H', W', O].
        channels_last: bool,
        /// Distance between windows, per spatial axis.
        strides: Vec<usize>,
        /// Zeros before and after each spatial axis.
        padding: Vec<[usize; 2]>,
        /// Distance between the elements of a window, per spatial axis.
        dilations: Vec<usize>,
        /// Groups of channels that do not see each other.
        groups: usize,
    },
    /// Inputs condition (Bool), a, b: a where true, else b; broadcasting.
    Select,
    /// One axis to length 1 (it stays). Of nothing the sum is zero, the greatest the least value of the type, the least the greatest.
    Reduce {
        /// How.
        op: ReduceOp,
        /// Which axis.
        axis: usize,
    },
    /// Same elements in row-major order, other shape.
    Reshape {
        /// New shape.
        shape: Vec<usize>,
    },
    /// Output axis i is input axis permutation[i].
    Transpose {
        /// Source axis per axis.
        permutation: Vec<usize>,
    },
    /// Elements start, start + step, … of one axis.
    Slice {
        /// Which axis.
        axis: usize,
        /// First index.
        start: usize,
        /// Number of elements kept.
        count: usize,
        /// Distance between them, at least 1. (Negative ONNX steps become Gather.)
        step: usize,
    },
    /// One after the other along an axis.
    Concat {
        /// Which axis.
        axis: usize,
    },
    /// A constant value before and after one axis (value is a's type; its 32 bits; zero for I8 and F8).
    Pad {
        /// Which axis.
        axis: usize,
        /// Elements added before.
        before: usize,
        /// Elements added after.
        after: usize,
        /// The bits of the F32, I32 or Bool value.
        value: u32,
    },
    /// Axes of length 1 repeated to `shape` (rank may grow, new axes in front).
    Expand {
        /// New shape.
        shape: Vec<usize>,
    },
    /// Inputs a, indices (I32): a[.., indices, ..] along axis; negative indices count from the end. Result: a's axis replaced by the
    /// shape of the indices.
    Gather {
        /// Which axis of a.
        axis: usize,
    },
    /// e^(a − max) / sum along one axis.
    Softmax {
        /// Which axis.
        axis: usize,
    },
    /// To another element type. F32 to I32 truncates toward zero and saturates; to Bool: not equal to zero. To I8: F32 is rounded to the
    /// nearest, ties to even, NaN gives 0, and all saturate; to F8: the nearest, ties to even, saturating at ±448. F8 is read
    /// as the F32 that it is.
    Cast(ElementType),
    /// Inputs state, new, position (I32 scalar or length-1 vector): state with its elements [position, position + len(new)) along `axis` replaced by
    /// new. All other axes agree. A position that does not fit is an error. Legalisation adds a fourth input, which changes no value.
    Append {
        /// Which axis.
        axis: usize,
    },
    /// The same tensor of several chips of a group, one after the other along a new first axis: a's own, then that of the chip one behind, two
    /// behind, … round the axis of the group: the chips whose ranks agree but for the digit rank / stride mod chips. With `padded` along the last
    /// axis instead, each followed by zeros up to so many elements. All chips of the group run this at the same time.
    AllGather {
        /// Chips along the axis.
        chips: usize,
        /// Ranks from one to the next.
        stride: usize,
        /// Elements of the last axis that each part takes there.
        padded: Option<usize>,
    },
    /// a [chips, ..]: a[0] stays, and a[d] goes to the chip d ahead along an axis of the group. The result has at d what came from the chip d behind.
    AllToAll {
        /// Ranks from one chip to the next.
        stride: usize,
    },
    /// a [node, ..], gathered in each node of a group: over the gates to the node so far ahead along an axis. The result [each, ..] is what the
    /// gates of the node so far behind sent; on chips that no gate reaches it is zero, and not defined on a machine.
    Cross {
        /// Chips along the axis.
        chips: usize,
        /// Ranks from one to the next.
        stride: usize,
        /// How far ahead.
        distance: usize,
        /// Which chips send and receive.
        gates: Gates,
    },
    /// a [each, ..] of the chips that receive, of which each chip gets its part.
    FromGates(Gates),
    /// a, constant, as blocks of four bits along its last axis hold it.
    Blocks(Few),
}

impl UnaryOp {
    /// All, with their names in the text form.
    pub const ALL: [(UnaryOp, &'static str); 21] = [
        (UnaryOp::Neg, "neg"),
        (UnaryOp::Abs, "abs"),
        (UnaryOp::Exp, "exp"),
        (UnaryOp::Log, "log"),
        (UnaryOp::Sqrt, "sqrt"),
        (UnaryOp::Rsqrt, "rsqrt"),
        (UnaryOp::Recip, "recip"),
        (UnaryOp::Tanh, "tanh"),
        (UnaryOp::Sigmoid, "sigmoid"),
        (UnaryOp::Erf, "erf"),
        (UnaryOp::Sin, "sin"),
        (UnaryOp::Cos, "cos"),
        (UnaryOp::Atan, "atan"),
        (UnaryOp::Relu, "relu"),
        (UnaryOp::Floor, "floor"),
        (UnaryOp::Round, "round"),
        (UnaryOp::Not, "not"),
        (UnaryOp::RoundF16, "round_f16"),
        (UnaryOp::Mantissa, "mantissa"),
        (UnaryOp::Exponent, "exponent"),
        (UnaryOp::Bits, "bits"),
    ];

    /// Name in the text form.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl BinaryOp {
    /// All, with their names in the text form.
    pub const ALL: [(BinaryOp, &'static str); 17] = [
        (BinaryOp::Add, "add"),
        (BinaryOp::Sub, "sub"),
        (BinaryOp::Mul, "mul"),
        (BinaryOp::Div, "div"),
        (BinaryOp::Quotient, "quotient"),
        (BinaryOp::Pow, "pow"),
        (BinaryOp::Max, "max"),
        (BinaryOp::Min, "min"),
        (BinaryOp::Mod, "mod"),
        (BinaryOp::Less, "less"),
        (BinaryOp::LessEqual, "less_equal"),
        (BinaryOp::Equal, "equal"),
        (BinaryOp::And, "and"),
        (BinaryOp::Or, "or"),
        (BinaryOp::Xor, "xor"),
        (BinaryOp::ShiftLeft, "shift_left"),
        (BinaryOp::ShiftRight, "shift_right"),
    ];

    /// Name in the text form.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl ReduceOp {
    /// All, with their names in the text form.
    pub const ALL: [(ReduceOp, &'static str); 3] =
        [(ReduceOp::Sum, "reduce_sum"), (ReduceOp::Max, "reduce_max"), (ReduceOp::Min, "reduce_min")];

    /// Name in the text form.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl Op {
    /// Name in the text form and in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input(_) => "input",
            Op::Constant(_) => "constant",
            Op::MatMul { .. } => "matmul",
            Op::Conv { .. } => "conv",
            Op::Unary(op) => op.name(),
            Op::Binary(op) => op.name(),
            Op::Select => "select",
            Op::Reduce { op, .. } => op.name(),
            Op::Reshape { .. } => "reshape",
            Op::Transpose { .. } => "transpose",
            Op::Slice { .. } => "slice",
            Op::Concat { .. } => "concat",
            Op::Pad { .. } => "pad",
            Op::Expand { .. } => "expand",
            Op::Gather { .. } => "gather",
            Op::Softmax { .. } => "softmax",
            Op::Cast(_) => "cast",
            Op::Append { .. } => "append",
            Op::AllGather { .. } => "all_gather",
            Op::AllToAll { .. } => "all_to_all",
            Op::Cross { .. } => "cross",
            Op::FromGates(_) => "from_gates",
            Op::Blocks(_) => "blocks",
        }
    }

    /// Number of inputs; nothing for Concat, which takes any number from one.
    pub fn arity(&self) -> Option<usize> {
        match self {
            Op::Input(_) | Op::Constant(_) => Some(0),
            Op::Unary(_)
            | Op::Reduce { .. }
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Expand { .. }
            | Op::Softmax { .. }
            | Op::AllGather { .. }
            | Op::AllToAll { .. }
            | Op::Cross { .. }
            | Op::FromGates(_)
            | Op::Blocks(_)
            | Op::Cast(_) => Some(1),
            Op::MatMul { .. } | Op::Conv { .. } | Op::Binary(_) | Op::Gather { .. } => Some(2),
            Op::Select => Some(3),
            Op::Concat { .. } | Op::Append { .. } => None,
        }
    }
}

impl crate::graph::Encoding {
    /// All, with their names in the text form.
    pub const ALL: [(Self, &'static str); 15] = [
        (Self::F64, "f64"),
        (Self::F32, "f32"),
        (Self::F16, "f16"),
        (Self::Bf16, "bf16"),
        (Self::I64, "i64"),
        (Self::I32, "i32"),
        (Self::I16, "i16"),
        (Self::I8, "i8"),
        (Self::U8, "u8"),
        (Self::Bool, "bool"),
        (Self::F8E4M3, "f8e4m3"),
        (Self::I4, "i4"),
        (Self::U4, "u4"),
        (Self::Int4, "int4"),
        (Self::Mxfp4, "mxfp4"),
    ];

    /// Name in the text form.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl ElementType {
    /// All, with their names in the text form.
    pub const ALL: [(ElementType, &'static str); 5] = [
        (ElementType::F32, "f32"),
        (ElementType::I32, "i32"),
        (ElementType::Bool, "bool"),
        (ElementType::I8, "i8"),
        (ElementType::F8, "f8"),
    ];

    /// Name in the text form.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Whether it is one that only Cast, MatMul and the moving operators take.
    pub fn is_narrow(self) -> bool {
        matches!(self, ElementType::I8 | ElementType::F8)
    }
}

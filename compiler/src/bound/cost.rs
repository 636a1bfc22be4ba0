//! What operators cost on this instruction set, whatever the lowering.

use crate::graph::{ElementType, Op, UnaryOp};

/// How the operands of a product are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operands {
    /// binary16: two bytes, and a pair of planes for two cycles.
    Half,
    /// I8 or F8: a byte, and one plane for one cycle.
    Byte,
}

impl Operands {
    /// Of a product whose left and right operands have these element types.
    pub(super) fn of(left: ElementType, _right: ElementType) -> Operands {
        match left {
            ElementType::F32 | ElementType::I32 | ElementType::Bool => Operands::Half,
            ElementType::I8 | ElementType::F8 => Operands::Byte,
        }
    }

    /// Bytes of an element, which are also the streams of a vector.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Operands::Half => 2,
            Operands::Byte => 1,
        }
    }

    /// Planes that a pass takes, and for how many cycles.
    pub(super) fn planes(self) -> (u64, u64) {
        match self {
            Operands::Half => (2, 2),
            Operands::Byte => (1, 1),
        }
    }
}

/// Work of a pointwise operator on the VXM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alu {
    /// Operations per vector of the result.
    pub(super) operations: u64,
    /// Operations one after the other from the operand that comes last to the result.
    pub(super) depth: u64,
}

/// Work of a pointwise operator; nothing for any other. `known` says of each input whether it is constant.
///
/// One operation, but for what the operations before or after may do along with their own work (a sign, a complement, a rounding that is the format of a
/// stream), and for what provably takes more: no operation of the VXM rounds down; and no circuit of fewer than three operations, or
/// in which an operand only enters the last one, chooses one of two words.
pub(super) fn pointwise(op: &Op, from: ElementType, known: &[bool]) -> Option<Alu> {
    let alu = |operations, depth| Some(Alu { operations, depth });
    match op {
        Op::Unary(UnaryOp::Neg | UnaryOp::Not | UnaryOp::RoundF16 | UnaryOp::Bits) => alu(0, 0),
        Op::Unary(UnaryOp::Floor) => alu(2, 2),
        Op::Cast(to) if *to == from => alu(0, 0),
        // Formats of streams round, saturate and widen; only between integers and reals an operation is needed.
        Op::Cast(to) if is_format(from, *to) => alu(0, 0),
        Op::Select if known.contains(&true) => alu(1, 1),
        // Masks have two values, which leaves room for other circuits.
        Op::Select if from == ElementType::Bool => alu(1, 1),
        Op::Select => alu(3, 2),
        Op::Unary(_) | Op::Binary(_) | Op::Cast(_) => alu(1, 1),
        _ => None,
    }
}

/// Whether a cast is only another format of a stream.
fn is_format(from: ElementType, to: ElementType) -> bool {
    let integer = |ty| matches!(ty, ElementType::I8 | ElementType::I32);
    let real = |ty| matches!(ty, ElementType::F8 | ElementType::F32);
    (integer(from) && integer(to)) || (real(from) && real(to))
}

/// Whether a pointwise operator's result is its operand rounded to binary16, which takes nothing but the right format of a stream.
pub(super) fn is_rounding(op: &Op) -> bool {
    *op == Op::Unary(UnaryOp::RoundF16)
}

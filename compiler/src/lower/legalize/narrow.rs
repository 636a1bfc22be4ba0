//! Eight bits as numbers of 32 bits: the VXM does not read what lies as the planes take it.

use super::builder::Builder;
use crate::graph::{BinaryOp, ElementType, NodeId, Op, TensorType, UnaryOp};

/// Bits of a real number that F8 drops.
const DROPPED: i32 = 20;
/// Below this, numbers of F8 are multiples of [`UNIT`].
const NORMAL: f32 = 0.015_625;
const UNIT: f32 = 0.001_953_125;
const MOST: f32 = 448.0;

/// The numbers that a tensor of eight bits holds: the host's array in the VXM's layout, or what became bytes.
pub(super) fn wide(b: &mut Builder, x: NodeId) -> Option<NodeId> {
    let element = match b.element(x) {
        ElementType::I8 => ElementType::I32,
        ElementType::F8 => ElementType::F32,
        _ => return None,
    };
    let constant = b.is_constant(x);
    match b.op(x).clone() {
        op @ Op::Input(_) if b.is_given(x, b.element(x)) => {
            let shape = b.shape(x);
            Some(b.emit_typed(op, &[], TensorType::new(element, shape)))
        }
        Op::Cast(ElementType::I8) if !constant => {
            let mut value = b.input(x);
            if b.element(value) == ElementType::F32 {
                let whole = b.unary(UnaryOp::Round, value);
                value = b.pointwise(Op::Cast(ElementType::I32), &[whole]);
            }
            let (least, most) = (b.integer(i8::MIN.into()), b.integer(i8::MAX.into()));
            let value = b.binary(BinaryOp::Min, value, most);
            Some(b.binary(BinaryOp::Max, value, least))
        }
        Op::Cast(ElementType::F8) if !constant => {
            let value = b.input(x);
            let real = b.cast(ElementType::F32, value);
            Some(nearest(b, real))
        }
        op @ (Op::Reshape { .. } | Op::Transpose { .. }) => {
            let inner = b.input(x);
            let inner = wide(b, inner)?;
            Some(b.emit(op, &[inner]))
        }
        _ => None,
    }
}

/// The nearest number of F8, ties to even, saturated: half of what is dropped, less one if what stays is even, carries into what stays.
fn nearest(b: &mut Builder, x: NodeId) -> NodeId {
    let bits = b.unary(UnaryOp::Bits, x);
    let [dropped, one, half, mask] =
        [DROPPED, 1, (1 << (DROPPED - 1)) - 1, -1 << DROPPED].map(|value| b.integer(value));
    let odd = b.binary(BinaryOp::ShiftRight, bits, dropped);
    let odd = b.binary(BinaryOp::And, odd, one);
    let sum = b.binary(BinaryOp::Add, bits, half);
    let sum = b.binary(BinaryOp::Add, sum, odd);
    let kept = b.binary(BinaryOp::And, sum, mask);
    let normal = b.unary(UnaryOp::Bits, kept);
    let [limit, per_unit, unit, most, least] =
        [NORMAL, 1.0 / UNIT, UNIT, MOST, -MOST].map(|value| b.real(value));
    let count = b.binary(BinaryOp::Mul, x, per_unit);
    let count = b.unary(UnaryOp::Round, count);
    let multiple = b.binary(BinaryOp::Mul, count, unit);
    let size = b.unary(UnaryOp::Abs, x);
    let small = b.binary(BinaryOp::Less, size, limit);
    let near = b.select(small, multiple, normal);
    let near = b.binary(BinaryOp::Min, near, most);
    let near = b.binary(BinaryOp::Max, near, least);
    let number = b.binary(BinaryOp::Equal, x, x);
    b.select(number, near, x)
}

//! Reals of eight and four bits as the 32-bit numbers that they stand for.

use crate::graph::import::build::{Builder, Outcome, Value};
use crate::graph::{BinaryOp, Op, UnaryOp};
use crate::onnx::proto::tensor_proto::DataType;

/// A format of few bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Few {
    /// Bits after the point.
    fraction: i32,
    /// Exponent of the least number with all its bits.
    least: i32,
    /// The greatest number.
    most: f32,
    /// What is beyond, where it does not saturate.
    beyond: f32,
}

impl Few {
    /// The format of a type of the model, if it is one.
    pub(super) fn of(kind: DataType) -> Option<Few> {
        let (fraction, least, most, beyond) = match kind {
            DataType::Float8e4m3fn => (3, -6, 448.0, f32::NAN),
            DataType::Float8e4m3fnuz => (3, -7, 240.0, f32::NAN),
            DataType::Float8e5m2 => (2, -14, 57_344.0, f32::INFINITY),
            DataType::Float8e5m2fnuz => (2, -15, 57_344.0, f32::NAN),
            DataType::Float4e2m1 => (1, 0, 6.0, 6.0),
            _ => return None,
        };
        Some(Few { fraction, least, most, beyond })
    }

    /// The nearest number of the format, ties to even.
    pub(super) fn nearest(self, build: &mut Builder, x: &Value, saturate: bool) -> Outcome {
        let Few { fraction, least, most, beyond } = self;
        // Half of what is dropped, less one if what stays is even, carries into what stays.
        let dropped = 23 - fraction;
        let bits = build.unary(UnaryOp::Bits, x)?;
        let odd = build.binary(BinaryOp::ShiftRight, &bits, &Value::integer(dropped))?;
        let odd = build.binary(BinaryOp::And, &odd, &Value::integer(1))?;
        let sum = build.binary(BinaryOp::Add, &bits, &Value::integer((1 << (dropped - 1)) - 1))?;
        let sum = build.binary(BinaryOp::Add, &sum, &odd)?;
        let kept = build.binary(BinaryOp::And, &sum, &Value::integer(-1 << dropped))?;
        let normal = build.unary(UnaryOp::Bits, &kept)?;
        // Small numbers are multiples of one unit.
        let unit = 2f32.powi(least - fraction);
        let count = build.with_real(BinaryOp::Mul, x, 1.0 / unit)?;
        let count = build.unary(UnaryOp::Round, &count)?;
        let small = build.with_real(BinaryOp::Mul, &count, unit)?;
        let size = build.unary(UnaryOp::Abs, x)?;
        let is_small = build.with_real(BinaryOp::Less, &size, 2f32.powi(least))?;
        let near = build.apply(Op::Select, &[is_small, small, normal])?;
        let near = if saturate {
            let near = build.with_real(BinaryOp::Max, &near, -most)?;
            build.with_real(BinaryOp::Min, &near, most)?
        } else {
            let above = build.binary(BinaryOp::Less, &Value::real(most), &near)?;
            let near = build.apply(Op::Select, &[above, Value::real(beyond), near])?;
            let below = build.with_real(BinaryOp::Less, &near, -most)?;
            build.apply(Op::Select, &[below, Value::real(-beyond), near])?
        };
        let number = build.binary(BinaryOp::Equal, x, x)?;
        build.apply(Op::Select, &[number, near, Value::real(f32::NAN)])
    }
}

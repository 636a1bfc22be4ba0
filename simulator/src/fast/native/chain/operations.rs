//! What each ALU operation is in vector instructions; `isa::numeric::alu` says what it means.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};
use isa::instruction::VxmOp;
use isa::numeric::NAN;

use super::build::{Block, Emit};

impl Emit<'_> {
    /// One operation on a block. With `b` comes the scalar, where it is the same in all lanes.
    pub(super) fn apply(&mut self, op: VxmOp, a: Block, b: Option<(Block, Option<Value>)>) -> Block {
        match op {
            VxmOp::Exp => return self.call(self.helpers.exp, a),
            VxmOp::Tanh => return self.call(self.helpers.tanh, a),
            VxmOp::Rsqrt => return self.call(self.helpers.rsqrt, a),
            VxmOp::RoundF16 => return self.call(self.helpers.halves.round, a),
            _ => {}
        }
        // What an operation with one operand would do with b does not matter.
        let (b, scalar) = b.unwrap_or((a, None));
        std::array::from_fn(|index| match (op, scalar) {
            (VxmOp::ShiftLeft, Some(scalar)) => self.builder.ins().ishl(a[index], scalar),
            (VxmOp::ShiftRight, Some(scalar)) => self.builder.ins().ushr(a[index], scalar),
            (VxmOp::ShiftRightSigned, Some(scalar)) => self.builder.ins().sshr(a[index], scalar),
            _ => self.operation(op, a[index], b[index]),
        })
    }

    fn operation(&mut self, op: VxmOp, a: Value, b: Value) -> Value {
        match op {
            VxmOp::Pass => a,
            VxmOp::Add | VxmOp::Sub | VxmOp::Mul => {
                let (x, y) = (self.float(a), self.float(b));
                let value = match op {
                    VxmOp::Add => self.builder.ins().fadd(x, y),
                    VxmOp::Sub => self.builder.ins().fsub(x, y),
                    _ => self.builder.ins().fmul(x, y),
                };
                self.canonical(value)
            }
            VxmOp::Max => self.extreme(FloatCC::GreaterThan, a, b),
            VxmOp::Min => self.extreme(FloatCC::LessThan, a, b),
            VxmOp::Relu => {
                let zero = self.all(0);
                self.extreme(FloatCC::GreaterThan, a, zero)
            }
            VxmOp::Less => self.compare(FloatCC::LessThan, a, b),
            VxmOp::Equal => self.compare(FloatCC::Equal, a, b),
            VxmOp::IntAdd => self.builder.ins().iadd(a, b),
            VxmOp::IntSub => self.builder.ins().isub(a, b),
            VxmOp::IntMul => self.builder.ins().imul(a, b),
            VxmOp::IntMax => self.builder.ins().smax(a, b),
            VxmOp::IntMin => self.builder.ins().smin(a, b),
            VxmOp::IntLess => self.builder.ins().icmp(IntCC::SignedLessThan, a, b),
            VxmOp::IntEqual => self.builder.ins().icmp(IntCC::Equal, a, b),
            VxmOp::And => self.builder.ins().band(a, b),
            VxmOp::Or => self.builder.ins().bor(a, b),
            VxmOp::Xor => self.builder.ins().bxor(a, b),
            VxmOp::ShiftLeft | VxmOp::ShiftRight | VxmOp::ShiftRightSigned => self.shift(op, a, b),
            VxmOp::ToInt => {
                let x = self.float(a);
                let nearest = self.builder.ins().nearest(x);
                self.builder.ins().fcvt_to_sint_sat(types::I32X4, nearest)
            }
            VxmOp::ToFloat => {
                let value = self.builder.ins().fcvt_from_sint(types::F32X4, a);
                self.integer(value)
            }
            VxmOp::Exp | VxmOp::Tanh | VxmOp::Rsqrt | VxmOp::RoundF16 => {
                unreachable!("a helper does it for a block")
            }
        }
    }

    pub(super) fn float(&mut self, value: Value) -> Value {
        self.cast(types::F32X4, value)
    }

    pub(super) fn integer(&mut self, value: Value) -> Value {
        self.cast(types::I32X4, value)
    }

    fn compare(&mut self, condition: FloatCC, a: Value, b: Value) -> Value {
        let (x, y) = (self.float(a), self.float(b));
        self.builder.ins().fcmp(condition, x, y)
    }

    /// The bits, any NaN replaced by the one.
    fn canonical(&mut self, value: Value) -> Value {
        let wrong = self.builder.ins().fcmp(FloatCC::Unordered, value, value);
        let (nan, bits) = (self.all(NAN), self.integer(value));
        self.builder.ins().bitselect(wrong, nan, bits)
    }

    /// Max or Min: of equals both bits together, which matters to zeros only.
    fn extreme(&mut self, condition: FloatCC, a: Value, b: Value) -> Value {
        let better = self.compare(condition, a, b);
        let equal = self.compare(FloatCC::Equal, a, b);
        let wrong = self.compare(FloatCC::Unordered, a, b);
        let both = match condition {
            FloatCC::GreaterThan => self.builder.ins().band(a, b),
            _ => self.builder.ins().bor(a, b),
        };
        let unlike = self.builder.ins().bitselect(better, a, b);
        let value = self.builder.ins().bitselect(equal, both, unlike);
        let nan = self.all(NAN);
        self.builder.ins().bitselect(wrong, nan, value)
    }

    /// Each lane by its own amount, one bit of the amount after another.
    fn shift(&mut self, op: VxmOp, mut value: Value, amount: Value) -> Value {
        for bit in 0..5 {
            let by = 1 << bit;
            let by = self.builder.ins().iconst(types::I32, by);
            let shifted = match op {
                VxmOp::ShiftLeft => self.builder.ins().ishl(value, by),
                VxmOp::ShiftRight => self.builder.ins().ushr(value, by),
                _ => self.builder.ins().sshr(value, by),
            };
            let to_sign = self.builder.ins().iconst(types::I32, 31 - bit);
            let wanted = self.builder.ins().ishl(amount, to_sign);
            let zero = self.all(0);
            let wanted = self.builder.ins().icmp(IntCC::SignedLessThan, wanted, zero);
            value = self.builder.ins().bitselect(wanted, shifted, value);
        }
        value
    }
}

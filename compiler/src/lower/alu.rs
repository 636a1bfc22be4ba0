//! Pointwise operators as words of VXM operations.

use isa::instruction::VxmOp;

use crate::graph::{BinaryOp, ElementType, Op, UnaryOp};

/// An operand of an ALU operation within a pointwise kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// The n-th input of the kernel.
    Input(usize),
    /// Result of the n-th operation.
    Op(usize),
    /// Constant bits.
    Immediate(u32),
}

/// One ALU operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AluOp {
    /// What.
    pub op: VxmOp,
    /// First operand.
    pub a: Value,
    /// Second operand.
    pub b: Option<Value>,
}

/// A list of ALU operations, each after its operands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AluProgram {
    /// Operations.
    pub ops: Vec<AluOp>,
}

const ONES: Value = Value::Immediate(u32::MAX);

impl AluProgram {
    /// Adds an operation, or finds the same one.
    pub fn push(&mut self, op: VxmOp, a: Value, b: Option<Value>) -> Value {
        if let (Value::Immediate(a), Some(Value::Immediate(b))) = (a, b) {
            return Value::Immediate(isa::numeric::alu(op, a, b));
        }
        let new = AluOp { op, a, b };
        if let Some(found) = self.ops.iter().position(|&old| old == new) {
            return Value::Op(found);
        }
        self.ops.push(new);
        Value::Op(self.ops.len() - 1)
    }

    fn two(&mut self, op: VxmOp, a: Value, b: Value) -> Value {
        self.push(op, a, Some(b))
    }

    /// Adds a graph operator on operands of element type `element` (that of the first operand; of the second for Select). The error
    /// says what is not supported.
    pub fn lower(&mut self, op: &Op, element: ElementType, v: &[Value]) -> Result<Value, String> {
        match op {
            Op::Unary(unary) => self.unary(*unary, element, v[0]),
            Op::Binary(binary) => self.binary(*binary, element, v[0], v[1]),
            Op::Select => {
                let difference = self.two(VxmOp::Xor, v[1], v[2]);
                let chosen = self.two(VxmOp::And, difference, v[0]);
                Ok(self.two(VxmOp::Xor, chosen, v[2]))
            }
            Op::Cast(to) => self.cast(element, *to, v[0]),
            other => Err(format!("{other:?} is not pointwise")),
        }
    }

    fn unary(&mut self, op: UnaryOp, element: ElementType, a: Value) -> Result<Value, String> {
        let integer = element == ElementType::I32;
        Ok(match op {
            UnaryOp::Neg if integer => self.two(VxmOp::IntSub, Value::Immediate(0), a),
            UnaryOp::Neg => self.two(VxmOp::Xor, a, Value::Immediate(0x8000_0000)),
            UnaryOp::Abs if integer => {
                let negative = self.two(VxmOp::IntSub, Value::Immediate(0), a);
                self.two(VxmOp::IntMax, a, negative)
            }
            UnaryOp::Abs => self.two(VxmOp::And, a, Value::Immediate(0x7fff_ffff)),
            UnaryOp::Exp => self.push(VxmOp::Exp, a, None),
            UnaryOp::Tanh => self.push(VxmOp::Tanh, a, None),
            UnaryOp::Rsqrt => self.push(VxmOp::Rsqrt, a, None),
            UnaryOp::Relu => self.push(VxmOp::Relu, a, None),
            UnaryOp::RoundF16 => self.push(VxmOp::RoundF16, a, None),
            UnaryOp::Not => self.two(VxmOp::Xor, a, ONES),
            UnaryOp::Bits => a,
            UnaryOp::Round => {
                let integer = self.push(VxmOp::ToInt, a, None);
                self.push(VxmOp::ToFloat, integer, None)
            }
            UnaryOp::Floor => {
                let integer = self.push(VxmOp::ToInt, a, None);
                let nearest = self.push(VxmOp::ToFloat, integer, None);
                let above = self.two(VxmOp::Less, a, nearest);
                let one = self.two(VxmOp::And, above, Value::Immediate(1f32.to_bits()));
                self.two(VxmOp::Sub, nearest, one)
            }
            UnaryOp::Mantissa => {
                let exponent = self.exponent(a);
                let power = self.two(VxmOp::ShiftLeft, exponent, Value::Immediate(23));
                self.two(VxmOp::IntSub, a, power)
            }
            UnaryOp::Exponent => {
                let exponent = self.exponent(a);
                self.push(VxmOp::ToFloat, exponent, None)
            }
            other => return Err(format!("{other:?} has no VXM form")),
        })
    }

    /// The power of two that leaves a normal positive number from √½ on and below √2: what its bits have above those of √½.
    fn exponent(&mut self, a: Value) -> Value {
        let root = Value::Immediate(std::f32::consts::FRAC_1_SQRT_2.to_bits());
        let above = self.two(VxmOp::IntSub, a, root);
        self.two(VxmOp::ShiftRightSigned, above, Value::Immediate(23))
    }

    fn binary(&mut self, op: BinaryOp, element: ElementType, a: Value, b: Value) -> Result<Value, String> {
        let integer = element == ElementType::I32;
        let pick = |int, real| if integer { int } else { real };
        Ok(match op {
            BinaryOp::Add => self.two(pick(VxmOp::IntAdd, VxmOp::Add), a, b),
            BinaryOp::Sub => self.two(pick(VxmOp::IntSub, VxmOp::Sub), a, b),
            BinaryOp::Mul => self.two(pick(VxmOp::IntMul, VxmOp::Mul), a, b),
            BinaryOp::Max => self.two(pick(VxmOp::IntMax, VxmOp::Max), a, b),
            BinaryOp::Min => self.two(pick(VxmOp::IntMin, VxmOp::Min), a, b),
            BinaryOp::Less => self.two(pick(VxmOp::IntLess, VxmOp::Less), a, b),
            BinaryOp::LessEqual if integer => {
                let greater = self.two(VxmOp::IntLess, b, a);
                self.two(VxmOp::Xor, greater, ONES)
            }
            // What is not greater need not be less or equal: it may be no number.
            BinaryOp::LessEqual => {
                let (less, equal) = (self.two(VxmOp::Less, a, b), self.two(VxmOp::Equal, a, b));
                self.two(VxmOp::Or, less, equal)
            }
            BinaryOp::Equal if element == ElementType::Bool => {
                let differ = self.two(VxmOp::Xor, a, b);
                self.two(VxmOp::Xor, differ, ONES)
            }
            BinaryOp::Equal => self.two(pick(VxmOp::IntEqual, VxmOp::Equal), a, b),
            BinaryOp::And => self.two(VxmOp::And, a, b),
            BinaryOp::Or => self.two(VxmOp::Or, a, b),
            BinaryOp::Xor => self.two(VxmOp::Xor, a, b),
            BinaryOp::ShiftLeft => self.two(VxmOp::ShiftLeft, a, b),
            BinaryOp::ShiftRight => self.two(VxmOp::ShiftRightSigned, a, b),
            other => return Err(format!("{other:?} of {element:?} has no VXM form")),
        })
    }

    /// The integer that a rounded number was before it became real again.
    fn integer_of(&self, a: Value) -> Option<Value> {
        let made = |value: Value| if let Value::Op(n) = value { Some(self.ops[n]) } else { None };
        let real = made(a).filter(|op| op.op == VxmOp::ToFloat)?;
        made(real.a).filter(|op| op.op == VxmOp::ToInt).map(|_| real.a)
    }

    fn cast(&mut self, from: ElementType, to: ElementType, a: Value) -> Result<Value, String> {
        Ok(match (from, to) {
            (ElementType::F32 | ElementType::I32, ElementType::I8) => {
                let integer = if from == ElementType::F32 { self.push(VxmOp::ToInt, a, None) } else { a };
                let most = self.two(VxmOp::IntMin, integer, Value::Immediate(127));
                self.two(VxmOp::IntMax, most, Value::Immediate(-128i32 as u32))
            }
            (ElementType::I8, ElementType::F32) => self.push(VxmOp::ToFloat, a, None),
            (ElementType::Bool, ElementType::F32) => {
                self.two(VxmOp::And, a, Value::Immediate(1f32.to_bits()))
            }
            (ElementType::Bool, ElementType::I32) => self.two(VxmOp::And, a, Value::Immediate(1)),
            (ElementType::I32, ElementType::F32) => self.push(VxmOp::ToFloat, a, None),
            (ElementType::F32, ElementType::Bool) => {
                let zero = self.two(VxmOp::Equal, a, Value::Immediate(0));
                self.two(VxmOp::Xor, zero, ONES)
            }
            (ElementType::I32, ElementType::Bool) => {
                let zero = self.two(VxmOp::IntEqual, a, Value::Immediate(0));
                self.two(VxmOp::Xor, zero, ONES)
            }
            // In legal form what is cast is whole, often made of an integer right before.
            (ElementType::F32, ElementType::I32) => {
                self.integer_of(a).unwrap_or_else(|| self.push(VxmOp::ToInt, a, None))
            }
            _ => a,
        })
    }
}

/// Whether an operator is pointwise.
pub fn is_pointwise(op: &Op) -> bool {
    matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast(_))
}

/// The operator's element type, as [`AluProgram::lower`] wants it.
pub fn operand_type(op: &Op, types: &[ElementType]) -> ElementType {
    match op {
        Op::Select => types[1],
        _ => types[0],
    }
}

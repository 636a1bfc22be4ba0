//! What the lanes past a tensor's last column hold.
//!
//! A product sums over all lanes, so they must be zero there; elsewhere nobody cares.

use cranelift_entity::SecondaryMap;
use isa::instruction::VxmOp;

use super::alu::{AluProgram, Value};
use super::context::Context;
use crate::graph::NodeId;

/// Content of the lanes past the last column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pad {
    /// These bits. Arrays that the host, the memory image, the MXM or the SXM fill have zeros.
    Known(u32),
    /// Anything.
    #[default]
    Unknown,
}

/// Pads of computed tensors; what is not set is zero.
#[derive(Clone, Debug, Default)]
pub struct Pads {
    set: SecondaryMap<NodeId, Option<Pad>>,
}

/// Pads of the values of an ALU program.
pub struct ValuePads {
    inputs: Vec<Pad>,
    ops: Vec<Pad>,
}

impl ValuePads {
    /// Pad of a value.
    pub fn value(&self, value: Value) -> Pad {
        match value {
            Value::Input(n) => self.inputs[n],
            Value::Op(n) => self.ops[n],
            Value::Immediate(bits) => Pad::Known(bits),
        }
    }
}

impl Pads {
    /// Pad of an array's rows.
    pub fn of(&self, context: &Context<'_>, base: NodeId) -> Pad {
        if context.constant[base] { Pad::Known(0) } else { self.set[base].unwrap_or(Pad::Known(0)) }
    }

    /// Notes the pad of a computed tensor.
    pub fn set(&mut self, node: NodeId, pad: Pad) {
        self.set[node] = Some(pad);
    }

    /// Pads of an ALU program's values.
    pub fn through(&self, program: &AluProgram, inputs: &[Pad]) -> ValuePads {
        let mut pads = ValuePads { inputs: inputs.to_vec(), ops: Vec::new() };
        for op in &program.ops {
            let a = pads.value(op.a);
            let b = op.b.map_or(Pad::Known(0), |b| pads.value(b));
            let zero = a == Pad::Known(0) || (op.b.is_some() && b == Pad::Known(0));
            let pad = match (op.op, a, b) {
                (_, Pad::Known(a), Pad::Known(b)) => Pad::Known(isa::numeric::alu(op.op, a, b)),
                // Zero times anything finite is zero; what is not finite has spoilt the real lanes already.
                (VxmOp::Mul | VxmOp::And, ..) if zero => Pad::Known(0),
                _ => Pad::Unknown,
            };
            pads.ops.push(pad);
        }
        pads
    }
}

//! Caches: what is kept of earlier tokens, and which of it a token sees.

use compiler::graph::eval::Tensor;
use compiler::graph::{BinaryOp, ElementType, NodeId, Op, State, UnaryOp};

use super::parts::{Made, Parts};

/// Where a new token is kept, and what it sees.
#[derive(Clone, Copy)]
pub(super) struct Slots {
    /// Tokens that a cache holds.
    capacity: usize,
    /// Which of them the new one is, [1].
    slot: NodeId,
    /// Which of them are seen, [capacity].
    seen: NodeId,
}

impl Parts<'_> {
    /// Slots of a cache for `context` tokens, of which a window keeps the latest.
    ///
    /// A window's cache is a ring: the new token takes the place of the oldest. Keys are turned before they are kept, so that their order
    /// does not matter, and once the ring is full all of it is seen.
    pub(super) fn slots(
        &mut self,
        position: NodeId,
        context: usize,
        window: Option<usize>,
    ) -> Result<Slots, String> {
        let capacity = window.map_or(context, |window| window.min(context));
        let slot = if capacity < context { self.remainder(position, capacity)? } else { position };
        let places: Vec<i32> = (0..capacity as i32).collect();
        let places = self.constant(Tensor::i32([capacity], places), "places");
        let seen = self.binary(BinaryOp::LessEqual, places, position, "self_attn.seen")?;
        Ok(Slots { capacity, slot, seen })
    }

    /// A whole number modulo `by`.
    fn remainder(&mut self, number: NodeId, by: usize) -> Made {
        let name = "self_attn.slot";
        let real = self.push(Op::Cast(ElementType::F32), &[number], name)?;
        // Half a token more, so that no multiple of `by` is rounded down to the one before.
        let half = self.real(0.5);
        let real = self.binary(BinaryOp::Add, real, half, name)?;
        let share = self.scaled(real, 1.0 / by as f32, name)?;
        let whole = self.unary(UnaryOp::Floor, share, name)?;
        let whole = self.push(Op::Cast(ElementType::I32), &[whole], name)?;
        let by = self.integer(by as i32);
        let multiple = self.binary(BinaryOp::Mul, whole, by, name)?;
        self.binary(BinaryOp::Sub, number, multiple, name)
    }

    /// A cache [.., capacity, n] with the new rows [.., 1, n] in their slot.
    pub(super) fn cache(&mut self, kind: &str, new: NodeId, slots: Slots) -> Made {
        let mut shape = self.graph.shape(new).to_vec();
        let axis = shape.len().saturating_sub(2);
        shape[axis] = slots.capacity;
        let (input_name, output_name) = (format!("past_key_values.{kind}"), format!("present.{kind}"));
        let input = self.input(&input_name, ElementType::F32, &shape);
        let output = self.push(Op::Append { axis }, &[input, new, slots.slot], &output_name)?;
        self.graph.states.push(State { input, output, input_name, output_name });
        Ok(output)
    }

    /// Scores [.., capacity] that are the lowest number where a token is not seen.
    pub(super) fn masked(&mut self, scores: NodeId, slots: Slots) -> Made {
        let lowest = self.real(f32::MIN);
        self.push(Op::Select, &[slots.seen, scores, lowest], "self_attn.mask")
    }
}

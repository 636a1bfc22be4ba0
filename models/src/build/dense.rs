//! Feed-forwards without experts, and the function between their products.

use compiler::graph::{BinaryOp, NodeId, UnaryOp};

use super::parts::{Made, Parts};
use crate::config::Activation;

/// Where gpt-oss cuts off both factors.
const LIMIT: f32 = 7.0;
/// What gpt-oss multiplies the sigmoid's argument by.
const STEEPNESS: f32 = 1.702;

impl Parts<'_> {
    /// down(act(gate(x)) · up(x)).
    pub(super) fn gated(&mut self, h: NodeId, prefix: &str, inner: usize) -> Made {
        let gate = self.linear(h, &format!("{prefix}.gate_proj"), inner)?;
        let up = self.linear(h, &format!("{prefix}.up_proj"), inner)?;
        let inner = self.gate(gate, up, prefix)?;
        self.linear(inner, &format!("{prefix}.down_proj"), self.config.hidden)
    }

    /// act(gate) · up.
    pub(super) fn gate(&mut self, gate: NodeId, up: NodeId, prefix: &str) -> Made {
        let (act, gated) = (format!("{prefix}.act"), format!("{prefix}.gated"));
        if self.config.activation == Activation::SiluClamped {
            return self.clamped_gate(gate, up, &act);
        }
        let gate = self.activation(gate, &act)?;
        self.binary(BinaryOp::Mul, gate, up, &gated)
    }

    /// g · sigmoid(1.702 g) · (u + 1), with g cut off at 7 and u at ±7.
    fn clamped_gate(&mut self, gate: NodeId, up: NodeId, name: &str) -> Made {
        let (most, least, one) = (self.real(LIMIT), self.real(-LIMIT), self.real(1.0));
        let gate = self.binary(BinaryOp::Min, gate, most, name)?;
        let up = self.binary(BinaryOp::Min, up, most, name)?;
        let up = self.binary(BinaryOp::Max, up, least, name)?;
        let steep = self.scaled(gate, STEEPNESS, name)?;
        let open = self.unary(UnaryOp::Sigmoid, steep, name)?;
        let gate = self.binary(BinaryOp::Mul, gate, open, name)?;
        let up = self.binary(BinaryOp::Add, up, one, name)?;
        self.binary(BinaryOp::Mul, gate, up, name)
    }

    /// The model's function, of which [`Activation::SiluClamped`] has the first factor only.
    pub(super) fn activation(&mut self, x: NodeId, name: &str) -> Made {
        let share = match self.config.activation {
            Activation::Silu => self.unary(UnaryOp::Sigmoid, x, name)?,
            Activation::SiluClamped => {
                let steep = self.scaled(x, STEEPNESS, name)?;
                self.unary(UnaryOp::Sigmoid, steep, name)?
            }
            Activation::Gelu => {
                let part = self.scaled(x, std::f32::consts::FRAC_1_SQRT_2, name)?;
                let odd = self.unary(UnaryOp::Erf, part, name)?;
                self.half_of_one_more(odd, name)?
            }
            Activation::GeluTanh => {
                let square = self.binary(BinaryOp::Mul, x, x, name)?;
                let bend = self.scaled(square, 0.044_715, name)?;
                let one = self.real(1.0);
                let bend = self.binary(BinaryOp::Add, bend, one, name)?;
                let bent = self.binary(BinaryOp::Mul, x, bend, name)?;
                let part = self.scaled(bent, std::f32::consts::FRAC_2_PI.sqrt(), name)?;
                let odd = self.unary(UnaryOp::Tanh, part, name)?;
                self.half_of_one_more(odd, name)?
            }
        };
        self.binary(BinaryOp::Mul, x, share, name)
    }

    /// (x + 1) / 2.
    fn half_of_one_more(&mut self, x: NodeId, name: &str) -> Made {
        let one = self.real(1.0);
        let x = self.binary(BinaryOp::Add, x, one, name)?;
        self.scaled(x, 0.5, name)
    }
}

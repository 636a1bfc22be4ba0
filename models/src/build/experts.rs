//! Experts: gated feed-forwards, a few of which work for each token.
//!
//! In *resident* form all of a layer's experts work on every token, and the shares of those that are not chosen are zero: side by side they are one
//! gated feed-forward. In *gathered* form each of a token's slots has the weights of the expert that it is for. A program's cycles do not
//! depend on values in either.

use compiler::graph::eval::Tensor;
use compiler::graph::{BinaryOp, NodeId, Op, ReduceOp};

use super::parts::{Made, Parts};
use crate::config::{Experts, Run};

/// What brings each expert's share to its inner elements: a matrix [experts, experts · inner] of ones where the column is the expert's, and zeros.
/// It is not published, and its values are [`spread`].
pub const SPREAD: &str = "mlp.experts.spread";

/// The values of [`SPREAD`].
pub fn spread(experts: usize, inner: usize) -> Tensor {
    let columns = experts * inner;
    let one = |at: usize| if at % columns / inner == at / columns { 1.0 } else { 0.0 };
    Tensor::f32([experts, columns], (0..experts * columns).map(one).collect::<Vec<f32>>())
}

impl Parts<'_> {
    /// The sum of the chosen experts' outputs by their shares, and of the shared experts', for tokens `h` [batch, 1, hidden].
    pub(super) fn experts(&mut self, h: NodeId, shape: Experts) -> Made {
        let sum = match shape.run {
            Run::Resident => self.resident(h, shape)?,
            Run::Gather => self.gathered(h, shape)?,
        };
        if shape.shared == 0 {
            return Ok(sum);
        }
        let shared = self.gated(h, "mlp.shared_experts", shape.shared * shape.inner)?;
        self.binary(BinaryOp::Add, sum, shared, "mlp.sum")
    }

    /// All experts side by side are one gated feed-forward, whose inner elements are multiplied by the shares of their experts.
    fn resident(&mut self, h: NodeId, shape: Experts) -> Made {
        let (hidden, batch) = (self.config.hidden, self.graph.shape(h)[0]);
        let shares = self.shares(h, shape)?;
        let shares = self.reshape(shares, &[batch, 1, shape.experts], "mlp.gate.shares")?;
        let gate = self.expert_product(h, "gate_proj", shape)?;
        let up = self.expert_product(h, "up_proj", shape)?;
        let inner = self.gate(gate, up, "mlp.experts")?;
        let spread = self.weight(&format!("{SPREAD}.weight"), &[shape.experts, shape.experts * shape.inner]);
        let of_each = self.matmul(shares, spread, SPREAD)?;
        let inner = self.binary(BinaryOp::Mul, inner, of_each, "mlp.experts.shared_out")?;
        let encoding = self.config.published.experts();
        let sum = self.product(inner, "mlp.experts.down_proj", hidden, encoding)?;
        if !shape.bias {
            return Ok(sum);
        }
        let bias = self.weight("mlp.experts.down_proj.bias", &[shape.experts, hidden]);
        let bias = self.matmul(shares, bias, "mlp.experts.down_proj.bias")?;
        self.binary(BinaryOp::Add, sum, bias, "mlp.experts.sum")
    }

    /// Vectors times the weights of all experts: [batch, 1, experts · inner].
    fn expert_product(&mut self, x: NodeId, part: &str, shape: Experts) -> Made {
        let name = format!("mlp.experts.{part}");
        let outputs = shape.experts * shape.inner;
        let product = self.product(x, &name, outputs, self.config.published.experts())?;
        if !shape.bias {
            return Ok(product);
        }
        let bias = self.weight(&format!("{name}.bias"), &[outputs]);
        self.binary(BinaryOp::Add, product, bias, &name)
    }

    /// Each token's slots, each with the weights of its expert.
    fn gathered(&mut self, h: NodeId, shape: Experts) -> Made {
        let (hidden, batch) = (self.config.hidden, self.graph.shape(h)[0]);
        let routed = self.routed(h, shape)?;
        // The index of a slot is in all lanes, and so has an axis of its own.
        let h = self.reshape(h, &[batch, 1, 1, 1, hidden], "mlp.experts")?;
        let gate = self.slot_product(h, "gate_proj", routed.experts, (shape, shape.inner))?;
        let up = self.slot_product(h, "up_proj", routed.experts, (shape, shape.inner))?;
        let inner = self.gate(gate, up, "mlp.experts")?;
        let outputs = self.slot_product(inner, "down_proj", routed.experts, (shape, hidden))?;
        let shares = self.reshape(routed.shares, &[batch, shape.active, 1, 1, 1], "mlp.experts.sum")?;
        let outputs = self.binary(BinaryOp::Mul, outputs, shares, "mlp.experts.sum")?;
        let sum = self.reduce(ReduceOp::Sum, outputs, 1, "mlp.experts.sum")?;
        self.reshape(sum, &[batch, 1, hidden], "mlp.experts.sum")
    }

    /// Vectors [batch, .., 1, 1, inputs] of slots times the weights of their experts: [batch, active, 1, 1, outputs].
    fn slot_product(
        &mut self,
        x: NodeId,
        part: &str,
        experts: NodeId,
        (shape, outputs): (Experts, usize),
    ) -> Made {
        let name = format!("mlp.experts.{part}");
        let inputs = self.graph.shape(x).last().copied().unwrap_or(1);
        let encoding = self.config.published.experts();
        let weights = self.encoded(&format!("{name}.weight"), &[shape.experts, inputs, outputs], encoding);
        let weights = self.push(Op::Gather { axis: 0 }, &[weights, experts], &name)?;
        let product = self.matmul(x, weights, &name)?;
        if !shape.bias {
            return Ok(product);
        }
        let bias = self.weight(&format!("{name}.bias"), &[shape.experts, outputs]);
        let bias = self.push(Op::Gather { axis: 0 }, &[bias, experts], &name)?;
        let rows = self.graph.shape(product).to_vec();
        let bias = self.reshape(bias, &rows, &name)?;
        self.binary(BinaryOp::Add, product, bias, &name)
    }
}

//! Attention with keys and values for each group of query heads, for one new token.

use compiler::graph::{BinaryOp, NodeId, Op, ReduceOp, UnaryOp};

use super::parts::{Made, Parts};
use crate::config::Grouped;
use crate::layers::LayerHeads;

impl Parts<'_> {
    /// What tokens say to the new ones `h` [batch, 1, hidden].
    pub(super) fn grouped(
        &mut self,
        h: NodeId,
        position: NodeId,
        (shape, heads): (Grouped, LayerHeads),
        (batch, context): (usize, usize),
    ) -> Made {
        let LayerHeads { heads: queries, kv_heads, head_dim, .. } = heads;
        let [q, k, v] = self.queries_keys_values(h, (shape, heads), batch)?;
        let (q, k) = match heads.rotary {
            Some(rotary) => {
                let angles = self.rotary(position, head_dim, rotary)?;
                let q = self.rotate(q, angles, "self_attn.q_rotary")?;
                (q, self.rotate(k, angles, "self_attn.k_rotary")?)
            }
            None => (q, k),
        };
        let slots = self.slots(position, context, heads.window)?;
        let k = self.cache("key", k, slots)?;
        let v = self.cache("value", v, slots)?;
        let mut scores = self.push(Op::MatMul { transpose_b: true }, &[q, k], "self_attn.scores")?;
        if !shape.v_norm {
            scores = self.scaled(scores, (head_dim as f32).sqrt().recip(), "self_attn.scale")?;
        }
        let scores = self.masked(scores, slots)?;
        let shares = match shape.sinks {
            true => self.shares_with_sinks(scores, (kv_heads, queries / kv_heads))?,
            false => self.push(Op::Softmax { axis: 3 }, &[scores], "self_attn.softmax")?,
        };
        let mixed = self.matmul(shares, v, "self_attn.mixed")?;
        let mixed = self.reshape(mixed, &[batch, 1, queries * head_dim], "self_attn.joined")?;
        self.affine(mixed, "self_attn.o_proj", self.config.hidden, shape.bias)
    }

    /// Queries [batch, kv_heads, queries of a group, head_dim], keys and values [batch, kv_heads, 1, head_dim], normalised.
    fn queries_keys_values(
        &mut self,
        h: NodeId,
        (shape, heads): (Grouped, LayerHeads),
        batch: usize,
    ) -> Result<[NodeId; 3], String> {
        let LayerHeads { heads: queries, kv_heads, head_dim, shared_kv, .. } = heads;
        let name = |part: &str| format!("self_attn.{part}");
        let q = self.affine(h, &name("q_proj"), queries * head_dim, shape.bias)?;
        let k = self.affine(h, &name("k_proj"), kv_heads * head_dim, shape.bias)?;
        let v = match shared_kv {
            true => k,
            false => self.affine(h, &name("v_proj"), kv_heads * head_dim, shape.bias)?,
        };
        let q = self.reshape(q, &[batch, kv_heads, queries / kv_heads, head_dim], &name("q"))?;
        let k = self.reshape(k, &[batch, kv_heads, 1, head_dim], &name("k"))?;
        let v = self.reshape(v, &[batch, kv_heads, 1, head_dim], &name("v"))?;
        let (q, k) = match shape.qk_norm {
            true => (self.norm(q, &name("q_norm"))?, self.norm(k, &name("k_norm"))?),
            false => (q, k),
        };
        let v = match shape.v_norm {
            true => self.bare_norm(v, self.config.epsilon, &name("v_norm"))?,
            false => v,
        };
        Ok([q, k, v])
    }

    /// A softmax over scores [batch, kv_heads, group, context] and a learned score of each head, whose share goes nowhere.
    fn shares_with_sinks(&mut self, scores: NodeId, (kv_heads, group): (usize, usize)) -> Made {
        let name = "self_attn.softmax";
        let sinks = self.weight("self_attn.sinks", &[kv_heads * group]);
        let sinks = self.reshape(sinks, &[1, kv_heads, group, 1], name)?;
        let greatest = self.reduce(ReduceOp::Max, scores, 3, name)?;
        let greatest = self.binary(BinaryOp::Max, greatest, sinks, name)?;
        let [parts, sunk] = [scores, sinks].map(|scores| {
            let below = self.binary(BinaryOp::Sub, scores, greatest, name)?;
            self.unary(UnaryOp::Exp, below, name)
        });
        let (parts, sunk) = (parts?, sunk?);
        let sum = self.reduce(ReduceOp::Sum, parts, 3, name)?;
        let sum = self.binary(BinaryOp::Add, sum, sunk, name)?;
        let share = self.unary(UnaryOp::Recip, sum, name)?;
        self.binary(BinaryOp::Mul, parts, share, name)
    }
}

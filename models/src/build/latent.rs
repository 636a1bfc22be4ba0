//! Attention over one latent vector for each token (MLA), for one new token, in the absorbed form.
//!
//! As published, keys and values of all heads are made of the latent vectors of all tokens. For one new token it is less work to bring its
//! queries to where the latent vectors are: with a head's key matrix K, q · (K c) = (Kᵀ q) · c, and with its value matrix V, the sum of
//! shares · (V c) is V · the sum of shares · c. So scores and sums are taken over the cache of latent vectors, which all heads share.
//!
//! `self_attn.kv_b_proj` is published as one matrix that makes, of a latent vector, each head's key and then its value. Here it is two
//! constants: `self_attn.kv_b_proj.key.weight` [heads, nope, kv_rank], as Kᵀ takes a query, and `self_attn.kv_b_proj.value.weight`
//! [heads, kv_rank, v].

use compiler::graph::{NodeId, Op};

use super::parts::{Made, Parts};
use super::rotary::score_factor;
use crate::config::{Latent, Positions};

/// What is added to the mean squares of the two latent vectors, whatever the model's other norms have.
const EPSILON: f32 = 1e-6;

/// Elements of latent vectors that are summed together at most.
const PIECE: usize = 256;

impl Parts<'_> {
    /// What tokens say to the new ones `h` [batch, 1, hidden].
    pub(super) fn latent(
        &mut self,
        h: NodeId,
        position: NodeId,
        shape: Latent,
        (batch, context): (usize, usize),
    ) -> Made {
        let Latent { heads, kv_rank, rope, v, .. } = shape;
        let theta = match self.config.positions {
            Positions::Rotary { theta, .. } => theta,
            Positions::Learned { .. } => return Err("latent attention without rotary angles".to_owned()),
        };
        let angles = self.rotary(position, rope, (theta, 1.0))?;
        let q = self.latent_queries(h, angles, shape, batch)?;
        let (keys, values) = self.latent_vectors(h, angles, shape, batch)?;
        let slots = self.slots(position, context, None)?;
        let cache = self.cache("latent", keys, slots)?;
        let scores = self.push(Op::MatMul { transpose_b: true }, &[q, cache], "self_attn.scores")?;
        let scale = score_factor(self.config.positions) / ((shape.nope + rope) as f64).sqrt();
        let scores = self.scaled(scores, scale as f32, "self_attn.scale")?;
        let scores = self.masked(scores, slots)?;
        let shares = self.push(Op::Softmax { axis: 3 }, &[scores], "self_attn.softmax")?;
        // Scores want latent vectors by rows, and sums want them by columns. To turn the whole cache at each step costs more than to keep both.
        // In pieces as heads have them, each by columns.
        let pieces = kv_rank.div_ceil(PIECE);
        let values = self.reshape(values, &[batch, pieces, 1, kv_rank / pieces], "self_attn.v")?;
        let cache = self.cache("latent_value", values, slots)?;
        let mixed = self.matmul(shares, cache, "self_attn.mixed")?;
        let mixed = self.transpose(mixed, &[0, 2, 1, 3], "self_attn.mixed")?;
        let mixed = self.reshape(mixed, &[batch, heads, kv_rank], "self_attn.mixed")?;
        let weight = self.weight("self_attn.kv_b_proj.value.weight", &[heads, kv_rank, v]);
        let values = self.for_each_head(mixed, weight, "self_attn.values")?;
        let joined = self.reshape(values, &[batch, 1, heads * v], "self_attn.joined")?;
        self.linear(joined, "self_attn.o_proj", self.config.hidden)
    }

    /// Queries of latent vectors, and their turned elements: [batch, 1, heads, kv_rank + rope].
    fn latent_queries(&mut self, h: NodeId, angles: (NodeId, NodeId), shape: Latent, batch: usize) -> Made {
        let Latent { heads, q_rank, kv_rank, nope, rope, .. } = shape;
        let q = self.linear(h, "self_attn.q_a_proj", q_rank)?;
        let q = self.weighted_norm(q, EPSILON, "self_attn.q_a_layernorm")?;
        let q = self.linear(q, "self_attn.q_b_proj", heads * (nope + rope))?;
        let q = self.reshape(q, &[batch, heads, nope + rope], "self_attn.q")?;
        let still = self.slice(q, 0, nope, "self_attn.q_nope")?;
        let weight = self.weight("self_attn.kv_b_proj.key.weight", &[heads, nope, kv_rank]);
        let still = self.for_each_head(still, weight, "self_attn.q_latent")?;
        let turned = self.slice(q, nope, rope, "self_attn.q_rope")?;
        let turned = self.rotate(turned, angles, "self_attn.q_rotary")?;
        let q = self.push(Op::Concat { axis: 2 }, &[still, turned], "self_attn.q")?;
        self.reshape(q, &[batch, 1, heads, kv_rank + rope], "self_attn.q")
    }

    /// The new tokens' latent vectors, normalised: with their turned elements [batch, 1, 1, kv_rank + rope], and without them.
    fn latent_vectors(
        &mut self,
        h: NodeId,
        angles: (NodeId, NodeId),
        shape: Latent,
        batch: usize,
    ) -> Result<(NodeId, NodeId), String> {
        let Latent { kv_rank, rope, .. } = shape;
        let both = self.linear(h, "self_attn.kv_a_proj_with_mqa", kv_rank + rope)?;
        let latent = self.slice(both, 0, kv_rank, "self_attn.kv_a")?;
        let latent = self.weighted_norm(latent, EPSILON, "self_attn.kv_a_layernorm")?;
        let turned = self.slice(both, kv_rank, rope, "self_attn.k_rope")?;
        let turned = self.rotate(turned, angles, "self_attn.k_rotary")?;
        let both = self.push(Op::Concat { axis: 2 }, &[latent, turned], "self_attn.kv")?;
        let both = self.reshape(both, &[batch, 1, 1, kv_rank + rope], "self_attn.kv")?;
        Ok((both, self.reshape(latent, &[batch, 1, 1, kv_rank], "self_attn.kv")?))
    }

    /// Vectors x [batch, heads, n] times each head's own weights [heads, n, m]: [batch, heads, m].
    fn for_each_head(&mut self, x: NodeId, weight: NodeId, name: &str) -> Made {
        // The batch becomes rows, so that a head's weights meet all sequences at once.
        let x = self.transpose(x, &[1, 0, 2], name)?;
        let product = self.matmul(x, weight, name)?;
        self.transpose(product, &[1, 0, 2], name)
    }
}

//! Which layers of a model are alike.
//!
//! Layers of one model may differ: some see a window and others all tokens, the first may have a feed-forward in place of experts. What one
//! layer is built of is a [`LayerShape`]; layers of equal shape have equal graphs, apart from their weights.

use crate::Config;
use crate::config::{Activation, Attention, Experts, FeedForward, Kind, Latent, Norms, Positions};

/// What one layer is built of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerShape {
    /// How its tokens see each other.
    pub attention: LayerAttention,
    /// What follows attention.
    pub feed_forward: LayerFeedForward,
}

/// How tokens see each other in one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LayerAttention {
    /// Keys and values for each group of query heads.
    Grouped(LayerHeads),
    /// Keys and values made of one latent vector.
    Latent(Latent),
}

/// Heads of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerHeads {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Whether one product makes keys and values.
    pub shared_kv: bool,
    /// Tokens that are seen, the newest among them; nothing if all are.
    pub window: Option<usize>,
    /// Base of the rotary angles, and the part of a head's elements that is turned; nothing where places are told otherwise.
    pub rotary: Option<(f64, f64)>,
}

/// What follows attention in one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LayerFeedForward {
    /// down(act(gate(x)) · up(x)).
    Gated {
        /// Elements between the products.
        inner: usize,
    },
    /// down(act(up(x))), both products with a bias.
    Plain {
        /// Elements between the products.
        inner: usize,
    },
    /// Gated feed-forwards, a few of which work for each token.
    Experts(Experts),
}

/// Layers that are alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DistinctLayer {
    /// The first of them, counted from 0.
    pub first: usize,
    /// How many there are.
    pub count: usize,
    /// What each is built of.
    pub shape: LayerShape,
}

impl Config {
    /// What a layer is built of; the first is 0.
    pub fn layer_shape(&self, index: usize) -> LayerShape {
        let attention = match self.attention {
            Attention::Latent(latent) => LayerAttention::Latent(latent),
            Attention::Grouped(grouped) => {
                let theta = match self.positions {
                    Positions::Rotary { theta, .. } => Some(theta),
                    Positions::Learned { .. } => None,
                };
                let window = grouped.window.filter(|window| !window.sees_all(index));
                let full =
                    grouped.window.filter(|window| window.sees_all(index)).and_then(|window| window.full);
                LayerAttention::Grouped(LayerHeads {
                    heads: grouped.heads,
                    kv_heads: full.map_or(grouped.kv_heads, |full| full.kv_heads),
                    head_dim: full.map_or(grouped.head_dim, |full| full.head_dim),
                    shared_kv: full.is_some_and(|full| full.shared_kv),
                    window: window.map(|window| window.size),
                    rotary: theta.map(|theta| full.map_or((theta, 1.0), |full| (full.theta, full.turned))),
                })
            }
        };
        let feed_forward = match self.feed_forward {
            FeedForward::Gated { inner } => LayerFeedForward::Gated { inner },
            FeedForward::Plain { inner } => LayerFeedForward::Plain { inner },
            FeedForward::Experts(experts) if index < experts.dense_layers => {
                LayerFeedForward::Gated { inner: experts.dense_inner }
            }
            FeedForward::Experts(experts) => LayerFeedForward::Experts(experts),
        };
        LayerShape { attention, feed_forward }
    }

    /// Groups of layers that are alike, in the order of their first layers. Each kind has to be built once only.
    pub fn distinct_layers(&self) -> Vec<DistinctLayer> {
        let mut kinds: Vec<DistinctLayer> = Vec::new();
        for index in 0..self.layers {
            let shape = self.layer_shape(index);
            match kinds.iter_mut().find(|kind| kind.shape == shape) {
                Some(kind) => kind.count += 1,
                None => kinds.push(DistinctLayer { first: index, count: 1, shape }),
            }
        }
        kinds
    }

    /// What the graphs of the model would need and do not have, in words; nothing for any published model that is known here.
    pub fn not_built(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        let mut note = |absent: bool, what| missing.extend(absent.then_some(what));
        let plain = matches!(self.feed_forward, FeedForward::Plain { .. });
        let learned = matches!(self.positions, Positions::Learned { .. });
        match self.kind {
            Kind::Decoder => {
                note(self.norms == Norms::After, "LayerNorm in decoders");
                note(plain, "feed-forwards without a gate in decoders");
                note(learned, "learned positions in decoders");
            }
            Kind::Encoder { .. } => {
                let same = |grouped: crate::config::Grouped| {
                    let odd = grouped.qk_norm || grouped.v_norm || grouped.sinks || !grouped.bias;
                    grouped.kv_heads == grouped.heads && grouped.window.is_none() && !odd
                };
                let like_bert = matches!(self.attention, Attention::Grouped(grouped) if same(grouped));
                note(!like_bert, "encoders whose attention is not BERT's");
                note(self.norms != Norms::After, "RMSNorm in encoders");
                note(!plain, "gated feed-forwards in encoders");
                note(!learned, "rotary angles in encoders");
            }
        }
        let experts = matches!(self.feed_forward, FeedForward::Experts(_));
        note(self.activation == Activation::SiluClamped && !experts, "cut-off SiLU without experts");
        missing
    }
}

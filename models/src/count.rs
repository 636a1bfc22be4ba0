//! What a model weighs: its weights by part, those that a decode step reads, and what the KV cache grows by.
//!
//! All numbers are elements, of whatever format. Matrices and vectors (norms, biases, sinks) are told apart, since only
//! matrices are worth fewer bits and since figures of the trade often leave vectors out.

use std::iter::Sum;
use std::ops::Add;

use crate::Config;
use crate::config::{Attention, Experts, FeedForward, Grouped, Kind, Latent, Norms, Positions};

/// Weights of a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// Elements of matrices.
    pub matrices: u64,
    /// Elements of vectors: norms, biases, sinks.
    pub vectors: u64,
    /// Elements of matrices that one step for one sequence reads: of experts, those that work for a token; of an embedding
    /// nothing, as it looks up a row; of a head that shares the embedding's matrix, that matrix.
    pub read: u64,
}

/// Weights of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// What makes queries, keys, values and the output; with its sinks and norms of heads and latent vectors.
    pub attention: Weights,
    /// The feed-forward of a layer without experts.
    pub feed_forward: Weights,
    /// What chooses experts.
    pub router: Weights,
    /// Experts that are chosen.
    pub experts: Weights,
    /// Experts that work for every token.
    pub shared: Weights,
    /// Norms before or after attention and feed-forward.
    pub norms: Weights,
}

/// Weights of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Vectors of tokens; of places and token types, where they are learned.
    pub embedding: Weights,
    /// Layers, the first first.
    pub layers: Vec<Layer>,
    /// The norm before the head.
    pub norm: Weights,
    /// What makes scores of tokens; of an encoder, the pooling product.
    pub head: Weights,
}

/// Elements that a token adds to the KV cache, all layers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    /// In layers that see all tokens.
    pub full: u64,
    /// In layers that see a window.
    pub windowed: u64,
    /// Tokens that the latter keep at most; 0 if there are none.
    pub window: u64,
}

/// Counts a model's weights.
pub fn count(config: &Config) -> Count {
    let hidden = config.hidden as u64;
    let token_matrix = config.vocabulary as u64 * hidden;
    let after = if config.norms == Norms::After { 2 * hidden } else { 0 };
    let mut rows = config.vocabulary as u64;
    if let Positions::Learned { places } = config.positions {
        rows += places as u64;
    }
    let head = match config.kind {
        Kind::Encoder { token_types } => {
            rows += token_types as u64;
            Weights { vectors: hidden, ..Weights::matrices(hidden * hidden) }
        }
        Kind::Decoder if config.tied => Weights { read: token_matrix, ..Weights::default() },
        Kind::Decoder => Weights::matrices(token_matrix),
    };
    Count {
        embedding: Weights { matrices: rows * hidden, vectors: after, read: 0 },
        layers: (0..config.layers).map(|index| layer(config, index)).collect(),
        norm: Weights::vectors(if after > 0 { 0 } else { hidden }),
        head,
    }
}

/// Counts the weights of a layer; the first is 0.
pub fn layer(config: &Config, index: usize) -> Layer {
    let hidden = config.hidden as u64;
    let mut layer = Layer {
        attention: match &config.attention {
            Attention::Grouped(attention) => grouped(attention, hidden, index),
            Attention::Latent(attention) => latent(attention, hidden),
        },
        norms: Weights::vectors(match config.norms {
            Norms::Before | Norms::BeforeLessOne => 2 * hidden,
            Norms::BeforeAndAfter => 4 * hidden + 1,
            Norms::After => 4 * hidden,
        }),
        ..Layer::default()
    };
    match config.feed_forward {
        FeedForward::Gated { inner } => layer.feed_forward = Weights::matrices(3 * hidden * inner as u64),
        FeedForward::Plain { inner } => {
            let inner = inner as u64;
            layer.feed_forward = Weights { vectors: inner + hidden, ..Weights::matrices(2 * hidden * inner) };
        }
        FeedForward::Experts(ref experts) if index < experts.dense_layers => {
            layer.feed_forward = Weights::matrices(3 * hidden * experts.dense_inner as u64);
        }
        FeedForward::Experts(ref experts) => with_experts(&mut layer, experts, hidden),
    }
    layer
}

fn with_experts(layer: &mut Layer, shape: &Experts, hidden: u64) {
    let (experts, inner) = (shape.experts as u64, shape.inner as u64);
    let expert = 3 * hidden * inner;
    layer.router = Weights {
        vectors: if shape.router.bias { experts } else { 0 },
        ..Weights::matrices(hidden * experts)
    };
    layer.experts = Weights {
        matrices: experts * expert,
        vectors: if shape.bias { experts * (2 * inner + hidden) } else { 0 },
        read: shape.active as u64 * expert,
    };
    layer.shared = Weights::matrices(shape.shared as u64 * expert);
}

/// Key and value heads of a layer, elements of a head, and the vectors of a head that a token adds for each: keys and values,
/// or one for both.
fn heads(shape: &Grouped, index: usize) -> (u64, u64, u64) {
    let full = shape.window.filter(|window| window.sees_all(index)).and_then(|window| window.full);
    match full {
        Some(full) => (full.kv_heads as u64, full.head_dim as u64, if full.shared_kv { 1 } else { 2 }),
        None => (shape.kv_heads as u64, shape.head_dim as u64, 2),
    }
}

fn grouped(shape: &Grouped, hidden: u64, index: usize) -> Weights {
    let (kv_heads, dim, made) = heads(shape, index);
    let (queries, kept) = (shape.heads as u64 * dim, made * kv_heads * dim);
    let mut vectors = 0;
    if shape.bias {
        vectors += queries + kept + hidden;
    }
    if shape.qk_norm {
        vectors += 2 * dim;
    }
    if shape.sinks {
        vectors += shape.heads as u64;
    }
    Weights { vectors, ..Weights::matrices(hidden * (2 * queries + kept)) }
}

fn latent(shape: &Latent, hidden: u64) -> Weights {
    let [heads, q_rank, kv_rank, nope, rope, v] =
        [shape.heads, shape.q_rank, shape.kv_rank, shape.nope, shape.rope, shape.v]
            .map(|length| length as u64);
    let queries = hidden * q_rank + q_rank * heads * (nope + rope);
    let keys_and_values = hidden * (kv_rank + rope) + kv_rank * heads * (nope + v);
    // The two latent vectors are normalised.
    Weights { vectors: q_rank + kv_rank, ..Weights::matrices(queries + keys_and_values + heads * v * hidden) }
}

/// What a token adds to the KV cache. Where one product makes keys and values, they count once, though what is kept differs (a key is
/// turned): a cache may hold what both are made of.
pub fn cache(config: &Config) -> Cache {
    let mut cache = Cache::default();
    if config.kind != Kind::Decoder {
        return cache;
    }
    for index in 0..config.layers {
        match &config.attention {
            Attention::Latent(latent) => cache.full += (latent.kv_rank + latent.rope) as u64,
            Attention::Grouped(grouped) => {
                let (kv_heads, dim, made) = heads(grouped, index);
                match grouped.window.filter(|window| !window.sees_all(index)) {
                    Some(window) => {
                        cache.windowed += made * kv_heads * dim;
                        cache.window = window.size as u64;
                    }
                    None => cache.full += made * kv_heads * dim,
                }
            }
        }
    }
    cache
}

/// Bits of all matrices, of so many bits each; of experts that are published in blocks of four bits, of these. Scales are not counted.
pub fn matrix_bits(config: &Config, bits: u64) -> u64 {
    let few = config.published.experts().blocks().is_some();
    let of = |(name, part): (&str, Weights)| match name {
        "experts" if few => part.matrices * bits.min(4),
        _ => part.matrices * bits,
    };
    count(config).parts().into_iter().map(of).sum()
}

/// The least number of chips whose SRAM holds so many weights of so many bits each, filled to the last byte: nothing is left for
/// caches, activations and instructions, so that more are needed in truth.
pub fn chips(weights: u64, bits: u64, sram_bytes: u64) -> u64 {
    let bytes = (u128::from(weights) * u128::from(bits)).div_ceil(8);
    u64::try_from(bytes.div_ceil(u128::from(sram_bytes.max(1)))).unwrap_or(u64::MAX)
}

impl Weights {
    /// Matrices that every step reads.
    fn matrices(elements: u64) -> Weights {
        Weights { matrices: elements, vectors: 0, read: elements }
    }

    fn vectors(elements: u64) -> Weights {
        Weights { vectors: elements, ..Weights::default() }
    }

    /// Elements of matrices and vectors.
    pub fn all(&self) -> u64 {
        self.matrices + self.vectors
    }
}

impl Add for Weights {
    type Output = Weights;

    fn add(self, other: Weights) -> Weights {
        Weights {
            matrices: self.matrices + other.matrices,
            vectors: self.vectors + other.vectors,
            read: self.read + other.read,
        }
    }
}

impl Sum for Weights {
    fn sum<I: Iterator<Item = Weights>>(parts: I) -> Weights {
        parts.fold(Weights::default(), Add::add)
    }
}

impl Layer {
    /// The parts by name.
    pub fn parts(&self) -> [(&'static str, Weights); 6] {
        [
            ("attention", self.attention),
            ("feed-forward", self.feed_forward),
            ("router", self.router),
            ("experts", self.experts),
            ("shared experts", self.shared),
            ("norms", self.norms),
        ]
    }

    /// All parts together.
    pub fn total(&self) -> Weights {
        self.parts().into_iter().map(|(_, part)| part).sum()
    }
}

impl Count {
    /// The parts by name, those of layers added up over all layers.
    pub fn parts(&self) -> Vec<(&'static str, Weights)> {
        let mut parts = vec![("embedding", self.embedding)];
        for (at, (name, _)) in Layer::default().parts().into_iter().enumerate() {
            parts.push((name, self.layers.iter().map(|layer| layer.parts()[at].1).sum()));
        }
        parts.extend([("last norm", self.norm), ("head", self.head)]);
        parts
    }

    /// The whole model.
    pub fn total(&self) -> Weights {
        self.parts().into_iter().map(|(_, part)| part).sum()
    }
}

impl Cache {
    /// Elements that a token adds while no window is full.
    pub fn per_token(&self) -> u64 {
        self.full + self.windowed
    }

    /// Elements of a whole cache for a text of so many tokens.
    pub fn elements(&self, tokens: u64) -> u64 {
        self.full * tokens + self.windowed * tokens.min(self.window)
    }
}

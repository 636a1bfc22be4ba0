//! Models as graphs without weights: the embedding, each layer, and the head.
//!
//! A decoder's graphs are one step: one new token for each sequence of a batch, over caches that live in SRAM. An encoder's are one whole text.
//! Weights are binary16 constants without values, those of experts in the blocks of four bits that they are published in; products take them as
//! [inputs, outputs]. They have the names that the models are published
//! under, without the layer's number (`self_attn.q_proj.weight`), and the shapes, with these exceptions:
//! - Products of all experts of a layer are one constant each, the experts side by side: `mlp.experts.gate_proj.weight` and `up_proj`
//!   [inputs, experts · inner], `down_proj` [experts · inner, outputs]. gpt-oss publishes the columns of the first two in turns, Mixtral calls
//!   them w1, w3 and w2. With them goes a constant that is not published, [`SPREAD`]. Of experts that are gathered
//!   ([`crate::config::Run`]) they are [experts, inputs, outputs], and there is no such constant.
//! - The second product of latent attention's keys and values is two constants for each head: see [`latent`].
//! - Columns that latent attention turns are published in pairs, and here the first of each pair come before the second ones.

mod parts;
mod norm;
mod rotary;
mod cache;
mod grouped;
mod latent;
mod dense;
mod router;
mod experts;
mod decoder;
mod encoder;
mod ends;

use compiler::graph::Graph;

use crate::Config;
use crate::config::Kind;
use crate::layers::{LayerAttention, LayerFeedForward, LayerShape};
use decoder::Halves;
pub use experts::{SPREAD, spread};
use parts::Parts;

/// Why there is no graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The model has parts that no graph is built for; the text names the model and the parts.
    NotBuilt(String),
    /// The graph cannot be made with these lengths.
    Shape(String),
}

/// One layer without its weights; the first layer's `index` is 0.
///
/// A decoder's: `hidden` [batch, 1, hidden] in, `output` of that shape out, and its caches as states. All sequences stand at `position` [1].
/// Caches hold `context` tokens: keys and values [batch, kv_heads, context, head_dim], or latent vectors [batch, 1, context, kv_rank + rope]. A
/// layer with a window keeps no more tokens than that, each in place of the oldest.
///
/// An encoder's: `hidden` [batch, context, hidden] in, `output` of that shape out.
///
/// Layers of equal [`Config::layer_shape`] have equal graphs.
///
/// # Errors
///
/// [`Error::NotBuilt`] as [`Config::not_built`] says, [`Error::Shape`] where lengths do not fit each other.
pub fn layer(config: &Config, index: usize, batch: usize, context: usize) -> Result<Graph, Error> {
    if index >= config.layers {
        return Err(Error::Shape(format!(
            "{} has {} layers, and no layer {index}",
            config.name, config.layers
        )));
    }
    let both = Halves { attention: true, feed_forward: true };
    made(config, "layer", |parts| match config.kind {
        Kind::Decoder => decoder::layer(parts, both, config.layer_shape(index), (batch, context)),
        Kind::Encoder { .. } => encoder::layer(parts, config.layer_shape(index), (batch, context)),
    })
}

/// The first half of a decoder's [`layer`]: attention and what is added to it.
///
/// # Errors
///
/// As [`layer`].
pub fn attention(
    config: &Config,
    shape: LayerAttention,
    batch: usize,
    context: usize,
) -> Result<Graph, Error> {
    let half = Halves { attention: true, feed_forward: false };
    let shape = LayerShape { attention: shape, feed_forward: config.layer_shape(0).feed_forward };
    made(config, "attention", |parts| decoder::layer(parts, half, shape, (batch, context)))
}

/// The second half of a decoder's [`layer`].
///
/// # Errors
///
/// As [`layer`].
pub fn feed_forward(config: &Config, shape: LayerFeedForward, batch: usize) -> Result<Graph, Error> {
    let half = Halves { attention: false, feed_forward: true };
    let shape = LayerShape { attention: config.layer_shape(0).attention, feed_forward: shape };
    made(config, "feed-forward", |parts| decoder::layer(parts, half, shape, (batch, 1)))
}

/// From tokens to vectors: `input_ids` in, `hidden` out. A decoder's are [batch, 1] and [batch, 1, hidden]. An encoder's are
/// [batch, context] and [batch, context, hidden]; it has `token_type_ids` [batch, context], too.
///
/// # Errors
///
/// As [`layer`].
pub fn embedding(config: &Config, batch: usize, context: usize) -> Result<Graph, Error> {
    made(config, "embedding", |parts| match config.kind {
        Kind::Decoder => ends::embedding(parts, batch),
        Kind::Encoder { token_types } => ends::encoder_embedding(parts, token_types, (batch, context)),
    })
}

/// What follows the last layer, for one token of each sequence: `hidden` [batch, 1, hidden] in. A decoder's gives `logits`
/// [batch, 1, vocabulary]. An encoder's takes the first token's vector and gives `pooled` [batch, 1, hidden].
///
/// # Errors
///
/// As [`layer`].
pub fn head(config: &Config, batch: usize) -> Result<Graph, Error> {
    made(config, "head", |parts| match config.kind {
        Kind::Decoder => ends::head(parts, batch),
        Kind::Encoder { .. } => ends::pooling(parts, batch),
    })
}

/// A graph that is filled by `fill`, if the model has nothing that is not built.
fn made(
    config: &Config,
    part: &str,
    fill: impl FnOnce(&mut Parts<'_>) -> Result<(), String>,
) -> Result<Graph, Error> {
    let missing = config.not_built();
    if !missing.is_empty() {
        return Err(Error::NotBuilt(format!(
            "graphs of {} are not built: {}",
            config.name,
            missing.join(", ")
        )));
    }
    let name = format!("{}-{part}", config.name);
    let mut parts = Parts { config, graph: Graph { name, ..Graph::default() } };
    fill(&mut parts).map_err(Error::Shape)?;
    Ok(parts.graph)
}

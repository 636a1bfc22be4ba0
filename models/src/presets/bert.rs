//! BERT: an encoder with biases, LayerNorm after each residual sum, and learned positions.

use std::borrow::Cow;

use super::Preset;
use crate::Config;
use crate::config::{Activation, Attention, FeedForward, Grouped, Kind, Norms, Positions, Published};

const fn bert(source: &'static str, name: &'static str, layers: usize, heads: usize) -> Preset {
    let hidden = heads * 64;
    let config = Config {
        name: Cow::Borrowed(name),
        kind: Kind::Encoder { token_types: 2 },
        layers,
        hidden,
        vocabulary: 30_522,
        tied: false,
        scaled_embedding: false,
        softcap: None,
        attention: Attention::Grouped(Grouped {
            heads,
            kv_heads: heads,
            head_dim: 64,
            bias: true,
            qk_norm: false,
            v_norm: false,
            sinks: false,
            window: None,
        }),
        feed_forward: FeedForward::Plain { inner: 4 * hidden },
        activation: Activation::Gelu,
        norms: Norms::After,
        epsilon: 1e-12,
        positions: Positions::Learned { places: 512 },
        published: Published::Plain,
    };
    Preset { config, source }
}

pub(super) static PRESETS: [Preset; 2] = [
    bert("google-bert/bert-base-uncased", "bert-base", 12, 12),
    bert("google-bert/bert-large-uncased", "bert-large", 24, 16),
];

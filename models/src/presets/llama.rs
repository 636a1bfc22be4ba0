//! The Llama family: grouped attention, a gated feed-forward, RMSNorm before both.

use std::borrow::Cow;

use super::Preset;
use crate::Config;
use crate::config::{Activation, Attention, FeedForward, Grouped, Kind, Norms, Positions, Published};

/// What differs within the family.
struct Llama {
    name: &'static str,
    layers: usize,
    hidden: usize,
    vocabulary: usize,
    tied: bool,
    /// Query heads, key and value heads, elements of a head.
    heads: (usize, usize, usize),
    inner: usize,
    theta: f64,
}

const fn llama(source: &'static str, shape: Llama) -> Preset {
    let (heads, kv_heads, head_dim) = shape.heads;
    let attention = Grouped {
        heads,
        kv_heads,
        head_dim,
        bias: false,
        qk_norm: false,
        v_norm: false,
        sinks: false,
        window: None,
    };
    let config = Config {
        name: Cow::Borrowed(shape.name),
        kind: Kind::Decoder,
        layers: shape.layers,
        hidden: shape.hidden,
        vocabulary: shape.vocabulary,
        tied: shape.tied,
        scaled_embedding: false,
        softcap: None,
        attention: Attention::Grouped(attention),
        feed_forward: FeedForward::Gated { inner: shape.inner },
        activation: Activation::Silu,
        norms: Norms::Before,
        epsilon: 1e-5,
        positions: Positions::Rotary { theta: shape.theta, stretch: None },
        published: Published::Plain,
    };
    Preset { config, source }
}

pub(super) static PRESETS: [Preset; 5] = [
    llama(
        "meta-llama/Llama-2-7b-hf",
        Llama {
            name: "llama-2-7b",
            layers: 32,
            hidden: 4096,
            vocabulary: 32_000,
            tied: false,
            heads: (32, 32, 128),
            inner: 11_008,
            theta: 1e4,
        },
    ),
    llama(
        "meta-llama/Llama-2-70b-hf",
        Llama {
            name: "llama-2-70b",
            layers: 80,
            hidden: 8192,
            vocabulary: 32_000,
            tied: false,
            heads: (64, 8, 128),
            inner: 28_672,
            theta: 1e4,
        },
    ),
    llama(
        "meta-llama/Meta-Llama-3-8B",
        Llama {
            name: "llama-3-8b",
            layers: 32,
            hidden: 4096,
            vocabulary: 128_256,
            tied: false,
            heads: (32, 8, 128),
            inner: 14_336,
            theta: 5e5,
        },
    ),
    llama(
        "meta-llama/Meta-Llama-3-70B",
        Llama {
            name: "llama-3-70b",
            layers: 80,
            hidden: 8192,
            vocabulary: 128_256,
            tied: false,
            heads: (64, 8, 128),
            inner: 28_672,
            theta: 5e5,
        },
    ),
    llama(
        "HuggingFaceTB/SmolLM2-135M",
        Llama {
            name: "smollm2-135m",
            layers: 30,
            hidden: 576,
            vocabulary: 49_152,
            tied: true,
            heads: (9, 3, 64),
            inner: 1536,
            theta: 1e5,
        },
    ),
];

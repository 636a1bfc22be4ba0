//! Qwen3: each head's query and key is normalised; dense, or with experts.

use std::borrow::Cow;

use super::Preset;
use crate::Config;
use crate::config::{
    Activation, Attention, Experts, FeedForward, Grouped, Kind, Norms, Positions, Published, Router, Run,
    Score,
};

const fn attention(heads: usize, kv_heads: usize) -> Attention {
    Attention::Grouped(Grouped {
        heads,
        kv_heads,
        head_dim: 128,
        bias: false,
        qk_norm: true,
        v_norm: false,
        sinks: false,
        window: None,
    })
}

pub(super) static PRESETS: [Preset; 2] = [
    Preset {
        source: "Qwen/Qwen3-8B",
        config: Config {
            name: Cow::Borrowed("qwen3-8b"),
            kind: Kind::Decoder,
            layers: 36,
            hidden: 4096,
            vocabulary: 151_936,
            tied: false,
            scaled_embedding: false,
            softcap: None,
            attention: attention(32, 8),
            feed_forward: FeedForward::Gated { inner: 12_288 },
            activation: Activation::Silu,
            norms: Norms::Before,
            epsilon: 1e-6,
            positions: Positions::Rotary { theta: 1e6, stretch: None },
            published: Published::Plain,
        },
    },
    Preset {
        source: "Qwen/Qwen3-235B-A22B",
        config: Config {
            name: Cow::Borrowed("qwen3-235b-a22b"),
            kind: Kind::Decoder,
            layers: 94,
            hidden: 4096,
            vocabulary: 151_936,
            tied: false,
            scaled_embedding: false,
            softcap: None,
            attention: attention(64, 4),
            feed_forward: FeedForward::Experts(Experts {
                experts: 128,
                active: 8,
                inner: 1536,
                shared: 0,
                dense_layers: 0,
                dense_inner: 0,
                bias: false,
                run: Run::Resident,
                router: Router {
                    score: Score::Softmax,
                    bias: false,
                    groups: 1,
                    active_groups: 1,
                    scale: 1.0,
                },
            }),
            activation: Activation::Silu,
            norms: Norms::Before,
            epsilon: 1e-6,
            positions: Positions::Rotary { theta: 1e6, stretch: None },
            published: Published::Plain,
        },
    },
];

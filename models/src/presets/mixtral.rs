//! Mixtral: Llama with experts.

use std::borrow::Cow;

use super::Preset;
use crate::Config;
use crate::config::{
    Activation, Attention, Experts, FeedForward, Grouped, Kind, Norms, Positions, Published, Router, Run,
    Score,
};

pub(super) static PRESETS: [Preset; 1] = [Preset {
    source: "mistralai/Mixtral-8x7B-v0.1",
    config: Config {
        name: Cow::Borrowed("mixtral-8x7b"),
        kind: Kind::Decoder,
        layers: 32,
        hidden: 4096,
        vocabulary: 32_000,
        tied: false,
        scaled_embedding: false,
        softcap: None,
        attention: Attention::Grouped(Grouped {
            heads: 32,
            kv_heads: 8,
            head_dim: 128,
            bias: false,
            qk_norm: false,
            v_norm: false,
            sinks: false,
            window: None,
        }),
        feed_forward: FeedForward::Experts(Experts {
            experts: 8,
            active: 2,
            inner: 14_336,
            shared: 0,
            dense_layers: 0,
            dense_inner: 0,
            bias: false,
            run: Run::Resident,
            router: Router { score: Score::Softmax, bias: false, groups: 1, active_groups: 1, scale: 1.0 },
        }),
        activation: Activation::Silu,
        norms: Norms::Before,
        epsilon: 1e-5,
        positions: Positions::Rotary { theta: 1e6, stretch: None },
        published: Published::Plain,
    },
}];

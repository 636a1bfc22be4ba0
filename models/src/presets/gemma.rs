//! Gemma 4: five layers over a window, then one over all tokens, whose heads are larger and whose values are made as its keys are.
//! The encoder of pictures is left out.

use std::borrow::Cow;

use super::Preset;
use crate::Config;
use crate::config::{
    Activation, Attention, FeedForward, FullHeads, Grouped, Kind, Norms, Positions, Published, Window,
};

pub(super) static PRESETS: [Preset; 1] = [Preset {
    source: "google/gemma-4-31B",
    config: Config {
        name: Cow::Borrowed("gemma-4-31b"),
        kind: Kind::Decoder,
        layers: 60,
        hidden: 5376,
        vocabulary: 262_144,
        tied: true,
        scaled_embedding: true,
        softcap: Some(30.0),
        attention: Attention::Grouped(Grouped {
            heads: 32,
            kv_heads: 16,
            head_dim: 256,
            bias: false,
            qk_norm: true,
            v_norm: true,
            sinks: false,
            window: Some(Window {
                size: 1024,
                every: 6,
                full: Some(FullHeads {
                    kv_heads: 4,
                    head_dim: 512,
                    shared_kv: true,
                    theta: 1e6,
                    turned: 0.25,
                }),
            }),
        }),
        feed_forward: FeedForward::Gated { inner: 21_504 },
        activation: Activation::GeluTanh,
        norms: Norms::BeforeAndAfter,
        epsilon: 1e-6,
        positions: Positions::Rotary { theta: 1e4, stretch: None },
        published: Published::Plain,
    },
}];

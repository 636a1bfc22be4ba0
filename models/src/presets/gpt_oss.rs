//! gpt-oss: layers alternate between a window and all tokens; sinks, biases everywhere, experts in MXFP4.

use std::borrow::Cow;

use super::Preset;
use crate::Config;
use crate::config::{
    Activation, Attention, Experts, FeedForward, Grouped, Kind, Norms, Positions, Published, Router, Run,
    Score, Stretch, Window, Yarn,
};

const fn gpt_oss(source: &'static str, name: &'static str, layers: usize, experts: usize) -> Preset {
    let config = Config {
        name: Cow::Borrowed(name),
        kind: Kind::Decoder,
        layers,
        hidden: 2880,
        vocabulary: 201_088,
        tied: false,
        scaled_embedding: false,
        softcap: None,
        attention: Attention::Grouped(Grouped {
            heads: 64,
            kv_heads: 8,
            head_dim: 64,
            bias: true,
            qk_norm: false,
            v_norm: false,
            sinks: true,
            window: Some(Window { size: 128, every: 2, full: None }),
        }),
        feed_forward: FeedForward::Experts(Experts {
            experts,
            active: 4,
            inner: 2880,
            shared: 0,
            dense_layers: 0,
            dense_inner: 0,
            bias: true,
            run: Run::Resident,
            router: Router { score: Score::Softmax, bias: true, groups: 1, active_groups: 1, scale: 1.0 },
        }),
        activation: Activation::SiluClamped,
        norms: Norms::Before,
        epsilon: 1e-5,
        positions: Positions::Rotary {
            theta: 150_000.0,
            stretch: Some(Stretch::Yarn(Yarn {
                factor: 32.0,
                trained: 4096.0,
                fast: 32.0,
                slow: 1.0,
                truncate: false,
                mscale: None,
            })),
        },
        published: Published::Mxfp4Experts,
    };
    Preset { config, source }
}

pub(super) static PRESETS: [Preset; 2] = [
    gpt_oss("openai/gpt-oss-20b", "gpt-oss-20b", 24, 32),
    gpt_oss("openai/gpt-oss-120b", "gpt-oss-120b", 36, 128),
];

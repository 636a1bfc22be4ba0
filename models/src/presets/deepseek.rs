//! DeepSeek-V3 and the Kimi models built after it: latent attention, many small experts and a shared one. Layers that guess further tokens
//! and encoders of pictures, which some are published with, are left out.

use std::borrow::Cow;

use super::Preset;
use crate::Config;
use crate::config::{
    Activation, Attention, Experts, FeedForward, Kind, Latent, Norms, Positions, Published, Router, Run,
    Score, Stretch, Yarn,
};

/// What differs within the family.
struct DeepSeek {
    name: &'static str,
    vocabulary: usize,
    heads: usize,
    experts: usize,
    dense_layers: usize,
    /// Groups of experts, and groups that a token's come from.
    groups: (usize, usize),
    /// The sum of a token's shares.
    scale: f64,
    epsilon: f32,
    theta: f64,
    /// How many times longer texts may become.
    factor: f64,
    /// Angles that turn more often than this in 4,096 tokens are as they were.
    fast: f64,
    published: Published,
}

const fn deepseek(source: &'static str, shape: DeepSeek) -> Preset {
    let (groups, active_groups) = shape.groups;
    let router = Router { score: Score::Sigmoid, bias: true, groups, active_groups, scale: shape.scale };
    let config = Config {
        name: Cow::Borrowed(shape.name),
        kind: Kind::Decoder,
        layers: 61,
        hidden: 7168,
        vocabulary: shape.vocabulary,
        tied: false,
        scaled_embedding: false,
        softcap: None,
        attention: Attention::Latent(Latent {
            heads: shape.heads,
            q_rank: 1536,
            kv_rank: 512,
            nope: 128,
            rope: 64,
            v: 128,
        }),
        feed_forward: FeedForward::Experts(Experts {
            experts: shape.experts,
            active: 8,
            inner: 2048,
            shared: 1,
            dense_layers: shape.dense_layers,
            dense_inner: 18_432,
            bias: false,
            run: Run::Resident,
            router,
        }),
        activation: Activation::Silu,
        norms: Norms::Before,
        epsilon: shape.epsilon,
        positions: Positions::Rotary {
            theta: shape.theta,
            stretch: Some(Stretch::Yarn(Yarn {
                factor: shape.factor,
                trained: 4096.0,
                fast: shape.fast,
                slow: 1.0,
                truncate: true,
                mscale: Some((1.0, 1.0)),
            })),
        },
        published: shape.published,
    };
    Preset { config, source }
}

pub(super) static PRESETS: [Preset; 3] = [
    deepseek(
        "deepseek-ai/DeepSeek-V3",
        DeepSeek {
            name: "deepseek-v3",
            vocabulary: 129_280,
            heads: 128,
            experts: 256,
            dense_layers: 3,
            groups: (8, 4),
            scale: 2.5,
            epsilon: 1e-6,
            theta: 1e4,
            factor: 40.0,
            fast: 32.0,
            published: Published::Fp8,
        },
    ),
    deepseek(
        "moonshotai/Kimi-K2-Instruct",
        DeepSeek {
            name: "kimi-k2",
            vocabulary: 163_840,
            heads: 64,
            experts: 384,
            dense_layers: 1,
            groups: (1, 1),
            scale: 2.827,
            epsilon: 1e-6,
            theta: 5e4,
            factor: 32.0,
            fast: 1.0,
            published: Published::Fp8,
        },
    ),
    deepseek(
        "moonshotai/Kimi-K2.5",
        DeepSeek {
            name: "kimi-k2.5",
            vocabulary: 163_840,
            heads: 64,
            experts: 384,
            dense_layers: 1,
            groups: (1, 1),
            scale: 2.827,
            epsilon: 1e-5,
            theta: 5e4,
            factor: 64.0,
            fast: 32.0,
            published: Published::Int4Experts,
        },
    ),
];

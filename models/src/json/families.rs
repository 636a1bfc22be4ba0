//! How each family spells its shape. Defaults are those of the code that the families are published with.

use std::borrow::Cow;

use serde_json::json;

use super::fields::{EXPERTS, Fields, LENGTHS, NUMBERS};
use super::parts::{activation, heads, published, rotary, window};
use crate::Config;
use crate::config::{
    Activation, Attention, Experts, FeedForward, FullHeads, Grouped, Kind, Latent, Norms, Positions,
    Published, Router, Run, Score, Window,
};

/// A decoder with grouped attention and a gated feed-forward; families change what they have otherwise.
fn decoder(fields: &mut Fields, theta: Option<f64>) -> (Config, Grouped) {
    let hidden = fields.number("hidden_size", LENGTHS);
    let (heads, kv_heads, head_dim) = heads(fields, hidden);
    let bias = fields.truth_or("attention_bias", false);
    let attention = Grouped {
        heads,
        kv_heads,
        head_dim,
        bias,
        qk_norm: false,
        v_norm: false,
        sinks: false,
        window: None,
    };
    let config = Config {
        name: Cow::Borrowed(""),
        kind: Kind::Decoder,
        layers: fields.number("num_hidden_layers", NUMBERS),
        hidden,
        vocabulary: fields.number("vocab_size", LENGTHS),
        tied: fields.truth_or("tie_word_embeddings", false),
        scaled_embedding: false,
        softcap: None,
        attention: Attention::Grouped(attention),
        feed_forward: FeedForward::Gated { inner: fields.number("intermediate_size", LENGTHS) },
        activation: activation(fields, "hidden_act"),
        norms: Norms::Before,
        epsilon: fields.real("rms_norm_eps") as f32,
        positions: rotary(fields, theta),
        published: published(fields),
    };
    (config, attention)
}

/// The router of experts whose scores are softmaxes.
const SOFTMAX: Router =
    Router { score: Score::Softmax, bias: false, groups: 1, active_groups: 1, scale: 1.0 };

/// Experts in every layer, chosen by softmaxes.
fn plain_experts(experts: usize, active: usize, inner: usize) -> Experts {
    Experts {
        experts,
        active,
        inner,
        shared: 0,
        dense_layers: 0,
        dense_inner: 0,
        bias: false,
        run: Run::Resident,
        router: SOFTMAX,
    }
}

pub(super) fn llama(fields: &mut Fields) -> Config {
    fields.only("mlp_bias", &json!(false));
    decoder(fields, Some(10_000.0)).0
}

/// As Llama; all layers may see a window.
pub(super) fn mistral(fields: &mut Fields) -> Config {
    let (mut config, mut attention) = decoder(fields, None);
    if fields.get("sliding_window").is_some() {
        let size = fields.number("sliding_window", LENGTHS);
        attention.window = Some(Window { size, every: 0, full: None });
    }
    config.attention = Attention::Grouped(attention);
    config
}

pub(super) fn mixtral(fields: &mut Fields) -> Config {
    let mut config = mistral(fields);
    let experts = fields.number("num_local_experts", EXPERTS);
    let active = fields.number("num_experts_per_tok", EXPERTS);
    if let FeedForward::Gated { inner } = config.feed_forward {
        config.feed_forward = FeedForward::Experts(plain_experts(experts, active, inner));
    }
    config
}

pub(super) fn qwen3(fields: &mut Fields) -> Config {
    fields.only("use_sliding_window", &json!(false));
    fields.number("head_dim", LENGTHS);
    let (mut config, attention) = decoder(fields, None);
    config.attention = Attention::Grouped(Grouped { qk_norm: true, ..attention });
    config
}

pub(super) fn qwen3_moe(fields: &mut Fields) -> Config {
    let mut config = qwen3(fields);
    fields.only("norm_topk_prob", &json!(true));
    fields.only("decoder_sparse_step", &json!(1));
    fields.only("mlp_only_layers", &json!([]));
    config.feed_forward = FeedForward::Experts(plain_experts(
        fields.number("num_experts", EXPERTS),
        fields.number("num_experts_per_tok", EXPERTS),
        fields.number("moe_intermediate_size", LENGTHS),
    ));
    config
}

/// Sinks and the biases of experts and router have no field: all of the family have them.
pub(super) fn gpt_oss(fields: &mut Fields) -> Config {
    fields.number("head_dim", LENGTHS);
    fields.only("swiglu_limit", &json!(7.0));
    let (mut config, attention) = decoder(fields, None);
    let window = window(fields, config.layers);
    config.attention = Attention::Grouped(Grouped { sinks: true, window: Some(window), ..attention });
    let experts = Experts {
        bias: true,
        router: Router { bias: true, ..SOFTMAX },
        ..plain_experts(
            fields.number("num_local_experts", EXPERTS),
            fields.number("num_experts_per_tok", EXPERTS),
            fields.number("intermediate_size", LENGTHS),
        )
    };
    config.feed_forward = FeedForward::Experts(experts);
    if config.activation == Activation::Silu {
        config.activation = Activation::SiluClamped;
    }
    config
}

/// DeepSeek-V3, and Kimi K2 after it.
pub(super) fn deepseek(fields: &mut Fields) -> Config {
    fields.only("attention_bias", &json!(false));
    fields.only("moe_layer_freq", &json!(1));
    fields.only("norm_topk_prob", &json!(true));
    fields.word("scoring_func", &[("sigmoid", ())]);
    fields.word("topk_method", &[("noaux_tc", ())]);
    let latent = Latent {
        heads: fields.number("num_attention_heads", NUMBERS),
        q_rank: fields.number("q_lora_rank", LENGTHS),
        kv_rank: fields.number("kv_lora_rank", LENGTHS),
        nope: fields.number("qk_nope_head_dim", LENGTHS),
        rope: fields.number("qk_rope_head_dim", LENGTHS),
        v: fields.number("v_head_dim", LENGTHS),
    };
    let router = Router {
        score: Score::Sigmoid,
        bias: true,
        groups: fields.number("n_group", EXPERTS),
        active_groups: fields.number("topk_group", EXPERTS),
        scale: fields.real("routed_scaling_factor"),
    };
    let experts = Experts {
        experts: fields.number("n_routed_experts", EXPERTS),
        active: fields.number("num_experts_per_tok", EXPERTS),
        inner: fields.number("moe_intermediate_size", LENGTHS),
        shared: fields.number("n_shared_experts", 0..=*EXPERTS.end()),
        dense_layers: fields.number("first_k_dense_replace", 0..=*NUMBERS.end()),
        dense_inner: fields.number("intermediate_size", LENGTHS),
        bias: false,
        run: Run::Resident,
        router,
    };
    Config {
        name: Cow::Borrowed(""),
        kind: Kind::Decoder,
        layers: fields.number("num_hidden_layers", NUMBERS),
        hidden: fields.number("hidden_size", LENGTHS),
        vocabulary: fields.number("vocab_size", LENGTHS),
        tied: fields.truth_or("tie_word_embeddings", false),
        scaled_embedding: false,
        softcap: None,
        attention: Attention::Latent(latent),
        feed_forward: FeedForward::Experts(experts),
        activation: activation(fields, "hidden_act"),
        norms: Norms::Before,
        epsilon: fields.real("rms_norm_eps") as f32,
        positions: rotary(fields, None),
        published: published(fields),
    }
}

/// Kimi K2.5: the language model is in `text_config`.
pub(super) fn kimi_with_pictures(fields: &mut Fields) -> Config {
    let read = |inner: &mut Fields| {
        inner.word("model_type", &[("kimi_k2", ()), ("deepseek_v3", ())]);
        deepseek(inner)
    };
    fields.within("text_config", read).unwrap_or_else(nothing)
}

/// Gemma of the first generation.
pub(super) fn gemma(fields: &mut Fields) -> Config {
    fields.number("head_dim", LENGTHS);
    let (mut config, _) = decoder(fields, Some(10_000.0));
    config.tied = fields.truth_or("tie_word_embeddings", true);
    // Files that say `gelu` mean the hyperbolic tangent.
    config.activation = Activation::GeluTanh;
    config.norms = Norms::BeforeLessOne;
    config.scaled_embedding = true;
    config
}

/// Gemma 4: the language model is in `text_config`.
pub(super) fn gemma4(fields: &mut Fields) -> Config {
    let tied = fields.truth_or("tie_word_embeddings", true);
    let read = |inner: &mut Fields| Config { tied, ..gemma4_text(inner) };
    fields.within("text_config", read).unwrap_or_else(nothing)
}

fn gemma4_text(fields: &mut Fields) -> Config {
    fields.only("hidden_size_per_layer_input", &json!(0));
    fields.only("num_kv_shared_layers", &json!(0));
    fields.only("enable_moe_block", &json!(false));
    let layers = fields.number("num_hidden_layers", NUMBERS);
    let angles = |fields: &mut Fields| {
        let full = fields.within("full_attention", |inner| {
            inner.word("rope_type", &[("proportional", ())]);
            (inner.real("rope_theta"), inner.real("partial_rotary_factor"))
        });
        let local = fields.within("sliding_attention", |inner| {
            inner.word("rope_type", &[("default", ())]);
            inner.real("rope_theta")
        });
        (full.unwrap_or((1.0, 1.0)), local.unwrap_or(1.0))
    };
    let angles = fields.within("rope_parameters", angles);
    let ((theta, turned), local) = angles.unwrap_or(((1.0, 1.0), 1.0));
    let full = FullHeads {
        kv_heads: fields.number("num_global_key_value_heads", NUMBERS),
        head_dim: fields.number("global_head_dim", LENGTHS),
        shared_kv: fields.truth_or("attention_k_eq_v", false),
        theta,
        turned,
    };
    let attention = Grouped {
        heads: fields.number("num_attention_heads", NUMBERS),
        kv_heads: fields.number("num_key_value_heads", NUMBERS),
        head_dim: fields.number("head_dim", LENGTHS),
        bias: fields.truth_or("attention_bias", false),
        qk_norm: true,
        v_norm: true,
        sinks: false,
        window: Some(Window { full: Some(full), ..window(fields, layers) }),
    };
    Config {
        name: Cow::Borrowed(""),
        kind: Kind::Decoder,
        layers,
        hidden: fields.number("hidden_size", LENGTHS),
        vocabulary: fields.number("vocab_size", LENGTHS),
        tied: true,
        scaled_embedding: true,
        softcap: fields.has("final_logit_softcapping").then(|| fields.real("final_logit_softcapping") as f32),
        attention: Attention::Grouped(attention),
        feed_forward: FeedForward::Gated { inner: fields.number("intermediate_size", LENGTHS) },
        activation: activation(fields, "hidden_activation"),
        norms: Norms::BeforeAndAfter,
        epsilon: fields.real("rms_norm_eps") as f32,
        positions: Positions::Rotary { theta: local, stretch: None },
        published: published(fields),
    }
}

pub(super) fn bert(fields: &mut Fields) -> Config {
    fields.only("position_embedding_type", &json!("absolute"));
    let hidden = fields.number("hidden_size", LENGTHS);
    let (heads, kv_heads, head_dim) = heads(fields, hidden);
    Config {
        name: Cow::Borrowed(""),
        kind: Kind::Encoder { token_types: fields.number("type_vocab_size", LENGTHS) },
        layers: fields.number("num_hidden_layers", NUMBERS),
        hidden,
        vocabulary: fields.number("vocab_size", LENGTHS),
        tied: false,
        scaled_embedding: false,
        softcap: None,
        attention: Attention::Grouped(Grouped {
            heads,
            kv_heads,
            head_dim,
            bias: true,
            qk_norm: false,
            v_norm: false,
            sinks: false,
            window: None,
        }),
        feed_forward: FeedForward::Plain { inner: fields.number("intermediate_size", LENGTHS) },
        activation: activation(fields, "hidden_act"),
        norms: Norms::After,
        epsilon: fields.real("layer_norm_eps") as f32,
        positions: Positions::Learned { places: fields.number("max_position_embeddings", LENGTHS) },
        published: published(fields),
    }
}

/// What stands for a model whose object is missing, which is a problem that was noted.
fn nothing() -> Config {
    let attention = Grouped {
        heads: 1,
        kv_heads: 1,
        head_dim: 2,
        bias: false,
        qk_norm: false,
        v_norm: false,
        sinks: false,
        window: None,
    };
    Config {
        name: Cow::Borrowed(""),
        kind: Kind::Decoder,
        layers: 1,
        hidden: 1,
        vocabulary: 1,
        tied: false,
        scaled_embedding: false,
        softcap: None,
        attention: Attention::Grouped(attention),
        feed_forward: FeedForward::Gated { inner: 1 },
        activation: Activation::Silu,
        norms: Norms::Before,
        epsilon: 1.0,
        positions: Positions::Rotary { theta: 1.0, stretch: None },
        published: Published::Plain,
    }
}

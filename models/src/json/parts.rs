//! Parts of a configuration that several families spell alike.

use serde_json::{Value, json};

use super::fields::{Fields, LENGTHS, NUMBERS};
use crate::config::{Activation, Positions, Published, Stretch, Window, Yarn};

/// What `rope_type` names.
#[derive(Clone, Copy)]
enum Rule {
    /// Angles as they are.
    Default,
    Linear,
    Yarn,
    Llama3,
}

const RULES: [(&str, Rule); 4] =
    [("default", Rule::Default), ("linear", Rule::Linear), ("yarn", Rule::Yarn), ("llama3", Rule::Llama3)];

/// Rotary angles: `rope_theta` and `rope_scaling`, or both in `rope_parameters`. Some families have a base if none is given.
pub(super) fn rotary(fields: &mut Fields, default: Option<f64>) -> Positions {
    fields.only("partial_rotary_factor", &json!(1.0));
    if fields.get("rope_parameters").is_some() {
        let read =
            |inner: &mut Fields| Positions::Rotary { theta: theta(inner, default), stretch: stretch(inner) };
        let read = fields.within("rope_parameters", read);
        return read.unwrap_or(Positions::Rotary { theta: 1.0, stretch: None });
    }
    let theta = theta(fields, default);
    let scaled = fields.get("rope_scaling").is_some();
    let stretch = if scaled { fields.within("rope_scaling", stretch).flatten() } else { None };
    Positions::Rotary { theta, stretch }
}

fn theta(fields: &mut Fields, default: Option<f64>) -> f64 {
    match default {
        Some(theta) => fields.real_or("rope_theta", theta),
        None => fields.real("rope_theta"),
    }
}

fn stretch(fields: &mut Fields) -> Option<Stretch> {
    // Older files say `type`.
    let name = if !fields.has("rope_type") && fields.has("type") { "type" } else { "rope_type" };
    match fields.word(name, &RULES)? {
        Rule::Default => None,
        Rule::Linear => Some(Stretch::Linear { factor: fields.real("factor") }),
        Rule::Yarn => Some(Stretch::Yarn(yarn(fields))),
        Rule::Llama3 => Some(Stretch::Llama3 {
            factor: fields.real("factor"),
            low: fields.real("low_freq_factor"),
            high: fields.real("high_freq_factor"),
            trained: fields.real("original_max_position_embeddings"),
        }),
    }
}

fn yarn(fields: &mut Fields) -> Yarn {
    if fields.has("attention_factor") {
        fields.refuse("attention_factor", "understood: that of `factor`, `mscale` and `mscale_all_dim`");
    }
    let sharpened = fields.has("mscale") && fields.has("mscale_all_dim");
    Yarn {
        factor: fields.real("factor"),
        trained: fields.real("original_max_position_embeddings"),
        fast: fields.real_or("beta_fast", 32.0),
        slow: fields.real_or("beta_slow", 1.0),
        truncate: fields.truth_or("truncate", true),
        mscale: sharpened.then(|| (fields.real("mscale"), fields.real("mscale_all_dim"))),
    }
}

/// The feed-forward's function, in the field that the family has it in.
pub(super) fn activation(fields: &mut Fields, name: &str) -> Activation {
    let known =
        [("silu", Activation::Silu), ("gelu", Activation::Gelu), ("gelu_pytorch_tanh", Activation::GeluTanh)];
    fields.word(name, &known).unwrap_or(Activation::Silu)
}

/// Which layers see a window: `layer_types`, one word for each layer, in a pattern that repeats.
pub(super) fn window(fields: &mut Fields, layers: usize) -> Window {
    let size = fields.number("sliding_window", LENGTHS);
    let Some(Value::Array(types)) = fields.get("layer_types") else {
        fields.refuse("layer_types", "a list is expected");
        return Window { size, every: 0, full: None };
    };
    let full = |word: &Value| word.as_str() == Some("full_attention");
    if types.len() != layers {
        fields.refuse("layer_types", &format!("{} entries for {layers} layers", types.len()));
    }
    if !types.iter().all(|word| full(word) || word.as_str() == Some("sliding_attention")) {
        fields.refuse("layer_types", "understood: full_attention, sliding_attention");
    }
    let every = types.iter().position(full).map_or(0, |first| first + 1);
    let window = Window { size, every, full: None };
    if types.iter().enumerate().any(|(layer, word)| full(word) != window.sees_all(layer)) {
        fields.refuse("layer_types", "understood: patterns that repeat and end in full_attention");
    }
    window
}

/// The form of the weights: `quantization_config`, or nothing for formats of 16 and 32 bits.
pub(super) fn published(fields: &mut Fields) -> Published {
    if fields.get("quantization_config").is_none() {
        return Published::Plain;
    }
    fields.within("quantization_config", method).flatten().unwrap_or(Published::Plain)
}

fn method(fields: &mut Fields) -> Option<Published> {
    let known = [
        ("mxfp4", Published::Mxfp4Experts),
        ("fp8", Published::Fp8),
        ("compressed-tensors", Published::Int4Experts),
    ];
    let published = fields.word("quant_method", &known)?;
    match published {
        Published::Fp8 => fields.only("weight_block_size", &json!([128, 128])),
        Published::Int4Experts => {
            fields.within("config_groups", |groups| {
                groups.within("group_0", |group| {
                    group.within("weights", |weights| {
                        weights.number("num_bits", 1..=64);
                        weights.only("num_bits", &json!(4));
                        weights.number("group_size", 1..=1 << 19);
                        weights.only("group_size", &json!(32));
                    })
                })
            });
        }
        Published::Plain | Published::Mxfp4Experts => {}
    }
    Some(published)
}

/// `num_attention_heads`, `num_key_value_heads` and `head_dim`; where the latter two are missing, as many as query heads, and their share
/// of `hidden_size`.
pub(super) fn heads(fields: &mut Fields, hidden: usize) -> (usize, usize, usize) {
    let heads = fields.number("num_attention_heads", NUMBERS);
    let kv_heads = fields.number_or("num_key_value_heads", NUMBERS, heads);
    if fields.get("head_dim").is_none() && !hidden.is_multiple_of(heads) {
        fields.refuse("head_dim", &format!("{heads} heads do not share {hidden} elements evenly"));
    }
    (heads, kv_heads, fields.number_or("head_dim", LENGTHS, (hidden / heads).max(1)))
}

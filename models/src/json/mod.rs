//! A model's shape from the `config.json` that it is published with.

mod families;
mod fields;
mod parts;

use serde_json::Value;

use crate::Config;
use crate::config::{Attention, FeedForward};
use fields::Fields;

/// A family, by the name that its files have in `model_type`.
type Family = for<'a> fn(&mut Fields<'a>) -> Config;

/// What is understood.
const FAMILIES: [(&str, Family); 12] = [
    ("llama", families::llama),
    ("mistral", families::mistral),
    ("mixtral", families::mixtral),
    ("qwen3", families::qwen3),
    ("qwen3_moe", families::qwen3_moe),
    ("gpt_oss", families::gpt_oss),
    ("deepseek_v3", families::deepseek),
    ("kimi_k2", families::deepseek),
    ("kimi_k25", families::kimi_with_pictures),
    ("gemma", families::gemma),
    ("gemma4", families::gemma4),
    ("bert", families::bert),
];

/// Reads a published configuration; a model that also takes pictures has its shape in `text_config`. The model gets the name `name`.
///
/// The error lists all that is missing or not understood, each with the field's name. Fields that say nothing about the shape are passed
/// over. Where a field that has a default in the code published with the family is missing, it has that default.
pub fn config(name: &str, text: &str) -> Result<Config, Vec<String>> {
    let value: Value = serde_json::from_str(text).map_err(|error| vec![format!("not JSON: {error}")])?;
    let object = value.as_object().ok_or_else(|| vec!["not a JSON object".to_owned()])?;
    let mut fields = Fields::new(object);
    let Some(family) = fields.word("model_type", &FAMILIES) else { return Err(fields.problems) };
    let mut config = family(&mut fields);
    let mut problems = fields.problems;
    if problems.is_empty() {
        problems = unsound(&config);
    }
    config.name = name.to_owned().into();
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// Numbers that do not fit each other.
fn unsound(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    if let Attention::Grouped(grouped) = &config.attention {
        let full = grouped.window.and_then(|window| window.full);
        let [mine, others] =
            [Some((grouped.kv_heads, grouped.head_dim)), full.map(|f| (f.kv_heads, f.head_dim))];
        for (kv_heads, head_dim) in [mine, others].into_iter().flatten() {
            if !grouped.heads.is_multiple_of(kv_heads) {
                problems
                    .push(format!("{} query heads do not share {kv_heads} key heads evenly", grouped.heads));
            }
            if !head_dim.is_multiple_of(2) {
                problems.push(format!("a head of {head_dim} elements has no halves"));
            }
        }
    }
    if let FeedForward::Experts(experts) = &config.feed_forward {
        if experts.active > experts.experts {
            problems.push(format!("{} of {} experts cannot be chosen", experts.active, experts.experts));
        }
        if experts.dense_layers > config.layers {
            problems.push(format!("{} of {} layers cannot be dense", experts.dense_layers, config.layers));
        }
    }
    problems
}

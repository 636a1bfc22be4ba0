//! Published `config.json` files against the presets, and what is wrong with files that are not understood.
//!
//! The files in `configs/` hold those fields of the published ones that say something about a shape.

use models::config::{Attention, Norms, Positions, Stretch};
use models::{json, presets};

fn file(name: &str) -> String {
    let path = format!("{}/tests/configs/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A file with a field of the outer object changed.
fn changed(name: &str, field: &str, value: serde_json::Value) -> String {
    let mut object: serde_json::Value = serde_json::from_str(&file(name)).expect("JSON");
    object[field] = value;
    object.to_string()
}

#[test]
fn every_preset_is_what_its_file_says() {
    let mut seen = 0;
    for preset in presets::all() {
        let name = &preset.config.name;
        let read = json::config(name, &file(name)).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        assert_eq!(read, preset.config, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 16);
}

#[test]
fn all_that_is_missing_is_listed() {
    let problems = json::config("m", r#"{"model_type": "llama", "hidden_size": 64, "hidden_act": "silu"}"#);
    let missing =
        ["num_attention_heads", "num_hidden_layers", "vocab_size", "intermediate_size", "rms_norm_eps"];
    let expected: Vec<String> = missing.iter().map(|name| format!("`{name}` is missing")).collect();
    assert_eq!(problems, Err(expected));
    let problems = json::config("m", r#"{"model_type": "gpt_oss"}"#).expect_err("empty");
    for name in ["head_dim", "hidden_act", "sliding_window", "layer_types", "num_local_experts", "rope_theta"]
    {
        assert!(
            problems.iter().any(|problem| problem.starts_with(&format!("`{name}` is missing"))),
            "{problems:#?}"
        );
    }
    let problems = json::config("m", r#"{"model_type": "gemma4", "text_config": {"rope_parameters": {}}}"#);
    let problems = problems.expect_err("empty");
    assert!(problems.contains(&"`text_config.hidden_size` is missing".to_owned()), "{problems:#?}");
    let inner = "`text_config.rope_parameters.full_attention` is missing".to_owned();
    assert!(problems.contains(&inner), "{problems:#?}");
    assert_eq!(
        json::config("m", r#"{"model_type": "kimi_k25"}"#),
        Err(vec!["`text_config` is missing".to_owned()])
    );
}

#[test]
fn what_is_not_understood_is_named() {
    let problem = |text: &str| json::config("m", text).expect_err(text).join("\n");
    assert!(problem("{").contains("not JSON"));
    assert!(problem("[]").contains("not a JSON object"));
    assert!(problem("{}").contains("`model_type` is missing"));
    let unknown = problem(r#"{"model_type": "gpt2"}"#);
    assert!(unknown.contains("`model_type` is \"gpt2\"") && unknown.contains("qwen3_moe"), "{unknown}");
    for (name, field, value, what) in [
        ("llama-3-8b", "hidden_act", "relu".into(), "silu"),
        ("llama-3-8b", "hidden_size", "4096".into(), "a whole number"),
        ("llama-3-8b", "hidden_size", 0.into(), "a whole number"),
        ("llama-3-8b", "num_hidden_layers", 1_000_000_000.into(), "a whole number"),
        ("llama-3-8b", "hidden_size", 4095.into(), "head_dim"),
        ("llama-3-8b", "num_key_value_heads", 5.into(), "32 query heads do not share 5"),
        ("llama-3-8b", "rms_norm_eps", (-1).into(), "a positive number"),
        ("llama-3-8b", "mlp_bias", true.into(), "`mlp_bias` is true"),
        (
            "llama-3-8b",
            "rope_scaling",
            serde_json::json!({"rope_type": "longrope"}),
            "`rope_scaling.rope_type`",
        ),
        (
            "deepseek-v3",
            "rope_scaling",
            serde_json::json!({"type": "yarn", "factor": 4.0, "attention_factor": 2.0}),
            "`rope_scaling.attention_factor` is 2.0",
        ),
        ("qwen3-8b", "use_sliding_window", true.into(), "`use_sliding_window` is true"),
        ("qwen3-235b-a22b", "num_experts_per_tok", 129.into(), "129 of 128 experts"),
        ("gpt-oss-20b", "swiglu_limit", 5.0.into(), "`swiglu_limit` is 5.0"),
        ("gpt-oss-20b", "layer_types", serde_json::json!(["full_attention"]), "1 entries for 24 layers"),
        ("gpt-oss-20b", "quantization_config", serde_json::json!({"quant_method": "gptq"}), "gptq"),
        ("deepseek-v3", "q_lora_rank", serde_json::Value::Null, "`q_lora_rank` is missing"),
        ("deepseek-v3", "moe_layer_freq", 2.into(), "`moe_layer_freq` is 2"),
        ("deepseek-v3", "topk_method", "greedy".into(), "noaux_tc"),
    ] {
        let text = changed(name, field, value);
        let told = problem(&text);
        assert!(told.contains(what), "{name}, {field}: {told}");
    }
}

#[test]
fn layers_in_no_pattern_are_not_understood() {
    let mut object: serde_json::Value = serde_json::from_str(&file("gemma-4-31b")).expect("JSON");
    object["text_config"]["layer_types"][7] = "full_attention".into();
    let problems = json::config("m", &object.to_string()).expect_err("irregular").join("\n");
    assert!(problems.contains("`text_config.layer_types`") && problems.contains("repeat"), "{problems}");
}

#[test]
fn newer_spellings_and_relatives_of_the_presets() {
    let text = changed(
        "llama-3-8b",
        "rope_parameters",
        serde_json::json!({"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}),
    );
    let config = json::config("llama-3.1-8b", &text).expect("understood");
    let Positions::Rotary { theta, stretch: Some(stretch) } = config.positions else { panic!("{config:?}") };
    assert_eq!(theta, 5e5);
    assert_eq!(stretch, Stretch::Llama3 { factor: 8.0, low: 1.0, high: 4.0, trained: 8192.0 });
    assert!(config.not_built().is_empty());
    let text = changed("mixtral-8x7b", "sliding_window", 4096.into()).replace("\"mixtral\"", "\"mistral\"");
    let config = json::config("mistral", &text).expect("understood");
    let Attention::Grouped(grouped) = config.attention else { panic!("{config:?}") };
    let window = grouped.window.expect("a window");
    assert!(window.size == 4096 && (0..32).all(|layer| !window.sees_all(layer)));
    let gemma = r#"{"model_type": "gemma", "hidden_act": "gelu", "head_dim": 256, "hidden_size": 3072,
        "intermediate_size": 24576, "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 16,
        "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "vocab_size": 256000}"#;
    let config = json::config("gemma-7b", gemma).expect("understood");
    assert!(config.tied && config.scaled_embedding && config.norms == Norms::BeforeLessOne);
    // As the library that it is published for counts them.
    assert_eq!(models::count::count(&config).total().all(), 8_537_680_896);
}

#[test]
fn the_largest_numbers_that_are_understood_are_counted() {
    for (name, numbers, experts) in [
        ("llama-3-8b", &["num_hidden_layers", "num_attention_heads", "num_key_value_heads"][..], &[][..]),
        ("gpt-oss-20b", &["num_attention_heads", "num_key_value_heads"], &["num_local_experts"]),
        (
            "deepseek-v3",
            &["num_hidden_layers", "num_attention_heads"],
            &["n_routed_experts", "n_shared_experts", "num_experts_per_tok"],
        ),
    ] {
        let mut object: serde_json::Value = serde_json::from_str(&file(name)).expect("JSON");
        let lengths = ["hidden_size", "head_dim", "intermediate_size", "moe_intermediate_size", "vocab_size"];
        let ranks = ["q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"];
        let all = [(numbers, 1024), (experts, 4096), (&lengths, 1 << 19), (&ranks, 1 << 19)];
        for (fields, most) in all {
            for field in fields {
                object[*field] = most.into();
            }
        }
        let config =
            json::config(name, &object.to_string()).unwrap_or_else(|problems| panic!("{problems:?}"));
        // Without overflow, which is checked in tests.
        let weights = models::count::count(&config).total();
        assert!(weights.read <= weights.matrices, "{name}");
        let chips = models::count::chips(weights.all(), 8, 1 << 20);
        assert_eq!(chips, weights.all().div_ceil(1 << 20), "{name}");
    }
}

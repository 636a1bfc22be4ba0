//! Graphs of the published models at their published sizes, without weights: shapes, parameters, caches, and what is not built.

use std::collections::BTreeMap;

use compiler::graph::{Graph, Op};
use models::build::{self, Error};
use models::config::{Activation, Attention, FeedForward, Kind, Norms};
use models::{Config, count, presets};

const CONTEXT: usize = 512;

fn preset(name: &str) -> Config {
    Config::preset(name).unwrap_or_else(|| panic!("no preset {name}")).clone()
}

/// Elements of a graph's weights by name.
fn weights(graph: &Graph) -> BTreeMap<&str, u64> {
    let absent = |op: &Op| matches!(op, Op::Constant(constant) if constant.bytes.is_none());
    let published = |name: &str| name.strip_suffix(".weight") != Some(build::SPREAD);
    let nodes = graph.nodes.values().filter(|node| absent(&node.op) && published(&node.origin));
    nodes.map(|node| (node.origin.as_str(), node.ty.elements() as u64)).collect()
}

/// Elements of a graph's states.
fn states(graph: &Graph) -> u64 {
    graph.states.iter().map(|state| graph.ty(state.input).elements() as u64).sum()
}

#[test]
fn all_published_models_have_as_many_parameters_as_are_counted() {
    for preset in presets::all() {
        let config = &preset.config;
        let name = &config.name;
        let graph = |made: Result<Graph, Error>| made.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let (embedding, head) = (graph(build::embedding(config, 1, CONTEXT)), graph(build::head(config, 1)));
        // A matrix that both have is one.
        let mut ends = weights(&embedding);
        ends.extend(weights(&head));
        let mut parameters: u64 = ends.values().sum();
        for kind in config.distinct_layers() {
            let layer = graph(build::layer(config, kind.first, 1, CONTEXT));
            let elements: u64 = weights(&layer).values().sum();
            assert_eq!(
                elements,
                count::layer(config, kind.first).total().all(),
                "{name}, layer {}",
                kind.first
            );
            parameters += elements * kind.count as u64;
        }
        assert_eq!(parameters, count::count(config).total().all(), "{name}");
    }
}

#[test]
fn caches_hold_as_many_elements_as_are_counted() {
    for preset in presets::all() {
        let config = &preset.config;
        let kept = |kind: &models::layers::DistinctLayer| {
            let layer = build::layer(config, kind.first, 2, CONTEXT).expect("a graph");
            states(&layer) * kind.count as u64
        };
        let kept: u64 = config.distinct_layers().iter().map(kept).sum();
        let counted = 2 * count::cache(config).elements(CONTEXT as u64);
        // Keys that are made as values are, are kept apart, as they are turned.
        let twice = if config.name == "gemma-4-31b" { 2 * 10 * (4 * 512) * CONTEXT as u64 } else { 0 };
        // Latent vectors are kept by rows and, without what is turned, by columns.
        let latent = match config.attention {
            Attention::Latent(latent) => 2 * config.layers * latent.kv_rank * CONTEXT,
            Attention::Grouped(_) => 0,
        };
        assert_eq!(kept, counted + twice + latent as u64, "{}", config.name);
    }
}

#[test]
fn layers_that_are_alike() {
    let kinds = |name: &str| -> Vec<(usize, usize)> {
        preset(name).distinct_layers().iter().map(|kind| (kind.first, kind.count)).collect()
    };
    assert_eq!(kinds("llama-3-8b"), [(0, 32)]);
    assert_eq!(kinds("mixtral-8x7b"), [(0, 32)]);
    assert_eq!(kinds("gpt-oss-120b"), [(0, 18), (1, 18)]);
    assert_eq!(kinds("deepseek-v3"), [(0, 3), (3, 58)]);
    assert_eq!(kinds("kimi-k2"), [(0, 1), (1, 60)]);
    assert_eq!(kinds("gemma-4-31b"), [(0, 50), (5, 10)]);
    assert_eq!(kinds("bert-base"), [(0, 12)]);
    // And those of unequal kinds differ.
    let gemma = preset("gemma-4-31b");
    let layer = |index| build::layer(&gemma, index, 1, CONTEXT).expect("a graph");
    assert!(layer(0) == layer(1) && layer(0) != layer(5));
}

#[test]
fn what_cannot_be_built_says_why() {
    let not_built = |config: Config| match build::layer(&config, 0, 1, CONTEXT) {
        Err(Error::NotBuilt(what)) => what,
        other => panic!("{other:?}"),
    };
    let config = Config { norms: Norms::After, ..preset("llama-3-8b") };
    assert_eq!(not_built(config), "graphs of llama-3-8b are not built: LayerNorm in decoders");
    let config = Config { activation: Activation::SiluClamped, ..preset("llama-3-8b") };
    assert!(not_built(config).ends_with("cut-off SiLU without experts"));
    let config = Config { kind: Kind::Encoder { token_types: 2 }, ..preset("qwen3-8b") };
    assert!(not_built(config).contains("encoders whose attention is not BERT's, RMSNorm in encoders"));
    let shape = |made: Result<Graph, Error>| match made {
        Err(Error::Shape(what)) => what,
        other => panic!("{other:?}"),
    };
    let bert = preset("bert-base");
    assert_eq!(shape(build::layer(&bert, 12, 1, 8)), "bert-base has 12 layers, and no layer 12");
    assert_eq!(shape(build::embedding(&bert, 1, 513)), "bert-base has 512 places, and not 513");
    let mut deepseek = preset("deepseek-v3");
    let FeedForward::Experts(experts) = &mut deepseek.feed_forward else { panic!("experts") };
    experts.router.groups = 7;
    assert_eq!(shape(build::layer(&deepseek, 3, 1, 8)), "4 of 7 groups of 256 experts cannot be chosen");
    let FeedForward::Experts(experts) = &mut deepseek.feed_forward else { panic!("experts") };
    (experts.router.groups, experts.active) = (8, 129);
    assert_eq!(shape(build::layer(&deepseek, 3, 1, 8)), "129 experts cannot be chosen of 4 groups of 32");
    let latent = matches!(deepseek.attention, Attention::Latent(_));
    assert!(latent && build::layer(&deepseek, 0, 1, 8).is_ok(), "its first layers have no experts");
}

//! Decoder layers: what the simulated machine computes, step after step over its caches, against the graph evaluator; and how long a step
//! of a published model's layer takes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use compiler::graph::eval::{Data, Tensor, evaluate};
use compiler::graph::{Graph, Op};
use compiler::links::Links;
use compiler::rewrite::RewriteOptions;
use compiler::{Caches, Options, Precision, compile};
use isa::Chip;
use lpu_tests::{lpuc, lpuc_well, root};
use models::config::{
    Activation, Attention, FeedForward, Grouped, Kind, Norms, Positions, Published, Window,
};
use models::{Config, build};
use simulator::{Array, Engine, Machine};

static SMALL: Config = Config {
    name: Cow::Borrowed("small"),
    kind: Kind::Decoder,
    layers: 1,
    hidden: 96,
    vocabulary: 100,
    tied: false,
    scaled_embedding: false,
    softcap: None,
    attention: Attention::Grouped(Grouped {
        heads: 6,
        kv_heads: 3,
        head_dim: 32,
        bias: false,
        qk_norm: false,
        v_norm: false,
        sinks: false,
        window: None,
    }),
    feed_forward: FeedForward::Gated { inner: 160 },
    activation: Activation::Silu,
    norms: Norms::Before,
    epsilon: 1e-5,
    positions: Positions::Rotary { theta: 10_000.0, stretch: None },
    published: Published::Plain,
};

/// Numbers between −1 and 1.
fn numbers(seed: usize, count: usize) -> Vec<f32> {
    let mut state = seed as u32 * 7919 + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Weights for the constants that a builder left without.
fn with_weights(mut graph: Graph) -> Graph {
    for (seed, node) in graph.nodes.values_mut().enumerate() {
        let (Op::Constant(constant), shape) = (&mut node.op, &node.ty.shape) else { continue };
        if constant.bytes.is_none() {
            let scale = 1.5 / (shape[0] as f32).sqrt();
            let values = numbers(seed, shape.iter().product());
            let values: Vec<f32> = match shape.len() {
                1 => values.into_iter().map(|x| 1.0 + 0.2 * x).collect(),
                _ => values.into_iter().map(|x| x * scale).collect(),
            };
            *constant = Tensor::f32(shape.clone(), values).to_constant();
        }
    }
    graph
}

/// Steps at these positions, one after the other; the greatest difference of an output from the evaluator's, in parts of the greatest value.
fn error(
    config: &Config,
    chip: &str,
    (batch, context): (usize, usize),
    (precision, caches): (Precision, Caches),
    positions: &[i32],
) -> f32 {
    let graph = with_weights(build::layer(config, 0, batch, context).expect("a layer"));
    let chip = Chip::preset(chip).expect("a preset");
    let options = Options {
        precision,
        rewrite: Some(RewriteOptions::default()),
        links: Links::default(),
        caches,
        dense: false,
    };
    let compiled =
        compile(graph.clone(), &chip, &options, &mut |_, _| {}).unwrap_or_else(|error| panic!("{error}"));
    let mut machine = Machine::load(Engine::Fast, &chip, &compiled.program).expect("loads");
    let mut states = BTreeMap::new();
    let mut worst = 0f32;
    for (step, &position) in positions.iter().enumerate() {
        let hidden = numbers(1000 + step, batch * SMALL.hidden);
        machine.write("hidden", &Array::F32(hidden.clone())).expect("a port");
        machine.write("position", &Array::I32(vec![position])).expect("a port");
        let report = machine.run().unwrap_or_else(|fault| panic!("step {step}: {fault}"));
        assert_eq!(report.cycles, compiled.predicted.cycles);
        let Ok(Array::F32(got)) = machine.read("output") else { panic!("no output") };
        let inputs = BTreeMap::from([
            ("hidden".to_owned(), Tensor::f32([batch, 1, SMALL.hidden], hidden)),
            ("position".to_owned(), Tensor::i32([1], [position])),
        ]);
        let right = evaluate(&graph, &inputs, Some(&states)).expect("has a value");
        let Data::F32(want) = &right["output"].data else { panic!("not real") };
        let top = want.iter().fold(0f32, |top, x| top.max(x.abs()));
        worst = want.iter().zip(&got).fold(worst, |worst, (a, b)| worst.max((a - b).abs() / top));
        for state in &graph.states {
            states.insert(state.input_name.clone(), right[&state.output_name].clone());
        }
    }
    worst
}

#[test]
fn values_follow_the_caches_across_superlanes_and_vectors() {
    // What lies between stays zero: a superlane that is full may be followed by any other.
    let positions: Vec<i32> = (0..32).chain(304..338).collect();
    for chip in ["lp30", "tsp-v1"] {
        let error = error(&SMALL, chip, (1, 350), (Precision::Fp16, Caches::Fp16), &positions);
        assert!(error < 2e-3, "{chip}: {error}");
    }
}

#[test]
fn sequences_of_a_batch_have_caches_of_their_own() {
    let error = error(&SMALL, "lp30", (2, 40), (Precision::Fp16, Caches::Fp16), &[0, 1, 2, 15, 16, 17]);
    assert!(error < 2e-3, "{error}");
}

#[test]
fn weights_of_eight_bits() {
    let error = error(&SMALL, "lp30", (1, 40), (Precision::Int8, Caches::Fp16), &[0, 1, 2]);
    assert!(error < 2e-2, "{error}");
}

#[test]
fn norms_of_queries_and_keys() {
    let Attention::Grouped(grouped) = SMALL.attention else { panic!("grouped") };
    let attention = Attention::Grouped(Grouped { qk_norm: true, ..grouped });
    let error = error(
        &Config { attention, ..SMALL.clone() },
        "lp30",
        (1, 40),
        (Precision::Fp16, Caches::Fp16),
        &[0, 1, 2],
    );
    assert!(error < 3e-3, "{error}");
}

/// The ring of a window comes round, and is longer than a superlane has lanes.
#[test]
fn windows() {
    let Attention::Grouped(grouped) = SMALL.attention else { panic!("grouped") };
    let window = Some(Window { size: 40, every: 0, full: None });
    let attention = Attention::Grouped(Grouped { window, ..grouped });
    let positions: Vec<i32> = (0..90).collect();
    let error = error(
        &Config { attention, ..SMALL.clone() },
        "lp30",
        (1, 200),
        (Precision::Fp16, Caches::Fp16),
        &positions,
    );
    assert!(error < 2e-3, "{error}");
}

/// Keys and values in e4m3 have three bits after the first: rows, columns and rings, and one head, whose rows lie in both hemispheres.
#[test]
fn caches_of_eight_bits() {
    let Attention::Grouped(grouped) = SMALL.attention else { panic!("grouped") };
    let window = Some(Window { size: 40, every: 0, full: None });
    for (grouped, context) in [
        (grouped, 350),
        (Grouped { window, ..grouped }, 200),
        (Grouped { heads: 3, kv_heads: 1, head_dim: 64, ..grouped }, 1300),
    ] {
        let config = Config { attention: Attention::Grouped(grouped), ..SMALL.clone() };
        let positions: Vec<i32> = (0..50).collect();
        let error = |caches| error(&config, "lp30", (1, context), (Precision::Fp16, caches), &positions);
        let (half, eighth) = (error(Caches::Fp16), error(Caches::Fp8));
        assert!(half < 2e-3 && half < eighth && eighth < 3e-2, "{grouped:?}: {half} and {eighth}");
    }
}

#[test]
fn caches_of_eight_bits_are_refused_where_they_cannot_be() {
    let layer = |options: &[&str]| lpuc(&[&["llama-3-8b/layer", "--kv", "fp8"], options].concat());
    let ran = layer(&["--precision", "fp32"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("error[caches]: caches in eight bits do not have the bits"), "{}", ran.err);
    let ran = layer(&["--chip", "tsp-v1", "--precision", "int8", "--context", "64"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("load weights in i8, f16, not in f8wide"), "{}", ran.err);
}

/// A report on one layer of Llama 3 8B with weights of eight bits.
fn llama(chip: &str, context: &str) -> serde_json::Value {
    let args = ["llama-3-8b/layer", "--precision", "int8", "--chip", chip, "--context", context, "--json"];
    serde_json::from_str(&lpuc_well(&args)).expect("one JSON object")
}

#[test]
fn a_layer_of_a_published_model_streams_its_weights_and_its_cache() {
    for context in ["2048", "8192"] {
        let report = llama("lp30", context);
        assert_eq!(report["predicted_cycles"], report["simulated_cycles"]);
        // Both are said in the book; neither may become worse unseen.
        let ratio = report["bound"]["ratio"].as_f64().expect("a number");
        assert!((1.0..2.3).contains(&ratio), "context {context}: {ratio}");
        let cache = report["sram"]["kv_bytes"].as_u64().expect("a number");
        let elements = 2 * 8 * 128 * context.parse::<u64>().expect("a number");
        assert!(cache >= 2 * elements, "context {context}: {cache} bytes");
    }
}

#[test]
fn eight_users_share_a_chip() {
    let args = ["llama-3-8b/layer", "--precision", "int8", "--context", "2048", "--batch", "8", "--json"];
    let report: serde_json::Value = serde_json::from_str(&lpuc_well(&args)).expect("one JSON object");
    assert_eq!(report["predicted_cycles"], report["simulated_cycles"]);
    let ratio = report["bound"]["ratio"].as_f64().expect("a number");
    assert!((1.0..3.5).contains(&ratio), "{ratio}");
    // Weights and caches lie evenly in the slices that are for them.
    let slices = report["sram"]["slices"].as_array().expect("a list");
    let bytes = |slice: &serde_json::Value, kind: &str| slice[kind].as_u64().expect("a number");
    let fixed = |slice| bytes(slice, "weights_bytes") + bytes(slice, "kv_bytes");
    let outer: Vec<u64> = slices.iter().map(fixed).filter(|&bytes| bytes > 1_500_000).collect();
    assert_eq!((slices.len(), outer.len()), (160, 128));
    let (least, most) = (outer.iter().min(), outer.iter().max());
    assert!(most.zip(least).is_some_and(|(most, least)| most * 95 <= least * 100), "{least:?} to {most:?}");
}

#[test]
fn the_trained_example_takes_at_most_half_more_than_its_bound() {
    let model = root().join("examples/licence-decoder.onnx").display().to_string();
    for (chip, most) in [("lp30", 1.5), ("tsp-v1", 1.75)] {
        let args = [model.as_str(), "--chip", chip, "--context", "256", "--json"];
        let report: serde_json::Value = serde_json::from_str(&lpuc_well(&args)).expect("one JSON object");
        let ratio = report["bound"]["ratio"].as_f64().expect("a number");
        assert!((1.0..=most).contains(&ratio), "{chip}: {ratio}");
    }
}

#[test]
fn a_layer_that_does_not_fit_says_by_how_much() {
    let ran = lpuc(&["llama-3-8b/layer", "--precision", "int8", "--chip", "tsp-v1"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("error[does-not-fit]") && ran.err.contains("weights"), "{}", ran.err);
}

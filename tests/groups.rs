//! Groups of chips that compute a layer together: values beside those of one chip, and one program for all.

use std::borrow::Cow;
use std::collections::BTreeMap;

use compiler::graph::eval::{Tensor, evaluate, evaluate_group};
use compiler::graph::{Graph, Op};
use compiler::links::Links;
use compiler::partition::tensor_parallel::{self, Group, Share};
use compiler::rewrite::RewriteOptions;
use compiler::system::{Chained, Mapping, Model, compile_chained};
use compiler::{Options, Precision};
use isa::{Chip, System};
use models::config::{
    Activation, Attention, Experts, FeedForward, Grouped, Kind, Norms, Positions, Published, Router, Run,
    Score,
};
use models::{Config, build, whole};
use simulator::{Array, SystemMachine, compose};

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
        heads: 8,
        kv_heads: 4,
        head_dim: 32,
        bias: false,
        qk_norm: true,
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
        if constant.bytes.is_none() && node.origin == format!("{}.weight", build::SPREAD) {
            *constant = build::spread(shape[0], shape[1] / shape[0]).to_constant();
        }
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

/// The shares of a layer.
fn shares(layer: &Graph, mesh: &[usize]) -> Vec<Share> {
    let group = Group { mesh, lanes: 320, arrivals: &["hidden"], departures: &["output"], dense: false };
    let plan = tensor_parallel::plan(layer, group).unwrap_or_else(|error| panic!("{mesh:?}: {error}"));
    (0..mesh.iter().product()).map(|rank| plan.share(rank).expect("a share")).collect()
}

#[test]
fn a_group_computes_what_one_chip_does() {
    let layer = with_weights(build::layer(&SMALL, 0, 2, 24).expect("a layer"));
    let hidden = numbers(1000, 2 * SMALL.hidden);
    let position = Tensor::i32([1], [5]);
    let inputs = BTreeMap::from([
        ("hidden".to_owned(), Tensor::f32([2, 1, SMALL.hidden], hidden.clone())),
        ("position".to_owned(), position.clone()),
    ]);
    let whole = evaluate(&layer, &inputs, None).expect("has values");
    let want = whole["output"].as_f32().expect("real");
    for mesh in [&[2][..], &[4], &[8], &[2, 2], &[4, 2]] {
        let chips: usize = mesh.iter().product();
        let own = SMALL.hidden / chips;
        let of_rank = |rank: usize| {
            let rows = hidden.chunks(SMALL.hidden).flat_map(|row| row[rank * own..][..own].to_vec());
            BTreeMap::from([
                ("hidden".to_owned(), Tensor::f32([2, 1, own], rows.collect::<Vec<f32>>())),
                ("position".to_owned(), position.clone()),
            ])
        };
        let graphs: Vec<Graph> = shares(&layer, mesh).into_iter().map(|share| share.graph).collect();
        let inputs: Vec<_> = (0..chips).map(of_rank).collect();
        let parts = evaluate_group(&graphs, &inputs).expect("has values");
        for (rank, part) in parts.iter().enumerate() {
            let got = part["output"].as_f32().expect("real");
            for (row, got) in got.chunks(own).enumerate() {
                let want = &want[row * SMALL.hidden + rank * own..][..own];
                let far = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
                assert!(far < 1e-5, "{mesh:?}, rank {rank}, row {row}: {far}");
            }
        }
    }
}

/// A toy with weights.
fn toy(config: &Config, batch: usize, context: usize) -> Model {
    let mut model = whole::model(config, batch, context).expect("a model");
    for piece in &mut model.pieces {
        piece.graph = with_weights(piece.graph.clone());
    }
    model
}

/// The logits of a step at position 0 by the graph evaluator, piece by piece.
fn evaluated(model: &Model, ids: &[i32]) -> Vec<f32> {
    let mut given = BTreeMap::from([
        ("input_ids".to_owned(), Tensor::i32([ids.len(), 1], ids)),
        ("position".to_owned(), Tensor::i32([1], [0])),
    ]);
    for &piece in &model.order {
        let values = evaluate(&model.pieces[piece].graph, &given, None).expect("has values");
        match values.get("logits") {
            Some(logits) => return logits.as_f32().expect("real").to_vec(),
            None => given.insert("hidden".to_owned(), values["output"].clone()),
        };
    }
    Vec::new()
}

fn compiled(model: &Model, mapping: &Mapping, precision: Precision, system: &str) -> (Chained, System, Chip) {
    let system = System::preset(system).expect("a preset");
    let chip = Chip::preset(&system.chip).expect("a preset");
    let options = Options {
        precision,
        rewrite: Some(RewriteOptions::default()),
        links: Links::default(),
        caches: compiler::Caches::Fp16,
        dense: false,
    };
    let chained = compile_chained(model, mapping, (&system, &chip), &options, &mut |_, _| {})
        .unwrap_or_else(|error| panic!("{mapping:?}: {error}"));
    (chained, system, chip)
}

/// Runs a step on every chip, and compares cycles with the composition and logits with the evaluator; returns the logits' greatest difference in
/// parts of the greatest logit.
fn stepped(model: &Model, mapping: &Mapping, precision: Precision, ids: &[i32]) -> f32 {
    stepped_on("lp30-node", model, mapping, precision, ids)
}

fn stepped_on(system: &str, model: &Model, mapping: &Mapping, precision: Precision, ids: &[i32]) -> f32 {
    let (chained, system, chip) = compiled(model, mapping, precision, system);
    let composed = compose(&system, &chip, &chained.program).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(composed.cycles, chained.predicted_cycles, "{mapping:?}");
    let mut machine = SystemMachine::load(&system, &chip, &chained.program).expect("loads");
    for (stage, chips) in chained.chips.iter().enumerate() {
        for &chip in chips {
            if stage == 0 {
                machine.write(chip, "input_ids", &Array::I32(ids.to_vec())).expect("a port");
            }
            // The embedding and the head have no position.
            let _ = machine.write(chip, "position", &Array::I32(vec![0]));
        }
    }
    let report = machine.run().unwrap_or_else(|fault| panic!("{mapping:?}: {fault}"));
    assert_eq!(report, composed, "{mapping:?}");
    assert!(machine.values_known());
    let want = evaluated(model, ids);
    let top = want.iter().fold(0f32, |top, x| top.max(x.abs()));
    let (vocabulary, chips) = (want.len() / ids.len(), mapping.chips);
    let own = vocabulary / chips;
    let mut worst = 0f32;
    for (rank, &chip) in chained.chips[chained.chips.len() - 1].iter().enumerate() {
        let Ok(Array::F32(got)) = machine.read(chip, "logits") else { panic!("no logits") };
        for (row, got) in got.chunks(own).enumerate() {
            let want = &want[row * vocabulary + rank * own..][..own];
            worst = got.iter().zip(want).fold(worst, |worst, (a, b)| worst.max((a - b).abs() / top));
        }
    }
    worst
}

#[test]
fn two_four_and_eight_chips_step_as_composed_and_compute_what_the_model_means() {
    let model = toy(&Config { layers: 3, ..SMALL.clone() }, 2, 24);
    let mappings = [(2, vec![8]), (4, vec![8]), (1, vec![3, 5]), (2, vec![3, 2, 3]), (4, vec![4, 4])];
    for (chips, stages) in mappings {
        let mapping = Mapping { chips, stages, dense: false };
        let error = stepped(&model, &mapping, Precision::Fp16, &[7, 42]);
        assert!(error < 3e-3, "{mapping:?}: {error}");
    }
}

#[test]
fn parts_that_almost_fill_their_vectors_lie_in_vectors_of_their_own() {
    let model = toy(&Config { hidden: 600, ..SMALL.clone() }, 1, 24);
    let error = stepped(&model, &Mapping { chips: 2, stages: vec![4], dense: false }, Precision::Fp16, &[7]);
    assert!(error < 3e-3, "{error}");
}

/// Experts of which two are chosen for a token.
fn experts(count: usize, run: Run) -> FeedForward {
    let router = Router { score: Score::Softmax, bias: false, groups: 1, active_groups: 1, scale: 1.0 };
    FeedForward::Experts(Experts {
        experts: count,
        active: 2,
        inner: 48,
        shared: 0,
        dense_layers: 0,
        dense_inner: 0,
        bias: false,
        run,
        router,
    })
}

#[test]
fn experts_of_several_chips() {
    for run in [Run::Resident, Run::Gather] {
        let model = toy(&Config { feed_forward: experts(8, run), ..SMALL.clone() }, 2, 24);
        for (chips, stages) in [(2, vec![4]), (4, vec![1, 3])] {
            let mapping = Mapping { chips, stages, dense: false };
            let error = stepped(&model, &mapping, Precision::Fp16, &[7, 42]);
            assert!(error < 3e-3, "{run:?}, {mapping:?}: {error}");
        }
    }
}

/// Of many scores the greatest are found one after the other.
#[test]
fn many_experts() {
    let mapping = Mapping { chips: 2, stages: vec![4], dense: false };
    for run in [Run::Resident, Run::Gather] {
        let model = toy(&Config { feed_forward: experts(32, run), ..SMALL.clone() }, 2, 24);
        for (precision, most) in [(Precision::Fp16, 3e-3), (Precision::Int8, 3e-2)] {
            let error = stepped(&model, &mapping, precision, &[7, 42]);
            assert!(error < most, "{run:?}, {precision:?}: {error}");
        }
    }
}

/// Nodes of eight in a ring: from one to the next, chips with an even number have links, to those with an odd one.
#[test]
fn parts_go_through_the_chips_that_have_links() {
    let model = toy(&Config { layers: 2, vocabulary: 96, ..SMALL.clone() }, 2, 24);
    for (chips, stages) in [(8, vec![2, 4]), (16, vec![4, 2])] {
        let mapping = Mapping { chips, stages, dense: false };
        let error = stepped_on("tsp-v1-ring", &model, &mapping, Precision::Fp16, &[7, 42]);
        assert!(error < 3e-3, "{mapping:?}: {error}");
    }
}

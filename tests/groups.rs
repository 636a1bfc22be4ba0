//! Groups of chips that compute a layer together: values beside those of one chip, and one program for all.

use std::borrow::Cow;
use std::collections::BTreeMap;

use compiler::graph::eval::{Tensor, evaluate, evaluate_group};
use compiler::graph::{Graph, Op};
use compiler::partition::tensor_parallel::{self, Group, Share};
use models::config::{Activation, Attention, FeedForward, Grouped, Kind, Norms, Positions, Published};
use models::{Config, build};

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
    let group = Group { mesh, lanes: 320, arrivals: &["hidden"], departures: &["output"] };
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

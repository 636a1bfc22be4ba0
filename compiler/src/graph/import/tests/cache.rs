//! A decoder of one attention layer, written as exporters write it, against plain loops.

use super::{Bindings, import};
use crate::diagnostic::Diagnostic;
use crate::graph::eval::{Tensor, evaluate};
use crate::graph::import::{Import, POSITION};
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{GraphProto, ModelProto, NodeProto};
use crate::onnx::testing::{Dim, int, model, node, round, tensor, value};
use std::collections::BTreeMap;

const VOCABULARY: usize = 5;
const WIDTH: usize = 4;
const POSITIONS: usize = 16;

/// Numbers without a pattern, in −1..1.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn embedding() -> Vec<f32> {
    numbers(VOCABULARY * WIDTH, 1)
}

fn places() -> Vec<f32> {
    numbers(POSITIONS * WIDTH, 2)
}

/// What the model shall answer at the last of some tokens: attention of embedding + place over all tokens up to it.
fn expected(tokens: &[i32]) -> Vec<f32> {
    let (embedding, places) = (embedding(), places());
    let row = |at: usize| -> Vec<f32> {
        let token = tokens[at] as usize;
        (0..WIDTH).map(|k| embedding[token * WIDTH + k] + places[at * WIDTH + k]).collect()
    };
    let query = row(tokens.len() - 1);
    let keys: Vec<Vec<f32>> = (0..tokens.len()).map(row).collect();
    let scores: Vec<f32> = keys.iter().map(|key| key.iter().zip(&query).map(|(a, b)| a * b).sum()).collect();
    let powers: Vec<f32> = scores.iter().map(|score: &f32| score.exp()).collect();
    let sum: f32 = powers.iter().sum();
    (0..WIDTH).map(|k| keys.iter().zip(&powers).map(|(key, power)| key[k] * power / sum).sum()).collect()
}

/// The decoder; `others` replace the nodes that make the same values.
pub(super) fn decoder(others: Vec<NodeProto>) -> ModelProto {
    let mut nodes = vec![
        // Where the new tokens are, from shapes.
        node("Shape", "past", "past_shape", vec![]),
        node("Gather", "past_shape one", "old", vec![]),
        node("Shape", "ids", "ids_shape", vec![]),
        node("Gather", "ids_shape one", "new", vec![]),
        node("Add", "old new", "total", vec![]),
        node("Range", "old total one", "row_places", vec![]),
        node("Range", "zero total one", "columns", vec![]),
        node("Gather", "embedding ids", "tokens", vec![]),
        node("Gather", "places position_ids", "place", vec![]),
        node("Add", "tokens place", "x", vec![]),
        node("Concat", "past x", "present", vec![int("axis", -2)]),
        node("Unsqueeze", "row_places ones", "rows", vec![]),
        node("LessOrEqual", "columns rows", "causal", vec![]),
        // The mask of slots.
        node("Cast", "mask", "mask_truth", vec![int("to", 9)]),
        node("Unsqueeze", "mask_truth ones", "mask_rows", vec![]),
        node("And", "causal mask_rows", "seen", vec![]),
        node("Where", "seen nothing least", "bias", vec![]),
        node("Transpose", "present", "keys", vec![crate::onnx::testing::ints("perm", &[0, 2, 1])]),
        node("MatMul", "x keys", "scores", vec![]),
        node("Add", "scores bias", "biased", vec![]),
        node("Softmax", "biased", "weights", vec![]),
        node("MatMul", "weights present", "logits", vec![]),
    ];
    for other in others {
        let place = nodes.iter().position(|node| node.output == other.output).unwrap();
        nodes[place] = other;
    }
    let (batch, sequence) = (|| Dim::S("batch"), || Dim::S("sequence"));
    let graph = GraphProto {
        node: nodes,
        input: vec![
            value("ids", DataType::Int64, &[batch(), sequence()]),
            value("mask", DataType::Int64, &[batch(), Dim::S("past + sequence")]),
            value("position_ids", DataType::Int64, &[batch(), sequence()]),
            value("past", DataType::Float, &[batch(), Dim::S("past"), Dim::N(WIDTH as i64)]),
        ],
        output: vec![value("logits", DataType::Float, &[]), value("present", DataType::Float, &[])],
        initializer: vec![
            tensor("embedding", &Tensor::f32([VOCABULARY, WIDTH], embedding())),
            tensor("places", &Tensor::f32([POSITIONS, WIDTH], places())),
            tensor("zero", &Tensor::i32([], [0])),
            tensor("one", &Tensor::i32([], [1])),
            tensor("ones", &Tensor::i32([1], [1])),
            tensor("nothing", &Tensor::f32([], [0.0])),
            tensor("least", &Tensor::f32([], [f32::MIN])),
        ],
        ..Default::default()
    };
    model(17, graph)
}

fn with_context(model: &ModelProto, context: usize) -> Result<Import, Diagnostic> {
    import(&round(model)?, &Bindings { context: Some(context), ..Bindings::default() })
}

fn near(got: &[f32], want: &[f32]) {
    assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?}, not {want:?}");
}

#[test]
fn steps_follow_each_other() {
    const CONTEXT: usize = 6;
    let imported = with_context(&decoder(vec![]), CONTEXT).unwrap();
    let roles = imported.decoder.unwrap();
    assert!(roles.generates);
    assert_eq!((roles.context, roles.sequence, roles.batch), (CONTEXT, 1, 1));
    assert_eq!((roles.ids_input.as_str(), roles.mask_input.as_deref()), ("ids", Some("mask")));
    assert_eq!(
        (roles.position_ids_input.as_deref(), roles.logits_output.as_str()),
        (Some("position_ids"), "logits")
    );
    let graph = imported.graph;
    let [state] = &graph.states[..] else { panic!("{:?}", graph.states) };
    assert_eq!(graph.shape(state.input), [1, CONTEXT, WIDTH]);
    steps(&graph, CONTEXT);
}

/// A model that counts positions by the length of its cache is told how many tokens that holds.
#[test]
fn positions_may_be_counted_by_the_model() {
    const CONTEXT: usize = 6;
    let counting = decoder(vec![node("Gather", "places row_places", "place", vec![])]);
    let imported = with_context(&counting, CONTEXT).unwrap();
    assert!(imported.decoder.unwrap().generates);
    steps(&imported.graph, CONTEXT);
}

/// Tokens one after the other, each of which sees those before.
fn steps(graph: &crate::graph::Graph, context: usize) {
    let tokens = [3, 1, 4, 1, 0, 2];
    let mut states = None;
    for at in 0..context {
        let mask: Vec<i32> = (0..context).map(|slot| i32::from(slot <= at)).collect();
        let given = BTreeMap::from([
            ("ids".to_owned(), Tensor::i32([1, 1], [tokens[at]])),
            ("mask".to_owned(), Tensor::i32([1, context], mask)),
            ("position_ids".to_owned(), Tensor::i32([1, 1], [at as i32])),
            (POSITION.to_owned(), Tensor::i32([1], [at as i32])),
        ]);
        let mut made = evaluate(graph, &given, states.as_ref()).unwrap();
        near(made["logits"].as_f32().unwrap(), &expected(&tokens[..=at]));
        states = Some(BTreeMap::from([("past".to_owned(), made.remove("present").unwrap())]));
    }
}

/// Several tokens at once see each other in order, with and without a past that is given.
#[test]
fn several_tokens_at_once() {
    let tokens = [3, 1, 4, 1, 0];
    for past in [0, 2] {
        let (new, total) = (tokens.len() - past, tokens.len());
        let mut shapes =
            BTreeMap::from([("ids".to_owned(), vec![1, new]), ("mask".to_owned(), vec![1, total])]);
        if past > 0 {
            shapes.insert("past".to_owned(), vec![1, past, WIDTH]);
        }
        let bindings = Bindings { input_shapes: shapes, ..Bindings::default() };
        let imported = import(&round(&decoder(vec![])).unwrap(), &bindings).unwrap();
        let roles = imported.decoder.unwrap();
        assert_eq!((roles.context, roles.sequence, roles.generates), (total, new, false));
        let places_of: Vec<i32> = (past..total).map(|at| at as i32).collect();
        let given = BTreeMap::from([
            ("ids".to_owned(), Tensor::i32([1, new], &tokens[past..])),
            ("mask".to_owned(), Tensor::i32([1, total], vec![1; total])),
            ("position_ids".to_owned(), Tensor::i32([1, new], places_of)),
            (POSITION.to_owned(), Tensor::i32([1], [past as i32])),
        ]);
        let old = |at: usize, k: usize| {
            if at < past {
                embedding()[tokens[at] as usize * WIDTH + k] + places()[at * WIDTH + k]
            } else {
                0.0
            }
        };
        let state: Vec<f32> = (0..total).flat_map(|at| (0..WIDTH).map(move |k| old(at, k))).collect();
        let states = BTreeMap::from([("past".to_owned(), Tensor::f32([1, total, WIDTH], state))]);
        let made = evaluate(&imported.graph, &given, Some(&states)).unwrap();
        for (row, at) in (past..total).enumerate() {
            near(&made["logits"].as_f32().unwrap()[row * WIDTH..][..WIDTH], &expected(&tokens[..=at]));
        }
    }
}

/// Where the order of the slots or the number of tokens matters, a decode step has no fixed schedule.
#[test]
fn what_has_no_fixed_schedule() {
    let window = || {
        vec![
            node("Less", "columns two", "old_columns", vec![]),
            node("Not", "old_columns", "window", vec![]),
            node("And", "window mask_rows", "seen", vec![]),
        ]
    };
    let mut windowed = decoder(vec![]);
    let graph = windowed.graph.as_mut().unwrap();
    graph.initializer.push(tensor("two", &Tensor::i32([], [2])));
    let at = graph.node.iter().position(|node| node.output[0] == "seen").unwrap();
    graph.node.splice(at..=at, window());
    let cases = [
        ("a window over the cache", windowed),
        ("no mask", decoder(vec![node("Where", "causal nothing least", "bias", vec![])])),
        ("the cache read before appending", decoder(vec![node("Neg", "past", "logits", vec![])])),
    ];
    for (what, model) in cases {
        let error = with_context(&model, 6).map(|_| ()).unwrap_err();
        let expected = if what.contains("read") { "unsupported-operator" } else { "unsupported-cache" };
        assert_eq!(error.code, expected, "{what}: {error}");
    }
}

//! Graphs of every family at toy size against the reference implementation: `models/toys.py` writes it as ONNX, ONNX Runtime runs it.
//!
//! The reference takes a whole text at once, under its own masks. Our decoders take it token by token, over their own caches, so that every row
//! of the reference's outputs is one step. Evaluator and simulated machine both have to agree with it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;
use compiler::graph::eval::{Tensor, apply, evaluate};
use compiler::graph::{Constant, ElementType, Graph, Op, TensorType};
use compiler::links::Links;
use compiler::rewrite::RewriteOptions;
use compiler::system::{Mapping, Model, Piece, compile_chained};
use compiler::{Options, Precision, compile, onnx};
use isa::{Chip, System};
use lpu_tests::root;
use models::config::{Attention, FeedForward, Kind, Latent, Run};
use models::{Config, build, json};
use simulator::{Array, Engine, Machine, SystemMachine, compose};

/// Slots of the caches: more than the text has tokens.
const CONTEXT: usize = 20;
/// Greatest error over the greatest magnitude.
const TOLERANCE: f32 = 1e-4;

fn path(file: &str) -> PathBuf {
    root().join("tests/families").join(file)
}

/// Arrays of an npz file; integers, too, as real numbers.
fn arrays(file: &str) -> BTreeMap<String, Vec<f32>> {
    let mut archive = npyz::npz::NpzArchive::open(path(file)).expect("readable");
    let names: Vec<String> = archive.array_names().map(str::to_owned).collect();
    let mut read = |name: String| {
        let array = archive.by_name(&name).expect("readable").expect("named");
        let values = match array.try_data::<f32>() {
            Ok(data) => data.map(|value| value.expect("readable")).collect(),
            Err(array) => {
                array.into_vec::<i64>().expect("int64").into_iter().map(|value| value as f32).collect()
            }
        };
        (name, values)
    };
    names.into_iter().map(&mut read).collect()
}

/// Weights by the names that the reference implementation gives them.
struct Weights {
    config: Config,
    published: BTreeMap<String, Tensor>,
}

impl Weights {
    fn of(name: &str) -> Weights {
        let text = std::fs::read_to_string(path(&format!("{name}.json"))).expect("a shape");
        let config = json::config(name, &text).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        let file = std::fs::read(path(&format!("{name}.onnx"))).expect("a model");
        let model = onnx::decode(Bytes::from(file), &|_, _, _| Ok(None)).expect("decodes");
        let decoded = |weight: onnx::Tensor| {
            let ty = TensorType { element: ElementType::F32, shape: weight.shape };
            let constant = Constant { encoding: weight.encoding, bytes: weight.bytes };
            Some((weight.name, Tensor::decode(&constant, &ty).ok()??))
        };
        Weights { config, published: model.initializers.into_iter().filter_map(decoded).collect() }
    }

    fn published(&self, name: &str) -> Option<Tensor> {
        // Where head and embedding share a matrix, it is the head's.
        let shared = (name == "model.embed_tokens.weight").then_some("lm_head.weight");
        self.published.get(name).or_else(|| self.published.get(shared?)).cloned()
    }

    /// The weights of a graph whose names are published behind `prefix`.
    fn fill(&self, mut graph: Graph, prefix: &str) -> Graph {
        for node in graph.nodes.values_mut() {
            let Op::Constant(constant) = &mut node.op else { continue };
            if constant.bytes.is_some() {
                continue;
            }
            let name = format!("{prefix}{}", node.origin);
            let found = self
                .stored(&name)
                .unwrap_or_else(|| panic!("no weights {name}: {:?}", self.published.keys()));
            assert_eq!(found.shape, node.ty.shape, "{name}");
            *constant = found.to_constant();
        }
        graph
    }

    /// A weight as our graphs take it, which for products is [inputs, outputs].
    fn stored(&self, name: &str) -> Option<Tensor> {
        if let Some((module, part)) = name.split_once("kv_b_proj.") {
            return self.absorbed(&self.published(&format!("{module}kv_b_proj.weight"))?, part);
        }
        if let Some((module, part)) = name.split_once("mlp.experts.") {
            let FeedForward::Experts(shape) = self.config.feed_forward else { return None };
            if part == "spread.weight" {
                return Some(build::spread(shape.experts, shape.inner));
            }
            let each = self.expert(&format!("{module}mlp.experts."), part)?;
            return Some(match shape.run {
                Run::Resident => side_by_side(&each, part),
                Run::Gather => each,
            });
        }
        let found =
            self.published(name).or_else(|| self.published(&name.replace("mlp.gate.", "mlp.router.")))?;
        let table = name.contains("embed");
        let found = if found.shape.len() == 2 && !table { exchanged(&found) } else { found };
        Some(match (self.config.attention, name) {
            (Attention::Latent(latent), name) if name.contains("q_b_proj") => {
                unpaired(&found, latent.nope + latent.rope, latent.nope)
            }
            (Attention::Latent(latent), name) if name.contains("kv_a_proj") => {
                unpaired(&found, latent.kv_rank + latent.rope, latent.kv_rank)
            }
            _ => found,
        })
    }

    /// A head's key matrix as it takes a query, or its value matrix as it takes a latent vector.
    fn absorbed(&self, both: &Tensor, part: &str) -> Option<Tensor> {
        let Attention::Latent(Latent { heads, kv_rank, nope, v, .. }) = self.config.attention else {
            return None;
        };
        let both = made(&Op::Reshape { shape: vec![heads, nope + v, kv_rank] }, &[both]);
        Some(match part {
            "key.weight" => cut(&both, 1, 0, nope, 1),
            _ => exchanged(&cut(&both, 1, nope, v, 1)),
        })
    }

    /// Weights of all experts. gpt-oss has gate and up in turns and by columns, the others one after the other and by rows.
    fn expert(&self, module: &str, part: &str) -> Option<Tensor> {
        let (product, kind) = part.split_once('.')?;
        let in_turns = self.published.contains_key(&format!("{module}gate_up_proj_bias"));
        let end = if kind == "bias" { "_bias" } else { "" };
        let (both, number) = match product {
            "gate_proj" => (self.published(&format!("{module}gate_up_proj{end}"))?, 0),
            "up_proj" => (self.published(&format!("{module}gate_up_proj{end}"))?, 1),
            _ => {
                let down = self.published(&format!("{module}down_proj{end}"))?;
                return Some(if in_turns { down } else { exchanged(&down) });
            }
        };
        if in_turns {
            let axis = both.shape.len() - 1;
            return Some(cut(&both, axis, number, both.shape[axis] / 2, 2));
        }
        let inner = both.shape[1] / 2;
        Some(exchanged(&cut(&both, 1, number * inner, inner, 1)))
    }
}

fn made(op: &Op, inputs: &[&Tensor]) -> Tensor {
    apply(op, inputs).expect("has a value")
}

/// What experts have [experts, ..], as all of them side by side have it.
fn side_by_side(each: &Tensor, part: &str) -> Tensor {
    let reshaped = |x: &Tensor, shape: Vec<usize>| made(&Op::Reshape { shape }, &[x]);
    match (part, &each.shape[..]) {
        ("down_proj.bias", _) => each.clone(),
        ("down_proj.weight", &[experts, inner, hidden]) => reshaped(each, vec![experts * inner, hidden]),
        (_, &[experts, hidden, inner]) => {
            let by_input = made(&Op::Transpose { permutation: vec![1, 0, 2] }, &[each]);
            reshaped(&by_input, vec![hidden, experts * inner])
        }
        (_, shape) => reshaped(each, vec![shape.iter().product()]),
    }
}

/// The last two axes exchanged.
fn exchanged(x: &Tensor) -> Tensor {
    let rank = x.shape.len();
    let mut permutation: Vec<usize> = (0..rank).collect();
    permutation.swap(rank - 1, rank - 2);
    made(&Op::Transpose { permutation }, &[x])
}

fn cut(x: &Tensor, axis: usize, start: usize, count: usize, step: usize) -> Tensor {
    made(&Op::Slice { axis, start, count, step }, &[x])
}

/// Columns of a matrix, of each `length` of which those from `still` on are published in pairs: the first of each pair, then the second.
fn unpaired(matrix: &Tensor, length: usize, still: usize) -> Tensor {
    let half = (length - still) / 2;
    let from = |at: usize| match at.checked_sub(still) {
        None => at,
        Some(turned) => still + 2 * (turned % half) + turned / half,
    };
    let columns: Vec<i32> =
        (0..matrix.shape[1]).map(|at| (at / length * length + from(at % length)) as i32).collect();
    made(&Op::Gather { axis: 1 }, &[matrix, &Tensor::i32([columns.len()], columns)])
}

/// A graph that is evaluated and simulated side by side, each over its own states.
struct Part {
    name: String,
    graph: Graph,
    states: BTreeMap<String, Tensor>,
    machine: Machine,
    cycles: u64,
}

/// What evaluator and machine make of one input.
#[derive(Clone)]
struct Both {
    evaluated: Vec<f32>,
    simulated: Vec<f32>,
}

impl Both {
    fn same(values: &[f32]) -> Both {
        Both { evaluated: values.to_vec(), simulated: values.to_vec() }
    }
}

impl Part {
    fn of(graph: Graph) -> Part {
        let chip = Chip::preset("lp30").expect("a preset");
        let rewrite = Some(RewriteOptions::default());
        let options = Options {
            precision: Precision::Fp32,
            rewrite,
            links: Links::default(),
            caches: compiler::Caches::Fp16,
            dense: false,
        };
        let name = graph.name.clone();
        let compiled = compile(graph.clone(), &chip, &options, &mut |_, _| {})
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let machine = Machine::load(Engine::Fast, &chip, &compiled.program).expect("loads");
        Part { name, graph, states: BTreeMap::new(), machine, cycles: compiled.predicted.cycles }
    }

    /// One run; inputs that the graph does not have are passed over.
    fn run(&mut self, inputs: &[(&str, &Both)]) -> Both {
        let mut arrays = BTreeMap::new();
        for &node in &self.graph.inputs {
            let Op::Input(name) = &self.graph.nodes[node].op else { panic!("an input") };
            let ty = self.graph.ty(node);
            let both = inputs.iter().find(|(given, _)| given == name).expect(name).1;
            let (tensor, array) = match ty.element {
                ElementType::I32 => {
                    let ids: Vec<i32> = both.evaluated.iter().map(|x| *x as i32).collect();
                    (Tensor::i32(ty.shape.clone(), ids.clone()), Array::I32(ids))
                }
                _ => (
                    Tensor::f32(ty.shape.clone(), both.evaluated.clone()),
                    Array::F32(both.simulated.clone()),
                ),
            };
            self.machine.write(name, &array).expect("a port");
            arrays.insert(name.clone(), tensor);
        }
        let report = self.machine.run().unwrap_or_else(|fault| panic!("{}: {fault}", self.name));
        assert_eq!(report.cycles, self.cycles, "{}", self.name);
        let output = &self.graph.outputs[0].0;
        let Ok(Array::F32(simulated)) = self.machine.read(output) else { panic!("no output") };
        let values = evaluate(&self.graph, &arrays, Some(&self.states))
            .unwrap_or_else(|e| panic!("{}: {e}", self.name));
        for state in &self.graph.states {
            self.states.insert(state.input_name.clone(), values[&state.output_name].clone());
        }
        Both { evaluated: values[output].as_f32().expect("real").to_vec(), simulated }
    }
}

/// Rows of an output, as they come.
#[derive(Default)]
struct Rows {
    evaluated: Vec<f32>,
    simulated: Vec<f32>,
}

impl Rows {
    fn add(&mut self, row: &Both) {
        self.evaluated.extend(&row.evaluated);
        self.simulated.extend(&row.simulated);
    }

    fn assert_close(&self, what: &str, expected: &[f32]) {
        for (who, ours) in [("the evaluator", &self.evaluated), ("the machine", &self.simulated)] {
            let error = error(ours, expected);
            assert!(error < TOLERANCE, "{what}: {who} is off by {error:.1e} of the greatest value");
        }
    }
}

/// The greatest difference over the greatest magnitude.
fn error(ours: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(ours.len(), expected.len());
    let top = expected.iter().fold(0f32, |top, x| top.max(x.abs()));
    let worst = expected.iter().zip(ours).map(|(a, b)| (a - b).abs()).fold(0f32, |worst, next| {
        // Written so that NaN fails.
        if next <= worst { worst } else { next }
    });
    worst / top
}

/// A decoder, token by token; with experts run in both ways.
fn decoder(name: &str) {
    let weights = Weights::of(name);
    if let FeedForward::Experts(_) = weights.config.feed_forward {
        by_token(name, &Weights { config: weights.config.running(Run::Gather), ..Weights::of(name) });
    }
    by_token(name, &weights);
    live(name);
}

fn by_token(name: &str, weights: &Weights) {
    let config = &weights.config;
    assert_eq!(config.kind, Kind::Decoder);
    let mut embedding = Part::of(weights.fill(build::embedding(config, 1, CONTEXT).expect("a graph"), ""));
    let layer = |index| {
        let graph = build::layer(config, index, 1, CONTEXT).expect("a graph");
        Part::of(weights.fill(graph, &format!("model.layers.{index}.")))
    };
    let mut layers: Vec<Part> = (0..config.layers).map(layer).collect();
    let mut head = Part::of(weights.fill(build::head(config, 1).expect("a graph"), ""));
    let ids = &arrays(&format!("{name}-inputs.npz"))["input_ids"];
    let [mut embedded, mut first, mut logits] = [(); 3].map(|()| Rows::default());
    for (position, &id) in ids.iter().enumerate() {
        let position = Both::same(&[position as f32]);
        let mut hidden = embedding.run(&[("input_ids", &Both::same(&[id]))]);
        embedded.add(&hidden);
        for (index, layer) in layers.iter_mut().enumerate() {
            hidden = layer.run(&[("hidden", &hidden), ("position", &position)]);
            if index == 0 {
                first.add(&hidden);
            }
        }
        logits.add(&head.run(&[("hidden", &hidden)]));
    }
    let expected = arrays(&format!("{name}-outputs.npz"));
    for (output, rows) in [("embedded", &embedded), ("layer", &first), ("logits", &logits)] {
        rows.assert_close(&format!("{name}, {output}"), &expected[output]);
    }
}

/// The recorded outputs against ONNX Runtime itself, where a Python with it is at hand.
fn live(name: &str) {
    let Some(python) = std::env::var_os("LPUC_PYTHON") else { return };
    let output = Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(root().join("examples/compare.py"))
        .arg(path(&format!("{name}.onnx")))
        .arg("--inputs")
        .arg(path(&format!("{name}-inputs.npz")))
        .arg("--ours")
        .arg(path(&format!("{name}-outputs.npz")))
        .args(["--tolerance", "1e-5"])
        .output()
        .expect("LPUC_PYTHON names a Python");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name}: {}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn llama_with_stretched_angles() {
    decoder("llama-3.1");
}

#[test]
fn mixtral() {
    decoder("mixtral");
}

#[test]
fn qwen3_with_experts() {
    decoder("qwen3-moe");
}

#[test]
fn gpt_oss() {
    decoder("gpt-oss");
}

#[test]
fn deepseek_v3() {
    decoder("deepseek-v3");
}

#[test]
fn kimi_k2() {
    decoder("kimi-k2");
}

#[test]
fn gemma() {
    decoder("gemma");
}

#[test]
fn gemma_4() {
    decoder("gemma-4");
}

/// An encoder, the whole text at once.
#[test]
fn bert() {
    let weights = Weights::of("bert");
    let config = &weights.config;
    let inputs = arrays("bert-inputs.npz");
    let tokens = inputs["input_ids"].len();
    let run = |graph: Graph, prefix: &str, inputs: &[(&str, &Both)]| {
        Part::of(weights.fill(graph, prefix)).run(inputs)
    };
    let [ids, types] = ["input_ids", "token_type_ids"].map(|name| Both::same(&inputs[name]));
    let graph = build::embedding(config, 1, tokens).expect("a graph");
    let embedded = run(graph, "", &[("input_ids", &ids), ("token_type_ids", &types)]);
    let layer = |index, hidden: &Both| {
        let graph = build::layer(config, index, 1, tokens).expect("a graph");
        run(graph, &format!("encoder.layer.{index}."), &[("hidden", hidden)])
    };
    let first = layer(0, &embedded);
    let last = layer(1, &first);
    let token = |values: &[f32]| values[..config.hidden].to_vec();
    let start = Both { evaluated: token(&last.evaluated), simulated: token(&last.simulated) };
    let pooled = run(build::head(config, 1).expect("a graph"), "", &[("hidden", &start)]);
    let expected = arrays("bert-outputs.npz");
    for (output, values) in [("embedded", &embedded), ("layer", &first), ("last", &last), ("pooled", &pooled)]
    {
        let mut rows = Rows::default();
        rows.add(values);
        rows.assert_close(&format!("bert, {output}"), &expected[output]);
    }
    live("bert");
}

/// Every chip of a system in full simulation, token by token over the chips' own caches, against ONNX Runtime.
fn chained(name: &str, system: &str, mapping: &Mapping) {
    let weights = Weights::of(name);
    let config = &weights.config;
    let whole = models::whole::model(config, 1, CONTEXT).expect("a model");
    let last = whole.order.len() - 1;
    // Attention and feed-forward of each layer in turns, between embedding and head.
    let filled = |(at, &piece): (usize, &usize)| {
        let prefix =
            if at == 0 || at == last { String::new() } else { format!("model.layers.{}.", (at - 1) / 2) };
        let piece = &whole.pieces[piece];
        Piece { name: format!("{at}"), graph: weights.fill(piece.graph.clone(), &prefix) }
    };
    let pieces: Vec<Piece> = whole.order.iter().enumerate().map(filled).collect();
    let model = Model { name: name.to_owned(), order: (0..pieces.len()).collect(), pieces };
    let system = System::preset(system).expect("a preset");
    let chip = Chip::preset(&system.chip).expect("a preset");
    let rewrite = Some(RewriteOptions::default());
    let options = Options {
        precision: Precision::Fp32,
        rewrite,
        links: Links::default(),
        caches: compiler::Caches::Fp16,
        dense: false,
    };
    let made = compile_chained(&model, mapping, (&system, &chip), &options, &mut |_, _| {})
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let composed = compose(&system, &chip, &made.program).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    let mut machine = SystemMachine::load(&system, &chip, &made.program).expect("loads");
    let ids = &arrays(&format!("{name}-inputs.npz"))["input_ids"];
    let expected = &arrays(&format!("{name}-outputs.npz"))["logits"];
    let vocabulary = expected.len() / ids.len();
    for (position, &id) in ids.iter().enumerate().take(3) {
        for &chip in made.chips.iter().flatten() {
            // Not every stage has these.
            let _ = machine.write(chip, "input_ids", &Array::I32(vec![id as i32]));
            let _ = machine.write(chip, "position", &Array::I32(vec![position as i32]));
        }
        let report = machine.run().unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!((report.cycles, composed.cycles), (made.predicted_cycles, made.predicted_cycles));
        let part = |&chip: &u32| match machine.read(chip, "logits") {
            Ok(Array::F32(part)) => part,
            other => panic!("{name}: {other:?}"),
        };
        let logits: Vec<f32> = made.chips[made.chips.len() - 1].iter().flat_map(part).collect();
        let error = error(&logits, &expected[position * vocabulary..][..vocabulary]);
        assert!(error < TOLERANCE, "{name}, token {position}: off by {error:.1e} of the greatest value");
    }
}

#[test]
fn groups_and_stages() {
    let mapping = |chips, stages: &[usize]| Mapping { chips, stages: stages.to_vec(), dense: false };
    chained("llama-3.1", "lp30-node", &mapping(2, &[3, 3]));
    chained("llama-3.1", "lp30-node", &Mapping { dense: true, ..mapping(4, &[6]) });
    chained("llama-3.1", "tsp-v1-ring", &mapping(8, &[2, 4]));
    chained("deepseek-v3", "lp30-node", &mapping(2, &[6]));
}

#[test]
fn groups_with_experts() {
    let mapping = |chips, stages: &[usize]| Mapping { chips, stages: stages.to_vec(), dense: false };
    chained("mixtral", "lp30-node", &mapping(2, &[2, 4]));
    chained("gpt-oss", "lp30-node", &mapping(4, &[6]));
}

/// Sequences of a batch share weights and nothing else: each is as if it were alone.
#[test]
fn sequences_of_a_batch() {
    for (name, index) in [("mixtral", 0), ("gpt-oss", 0), ("deepseek-v3", 1), ("gemma-4", 1)] {
        let weights = Weights::of(name);
        let part = |batch| {
            let graph = build::layer(&weights.config, index, batch, CONTEXT).expect("a graph");
            Part::of(weights.fill(graph, &format!("model.layers.{index}.")))
        };
        let (mut both, mut alone) = (part(2), [part(1), part(1)]);
        let rows = &arrays(&format!("{name}-outputs.npz"))["embedded"];
        let hidden = weights.config.hidden;
        for position in 0..4 {
            let texts = [position, position + 6].map(|row| Both::same(&rows[row * hidden..][..hidden]));
            let pair = Both::same(&[&texts[0].evaluated[..], &texts[1].evaluated].concat());
            let place = Both::same(&[position as f32]);
            let mut ours = Rows::default();
            ours.add(&both.run(&[("hidden", &pair), ("position", &place)]));
            let each = |(part, text): (&mut Part, &Both)| {
                part.run(&[("hidden", text), ("position", &place)]).evaluated
            };
            let expected: Vec<f32> = alone.iter_mut().zip(&texts).flat_map(each).collect();
            ours.assert_close(&format!("{name}, token {position}"), &expected);
        }
    }
}

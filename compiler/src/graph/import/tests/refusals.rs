//! What is refused, and that nothing ever panics.

use super::cache::decoder;
use super::{Bindings, import};
use crate::diagnostic::Diagnostic;
use crate::onnx::decode;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{GraphProto, ModelProto, TensorProto, ValueInfoProto};
use crate::onnx::testing::{Dim, model, node, round, text, value};
use prost::Message;
use std::collections::BTreeMap;

fn encoder() -> ModelProto {
    let dims = || [Dim::S("batch"), Dim::S("words")];
    let graph = GraphProto {
        node: vec![node("Add", "input_ids more", "y", vec![])],
        input: vec![
            value("input_ids", DataType::Int64, &dims()),
            value("more", DataType::Int64, &[Dim::S("batch"), Dim::S("other")]),
        ],
        output: vec![value("y", DataType::Int64, &[])],
        ..Default::default()
    };
    model(17, graph)
}

fn refused(model: &ModelProto, bindings: &Bindings) -> Diagnostic {
    round(model).and_then(|model| import(&model, bindings)).map(|_| ()).unwrap_err()
}

fn names(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
}

fn shapes(pairs: &[(&str, &[usize])]) -> BTreeMap<String, Vec<usize>> {
    pairs.iter().map(|&(name, shape)| (name.to_owned(), shape.to_vec())).collect()
}

#[test]
fn dimensions() {
    let error = refused(&encoder(), &Bindings::default());
    assert_eq!(error.code, "unbound-dimension");
    for name in ["--dim words=N", "--dim other=N", "--inputs", "--context"] {
        assert!(error.notes.iter().any(|note| note.contains(name)), "{error}");
    }
    assert!(!error.to_string().contains("--dim batch"), "{error}");
    let dims = |pairs| Bindings { dims: names(pairs), ..Bindings::default() };
    let arrays = |pairs| Bindings { input_shapes: shapes(pairs), ..Bindings::default() };
    let context = |context| Bindings { context: Some(context), ..Bindings::default() };
    for (model, bindings, expected) in [
        (encoder(), dims(&[("words", 3), ("wrods", 3)]), "unknown-dimension"),
        (encoder(), arrays(&[("input", &[1, 3])]), "bad-binding"),
        (encoder(), arrays(&[("more", &[1, 3, 1])]), "bad-binding"),
        (encoder(), arrays(&[("more", &[1, 3]), ("input_ids", &[2, 3])]), "bad-binding"),
        (encoder(), dims(&[("words", usize::MAX), ("other", 1)]), "bad-binding"),
        (encoder(), dims(&[("words", 3), ("other", 2)]), "bad-model"),
        (decoder(vec![]), context(0), "bad-binding"),
        (decoder(vec![]), dims(&[("past", usize::MAX)]), "bad-binding"),
        (decoder(vec![]), arrays(&[("ids", &[1, 4]), ("mask", &[1, 3])]), "bad-binding"),
    ] {
        let error = refused(&model, &bindings);
        assert_eq!(error.code, expected, "{bindings:?}: {error}");
    }
    let fine = import(&round(&encoder()).unwrap(), &dims(&[("words", 3), ("other", 3)])).unwrap();
    assert_eq!(fine.graph.shape(fine.graph.outputs[0].1), [1, 3]);
    assert!(fine.notes.iter().any(|note| note.contains("batch = 1")), "{:?}", fine.notes);
}

#[test]
fn inputs() {
    let graph = |input: ValueInfoProto| {
        let graph = GraphProto {
            node: vec![node("Identity", "x", "y", vec![])],
            input: vec![input],
            output: vec![value("y", DataType::Float, &[])],
            ..Default::default()
        };
        model(17, graph)
    };
    let shapeless = ValueInfoProto { name: Some("x".to_owned()), r#type: None };
    for input in [shapeless, value("x", DataType::String, &[Dim::N(1)])] {
        assert_eq!(refused(&graph(input), &Bindings::default()).code, "unsupported-input");
    }
}

/// One error names all nodes that are not supported, by operator.
#[test]
fn operators() {
    let mut custom = node("Fused", "x", "d", vec![]);
    custom.domain = Some("com.example".to_owned());
    custom.name = Some("fused_node".to_owned());
    let words = TensorProto {
        name: Some("words".to_owned()),
        data_type: Some(DataType::String as i32),
        dims: vec![2],
        ..Default::default()
    };
    let graph = GraphProto {
        node: vec![
            node("StringSplit", "x x", "a", vec![]),
            node("Add", "a x", "b", vec![]),
            node("StringSplit", "b x", "c", vec![]),
            custom,
            node("Pad", "x pads", "e", vec![text("mode", "reflect")]),
            node("Reshape", "x pads", "y", vec![]),
            node("Equal", "x words", "z", vec![]),
        ],
        input: vec![value("x", DataType::Float, &[Dim::N(2)]), value("pads", DataType::Int64, &[Dim::N(2)])],
        initializer: vec![words],
        // What no output needs is not looked at.
        output: ["c", "d", "e", "y", "z"].map(|name| value(name, DataType::Float, &[])).to_vec(),
        ..Default::default()
    };
    let error = refused(&model(17, graph), &Bindings::default());
    assert_eq!(error.code, "unsupported-operator");
    let text = error.to_string();
    for line in [
        "6 nodes",
        "Equal (1 node): its constant `words`: element type STRING",
        "StringSplit (2 nodes): it works on text",
        "`StringSplit_0`, `StringSplit_2`",
        "com.example:Fused (1 node): `fused_node`",
        "Pad (1 node): its pads depend",
        "Reshape (1 node): its shape depend",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains("Add"), "{text}");
}

/// Nodes that contradict their inputs are named.
#[test]
fn nonsense() {
    for (op, attributes) in [
        ("MatMul", vec![]),
        ("Transpose", vec![crate::onnx::testing::ints("perm", &[0, 0])]),
        ("Softmax", vec![crate::onnx::testing::int("axis", 9)]),
    ] {
        let inputs = if op == "MatMul" { "x x" } else { "x" };
        let graph = GraphProto {
            node: vec![node(op, inputs, "y", attributes)],
            input: vec![value("x", DataType::Float, &[Dim::N(2), Dim::N(3)])],
            output: vec![value("y", DataType::Float, &[])],
            ..Default::default()
        };
        let error = refused(&model(17, graph), &Bindings::default());
        assert_eq!(error.code, "bad-model");
        assert!(error.message.contains(&format!("`{op}_0`")), "{error}");
    }
    let graph = GraphProto {
        node: vec![node("Neg", "nowhere", "y", vec![])],
        output: vec![value("y", DataType::Float, &[])],
        ..Default::default()
    };
    assert!(refused(&model(17, graph), &Bindings::default()).message.contains("`nowhere`"));
}

/// Damaged files give an error or a model, never a panic.
#[test]
fn damaged_files() {
    let whole = decoder(vec![]).encode_to_vec();
    let bindings = Bindings { context: Some(4), ..Bindings::default() };
    let mut state = 7u64;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let (mut decoded, mut imported) = (0, 0);
    for round in 0..800 {
        let mut bytes = whole.clone();
        for _ in 0..=round % 4 {
            let at = next(bytes.len());
            match next(5) {
                0 => bytes[at] ^= 1 << next(8),
                1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][next(5)],
                2 => bytes.truncate(at.max(1)),
                3 => drop(bytes.remove(at)),
                _ => bytes.insert(at, next(256) as u8),
            }
        }
        let Ok(model) = decode(bytes.into(), &|_, _, _| Ok(None)) else { continue };
        decoded += 1;
        imported += usize::from(import(&model, &bindings).is_ok());
    }
    // The damage is small enough to reach all the way in, and large enough to matter.
    assert!(decoded > 50 && imported > 5 && imported < decoded, "{decoded} decoded, {imported} imported");
}

//! The example models against what ONNX Runtime answered.

use super::{Bindings, close, import};
use crate::graph::eval::{Tensor, evaluate};
use crate::graph::import::POSITION;
use crate::graph::{Op, eval};
use crate::onnx::decode;
use npyz::npz::NpzArchive;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn examples(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

fn arrays(path: &Path) -> BTreeMap<String, Tensor> {
    let mut archive = NpzArchive::open(path).unwrap();
    let names: Vec<String> = archive.array_names().map(str::to_owned).collect();
    let mut read = |name: &str| {
        let array = archive.by_name(name).unwrap().unwrap();
        let shape: Vec<usize> = array.shape().iter().map(|&axis| axis as usize).collect();
        let kind = array.dtype().descr();
        if kind.contains("f4") {
            return Tensor::f32(shape, array.into_vec::<f32>().unwrap());
        }
        let data: Vec<i32> = match kind.trim_matches(['\'', '<', '|']) {
            "i8" => array.into_vec::<i64>().unwrap().iter().map(|&v| i32::try_from(v).unwrap()).collect(),
            "i4" => array.into_vec::<i32>().unwrap(),
            "i2" => array.into_vec::<i16>().unwrap().into_iter().map(i32::from).collect(),
            "i1" => array.into_vec::<i8>().unwrap().into_iter().map(i32::from).collect(),
            "u1" => array.into_vec::<u8>().unwrap().into_iter().map(i32::from).collect(),
            _ => panic!("{name} has type {kind}"),
        };
        Tensor::i32(shape, data)
    };
    names.iter().map(|name| (name.clone(), read(name))).collect()
}

#[test]
fn examples_answer_as_onnx_runtime_does() {
    for model in ["encoder", "licence-decoder"] {
        let bytes = std::fs::read(examples(&format!("{model}.onnx"))).unwrap();
        let given = arrays(&examples(&format!("recorded/{model}-inputs.npz")));
        let input_shapes = given.iter().map(|(name, array)| (name.clone(), array.shape.clone())).collect();
        let bindings = Bindings { input_shapes, ..Bindings::default() };
        let imported = import(&decode(bytes.into(), &|_, _, _| Ok(None)).unwrap(), &bindings).unwrap();
        let graph = imported.graph;
        let (mut inputs, mut states) = (given.clone(), BTreeMap::new());
        if let Some(roles) = &imported.decoder {
            let past = roles.context - roles.sequence;
            inputs.insert(POSITION.to_owned(), Tensor::i32([1], [past as i32]));
        }
        for state in &graph.states {
            // The given past, at the front of the full cache.
            let Op::Append { axis } = graph.nodes[state.output].op else { panic!("{state:?}") };
            let full = Tensor::zeros(&graph.nodes[state.input].ty);
            let operands = [&full, &given[&state.input_name], &Tensor::i32([1], [0])];
            states.insert(state.input_name.clone(), eval::apply(&Op::Append { axis }, &operands).unwrap());
        }
        let made = evaluate(&graph, &inputs, Some(&states)).unwrap();
        for (name, want) in arrays(&examples(&format!("recorded/{model}-outputs.npz"))) {
            close(&made[&name], &want, 2e-5).unwrap_or_else(|what| panic!("{model}, {name}: {what}"));
        }
    }
}

/// The small models of `tests/operators`: quantisation, convolution, LSTM. Integers agree exactly.
#[test]
fn operators_answer_as_onnx_runtime_does() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/operators");
    let mut models: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    models.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    models.sort();
    assert!(models.len() >= 6, "{models:?}");
    for model in models {
        let bytes = std::fs::read(&model).unwrap();
        assert!(bytes.len() < 100_000, "{} is not small", model.display());
        let imported = import(&decode(bytes.into(), &|_, _, _| Ok(None)).unwrap(), &Bindings::default());
        let graph = imported.unwrap_or_else(|error| panic!("{}: {error}", model.display())).graph;
        let folded = crate::graph::fold::fold(graph.clone());
        for graph in [graph, folded] {
            graph.verify().unwrap();
            let mut inputs = arrays(&model.with_extension("inputs.npz"));
            for &input in &graph.inputs {
                let Op::Input(name) = &graph.nodes[input].op else { continue };
                let narrow = eval::apply(&Op::Cast(graph.ty(input).element), &[&inputs[name]]).unwrap();
                inputs.insert(name.clone(), narrow);
            }
            let made = evaluate(&graph, &inputs, None).unwrap();
            for (name, want) in arrays(&model.with_extension("outputs.npz")) {
                close(&made[&name], &want, 1e-5)
                    .unwrap_or_else(|what| panic!("{}, {name}: {what}", model.display()));
            }
        }
    }
}

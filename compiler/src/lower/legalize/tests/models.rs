//! The example models, as imported.

use super::*;
use crate::graph::import::{Bindings, import};
use crate::onnx;

const ENCODER: &[u8] = include_bytes!("../../../../../examples/encoder.onnx");
const DECODER: &[u8] = include_bytes!("../../../../../examples/licence-decoder.onnx");

/// Imports a model with random reals and small integers as inputs.
fn load(bytes: &'static [u8], bindings: &Bindings) -> Model {
    let model = onnx::decode(bytes.into(), &|_, _, _| Ok(None)).unwrap();
    let graph = import(&model, bindings).unwrap().graph;
    let mut loaded = Model::default();
    for &id in &graph.inputs {
        let Op::Input(name) = &graph.nodes[id].op else { unreachable!() };
        let ty = &graph.nodes[id].ty;
        let tensor = match ty.element {
            ElementType::F32 => Tensor::f32(&ty.shape[..], loaded.randoms(ty.elements())),
            // Small numbers are tokens, positions and masks alike.
            ElementType::I32 => Tensor::i32(
                &ty.shape[..],
                (0..ty.elements()).map(|i| i32::from(i % 4 != 3)).collect::<Vec<_>>(),
            ),
            _ => Tensor::bool(&ty.shape[..], vec![true; ty.elements()]),
        };
        loaded.values.insert(name.clone(), tensor);
    }
    loaded.graph = graph;
    loaded
}

#[test]
fn encoder() {
    let bindings = Bindings { context: Some(16), ..Bindings::default() };
    let legal = load(ENCODER, &bindings).check(1e-4);
    // Two layers of eight products, and the pooler; the heads of each layer are merged on lanes.
    assert_eq!((count(&legal, "matmul"), lane_moves(&legal)), (17, 2));
}

#[test]
fn decoder() {
    let bindings = Bindings { context: Some(16), ..Bindings::default() };
    let legal = load(DECODER, &bindings).check(1e-4);
    // Four layers of nine products, and the head; two rotations (two slices and a join each) and a merge of heads per layer.
    assert_eq!((count(&legal, "matmul"), lane_moves(&legal)), (37, 28));
}

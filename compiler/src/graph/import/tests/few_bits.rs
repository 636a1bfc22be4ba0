//! Tensors of 8 and 4 bits: to them, from them, and products of them; the values are those of the ONNX specification's examples,
//! or worked out by hand.

use super::{Bindings, close, import};
use crate::graph::eval::{Tensor, apply, evaluate};
use crate::graph::{ElementType, Graph, Op};
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{AttributeProto, GraphProto, OperatorSetIdProto, TensorProto};
use crate::onnx::testing::{Dim, int, model, node, round, value};
use std::collections::BTreeMap;

/// A tensor of the model: its type there, and its values.
#[derive(Clone)]
pub(super) struct Given(pub(super) DataType, pub(super) Tensor);

pub(super) fn reals(shape: &[usize], data: &[f32]) -> Given {
    Given(DataType::Float, Tensor::f32(shape, data))
}

pub(super) fn ints(kind: DataType, shape: &[usize], data: &[i32]) -> Given {
    Given(kind, Tensor::i32(shape, data))
}

fn i8s(shape: &[usize], data: &[i32]) -> Given {
    ints(DataType::Int8, shape, data)
}

fn u8s(shape: &[usize], data: &[i32]) -> Given {
    ints(DataType::Uint8, shape, data)
}

fn proto(name: &str, given: &Given) -> TensorProto {
    let mut proto = TensorProto {
        name: Some(name.to_owned()),
        dims: given.1.shape.iter().map(|&axis| axis as i64).collect(),
        data_type: Some(given.0 as i32),
        ..Default::default()
    };
    match (given.0, given.1.as_i32(), given.1.as_f32()) {
        (DataType::Int4 | DataType::Uint4, Some(data), _) => {
            let pair = |pair: &[i32]| pair[0] & 15 | pair.get(1).map_or(0, |high| (high & 15) << 4);
            proto.int32_data = data.chunks(2).map(pair).collect();
        }
        (DataType::Float8e4m3fn, _, Some(data)) => {
            let bits = Tensor::f8(given.1.shape.clone(), data).bits();
            proto.int32_data = bits.into_iter().map(|bits| bits as i32).collect();
        }
        (_, Some(data), _) => proto.int32_data = data.to_vec(),
        (_, _, data) => proto.float_data = data.unwrap_or_default().to_vec(),
    }
    proto
}

/// Imports one node; the inputs from `fixed` on are constants. Gives the graph and the host's arrays.
pub(super) fn imported(
    (domain, op): (&str, &str),
    attributes: &[AttributeProto],
    inputs: &[Option<Given>],
    (outputs, fixed): (usize, usize),
) -> Result<(Graph, BTreeMap<String, Tensor>), String> {
    let name = |k: usize| if inputs[k].is_some() { format!("x{k}") } else { "_".to_owned() };
    let names: Vec<String> = (0..inputs.len()).map(name).collect();
    let made: Vec<String> = (0..outputs).map(|k| format!("y{k}")).collect();
    let mut only = node(op, &names.join(" "), &made.join(" "), attributes.to_vec());
    only.domain = Some(domain.to_owned());
    let mut graph = GraphProto {
        node: vec![only],
        output: made.iter().map(|name| value(name, DataType::Float, &[])).collect(),
        ..Default::default()
    };
    let mut arrays = BTreeMap::new();
    for (k, given) in inputs.iter().enumerate() {
        let Some(given) = given else { continue };
        if k >= fixed {
            graph.initializer.push(proto(&names[k], given));
            continue;
        }
        let dims: Vec<Dim> = given.1.shape.iter().map(|&axis| Dim::N(axis as i64)).collect();
        graph.input.push(value(&names[k], given.0, &dims));
        arrays.insert(names[k].clone(), given.1.clone());
    }
    let mut model = model(21, graph);
    let domain = Some("com.microsoft".to_owned());
    model.opset_import.push(OperatorSetIdProto { domain, version: Some(1) });
    let imported = round(&model).and_then(|model| import(&model, &Bindings::default()));
    let graph = imported.map_err(|error| error.to_string())?.graph;
    graph.verify().map_err(|error| error.to_string())?;
    for &input in &graph.inputs {
        let Op::Input(name) = &graph.nodes[input].op else { continue };
        let cast = apply(&Op::Cast(graph.ty(input).element), &[&arrays[name]])?;
        arrays.insert(name.clone(), cast);
    }
    Ok((graph, arrays))
}

/// Holds a node against the outputs wanted, whether its inputs are constants or not; those from `plumbing` on are.
pub(super) fn check(
    op: (&str, &str),
    attributes: &[AttributeProto],
    inputs: &[Option<Given>],
    plumbing: usize,
    want: &[Tensor],
) {
    for fixed in 0..=plumbing.min(inputs.len()) {
        let (graph, arrays) = imported(op, attributes, inputs, (want.len(), fixed))
            .unwrap_or_else(|error| panic!("{op:?}: {error}"));
        let values = evaluate(&graph, &arrays, None).unwrap_or_else(|error| panic!("{op:?}: {error}"));
        for (k, want) in want.iter().enumerate() {
            close(&values[&format!("y{k}")], want, 1e-6)
                .unwrap_or_else(|what| panic!("{op:?}, constants from {fixed}, output {k}: {what}\n{graph}"));
        }
    }
}

fn all(inputs: Vec<Given>) -> Vec<Option<Given>> {
    inputs.into_iter().map(Some).collect()
}

fn i(shape: &[usize], data: &[i32]) -> Tensor {
    Tensor::i32(shape, data)
}

#[test]
fn quantize() {
    let op = ("", "QuantizeLinear");
    let one = || reals(&[], &[1.0]);
    let x = || reals(&[6], &[-1.0, 0.5, 1.5, 2.5, 200.0, -300.0]);
    // Halves go to the even integer before the zero point is added.
    check(op, &[], &all(vec![x(), one(), i8s(&[], &[0])]), 2, &[i(&[6], &[-1, 0, 2, 2, 127, -128])]);
    check(op, &[], &all(vec![x(), one(), i8s(&[], &[1])]), 3, &[i(&[6], &[0, 1, 3, 3, 127, -128])]);
    check(op, &[], &all(vec![x(), one()]), 2, &[i(&[6], &[0, 0, 2, 2, 200, 0])]);
    check(op, &[], &all(vec![x(), one(), u8s(&[1], &[3])]), 3, &[i(&[6], &[2, 3, 5, 5, 203, 0])]);
    check(op, &[], &all(vec![x(), one(), u8s(&[], &[128])]), 3, &[i(&[6], &[127, 128, 130, 130, 255, 0])]);
    let four = |kind, zero| ints(kind, &[], &[zero]);
    let (int4, uint4) = (four(DataType::Int4, -1), four(DataType::Uint4, 2));
    check(op, &[], &all(vec![x(), one(), int4]), 2, &[i(&[6], &[-2, -1, 1, 1, 7, -8])]);
    check(op, &[], &all(vec![x(), one(), uint4]), 2, &[i(&[6], &[1, 2, 4, 4, 15, 0])]);
    let wide = i(&[6], &[-1, 0, 2, 2, 200, -300]);
    check(op, &[int("output_dtype", DataType::Int16 as i64)], &all(vec![x(), one()]), 2, &[wide]);
    // Each index of an axis has its own scale and zero point.
    let rows = || reals(&[2, 2], &[3.0, 5.0, 3.0, 5.0]);
    let (scale, zero) = (|| reals(&[2], &[1.0, 2.0]), || u8s(&[2], &[0, 10]));
    check(op, &[int("axis", 0)], &all(vec![rows(), scale(), zero()]), 3, &[i(&[2, 2], &[3, 5, 12, 12])]);
    check(op, &[], &all(vec![rows(), scale(), zero()]), 3, &[i(&[2, 2], &[3, 12, 3, 12])]);
    // So has each block along an axis, the last one shorter.
    let blocks = reals(&[1, 3], &[4.0, 8.0, 12.0]);
    let scale = reals(&[1, 2], &[2.0, 4.0]);
    let zero = i8s(&[1, 2], &[0, -5]);
    check(op, &[int("block_size", 2)], &all(vec![blocks, scale, zero]), 3, &[i(&[1, 3], &[2, 4, -2])]);
    let eighth = Given(DataType::Float8e4m3fn, Tensor::f32([], [0.0]));
    let want = Tensor::f32([3], [1.0, 448.0, -448.0]);
    check(op, &[], &all(vec![reals(&[3], &[2.125, 5000.0, -1e9]), reals(&[], &[2.0]), eighth]), 2, &[want]);
}

#[test]
fn dequantize() {
    let op = ("", "DequantizeLinear");
    let half = || reals(&[], &[0.5]);
    check(op, &[], &all(vec![i8s(&[2], &[-128, 7]), half()]), 2, &[Tensor::f32([2], [-64.0, 3.5])]);
    let want = Tensor::f32([2], [-1.0, 126.5]);
    check(op, &[], &all(vec![u8s(&[2], &[0, 255]), half(), u8s(&[], &[2])]), 3, &[want]);
    let many: Vec<i32> = (0..40).map(|x| x % 16 - 8).collect();
    let four = ints(DataType::Int4, &[2, 20], &many);
    let zero = ints(DataType::Int4, &[2], &[1, -1]);
    let scale = reals(&[2], &[1.0, 2.0]);
    let want: Vec<f32> =
        (0..40).map(|k| if k < 20 { many[k] as f32 - 1.0 } else { 2.0 * (many[k] as f32 + 1.0) }).collect();
    check(op, &[int("axis", 0)], &all(vec![four.clone(), scale, zero]), 0, &[Tensor::f32([2, 20], want)]);
    // Blocks of 8 along the columns.
    let scale = reals(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let want: Vec<f32> = (0..40).map(|k| many[k] as f32 * (1 + k / 20 * 3 + k % 20 / 8) as f32).collect();
    check(op, &[int("block_size", 8)], &all(vec![four, scale]), 0, &[Tensor::f32([2, 20], want)]);
    let eighth = Given(DataType::Float8e4m3fn, Tensor::f32([2], [1.125, -448.0]));
    check(op, &[], &all(vec![eighth, half()]), 2, &[Tensor::f32([2], [0.5625, -224.0])]);
    let sums = ints(DataType::Int32, &[2], &[1000, -3]);
    check(op, &[], &all(vec![sums, half()]), 2, &[Tensor::f32([2], [500.0, -1.5])]);
}

/// Weights of few bits stay integers in the graph.
#[test]
fn weights_stay_packed() {
    let weights = ints(DataType::Int4, &[8, 8], &[5; 64]);
    let inputs = all(vec![weights, reals(&[8], &[2.0; 8]), ints(DataType::Int4, &[8], &[1; 8])]);
    let (graph, _) = imported(("", "DequantizeLinear"), &[], &inputs, (1, 0)).unwrap();
    let names: Vec<&str> = graph.nodes.values().map(|node| node.op.name()).collect();
    assert_eq!(names, ["constant", "cast", "constant", "sub", "constant", "mul"], "{graph}");
    assert!(graph.to_string().contains("constant i4 splat 5"), "{graph}");
}

#[test]
fn dynamic() {
    let op = ("", "DynamicQuantizeLinear");
    let x = reals(&[2, 3], &[0.0, 2.0, -3.0, -2.5, 1.34, 0.5]);
    let y = i(&[2, 3], &[153, 255, 0, 26, 221, 179]);
    check(op, &[], &all(vec![x]), 1, &[y, Tensor::f32([], [0.019_607_844]), i(&[], &[153])]);
    let above = reals(&[3], &[0.5, 3.0, 5.1]);
    let want = [i(&[3], &[25, 150, 255]), Tensor::f32([], [0.02]), i(&[], &[0])];
    check(op, &[], &all(vec![above]), 1, &want);
    let none = [i(&[2], &[0, 0]), Tensor::f32([], [1.0]), i(&[], &[0])];
    check(op, &[], &all(vec![reals(&[2], &[0.0, 0.0])]), 1, &none);
}

#[test]
fn integer_products() {
    let op = ("", "MatMulInteger");
    let a = || u8s(&[4, 3], &[11, 7, 3, 10, 6, 2, 9, 5, 1, 8, 4, 0]);
    let b = || u8s(&[3, 2], &[1, 4, 2, 5, 3, 6]);
    let want = i(&[4, 2], &[-38, -83, -44, -98, -50, -113, -56, -128]);
    check(op, &[], &all(vec![a(), b(), u8s(&[1], &[12]), u8s(&[1], &[0])]), 4, std::slice::from_ref(&want));
    check(op, &[], &[Some(a()), Some(b()), Some(u8s(&[], &[12]))], 3, &[want]);
    // A zero point for each row, and for each column.
    let (a, b) = (|| i8s(&[2, 2], &[1, -2, 3, -128]), || u8s(&[2, 2], &[255, 0, 7, 130]));
    let zeros = [Some(i8s(&[2], &[1, -1])), Some(u8s(&[2], &[7, 130]))];
    let want = i(&[2, 2], &[0, 0, 992, -520]);
    check(op, &[], &[&[Some(a()), Some(b())], &zeros[..]].concat(), 4, &[want]);
    check(op, &[], &[Some(a()), Some(i8s(&[2], &[2, 3]))], 2, &[i(&[2], &[-4, -378])]);
    let floats = reals(&[2, 2], &[0.0; 4]);
    let error = imported(op, &[], &[Some(a()), Some(floats)], (1, 2)).unwrap_err();
    assert!(error.contains("an input is of FLOAT, not bytes"), "{error}");
}

/// Signed bytes without zero points are multiplied as they come.
#[test]
fn narrow_inputs() {
    let inputs = all(vec![i8s(&[1, 2], &[1, 2]), i8s(&[2, 20], &[3; 40])]);
    let (graph, _) = imported(("", "MatMulInteger"), &[], &inputs, (1, 1)).unwrap();
    let types: Vec<String> =
        graph.nodes.values().map(|node| format!("{} {}", node.op.name(), node.ty)).collect();
    assert_eq!(types, ["input i8[1, 2]", "constant i32[2, 20]", "cast i8[2, 20]", "matmul i32[1, 20]"]);
    let (graph, _) = imported(("", "MatMulInteger"), &[], &inputs, (1, 2)).unwrap();
    assert_eq!(graph.inputs.iter().filter(|&&x| graph.ty(x).element == ElementType::I8).count(), 2);
    // Elsewhere bytes are integers like any others.
    let (graph, _) =
        imported(("", "DequantizeLinear"), &[], &all(vec![i8s(&[2], &[1, 2]), reals(&[], &[1.0])]), (1, 1))
            .unwrap();
    assert_eq!(graph.ty(graph.inputs[0]).element, ElementType::I32);
}

#[test]
fn scaled_products() {
    let a = || u8s(&[2, 4], &[208, 236, 0, 238, 3, 214, 255, 29]);
    let b = || u8s(&[4, 3], &[152, 51, 244, 60, 26, 255, 0, 127, 246, 127, 254, 247]);
    let scales = [0.0066, 0.00705, 0.0107].map(|scale| reals(&[1], &[scale]));
    let zeros = [113, 114, 118].map(|zero| u8s(&[1], &[zero]));
    let [sa, sb, sy] = scales.clone();
    let [za, zb, zy] = zeros.clone();
    let inputs = all(vec![a(), sa, za, b(), sb, zb, sy, zy]);
    check(("", "QLinearMatMul"), &[], &inputs, 8, &[i(&[2, 3], &[168, 115, 255, 1, 66, 151])]);

    let small = || u8s(&[1, 2], &[3, 5]);
    let weights = || i8s(&[2, 2], &[1, -1, 2, 4]);
    let inputs = vec![
        Some(small()),
        Some(weights()),
        Some(reals(&[], &[0.5])),
        Some(reals(&[2], &[1.0, 2.0])),
        Some(u8s(&[], &[1])),
        None,
        Some(reals(&[2], &[0.25, 0.5])),
    ];
    // (2, 4) times the weights is (10, 14).
    let op = ("com.microsoft", "MatMulIntegerToFloat");
    check(op, &[], &inputs, 4, &[Tensor::f32([1, 2], [5.25, 14.5])]);
    // 255 steps between −1 and 1.55: −1, 0.5 and 1.55 are exactly 0, 150 and 255, and zero is 100.
    let x = reals(&[1, 3], &[-1.0, 0.5, 1.55]);
    let weights = i8s(&[3, 1], &[1, 2, 3]);
    let inputs = all(vec![x, weights, reals(&[], &[2.0])]);
    check(("com.microsoft", "DynamicQuantizeMatMul"), &[], &inputs, 3, &[Tensor::f32([1, 1], [9.3])]);
}

#[test]
fn refusals() {
    let eighth = |zero: f32| Given(DataType::Float8e4m3fn, Tensor::f32([], [zero]));
    let quantize = |zero: Given, attributes: &[AttributeProto]| {
        let inputs = all(vec![reals(&[2], &[1.0, 2.0]), reals(&[], &[1.0]), zero]);
        imported(("", "QuantizeLinear"), attributes, &inputs, (1, 1)).unwrap_err()
    };
    for (error, expected) in [
        (quantize(eighth(1.0), &[]), "float8 with a zero point other than 0"),
        (quantize(eighth(0.0), &[int("saturate", 0)]), "float8 without saturation"),
        (quantize(ints(DataType::Int32, &[], &[0]), &[]), "it quantises to INT32"),
        (
            quantize(i8s(&[3], &[1, 2, 3]), &[int("axis", 0)]),
            "a scale of shape [3] for a tensor of shape [2]",
        ),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}

//! Every operator on known values: once with all inputs given at run time, once with all of them constants.

use super::{Bindings, close, import};
use crate::graph::eval::{Data, Tensor, evaluate};
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{AttributeProto, GraphProto};
use crate::onnx::testing::{Dim, float, int, ints, model, node, round, tensor, text, value};
use std::collections::BTreeMap;

pub(super) fn f(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::f32(shape, data)
}

pub(super) fn i(shape: &[usize], data: &[i32]) -> Tensor {
    Tensor::i32(shape, data)
}

fn b(shape: &[usize], data: &[bool]) -> Tensor {
    Tensor::bool(shape, data)
}

/// Imports one node and evaluates it; `fixed` says which inputs are constants.
pub(super) fn run(
    opset: i64,
    op: &str,
    attributes: &[AttributeProto],
    inputs: &[Tensor],
    outputs: usize,
    fixed: impl Fn(usize) -> bool,
) -> Result<Vec<Tensor>, String> {
    let names: Vec<String> = (0..inputs.len()).map(|k| format!("x{k}")).collect();
    let made: Vec<String> = (0..outputs).map(|k| format!("y{k}")).collect();
    let mut graph = GraphProto {
        node: vec![node(op, &names.join(" "), &made.join(" "), attributes.to_vec())],
        output: made.iter().map(|name| value(name, DataType::Float, &[])).collect(),
        ..Default::default()
    };
    let mut given = BTreeMap::new();
    for (k, input) in inputs.iter().enumerate() {
        if fixed(k) {
            graph.initializer.push(tensor(&names[k], input));
            continue;
        }
        let element = match input.data {
            Data::F32(_) => DataType::Float,
            Data::I32(_) => DataType::Int64,
            Data::Bool(_) => DataType::Bool,
            Data::I8(_) => DataType::Int8,
            Data::F8(_) => DataType::Float8e4m3fn,
        };
        let dims: Vec<Dim> = input.shape.iter().map(|&axis| Dim::N(axis as i64)).collect();
        graph.input.push(value(&names[k], element, &dims));
        given.insert(names[k].clone(), input.clone());
    }
    let imported = round(&model(opset, graph)).and_then(|model| import(&model, &Bindings::default()));
    let graph = imported.map_err(|error| error.to_string())?.graph;
    let values = evaluate(&graph, &given, None).map_err(|error| error.to_string())?;
    Ok(made.iter().map(|name| values[name].clone()).collect())
}

/// Checks a node of which inputs from `plumbing` on (shapes, axes) must be known.
pub(super) fn check_at(
    opset: i64,
    op: &str,
    attributes: &[AttributeProto],
    inputs: &[Tensor],
    plumbing: usize,
    want: &[Tensor],
) {
    for all_fixed in [false, true] {
        let got = run(opset, op, attributes, inputs, want.len(), |k| all_fixed || k >= plumbing);
        let got = got.unwrap_or_else(|error| panic!("{op}: {error}"));
        for (got, want) in got.iter().zip(want) {
            close(got, want, 2e-6)
                .unwrap_or_else(|what| panic!("{op} (opset {opset}, constants {all_fixed}): {what}"));
        }
    }
}

pub(super) fn check(op: &str, attributes: &[AttributeProto], inputs: &[Tensor], want: Tensor) {
    check_at(17, op, attributes, inputs, usize::MAX, &[want]);
}

#[test]
fn pointwise() {
    let x = || f(&[3], &[-1.5, 0.25, 2.0]);
    for (op, want) in [
        ("Neg", [1.5, -0.25, -2.0]),
        ("Abs", [1.5, 0.25, 2.0]),
        ("Exp", [0.223_130_16, 1.284_025_4, 7.389_056]),
        ("Reciprocal", [-0.666_666_7, 4.0, 0.5]),
        ("Tanh", [-0.905_148_3, 0.244_918_66, 0.964_027_6]),
        ("Sigmoid", [0.182_425_52, 0.562_176_5, 0.880_797]),
        ("Erf", [-0.966_105_15, 0.276_326_4, 0.995_322_3]),
        ("Sin", [-0.997_495, 0.247_403_96, 0.909_297_4]),
        ("Cos", [0.070_737_2, 0.968_912_4, -0.416_146_84]),
        ("Floor", [-2.0, 0.0, 2.0]),
        ("Ceil", [-1.0, 1.0, 2.0]),
        ("Sign", [-1.0, 1.0, 1.0]),
        ("Relu", [0.0, 0.25, 2.0]),
        ("LeakyRelu", [-0.015, 0.25, 2.0]),
        ("Softplus", [0.201_413_28, 0.825_939_4, 2.126_928]),
        ("HardSigmoid", [0.2, 0.55, 0.9]),
        ("HardSwish", [-0.375, 0.135_416_67, 1.666_666_6]),
        ("Gelu", [-0.100_210_8, 0.149_676_58, 1.954_499_7]),
        ("Identity", [-1.5, 0.25, 2.0]),
        ("Dropout", [-1.5, 0.25, 2.0]),
    ] {
        check(op, &[], &[x()], f(&[3], &want));
    }
    check("Gelu", &[text("approximate", "tanh")], &[x()], f(&[3], &[-0.100_428_8, 0.149_675_1, 1.954_597_7]));
    check("Sqrt", &[], &[f(&[2], &[4.0, 2.0])], f(&[2], &[2.0, std::f32::consts::SQRT_2]));
    check("Log", &[], &[f(&[2], &[1.0, 10.0])], f(&[2], &[0.0, std::f32::consts::LN_10]));
    check("Relu", &[], &[i(&[2], &[-3, 4])], i(&[2], &[0, 4]));
    check("PRelu", &[], &[x(), f(&[1], &[0.5])], f(&[3], &[-0.75, 0.25, 2.0]));
    check("Clip", &[], &[x(), f(&[], &[-1.0]), f(&[], &[1.0])], f(&[3], &[-1.0, 0.25, 1.0]));
    check("IsNaN", &[], &[f(&[2], &[f32::NAN, 1.0])], b(&[2], &[true, false]));
    check("IsInf", &[], &[f(&[2], &[f32::NEG_INFINITY, 1.0])], b(&[2], &[true, false]));
    check("Not", &[], &[b(&[2], &[true, false])], b(&[2], &[false, true]));
    check("Cast", &[int("to", 7)], &[x()], i(&[3], &[-1, 0, 2]));
    check("Cast", &[int("to", 1)], &[b(&[2], &[true, false])], f(&[2], &[1.0, 0.0]));
    check("CastLike", &[], &[x(), i(&[1], &[0])], i(&[3], &[-1, 0, 2]));
}

#[test]
fn two_operands() {
    let (x, y) = (|| f(&[2, 1], &[3.0, -2.0]), || f(&[2], &[2.0, 3.0]));
    for (op, want) in [
        ("Add", [5.0, 6.0, 0.0, 1.0]),
        ("Sub", [1.0, 0.0, -4.0, -5.0]),
        ("Mul", [6.0, 9.0, -4.0, -6.0]),
        ("Div", [1.5, 1.0, -1.0, -0.666_666_7]),
        ("Max", [3.0, 3.0, 2.0, 3.0]),
        ("Min", [2.0, 3.0, -2.0, -2.0]),
        ("Sum", [5.0, 6.0, 0.0, 1.0]),
        ("Mean", [2.5, 3.0, 0.0, 0.5]),
    ] {
        check(op, &[], &[x(), y()], f(&[2, 2], &want));
    }
    for (op, want) in [
        ("Less", [false, false, true, true]),
        ("LessOrEqual", [false, true, true, true]),
        ("Greater", [true, false, false, false]),
        ("GreaterOrEqual", [true, true, false, false]),
        ("Equal", [false, true, false, false]),
    ] {
        check(op, &[], &[x(), y()], b(&[2, 2], &want));
    }
    for (op, want) in
        [("And", [false, false, true]), ("Or", [false, true, true]), ("Xor", [false, true, false])]
    {
        check(op, &[], &[b(&[3], &[false, true, true]), b(&[3], &[false, false, true])], b(&[3], &want));
    }
    check("Mod", &[], &[i(&[2], &[7, -7]), i(&[], &[3])], i(&[2], &[1, 2]));
    check("Div", &[], &[i(&[2], &[7, -7]), i(&[], &[2])], i(&[2], &[3, -3]));
    for (exponent, want) in [
        (2.0, 9.0),
        (3.0, 27.0),
        (0.5, 1.732_050_8),
        (-1.0, 0.333_333_34),
        (-0.5, 0.577_350_26),
        (1.0, 3.0),
        (1.5, 5.196_152),
    ] {
        check("Pow", &[], &[f(&[1], &[3.0]), f(&[], &[exponent])], f(&[1], &[want]));
    }
    let condition = b(&[3], &[true, false, true]);
    check("Where", &[], &[condition, f(&[], &[1.0]), f(&[3], &[7.0, 8.0, 9.0])], f(&[3], &[1.0, 8.0, 1.0]));
}

#[test]
fn reductions() {
    let x = || f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 9.0]);
    check("ReduceMean", &[ints("axes", &[-1])], &[x()], f(&[2, 1], &[2.0, 6.0]));
    check("ReduceMax", &[ints("axes", &[0]), int("keepdims", 0)], &[x()], f(&[3], &[4.0, 5.0, 9.0]));
    check("ReduceMin", &[], &[x()], f(&[1, 1], &[1.0]));
    check("ReduceL2", &[ints("axes", &[1])], &[f(&[1, 2], &[3.0, 4.0])], f(&[1, 1], &[5.0]));
    check_at(13, "ReduceSum", &[], &[x(), i(&[1], &[1])], 1, &[f(&[2, 1], &[6.0, 18.0])]);
    check_at(18, "ReduceMean", &[int("keepdims", 0)], &[x(), i(&[2], &[0, 1])], 1, &[f(&[], &[4.0])]);
    check_at(18, "ReduceSum", &[int("noop_with_empty_axes", 1)], &[x()], 1, &[x()]);
    let halves = [0.268_941_43, 0.731_058_6];
    check("Softmax", &[], &[f(&[1, 2], &[1.0, 2.0])], f(&[1, 2], &halves));
    check("Softmax", &[int("axis", 0)], &[f(&[2, 1], &[1.0, 2.0])], f(&[2, 1], &halves));
    check("LogSoftmax", &[], &[f(&[1, 2], &[1.0, 2.0])], f(&[1, 2], &[-1.313_261_7, -0.313_261_7]));
    // Older versions join all axes from `axis` on.
    check_at(11, "Softmax", &[int("axis", 1)], &[f(&[1, 2, 1], &[1.0, 2.0])], 9, &[f(&[1, 2, 1], &halves)]);
    let normal = [-1.224_735_6, 0.0, 1.224_735_6];
    let scale = || f(&[3], &[1.0, 2.0, 3.0]);
    check(
        "LayerNormalization",
        &[],
        &[f(&[1, 3], &[1.0, 2.0, 3.0]), scale(), f(&[3], &[0.0, 1.0, 0.0])],
        f(&[1, 3], &[normal[0], 1.0, 3.0 * normal[2]]),
    );
    let (x, want) = (f(&[1, 3], &[1.0, 2.0, 2.0]), f(&[1, 3], &[0.577_349_3, 2.309_397_2, 3.464_095_8]));
    check_at(23, "RMSNormalization", &[], &[x, scale()], 9, &[want]);
    let one = || f(&[2], &[1.0, 1.0]);
    let inputs = [f(&[1, 2], &[3.0, 5.0]), f(&[2], &[2.0, 3.0]), one(), one(), f(&[2], &[4.0, 16.0])];
    check("BatchNormalization", &[float("epsilon", 0.0)], &inputs, f(&[1, 2], &[3.0, 4.0]));
}

#[test]
fn products() {
    let a = || f(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let c = || f(&[2, 2], &[5.0, 6.0, 7.0, 8.0]);
    check("MatMul", &[], &[a(), c()], f(&[2, 2], &[19.0, 22.0, 43.0, 50.0]));
    check("MatMul", &[], &[f(&[2], &[1.0, 2.0]), c()], f(&[2], &[19.0, 22.0]));
    check("MatMul", &[], &[a(), f(&[2], &[1.0, 1.0])], f(&[2], &[3.0, 7.0]));
    check("MatMul", &[], &[f(&[2], &[1.0, 2.0]), f(&[2], &[3.0, 4.0])], f(&[], &[11.0]));
    check(
        "MatMul",
        &[],
        &[f(&[2, 1], &[1.0, 2.0]), f(&[1, 2], &[3.0, 4.0])],
        f(&[2, 2], &[3.0, 4.0, 6.0, 8.0]),
    );
    check(
        "Gemm",
        &[int("transB", 1)],
        &[a(), c(), f(&[2], &[1.0, -1.0])],
        f(&[2, 2], &[18.0, 22.0, 40.0, 52.0]),
    );
    check(
        "Gemm",
        &[int("transA", 1), float("alpha", 2.0)],
        &[a(), c()],
        f(&[2, 2], &[52.0, 60.0, 76.0, 88.0]),
    );
}

#[test]
fn shapes() {
    let x = || f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let flat = |shape: &[usize]| f(shape, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let plumbed = |op: &str, attributes: &[AttributeProto], rest: Vec<Tensor>, want: Tensor| {
        check_at(18, op, attributes, &[vec![x()], rest].concat(), 1, &[want]);
    };
    plumbed("Shape", &[], vec![], i(&[2], &[2, 3]));
    plumbed("Shape", &[int("start", -1)], vec![], i(&[1], &[3]));
    plumbed("Size", &[], vec![], i(&[], &[6]));
    plumbed("Reshape", &[], vec![i(&[3], &[0, -1, 1])], flat(&[2, 3, 1]));
    plumbed("Flatten", &[int("axis", 0)], vec![], flat(&[1, 6]));
    plumbed("Unsqueeze", &[], vec![i(&[2], &[0, -1])], flat(&[1, 2, 3, 1]));
    check_at(11, "Unsqueeze", &[ints("axes", &[1])], &[x()], 1, &[flat(&[2, 1, 3])]);
    check_at(11, "Squeeze", &[ints("axes", &[-1])], &[flat(&[6, 1])], 1, &[flat(&[6])]);
    check_at(13, "Squeeze", &[], &[flat(&[1, 6, 1])], 1, &[flat(&[6])]);
    plumbed("Transpose", &[], vec![], f(&[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
    check_at(
        13,
        "Expand",
        &[],
        &[f(&[2, 1], &[1.0, 2.0]), i(&[3], &[2, 1, 2])],
        1,
        &[f(&[2, 2, 2], &[1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0])],
    );
    check_at(
        13,
        "Tile",
        &[],
        &[f(&[1, 2], &[1.0, 2.0]), i(&[2], &[2, 2])],
        1,
        &[f(&[2, 4], &[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0])],
    );
    check(
        "Concat",
        &[int("axis", -1)],
        &[f(&[1, 1], &[1.0]), f(&[1, 2], &[2.0, 3.0])],
        f(&[1, 3], &[1.0, 2.0, 3.0]),
    );
    let halves = [f(&[2, 2], &[1.0, 2.0, 4.0, 5.0]), f(&[2, 1], &[3.0, 6.0])];
    check_at(11, "Split", &[int("axis", 1), ints("split", &[2, 1])], &[x()], 1, &halves);
    check_at(13, "Split", &[int("axis", 1)], &[x(), i(&[2], &[2, 1])], 1, &halves);
    check_at(18, "Split", &[int("axis", 1), int("num_outputs", 2)], &[x()], 1, &halves);
    let big = i32::MAX;
    for (start, end, step, want) in [
        (1, big, 1, vec![2.0, 3.0, 5.0, 6.0]),
        (-2, -1, 1, vec![2.0, 5.0]),
        (0, 3, 2, vec![1.0, 3.0, 4.0, 6.0]),
        (-1, i32::MIN, -1, vec![3.0, 2.0, 1.0, 6.0, 5.0, 4.0]),
        (2, 1, 1, vec![]),
    ] {
        let arguments = vec![i(&[1], &[start]), i(&[1], &[end]), i(&[1], &[-1]), i(&[1], &[step])];
        plumbed("Slice", &[], arguments, f(&[2, want.len() / 2], &want));
    }
    let pads = vec![i(&[4], &[0, 1, 0, -1]), f(&[], &[9.0])];
    plumbed("Pad", &[], pads, f(&[2, 3], &[9.0, 1.0, 2.0, 9.0, 4.0, 5.0]));
}

#[test]
fn indices() {
    let x = || f(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    check("Gather", &[], &[x(), i(&[2], &[-1, 0])], f(&[2, 2], &[5.0, 6.0, 1.0, 2.0]));
    check("Gather", &[int("axis", 1)], &[x(), i(&[], &[1])], f(&[3], &[2.0, 4.0, 6.0]));
    check_at(13, "Gather", &[], &[x(), i(&[2], &[1, 2])], 1, &[f(&[2, 2], &[3.0, 4.0, 5.0, 6.0])]);
    check_at(13, "GatherND", &[], &[x(), i(&[2, 2], &[2, 0, 0, 1])], 1, &[f(&[2], &[5.0, 2.0])]);
    let summed = || i(&[2, 3], &[1, 2, 3, 4, 5, 6]);
    check_at(13, "CumSum", &[], &[summed(), i(&[], &[1])], 1, &[i(&[2, 3], &[1, 3, 6, 4, 9, 15])]);
    check_at(13, "CumSum", &[], &[summed(), i(&[], &[0])], 1, &[i(&[2, 3], &[1, 2, 3, 5, 7, 9])]);
    let square = || f(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    check("Trilu", &[], &[square()], f(&[2, 2], &[1.0, 2.0, 0.0, 4.0]));
    check_at(
        14,
        "Trilu",
        &[int("upper", 0)],
        &[square(), i(&[], &[-1])],
        1,
        &[f(&[2, 2], &[0.0, 0.0, 3.0, 0.0])],
    );
    let bounds = |a, b, c| [i(&[], &[a]), i(&[], &[b]), i(&[], &[c])];
    check_at(13, "Range", &[], &bounds(2, 7, 2), 0, &[i(&[3], &[2, 4, 6])]);
    check_at(13, "Range", &[], &bounds(2, -1, -1), 0, &[i(&[3], &[2, 1, 0])]);
    check_at(13, "ConstantOfShape", &[], &[i(&[1], &[2])], 0, &[f(&[2], &[0.0, 0.0])]);
    let mut filled =
        crate::onnx::proto::AttributeProto { name: Some("value".to_owned()), ..Default::default() };
    filled.t = Some(tensor("", &i(&[1], &[7])));
    check_at(13, "ConstantOfShape", &[filled.clone()], &[i(&[1], &[2])], 0, &[i(&[2], &[7, 7])]);
    check_at(13, "Constant", &[filled], &[], 0, &[i(&[1], &[7])]);
    check_at(13, "Constant", &[ints("value_ints", &[1, i64::MAX])], &[], 0, &[i(&[2], &[1, i32::MAX])]);
}

/// An If of a known condition is its branch.
#[test]
fn known_branch() {
    for (condition, want) in [(true, [-1.0, -2.0]), (false, [1.0, 2.0])] {
        let branch = |name: &str, op: &str| crate::onnx::proto::AttributeProto {
            name: Some(name.to_owned()),
            g: Some(GraphProto {
                node: vec![node(op, "x", "inner", vec![])],
                output: vec![value("inner", DataType::Float, &[])],
                ..Default::default()
            }),
            ..Default::default()
        };
        let graph = GraphProto {
            node: vec![node(
                "If",
                "c",
                "y",
                vec![branch("then_branch", "Neg"), branch("else_branch", "Identity")],
            )],
            input: vec![value("x", DataType::Float, &[Dim::N(2)])],
            output: vec![value("y", DataType::Float, &[])],
            initializer: vec![tensor("c", &b(&[], &[condition]))],
            ..Default::default()
        };
        let graph = import(&round(&model(17, graph)).unwrap(), &Bindings::default()).unwrap().graph;
        let given = BTreeMap::from([("x".to_owned(), f(&[2], &[1.0, 2.0]))]);
        assert_eq!(evaluate(&graph, &given, None).unwrap()["y"], f(&[2], &want));
    }
}

#[test]
fn bands_of_hearing() {
    let inputs = [i(&[], &[2]), i(&[], &[8]), i(&[], &[8]), f(&[], &[0.0]), f(&[], &[4.0])];
    // Two triangles on five bins, whose edges and peaks are the bins 0, 1, 2 and 3.
    let want = [0., 0., 1., 0., 0., 1., 0., 0., 0., 0.];
    check_at(17, "MelWeightMatrix", &[], &inputs, 0, &[f(&[5, 2], &want)]);
}

//! Classical machine learning, counted sequences, and what is quantised on the way; the values are ONNX Runtime's.

use super::few_bits::{Given, check, imported, ints as whole, reals};
use crate::graph::eval::Tensor;
use crate::onnx::proto::AttributeProto;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::testing::{floats, int, ints, text};

/// A node of the domain on two rows of three numbers.
fn learned(op: &str, attributes: &[AttributeProto], want: &[Tensor]) {
    let x = reals(&[2, 3], &[1.0, -3.0, 2.0, 0.0, 0.0, 0.0]);
    check(("ai.onnx.ml", op), attributes, &[Some(x)], 1, want);
}

fn f(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::f32(shape, data)
}

#[test]
fn numbers_are_scaled() {
    let scale = [floats("offset", &[1.0, 2.0, 3.0]), floats("scale", &[2.0, 1.0, 0.5])];
    learned("Scaler", &scale, &[f(&[2, 3], &[0.0, -5.0, -0.5, -2.0, -2.0, -1.5])]);
    for (norm, [a, b, c]) in [
        ("MAX", [0.5, -1.5, 1.0]),
        ("L1", [0.166_666_67, -0.5, 0.333_333_34]),
        ("L2", [0.267_261_24, -0.801_783_74, 0.534_522_5]),
    ] {
        learned("Normalizer", &[text("norm", norm)], &[f(&[2, 3], &[a, b, c, 0.0, 0.0, 0.0])]);
    }
}

#[test]
fn linear_models() {
    let two = floats("coefficients", &[1.0, 2.0, 3.0, 0.5, 0.25, 1.0]);
    let regressor = [two, floats("intercepts", &[1.0, -1.0]), int("targets", 2)];
    learned("LinearRegressor", &regressor, &[f(&[2, 2], &[2.0, 0.75, 1.0, -1.0])]);
    let one = [
        floats("coefficients", &[1.0, 2.0, 3.0]),
        floats("intercepts", &[0.5]),
        ints("classlabels_ints", &[4, 6]),
        text("post_transform", "LOGISTIC"),
    ];
    let scores = f(&[2, 2], &[0.182_425_56, 0.817_574_44, 0.377_540_65, 0.622_459_35]);
    learned("LinearClassifier", &one, &[Tensor::i32([2], [6, 6]), scores]);
    let three = [
        floats("coefficients", &[1.0, 2.0, 3.0, 0.5, 0.25, 1.0, 0.0, 0.0, 0.0]),
        floats("intercepts", &[0.5, -1.0, 1.0]),
        ints("classlabels_ints", &[4, 6, 8]),
    ];
    let scores = f(&[2, 3], &[1.5, 0.75, 1.0, 0.5, -1.0, 1.0]);
    learned("LinearClassifier", &three, &[Tensor::i32([2], [4, 8]), scores]);
}

/// A tree that asks whether the second number is less than −1, and one that is a leaf.
fn forest(how: &str) -> Vec<AttributeProto> {
    let modes = ["BRANCH_LT", "LEAF", "LEAF", "LEAF"].map(|mode| mode.as_bytes().to_vec());
    let modes = AttributeProto { strings: modes.to_vec(), ..ints("nodes_modes", &[]) };
    vec![
        ints("nodes_treeids", &[0, 0, 0, 1]),
        ints("nodes_nodeids", &[0, 1, 2, 0]),
        ints("nodes_featureids", &[1, 0, 0, 0]),
        floats("nodes_values", &[-1.0, 0.0, 0.0, 0.0]),
        modes,
        ints("nodes_truenodeids", &[1, 0, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0, 0]),
        ints("target_treeids", &[0, 0, 1]),
        ints("target_nodeids", &[1, 2, 0]),
        ints("target_ids", &[0, 0, 0]),
        floats("target_weights", &[2.0, 6.0, 4.0]),
        int("n_targets", 1),
        floats("base_values", &[10.0]),
        text("aggregate_function", how),
    ]
}

#[test]
fn forests() {
    for (how, sums) in
        [("SUM", [16.0, 20.0]), ("AVERAGE", [13.0, 15.0]), ("MIN", [12.0, 14.0]), ("MAX", [14.0, 16.0])]
    {
        learned("TreeEnsembleRegressor", &forest(how), &[f(&[2, 1], &sums)]);
    }
}

/// Contradictions are told of.
#[test]
fn bad_forests() {
    let x = || [Some(reals(&[2, 3], &[0.0; 6]))];
    for (at, changed, expected) in [
        (2, ints("nodes_featureids", &[3, 0, 0, 0]), "number 3 of 3"),
        (5, ints("nodes_truenodeids", &[0, 0, 0, 0]), "circle"),
        (5, ints("nodes_truenodeids", &[9, 0, 0, 0]), "no node 9"),
        (9, ints("target_ids", &[0, 0, 1]), "output 1 of 1"),
        (10, floats("target_weights", &[]), "target_weights"),
        (12, floats("base_values", &[1.0, 2.0]), "base values"),
    ] {
        let mut attributes = forest("SUM");
        attributes[at] = changed;
        let error = imported(("ai.onnx.ml", "TreeEnsembleRegressor"), &attributes, &x(), (1, 1)).unwrap_err();
        assert!(error.contains(expected), "{expected} is not in {error}");
    }
}

#[test]
fn counted_sequences() {
    let x = whole(DataType::Int32, &[2, 4], &[1, 2, 1, 3, 2, 1, 3, 2]);
    for (mode, want) in [("TFIDF", [2.0, 3.0, 1.0, 4.0, 3.0, 0.5]), ("IDF", [2.0, 3.0, 0.5, 2.0, 3.0, 0.5])] {
        let attributes = [
            text("mode", mode),
            int("min_gram_length", 1),
            int("max_gram_length", 2),
            int("max_skip_count", 1),
            ints("ngram_counts", &[0, 2]),
            ints("ngram_indexes", &[2, 0, 1]),
            ints("pool_int64s", &[1, 2, 1, 2]),
            floats("weights", &[0.5, 2.0, 3.0]),
        ];
        check(("", "TfIdfVectorizer"), &attributes, &[Some(x.clone())], 1, &[f(&[2, 3], &want)]);
    }
}

#[test]
fn lstm_of_bytes() {
    let i8s = |shape: &[usize], data: &[i32]| Some(whole(DataType::Int8, shape, data));
    let real = |shape: &[usize], data: &[f32]| Some(reals(shape, data));
    let bias: Vec<f32> = (0..16).map(|at| at as f32 / 16.0 - 0.5).collect();
    let inputs: [Option<Given>; 12] = [
        real(&[2, 1, 2], &[0.5, -1.0, 1.0, 0.25]),
        i8s(&[1, 2, 8], &[-11, 2, -8, 5, -5, 8, -2, 11, 1, -9, 4, -6, 7, -3, 10, 0]),
        i8s(&[1, 2, 8], &[-9, -2, 5, -7, 0, 7, -5, 2, 9, -3, 4, -8, -1, 6, -6, 1]),
        real(&[1, 16], &bias),
        None,
        None,
        None,
        None,
        real(&[1], &[0.05]),
        i8s(&[1], &[0]),
        real(&[1], &[0.04]),
        i8s(&[1], &[0]),
    ];
    let last = [0.008_986_57, 0.224_271_14];
    let all = [&[-0.030_179_41, 0.169_308_4][..], &last].concat();
    let want = [f(&[2, 1, 1, 2], &all), f(&[1, 1, 2], &last), f(&[1, 1, 2], &[0.024_998_873, 0.481_978_65])];
    check(("com.microsoft", "DynamicQuantizeLSTM"), &[int("hidden_size", 2)], &inputs, 1, &want);
}

/// Around what is known and what is computed lies the zero point; weights in groups have one too.
#[test]
fn byte_convolution_in_groups() {
    let u8s = |shape: &[usize], data: &[i32]| Some(whole(DataType::Uint8, shape, data));
    let x: Vec<i32> = (1..19).collect();
    let inputs = [
        u8s(&[1, 2, 3, 3], &x),
        u8s(&[2, 1, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8]),
        u8s(&[], &[5]),
        u8s(&[], &[2]),
    ];
    let want = [-8, -10, -7, -2, 3, 5, 4, 9, 11, 30, 61, 72, 68, 133, 151, 98, 187, 205];
    let attributes = [int("group", 2), ints("pads", &[1, 1, 0, 0])];
    check(("", "ConvInteger"), &attributes, &inputs, 4, &[Tensor::i32([1, 2, 3, 3], want)]);
}

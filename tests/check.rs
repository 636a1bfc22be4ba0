//! What `lpuc check` says of a model, and a model that ends before what cannot be compiled.

use lpu_tests::{lpuc, lpuc_well, root};
use serde_json::Value;

fn detector() -> String {
    root().join("tests/check/detector.onnx").to_string_lossy().into_owned()
}

#[test]
fn every_node_is_told_of_and_the_error_says_what_to_do() {
    let ran = lpuc(&["check", &detector()]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    insta::assert_snapshot!(ran.out.replace(&detector(), "detector.onnx"));
    insta::assert_snapshot!(ran.err.replace(&detector(), "detector.onnx"));
    let compiled = lpuc(&[&detector()]);
    assert_eq!((compiled.code, &compiled.err), (3, &ran.err), "compiling says the same");
}

#[test]
fn the_machine_readable_form_has_every_node() {
    let ran = lpuc(&["check", &detector(), "--json"]);
    let told: Value = serde_json::from_str(&ran.out).expect("JSON");
    let state = |name: &str| {
        let nodes = told["nodes"].as_array().expect("nodes");
        nodes.iter().find(|node| node["node"] == name).map(|node| node["state"].as_str().expect("a state"))
    };
    let states = ["boxes", "boxes_shape", "choice", "places", "best"].map(state);
    assert_eq!(states.map(Option::unwrap), ["supported", "folded", "refused", "waiting", "supported"]);
    assert_eq!(told["error"]["code"], "unsupported-operator");
}

#[test]
fn a_model_can_end_before_what_cannot_be() {
    let model = detector();
    let checked = lpuc_well(&["check", &model, "--outputs-at", "best,boxes,scores"]);
    assert!(checked.contains("all of it can be lowered"), "{checked}");
    let folder = tempfile::tempdir().expect("a folder");
    let outputs = folder.path().join("outputs.npz").to_string_lossy().into_owned();
    // A value by its name, and what a node makes.
    lpuc_well(&[&model, "--outputs-at", "boxes,scores_apart", "--outputs", &outputs]);
    let file = npyz::npz::NpzArchive::open(&outputs).expect("outputs");
    let mut names: Vec<&str> = file.array_names().collect();
    names.sort_unstable();
    assert_eq!(names, ["boxes", "scores"]);
    let wrong = lpuc(&["check", &model, "--outputs-at", "box,nothing"]);
    assert_eq!(wrong.code, 2);
    for part in ["error[unknown-output]", "`box`; there is `boxes`", "`nothing`"] {
        assert!(wrong.err.contains(part), "{}", wrong.err);
    }
}

#[test]
fn the_operators_are_listed() {
    let told: Value = serde_json::from_str(&lpuc_well(&["ops", "--json"])).expect("JSON");
    let operators = told["operators"].as_array().expect("operators");
    let of = |name: &str| operators.iter().find(|operator| operator["operator"] == name).expect("listed");
    assert_eq!(of("Softmax")["versions"], serde_json::json!([1, 28]));
    assert!(of("Unique")["reason"].as_str().expect("a reason").contains("--outputs-at"));
    assert_eq!(of("GroupQueryAttention")["domain"], "com.microsoft");
}

//! What rewrite rules are worth on the examples: never less than nothing.

use lpu_tests::{lpuc_well, root};
use serde_json::Value;

fn ablate(name: &str, context: &str, chip: &str) -> Value {
    let model = root().join("examples").join(name).to_string_lossy().into_owned();
    let report = lpuc_well(&["ablate", &model, "--context", context, "--chip", chip, "--json"]);
    serde_json::from_str(&report).expect("one JSON object")
}

#[test]
fn rewriting_pays_on_every_example_and_chip() {
    for (name, context) in [("licence-decoder.onnx", "64"), ("encoder.onnx", "16")] {
        for chip in ["lp30", "tsp-v1"] {
            let report = ablate(name, context, chip);
            let cycles = |way: &Value| way["cycles"].as_i64().expect("a number");
            let (all, none) = (&report["all"], &report["none"]);
            assert!(cycles(all) < cycles(none), "{name} on {chip}: {report:#}");
            assert_eq!(none["gain_cycles"].as_i64(), Some(cycles(none) - cycles(all)));
            let without = report["without"].as_object().expect("an object");
            assert!(without.keys().eq(&compiler::rewrite::GROUPS), "{report:#}");
            for way in without.values() {
                assert!(way["bound_cycles"].as_i64().expect("a number") <= cycles(way), "{report:#}");
            }
        }
    }
}

//! Every simulator that the command line offers says the same, of a model and of a program.

use lpu_tests::{lpuc, lpuc_well, root};

const SIMULATORS: [&str; 3] = ["fast", "reference", "tandem"];

#[test]
fn a_model_has_one_report_and_one_set_of_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let model = root().join("examples/licence-decoder.onnx").to_string_lossy().into_owned();
    let program = at("program.lpu");
    let mut found = Vec::new();
    for simulator in SIMULATORS {
        let outputs = at(&format!("{simulator}.npz"));
        let emit = format!("program={program}");
        let args = [
            &model,
            "--context",
            "32",
            "--simulator",
            simulator,
            "--outputs",
            &outputs,
            "--emit",
            &emit,
            "--json",
        ];
        let mut report: serde_json::Value = serde_json::from_str(&lpuc_well(&args)).expect("one JSON object");
        report.as_object_mut().expect("an object").remove("tool_seconds");
        let simulated = lpuc_well(&["sim", &program, "--simulator", simulator]);
        found.push((report, std::fs::read(outputs).expect("written"), simulated));
    }
    for (simulator, other) in SIMULATORS.iter().zip(&found) {
        assert_eq!(other.0, found[0].0, "{simulator}: the report");
        assert!(other.1 == found[0].1, "{simulator}: the values");
        assert_eq!(other.2, found[0].2, "{simulator}: the program by itself");
    }
}

#[test]
fn other_simulators_are_refused() {
    let model = root().join("examples/licence-decoder.onnx").to_string_lossy().into_owned();
    let ran = lpuc(&[&model, "--simulator", "slow"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(SIMULATORS.iter().all(|name| ran.err.contains(name)), "{}", ran.err);
}

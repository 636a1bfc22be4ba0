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
fn fetching_its_text_changes_neither_values_nor_cycles() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (chip, program, outputs) = (at("short-queues.toml"), at("program.lpu"), at("outputs.npz"));
    std::fs::write(&chip, "base = \"lp30\"\n[icu]\nqueue_bytes = 768\n").expect("written");
    let model = root().join("examples/licence-decoder.onnx").to_string_lossy().into_owned();
    let run = |chip: &str, simulator: &str| {
        let emit = format!("program={program}");
        let simulator = ["--simulator", simulator, "--outputs", &outputs, "--emit", &emit, "--json"];
        let args = [&[&model[..], "--context", "32", "--chip", chip][..], &simulator].concat();
        let report: serde_json::Value = serde_json::from_str(&lpuc_well(&args)).expect("one JSON object");
        let numbers = [&report["simulated_cycles"], &report["sram"]["instruction_pages"]];
        let [cycles, pages] = numbers.map(|number| number.as_u64().expect("a number"));
        (cycles, pages, std::fs::read(&outputs).expect("written"))
    };
    let (cycles, pages, values) = run("lp30", "fast");
    assert_eq!(pages, 0);
    for simulator in ["fast", "tandem"] {
        let fetched = run(&chip, simulator);
        assert!(fetched.0 == cycles && fetched.2 == values, "{simulator}");
        assert!(fetched.1 > 2, "{simulator}: {} pages", fetched.1);
    }
    // A page in the place of another is not mistaken for it.
    let mut damaged = isa::decode::decode(&std::fs::read(&program).expect("written")).expect("a program");
    let mut places: Vec<&mut isa::Page> = damaged.chips[0].text.values_mut().flatten().collect();
    let (first, last) = places.split_at_mut(1);
    std::mem::swap(first[0], last[0]);
    std::fs::write(&program, isa::encode::encode(&damaged)).expect("written");
    let ran = lpuc(&["sim", &program, "--chip", &chip]);
    assert!(ran.code != 0 && ran.err.contains("wrong instruction text"), "{}: {}", ran.code, ran.err);
}

#[test]
fn other_simulators_are_refused() {
    let model = root().join("examples/licence-decoder.onnx").to_string_lossy().into_owned();
    let ran = lpuc(&[&model, "--simulator", "slow"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(SIMULATORS.iter().all(|name| ran.err.contains(name)), "{}", ran.err);
}

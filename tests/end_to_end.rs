//! Every example on two chips, with and without rewriting, at every precision: values against ONNX Runtime, cycles against the
//! prediction.

use std::path::Path;
use std::process::Command;

use lpu_tests::{arrays, lpuc_well, root};

/// Greatest error over the greatest magnitude that a precision may have.
const TOLERANCES: [(&str, f64); 4] = [("fp32", 1e-4), ("fp16", 1e-2), ("int8", 5e-2), ("fp8", 0.25)];

fn path(name: &str) -> String {
    root().join(name).to_string_lossy().into_owned()
}

fn assert_close(what: &str, ours: &Path, theirs: &Path, tolerance: f64) {
    let (ours, theirs) = (arrays::read(ours), arrays::read(theirs));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{what}");
    for (name, error) in arrays::errors(&ours, &theirs).unwrap_or_else(|problem| panic!("{what}: {problem}"))
    {
        assert!(
            error <= tolerance,
            "{what}: {name} is off by {error:.2e} of its greatest magnitude, at most {tolerance:.0e}"
        );
    }
}

/// One example on one chip, in all ways; returns cycles with and without rewriting at fp16.
fn example(name: &str, chip: &str) -> [u64; 2] {
    let folder = tempfile::tempdir().expect("a folder");
    let inputs = path(&format!("examples/recorded/{name}-inputs.npz"));
    let recorded = root().join(format!("examples/recorded/{name}-outputs.npz"));
    let mut cycles = [0; 2];
    // The first generation has no multipliers of F8.
    let known = TOLERANCES.into_iter().filter(|(precision, _)| (chip, *precision) != ("tsp-v1", "fp8"));
    for (precision, tolerance) in known {
        for rewrite in [true, false] {
            let what = format!("{name} on {chip} at {precision}, rewrite {rewrite}");
            let out = folder.path().join(format!("{precision}-{rewrite}.npz"));
            let model = path(&format!("examples/{name}.onnx"));
            let out_name = out.to_string_lossy().into_owned();
            let mut args = vec![
                model.as_str(),
                "--chip",
                chip,
                "--precision",
                precision,
                "--inputs",
                &inputs,
                "--outputs",
                &out_name,
                "--json",
            ];
            args.extend((!rewrite).then_some("--no-rewrite"));
            let report: serde_json::Value = serde_json::from_str(&lpuc_well(&args)).expect("one JSON object");
            assert_eq!(report["predicted_cycles"], report["simulated_cycles"], "{what}");
            let (bound, simulated) =
                (report["bound"]["cycles"].as_u64(), report["simulated_cycles"].as_u64());
            assert!(
                bound.is_some_and(|bound| bound > 0) && bound <= simulated,
                "{what}: bound {bound:?}, simulated {simulated:?}"
            );
            assert_close(&what, &out, &recorded, tolerance);
            if precision == "fp16" {
                cycles[usize::from(!rewrite)] = simulated.expect("a number");
            }
            live(&model, &inputs, &out_name, tolerance);
        }
    }
    cycles
}

/// The same comparison with ONNX Runtime itself, where a Python with it is at hand.
fn live(model: &str, inputs: &str, ours: &str, tolerance: f64) {
    let Some(python) = std::env::var_os("LPUC_PYTHON") else { return };
    let tolerance = tolerance.to_string();
    let script = path("examples/compare.py");
    let output = Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args([&script, model, "--inputs", inputs, "--ours", ours, "--tolerance", &tolerance])
        .output()
        .expect("LPUC_PYTHON names a Python");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// Rewriting makes it faster.
fn assert_gain(what: &str, [rewritten, plain]: [u64; 2]) {
    assert!(rewritten < plain, "{what}: {rewritten} cycles with rewriting, {plain} without");
}

#[test]
fn decoder_on_lp30() {
    assert_gain("decoder on lp30", example("licence-decoder", "lp30"));
}

#[test]
fn decoder_on_tsp_v1() {
    assert_gain("decoder on tsp-v1", example("licence-decoder", "tsp-v1"));
}

#[test]
fn encoder_on_lp30() {
    assert_gain("encoder on lp30", example("encoder", "lp30"));
}

#[test]
fn encoder_on_tsp_v1() {
    assert_gain("encoder on tsp-v1", example("encoder", "tsp-v1"));
}

#[test]
fn greedy_decoding_gives_the_tokens_of_onnx_runtime() {
    let recorded = arrays::read(&root().join("examples/recorded/licence-decoder-greedy.npz"));
    let ids = |name: &str| recorded[name].values.iter().map(|value| *value as i64).collect::<Vec<i64>>();
    let (prompt, expected) = (ids("prompt_ids"), ids("generated_ids"));
    assert_eq!(expected.len(), 64);
    let context = (prompt.len() + expected.len()).to_string();
    let prompt_ids = prompt.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let model = path("examples/licence-decoder.onnx");
    let args = [
        &model,
        "--precision",
        "fp32",
        "--context",
        &context,
        "--generate",
        "64",
        "--prompt-ids",
        &prompt_ids,
        "--json",
    ];
    let report: serde_json::Value = serde_json::from_str(&lpuc_well(&args)).expect("one JSON object");
    let generated: Vec<i64> =
        serde_json::from_value(report["generated"]["token_ids"].clone()).expect("a list");
    assert_eq!(generated, expected, "{}", report["generated"]["text"]);
    assert_eq!(report["generated"]["steps"], prompt.len() + 63);
}

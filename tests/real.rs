//! Trained models that published packages carry, against what ONNX Runtime made of them; only where `LPUC_REAL_MODELS` names the folder that
//! `tests/real/fetch.py` wrote. Prints a table of all of them.
//!
//! The list beside the script says of each model that it agrees, or why it is refused.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use lpu_tests::{arrays, lpuc, root};
use serde_json::Value;

/// Greatest error over the greatest magnitude, by precision.
const TOLERANCES: [(&str, f64); 2] = [("fp32", 1e-4), ("fp16", 2e-2)];

/// What came of a model.
struct Row {
    /// Report of the command, seconds, greatest error of each precision.
    runs: Vec<(Value, f64, f64)>,
    /// `agrees`, or why not.
    state: String,
}

/// First line of an error that names what is wrong.
fn reason(err: &str) -> String {
    let lines: Vec<&str> = err.lines().filter(|line| !line.starts_with("note:")).collect();
    let first = lines.first().copied().unwrap_or_default();
    let first = first.find("error[").map_or(first, |at| &first[at..]);
    let second = lines.get(1).map_or("", |line| line.trim());
    if first.contains("unsupported-operator") { format!("{first}: {second}") } else { first.to_owned() }
}

fn row(folder: &Path, fixed: &[&str], scratch: &Path) -> Row {
    let out = scratch.join("outputs.npz");
    let text = |path: &Path| path.display().to_string();
    let (model, inputs, outputs) =
        (text(&folder.join("model.onnx")), text(&folder.join("inputs.npz")), text(&out));
    let mut row = Row { runs: Vec::new(), state: "agrees".to_owned() };
    for (precision, most) in TOLERANCES {
        let mut args = vec![model.as_str(), "--inputs", &inputs, "--outputs", &outputs, "--json"];
        args.extend(["--precision", precision]);
        args.extend(fixed.iter().flat_map(|fixed| ["--fix", fixed]));
        let ran = lpuc(&args);
        if ran.code != 0 {
            row.state = format!("{precision}: {}", reason(&ran.err));
            return row;
        }
        let report: Value = serde_json::from_str(&ran.out).expect("one JSON object");
        let seconds = report["tool_seconds"]["total"].as_f64().expect("seconds");
        match arrays::errors(&arrays::read(&out), &arrays::read(&folder.join("outputs.npz"))) {
            Ok(errors) => {
                // Written so that NaN is the greatest.
                let error = errors.values().copied().fold(0.0, |a: f64, b| if b <= a { a } else { b });
                if (error.is_nan() || error > most) && row.state == "agrees" {
                    row.state = format!("{precision}: off by more than {most:.0e}");
                }
                row.runs.push((report, seconds, error));
            }
            Err(what) => row.state = format!("{precision}: {what}"),
        }
    }
    row
}

/// A line of the table: the first run is at fp32, the second at fp16.
fn line(name: &str, model: &Value, row: &Row) -> String {
    let mut line =
        format!("{name} | {} | {} nodes", model["what"].as_str().unwrap_or_default(), model["nodes"]);
    for (report, seconds, error) in &row.runs {
        let sram = ["weights_bytes", "kv_bytes", "activation_bytes", "instruction_bytes"]
            .iter()
            .filter_map(|part| report["sram"][part].as_f64())
            .sum::<f64>();
        let ratio = report["bound"]["ratio"].as_f64().unwrap_or_default();
        let _ = write!(
            line,
            " | {}: {} cycles, {ratio:.2} of the bound, {:.1} MB, {seconds:.1} s, error {error:.0e}",
            report["precision"].as_str().unwrap_or_default(),
            report["simulated_cycles"],
            sram / 1e6
        );
    }
    format!("{line} | {}", row.state)
}

#[test]
fn models_of_published_packages() {
    let Some(folder) = std::env::var_os("LPUC_REAL_MODELS").map(PathBuf::from) else { return };
    let scratch = tempfile::tempdir().expect("a folder");
    let listed = std::fs::read_to_string(folder.join("models.json")).expect("a list");
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let only = std::env::var("LPUC_REAL_ONLY").unwrap_or_default();
    let mut states = String::new();
    for model in listed.as_array().expect("models") {
        let name = model["name"].as_str().expect("a name");
        if !only.is_empty() && !only.split(',').any(|part| part == name) {
            continue;
        }
        let fixed: Vec<&str> =
            model["fix"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let row = row(&folder.join(name), &fixed, scratch.path());
        let _ = writeln!(std::io::stderr(), "{}", line(name, model, &row));
        let _ = writeln!(states, "{name}: {}", row.state);
    }
    if !only.is_empty() {
        return;
    }
    let list = root().join("tests/real/expected.txt");
    if std::env::var_os("INSTA_UPDATE").is_some_and(|what| what == "always") {
        std::fs::write(&list, states).expect("written");
        return;
    }
    let expected = std::fs::read_to_string(&list).expect("a list");
    assert_eq!(states, expected, "as tests/real/expected.txt has it");
}

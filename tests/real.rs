//! Trained models that published packages carry, against what ONNX Runtime made of them; only where `LPUC_REAL_MODELS` names the folder that
//! `tests/real/fetch.py` wrote. Prints a table of all of them.
//!
//! `tests/real/expected.txt` says of each model whether it agrees, or why it does not run; `LPUC_REAL=update` writes it anew, and
//! `LPUC_REAL_ONLY=NAME,…` runs only some, without looking at it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use lpu_tests::{arrays, lpuc, root};
use serde_json::Value;

/// Greatest error over the greatest magnitude, by precision; or, of a model in bytes, twice that by which the runtime's own answers differ.
const TOLERANCES: [(&str, f64); 2] = [("fp32", 1e-4), ("fp16", 5e-2)];

/// What came of a model.
struct Row {
    /// Report of the command, seconds, greatest error of each precision.
    runs: Vec<(Value, f64, f64)>,
    /// Of each precision `agrees`, or why not.
    states: Vec<String>,
}

/// First line of an error that names what is wrong.
fn reason(err: &str) -> String {
    let lines: Vec<&str> = err.lines().filter(|line| !line.starts_with("note:")).collect();
    let first = lines.first().copied().unwrap_or_default();
    let first = first.find("error[").map_or(first, |at| &first[at..]);
    // Cycles change with every schedule.
    let first = first.split(": between").next().unwrap_or(first);
    let second = lines.get(1).map_or("", |line| line.trim());
    if first.contains("unsupported-operator") { format!("{first}: {second}") } else { first.to_owned() }
}

fn row(folder: &Path, model: &Value, scratch: &Path) -> Row {
    let out = scratch.join("outputs.npz");
    let text = |path: &Path| path.display().to_string();
    let (file, inputs, outputs) =
        (text(&folder.join("model.onnx")), text(&folder.join("inputs.npz")), text(&out));
    let fixed = model["fix"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let fixed: Vec<&str> = fixed.flat_map(|fixed| ["--fix", fixed]).collect();
    let own = 2.0 * model["sensitivity"].as_f64().unwrap_or(0.0);
    let mut row = Row { runs: Vec::new(), states: Vec::new() };
    for (precision, most) in TOLERANCES {
        let mut args = vec![file.as_str(), "--inputs", &inputs, "--outputs", &outputs, "--json"];
        args.extend(["--precision", precision].iter().chain(&fixed));
        let ran = lpuc(&args);
        if ran.code != 0 {
            row.states.push(format!("{precision}: {}", reason(&ran.err)));
            continue;
        }
        let report: Value = serde_json::from_str(&ran.out).expect("one JSON object");
        let seconds = report["tool_seconds"]["total"].as_f64().expect("seconds");
        let state = match arrays::errors(&arrays::read(&out), &arrays::read(&folder.join("outputs.npz"))) {
            Ok(errors) => {
                // Written so that NaN is the greatest.
                let error = errors.values().copied().fold(0.0, |a: f64, b| if b <= a { a } else { b });
                row.runs.push((report, seconds, error));
                match error <= most.max(own) {
                    true => format!("{precision} agrees"),
                    false => format!("{precision}: wrong"),
                }
            }
            Err(what) => format!("{precision}: {what}"),
        };
        row.states.push(state);
    }
    row
}

/// A line of the table.
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
    format!("{line} | {}", row.states.join("; "))
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
        if only.is_empty() && model["slow"] == true {
            let _ = writeln!(states, "{name}: not run, compiling takes minutes");
            continue;
        }
        let row = row(&folder.join(name), model, scratch.path());
        let _ = writeln!(std::io::stderr(), "{}", line(name, model, &row));
        let _ = writeln!(states, "{name}: {}", row.states.join("; "));
    }
    if !only.is_empty() {
        return;
    }
    let list = root().join("tests/real/expected.txt");
    if std::env::var_os("LPUC_REAL").is_some_and(|what| what == "update") {
        std::fs::write(&list, states).expect("written");
        return;
    }
    let expected = std::fs::read_to_string(&list).expect("a list");
    assert_eq!(states, expected, "as tests/real/expected.txt has it");
}

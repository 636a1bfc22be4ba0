//! Decoders as exporters write them: two steps of each, over caches, against what ONNX Runtime answered.
//!
//! A case is a folder of `tests/exports`, as `tests/exports/make.py` writes it: a model and the arrays of two steps. Each step is run by itself on
//! the recorded cache. Where the cache can grow, a program of its own takes the tokens one by one, and must come to the second step's scores.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use lpu_tests::{arrays, lpuc, root};

/// Greatest error over the greatest magnitude. Models with weights of 16 bits compute in 16 bits in ONNX Runtime too.
fn tolerance(name: &str) -> f64 {
    if name.contains("fp16") { 5e-3 } else { 1e-4 }
}

/// Runs the command on a case's model; what it says where it fails.
fn run(model: &Path, args: &[&str]) -> Result<(), String> {
    let model = model.display().to_string();
    let ran = lpuc(&[&[model.as_str(), "--precision", "fp32"], args].concat());
    if ran.code == 0 { Ok(()) } else { Err(ran.err) }
}

fn compare(name: &str, ours: &Path, wanted: &Path) -> Result<(), String> {
    let errors = arrays::errors(&arrays::read(ours), &arrays::read(wanted))?;
    let most = tolerance(name);
    match errors.iter().find(|(_, error)| error.is_nan() || **error > most) {
        Some((output, error)) => Err(format!("`{output}` is off by {error:.1e} of its greatest value")),
        None => Ok(()),
    }
}

/// What is wrong with a case.
fn problem(name: &str, folder: &Path, scratch: &Path) -> Result<(), String> {
    let model = folder.join("model.onnx");
    let out = scratch.join(format!("{name}.npz"));
    let text = |path: &Path| path.display().to_string();
    let mut tokens = Vec::new();
    for step in 1..=2 {
        let inputs = folder.join(format!("{step}-inputs.npz"));
        tokens.extend(arrays::read(&inputs)["input_ids"].values.clone());
        run(&model, &["--inputs", &text(&inputs), "--outputs", &text(&out)])
            .and_then(|()| compare(name, &out, &folder.join(format!("{step}-outputs.npz"))))
            .map_err(|what| format!("step {step}: {what}"))?;
    }
    // One program for all steps.
    let prompt: Vec<String> = tokens.iter().map(f64::to_string).collect();
    let (prompt, out_name) = (prompt.join(","), text(&out));
    let args = ["--context", "8", "--generate", "1", "--prompt-ids", &prompt, "--outputs", &out_name];
    match run(&model, &args) {
        Ok(()) => {}
        Err(what) if name.ends_with("static") && what.contains("error[fixed-cache]") => return Ok(()),
        Err(what) => return Err(format!("step by step: {what}")),
    }
    let (mut ours, mut wanted) = (arrays::read(&out), arrays::read(&folder.join("2-outputs.npz")));
    wanted.retain(|output, _| output == "logits");
    if let (Some(ours), Some(wanted)) = (ours.get_mut("logits"), wanted.get("logits")) {
        ours.shape.clone_from(&wanted.shape);
    }
    let errors = arrays::errors(&ours, &wanted)?;
    let error = errors.values().copied().fold(0.0, f64::max);
    if error <= tolerance(name) { Ok(()) } else { Err(format!("step by step: off by {error:.1e}")) }
}

#[test]
fn exported_decoders_answer_as_onnx_runtime_does() {
    let scratch = tempfile::tempdir().expect("a folder");
    // A folder of cases that are not kept here, for who looks at more of them.
    let folder = std::env::var_os("LPUC_EXPORTS").map_or(root().join("tests/exports"), PathBuf::from);
    let entries = std::fs::read_dir(folder).expect("cases").map(|entry| entry.expect("readable").path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.join("model.onnx").is_file()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let name = case.file_name().unwrap_or_default().to_string_lossy();
                    if let Err(what) = problem(&name, case, scratch.path()) {
                        wrong.lock().expect("no panics").push(format!("{name}: {what}"));
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().expect("no panics");
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

//! The ONNX project's own operator cases, each compiled, simulated with values, and compared.
//!
//! `tests/conformance/cases.py` writes the cases, where a Python with `onnx` and ONNX Runtime is at hand (`LPUC_PYTHON`). Those that ONNX Runtime
//! passes and whose tensors are numbers count. What of them does not pass here is listed in `tests/conformance/expected.txt`, each with its
//! reason: a new pass or failure breaks the test until the list says so (`LPUC_CONFORMANCE=update` writes it).

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use lpu_tests::{arrays, lpuc, root};
use serde_json::Value;

/// A case that counts.
struct Case {
    name: String,
    rtol: f32,
    atol: f32,
}

/// The cases, and of which versions they are.
fn cases(folder: &Path, python: &std::ffi::OsStr) -> (Vec<Case>, String) {
    let script = root().join("tests/conformance/cases.py");
    let made = Command::new(python).env("PYTHONDONTWRITEBYTECODE", "1").arg(script).arg(folder).output();
    let made = made.expect("LPUC_PYTHON names a Python");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let listed = std::fs::read_to_string(folder.join("cases.json")).expect("a list");
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let versions = listed["versions"].as_str().expect("versions").to_owned();
    let counts = |case: &&Value| case["numbers"] == true && case["runtime"] == true;
    let real = |value: &Value| value.as_f64().expect("a number") as f32;
    let case = |case: &Value| Case {
        name: case["name"].as_str().expect("a name").to_owned(),
        rtol: real(&case["rtol"]),
        atol: real(&case["atol"]),
    };
    let listed = listed["cases"].as_array().expect("cases").iter();
    (listed.filter(counts).map(case).collect(), versions)
}

/// Why a case does not pass; nothing if it does.
fn problem(folder: &Path, case: &Case) -> Option<String> {
    let own = folder.join(&case.name);
    let file = |name: &str| own.join(name).display().to_string();
    let ours = own.join("ours.npz");
    let (model, inputs, outputs) = (file("model.onnx"), file("inputs.npz"), ours.display().to_string());
    let args = [&model, "--inputs", &inputs, "--outputs", &outputs, "--precision", "fp32"];
    let ran = match catch_unwind(AssertUnwindSafe(|| lpuc(&args))) {
        Ok(ran) => ran,
        Err(_) => return Some("panics".to_owned()),
    };
    if ran.code != 0 {
        return Some(format!("exit code {}: {}", ran.code, reason(&ran.err)));
    }
    let (ours, right) = (arrays::read(&ours), arrays::read(&own.join("outputs.npz")));
    let close = |(&ours, &right): (&f64, &f64)| {
        let most = f64::from(case.atol) + f64::from(case.rtol) * right.abs();
        ours == right || ours.is_nan() && right.is_nan() || (ours - right).abs() <= most
    };
    for (name, right) in &right {
        match ours.get(name) {
            Some(ours) if ours.values.len() == right.values.len() => {
                let (ours, right) = (&ours.values, &right.values);
                if let Some(at) = ours.iter().zip(right).position(|pair| !close(pair)) {
                    return Some(format!("wrong value: {name} {at} is {}, not {}", ours[at], right[at]));
                }
            }
            Some(_) => return Some(format!("wrong shape of {name}")),
            None => return Some(format!("no output {name}")),
        }
    }
    None
}

/// An error in a line: its first, and where it lists nodes the first of those, without their names.
fn reason(err: &str) -> String {
    let mut lines = err.lines().filter(|line| !line.starts_with("note:"));
    let first = lines.next().unwrap_or_default();
    let first = first.find("error[").map_or(first, |at| &first[at..]);
    let second = lines.next().unwrap_or_default().trim();
    let second = second.split(": `").next().unwrap_or_default();
    match first.split_once("]: ") {
        Some((code, _)) if !second.is_empty() => format!("{code}] {second}"),
        _ => first.to_owned(),
    }
}

#[test]
fn operator_cases_of_the_onnx_project() {
    let Some(python) = std::env::var_os("LPUC_PYTHON") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (cases, versions) = cases(folder.path(), &python);
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let problem = problem(folder.path(), case);
                    found.lock().expect("no panics").insert(case.name.clone(), problem);
                }
            });
        }
    });
    let found = found.into_inner().expect("no panics");
    let failing: Vec<String> =
        found.iter().filter_map(|(name, problem)| Some(format!("{name}: {}", problem.as_ref()?))).collect();
    // Past the test's captured output: the score is for whoever reads the log.
    let _ =
        writeln!(std::io::stderr(), "{} of {} operator cases pass", found.len() - failing.len(), found.len());
    let list: PathBuf = root().join("tests/conformance/expected.txt");
    if std::env::var_os("LPUC_CONFORMANCE").is_some_and(|what| what == "update") {
        std::fs::write(&list, format!("{versions}\n{}\n", failing.join("\n"))).expect("written");
        return;
    }
    let expected = std::fs::read_to_string(&list).expect("a list");
    let mut expected: Vec<&str> = expected.lines().collect();
    // Other versions have other cases.
    if expected.remove(0) != versions {
        return;
    }
    let new: Vec<&String> = failing.iter().filter(|line| !expected.contains(&line.as_str())).collect();
    let gone: Vec<&&str> = expected.iter().filter(|line| !failing.iter().any(|own| own == **line)).collect();
    assert!(new.is_empty() && gone.is_empty(), "not in the list: {new:#?}\nnot so any more: {gone:#?}");
}

//! The same input gives the same bytes, whatever process computes them and whatever its environment.

use std::path::Path;
use std::process::Command;

use lpu_tests::{lpuc_well, root};

/// Set for the process that is started to compute the same again; names the folder for its results.
const CHILD: &str = "LPUC_DETERMINISM_CHILD";

const EXAMPLES: [(&str, &str); 2] = [("licence-decoder", "64"), ("encoder", "16")];

/// Assembly, binary and JSON of every example, into `folder`.
fn compute(folder: &Path) {
    for (name, context) in EXAMPLES {
        let file = |kind: &str| folder.join(format!("{name}.{kind}")).to_string_lossy().into_owned();
        let model = root().join(format!("examples/{name}.onnx")).to_string_lossy().into_owned();
        let emit = |kind: &str| ["--emit".to_owned(), format!("{kind}={}", file(kind))];
        let mut args = vec![model, "--context".to_owned(), context.to_owned(), "--json".to_owned()];
        for kind in ["graph", "rewritten", "legal", "kernels", "schedule", "asm", "program"] {
            args.extend(emit(kind));
        }
        let report = lpuc_well(&args);
        let mut report: serde_json::Value = serde_json::from_str(&report).expect("one JSON object");
        let object = report.as_object_mut().expect("an object");
        assert!(object.remove("tool_seconds").is_some_and(|seconds| seconds["total"].is_f64()));
        assert_eq!(object["predicted_cycles"], object["simulated_cycles"]);
        std::fs::write(file("json"), format!("{report:#}")).expect("written");
    }
}

/// Not a test of its own: what the other process does.
#[test]
fn child() {
    if let Some(folder) = std::env::var_os(CHILD) {
        compute(Path::new(&folder));
    }
}

#[test]
fn two_processes_give_the_same_bytes() {
    let environments: [&[(&str, &str)]; 2] = [
        &[("RAYON_NUM_THREADS", "1"), ("RUST_TEST_THREADS", "1"), ("TZ", "UTC"), ("LANG", "C")],
        &[
            ("RAYON_NUM_THREADS", "8"),
            ("RUST_TEST_THREADS", "8"),
            ("TZ", "Asia/Tokyo"),
            ("LANG", "de_DE.UTF-8"),
        ],
    ];
    let folders = environments.map(|environment| {
        let folder = tempfile::tempdir().expect("a folder");
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child", "--nocapture"])
            .current_dir(folder.path())
            .env(CHILD, folder.path())
            .envs(environment.iter().copied())
            .output()
            .expect("started");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        folder
    });
    let files = |folder: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name())
            .collect();
        names.sort();
        names
    };
    let names = files(folders[0].path());
    assert_eq!(names.len(), EXAMPLES.len() * 8, "{names:?}");
    assert_eq!(names, files(folders[1].path()));
    for name in names {
        let [first, second] = [0, 1].map(|i| std::fs::read(folders[i].path().join(&name)).expect("readable"));
        assert!(!first.is_empty(), "{name:?} is empty");
        assert!(first == second, "{name:?} differs between two processes");
    }
}

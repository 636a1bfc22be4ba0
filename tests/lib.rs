//! Whole-project tests; see the files beside this one. Here: what they share.

pub mod arrays;
pub mod onnx;

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

/// A text file of the project.
pub struct Text {
    /// Path from the workspace's root, with `/`.
    pub path: String,
    /// Content.
    pub text: String,
}

/// Every text file of the project below `folder` whose name ends in one of `endings`, by path.
pub fn texts(folder: &str, endings: &[&str]) -> Vec<Text> {
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    let wanted = |path: &PathBuf| endings.iter().any(|ending| path.to_string_lossy().ends_with(ending));
    found.into_iter().filter(wanted).map(read).collect()
}

/// Every Rust source of the project, by path.
pub fn sources() -> Vec<Text> {
    ["compiler", "simulator", "models", "tests", "examples"]
        .iter()
        .flat_map(|folder| texts(folder, &[".rs"]))
        .collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("the folder is readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == "target" || name == ".git" || name == "book" || name == "__pycache__" {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn read(path: PathBuf) -> Text {
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let path = path.strip_prefix(root()).expect("found below the root").to_string_lossy().replace('\\', "/");
    Text { path, text }
}

/// Whether a source holds nothing but tests.
pub fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// A source's own code and its test module: cut at the first `#[cfg(test)]` that starts a line.
pub fn split_tests(text: &str) -> (&str, &str) {
    text.find("\n#[cfg(test)]").map_or((text, ""), |at| text.split_at(at))
}

/// What a run of `lpuc` gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Exit code.
    pub code: u8,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs `lpuc` with these arguments, in this process.
pub fn lpuc<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = std::iter::once("lpuc".into()).chain(args.iter().map(|arg| arg.as_ref().to_owned()));
    let code = lpuc::run(args, &mut lpuc::Console { out: &mut out, err: &mut err, progress: false });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code, out: text(&out), err: text(&err) }
}

/// As [`lpuc()`], for runs that must go well.
pub fn lpuc_well<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(args: &[S]) -> String {
    let ran = lpuc(args);
    assert_eq!(ran.code, 0, "lpuc {args:?}:\n{}", ran.err);
    ran.out
}

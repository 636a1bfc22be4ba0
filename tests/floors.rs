//! Imports point downward only: the table of floors, checked against the sources.

use lpu_tests::{is_test, sources, split_tests};

/// The crates of the project, as code names them.
const CRATES: [&str; 4] = ["isa", "simulator", "compiler", "models"];

/// The simulator's slices, which never name each other.
const SLICES: [&str; 6] = ["mem", "vxm", "mxm", "sxm", "c2c", "icu"];

/// Where the sources lie, and what they may name: modules of their own crate, and our other crates.
/// The first row whose folder fits a file is the one that holds. `*` is any module.
#[rustfmt::skip]
const FLOORS: &[(&str, &[&str], &[&str])] = &[
    ("simulator/isa/src/",          &["*"],                                        &[]),
    ("simulator/src/stream.rs",     &["fault"],                                    &["isa"]),
    ("simulator/src/fault.rs",      &[],                                           &["isa"]),
    ("simulator/src/event.rs",      &[],                                           &["isa"]),
    ("simulator/src/reference/mem.rs", &["stream", "fault", "event", "image"],     &["isa"]),
    ("simulator/src/reference/vxm.rs", &["stream", "fault"],                       &["isa"]),
    ("simulator/src/reference/mxm.rs", &["stream", "fault"],                       &["isa"]),
    ("simulator/src/reference/sxm.rs", &["stream", "fault"],                       &["isa"]),
    ("simulator/src/reference/icu.rs", &["stream", "fault"],                       &["isa"]),
    ("simulator/src/",              &["*"],                                        &["isa"]),
    ("compiler/src/diagnostic.rs",  &[],                                           &[]),
    // `graph` for the encodings of elements, which both spell alike.
    ("compiler/src/onnx/",          &["diagnostic", "graph"],                      &[]),
    ("compiler/src/graph/",         &["diagnostic", "onnx"],                       &["isa"]),
    ("compiler/src/rewrite/",       &["diagnostic", "graph"],                      &["isa"]),
    ("compiler/src/lower/",         &["diagnostic", "graph"],                      &["isa"]),
    ("compiler/src/schedule/",      &["diagnostic", "graph", "lower"],                      &["isa"]),
    ("compiler/src/emit/",          &["diagnostic", "graph", "lower", "schedule"],                   &["isa"]),
    ("compiler/src/",               &["*"],                                        &["isa"]),
    ("models/src/",                 &["*"],                                        &["compiler"]),
    ("compiler/lpuc/src/",          &["*"],                                        &["isa", "simulator", "compiler", "models"]),
];

/// Code without its comments.
fn code(text: &str) -> String {
    let line = |line: &str| line.find("//").map_or(line, |at| &line[..at]).to_owned() + "\n";
    text.lines().map(line).collect()
}

/// The names that may follow `prefix::`, as in `prefix::name` and `prefix::{name, other::{…}}`.
fn named(code: &str, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    let pattern = format!("{prefix}::");
    for (at, _) in code.match_indices(&pattern) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + pattern.len()..];
        match rest.strip_prefix('{') {
            Some(list) => names.extend(first_level(list)),
            None => names.push(word(rest)),
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The words at the head of each entry of a brace list, up to its closing brace.
fn first_level(list: &str) -> Vec<String> {
    let mut depth = 0;
    let mut entries = vec![String::new()];
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => entries.push(String::new()),
            _ if depth == 0 => entries.last_mut().expect("never empty").push(c),
            _ => {}
        }
    }
    entries.iter().map(|entry| word(entry.trim())).filter(|entry| !entry.is_empty()).collect()
}

/// What one file names above its floor.
fn violations(path: &str, text: &str) -> Vec<String> {
    let Some((folder, modules, crates)) = FLOORS.iter().find(|(folder, ..)| path.starts_with(folder)) else {
        return Vec::new();
    };
    let code = code(split_tests(text).0);
    let source = path.split_once("/src/").map_or("", |(_, inside)| inside);
    // A file with a row of its own may not name its folder; a folder's files may name each other.
    let own = if folder.ends_with('/') { word(source) } else { String::new() };
    // From the file that is a top module (`graph/mod.rs`, `fault.rs`), `super` is the crate.
    let is_top = source.ends_with("/mod.rs") && source.matches('/').count() == 1 || !source.contains('/');
    let mut inside = named(&code, "crate");
    if is_top {
        inside.extend(named(&code, "super"));
    } else if own.is_empty() {
        inside.extend(named(&code, "super").into_iter().filter(|name| SLICES.contains(&name.as_str())));
    }
    let may = |module: &String| {
        modules.contains(&"*") || modules.contains(&module.as_str()) || *module == own
            // Types that stand in the crate's root, beside the pipeline, are its vocabulary.
            || module.starts_with(char::is_uppercase)
    };
    let mut found: Vec<String> = inside.into_iter().filter(|module| !may(module)).collect();
    let used = |name: &&&str| !named(&code, name).is_empty();
    found.extend(
        CRATES.iter().filter(used).filter(|name| !crates.contains(name)).map(|name| name.to_string()),
    );
    found.iter().map(|name| format!("{path} names `{name}`, which {folder} may not")).collect()
}

#[test]
fn imports_point_downward() {
    let found: Vec<String> = sources()
        .iter()
        .filter(|file| !is_test(&file.path))
        .flat_map(|file| violations(&file.path, &file.text))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_planted_import_is_found() {
    let planted = [
        ("compiler/src/graph/op.rs", "use crate::lower::Run;", "lower"),
        ("compiler/src/onnx/mod.rs", "use super::{diagnostic::Kind, lower};", "lower"),
        ("compiler/src/schedule/mod.rs", "fn f() { simulator::run(); }", "simulator"),
        ("simulator/src/reference/mem.rs", "use crate::{fault::Fault, reference::vxm};", "reference"),
        ("simulator/src/reference/mem.rs", "use super::vxm::Alu;", "vxm"),
        ("simulator/isa/src/chip.rs", "use compiler::graph::Graph;", "compiler"),
    ];
    for (path, text, name) in planted {
        let found = violations(path, text);
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        assert!(found[0].contains(&format!("`{name}`")), "{found:?}");
    }
    assert_eq!(
        violations("compiler/src/lower/mxm.rs", "use crate::graph::{self, Op}; // crate::emit"),
        [""; 0]
    );
}

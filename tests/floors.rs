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
    ("simulator/src/host.rs",       &[],                                           &["isa"]),
    ("simulator/src/image.rs",      &[],                                           &["isa"]),
    ("simulator/src/wellformed.rs", &[],                                           &["isa"]),
    ("simulator/src/placing.rs",    &["fault"],                                    &["isa"]),
    ("simulator/src/ports.rs",      &["host", "image"],                            &["isa"]),
    ("simulator/src/tandem.rs",     &["event", "fault", "ports", "reference"],     &["isa"]),
    ("simulator/src/reference/mem.rs", &["stream", "fault", "event", "image"],     &["isa"]),
    ("simulator/src/reference/vxm.rs", &["stream", "fault"],                       &["isa"]),
    ("simulator/src/reference/mxm.rs", &["stream", "fault"],                       &["isa"]),
    ("simulator/src/reference/sxm.rs", &["stream", "fault"],                       &["isa"]),
    ("simulator/src/reference/c2c.rs", &["stream", "fault"],                       &["isa"]),
    ("simulator/src/reference/icu.rs", &["stream", "fault"],                       &["isa"]),
    ("simulator/src/reference/",    &["event", "fault", "image", "placing", "ports", "stream"], &["isa"]),
    // What these may name of each other is in `FAST`.
    ("simulator/src/fast/lattice",  &[],                                           &["isa"]),
    ("simulator/src/fast/native/",  &[],                                           &["isa"]),
    ("simulator/src/fast/time/",    &["fault", "image", "reference", "stream"],    &["isa"]),
    ("simulator/src/fast/values/",  &["event", "image", "ports", "reference"],     &["isa"]),
    ("simulator/src/fast/compose.rs", &["fault", "image", "placing"],               &["isa"]),
    ("simulator/src/fast/machine.rs", &["event", "fault", "image", "ports", "reference", "tandem"], &["isa"]),
    ("simulator/src/",              &["*"],                                        &["isa"]),
    ("compiler/src/diagnostic.rs",  &[],                                           &[]),
    // `graph` for the encodings of elements, which both spell alike.
    ("compiler/src/onnx/",          &["diagnostic", "graph"],                      &[]),
    ("compiler/src/graph/",         &["diagnostic", "links", "onnx"],                     &["isa"]),
    ("compiler/src/rewrite/",       &["diagnostic", "graph"],                      &["isa"]),
    ("compiler/src/links",          &[],                                           &["isa"]),
    ("compiler/src/partition/",     &["diagnostic", "graph", "links"],             &["isa"]),
    ("compiler/src/lower/",         &["diagnostic", "graph", "links"],             &["isa"]),
    ("compiler/src/bound/",         &["graph"],                                    &["isa"]),
    ("compiler/src/schedule/",      &["diagnostic", "graph", "lower"],                      &["isa"]),
    ("compiler/src/emit/",          &["diagnostic", "graph", "lower", "schedule"],                   &["isa"]),
    ("compiler/src/",               &["*"],                                        &["isa"]),
    ("models/src/",                 &["*"],                                        &["compiler"]),
    ("compiler/lpuc/src/",          &["*"],                                        &["isa", "simulator", "compiler", "models"]),
];

/// The parts of the fast simulator, and what each may name of the others.
const FAST: &[(&str, &[&str])] = &[
    ("lattice", &[]),
    ("native", &[]),
    ("time", &["lattice"]),
    ("values", &["native"]),
    ("compose", &["lattice", "time", "values"]),
    ("machine", &["time", "values"]),
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
    found.extend(violations_within_fast(path, &code));
    found.iter().map(|name| format!("{path} names `{name}`, which {folder} may not")).collect()
}

/// What one file of the fast simulator names of the other parts, and may not.
fn violations_within_fast(path: &str, code: &str) -> Vec<String> {
    let Some(inside) = path.strip_prefix("simulator/src/fast/") else { return Vec::new() };
    let part = word(inside);
    let Some((_, may)) = FAST.iter().find(|(name, _)| *name == part) else { return Vec::new() };
    // As many `super` as lead from the file's module to `fast`.
    let levels = inside.matches('/').count() + usize::from(!inside.ends_with("/mod.rs"));
    let up = vec!["super"; levels].join("::");
    let is_other = |name: &String| *name != part && FAST.iter().any(|(other, _)| other == name);
    let names = ["crate::fast", "fast", up.as_str()].into_iter().flat_map(|prefix| named(code, prefix));
    names.filter(|name| is_other(name) && !may.contains(&name.as_str())).collect()
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
        ("simulator/src/reference/chip.rs", "use crate::tandem::Execute;", "tandem"),
        ("simulator/src/fast/native/chain.rs", "use crate::fault::Fault;", "fault"),
        ("simulator/src/fast/native/chain/build.rs", "use super::super::super::time::Timing;", "time"),
        ("simulator/src/fast/lattice.rs", "use super::values::Values;", "values"),
        ("simulator/src/fast/time/mod.rs", "use super::{lattice::Lattice, native::Tile};", "native"),
        ("simulator/src/fast/time/mem.rs", "use super::super::values::Memory;", "values"),
        ("simulator/src/fast/time/mem.rs", "use crate::{event::Event, fault::Fault};", "event"),
        ("simulator/src/fast/values/build/mod.rs", "use crate::fast::{native, time::check};", "time"),
        (
            "simulator/src/fast/values/tiles.rs",
            "use crate::{fast::lattice::Lattice, image::Image};",
            "lattice",
        ),
        ("simulator/src/fast/machine.rs", "use super::native::Tile;", "native"),
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
    assert_eq!(
        violations(
            "simulator/src/fast/time/mem.rs",
            "use super::super::lattice::Lattice; use super::words::W;"
        ),
        [""; 0]
    );
}

//! The habits of the code that no compiler checks: sizes, module docs, no traces of anybody's machine, tested errors.

use std::collections::BTreeSet;

use lpu_tests::{is_test, sources, split_tests, texts};

/// Most lines in a file.
const FILE_LINES: usize = 600;
/// Most lines in a function.
const FUNCTION_LINES: usize = 80;

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut wrong = Vec::new();
    for file in sources() {
        let lines = file.text.lines().count();
        if lines > FILE_LINES {
            wrong.push(format!("{}: {lines} lines, at most {FILE_LINES}", file.path));
        }
        if !file.text.starts_with("//! ") {
            wrong.push(format!("{}: does not open with a module doc", file.path));
        }
        // A test may be a long table.
        if !is_test(&file.path) {
            wrong.extend(long_functions(&file.path, split_tests(&file.text).0));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Functions that are too long. Formatted code closes a function at the indentation at which it opened it.
fn long_functions(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (start, line) in lines.iter().enumerate() {
        let body = line.trim_start();
        let indent = line.len() - body.len();
        let head = body
            .trim_start_matches("pub ")
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ");
        if !head.trim_start_matches("const ").starts_with("fn ") || body.ends_with(';') || body.ends_with('}')
        {
            continue;
        }
        let close = " ".repeat(indent) + "}";
        let length = lines[start..].iter().position(|line| *line == close).map_or(0, |at| at + 1);
        if length > FUNCTION_LINES {
            wrong.push(format!(
                "{path}:{}: a function of {length} lines, at most {FUNCTION_LINES}",
                start + 1
            ));
        }
    }
    wrong
}

#[test]
fn no_file_knows_a_machine() {
    // In pieces, so that this file does not name them.
    let traces = [["/ro", "ot/"], ["/ho", "me/"], ["/wo", "rk/"], ["/tmp", "/wt"], ["/tmp", "/c "]]
        .map(|pieces| pieces.concat());
    let endings = [".rs", ".md", ".toml", ".py", ".lalrpop", ".snap", ".lpuasm", ".txt", ".graph"];
    let mut wrong = Vec::new();
    for file in ["compiler", "simulator", "models", "tests", "examples", "docs"]
        .iter()
        .flat_map(|folder| texts(folder, &endings))
    {
        for trace in traces.iter().filter(|trace| file.text.contains(*trace)) {
            wrong.push(format!("{}: contains {trace}", file.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The codes that `text` gives to diagnostics: the literal after `Kind::X,`. Bugs of ours are left out: no test can meet them.
fn codes(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let heads = ["(Kind::Check,", "(Kind::Input,", "(Kind::Unsupported,"];
    let one_line: String = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("( Kind", "(Kind");
    for (at, head) in heads.iter().flat_map(|head| one_line.match_indices(head)) {
        let rest = &one_line[at + head.len()..];
        let Some(literal) = rest.trim_start().strip_prefix('"') else { continue };
        found.extend(literal.split('"').next().map(str::to_owned));
    }
    found
}

#[test]
fn every_diagnostic_code_is_met_by_a_test() {
    let mut given = BTreeSet::new();
    let mut tested = String::new();
    for file in sources() {
        let (own, tests) = split_tests(&file.text);
        if is_test(&file.path) {
            tested.push_str(&file.text);
        } else {
            given.extend(codes(own));
            tested.push_str(tests);
        }
    }
    for folder in ["tests", "compiler", "simulator"] {
        tested.extend(texts(folder, &[".snap"]).into_iter().map(|file| file.text));
    }
    let missing: Vec<&String> = given.iter().filter(|code| !tested.contains(*code)).collect();
    assert!(missing.is_empty(), "no test names these diagnostic codes: {missing:?}");
}

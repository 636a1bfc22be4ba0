//! The book names everything that there is, and its commands are commands.

use std::process::Command;

use lpu_tests::{Ran, lpuc, lpuc_well, root, sources, texts};

fn chapter(name: &str) -> String {
    let path = root().join("docs/src").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of the variants of an enum, or of the fields of a struct, in a source file of the project.
fn members(path: &str, head: &str) -> Vec<String> {
    let sources = sources();
    let file = sources.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("no {path}"));
    let start = file.text.find(head).unwrap_or_else(|| panic!("{path} has no `{head}`"));
    let body = &file.text[start..];
    let body = &body[..body.find("\n}").expect("the item closes")];
    let name = |line: &str| {
        let indented =
            line.strip_prefix("    ").filter(|rest| !rest.starts_with([' ', '/', '#', '}', ')']))?;
        let word: String = indented
            .trim_start_matches("pub ")
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        (!word.is_empty()).then_some(word)
    };
    body.lines().skip(1).filter_map(name).collect()
}

fn assert_named(chapter_name: &str, names: &[String], shape: impl Fn(&str) -> String) {
    let text = chapter(chapter_name);
    assert!(names.len() > 2, "found too little to look for in {chapter_name}: {names:?}");
    let missing: Vec<&String> = names.iter().filter(|name| !text.contains(&shape(name))).collect();
    assert!(missing.is_empty(), "{chapter_name} does not name {missing:?}");
}

#[test]
fn the_isa_chapter_names_every_instruction_and_latency() {
    let file = "simulator/isa/src/instruction.rs";
    let capitals = |name: &str| {
        if ["Lw", "Iw", "Abc", "Acc"].contains(&name) { name.to_uppercase() } else { name.to_owned() }
    };
    for head in [
        "pub enum Mem {",
        "pub enum Mxm {",
        "pub enum Sxm {",
        "pub enum C2c {",
        "pub enum Icu {",
        "pub enum VxmOp {",
    ] {
        assert_named("isa.md", &members(file, head), |name| format!("`{}`", capitals(name)));
    }
    assert_named("isa.md", &members("simulator/isa/src/chip.rs", "pub struct Latency {"), |name| {
        format!("`{name}`")
    });
}

#[test]
fn the_graph_chapter_names_every_operator() {
    for head in ["pub enum Op {", "pub enum UnaryOp {", "pub enum BinaryOp {", "pub enum ReduceOp {"] {
        assert_named("ir.md", &members("compiler/src/graph/op.rs", head), |name| format!("`{name}`"));
    }
}

#[test]
fn the_architecture_chapter_names_every_test_and_module() {
    let text = chapter("architecture.md");
    for module in ["floors", "tidy", "docs", "determinism", "corrupt", "end_to_end"] {
        assert!(
            text.contains(&format!("`tests/{module}.rs`")),
            "architecture.md does not name tests/{module}.rs"
        );
    }
    for module in members_of_pipeline() {
        assert!(
            text.contains(&format!("compiler::{module}")),
            "architecture.md does not name compiler::{module}"
        );
    }
}

fn members_of_pipeline() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("compiler/src/lib.rs")).expect("readable");
    text.lines()
        .filter_map(|line| Some(line.strip_prefix("pub mod ")?.trim_end_matches(';').to_owned()))
        .collect()
}

/// Words that begin with `--` in a text.
fn options(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'));
    let mut found: Vec<String> = words
        .filter(|word| word.len() > 2 && word.starts_with("--") && !word.starts_with("---"))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn the_command_line_chapter_and_the_help_name_the_same_options() {
    let mut help = lpuc_well(&["--help"]);
    for part in ["asm", "dis", "sim", "ablate", "chips", "models"] {
        help += &lpuc_well(&[part, "--help"]);
    }
    let mut help = options(&help);
    help.retain(|option| option != "--help" && option != "--version");
    let mut documented = options(&chapter("command-line.md"));
    documented.retain(|option| option != "--release");
    assert_eq!(documented, help);
}

/// The commands in the ```sh blocks of the README and the book.
fn commands() -> Vec<(String, String)> {
    let mut pages = texts("docs/src", &[".md"]);
    let readme = std::fs::read_to_string(root().join("README.md")).expect("readable");
    pages.push(lpu_tests::Text { path: "README.md".to_owned(), text: readme });
    let mut found = Vec::new();
    for page in pages {
        for block in page.text.split("```sh\n").skip(1) {
            let block = block.split("```").next().unwrap_or("");
            found.extend(block.lines().map(|line| (page.path.clone(), line.to_owned())));
        }
    }
    found
}

/// The words of a command, quotes taken off.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().expect("never empty").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn commands_in_the_docs_are_understood() {
    let commands = commands();
    assert!(commands.len() > 8, "{commands:?}");
    for (page, command) in commands {
        let all = words(&command);
        let Some(ours) = command.starts_with("cargo run --release -- ").then(|| &all[4..]) else {
            assert!(command.starts_with("cargo test"), "{page}: what is `{command}`?");
            continue;
        };
        // A chip that does not exist stops the run after its usage was understood.
        let mut args: Vec<&str> = ours.iter().map(String::as_str).collect();
        if !["asm", "dis", "sim", "chips", "models"].contains(&args[0]) {
            args.retain(|word| *word != "--chip" && *word != "mine.toml");
            args.extend(["--chip", "no-such-chip"]);
            let model = root().join(args[usize::from(["ablate", "check"].contains(&args[0]))]);
            assert!(model.exists(), "{page}: {} is not there", model.display());
        }
        if args[0] == "sim" {
            args[1] = "no-such-file";
        }
        let Ran { code, err, .. } = lpuc(&args);
        let understood =
            code == 0 || err.contains("error[unknown-chip]") || err.contains("error[unreadable]");
        assert!(understood, "{page}: `{command}` gives exit {code}:\n{err}");
    }
}

#[test]
fn readme_has_exactly_two_commands_at_its_top() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("readable");
    let top = readme.split("```").nth(1).expect("a block of commands");
    let lines: Vec<&str> = top.trim_start_matches("sh\n").lines().collect();
    assert_eq!(lines.len(), 2, "{top}");
    let script = std::fs::read_to_string(root().join(".ci/run")).expect("readable");
    assert!(script.contains(lines[1]), ".ci/run does not run `{}`", lines[1]);
}

#[test]
fn the_book_lists_its_chapters() {
    let summary = chapter("SUMMARY.md");
    for page in texts("docs/src", &[".md"]).iter().filter(|page| !page.path.ends_with("SUMMARY.md")) {
        let name = page.path.rsplit('/').next().unwrap_or("");
        assert!(summary.contains(&format!("({name})")), "SUMMARY.md does not list {name}");
    }
    // Where mdbook is installed, the book must build with it.
    if Command::new("mdbook").arg("--version").output().is_ok() {
        let target = tempfile::tempdir().expect("a folder");
        let built = Command::new("mdbook")
            .arg("build")
            .arg(root().join("docs"))
            .arg("-d")
            .arg(target.path())
            .output();
        assert!(built.is_ok_and(|output| output.status.success()), "mdbook build failed");
    }
}

/// `LPUC_DOCS=update` writes the table anew.
#[test]
fn the_table_of_operators_is_that_of_the_code() {
    let (text, table) = (chapter("operators.md"), lpuc_well(&["ops"]));
    let start = text.rfind("```text\n").expect("a table") + "```text\n".len();
    let new = format!("{}{table}```\n", &text[..start]);
    if std::env::var_os("LPUC_DOCS").is_some_and(|what| what == "update") {
        std::fs::write(root().join("docs/src/operators.md"), new).expect("written");
        return;
    }
    assert!(
        new == text,
        "`lpuc ops` prints another table; LPUC_DOCS=update cargo test --test docs writes it"
    );
}

//! A folder of inputs, a snapshot beside each: what `lpuc` says about files with mistakes. A new case is a new file.

use lpu_tests::lpuc;

/// Runs the command that reads a file of this kind.
fn say(path: &std::path::Path) -> String {
    let outputs = tempfile::tempdir().expect("a folder");
    let out = outputs.path().join("out").to_string_lossy().into_owned();
    let file = path.to_string_lossy().into_owned();
    let ran = match path.extension().and_then(|ending| ending.to_str()) {
        Some("toml") => lpuc(&["chips", &file]),
        _ => lpuc(&["asm", &file, "-o", &out]),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = format!("exit {}\n{}{}", ran.code, ran.out, ran.err).replace(&file, &name);
    assert!(
        ran.code == 0 || std::fs::read_dir(outputs.path()).expect("readable").count() == 0,
        "a file was written"
    );
    // Lines that only end in spaces would not survive editors.
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[test]
fn errors() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("filetests/errors");
    settings.bind(|| {
        insta::glob!("filetests/errors/*.toml", |path| insta::assert_snapshot!(say(path)));
        insta::glob!("filetests/errors/*.lpuasm", |path| insta::assert_snapshot!(say(path)));
    });
}

//! Parts of published models without their weights (`models/blocks.py`), on the chips that cycles of others are known of.

use lpu_tests::{lpuc_well, root};

fn cycles(block: &str, chip: &str, precision: &str) -> f64 {
    let model = root().join(format!("tests/blocks/{block}.onnx")).to_string_lossy().into_owned();
    let report = lpuc_well(&[&model, "--chip", chip, "--precision", precision, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).expect("one JSON object");
    assert_eq!(report["predicted_cycles"], report["simulated_cycles"], "{block} at {precision}");
    report["simulated_cycles"].as_f64().expect("a number")
}

/// The book's number must be about right. Whoever makes a block faster says so there.
fn assert_said(block: &str, precision: &str, said: &str, cycles: f64) {
    let number: f64 = said.replace(',', "").trim().parse().unwrap_or_else(|_| panic!("{block}: {said}"));
    let change = cycles / number - 1.0;
    assert!(
        change.abs() < 0.05,
        "{block} at {precision} takes {cycles} cycles, docs/src/chips.md says {said}"
    );
}

#[test]
fn the_book_has_the_cycles_of_blocks() {
    let book = std::fs::read_to_string(root().join("docs/src/chips.md")).expect("readable");
    let (_, table) = book.split_once("| block, rows |").expect("the table of blocks");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), 6);
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let block = cells[1].trim_matches('`');
        for (precision, said) in [("fp16", cells[3]), ("int8", cells[4])] {
            assert_said(block, precision, said, cycles(block, "ftlpu", precision));
        }
    }
    let (_, lstm) = book.split_once("on `tsp-v1` takes ").expect("the LSTM");
    let said = lstm.split_whitespace().next().expect("a number");
    assert_said("lstm-512", "fp16", said, cycles("lstm-512", "tsp-v1", "fp16"));
}

//! The command `lpuc models`, and layers of models that are described by a published file.

use lpu_tests::{lpuc, lpuc_well, root};
use serde_json::Value;

fn fixture(name: &str) -> String {
    root().join(format!("models/tests/configs/{name}.json")).to_string_lossy().into_owned()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&lpuc_well(args)).expect("one JSON object")
}

/// Least chips of all presets, at 8 and at 4 bits.
fn chips(chip: &str) -> Vec<(String, u64, u64)> {
    let report = json(&["models", "--chip", chip, "--json"]);
    assert_eq!(report["chip"], chip);
    let models = report["models"].as_array().expect("a list");
    let number = |model: &Value, bits: &str| model["chips"][bits].as_u64().expect("a number");
    let name = |model: &Value| model["name"].as_str().expect("a name").to_owned();
    models.iter().map(|model| (name(model), number(model, "at_8_bits"), number(model, "at_4_bits"))).collect()
}

#[test]
fn least_chips_for_the_weights_alone() {
    let lp30 = chips("lp30");
    let tsp = chips("tsp-v1");
    assert_eq!((lp30.len(), tsp.len()), (16, 16));
    for (name, at_8, at_4, old_at_8) in [
        ("llama-3-8b", 17, 9, 35),
        ("llama-3-70b", 142, 71, 306),
        ("gpt-oss-120b", 234, 117, 507),
        ("deepseek-v3", 1343, 672, 2909),
        ("kimi-k2", 2054, 1027, 4450),
        ("kimi-k2.5", 2054, 1027, 4450),
    ] {
        assert!(lp30.contains(&(name.to_owned(), at_8, at_4)), "{name}: {lp30:?}");
        let old = tsp.iter().find(|(other, ..)| other == name).map(|(_, at_8, _)| *at_8);
        assert_eq!(old, Some(old_at_8), "{name}");
    }
}

/// Cells of the table that `lpuc models` prints, by rows; two spaces or more are between them.
fn cells(chip: &str) -> Vec<Vec<String>> {
    let table = lpuc_well(&["models", "--chip", chip]);
    let row = |line: &str| -> Vec<String> {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        cells.map(str::to_owned).collect()
    };
    table.lines().skip(1).take(16).map(row).collect()
}

#[test]
fn the_book_has_the_table_that_is_printed() {
    let path = root().join("docs/src/models.md");
    let book = std::fs::read_to_string(path).expect("the chapter");
    for (new, old) in cells("lp30").iter().zip(cells("tsp-v1")) {
        let [name, layers, _, _, _, all, read, cache, built, at_8, at_4] = &new[..] else {
            panic!("{new:?}")
        };
        let old = &old[9];
        let row =
            format!("| `{name}` | {layers} | {all} | {read} | {cache} | {at_8} / {at_4} | {old} | {built} |");
        assert!(book.contains(&row), "the chapter on models lacks the row\n{row}");
    }
}

#[test]
fn a_published_file_tells_the_same_as_the_preset() {
    let preset = lpuc_well(&["models", "qwen3-235b-a22b", "--chip", "lp30"]);
    let (same, source) = preset.split_once("source: ").expect("a source");
    assert_eq!(source, "config.json of Qwen/Qwen3-235B-A22B\n");
    let file = lpuc_well(&["models", &fixture("qwen3-235b-a22b"), "--chip", "lp30"]);
    assert_eq!(file, preset, "the file says the same, and so it has the same source");
    assert!(same.contains("235,093,634,560"), "{same}");
    let report = json(&["models", "gemma-4-31b", "--json"]);
    let model = &report["models"][0];
    assert_eq!(report["chip"], Value::Null);
    assert_eq!(model["chips"], Value::Null);
    assert_eq!(model["kv_elements_per_token"]["windowed"], 409_600);
    let parts = model["parts"].as_array().expect("a list");
    let sum = |what: &str| parts.iter().filter_map(|part| part[what].as_u64()).sum::<u64>();
    assert_eq!(model["parameters"], sum("matrices") + sum("vectors"));
    assert_eq!(
        (&model["matrices"], &model["read_per_token"]),
        (&sum("matrices").into(), &sum("read_per_token").into())
    );
}

#[test]
fn a_layer_of_a_published_file_is_that_of_the_preset() {
    let options = ["--precision", "int8", "--context", "64", "--json"];
    let hash = |model: &str| json(&[&[model], &options[..]].concat())["schedule_hash"].clone();
    let file = format!("{}/layer", fixture("smollm2-135m"));
    assert_eq!(hash(&file), hash("smollm2-135m/layer"));
}

#[test]
fn what_cannot_be_done_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = folder.path().join("config.json").to_string_lossy().into_owned();
    std::fs::write(&broken, r#"{"model_type": "llama", "hidden_act": "relu"}"#).expect("written");
    let broken_layer = format!("{broken}/layer");
    let cases: [(&[&str], u8, &[&str]); 4] = [
        (&[&broken_layer], 2, &["error[config]", "`hidden_size` is missing", "`hidden_act` is \"relu\""]),
        (&["models", &broken], 2, &["error[config]", "`vocab_size` is missing"]),
        (&["models", "gpt-5"], 2, &["error[unknown-model]", "`gpt-5`"]),
        (&["models", "--chip", "none"], 2, &["error[unknown-chip]"]),
    ];
    for (args, code, told) in cases {
        let ran = lpuc(args);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{args:?}: {}", ran.err);
        for words in told {
            assert!(ran.err.contains(words), "{args:?}: {}", ran.err);
        }
    }
}

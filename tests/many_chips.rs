//! Published models over many chips, by the command.

use lpu_tests::{lpuc, lpuc_well};
use serde_json::Value;

fn report(args: &[&str]) -> Value {
    let args = [args, &["--precision", "int8", "--json"]].concat();
    serde_json::from_str(&lpuc_well(&args)).expect("one JSON object")
}

fn number(report: &Value, path: &str) -> f64 {
    report.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} in {report:#}"))
}

#[test]
fn a_model_of_eight_billion_parameters() {
    let report = report(&["llama-3-8b", "--context", "2048", "--tensor-parallel", "8"]);
    assert_eq!(report["predicted_cycles"], report["simulated_cycles"]);
    assert_eq!((report["chips"].as_u64(), report["system"].as_str()), (Some(24), Some("lp30-rack")));
    // Said in the book; it may not become worse unseen.
    assert!(number(&report, "/decode/tokens_per_second_per_user") > 4_340.0);
    // Weights of eight bits, an embedding of sixteen: no chip may be said to hold less.
    assert!(number(&report, "/sram/weights_bytes_of_all_chips") > 8.5e9);
    let spent = report["spent_cycles"].as_object().expect("an object");
    let all: f64 = spent.values().filter_map(Value::as_f64).sum();
    assert!(all >= number(&report, "/decode/cycles"));
}

#[test]
fn twice_the_layers_take_no_more_programs() {
    let config = |layers: usize| {
        let text = std::fs::read_to_string(lpu_tests::root().join("models/tests/configs/llama-3-8b.json"));
        let text = text
            .expect("a file")
            .replace("\"num_hidden_layers\": 32", &format!("\"num_hidden_layers\": {layers}"));
        let folder = std::env::temp_dir().join(format!("lpuc-many-chips-{}-{layers}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("config.json");
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let of = |layers: usize| {
        report(&[&config(layers), "--context", "256", "--tensor-parallel", "4", "--system", "lp30-racks"])
    };
    let (once, twice) = (of(32), of(64));
    // Where stages end, between attention and feed-forward or between layers, may make one kind of stage more or less.
    let programs = |report: &Value| number(report, "/distinct_programs");
    assert!((programs(&once) - programs(&twice)).abs() <= 1.0);
    assert!(number(&twice, "/chips") > 1.5 * number(&once, "/chips"));
}

/// The published mapping: a stage for each of 94 layers and one for the head.
#[test]
fn the_embedding_may_stay_with_the_host() {
    let ring = ["--chip", "tsp-v1", "--system", "tsp-v1-ring:192", "--tensor-parallel", "16"];
    let args = [&["qwen3-235b-a22b", "--context", "1024", "--embedding", "host"], &ring[..]].concat();
    let report = report(&args);
    assert_eq!(report["predicted_cycles"], report["simulated_cycles"]);
    assert_eq!((number(&report, "/chips"), number(&report, "/tensor_parallel")), (16.0 * 95.0, 16.0));
}

#[test]
fn a_trillion_parameters_over_racks() {
    let report =
        report(&["kimi-k2", "--context", "4096", "--tensor-parallel", "64", "--system", "lp30-racks"]);
    assert_eq!(report["predicted_cycles"], report["simulated_cycles"]);
    assert_eq!(report["distinct_programs"], 3);
    assert!(number(&report, "/sram/weights_bytes_of_all_chips") > 1.0e12);
}

/// The mapping that looks best needs more chips than it seems to, and in the end more than there are: the next best is taken.
#[test]
fn a_mapping_that_turns_out_too_large_gives_way() {
    let report = report(&["mixtral-8x7b", "--context", "4096"]);
    assert!(number(&report, "/chips") <= 192.0, "{report:#}");
}

/// A node's even chips reach the next node's odd ones; 16 chips a group are two nodes.
#[test]
fn the_first_generation_in_a_ring_of_nodes() {
    let ring = ["--chip", "tsp-v1", "--system", "tsp-v1-ring", "--tensor-parallel", "16"];
    let report = report(&[&["llama-2-70b", "--context", "1024"], &ring[..]].concat());
    assert_eq!(report["predicted_cycles"], report["simulated_cycles"]);
    // Said in the book.
    assert!(number(&report, "/chips") <= 576.0);
    assert!(number(&report, "/decode/tokens_per_second_per_user") > 530.0);
}

#[test]
fn what_does_not_fit_says_what_each_size_of_group_lacks() {
    let ran = lpuc(&["llama-3-70b", "--precision", "int8", "--system", "lp30-node"]);
    assert_eq!(ran.code, 3);
    for part in ["error[does-not-fit]", "groups of 1:", "groups of 16:", "chips are needed", "--system"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
}

#[test]
fn what_cannot_be_asked_for() {
    let check = |args: &[&str], code: u8, error: &str| {
        let ran = lpuc(args);
        assert!(ran.code == code && ran.err.contains(error), "{args:?}: {} {}", ran.code, ran.err);
    };
    check(&["llama-3-8b", "--system", "lp31-rack"], 2, "error[unknown-system]");
    check(&["llama-3-8b", "--chips", "some"], 2, "error[usage]");
    check(&["llama-3-8b", "--outputs", "x.npz"], 3, "error[unsupported-option]");
    check(&["llama-3-8b/layer", "--tensor-parallel", "2"], 3, "error[unsupported-option]");
    check(
        &["llama-3-8b", "--tensor-parallel", "3", "--precision", "int8"],
        3,
        "groups of 3 chips do not go with nodes",
    );
}

#[test]
fn more_users_get_less_each_and_more_together() {
    let args = ["curve", "llama-3-8b", "--precision", "int8", "--context", "512", "--tensor-parallel", "8"];
    let text = lpuc_well(&[&args[..], &["--batches", "1,4", "--csv"]].concat());
    let rows: Vec<Vec<f64>> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').filter_map(|cell| cell.parse().ok()).collect())
        .collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<f64>>(), [1.0, 4.0]);
    let (one, four) = (&rows[0], &rows[1]);
    assert!(four[3] < one[3] && four[5] > one[5], "{text}");
    let table = lpuc_well(&[&args[..], &["--batches", "1"]].concat());
    assert!(table.starts_with("  batch   chips"), "{table}");
}

/// The published system of 72 nodes for a model of 120 billion parameters, a stage for each layer, if the chip loads blocks of four bits.
#[test]
fn blocks_of_four_bits_on_chips_of_the_first_generation() {
    let chip = lpu_tests::root().join("examples/tsp-v1-blocks.toml");
    let chip = chip.to_str().expect("a path");
    let ring = ["--chip", chip, "--system", "tsp-v1-ring", "--tensor-parallel", "16", "--embedding", "host"];
    let report = report(&[&["gpt-oss-120b", "--context", "4096"], &ring[..]].concat());
    assert_eq!(report["predicted_cycles"], report["simulated_cycles"]);
    assert_eq!(number(&report, "/chips"), 576.0);
    // Said in the book; it may not become worse unseen.
    assert!(number(&report, "/decode/tokens_per_second_per_user") > 1_000.0);
}

/// Of 384 experts eight are gathered, which takes as many chips as all of them at work, and fewer cycles.
#[test]
fn experts_are_gathered_where_that_is_better() {
    let mapping = ["--system", "lp30-racks", "--tensor-parallel", "64", "--context", "4096"];
    let report = report(&[&["kimi-k2"], &mapping[..]].concat());
    assert_eq!(report["predicted_cycles"], report["simulated_cycles"]);
    assert_eq!((number(&report, "/chips"), report["experts"].as_str()), (3_904.0, Some("gather")));
    assert!(number(&report, "/decode/tokens_per_second_per_user") > 1_050.0);
}

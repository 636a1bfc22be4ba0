//! All-reduce over groups of chips: the right sums in the right chips, full simulation beside composition, and what it takes beside what is published.

use compiler::links::Links;
use compiler::rewrite::RewriteOptions;
use compiler::system::all_reduce;
use compiler::{Options, Precision};
use isa::{Chip, System};
use lpu_tests::lpuc_well;
use simulator::{Array, SystemMachine, compose};

/// Nodes of eight in a ring of so many.
fn ring(nodes: u32) -> (System, Chip) {
    let system = System::preset("tsp-v1-ring").expect("a preset").with_count(nodes).expect("so many nodes");
    (system, Chip::preset("tsp-v1").expect("a preset"))
}

/// What a rank has in its part of the share of another.
fn part(rank: usize, of: usize, element: usize) -> f32 {
    (1000 * rank + 10 * of + element % 7) as f32
}

/// Adds up arrays with shares of so many elements, over so many nodes, on every chip of the system.
fn check(nodes: usize, share: usize) {
    let (chips, (system, chip)) = (8 * nodes, ring(nodes as u32));
    let options = Options {
        precision: Precision::Fp16,
        rewrite: Some(RewriteOptions::default()),
        links: Links::default(),
        caches: compiler::Caches::Fp16,
        dense: false,
    };
    let made = all_reduce(share * chips, chips, (&system, &chip), &options, &mut |_, _| {})
        .unwrap_or_else(|problem| panic!("{nodes} nodes: {problem}"));
    let composed = compose(&system, &chip, &made.program).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(composed.cycles, made.predicted_cycles);
    let mut machine = SystemMachine::load(&system, &chip, &made.program).expect("loads");
    let moved = |rank: usize, (d0, d1): (usize, usize)| (rank + d0) % 8 + (rank / 8 + d1) % nodes * 8;
    let steps = || (0..8).flat_map(|d0| (0..nodes).map(move |d1| (d0, d1)));
    for (rank, &chip) in made.chips[0].iter().enumerate() {
        let of = |step: (usize, usize)| (0..share).map(move |at| part(rank, moved(rank, step), at));
        machine.write(chip, "x", &Array::F32(steps().flat_map(of).collect())).expect("a port");
    }
    let report = machine.run().unwrap_or_else(|fault| panic!("{nodes} nodes: {fault}"));
    assert_eq!(report, composed);
    for (rank, &chip) in made.chips[0].iter().enumerate() {
        let Ok(Array::F32(got)) = machine.read(chip, "sum") else { panic!("no sum") };
        let behind = |(d0, d1): (usize, usize)| moved(rank, ((8 - d0) % 8, (nodes - d1) % nodes));
        let sum = |of: usize, at: usize| (0..chips).map(|rank| part(rank, of, at)).sum::<f32>();
        let want: Vec<f32> =
            steps().map(behind).flat_map(|of| (0..share).map(move |at| sum(of, at))).collect();
        assert!(got == want, "{nodes} nodes, rank {rank}");
    }
}

#[test]
fn a_node_adds_up() {
    check(1, 640);
    check(1, 24);
}

#[test]
fn two_nodes_add_up_through_the_chips_that_have_links() {
    check(2, 320);
}

#[test]
fn eight_nodes_add_up_along_all_their_links() {
    check(8, 16);
}

#[test]
fn the_command_says_from_which_size_on_links_are_busy() {
    let out = lpuc_well(&["all-reduce", "--bytes", "10240,40960,1310720"]);
    assert!(out.contains("all-reduce over 8 tsp-v1 of tsp-v1-node"), "{out}");
    // Published: half of the peak at 32 KiB.
    assert!(out.contains("half of the best from 40,960 bytes on"), "{out}");
    let values = lpuc_well(&["all-reduce", "--system", "tsp-v1-ring:8", "--bytes", "81920", "--csv"]);
    let row: Vec<&str> = values.lines().nth(1).expect("a row").split(',').collect();
    assert_eq!(row[0], "81920");
    assert!(row[1].parse::<u64>().expect("cycles") > 5 * 270, "five hops at least: {values}");
}

#[test]
fn what_cannot_be_added_up() {
    let refused = |args: &[&str], error: &str| {
        let ran = lpu_tests::lpuc(args);
        assert!(ran.code != 0 && ran.err.contains(error), "{args:?}: {}", ran.err);
    };
    refused(&["all-reduce", "--bytes", "12344"], "error[bad-length]");
    refused(&["all-reduce", "--system", "tsp-v1-ring:1000000"], "error[bad-system]");
    refused(
        &["all-reduce", "--system", "tsp-v1-ring", "--chips", "64", "--bytes", "81920"],
        "error[unlinked]",
    );
}

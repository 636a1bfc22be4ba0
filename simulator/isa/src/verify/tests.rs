//! Each rule is broken once, in a program that is otherwise well formed.

use super::*;
use crate::{Format, asm};

/// What is said of a chip with these lines in it; the places are cut off.
fn problems(body: &str) -> Vec<String> {
    let map = "map m0 { 0..320 } map m1 { 5 x320 } map m2 { 0..16 zero x304 }";
    let text = format!("program \"tsp-v1\" nodes {{ n0 \"\" }} chip 0 {{ {map} {body} }}");
    let program = asm::parse(&text).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"));
    match verify(&program, &Chip::preset("tsp-v1").unwrap()) {
        Ok(()) => Vec::new(),
        Err(problems) => problems,
    }
}

/// Problems of runs in one queue, without their places.
fn in_queue(queue: &str, runs: &str) -> Vec<String> {
    let cut = |problem: String| problem.rsplit("): ").next().unwrap_or_default().to_string();
    problems(&format!("queue {queue} {{ {runs} }}")).into_iter().map(cut).collect()
}

#[test]
fn well_formed_runs_pass() {
    for (queue, runs) in [
        (
            "east.mem43.read",
            "@0 x4 every 40 step 12, x12 every 1 step -1: Read 11 -> s31w @200: Read 8191 -> s0e",
        ),
        ("east.mem0.read", "@0: Gather first -5 count 64 base 0 stride 130 index s28e -> s0e"),
        ("west.mem0.write", "@0: Write s3e -> 0 @1: Sync @2: Config 20"),
        (
            "vxm.alu15",
            "@0 x9 every 1: Add f32 s28w, alu0[4] -> f16 s30e @9: Relu alu15[64] @10: Max 0x0, i8 s5e",
        ),
        (
            "east.mxm0.load",
            "@0 x10 every 1 step 32: LW f16 s0e x16 -> row 0 by 1 @20: LW i8 s1e x16 -> row 319 by 0",
        ),
        ("west.mxm1.accumulate", "@0 x320 every 1 step 1: ACC start 0 -> s28e"),
        ("east.sxm3", "@0 x3 every 5 step 1: Select m0, s0e, s1e x4 -> s4e @20: Permute m2, s0e -> s4e"),
        ("east.sxm3", "@0: Distribute m1, s0e -> s1e @1: Rotate 4, s0e -> s16e @2: Transpose s0e -> s16w"),
        ("west.c2c7", "@0: Deskew @1: Send s0e @2: Receive s31e"),
    ] {
        assert_eq!(in_queue(queue, runs), Vec::<String>::new(), "{runs}");
    }
}

#[test]
fn pages_of_text_match_the_queues() {
    let immediates =
        |count: u32| (0..count).map(|i| format!("@{}: Pass {i} -> i8 s0w ", 2 * i)).collect::<String>();
    let with = |text: &str, runs: &str| problems(&format!("{text} queue vxm.alu0 {{ {runs} }}"));
    assert_eq!(with("", &immediates(200)), Vec::<String>::new());
    let fetched = format!("@0: Ifetch s0e {}", immediates(260).replace("@0: Pass 0 -> i8 s0w ", ""));
    assert_eq!(with("text vxm.alu0 { east.mem3 @8 }", &fetched), Vec::<String>::new());
    let check = |text: &str, runs: &str, expected: &str| {
        let found = with(text, runs);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    };
    check("", &fetched, "make 1 pages; there are 0 pages and 1 Ifetches");
    check("text vxm.alu0 { east.mem3 @8 }", &immediates(260), "there are 1 pages and 0 Ifetches");
    check("text vxm.alu0 { east.mem44 @8 }", &fetched, "a page at word 8 of east.mem44");
    check("text vxm.alu0 { east.mem3 @8191 }", &fetched, "a page at word 8191 of east.mem3");
    check("text vxm.alu1 { east.mem3 @8 }", "@0: Pass 0 -> i8 s0w", "vxm.alu1 has pages of text and no runs");
    check(
        "memory { east.mem3 @9 words 1 fill 0 } text vxm.alu0 { east.mem3 @8 }",
        &fetched,
        "word 9 of east.mem3 holds text, and something else",
    );
    let repeated = fetched.replace("@0: Ifetch", "@0 x1 every 1: Ifetch");
    check("text vxm.alu0 { east.mem3 @8 }", &repeated, "an Ifetch does not repeat");
}

#[test]
fn each_rule_of_runs_is_enforced() {
    let check =
        |queue: &str, runs: &str, expected: &str| assert_eq!(in_queue(queue, runs), [expected], "{runs}");
    let read = |runs: &str, expected: &str| check("east.mem0.read", runs, expected);
    read("@0: Write s0e -> 0", "the instruction is not one of this queue");
    read("@0: Read 8192 -> s0e", "reaches word 8192, which must be at least 0 and less than 8192");
    read(
        "@0 x9 every 1 step -1: Read 7 -> s0e",
        "reaches word -1, which must be at least 0 and less than 8192",
    );
    read("@0: Read 0 -> s32e", "1 streams from s32e on go beyond the 32 of a direction");
    read("@0: Read 0 -> s0e n1", "node n1 does not exist: the program names 1");
    read("@5: Read 0 -> s0e @5: Read 0 -> s1e", "starts before cycle 6, when the queue is free again");
    read("@0 x0 every 1: Read 0 -> s0e", "repeat level 0 has count 0 and interval 1; both are at least 1");
    read(
        "@0 x2 every 12, x13 every 1: Read 0 -> s0e",
        "repeat level 0 comes every 12 cycles, but what it repeats spans 13",
    );
    let deep = "@0 x1 every 1, x1 every 1, x1 every 1, x1 every 1, x1 every 1: Read 0 -> s0e";
    read(deep, "5 levels of repeats, at most 4 are possible");
    read("@18446744073709551615: Read 0 -> s0e", "ends after cycle 2^63 − 1");
    read("@0 x2 every 1 window 1: Read 0 -> s0e", "the instruction has no window that a step could move");
    let gather = |window: &str| format!("@0: Gather {window} -> s0e");
    read(&gather("first 0 count 0 base 0 stride 1 index s0e"), "a window owns at least one index");
    read(
        &gather("first 0 count 64 base 0 stride 131 index s0e"),
        "reaches word 8253, which must be at least 0 and less than 8192",
    );
    read(
        &gather("first 2147483647 count 2 base 0 stride 1 index s0e"),
        "the window's indices leave the range of i32",
    );
    read(
        &gather("first 0 count 1 base 0 stride 1 index s2e"),
        "s2e is no start of a group of i32: a multiple of 4 is",
    );
    let alu = |runs: &str, expected: &str| check("vxm.alu0", runs, expected);
    alu("@0: Add 0x1", "Add has 2 operands, not 1");
    alu("@0: Relu 0x1, 0x2", "Relu has 1 operands, not 2");
    alu("@0: Relu alu16[4]", "alu16 is not one of the 16 ALUs");
    alu("@0: Relu alu1[3]", "alu1[3]: results can be taken 4 to 64 cycles after their dispatch");
    alu("@0: Relu 0x1 -> f16 s1e", "s1e is no start of a group of f16: a multiple of 2 is");
    alu("@0 x2 every 1 step 1: Relu 0x1", "the instruction has no operand that a step could change");
    alu("@0: Config 21", "leaves 21 superlanes on, the chip has 20");
    let load = |runs: &str, expected: &str| check("east.mxm1.load", runs, expected);
    load("@0: LW i8 s0e x17 -> row 0 by 1", "loads from 17 streams at once, 1 to 16 are possible");
    load("@0: LW i8 s0e x0 -> row 0 by 1", "loads from 0 streams at once, 1 to 16 are possible");
    load("@0: LW i8 s0e x16 -> row 305 by 1", "reaches row 320, which must be at least 0 and less than 320");
    load(
        "@0: LW f16 s0e -> row 0 by 1",
        "f16 works both planes as one: its instructions stand in plane 0's queues",
    );
    load("@0: LW i32 s0e -> row 0 by 1", "the planes of tsp-v1 multiply in i8, f16, not in i32");
    load("@0: LW f8 s0e -> row 0 by 1", "the planes of tsp-v1 multiply in i8, f16, not in f8");
    check("west.mxm0.stream", "@0: ABC f8 s0e", "the planes of tsp-v1 multiply in i8, f16, not in f8");
    check("east.mxm0.stream", "@0: IW", "the instruction is not one of this queue");
    let sum = "s28e leads out of the chip; sums leave the east planes inward";
    check("east.mxm0.accumulate", "@0: ACC add 0 -> s28e", sum);
    let accumulator = "reaches accumulator 320, which must be at least 0 and less than 320";
    check("east.mxm0.accumulate", "@0: ACC add 320", accumulator);
    let switch = |runs: &str, expected: &str| check("east.sxm0", runs, expected);
    switch("@0: Shift -321, s0e -> s0e", "shifts by -321 lanes, the chip has 320");
    switch("@0: Shift 1, s0e x5 -> s8e", "acts on 5 streams, 1 to 4 are possible");
    switch("@0: Permute m1, s0e -> s1e", "map m1 uses a lane twice or names one that does not exist");
    switch(
        "@0 x2 every 1 step 2: Distribute m0, s0e -> s1e @9: Permute m3, s0e -> s1e",
        "reaches map 3, which must be at least 0 and less than 3",
    );
    switch(
        "@0 x2 every 1 step 1: Permute m0, s0e -> s1e",
        "map m1 uses a lane twice or names one that does not exist",
    );
    switch("@0: Rotate 2, s0e -> s16e", "rotates 2 streams, 3 or 4 are possible");
    switch("@0: Transpose s17e -> s0e", "16 streams from s17e on go beyond the 32 of a direction");
    assert_eq!(problems("queue west.c2c8 { }"), ["chip 0, west.c2c8: the chip has no such queue"]);
}

#[test]
fn a_chip_that_has_f8_takes_it_and_others_name_the_instruction() {
    let text = "program \"lp30\" nodes { n0 \"\" } chip 0 {
        queue east.mxm1.load { @0: LW f8 s0e x32 -> row 0 by 1 }
        queue east.mxm1.stream { @9: ABC f8 s3e }
    }";
    let program = asm::parse(text).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(verify(&program, &Chip::preset("lp30").unwrap()), Ok(()));
    let mut chip = Chip::preset("lp30").unwrap();
    chip.mxm.formats = vec![Format::I8];
    let refused = |run: &str| format!("chip 0, {run}: the planes of lp30 multiply in i8, not in f8");
    let expected = [
        "east.mxm1.load, run 0 (@0: LW f8 s0e x32 -> row 0 by 1)",
        "east.mxm1.stream, run 0 (@9: ABC f8 s3e)",
    ];
    assert_eq!(verify(&program, &chip), Err(expected.map(refused).to_vec()));
}

#[test]
fn weights_of_four_bits_are_scales_and_pairs_of_rows_and_nothing_else() {
    let check = |chip: &str, body: &str, expected: &[&str]| {
        let program = asm::parse(&format!("program \"{chip}\" nodes {{ n0 \"\" }} chip 0 {{ {body} }}"))
            .unwrap_or_else(|errors| panic!("{errors:#?}"));
        assert_eq!(asm::parse(&asm::print(&program)).as_ref(), Ok(&program), "as text");
        let bytes = crate::encode::encode(&program);
        assert_eq!(crate::decode::decode(&bytes).as_ref(), Ok(&program), "in binary");
        let problems = verify(&program, &Chip::preset(chip).unwrap()).err().unwrap_or_default();
        assert_eq!(problems, expected, "{body}");
    };
    let sound = "queue east.mxm0.load { @0 x3 every 1 step 60: LW i4 s0e x60 -> row 0 by 1 @9: LW f4 s0e x2 -> row 29 by 150 }
        queue east.mxm0.stream { @40: ABC f16 s2e }";
    check("lp30", sound, &[]);
    check(
        "lp30",
        "queue east.mxm0.load { @0: LW f4 s0e x2 -> row 30 by 150 @9: LW i4 s0e x65 -> row 0 by 1 }
        queue east.mxm1.load { @0: LW f4 s0e -> row 0 by 1 }
        queue east.mxm0.stream { @40: ABC i4 s3e }
        queue vxm.alu0 { @0: Add f4 s0w, i8 s1w -> f32 s0e @9: Pass 1 -> i4 s0e }",
        &[
            "chip 0, vxm.alu0, run 0 (@0: Add f4 s0w, i8 s1w -> f32 s0e): f4 is a format of weights, which only LW takes",
            "chip 0, vxm.alu0, run 1 (@9: Pass 0x00000001 -> i4 s0e): i4 is a format of weights, which only LW takes",
            "chip 0, east.mxm0.load, run 0 (@0: LW f4 s0e x2 -> row 30 by 150): reaches row 180, which must be at least 0 and less than 180",
            "chip 0, east.mxm0.load, run 1 (@9: LW i4 s0e x65 -> row 0 by 1): 65 streams from s0e on go beyond the 64 of a direction",
            "chip 0, east.mxm0.load, run 1 (@9: LW i4 s0e x65 -> row 0 by 1): loads from 65 streams at once, 1 to 64 are possible",
            "chip 0, east.mxm0.stream, run 0 (@40: ABC i4 s3e): the planes of lp30 multiply in i8, f8, f16, not in i4",
            "chip 0, east.mxm1.load, run 0 (@0: LW f4 s0e -> row 0 by 1): f4 works both planes as one: its instructions stand in plane 0's queues",
        ],
    );
    for chip in ["tsp-v1", "ftlpu"] {
        check(
            chip,
            "queue east.mxm1.load { @0: LW i4 s0e -> row 0 by 1 }",
            &[&format!(
                "chip 0, east.mxm1.load, run 0 (@0: LW i4 s0e -> row 0 by 1): the planes of {chip} load weights in i8, f16, not in i4"
            )],
        );
    }
}

#[test]
fn memory_and_ports_are_placed_on_the_chip() {
    let check = |body: &str, expected: &[&str]| assert_eq!(problems(body), expected, "{body}");
    check("memory { east.mem0 @0 words 4096 absent east.mem0 @4096 words 4096 fill 0 }", &[]);
    check(
        "memory { east.mem0 @10 words 5 fill 0 east.mem0 @0 words 11 absent n3 east.mem44 @8000 words 193 hex \"00\" }",
        &[
            "chip 0, segment east.mem0 @0 words 11: node n3 does not exist",
            "chip 0, segment east.mem44 @8000 words 193: the chip has no such slice",
            "chip 0, segment east.mem44 @8000 words 193: ends at word 8193, the slice has 8192",
            "chip 0, segment east.mem44 @8000 words 193: holds 1 bytes, its words take 61760",
            "chip 0, east.mem0: two segments overlap at word 10",
        ],
    );
    let mask = "[east.mem0, east.mem1, east.mem2, east.mem3]";
    check(
        &format!(
            "port input \"x\" i32 [2, 700] {{ part batches 2 rows 1 columns 700 tile 1 stripe 1 @8186 {mask} }}"
        ),
        &[],
    );
    check(
        &format!(
            "port input \"x\" i32 [3] {{ part batches 2 rows 1 columns 700 tile 1 stripe 1 @8187 {mask} }}"
        ),
        &[
            "chip 0, port \"x\": its parts hold 1400 elements, its shape 3",
            "chip 0, port \"x\", part 0: ends at word 8193, a slice has 8192",
        ],
    );
    check(
        "port input \"x\" f16low [8, 1] { part batches 1 rows 8 columns 1 broadcast tile 8 stripe 4 @0 [east.mem0, east.mem0] }",
        &[
            "chip 0, port \"x\": holds the low parts of values whose high parts (f16) no port of this name holds",
            "chip 0, port \"x\", part 0: has 1 stripes, its rows need 2",
            "chip 0, port \"x\", part 0: stripe 0 puts two bytes in east.mem0",
        ],
    );
    check(
        "port output \"y\" f16 [2] { part batches 1 rows 1 columns 2 broadcast tile 0 stripe 1 @0 }",
        &["chip 0, port \"y\", part 0: a tile and a stripe have at least one row"],
    );
}

#[test]
fn the_list_of_problems_ends() {
    let runs = "@0: Read 0 -> s0e n7\n".repeat(500);
    assert_eq!(in_queue("east.mem0.read", &runs).len(), 100);
}

#[test]
fn damaged_programs_never_panic() {
    use proptest::prelude::*;
    let chip = Chip::preset("lp30").unwrap();
    proptest!(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() }, |(program in crate::testing::program())| {
        let _ = verify(&program, &chip);
    });
}

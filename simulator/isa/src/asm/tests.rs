//! Text to program and back; errors that point at their place; no panic on any text.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::testing;
use crate::{ChipProgram, Hemisphere, Segment, SegmentData};

const EXAMPLE: &str = include_str!("example.lpuasm");

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn print_then_parse_is_the_same_program(program in testing::program()) {
        let text = print(&program);
        let parsed = parse(&text).map_err(|errors| TestCaseError::fail(format!("{errors:?}\n{text}")))?;
        prop_assert_eq!(&parsed, &program);
        prop_assert_eq!(print(&parsed), text);
    }

    #[test]
    fn damaged_text_is_refused_or_read_but_never_panics(
        cut in 0..EXAMPLE.len(), taken in 0usize..40, junk in "[\\PC\n]{0,12}"
    ) {
        prop_assume!(EXAMPLE.is_char_boundary(cut));
        let end = (cut..=EXAMPLE.len().min(cut + taken)).rev().find(|&i| EXAMPLE.is_char_boundary(i)).unwrap_or(cut);
        let text = format!("{}{junk}{}", &EXAMPLE[..cut], &EXAMPLE[end..]);
        if let Err(errors) = parse(&text) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                prop_assert!(error.span.start <= error.span.end && error.span.end <= text.len(), "{:?}", error);
                prop_assert!(error.position(&text).0 >= 1);
            }
        }
    }

    #[test]
    fn any_text_at_all(text in "\\PC*") {
        prop_assert!(parse(&text).is_err());
    }
}

#[test]
fn example_prints_as_it_stands() {
    let program = parse(EXAMPLE).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(print(&program), EXAMPLE);
}

#[test]
fn more_can_be_said_about_nodes() {
    let program = parse(EXAMPLE).unwrap();
    let text =
        print_with(&program, &|name| if name.is_empty() { String::new() } else { " by a\nrule".to_string() });
    assert!(text.contains(" by a\\u{a}rule"), "{text}");
    assert_eq!(parse(&text).unwrap(), program);
}

#[test]
fn comments_layout_and_defaults_are_free() {
    let short = "program\"x\"nodes{n0\"\"}chip 0{queue vxm.alu0{@1:Pass i8 s0e;c\n}}";
    let long = "program \"x\" nodes { n0 \"\" } chip 0 { queue vxm.alu0 { @0x1 : Pass i8 s0e n0 } }";
    assert_eq!(parse(short).unwrap(), parse(long).unwrap());
}

#[test]
fn long_content_prints_as_its_hash() {
    let data = Bytes::from(vec![7u8; MOST_HEX_BYTES + 1]);
    let segment =
        |data| Segment { hemisphere: Hemisphere::West, slice: 3, address: 0, words: 3, data, node: 0 };
    let program = |data| Program {
        chip: "c".to_string(),
        nodes: vec![String::new()],
        chips: vec![ChipProgram { memory: vec![segment(data)], ..ChipProgram::default() }],
    };
    let hash = *blake3::hash(&data).as_bytes();
    let text = print(&program(SegmentData::Bytes(data)));
    assert_eq!(parse(&text), Ok(program(SegmentData::Digest(hash))));
    assert_eq!(print(&parse(&text).unwrap()), text);
}

#[test]
fn every_error_points_at_its_place() {
    let check = |body: &str, expected: &[&str]| {
        let text = format!("program \"c\" nodes {{ n0 \"\" }}\nchip 0 {{\n{body}\n}}\n");
        let errors = parse(&text).expect_err(body);
        let shown: Vec<String> = errors
            .iter()
            .map(|error| {
                let (line, column) = error.position(&text);
                format!("{line}:{column} `{}` {error}", &text[error.span.clone()])
            })
            .collect();
        assert_eq!(shown, expected, "{body}");
    };
    check(
        "queue east.mem0.read {\n@0: Read 4294967296 -> s0e\n@1: Read 1 -> s256e\n@2: Raed 1 -> s0e\n@3: Read 1 s0e\n@4: Read 1 -> s0e\n}",
        &[
            "4:10 `4294967296` `4294967296` is out of range: 0 to 4294967295 is possible here",
            "5:15 `s256e` `s256e` is not a stream (streams are s0e to s255e and s0w to s255w)",
            "6:5 `Raed` `Raed` cannot stand here (did you mean `Read`?)",
            "7:12 `s0e` `s0e` cannot stand here (expected `->`)",
        ],
    );
    check(
        "queue east.mem0 { }\nqueue vxm.alu1 { }\nqueue vxm.alu1 { }\nmap m1 { 0..4 }",
        &[
            "3:7 `east.mem0` `east.mem0` is not a queue (such as east.mem12.read, west.mem0.write, vxm.alu3, east.mxm0.load (install, stream, accumulate), east.sxm0, west.c2c5)",
            "5:1 `queue vxm.alu1` queue vxm.alu1 is there already (write all runs of a queue in one block, in order of their cycles)",
            "6:1 `map m1` map 1 stands in the place of map 0 (they are numbered from 0, in order)",
        ],
    );
    check(
        "map m0 { 0 x4000000000 65535 }\nmemory { east.mem0 @0 words 1 hex \"0\" east.mem1 @0 words 1 blake3 \"00\" }",
        &[
            "3:1 `map m0` the map has more than 4096 lanes",
            "3:24 `65535` no lane has this number (a lane of zeros is `zero`)",
            "4:35 `\"0\"` bytes are pairs of hexadecimal digits",
            "4:67 `\"00\"` a BLAKE3 hash has 64 hexadecimal digits",
        ],
    );
    check(
        "quue vxm.alu0 {\n@0: Relu 0x1\n}",
        &["3:1 `quue` `quue` cannot stand here (did you mean `queue`?)"],
    );
    check(
        "queue north.mem0.read {\n@0: Read 1 -> s0\n}",
        &["3:7 `north.mem0.read` `north.mem0.read` cannot stand here (expected a place such as east.mem12)"],
    );
    let text = "program \"c\" nodes { } chip 0 { queue vxm.alu0 {";
    let errors = parse(text).unwrap_err();
    assert_eq!(
        (errors[0].span.clone(), errors[0].message.as_str()),
        (text.len()..text.len(), "the text ends too early")
    );
    let errors = parse("program \"c\" nodes { } chip 0 = chip 0").unwrap_err();
    assert_eq!(errors[0].message, "there is no chip 0 before this one");
}

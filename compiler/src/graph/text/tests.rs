//! Texts read and print again; damaged ones are refused with their place.

use super::*;
use crate::graph::{Constant, ElementType, Encoding, Op, TensorType};
use proptest::prelude::*;

const EVERYTHING: &str = r#"graph "every \"thing\"" {
  n0 = input "x" : f32[2, 3] ; x
  n1 = input "past" : f32[4, 3]
  n2 = input "i" : i32[]
  n3 = constant f16 splat 0.5 : f32[3, 3] ; model.w
  n4 = constant i64 [1, -9000000000] : i32[2]
  n5 = constant bf16 absent : f32[3, 1]
  n6 = constant f32 [-0.0, inf, 1e-7] : f32[3]
  n7 = constant f32 hex "0100c07f" : f32[] ; " a NaN; \"quiet\"\n"
  n8 = constant bool splat 1 : bool[]
  n9 = constant u8 [] : i32[0]
  n10 = matmul n0, n3 : f32[2, 3] ; /q/MatMul
  n11 = matmul n0, n3, transpose_b : f32[2, 3]
  n12 = sub n10, n11 : f32[2, 3]
  n13 = rsqrt n12 : f32[2, 3]
  n14 = select n8, n13, n6 : f32[2, 3]
  n15 = reduce_sum n14, axis=1 : f32[2, 1]
  n16 = reshape n14 : f32[3, 2]
  n17 = transpose n14, permutation=[1, 0] : f32[3, 2]
  n18 = slice n14, axis=1, start=1, count=2 : f32[2, 2]
  n19 = slice n14, axis=1, start=0, count=2, step=2 : f32[2, 2]
  n20 = concat n18, n19, axis=0 : f32[4, 2]
  n21 = pad n20, axis=1, before=1, after=0, value=-inf : f32[4, 3]
  n22 = pad n4, axis=0, before=0, after=1, value=-7 : i32[3]
  n23 = pad n6, axis=0, before=0, after=1, value=0x7fc00001 : f32[4]
  n24 = expand n15 : f32[2, 5]
  n25 = gather n14, n22, axis=0 : f32[3, 3]
  n26 = softmax n25, axis=1 : f32[3, 3]
  n27 = cast n26 : i32[3, 3]
  n28 = append n1, n0, n2, axis=0 : f32[4, 3] ; /cache
  n29 = constant f8e4m3 [-0.0, 448.0, 0.001953125] : f32[3]
  n30 = constant i4 [-8, 7, -1] : i32[3]
  n31 = constant u4 splat 15 : i32[2, 3]
  n32 = constant u4 hex "3412ff" : i32[5]
  n33 = input "bytes" : i8[2, 3]
  n34 = cast n30 : i8[3]
  n35 = matmul n33, n33, transpose_b : i32[2, 2]
  n36 = cast n0 : f8[2, 3]
  n37 = pad n36, axis=0, before=0, after=1, value=0 : f8[3, 3]
  n38 = matmul n36, n37 : f32[2, 3]
  n39 = input "image" : f32[1, 2, 5, 5]
  n40 = constant f32 splat 0.5 : f32[4, 1, 3, 3]
  n41 = conv n39, n40, strides=[2, 1], padding=[1, 0, 1, 1], dilations=[1, 2], groups=2 : f32[1, 4, 2, 3]
  n42 = round n41 : f32[1, 4, 2, 3]
  n43 = all_gather n6, chips=4, stride=1, padded=8 : f32[32]
  n44 = all_to_all n0, stride=1 : f32[2, 3]
  inputs n2, n0, n33, n39
  output "y" = n27
  output "z" = n21
  state "past" -> "present" = n1 -> n28
}
"#;

#[test]
fn everything_reads_and_prints() {
    let graph = parse(EVERYTHING).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(graph.to_string(), EVERYTHING);
    assert_eq!(graph.nodes.get(crate::graph::NodeId::from_u32(7)).unwrap().origin, " a NaN; \"quiet\"\n");
}

/// Labels of any order, inferred types, comments, plain layout.
#[test]
fn what_people_write() {
    let source = "; stage: graph\ngraph \"t\" { n7 = input \"x\" : f32[2]\n\n  ; squares\n n3 = mul n7, n7 ; sq\noutput \"y\" = n3 }";
    let printed = "graph \"t\" {\n  n0 = input \"x\" : f32[2]\n  n1 = mul n0, n0 : f32[2] ; sq\n  output \"y\" = n1\n}\n";
    assert_eq!(parse(source).unwrap().to_string(), printed);
}

/// Large contents stand in the text as digests.
#[test]
fn digests() {
    let mut graph = Graph::default();
    let bytes = Bytes::from((0..100).collect::<Vec<u8>>());
    let constant = Constant { encoding: Encoding::U8, bytes: Some(bytes.clone()) };
    let id = graph.push_typed(Op::Constant(constant), &[], TensorType::new(ElementType::I32, [100]), "");
    graph.outputs.push(("y".into(), id));
    let digest = blake3::hash(&bytes).to_string();
    let text = graph.to_string();
    assert!(text.contains(&format!("constant u8 blake3 \"{digest}\" : i32[100]")), "{text}");
    let found = parse_with(&text, &mut |wanted| (wanted == digest).then(|| bytes.clone()));
    assert_eq!(found.as_ref(), Ok(&graph));
    let Op::Constant(constant) = &parse(&text).unwrap().nodes[id].op.clone() else { panic!("no constant") };
    assert_eq!(constant.bytes, None);
}

#[test]
fn refused() {
    let table = [
        (
            "graph \"t\" {\n  n0 = input \"x\" : f16[2]\n}",
            "2:20: `f16` is no element type; these are f32, i32, bool, i8, f8\n2 |   n0 = input \"x\" : f16[2]\n  |                    ^^^",
        ),
        (
            "graph \"t\" { n0 = input \"ü\" }",
            "1:18: inputs and constants need a type: write `: f32[1, 64]` after them\n1 | graph \"t\" { n0 = input \"ü\" }\n  |                  ^^^^^^^^^",
        ),
        ("graph \"t\" { output \"y\" = n5 }", "1:26: n5 is not defined above\n"),
        ("graph \"t\" { n0 = input \"x\" : f32[2] n0 = exp n0 }", "1:37: n0 is defined twice\n"),
        (
            "graph \"t\" { n0 = input \"x\" : f32[2] n1 = exp n0 : f32[3] }",
            "1:51: the operands make f32[2], not f32[3]\n",
        ),
        (
            "graph \"t\" { n0 = input \"x\" : f32[2] n1 = matmul n0, n0 }",
            "1:42: matmul: both inputs must have at least two axes, one is f32[2]\n",
        ),
        ("graph \"t\" { n0 = input \"x\" : f32[2] n1 = frob n0 }", "1:42: `frob` is no operator\n"),
        (
            "graph \"t\" { n0 = input \"x\" : f32[2] n1 = exp n0, axis=1 }",
            "1:50: exp takes no (further) `axis`\n",
        ),
        (
            "graph \"t\" { n0 = input \"x\" : f32[2] n1 = softmax n0 }",
            "1:42: softmax needs `axis=` and a number\n",
        ),
        ("graph \"t\" { n0 = constant i8 [1, 300] : i32[2] }", "1:34: 300 is no i8\n"),
        ("graph \"t\" { n0 = constant i4 [-8, 8] : i32[2] }", "1:35: 8 is no i4\n"),
        ("graph \"t\" { n0 = constant i8 [1] : i8[1] }", "1:30: a constant encoded as i8 cannot be i8[1]\n"),
        (
            "graph \"t\" { n0 = input \"x\" : i8[2] n1 = add n0, n0 }",
            "1:41: add: an input must be f32 or i32, it is i8[2]\n",
        ),
        (
            "graph \"t\" { n0 = constant i8 [1] : i32[2] }",
            "1:30: a constant i32[2] in i8 has 2 bytes, not 1\n",
        ),
        (
            "graph \"t\" { n0 = constant f8 absent : f32[2] }",
            "1:27: `f8` is no encoding; encodings are f64, f32, f16, bf16, i64, i32, i16, i8, u8, bool, f8e4m3, i4, u4, int4, mxfp4\n",
        ),
        (
            "graph \"t\" { n0 = constant f64 splat 0 : f32[1000000000000] }",
            "1:31: a splat has at most 268435456 bytes; write a small one and expand it\n",
        ),
        (
            "graph \"t\" { n0 = input \"x\" : f32[9999999999, 9999999999] }",
            "1:30: shape [9999999999, 9999999999] has too many elements\n",
        ),
        ("graph \"t\" { n0 = input \"x : f32[2] }", "1:24: this text is not closed on its line\n"),
        ("graph \"t\" { n0 @ }", "1:16: `@` is no word of the graph language\n"),
        ("graph \"t\" {", "1:12: the text ends here: expected "),
        ("graph t { }", "1:7: expected `text`\n"),
        ("graph \"t\" { } graph", "1:15: expected "),
        (
            "graph \"t\" { n0 = input \"x\" : f32[2] state \"p\" -> \"q\" = n0 -> n0 }",
            "1:7: state `p`: its output n0 is not an append to its input n0\n",
        ),
    ];
    for (source, expected) in table {
        let error = parse(source).expect_err(source).to_string();
        assert!(error.starts_with(expected), "{source}\nexpected {expected}\nfound    {error}");
    }
    let two = parse("graph \"t\" {\n n0 = foo\n n1 = exp n9\n n2 = exp n1\n}").unwrap_err();
    assert_eq!(two.problems.len(), 1, "syntax errors come alone: {two}");
    let two = parse("graph \"t\" {\n n0 = foo n8\n n1 = exp n9\n n2 = exp n1\n}").unwrap_err();
    assert_eq!(two.problems.len(), 2, "what follows from an error is not said: {two}");
    assert_eq!(Diagnostic::from(two).code, "graph-text");
}

proptest! {
    /// Damaged texts are refused or mean a graph that prints and reads the same.
    #[test]
    fn damaged_texts_never_panic(cut in 0..EVERYTHING.len(), length in 0usize..40, put in "[ -~\u{e9}\n]{0,3}") {
        let end = (cut + length).min(EVERYTHING.len());
        check_stable(&format!("{}{put}{}", &EVERYTHING[..cut], &EVERYTHING[end..]));
    }

    /// So are words in any order.
    #[test]
    fn word_soup_never_panics(words in prop::collection::vec(prop::sample::select(&SOUP[..]), 0..30)) {
        check_stable(&format!("graph \"t\" {{ n0 = input \"x\" : f32[2, 3]\n {} }}", words.join(" ")));
    }
}

const SOUP: [&str; 30] = [
    "n1 =",
    "n2 =",
    "n0",
    "n1",
    "n0 ,",
    ",",
    "matmul",
    "softmax",
    "slice",
    "pad",
    "axis=0",
    "axis=9",
    "start=1",
    "count=99999999999999999999",
    "count=1",
    "before=18446744073709551615",
    "after=1",
    "value=0x",
    "value=1",
    "permutation=[1,0]",
    "transpose",
    "constant f16",
    "hex \"00\"",
    "splat 1",
    ": f32[2, 3]",
    ": i32[]",
    "[1, -2]",
    "output \"y\" = n0",
    "; note\n",
    "reshape n0",
];

fn check_stable(source: &str) {
    match parse(source) {
        Ok(graph) => {
            let printed = graph.to_string();
            let again = parse(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
            assert_eq!(again.to_string(), printed);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

//! How far the extracted form is from the best form that its e-graph holds.

use std::path::PathBuf;

use super::build::Build;
use super::chip;
use super::decoder::REAL;
use crate::graph::Graph;
use crate::graph::import::{Bindings, import};
use crate::rewrite::{cost::Model, extract, rules, saturate, segment};

/// The greatest price over the proven least price of all segments of a graph.
fn worst(graph: &Graph) -> f64 {
    let (model, rules) = (Model::new(&chip()), rules::rules(&[]));
    let ratio = |segment: &segment::Segment| {
        let (tensors, ids) = saturate(segment, &rules);
        let roots: Vec<_> = segment.outputs.iter().map(|&output| ids[output as usize]).collect();
        let (price, least) = extract::price_and_least(&tensors, &model, &roots);
        assert!(least <= price, "a bound of {least} above a price of {price}");
        price as f64 / least.max(1) as f64
    };
    segment::cut(graph).iter().map(|(segment, _)| ratio(segment)).fold(1.0, f64::max)
}

fn example(name: &str) -> Graph {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    let model = crate::onnx::decode(std::fs::read(path).unwrap().into(), &|_, _, _| Ok(None)).unwrap();
    import(&model, &Bindings { context: Some(16), ..Bindings::default() }).unwrap().graph
}

#[test]
fn what_is_taken_is_near_the_best() {
    let mut swiglu = Build::new(1);
    let x = swiglu.input(&[1, 1, 576]);
    let y = REAL.feed_forward(&mut swiglu, x);
    swiglu.graph.outputs.push(("y".to_owned(), y));
    let cases = [
        ("feed-forward", swiglu.graph),
        ("decoder layer", REAL.build(1).graph),
        ("encoder", example("encoder.onnx")),
    ];
    let lines =
        cases.iter().map(|(name, graph)| format!("{name}: at most {:.3} times the best\n", worst(graph)));
    insta::assert_snapshot!(lines.collect::<String>());
}

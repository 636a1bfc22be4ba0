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
    let layer = REAL.build(1);
    let cases = [
        ("feed-forward", swiglu.graph, 9.0),
        ("decoder layer", layer.graph, 9.0),
        ("encoder", example("encoder.onnx"), 9.0),
    ];
    for (name, graph, most) in cases {
        let worst = worst(&graph);
        assert!(worst <= most, "{name}: at most {worst:.3} times the best, more than {most}");
        assert!(
            worst > most - 0.02,
            "{name}: {worst:.3} times the best at most, better than {most}: say so here"
        );
    }
}

//! Which rules made a node.

use super::build::Build;
use super::chip;
use crate::graph::text::parse;
use crate::graph::{BinaryOp, Op};
use crate::rewrite::{RewriteOptions, optimize_with};

#[test]
fn nodes_name_the_rules_that_led_to_them() {
    let mut b = Build::new(1);
    b.origin = "attention".to_owned();
    let (x, v) = (b.input(&[1, 2, 3, 4]), b.input(&[1, 2, 4, 5]));
    let weights = b.op(Op::Softmax { axis: 3 }, &[x]);
    let y = b.matmul(weights, v);
    let doubled = b.add(y, y);
    b.graph.outputs.push(("y".to_owned(), doubled));
    let better = optimize_with(b.graph, &chip(), &RewriteOptions::default()).unwrap();
    let rules = |wanted: fn(&Op) -> bool| {
        let found = better.graph.nodes.iter().filter(|(_, node)| wanted(&node.op));
        found.map(|(id, _)| better.rules[id].clone()).collect::<Vec<_>>()
    };
    assert_eq!(rules(|op| matches!(op, Op::Reduce { .. })), [["softmax-parts"], ["softmax-parts"]]);
    assert_eq!(rules(|op| *op == Op::Binary(BinaryOp::Mul)), [["row-scale-behind"]]);
    assert_eq!(rules(|op| *op == Op::Binary(BinaryOp::Add)), [[""; 0]]);
    assert_eq!(better.rules_by_origin()["attention"], ["softmax-parts", "row-scale-behind"]);
    // The rules are comments: the text is that of the graph.
    assert_eq!(parse(&better.to_string()).unwrap(), better.graph);
}

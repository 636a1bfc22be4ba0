//! Branches, loops and functions: what is known at import becomes the nodes that run.

use super::{Bindings, import};
use crate::graph::eval::{Tensor, evaluate};
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, ValueInfoProto};
use crate::onnx::testing::{Dim, float, int, ints, model, node, round, tensor, value};

fn real(name: &str, shape: &[i64]) -> ValueInfoProto {
    value(name, DataType::Float, &shape.iter().map(|&axis| Dim::N(axis)).collect::<Vec<_>>())
}

fn with_body(mut node: NodeProto, name: &str, body: GraphProto) -> NodeProto {
    node.attribute.push(AttributeProto { name: Some(name.to_owned()), g: Some(body), ..Default::default() });
    node
}

/// What a model of one input x and one output y makes of x.
fn run(model: &ModelProto, x: Tensor) -> Result<Vec<f32>, String> {
    let imported = round(model).and_then(|model| import(&model, &Bindings::default()));
    let graph = imported.map_err(|error| error.to_string())?.graph;
    let values = evaluate(&graph, &[("x".to_owned(), x)].into(), None).map_err(|error| error.to_string())?;
    Ok(values["y"].as_f32().expect("reals").to_vec())
}

/// s ← s · x while the step is below `last`; each step's s is a row of y.
fn powers(steps: i32, last: i32) -> ModelProto {
    let body = GraphProto {
        node: vec![
            node("Mul", "s x", "t", vec![]),
            node("Identity", "t", "row", vec![]),
            node("Less", "i last", "on", vec![]),
        ],
        input: vec![value("i", DataType::Int64, &[]), value("c", DataType::Bool, &[]), real("s", &[2])],
        output: vec![value("on", DataType::Bool, &[]), real("t", &[2]), real("row", &[2])],
        ..Default::default()
    };
    let graph = GraphProto {
        node: vec![with_body(node("Loop", "steps _ x", "end y", vec![]), "body", body)],
        input: vec![real("x", &[2])],
        output: vec![real("y", &[-1, 2])],
        initializer: vec![
            tensor("steps", &Tensor::i32([], [steps])),
            tensor("last", &Tensor::i32([], [last])),
        ],
        ..Default::default()
    };
    model(17, graph)
}

#[test]
fn loops_of_known_length_are_written_out() {
    let x = || Tensor::f32([2], [2.0, 3.0]);
    assert_eq!(run(&powers(3, 10), x()), Ok(vec![4.0, 9.0, 8.0, 27.0, 16.0, 81.0]));
    assert_eq!(run(&powers(9, 1), x()), Ok(vec![4.0, 9.0, 8.0, 27.0]), "its condition ends it");
    let none = run(&powers(0, 1), x()).unwrap_err();
    assert!(none.contains("no step runs"), "{none}");
}

#[test]
fn loops_whose_length_depends_on_data_are_refused() {
    let mut endless = powers(i32::MAX, i32::MAX);
    let error = run(&endless, Tensor::f32([2], [1.0, 1.0])).unwrap_err();
    assert!(error.contains("more than 4096 steps"), "{error}");
    if let Some(graph) = &mut endless.graph {
        graph.initializer.remove(0);
        graph.input.push(value("steps", DataType::Int64, &[]));
    }
    let error = run(&endless, Tensor::f32([2], [1.0, 1.0])).unwrap_err();
    assert!(error.contains("its number of steps depends on the data"), "{error}");
}

/// Running sums of the columns of x, from the last to the first, as columns.
#[test]
fn scans_are_written_out() {
    let body = GraphProto {
        node: vec![node("Add", "s e", "t", vec![]), node("Identity", "t", "row", vec![])],
        input: vec![real("s", &[2]), real("e", &[2])],
        output: vec![real("t", &[2]), real("row", &[2])],
        ..Default::default()
    };
    let attributes = vec![
        int("num_scan_inputs", 1),
        ints("scan_input_axes", &[1]),
        ints("scan_input_directions", &[1]),
        ints("scan_output_axes", &[-1]),
    ];
    let graph = GraphProto {
        node: vec![with_body(node("Scan", "zero x", "end y", attributes), "body", body)],
        input: vec![real("x", &[2, 3])],
        output: vec![real("y", &[2, 3])],
        initializer: vec![tensor("zero", &Tensor::f32([2], [0.0, 0.0]))],
        ..Default::default()
    };
    let x = Tensor::f32([2, 3], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(run(&model(17, graph.clone()), x.clone()), Ok(vec![3.0, 5.0, 6.0, 6.0, 11.0, 15.0]));
    let old = run(&model(8, graph), x).unwrap_err();
    assert!(old.contains("before version 9"), "{old}");
}

/// A function: LeakyRelu of its own slope, then y = a · x if b is left out, else a · x + b.
fn function(outer: NodeProto) -> ModelProto {
    let slope = AttributeProto {
        name: Some("alpha".to_owned()),
        ref_attr_name: Some("slope".to_owned()),
        ..Default::default()
    };
    let own = FunctionProto {
        name: Some("Leak".to_owned()),
        domain: Some("mine".to_owned()),
        input: vec!["a".to_owned(), "b".to_owned()],
        output: vec!["x".to_owned()],
        node: vec![node("LeakyRelu", "a", "leaky", vec![slope]), node("Clip", "leaky b", "x", vec![])],
        attribute_proto: vec![float("slope", 0.5)],
        ..Default::default()
    };
    let graph = GraphProto {
        node: vec![NodeProto { domain: Some("mine".to_owned()), ..outer }],
        input: vec![real("x", &[2])],
        output: vec![real("y", &[2])],
        initializer: vec![tensor("low", &Tensor::f32([], [-0.5]))],
        ..Default::default()
    };
    ModelProto { functions: vec![own], ..model(17, graph) }
}

#[test]
fn functions_are_put_in_place() {
    let x = || Tensor::f32([2], [-4.0, 3.0]);
    let call = |inputs, attributes| function(node("Leak", inputs, "y", attributes));
    assert_eq!(run(&call("x", vec![]), x()), Ok(vec![-2.0, 3.0]), "the slope is the function's own");
    assert_eq!(run(&call("x", vec![float("slope", 0.25)]), x()), Ok(vec![-1.0, 3.0]));
    assert_eq!(run(&call("x low", vec![]), x()), Ok(vec![-0.5, 3.0]));
    let mut circle = call("x", vec![]);
    circle.functions[0].node =
        vec![NodeProto { domain: Some("mine".to_owned()), ..node("Leak", "a", "x", vec![]) }];
    let error = run(&circle, x()).unwrap_err();
    assert!(error.contains("functions call each other"), "{error}");
}

/// y = x + 1 if the sum of x is positive, else −x, or a part of it.
fn choice(other: NodeProto) -> ModelProto {
    let branch = |node| GraphProto { node: vec![node], output: vec![real("z", &[2])], ..Default::default() };
    let choice = with_body(
        node("If", "positive", "y", vec![]),
        "then_branch",
        branch(node("Add", "x one", "z", vec![])),
    );
    let graph = GraphProto {
        node: vec![
            node("ReduceSum", "x", "sum", vec![int("keepdims", 0)]),
            node("Greater", "sum zero", "positive", vec![]),
            with_body(choice, "else_branch", branch(other)),
        ],
        input: vec![real("x", &[2])],
        output: vec![real("y", &[2])],
        initializer: vec![
            tensor("one", &Tensor::f32([], [1.0])),
            tensor("zero", &Tensor::f32([], [0.0])),
            tensor("first", &Tensor::i32([1], [0])),
        ],
        ..Default::default()
    };
    model(17, graph)
}

#[test]
fn both_branches_run_where_data_decides() {
    let choice_of_sign = choice(node("Neg", "x", "z", vec![]));
    assert_eq!(run(&choice_of_sign, Tensor::f32([2], [-1.0, 3.0])), Ok(vec![0.0, 4.0]));
    assert_eq!(run(&choice_of_sign, Tensor::f32([2], [-4.0, 3.0])), Ok(vec![4.0, -3.0]));
    let of_shape = choice(node("Gather", "x first", "z", vec![]));
    let error = run(&of_shape, Tensor::f32([2], [-4.0, 3.0])).unwrap_err();
    assert!(error.contains("shapes [2] and [1]"), "{error}");
}

//! Nodes that hold other nodes: branches, loops and functions. What decides them is known at import, so that they become the nodes that
//! run.

use super::build::{Issue, Outcome, Value};
use super::call::normalize;
use super::translate::{Collected, Made, Walk, bad_model, unmade};
use crate::graph::Op;
use crate::graph::eval::Tensor;
use crate::onnx::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto};
use crate::onnx::{self, TensorError};
use std::borrow::Cow;

/// Most steps of a loop that are written out.
const MAX_STEPS: usize = 1 << 12;
/// Functions in functions; deeper ones go in circles.
const MAX_DEPTH: usize = 64;

/// Whether a node calls a function.
pub(super) fn is_of(function: &FunctionProto, node: &NodeProto) -> bool {
    (function.name(), function.domain()) == (node.op_type(), node.domain())
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}

fn body<'n>(node: &'n NodeProto, name: &str) -> Outcome<&'n GraphProto> {
    let graph = attribute(node, name).and_then(|attribute| attribute.g.as_ref());
    graph.ok_or_else(|| Issue::Invalid(format!("it has no {name}")))
}

fn list<'n>(node: &'n NodeProto, name: &str) -> &'n [i64] {
    attribute(node, name).map_or(&[], |attribute| &attribute.ints)
}

fn truth(value: &Value) -> Option<bool> {
    value.tensor().and_then(|tensor| tensor.as_bool()?.first().copied())
}

/// Takes the value out of a collected outcome, or gives the problem back.
macro_rules! collected {
    ($outcome:expr) => {
        match $outcome {
            Ok(value) => value,
            Err(issue) => return Ok(Err(issue)),
        }
    };
}

impl Walk<'_> {
    /// Runs a body on values for its inputs; the values of its outputs.
    fn inside(&mut self, graph: &GraphProto, node: &NodeProto, name: &str, inputs: Vec<Value>) -> Collected {
        if graph.input.len() != inputs.len() {
            let (wants, gets) = (graph.input.len(), inputs.len());
            return Ok(Err(Issue::Invalid(format!("its body takes {wants} inputs, and gets {gets}"))));
        }
        for (input, value) in graph.input.iter().zip(inputs) {
            self.values.insert(input.name().to_owned(), Made::Value(value));
        }
        for proto in &graph.initializer {
            match onnx::tensor(proto) {
                Ok(tensor) => self.initializers(std::slice::from_ref(&tensor))?,
                Err(TensorError::Unsupported(what)) => {
                    self.values.insert(proto.name().to_owned(), Made::Refused(what));
                }
                Err(TensorError::Damaged(what)) => {
                    let what = format!("initializer `{}` of a body: {what}", proto.name());
                    return Err(bad_model(&what));
                }
            }
        }
        self.all(&graph.node, Some(name))?;
        self.made(graph.output.iter().map(|output| output.name()), node, name)
    }

    /// The values of these names.
    fn made<'n>(&self, names: impl Iterator<Item = &'n str>, node: &NodeProto, name: &str) -> Collected {
        let mut values = Vec::new();
        for output in names {
            match self.values.get(output) {
                Some(Made::Value(value)) => values.push(value.clone()),
                Some(Made::Failed) => return Ok(Err(Issue::Poisoned)),
                Some(Made::Absent | Made::Refused(_)) | None => return Err(unmade(node, name, output)),
            }
        }
        Ok(Ok(values))
    }

    /// An If whose condition is known is its one branch. With another both run, and what the condition says is taken.
    pub(super) fn branch(&mut self, node: &NodeProto, name: &str) -> Collected {
        let inputs = collected!(self.given(node, name)?);
        let Some(condition) = inputs.first().cloned().flatten() else {
            return Ok(Err(Issue::Invalid("its condition is missing".to_owned())));
        };
        let known = truth(&condition);
        let mut results = Vec::new();
        for (branch, runs) in [("then_branch", known != Some(false)), ("else_branch", known != Some(true))] {
            let graph = collected!(body(node, branch));
            if runs {
                results.push(collected!(self.inside(graph, node, name, Vec::new())?));
            }
        }
        let other = results.pop().unwrap_or_default();
        let Some(first) = results.pop() else { return Ok(Ok(other)) };
        let condition = collected!(self.apply(Op::Reshape { shape: Vec::new() }, &[condition]));
        let mut chosen = Vec::new();
        for (a, b) in first.into_iter().zip(other) {
            let (of_a, of_b) = (self.shape(&a), self.shape(&b));
            if of_a != of_b {
                return Ok(Err(Issue::Unsupported(format!(
                    "its condition depends on the data of the model's inputs, and its branches give tensors of shapes {of_a:?} and {of_b:?}"
                ))));
            }
            chosen.push(collected!(self.apply(Op::Select, &[condition.clone(), a, b])));
        }
        Ok(Ok(chosen))
    }

    /// A Loop whose number of steps is known is its body so many times.
    pub(super) fn repeat(&mut self, node: &NodeProto, name: &str) -> Collected {
        let (graph, inputs) = (collected!(body(node, "body")), collected!(self.given(node, name)?));
        let steps = match inputs.first().cloned().flatten() {
            None => usize::MAX,
            Some(value) => match value.tensor().and_then(|tensor| tensor.as_i32()?.first().copied()) {
                Some(steps) => usize::try_from(steps).unwrap_or(0),
                None => return Ok(Err(depends("number of steps"))),
            },
        };
        let mut condition = inputs.get(1).cloned().flatten().unwrap_or(known_truth(true));
        let mut carried: Vec<Value> = collected!(required(inputs.get(2..).unwrap_or_default()));
        let (count, mut rows) = (carried.len(), Vec::new());
        for step in 0..steps {
            match truth(&condition) {
                Some(true) => {}
                Some(false) => break,
                None => return Ok(Err(depends("condition"))),
            }
            if step == MAX_STEPS {
                return Ok(Err(Issue::Unsupported(format!("more than {MAX_STEPS} steps"))));
            }
            let index = Value::integer(i32::try_from(step).unwrap_or(i32::MAX));
            let given = [vec![index, condition], carried].concat();
            let inside = format!("{name}/{step}");
            let mut outputs = collected!(self.inside(graph, node, &inside, given)?);
            if outputs.len() <= count {
                return Ok(Err(Issue::Invalid("its body gives less than it takes".to_owned())));
            }
            rows.push(outputs.split_off(count + 1));
            carried = outputs.split_off(1);
            condition = outputs.remove(0);
        }
        if rows.is_empty() && graph.output.len() > count + 1 {
            return Ok(Err(Issue::Unsupported(
                "no step runs, so that nothing is known of its rows".to_owned(),
            )));
        }
        for place in 0..rows.first().map_or(0, Vec::len) {
            carried.push(collected!(self.stacked(rows.iter().map(|row| &row[place]), 0)));
        }
        Ok(Ok(carried))
    }

    /// A Scan is its body for each element along the axes that it scans.
    pub(super) fn scan(&mut self, node: &NodeProto, name: &str) -> Collected {
        let (graph, inputs) = (collected!(body(node, "body")), collected!(self.given(node, name)?));
        if self.opset >= 9 {
            return self.scanned(graph, node, name, collected!(required(&inputs)));
        }
        // Before version 9 lengths come first, and all has a batch axis in front.
        let Some((None, inputs)) = inputs.split_first() else {
            return Ok(Err(Issue::Unsupported("lengths of sequences, before version 9".to_owned())));
        };
        let inputs = collected!(required(inputs));
        let batch = inputs.first().and_then(|value| self.shape(value).first().copied()).unwrap_or(0);
        let mut images: Vec<Vec<Value>> = Vec::new();
        for at in 0..batch {
            let mut given = Vec::new();
            for value in &inputs {
                if self.shape(value).first() != Some(&batch) {
                    return Ok(Err(Issue::Invalid(format!("an input without a batch axis of {batch}"))));
                }
                given.push(collected!(self.build.element(value, 0, at)));
            }
            images.push(collected!(self.scanned(graph, node, &format!("{name}/{at}"), given)?));
        }
        let outputs = images.first().map_or(0, Vec::len);
        let mut stacked = Vec::new();
        for place in 0..outputs {
            stacked.push(collected!(self.stacked(images.iter().map(|image| &image[place]), 0)));
        }
        Ok(Ok(stacked))
    }

    /// What a scan makes of its states and what it scans.
    fn scanned(&mut self, graph: &GraphProto, node: &NodeProto, name: &str, inputs: Vec<Value>) -> Collected {
        let scanned = attribute(node, "num_scan_inputs").map_or(0, AttributeProto::i);
        let Some(count) = usize::try_from(scanned).ok().and_then(|n| inputs.len().checked_sub(n)) else {
            return Ok(Err(Issue::Invalid(format!("it scans {scanned} of {} inputs", inputs.len()))));
        };
        let (mut carried, scanned) = (inputs[..count].to_vec(), &inputs[count..]);
        let axes = list(node, "scan_input_axes").iter().copied().chain(std::iter::repeat(0));
        let mut ways = Vec::new();
        for (value, axis) in scanned.iter().zip(axes) {
            let shape = self.shape(value);
            let axis = collected!(normalize(axis, shape.len()));
            ways.push((axis, shape[axis]));
        }
        let length = ways.first().map_or(0, |way| way.1);
        if length == 0 || ways.iter().any(|way| way.1 != length) {
            return Ok(Err(Issue::Invalid("it scans axes of different lengths, or of none".to_owned())));
        }
        if length > MAX_STEPS {
            return Ok(Err(Issue::Unsupported(format!("more than {MAX_STEPS} steps"))));
        }
        let directions = if self.opset < 9 { "directions" } else { "scan_input_directions" };
        let backwards = |name: &str, place: usize| list(node, name).get(place) == Some(&1);
        let mut rows = Vec::new();
        for step in 0..length {
            let mut given = carried;
            for (place, (value, &(axis, _))) in scanned.iter().zip(&ways).enumerate() {
                let start = if backwards(directions, place) { length - 1 - step } else { step };
                given.push(collected!(self.build.element(value, axis, start)));
            }
            let mut outputs = collected!(self.inside(graph, node, &format!("{name}/{step}"), given)?);
            if outputs.len() < count {
                return Ok(Err(Issue::Invalid("its body gives less than it takes".to_owned())));
            }
            rows.push(outputs.split_off(count));
            carried = outputs;
        }
        for place in 0..rows[0].len() {
            let mut column: Vec<&Value> = rows.iter().map(|row| &row[place]).collect();
            if backwards("scan_output_directions", place) {
                column.reverse();
            }
            let axis = list(node, "scan_output_axes").get(place).copied().unwrap_or(0);
            let axis = collected!(normalize(axis, self.shape(column[0]).len() + 1));
            carried.push(collected!(self.stacked(column.into_iter(), axis)));
        }
        Ok(Ok(carried))
    }

    /// Values of one shape side by side along a new axis.
    fn stacked<'v>(&mut self, values: impl Iterator<Item = &'v Value>, axis: usize) -> Outcome {
        let mut parts = Vec::new();
        for value in values {
            let mut shape = self.shape(value);
            shape.insert(axis, 1);
            parts.push(self.apply(Op::Reshape { shape }, std::slice::from_ref(value))?);
        }
        self.apply(Op::Concat { axis }, &parts)
    }

    /// A function of the model is its nodes, in a scope of their own.
    pub(super) fn call(&mut self, function: &FunctionProto, node: &NodeProto, name: &str) -> Collected {
        if self.depth == MAX_DEPTH {
            return Ok(Err(Issue::Invalid(format!("functions call each other {MAX_DEPTH} deep"))));
        }
        let (inputs, types) = (collected!(self.given(node, name)?), self.input_types(node));
        let nodes = bound(&function.node, node, function);
        let default = |domain: &&onnx::proto::OperatorSetIdProto| matches!(domain.domain(), "" | "ai.onnx");
        let opset = function.opset_import.iter().find(default).map_or(self.opset, |set| set.version());
        let outer = (std::mem::take(&mut self.values), std::mem::take(&mut self.types), self.opset);
        for (place, formal) in function.input.iter().enumerate() {
            let value = inputs.get(place).cloned().flatten();
            self.values.insert(formal.clone(), value.map_or(Made::Absent, Made::Value));
            if let Some(kind) = types.get(place).copied().flatten() {
                self.types.insert(formal.clone(), kind);
            }
        }
        self.opset = opset;
        self.depth += 1;
        let result = self.body_of(&nodes, function, node, name);
        self.depth -= 1;
        (self.values, self.types, self.opset) = outer;
        result
    }

    fn body_of(
        &mut self,
        nodes: &[NodeProto],
        function: &FunctionProto,
        node: &NodeProto,
        name: &str,
    ) -> Collected {
        self.all(nodes, Some(name))?;
        let asked = function.output.iter().take(node.output.len());
        self.made(asked.map(String::as_str), node, name)
    }
}

fn known_truth(value: bool) -> Value {
    Value::known(Tensor::bool([], [value]))
}

fn required(values: &[Option<Value>]) -> Outcome<Vec<Value>> {
    let missing = || Issue::Invalid("an input is missing".to_owned());
    values.iter().map(|value| value.clone().ok_or_else(missing)).collect()
}

fn depends(what: &str) -> Issue {
    Issue::Unsupported(format!(
        "its {what} depends on the data of the model's inputs (--fix INPUT=VALUE makes an input a constant)"
    ))
}

/// A function's nodes with the attributes that the caller gives, or the function's defaults.
fn bound<'n>(nodes: &'n [NodeProto], caller: &NodeProto, function: &FunctionProto) -> Cow<'n, [NodeProto]> {
    let refers = |node: &NodeProto| {
        node.attribute.iter().any(|attribute| !attribute.ref_attr_name().is_empty() || attribute.g.is_some())
    };
    if !nodes.iter().any(refers) {
        return Cow::Borrowed(nodes);
    }
    let given = |name: &str| {
        attribute(caller, name).or_else(|| function.attribute_proto.iter().find(|own| own.name() == name))
    };
    let one = |attribute: &AttributeProto| -> Option<AttributeProto> {
        let mut own = match attribute.ref_attr_name() {
            "" => attribute.clone(),
            outer => AttributeProto { name: attribute.name.clone(), ..given(outer)?.clone() },
        };
        if let Some(graph) = &mut own.g {
            graph.node = bound(&graph.node, caller, function).into_owned();
        }
        Some(own)
    };
    let bind = |node: &NodeProto| NodeProto {
        attribute: node.attribute.iter().filter_map(one).collect(),
        ..node.clone()
    };
    Cow::Owned(nodes.iter().map(bind).collect())
}

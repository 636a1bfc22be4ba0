//! The walk over a model's nodes, with every problem on the way.

use super::bind::Bound;
use super::build::{Builder, Issue, Past, Value};
use super::call::Call;
use super::{POSITION, narrow, ops, prune};
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::{ElementType, Graph, Op, State, TensorType};
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{GraphProto, NodeProto, ValueInfoProto, type_proto};
use crate::onnx::{self, Model};
use std::collections::BTreeMap;

/// Nodes that an error names for each operator before it only counts the rest.
const MAX_NAMED: usize = 5;

/// Builds the graph of a model whose inputs' shapes are bound.
///
/// # Errors
///
/// `unsupported-operator` with all nodes that are not supported; `bad-model` at the first node that makes no sense.
pub(super) fn translate(model: &Model, bound: &Bound) -> Result<Graph, Diagnostic> {
    let mut walk = Walk {
        model,
        build: Builder::default(),
        values: BTreeMap::new(),
        types: BTreeMap::new(),
        problems: Vec::new(),
    };
    walk.build.graph.name = model.graph.name().to_owned();
    walk.inputs(bound);
    walk.initializers(&model.initializers)?;
    walk.nodes(&model.graph, None)?;
    if !walk.problems.is_empty() {
        return Err(report(&walk.problems));
    }
    walk.outputs(bound)?;
    let Walk { types, build, .. } = walk;
    Ok(prune(narrow::inputs(prune(build.graph), &types)))
}

/// A node that is not supported.
struct Problem {
    operator: String,
    node: String,
    reason: String,
}

struct Walk<'m> {
    model: &'m Model,
    build: Builder,
    /// Values by name; nothing for those whose node had a problem.
    values: BTreeMap<String, Option<Value>>,
    /// The model's element types by name, where they are known.
    types: BTreeMap<String, DataType>,
    problems: Vec<Problem>,
}

impl<'m> Walk<'m> {
    fn inputs(&mut self, bound: &Bound) {
        for input in &self.model.graph.input {
            if let Some(kind) = element_of(input) {
                self.types.insert(input.name().to_owned(), kind);
            }
        }
        let graph = &mut self.build.graph;
        for input in &bound.inputs {
            let value = match &input.state {
                None => {
                    let node =
                        graph.push_typed(Op::Input(input.name.clone()), &[], input.ty.clone(), &input.name);
                    graph.inputs.push(node);
                    Value::Node(node)
                }
                Some(state) => {
                    let mut full = input.ty.clone();
                    full.shape[state.axis] = state.capacity;
                    let node = graph.push_typed(Op::Input(input.name.clone()), &[], full, &input.name);
                    self.build.pasts.push(Past {
                        name: input.name.clone(),
                        ty: input.ty.clone(),
                        axis: state.axis,
                        input: node,
                    });
                    Value::Past(self.build.pasts.len() - 1)
                }
            };
            self.values.insert(input.name.clone(), Some(value));
        }
        if !self.build.pasts.is_empty() {
            let ty = TensorType { element: ElementType::I32, shape: vec![1] };
            let node = graph.push_typed(Op::Input(POSITION.to_owned()), &[], ty, POSITION);
            graph.inputs.push(node);
            self.build.position = Some(node);
        }
    }

    fn initializers(&mut self, tensors: &[onnx::Tensor]) -> Result<(), Diagnostic> {
        for tensor in tensors {
            let value = ops::from_tensor(&mut self.build, tensor)
                .map_err(|issue| bad_model(&format!("initializer `{}`: {}", tensor.name, text(&issue))))?;
            self.values.insert(tensor.name.clone(), Some(value));
            self.types.insert(tensor.name.clone(), tensor.data_type);
        }
        Ok(())
    }

    /// Translates the nodes of a graph; those of a branch (inside the node `inside`) see the outer values too.
    fn nodes(&mut self, graph: &'m GraphProto, inside: Option<&str>) -> Result<(), Diagnostic> {
        for (index, node) in graph.node.iter().enumerate() {
            let mut name = onnx::display_name(node, index);
            if let Some(outer) = inside {
                name = format!("{outer}/{name}");
            }
            name.clone_into(&mut self.build.origin);
            let outputs = match self.node(node, &name)? {
                Ok(outputs) => outputs,
                Err(issue) => {
                    self.problem(node, &name, issue)?;
                    for output in node.output.iter().filter(|output| !output.is_empty()) {
                        self.values.insert(output.clone(), None);
                    }
                    continue;
                }
            };
            for (place, output) in node.output.iter().enumerate().filter(|(_, output)| !output.is_empty()) {
                let Some(value) = outputs.get(place) else {
                    self.problem(
                        node,
                        &name,
                        Issue::Unsupported(format!("its output {place} (`{output}`)")),
                    )?;
                    self.values.insert(output.clone(), None);
                    continue;
                };
                self.values.insert(output.clone(), Some(value.clone()));
                if let Some(kind) = ops::output_type(node, &self.input_types(node), place) {
                    self.types.insert(output.clone(), kind);
                }
            }
        }
        Ok(())
    }

    /// Translates one node: the outer error ends the import, the inner one is collected.
    fn node(&mut self, node: &'m NodeProto, name: &str) -> Result<Result<Vec<Value>, Issue>, Diagnostic> {
        let native = matches!(node.domain(), "" | "ai.onnx");
        if native && node.op_type() == "If" {
            return self.branch(node, name);
        }
        let translator = if native {
            ops::translator(node.op_type())
        } else {
            ops::foreign(node.domain(), node.op_type())
        };
        let Some(translate) = translator else {
            return Ok(Err(Issue::Unsupported(String::new())));
        };
        let mut inputs = Vec::with_capacity(node.input.len());
        for input in &node.input {
            if input.is_empty() {
                inputs.push(None);
                continue;
            }
            match self.values.get(input) {
                Some(Some(value)) => inputs.push(Some(value.clone())),
                Some(None) => return Ok(Err(Issue::Poisoned)),
                None => return Err(unmade(node, name, input)),
            }
        }
        let types = self.input_types(node);
        let mut call = Call { node, inputs, types, opset: self.model.opset, build: &mut self.build };
        Ok(translate(&mut call))
    }

    fn input_types(&self, node: &NodeProto) -> Vec<Option<DataType>> {
        node.input.iter().map(|input| self.types.get(input).copied()).collect()
    }

    /// An If whose condition is known is its one branch.
    fn branch(&mut self, node: &'m NodeProto, name: &str) -> Result<Result<Vec<Value>, Issue>, Diagnostic> {
        let condition = match node.input.first().map(|input| self.values.get(input)) {
            Some(Some(Some(value))) => value.tensor().and_then(|tensor| tensor.as_bool()?.first().copied()),
            Some(Some(None)) => return Ok(Err(Issue::Poisoned)),
            Some(None) | None => {
                return Err(unmade(node, name, node.input.first().map_or("", String::as_str)));
            }
        };
        let Some(condition) = condition else {
            return Ok(Err(Issue::Unsupported(
                "its condition depends on the data of the model's inputs".to_owned(),
            )));
        };
        let wanted = if condition { "then_branch" } else { "else_branch" };
        let Some(graph) = node.attribute.iter().find(|a| a.name() == wanted).and_then(|a| a.g.as_ref())
        else {
            return Ok(Err(Issue::Invalid(format!("it has no {wanted}"))));
        };
        for proto in &graph.initializer {
            let tensor = onnx::tensor(proto).map_err(|_| {
                bad_model(&format!("initializer `{}` of a branch cannot be read", proto.name()))
            })?;
            self.initializers(std::slice::from_ref(&tensor))?;
        }
        self.nodes(graph, Some(name))?;
        let mut outputs = Vec::new();
        for output in &graph.output {
            match self.values.get(output.name()) {
                Some(Some(value)) => outputs.push(value.clone()),
                Some(None) => return Ok(Err(Issue::Poisoned)),
                None => return Err(unmade(node, name, output.name())),
            }
        }
        Ok(Ok(outputs))
    }

    fn problem(&mut self, node: &NodeProto, name: &str, issue: Issue) -> Result<(), Diagnostic> {
        match issue {
            Issue::Poisoned => Ok(()),
            Issue::Invalid(what) => Err(bad_model(&format!("node `{name}` ({}): {what}", node.op_type()))),
            Issue::Unsupported(reason) => {
                let operator = match node.domain() {
                    "" | "ai.onnx" => node.op_type().to_owned(),
                    domain => format!("{domain}:{}", node.op_type()),
                };
                self.problems.push(Problem { operator, node: name.to_owned(), reason });
                Ok(())
            }
        }
    }

    fn outputs(&mut self, bound: &Bound) -> Result<(), Diagnostic> {
        for output in &self.model.graph.output {
            let name = output.name();
            let value = self.values.get(name).cloned().flatten();
            let value =
                value.ok_or_else(|| bad_model(&format!("no node makes the model's output `{name}`")))?;
            name.clone_into(&mut self.build.origin);
            let node = self.build.node(&value).map_err(|issue| unsupported_cache(name, &text(&issue)))?;
            let Some(past) = bound
                .state_of_output(name)
                .and_then(|input| self.build.pasts.iter().find(|past| past.name == input))
            else {
                self.build.graph.outputs.push((name.to_owned(), node));
                continue;
            };
            let made = &self.build.graph.nodes[node];
            if !matches!(made.op, Op::Append { .. }) || made.inputs[0] != past.input {
                return Err(unsupported_cache(name, "it is not the cache with the new tokens appended"));
            }
            self.build.graph.states.push(State {
                input: past.input,
                output: node,
                input_name: past.name.clone(),
                output_name: name.to_owned(),
            });
        }
        Ok(())
    }
}

/// The element type that an input is declared with.
fn element_of(input: &ValueInfoProto) -> Option<DataType> {
    let type_proto::Value::TensorType(tensor) = input.r#type.as_ref()?.value.as_ref()?;
    DataType::try_from(tensor.elem_type()).ok()
}

fn text(issue: &Issue) -> String {
    match issue {
        Issue::Unsupported(what) | Issue::Invalid(what) => what.clone(),
        Issue::Poisoned => "an input is missing".to_owned(),
    }
}

fn bad_model(what: &str) -> Diagnostic {
    Diagnostic::new(Kind::Input, "bad-model", what)
}

fn unmade(node: &NodeProto, name: &str, value: &str) -> Diagnostic {
    bad_model(&format!("node `{name}` ({}) uses `{value}`, which nothing makes before it", node.op_type()))
}

fn unsupported_cache(output: &str, what: &str) -> Diagnostic {
    Diagnostic::new(Kind::Unsupported, "unsupported-cache", format!("output `{output}`: {what}"))
}

/// One error for all problems, by operator.
fn report(problems: &[Problem]) -> Diagnostic {
    let mut groups: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for problem in problems {
        groups.entry((&problem.operator, &problem.reason)).or_default().push(&problem.node);
    }
    let nodes = |n: usize| if n == 1 { "1 node".to_owned() } else { format!("{n} nodes") };
    let mut error = Diagnostic::new(
        Kind::Unsupported,
        "unsupported-operator",
        format!("{} of the model cannot be compiled", nodes(problems.len())),
    );
    for ((operator, reason), names) in groups {
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let mut named: Vec<String> = names.iter().take(MAX_NAMED).map(|name| format!("`{name}`")).collect();
        if names.len() > MAX_NAMED {
            named.push(format!("and {} more", names.len() - MAX_NAMED));
        }
        error = error.note(format!("{operator} ({}){why}: {}", nodes(names.len()), named.join(", ")));
    }
    error
}

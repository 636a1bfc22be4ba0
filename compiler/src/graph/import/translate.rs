//! The walk over a model's nodes, with every problem on the way.

use super::bind::Bound;
use super::build::{Builder, Issue, Outcome, Past, Value};
use super::call::Call;
use super::catalogue::why_not;
use super::control::is_of;
use super::moving::{self, Moving};
use super::problems::{Checked, State as NodeState, report};
use super::{POSITION, narrow, ops, prune, quotient};
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::eval::{Data, Tensor};
use crate::graph::{ElementType, Graph, Op, State, TensorType};
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{NodeProto, ValueInfoProto, type_proto};
use crate::onnx::{self, Model};
use std::collections::BTreeMap;

/// Builds the graph of a model whose inputs' shapes are bound.
///
/// # Errors
///
/// `unsupported-operator` with all nodes that are not supported; `bad-model` at the first node that makes no sense.
pub(super) fn translate(model: &Model, bound: &Bound, moving: &Moving) -> Result<Graph, Diagnostic> {
    let mut walk = walk(model, bound, moving)?;
    if let Some(error) = walk.refusals() {
        return Err(error);
    }
    walk.outputs(bound)?;
    let Walk { types, build, .. } = walk;
    Ok(prune(quotient::exact(narrow::inputs(prune(build.graph), &types))))
}

/// All nodes, with what became of each.
fn walk<'m>(model: &'m Model, bound: &Bound, moving: &'m Moving) -> Result<Walk<'m>, Diagnostic> {
    let mut walk = Walk {
        model,
        moving,
        build: Builder::default(),
        values: BTreeMap::new(),
        types: BTreeMap::new(),
        nodes: Vec::new(),
        opset: model.opset,
        depth: 0,
    };
    walk.build.graph.name = model.graph.name().to_owned();
    walk.inputs(bound);
    walk.initializers(&model.initializers)?;
    let refused = model.refused.iter().map(|(name, what)| (name.clone(), Made::Refused(what.clone())));
    walk.values.extend(refused);
    walk.all(&model.graph.node, None)?;
    Ok(walk)
}

/// What becomes of each node of a model, and the error for those that cannot be compiled.
///
/// # Errors
///
/// `bad-model` at the first node that makes no sense.
pub(super) fn check(model: &Model, bound: &Bound) -> Result<(Vec<Checked>, Option<Diagnostic>), Diagnostic> {
    let none = Moving::new();
    let walk = walk(model, bound, &none)?;
    let refusals = walk.refusals();
    Ok((walk.nodes, refusals))
}

/// The whole numbers of a model that are known at import, by name.
///
/// # Errors
///
/// `bad-model` at the first node that makes no sense.
pub(super) fn whole_numbers(model: &Model, bound: &Bound) -> Result<BTreeMap<String, Tensor>, Diagnostic> {
    let known = |(name, made)| match made {
        Made::Value(Value::Known(known)) if matches!(known.tensor.data, Data::I32(_)) => {
            Some((name, known.tensor.clone()))
        }
        _ => None,
    };
    let none = Moving::new();
    let walk = walk(model, bound, &none)?;
    Ok(walk.values.into_iter().filter_map(known).collect())
}

/// The outer error ends the import, the inner one is collected.
pub(super) type Collected<T = Vec<Value>> = Result<Outcome<T>, Diagnostic>;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Made {
    Value(Value),
    /// An optional input of a function that its caller leaves out.
    Absent,
    /// Its node had a problem.
    Failed,
    /// A constant of a kind that is not known, and what it is.
    Refused(String),
}

/// The walk over a model, a body or a function.
pub(super) struct Walk<'m> {
    pub(super) model: &'m Model,
    /// Positions that the host counts.
    pub(super) moving: &'m Moving,
    pub(super) build: Builder,
    /// What was made so far, by name.
    pub(super) values: BTreeMap<String, Made>,
    /// The model's element types by name, where they are known.
    pub(super) types: BTreeMap<String, DataType>,
    /// What became of the nodes so far.
    nodes: Vec<Checked>,
    /// Version of the default operator set, here.
    pub(super) opset: i64,
    /// Functions that the walk is inside of.
    pub(super) depth: usize,
}

impl Walk<'_> {
    fn inputs(&mut self, bound: &Bound) {
        for input in &self.model.graph.input {
            if let Some(kind) = element_of(input) {
                self.types.insert(input.name().to_owned(), kind);
            }
        }
        let graph = &mut self.build.graph;
        for input in &bound.inputs {
            let value = match &input.state {
                _ if let Some(value) = &input.value => Value::known(value.clone()),
                None => {
                    let node =
                        graph.push_typed(Op::Input(input.name.clone()), &[], input.ty.clone(), &input.name);
                    graph.inputs.push(node);
                    // What has no elements is known.
                    if input.ty.elements() == 0 {
                        Value::known(Tensor::zeros(&input.ty))
                    } else {
                        Value::Node(node)
                    }
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
            self.values.insert(input.name.clone(), Made::Value(value));
        }
        if !self.build.pasts.is_empty() {
            let ty = TensorType { element: ElementType::I32, shape: vec![1] };
            let node = graph.push_typed(Op::Input(POSITION.to_owned()), &[], ty, POSITION);
            graph.inputs.push(node);
            self.build.position = Some(node);
        }
    }

    pub(super) fn initializers(&mut self, tensors: &[onnx::Tensor]) -> Result<(), Diagnostic> {
        for tensor in tensors {
            let value = ops::from_tensor(&mut self.build, tensor)
                .map_err(|issue| bad_model(&format!("initializer `{}`: {}", tensor.name, text(&issue))))?;
            self.values.insert(tensor.name.clone(), Made::Value(value));
            self.types.insert(tensor.name.clone(), tensor.data_type);
        }
        Ok(())
    }

    /// Translates nodes; those of a body (inside the node `inside`) see the outer values too.
    pub(super) fn all(&mut self, nodes: &[NodeProto], inside: Option<&str>) -> Result<(), Diagnostic> {
        for (index, node) in nodes.iter().enumerate() {
            let mut name = onnx::display_name(node, index);
            if let Some(outer) = inside {
                name = format!("{outer}/{name}");
            }
            name.clone_into(&mut self.build.origin);
            let outputs = match self.node(node, &name)? {
                Ok(outputs) => outputs,
                Err(issue) => {
                    self.refuse(node, &name, issue)?;
                    for output in node.output.iter().filter(|output| !output.is_empty()) {
                        self.values.insert(output.clone(), Made::Failed);
                    }
                    continue;
                }
            };
            let known = outputs.iter().all(|value| value.tensor().is_some());
            self.note(node, &name, if known { NodeState::Folded } else { NodeState::Supported });
            for (place, output) in node.output.iter().enumerate().filter(|(_, output)| !output.is_empty()) {
                let Some(value) = outputs.get(place) else {
                    self.refuse(node, &name, Issue::Unsupported(format!("its output {place} (`{output}`)")))?;
                    self.values.insert(output.clone(), Made::Failed);
                    continue;
                };
                self.values.insert(output.clone(), Made::Value(value.clone()));
                if let Some(kind) = ops::output_type(node, &self.input_types(node), place) {
                    self.types.insert(output.clone(), kind);
                }
            }
        }
        Ok(())
    }

    /// Translates one node: the outer error ends the import, the inner one is collected.
    fn node(&mut self, node: &NodeProto, name: &str) -> Collected {
        let native = matches!(node.domain(), "" | "ai.onnx");
        match node.op_type() {
            "If" if native => return self.branch(node, name),
            "Loop" if native => return self.repeat(node, name),
            "Scan" if native => return self.scan(node, name),
            _ => {}
        }
        let translator = if native {
            ops::translator(node.op_type())
        } else {
            ops::foreign(node.domain(), node.op_type())
        };
        let Some(translate) = translator else {
            return match self.model.functions.iter().find(|function| is_of(function, node)) {
                Some(function) => self.call(function, node, name),
                None => Ok(Err(Issue::Unsupported(
                    if native { why_not(node.op_type()) } else { None }.unwrap_or_default().to_owned(),
                ))),
            };
        };
        let mut inputs = match self.given(node, name)? {
            Ok(inputs) => inputs,
            Err(issue) => return Ok(Err(issue)),
        };
        if let Some(place) = moving::place(node)
            && let Some(at_start) = node.input.get(place).and_then(|input| self.moving.get(input))
            && let Some(position) = self.build.position
        {
            match moving::counted(&mut self.build, at_start, position) {
                Ok(counted) => inputs[place] = Some(counted),
                Err(issue) => return Ok(Err(issue)),
            }
        }
        let types = self.input_types(node);
        let mut call = Call { node, inputs, types, opset: self.opset, build: &mut self.build };
        Ok(translate(&mut call))
    }

    /// The values of a node's inputs, by place; nothing for those that are left out.
    pub(super) fn given(&self, node: &NodeProto, name: &str) -> Collected<Vec<Option<Value>>> {
        let mut inputs = Vec::with_capacity(node.input.len());
        for input in &node.input {
            inputs.push(match self.values.get(input) {
                _ if input.is_empty() => None,
                Some(Made::Value(value)) => Some(value.clone()),
                Some(Made::Absent) => None,
                Some(Made::Failed) => return Ok(Err(Issue::Poisoned)),
                Some(Made::Refused(what)) => {
                    return Ok(Err(Issue::Unsupported(format!("its constant `{input}`: {what}"))));
                }
                None => return Err(unmade(node, name, input)),
            });
        }
        Ok(Ok(inputs))
    }

    pub(super) fn input_types(&self, node: &NodeProto) -> Vec<Option<DataType>> {
        node.input.iter().map(|input| self.types.get(input).copied()).collect()
    }

    /// An operator of the graph on values, for who puts a node's parts together.
    pub(super) fn apply(&mut self, op: Op, inputs: &[Value]) -> Outcome {
        self.build.apply(op, inputs)
    }

    /// Shape of a value.
    pub(super) fn shape(&self, value: &Value) -> Vec<usize> {
        self.build.shape(value)
    }

    fn refuse(&mut self, node: &NodeProto, name: &str, issue: Issue) -> Result<(), Diagnostic> {
        let state = match issue {
            Issue::Invalid(what) => {
                return Err(bad_model(&format!("node `{name}` ({}): {what}", node.op_type())));
            }
            Issue::Poisoned => NodeState::Waiting,
            Issue::Unsupported(reason) => NodeState::Refused(reason),
        };
        self.note(node, name, state);
        Ok(())
    }

    /// Keeps what became of a node.
    fn note(&mut self, node: &NodeProto, name: &str, state: NodeState) {
        let operator = match node.domain() {
            "" | "ai.onnx" => node.op_type().to_owned(),
            domain => format!("{domain}:{}", node.op_type()),
        };
        let at_run_time = |input: &&String| match self.values.get(*input) {
            Some(Made::Value(Value::Node(node))) => {
                !matches!(self.build.graph.nodes[*node].op, Op::Input(_) | Op::Constant(_))
            }
            _ => false,
        };
        let reads = match state {
            NodeState::Refused(_) if self.depth == 0 => {
                node.input.iter().filter(at_run_time).cloned().collect()
            }
            _ => Vec::new(),
        };
        self.nodes.push(Checked { operator, node: name.to_owned(), state, reads });
    }

    /// The error for all nodes that cannot be compiled.
    fn refusals(&self) -> Option<Diagnostic> {
        let outputs = self.model.graph.output.iter().map(ValueInfoProto::name);
        let fine = outputs.filter(|name| matches!(self.values.get(*name), Some(Made::Value(_))));
        report(&self.nodes, &fine.collect::<Vec<_>>())
    }

    fn outputs(&mut self, bound: &Bound) -> Result<(), Diagnostic> {
        for output in &self.model.graph.output {
            let name = output.name();
            let Some(Made::Value(value)) = self.values.get(name).cloned() else {
                return Err(bad_model(&format!("no node makes the model's output `{name}`")));
            };
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

pub(super) fn bad_model(what: &str) -> Diagnostic {
    Diagnostic::new(Kind::Input, "bad-model", what)
}

pub(super) fn unmade(node: &NodeProto, name: &str, value: &str) -> Diagnostic {
    bad_model(&format!("node `{name}` ({}) uses `{value}`, which nothing makes before it", node.op_type()))
}

fn unsupported_cache(output: &str, what: &str) -> Diagnostic {
    Diagnostic::new(Kind::Unsupported, "unsupported-cache", format!("output `{output}`: {what}"))
}

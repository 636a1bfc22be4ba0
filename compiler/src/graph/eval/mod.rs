//! What a graph computes: the reference evaluator, in plain code on whole tensors.
//!
//! Each operator computes in binary32, sums in binary64 and rounds once. The evaluator knows no machine: it says what the
//! model means, and everything the compiler makes of the model is compared with it.

mod conv;
mod group;
mod layout;
mod pointwise;
mod product;
mod tensor;

pub use group::evaluate_group;
pub use tensor::{Data, Tensor};

use super::{Graph, NodeId, Op, blocks, shape};
use crate::diagnostic::{Diagnostic, Kind};
use cranelift_entity::{PrimaryMap, SecondaryMap};
use std::collections::{BTreeMap, BTreeSet};

/// Computes a graph's outputs (by output name), and the new states (by their `output_name`).
///
/// `inputs` are by input name; an array of another shape with as many elements is taken as a view. `states` are by
/// `input_name`; states that are missing, or all of them without a map, are zero.
/// Errors: an input is missing or of another type, a constant that is needed is absent, an index is out of range.
pub fn evaluate(
    graph: &Graph,
    inputs: &BTreeMap<String, Tensor>,
    states: Option<&BTreeMap<String, Tensor>>,
) -> Result<BTreeMap<String, Tensor>, Diagnostic> {
    let wanted = wanted(graph);
    let keep: Vec<NodeId> = wanted.iter().map(|&(_, node)| node).collect();
    let given = given(graph, inputs, states);
    let values = run(graph, &ancestors(graph, &keep), &keep, &given)?;
    Ok(wanted
        .into_iter()
        .filter_map(|(name, node)| Some((name.to_owned(), values.get(&node)?.clone())))
        .collect())
}

/// Outputs and new states, by name.
fn wanted(graph: &Graph) -> Vec<(&str, NodeId)> {
    let outputs = graph.outputs.iter().map(|(name, node)| (name.as_str(), *node));
    outputs.chain(graph.states.iter().map(|state| (state.output_name.as_str(), state.output))).collect()
}

/// The value of every node, dead ones too; states are zero. For tests and for looking inside small models.
pub fn node_values(
    graph: &Graph,
    inputs: &BTreeMap<String, Tensor>,
) -> Result<PrimaryMap<NodeId, Tensor>, Diagnostic> {
    let all: BTreeSet<NodeId> = graph.nodes.keys().collect();
    let keep: Vec<NodeId> = all.iter().copied().collect();
    let values = run(graph, &all, &keep, &given(graph, inputs, None))?;
    Ok(values.into_values().collect())
}

/// The value of a node whose ancestors are all constants, evaluating only these; nothing where an ancestor is an input or
/// its bytes are absent. Errors: a constant is damaged, or the expression has no value (an index out of range).
pub fn constant(graph: &Graph, node: NodeId) -> Result<Option<Tensor>, Diagnostic> {
    let (mut nodes, mut work) = (BTreeSet::new(), vec![node]);
    while let Some(id) = work.pop() {
        match &graph.nodes[id].op {
            Op::Input(_) => return Ok(None),
            Op::Constant(constant) if constant.bytes.is_none() => return Ok(None),
            _ if nodes.insert(id) => work.extend(&graph.nodes[id].inputs),
            _ => {}
        }
    }
    Ok(run(graph, &nodes, &[node], &|_| None)?.remove(&node))
}

/// Whether each node's ancestors are constants throughout (present or not).
pub fn is_constant(graph: &Graph) -> SecondaryMap<NodeId, bool> {
    let mut known = SecondaryMap::with_capacity(graph.nodes.len());
    for (id, node) in graph.nodes.iter() {
        known[id] = !matches!(node.op, Op::Input(_)) && node.inputs.iter().all(|&input| known[input]);
    }
    known
}

/// The nodes that the given ones depend on, themselves included.
pub fn ancestors(graph: &Graph, of: &[NodeId]) -> BTreeSet<NodeId> {
    let (mut nodes, mut work) = (BTreeSet::new(), of.to_vec());
    while let Some(id) = work.pop() {
        if nodes.insert(id) {
            work.extend(&graph.nodes[id].inputs);
        }
    }
    nodes
}

/// Where input values come from: the node's name to its array, nothing where it is missing.
fn given<'a>(
    graph: &'a Graph,
    inputs: &'a BTreeMap<String, Tensor>,
    states: Option<&'a BTreeMap<String, Tensor>>,
) -> impl Fn(NodeId) -> Option<Tensor> + 'a {
    let names: BTreeMap<NodeId, &str> =
        graph.states.iter().map(|s| (s.input, s.input_name.as_str())).collect();
    move |id| match (names.get(&id), &graph.nodes[id].op) {
        (Some(&name), _) => {
            let held = states.and_then(|states| states.get(name));
            Some(held.cloned().unwrap_or_else(|| Tensor::zeros(&graph.nodes[id].ty)))
        }
        (None, Op::Input(name)) => inputs.get(name).cloned(),
        (None, _) => None,
    }
}

/// Evaluates `nodes` (closed under inputs) in order; every value but those to keep is dropped after its last use.
fn run(
    graph: &Graph,
    nodes: &BTreeSet<NodeId>,
    keep: &[NodeId],
    given: &dyn Fn(NodeId) -> Option<Tensor>,
) -> Result<BTreeMap<NodeId, Tensor>, Diagnostic> {
    let mut uses: SecondaryMap<NodeId, usize> = SecondaryMap::new();
    keep.iter().for_each(|&id| uses[id] += 1);
    nodes.iter().flat_map(|&id| &graph.nodes[id].inputs).for_each(|&input| uses[input] += 1);
    let mut values: BTreeMap<NodeId, Tensor> = BTreeMap::new();
    for &id in nodes {
        let node = &graph.nodes[id];
        let value = match &node.op {
            Op::Input(_) | Op::Constant(_) => source(graph, id, given)?,
            // A tensor that nobody else needs is not copied only to be called by another shape.
            Op::Reshape { shape } if uses[node.inputs[0]] == 1 => match values.remove(&node.inputs[0]) {
                Some(value) => Tensor { shape: shape.clone(), data: value.data },
                None => return Err(fault(graph, id, "an input comes after its use")),
            },
            op => {
                let operands = node.inputs.iter().map(|input| values.get(input)).collect::<Option<Vec<_>>>();
                let operands = operands.ok_or_else(|| fault(graph, id, "an input comes after its use"))?;
                apply(op, &operands).map_err(|what| fault(graph, id, &what))?
            }
        };
        for input in &node.inputs {
            uses[*input] -= 1;
            if uses[*input] == 0 {
                values.remove(input);
            }
        }
        values.insert(id, value);
    }
    values.retain(|&id, _| uses[id] > 0);
    Ok(values)
}

/// The value of an input or a constant.
fn source(graph: &Graph, id: NodeId, given: &dyn Fn(NodeId) -> Option<Tensor>) -> Result<Tensor, Diagnostic> {
    let node = &graph.nodes[id];
    match &node.op {
        Op::Constant(constant) => Tensor::decode(constant, &node.ty)
            .map_err(|what| fault(graph, id, &what))?
            .ok_or_else(|| absent(graph, id)),
        Op::Input(name) => input(graph, id, name, given(id)),
        op => Err(fault(graph, id, &format!("{} is no source", op.name()))),
    }
}

fn input(graph: &Graph, id: NodeId, name: &str, given: Option<Tensor>) -> Result<Tensor, Diagnostic> {
    let ty = &graph.nodes[id].ty;
    let Some(tensor) = given else {
        let message = format!("no value for input `{name}`, which is {ty}");
        return Err(Diagnostic::new(Kind::Input, "missing-input", message));
    };
    let mismatch = |what: String| Diagnostic::new(Kind::Input, "input-type", what);
    tensor.check().map_err(|what| mismatch(format!("input `{name}`: {what}")))?;
    let is = tensor.ty();
    if is.element != ty.element || is.elements() != ty.elements() {
        return Err(mismatch(format!("input `{name}` must be {ty}, the array given is {is}")));
    }
    Ok(Tensor { shape: ty.shape.clone(), data: tensor.data })
}

fn absent(graph: &Graph, id: NodeId) -> Diagnostic {
    let node = &graph.nodes[id];
    let message = format!("the values of constant {id} `{}` ({}) are absent", node.origin, node.ty);
    Diagnostic::new(Kind::Input, "absent-constant", message)
        .note("the model came without weights: only its shapes and cycles are known")
}

fn fault(graph: &Graph, id: NodeId, what: &str) -> Diagnostic {
    let message = format!("node {id} `{}`: {what}", graph.nodes[id].origin);
    Diagnostic::new(Kind::Input, "evaluation", message)
}

/// One operator on values. Errors: types that do not agree (as [`shape::infer`] says), an index or position out of range,
/// integer division by zero; Input and Constant, which have no value of their own here.
pub fn apply(op: &Op, inputs: &[&Tensor]) -> Result<Tensor, String> {
    inputs.iter().try_for_each(|input| input.check())?;
    let types: Vec<_> = inputs.iter().map(|input| input.ty()).collect();
    let ty = shape::infer(op, &types.iter().collect::<Vec<_>>())?;
    Ok(match op {
        Op::Input(_) | Op::Constant(_) => return Err(format!("{} has no inputs to compute from", op.name())),
        Op::MatMul { transpose_b } => product::matmul(inputs[0], inputs[1], *transpose_b)?,
        Op::Conv { channels_last, strides, padding, dilations, groups } => {
            let starts: Vec<usize> = padding.iter().map(|pair| pair[0]).collect();
            let windows = [&strides[..], &starts, dilations];
            if !channels_last {
                return conv::conv([inputs[0], inputs[1]], windows, *groups, ty.shape);
            }
            let rank = ty.shape.len();
            let second: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
            let last: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
            let [a, weights] = [inputs[0], inputs[1]].map(|x| layout::transpose(x, &second));
            let shape = second.iter().map(|&axis| ty.shape[axis]).collect();
            layout::transpose(&conv::conv([&a, &weights], windows, *groups, shape)?, &last)
        }
        Op::Unary(op) => pointwise::unary(*op, inputs[0])?,
        Op::Binary(op) => pointwise::binary(*op, inputs[0], inputs[1])?,
        Op::Select => pointwise::select(inputs[0], inputs[1], inputs[2], &ty.shape)?,
        Op::Reduce { op, axis } => pointwise::reduce(*op, inputs[0], *axis)?,
        Op::Reshape { shape } => Tensor { shape: shape.clone(), data: inputs[0].data.clone() },
        Op::Transpose { permutation } => layout::transpose(inputs[0], permutation),
        Op::Slice { axis, start, count, step } => layout::slice(inputs[0], *axis, *start, *count, *step),
        Op::Concat { axis } => layout::concat(inputs, *axis, ty.shape),
        Op::Pad { axis, before, after, value } => layout::pad(inputs[0], *axis, *before, *after, *value),
        Op::Expand { shape } => layout::expand(inputs[0], shape),
        Op::Gather { axis } => layout::gather(inputs[0], inputs[1].as_i32().unwrap_or(&[]), *axis, ty.shape)?,
        Op::Softmax { axis } => pointwise::softmax(inputs[0], *axis)?,
        Op::Cast(to) => pointwise::cast(inputs[0], *to),
        Op::Append { axis } => {
            let position =
                inputs[2].as_i32().and_then(|p| p.first().copied()).ok_or("append: no position")?;
            layout::append(inputs[0], inputs[1], position, *axis)?
        }
        Op::Blocks(few) => {
            let a = inputs[0].as_f32().ok_or("blocks: not of real numbers")?;
            let columns = ty.shape.last().copied().unwrap_or(1);
            Tensor::f32(ty.shape, blocks::rounded(*few, a, columns))
        }
        Op::AllGather { .. } | Op::AllToAll { .. } | Op::Cross { .. } | Op::FromGates(_) => {
            return Err("a chip alone does not know what the others of its group have".to_owned());
        }
    })
}

#[cfg(test)]
mod tests;

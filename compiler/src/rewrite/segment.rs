//! Segments: stretches of a graph that are rewritten by themselves, so that equal layers are rewritten once.
//!
//! The graph is put in depth-first order from its states and outputs and cut where the fewest tensors are alive, which in a
//! network of layers is on the residual stream. What a segment takes from elsewhere becomes a numbered leaf, without the
//! content of weights, so that equal layers become equal segments.

use cranelift_entity::{EntityRef, SecondaryMap};
use egg::Id;
use indexmap::{IndexMap, IndexSet};

use super::Rewritten;
use super::language::Term;
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::eval::is_constant;
use crate::graph::f8::F8;
use crate::graph::{Constant, ElementType, Encoding, Graph, Node, NodeId, Op, TensorType};

/// Fewest and most operators of a segment. A cut further apart sees more; the e-graph grows with it.
const LEAST: usize = 16;
const MOST: usize = 96;

/// Constants up to this many elements are looked into for a uniform value.
const SMALL: usize = 64;

/// A tensor that a segment takes from outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leaf {
    /// Its type.
    pub(super) ty: TensorType,
    /// Known at compile time.
    pub(super) constant: bool,
    /// Bits of the value that all elements have, for small F32 constants.
    pub(super) uniform: Option<u32>,
    /// See [`wide`](super::analysis::wide).
    pub(super) wide: bool,
}

/// A stretch of a graph. Tensors are numbered: leaves first, then terms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Segment {
    /// Tensors from outside.
    pub(super) leaves: Vec<Leaf>,
    /// Operators with the tensors they take.
    pub(super) terms: Vec<(Op, Vec<u32>)>,
    /// Tensors that are used outside.
    pub(super) outputs: Vec<u32>,
}

/// Where a segment stands in its graph: the node of each of its tensors, by number.
#[derive(Clone, Debug)]
pub(super) struct Instance(Vec<NodeId>);

impl Instance {
    /// The nodes, leaves first.
    #[cfg(test)]
    pub(super) fn nodes(&self) -> &[NodeId] {
        &self.0
    }
}

/// A term of a solution.
#[derive(Clone, Debug)]
pub(super) struct Solved {
    pub(super) term: Term,
    /// The segment's tensor that it comes from.
    pub(super) origin: u32,
    /// Rules that led to it.
    pub(super) rules: Vec<&'static str>,
}

/// What a segment was rewritten to. Inputs of terms are indices of earlier terms.
#[derive(Clone, Debug, Default)]
pub(super) struct Solution {
    /// Terms.
    pub(super) terms: Vec<Solved>,
    /// The segment's outputs, in its order.
    pub(super) outputs: Vec<usize>,
}

/// Cuts a graph into segments, in topological order. Nodes that no state and no output needs are left out.
pub(super) fn cut(graph: &Graph) -> Vec<(Segment, Instance)> {
    let order = depth_first(graph);
    let (constant, wide) = (is_constant(graph), wide(graph));
    let mut position: SecondaryMap<NodeId, usize> = SecondaryMap::new();
    for (i, &node) in order.iter().enumerate() {
        position[node] = i;
    }
    // The last position that takes a node; past the end for what the graph gives out.
    let mut last: SecondaryMap<NodeId, usize> = SecondaryMap::new();
    for (i, &node) in order.iter().enumerate() {
        for &input in &graph.nodes[node].inputs {
            last[input] = i;
        }
    }
    let mut alive = vec![0i64; order.len() + 1];
    for (i, &node) in order.iter().enumerate().filter(|&(_, &node)| !constant[node]) {
        alive[i] += 1;
        alive[last[node].max(i)] -= 1;
    }
    for i in 1..alive.len() {
        alive[i] += alive[i - 1];
    }
    for (_, node) in roots(graph) {
        last[node] = order.len();
    }

    let mut segments = Vec::new();
    let mut start = 0;
    while start < order.len() {
        let end = if order.len() - start <= MOST {
            order.len()
        } else {
            // The fewest alive after the segment's last node; of equals, the farthest.
            (start + LEAST..=start + MOST).rev().min_by_key(|&end| alive[end - 1]).unwrap_or(order.len())
        };
        segments.push(segment(graph, &order[start..end], (&constant, &wide), |node| last[node] >= end));
        start = end;
    }
    segments
}

/// What must be kept, with the names that outputs have.
fn roots(graph: &Graph) -> impl Iterator<Item = (Option<&str>, NodeId)> {
    let states = graph.states.iter().map(|state| (None, state.output));
    states.chain(graph.outputs.iter().map(|(name, node)| (Some(name.as_str()), *node)))
}

/// Operators in depth-first order; inputs and constants are left out.
fn depth_first(graph: &Graph) -> Vec<NodeId> {
    let mut order = Vec::new();
    let mut seen: SecondaryMap<NodeId, bool> = SecondaryMap::new();
    let mut stack = Vec::new();
    for (_, root) in roots(graph) {
        stack.push((root, false));
        while let Some((node, done)) = stack.pop() {
            if done {
                order.push(node);
            } else if !seen[node] && !outside(&graph.nodes[node]) {
                seen[node] = true;
                stack.push((node, true));
                stack.extend(graph.nodes[node].inputs.iter().rev().map(|&input| (input, false)));
            }
        }
    }
    order
}

/// Whether a node is a leaf wherever it is used.
fn outside(node: &Node) -> bool {
    matches!(node.op, Op::Input(_) | Op::Constant(_))
}

fn segment(
    graph: &Graph,
    members: &[NodeId],
    (constant, wide): (&SecondaryMap<NodeId, bool>, &SecondaryMap<NodeId, bool>),
    used_after: impl Fn(NodeId) -> bool,
) -> (Segment, Instance) {
    let inside: IndexSet<NodeId> = members.iter().copied().collect();
    let mut tensors: IndexSet<NodeId> = IndexSet::new();
    for &member in members {
        tensors.extend(graph.nodes[member].inputs.iter().filter(|input| !inside.contains(*input)));
    }
    let leaves = tensors.iter().map(|&node| {
        let uniform = uniform(&graph.nodes[node]).map(f32::to_bits);
        Leaf { ty: graph.nodes[node].ty.clone(), constant: constant[node], uniform, wide: wide[node] }
    });
    let leaves = leaves.collect();
    tensors.extend(members);
    let number = |node: &NodeId| tensors.get_index_of(node).expect("collected above") as u32;
    let terms = members.iter().map(|&member| {
        let node = &graph.nodes[member];
        (node.op.clone(), node.inputs.iter().map(number).collect())
    });
    let terms = terms.collect();
    let outputs = members.iter().filter(|&&node| used_after(node)).map(number).collect();
    (Segment { leaves, terms, outputs }, Instance(tensors.into_iter().collect()))
}

/// Which nodes are [`wide`](super::analysis::wide).
fn wide(graph: &Graph) -> SecondaryMap<NodeId, bool> {
    let mut wide = SecondaryMap::new();
    for (id, node) in &graph.nodes {
        let inputs = node.inputs.iter().map(|&input| (graph.nodes[input].ty.element, wide[input]));
        wide[id] = super::analysis::wide(&node.op, inputs);
    }
    wide
}

/// The one value of a small F32 constant.
fn uniform(node: &Node) -> Option<f32> {
    let Op::Constant(Constant { encoding, bytes: Some(bytes) }) = &node.op else { return None };
    if node.ty.element != ElementType::F32 || !(1..=SMALL).contains(&node.ty.elements()) {
        return None;
    }
    let width = bytes.len() / node.ty.elements();
    let first = bytes.get(..width)?;
    if width == 0 || !bytes.chunks(width).all(|element| element == first) {
        return None;
    }
    let value = match encoding {
        Encoding::F32 => f32::from_le_bytes(first.try_into().ok()?),
        Encoding::F64 => f64::from_le_bytes(first.try_into().ok()?) as f32,
        Encoding::F16 => half::f16::from_le_bytes(first.try_into().ok()?).to_f32(),
        Encoding::Bf16 => half::bf16::from_le_bytes(first.try_into().ok()?).to_f32(),
        Encoding::F8E4M3 => F8(*first.first()?).to_f32(),
        Encoding::I64
        | Encoding::I32
        | Encoding::I16
        | Encoding::I8
        | Encoding::U8
        | Encoding::I4
        | Encoding::U4
        | Encoding::Int4
        | Encoding::Mxfp4
        | Encoding::Bool => return None,
    };
    value.is_finite().then_some(value)
}

/// The graph again, out of the solutions of its segments. Equal terms are made once, unused ones not at all.
pub(super) fn assemble<'a>(
    graph: &Graph,
    parts: impl Iterator<Item = (&'a Segment, &'a Instance, &'a Solution)>,
) -> Result<Rewritten, Diagnostic> {
    let mut made = Made {
        graph: Graph { name: graph.name.clone(), ..Graph::default() },
        rules: SecondaryMap::new(),
        terms: IndexMap::new(),
    };
    let mut now: SecondaryMap<NodeId, Option<NodeId>> = SecondaryMap::new();
    for (id, node) in graph.nodes.iter().filter(|(_, node)| outside(node)) {
        now[id] = Some(made.graph.push_typed(node.op.clone(), &[], node.ty.clone(), &node.origin));
    }
    for (segment, instance, solution) in parts {
        let mut nodes: Vec<NodeId> = Vec::new();
        for Solved { term, origin, rules } in &solution.terms {
            let node = match term {
                Term::Leaf(index) => {
                    now[instance.0[*index as usize]].ok_or_else(|| bug("a leaf was not made"))?
                }
                Term::Scalar(bits) => made.scalar(*bits),
                Term::Apply(op, inputs) => {
                    let inputs = inputs.iter().map(|&input| nodes[usize::from(input)]).collect();
                    made.term(op, inputs, &graph.nodes[instance.0[*origin as usize]].origin, rules)?
                }
            };
            nodes.push(node);
        }
        for (&output, &index) in segment.outputs.iter().zip(&solution.outputs) {
            now[instance.0[output as usize]] = Some(nodes[index]);
        }
    }
    let find = |node: NodeId| now[node].ok_or_else(|| bug("an output was not made"));
    let mut result = made.graph;
    let rules = made.rules;
    for &input in &graph.inputs {
        result.inputs.push(find(input)?);
    }
    for (name, output) in &graph.outputs {
        result.outputs.push((name.clone(), find(*output)?));
    }
    for state in &graph.states {
        let (input, output) = (find(state.input)?, find(state.output)?);
        result.states.push(crate::graph::State { input, output, ..state.clone() });
    }
    Ok(prune(Rewritten { graph: result, rules }))
}

/// A graph under construction, with the terms it has.
struct Made {
    graph: Graph,
    rules: SecondaryMap<NodeId, Vec<&'static str>>,
    terms: IndexMap<(Op, Vec<NodeId>), NodeId>,
}

impl Made {
    fn scalar(&mut self, bits: u32) -> NodeId {
        let bytes = Some(bits.to_le_bytes().to_vec().into());
        let op = Op::Constant(Constant { encoding: Encoding::F32, bytes });
        let ty = TensorType::new(ElementType::F32, []);
        let graph = &mut self.graph;
        *self.terms.entry((op.clone(), vec![])).or_insert_with(|| graph.push_typed(op, &[], ty, ""))
    }

    fn term(
        &mut self,
        op: &Op,
        inputs: Vec<NodeId>,
        origin: &str,
        rules: &[&'static str],
    ) -> Result<NodeId, Diagnostic> {
        let key = (op.clone(), inputs);
        if let Some(&node) = self.terms.get(&key) {
            return Ok(node);
        }
        let node = self.graph.push(key.0.clone(), &key.1, origin).map_err(|what| bug(&what))?;
        self.rules[node] = rules.to_vec();
        self.terms.insert(key, node);
        Ok(node)
    }
}

fn bug(what: &str) -> Diagnostic {
    Diagnostic::new(
        Kind::Bug,
        "rewrite-broken",
        format!("the rewriter made a graph that does not hold together: {what}"),
    )
}

/// The graph without nodes that nothing needs. Inputs stay.
fn prune(Rewritten { graph, mut rules }: Rewritten) -> Rewritten {
    let mut needed: SecondaryMap<NodeId, bool> = SecondaryMap::new();
    let inputs = graph.inputs.iter().chain(graph.states.iter().map(|state| &state.input));
    for &node in inputs {
        needed[node] = true;
    }
    for (_, node) in roots(&graph) {
        needed[node] = true;
    }
    for index in (0..graph.nodes.len()).rev() {
        let node = NodeId::new(index);
        if needed[node] {
            for &input in &graph.nodes[node].inputs {
                needed[input] = true;
            }
        }
    }
    let mut now: SecondaryMap<NodeId, NodeId> = SecondaryMap::with_default(NodeId::new(0));
    let mut result = Graph { name: graph.name, ..Graph::default() };
    let mut kept: SecondaryMap<NodeId, Vec<&'static str>> = SecondaryMap::new();
    for (id, mut node) in graph.nodes.into_iter().filter(|(id, _)| needed[*id]) {
        for input in &mut node.inputs {
            *input = now[*input];
        }
        now[id] = result.nodes.push(node);
        kept[now[id]] = std::mem::take(&mut rules[id]);
    }
    result.inputs = graph.inputs.into_iter().map(|node| now[node]).collect();
    result.outputs = graph.outputs.into_iter().map(|(name, node)| (name, now[node])).collect();
    let states = graph.states.into_iter();
    result.states = states
        .map(|state| crate::graph::State { input: now[state.input], output: now[state.output], ..state })
        .collect();
    Rewritten { graph: result, rules: kept }
}

/// The e-graph's form of a segment's terms: each term in order, with its number. Leaves come first.
pub(super) fn terms(segment: &Segment, ids: &mut Vec<Id>, mut add: impl FnMut(u32, Term) -> Id) {
    for index in 0..segment.leaves.len() as u32 {
        ids.push(add(index, Term::Leaf(index)));
    }
    for (op, inputs) in &segment.terms {
        let inputs = inputs.iter().map(|&input| ids[input as usize]).collect();
        ids.push(add(ids.len() as u32, Term::Apply(op.clone(), inputs)));
    }
}

//! What each node asks of the VXM, the SXM and the SRAM: only what no program can do without.

use std::collections::BTreeMap;

use cranelift_entity::SecondaryMap;

use super::cost;
use super::machine::Machine;
use super::products::Products;
use super::rows;
use crate::graph::{ElementType, Graph, NodeId, Op, ReduceOp};

/// Work by node.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    /// Elements of the tensor that must be computed: all, but for copies that an expansion makes.
    pub(super) elements: SecondaryMap<NodeId, u64>,
    /// VXM operations on a vector.
    pub(super) operations: SecondaryMap<NodeId, u64>,
    /// Vectors of one byte per lane that must go through the SXM.
    pub(super) switched: SecondaryMap<NodeId, u64>,
}

/// Counts the work of every runtime node.
pub(super) fn work(
    graph: &Graph,
    machine: &Machine<'_>,
    constant: &SecondaryMap<NodeId, bool>,
    products: &Products,
) -> Work {
    let mut work = Work::default();
    let mut plain: SecondaryMap<NodeId, bool> = SecondaryMap::new();
    let mut same = Same::default();
    for (node, data) in graph.nodes.iter() {
        let class = same.class(graph, node);
        if constant[node] {
            continue;
        }
        let spread = elements(graph, constant, products, (&work.elements, &plain), node);
        (work.elements[node], plain[node]) = spread;
        let vectors = |elements: u64| elements.div_ceil(machine.chip.lanes as u64);
        let known: Vec<bool> = data.inputs.iter().map(|&input| constant[input]).collect();
        let from = data.inputs.get(usize::from(data.op == Op::Select));
        let from = from.map_or(data.ty.element, |&input| graph.ty(input).element);
        if let Some(alu) = cost::pointwise(&data.op, from, &known) {
            // What is computed twice might as well be computed once.
            if class == node {
                work.operations[node] = alu.operations * vectors(work.elements[node]);
            }
        }
        if let Op::Reduce { op: ReduceOp::Max | ReduceOp::Min, .. } = data.op {
            let x = data.inputs[0];
            let rows = work.elements[node];
            work.operations[node] = vectors(work.elements[x].saturating_sub(rows));
            if rows::columns(graph, x) > 1 && plain[x] {
                work.switched[node] = rows;
            }
        }
    }
    work
}

/// How many elements of a tensor must be computed, and whether that is all of them.
fn elements(
    graph: &Graph,
    constant: &SecondaryMap<NodeId, bool>,
    products: &Products,
    (known, plain): (&SecondaryMap<NodeId, u64>, &SecondaryMap<NodeId, bool>),
    node: NodeId,
) -> (u64, bool) {
    let data = &graph.nodes[node];
    let all = data.ty.shape.iter().map(|&n| n as u64).product::<u64>();
    let inputs: Vec<NodeId> = data.inputs.iter().copied().filter(|&input| !constant[input]).collect();
    let every = inputs.iter().all(|&input| plain[input]);
    let most = inputs.iter().map(|&input| known[input]).max().unwrap_or(1);
    match &data.op {
        Op::Input(_) | Op::Append { .. } => (all, true),
        Op::MatMul { .. } | Op::Conv { .. } => {
            let number = products.of[node].map(|number| products.list[number as usize].elements);
            (number.unwrap_or(1), every && number == Some(all))
        }
        Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast(_) if every => {
            // Constants that make the result larger may be all alike.
            let shape = inputs.iter().fold(Vec::new(), |shape, &input| joined(&shape, graph.shape(input)));
            let join = shape.iter().map(|&n| n as u64).product();
            (join, join == all)
        }
        Op::Reshape { .. } | Op::Transpose { .. } => (most, every),
        Op::Slice { .. } => (if every { all } else { 1 }, every),
        Op::Reduce { .. } => (most.div_ceil(rows::columns(graph, data.inputs[0]).max(1) as u64), every),
        Op::Gather { .. } => (if every { all } else { most }, every),
        _ => (most, false),
    }
}

/// The shape that both broadcast to.
fn joined(one: &[usize], other: &[usize]) -> Vec<usize> {
    let rank = one.len().max(other.len());
    let axis = |shape: &[usize], at: usize| (at + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    (0..rank).map(|at| axis(one, at).max(axis(other, at))).collect()
}

/// Constants up to so many bytes are compared.
const COMPARED_BYTES: usize = 64;

/// Finds pointwise nodes that compute the same from the same, perhaps in another shape.
#[derive(Default)]
struct Same {
    class: SecondaryMap<NodeId, Option<NodeId>>,
    first: BTreeMap<(Op, ElementType, Vec<NodeId>), NodeId>,
}

impl Same {
    /// The first node like this one.
    fn class(&mut self, graph: &Graph, node: NodeId) -> NodeId {
        let data = &graph.nodes[node];
        let inputs: Vec<NodeId> =
            data.inputs.iter().map(|&input| self.class[input].unwrap_or(input)).collect();
        let class = match &data.op {
            Op::Reshape { .. } | Op::Transpose { .. } | Op::Expand { .. } => inputs[0],
            Op::Constant(constant) => {
                let short = constant.bytes.as_ref().is_some_and(|bytes| bytes.len() <= COMPARED_BYTES);
                if short { self.first_of(data.op.clone(), data.ty.element, inputs, node) } else { node }
            }
            Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast(_) => {
                self.first_of(data.op.clone(), data.ty.element, inputs, node)
            }
            _ => node,
        };
        self.class[node] = Some(class);
        class
    }

    fn first_of(&mut self, op: Op, element: ElementType, inputs: Vec<NodeId>, node: NodeId) -> NodeId {
        *self.first.entry((op, element, inputs)).or_insert(node)
    }
}

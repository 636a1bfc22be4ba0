//! What every part of lowering asks about the legal graph.

use cranelift_entity::SecondaryMap;

use super::view::{self, View};
use crate::diagnostic::Diagnostic;
use crate::graph::eval::{self, Data, Tensor};
use crate::graph::{ElementType, Encoding, Few, Graph, NodeId, Op};

/// Constants of at most this many elements are looked at, to find uniform ones.
const SMALL: usize = 4096;

/// The graph with what was found out about it.
pub struct Context<'g> {
    /// The legal graph.
    pub graph: &'g Graph,
    /// Whether all ancestors are constants.
    pub constant: SecondaryMap<NodeId, bool>,
    /// The bits of a constant all of whose elements are equal (as a VXM word).
    pub uniform: SecondaryMap<NodeId, Option<u32>>,
    views: SecondaryMap<NodeId, Option<View>>,
}

impl<'g> Context<'g> {
    /// Looks through the graph.
    pub fn new(graph: &'g Graph) -> Result<Context<'g>, Diagnostic> {
        let mut constant: SecondaryMap<NodeId, bool> = SecondaryMap::new();
        let mut uniform: SecondaryMap<NodeId, Option<u32>> = SecondaryMap::new();
        for (node, data) in graph.nodes.iter() {
            constant[node] = match data.op {
                Op::Input(_) => false,
                Op::Constant(_) => true,
                _ => data.inputs.iter().all(|&input| constant[input]),
            };
        }
        for (node, data) in graph.nodes.iter() {
            if constant[node] && data.ty.shape.iter().product::<usize>() <= SMALL {
                uniform[node] = uniform_bits(graph, node)?;
            }
        }
        let views = view::views(graph, &constant);
        Ok(Context { graph, constant, uniform, views })
    }

    /// Last axis.
    pub fn columns(&self, node: NodeId) -> usize {
        view::columns(self.graph, node)
    }

    /// Product of the leading axes.
    pub fn rows(&self, node: NodeId) -> usize {
        view::row_count(self.graph, node)
    }

    /// What a node's tensor shows.
    pub fn view(&self, node: NodeId) -> View {
        let view = self.views[node].clone().unwrap_or_else(|| View { base: node, rows: Vec::new() });
        if self.constant[view.base] {
            return View { base: node, rows: view::own_rows(self.graph, node) };
        }
        view
    }

    /// The node whose array a tensor shows.
    pub fn base(&self, node: NodeId) -> NodeId {
        if self.constant[node] { node } else { self.views[node].as_ref().map_or(node, |view| view.base) }
    }

    /// Rows of the base for each row of a tensor of shape `target` that `node` is broadcast to.
    pub fn rows_for(&self, node: NodeId, target: &[usize]) -> Vec<u32> {
        view::broadcast_rows(&self.view(node).rows, self.graph.shape(node), target)
    }

    /// The blocks of four bits that a constant is held in, if it is.
    pub fn few(&self, node: NodeId) -> Option<Few> {
        match self.graph.nodes[node].op {
            Op::Blocks(few) => Some(few),
            _ => None,
        }
    }

    /// Of what an index chooses from several constant matrices for a product: these, and the index.
    pub fn choice(&self, node: NodeId) -> Option<(NodeId, NodeId)> {
        self.graph.choice(node).filter(|_| !self.constant[node])
    }

    /// Whether a node moves no data (an Append does).
    pub fn is_pure_view(&self, node: NodeId) -> bool {
        !self.constant[node]
            && view::is_view(self.graph, node)
            && !matches!(self.graph.nodes[node].op, Op::Append { .. })
    }

    /// The node that computes what a tensor shows: an Append, or the base; nothing for constants.
    pub fn producer(&self, node: NodeId) -> Option<NodeId> {
        let mut node = node;
        while self.is_pure_view(node) {
            node = self.graph.nodes[node].inputs[0];
        }
        (!self.constant[node]).then_some(node)
    }

    /// Whether element for element `input` is used by `node` at its own place: same rows in the same order, same columns.
    pub fn same_space(&self, node: NodeId, input: NodeId) -> bool {
        let Some(producer) = self.producer(input) else { return false };
        let (rows, columns) = (self.rows(node), self.columns(node));
        if self.rows(producer) != rows || self.columns(producer) != columns || self.columns(input) != columns
        {
            return false;
        }
        let seen = self.rows_for(input, self.graph.shape(node));
        seen.len() == rows && seen.iter().enumerate().all(|(at, &row)| at == row as usize)
    }
}

/// A constant's common word: f32 bits, i32 bits, or a mask.
fn uniform_bits(graph: &Graph, node: NodeId) -> Result<Option<u32>, Diagnostic> {
    let Some(tensor) = eval::constant(graph, node)? else { return Ok(None) };
    let words = words(&tensor);
    Ok(match words.split_first() {
        Some((first, rest)) if rest.iter().all(|word| word == first) => Some(*first),
        _ => None,
    })
}

/// A tensor's elements as the VXM sees them.
pub fn words(tensor: &Tensor) -> Vec<u32> {
    match &tensor.data {
        Data::F32(values) => values.iter().map(|value| value.to_bits()).collect(),
        Data::I32(values) => values.iter().map(|&value| value as u32).collect(),
        Data::Bool(values) => values.iter().map(|&value| if value { u32::MAX } else { 0 }).collect(),
        Data::I8(values) => values.iter().map(|&value| i32::from(value) as u32).collect(),
        Data::F8(values) => values.iter().map(|value| value.to_f32().to_bits()).collect(),
    }
}

/// Whether a constant's elements are all binary16 values, as far as its encoding tells.
pub fn is_f16(graph: &Graph, node: NodeId) -> bool {
    let data = &graph.nodes[node];
    match &data.op {
        Op::Constant(constant) => {
            matches!(constant.encoding, Encoding::F16 | Encoding::I8 | Encoding::U8 | Encoding::Bool)
        }
        Op::Cast(ElementType::F32)
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Concat { .. } => data.inputs.iter().all(|&input| is_f16(graph, input)),
        _ => false,
    }
}

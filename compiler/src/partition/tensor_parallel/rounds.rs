//! Tensors whose last axis each chip has a part of, gathered from the group.

use super::constants::Cut;
use super::share::Builder;
use crate::graph::{BinaryOp, NodeId, Op, UnaryOp};

/// How much longer gathered parts may be for beginning at new vectors: with gaps, weights that meet them take so much more room and time; without, the
/// parts take a way through the SXM.
const SPARSE: (usize, usize) = (3, 2);
const DENSE: (usize, usize) = (11, 10);

/// A tensor whose last axis was gathered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    pub(super) node: NodeId,
    /// Elements that each part takes.
    pub(super) padded: usize,
    /// Whether the elements that no part has are zero.
    pub(super) zeros: bool,
}

impl Builder<'_> {
    /// A tensor whose last axis each chip has a part of, gathered; or computed from what was gathered before.
    pub(super) fn round(&mut self, id: NodeId, by: NodeId) -> Result<Round, NodeId> {
        if let Some(round) = self.forms[id].round {
            return Ok(round);
        }
        let (part, splits) = self.part(id, by)?;
        if splits != [self.even(id)] {
            return Err(id);
        }
        let length = self.source.shape(id).last().copied().unwrap_or(1) / self.chips;
        let (most, of) = if self.group.dense { DENSE } else { SPARSE };
        let padded = match length.next_multiple_of(self.group.lanes) {
            vectors if of * vectors >= most * length => length,
            vectors => vectors,
        };
        let round = match self.root(id) {
            root if root != id && self.forms[root].round.is_some() => self.again(id, padded, by)?,
            _ => {
                let gaps = !padded.is_multiple_of(self.group.lanes);
                let node = if gaps { self.packed(id, part)? } else { self.padded(id, part, padded)? };
                Round { node, padded, zeros: true }
            }
        };
        self.forms[id].round = Some(round);
        Ok(round)
    }

    /// Parts of a tensor from all chips, each from a new vector on.
    fn padded(&mut self, id: NodeId, part: NodeId, padded: usize) -> Result<NodeId, NodeId> {
        let (mut node, mut gathered) = (part, padded);
        let axes: Vec<(usize, usize)> = self.group.axes().rev().collect();
        for (chips, stride) in axes {
            node = self.push(id, Op::AllGather { chips, stride, padded: Some(gathered) }, &[node])?;
            gathered *= chips;
        }
        Ok(node)
    }

    /// Parts of a tensor from all chips, without gaps: that takes a way through the SXM, but where parts fill little of their vectors weights
    /// that meet them would take much more room and time.
    fn packed(&mut self, id: NodeId, part: NodeId) -> Result<NodeId, NodeId> {
        let own = self.graph.shape(part).to_vec();
        let (mut node, last) = (part, own.len() - 1);
        let axes: Vec<(usize, usize)> = self.group.axes().rev().collect();
        for &(chips, stride) in &axes {
            node = self.push(id, Op::AllGather { chips, stride, padded: None }, &[node])?;
        }
        let chips = 0..axes.len();
        let before = (0..last).map(|axis| axis + axes.len());
        let permutation = before.chain(chips).chain([last + axes.len()]).collect();
        node = self.push(id, Op::Transpose { permutation }, &[node])?;
        let rows = [&own[..last], &[self.chips, own[last]]].concat();
        node = self.push(id, Op::Reshape { shape: rows }, &[node])?;
        let shape = [&own[..last], &[self.chips * own[last]]].concat();
        self.push(id, Op::Reshape { shape }, &[node])
    }

    /// A pointwise operation, or another shape, of gathered operands.
    fn again(&mut self, id: NodeId, padded: usize, by: NodeId) -> Result<Round, NodeId> {
        let source = self.source;
        let node = &source.nodes[id];
        let (mut inputs, mut zeros) = (Vec::new(), Vec::new());
        for &input in &node.inputs {
            let shape = source.shape(input);
            let (made, zero) = match shape.last() {
                None | Some(1) => (self.whole(input, by)?, false),
                Some(_) if self.constant[input] => {
                    (self.constant(input, &[Cut::Round { axis: shape.len() - 1, padded }])?, true)
                }
                Some(_) => {
                    let round = self.round(input, by)?;
                    (round.node, round.zeros)
                }
            };
            inputs.push(made);
            zeros.push(zero);
        }
        let op = match &node.op {
            Op::Reshape { shape } => {
                let rows = &shape[..shape.len() - 1];
                Op::Reshape { shape: [rows, &[padded * self.chips]].concat() }
            }
            op => op.clone(),
        };
        let made = self.push(id, op, &inputs)?;
        Ok(Round { node: made, padded, zeros: keeps_zeros(&node.op, &zeros) })
    }

    /// The only tensor of many columns that a pointwise tensor is computed from, if what is gathered of it can be computed on in its place; else
    /// the tensor itself.
    pub(super) fn root(&self, id: NodeId) -> NodeId {
        let node = &self.source.nodes[id];
        if !is_finite(&node.op) && !self.keeps_rows(id) {
            return id;
        }
        let wide = |input: &&NodeId| {
            !self.constant[**input] && self.source.shape(**input).last().is_some_and(|&length| length > 1)
        };
        let mut roots: Vec<NodeId> = node.inputs.iter().filter(wide).map(|&input| self.root(input)).collect();
        roots.sort_unstable();
        roots.dedup();
        match roots[..] {
            [root] if self.forms[root].parts.is_some() => root,
            _ => id,
        }
    }

    /// Whether a node is its operand under another shape with the same last axis.
    fn keeps_rows(&self, id: NodeId) -> bool {
        let node = &self.source.nodes[id];
        let same = |shape: &[usize]| shape.last() == self.source.shape(node.inputs[0]).last();
        matches!(&node.op, Op::Reshape { shape } if same(shape))
    }
}

/// Whether a pointwise operation gives finite numbers for zeros and what is finite.
fn is_finite(op: &Op) -> bool {
    match op {
        Op::Unary(op) => !matches!(op, UnaryOp::Log | UnaryOp::Recip | UnaryOp::Rsqrt),
        Op::Binary(op) => {
            matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Max | BinaryOp::Min)
        }
        Op::Cast(_) => true,
        _ => false,
    }
}

/// Whether a pointwise operation gives zero where operands do.
fn keeps_zeros(op: &Op, zeros: &[bool]) -> bool {
    match op {
        Op::Unary(op) => {
            zeros[0] && !matches!(op, UnaryOp::Exp | UnaryOp::Cos | UnaryOp::Sigmoid | UnaryOp::Not)
        }
        Op::Binary(BinaryOp::Mul) => zeros.contains(&true),
        Op::Reshape { .. } => zeros[0],
        Op::Binary(BinaryOp::Add | BinaryOp::Sub | BinaryOp::Max | BinaryOp::Min) | Op::Cast(_) => {
            !zeros.contains(&false)
        }
        _ => false,
    }
}

//! The parts of constants.

use super::share::Builder;
use super::splits::Split;
use crate::graph::{Constant, NodeId, Op, TensorType};

/// What a chip has of an axis of a constant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    /// One of equal parts.
    Part(Split),
    /// All equal parts in the order in which the chip gathers them, its own first, each with zeros up to a length.
    Round { axis: usize, padded: usize },
}

impl Builder<'_> {
    /// A constant as it is.
    pub(super) fn whole_constant(&mut self, id: NodeId) -> NodeId {
        if let Some(made) = self.forms[id].whole {
            return made;
        }
        let node = &self.source.nodes[id];
        let inputs: Vec<NodeId> = node.inputs.iter().map(|&input| self.whole_constant(input)).collect();
        let made = self.graph.push_typed(node.op.clone(), &inputs, node.ty.clone(), &node.origin);
        self.forms[id].whole = Some(made);
        made
    }

    /// What the chip has of a constant.
    pub(super) fn constant(&mut self, id: NodeId, cuts: &[Cut]) -> Result<NodeId, NodeId> {
        let node = &self.source.nodes[id];
        if cuts.is_empty() {
            return Ok(self.whole_constant(id));
        }
        if let Op::Constant(Constant { encoding, bytes: None }) = node.op {
            // Of weights that are not there only the shape changes.
            let mut shape = node.ty.shape.clone();
            for cut in cuts {
                match *cut {
                    Cut::Part(split) => shape[split.axis] /= split.parts,
                    Cut::Round { axis, padded } => shape[axis] = padded * self.chips,
                }
            }
            let absent = Op::Constant(Constant { encoding, bytes: None });
            let ty = TensorType::new(node.ty.element, shape);
            return Ok(self.graph.push_typed(absent, &[], ty, &node.origin));
        }
        let mut made = self.whole_constant(id);
        for cut in cuts {
            made = match *cut {
                Cut::Part(split) => {
                    let count = self.graph.shape(made)[split.axis] / split.parts;
                    self.slice(made, split.axis, split.part(self.rank) * count, count).map_err(|_| id)?
                }
                Cut::Round { axis, padded } => self.round_constant(made, axis, padded).map_err(|_| id)?,
            };
        }
        Ok(made)
    }

    /// The rows of a matrix that meet the chip's part of a left operand, by the chips that get the results: [chips, rows, columns of each].
    pub(super) fn ahead_constant(&mut self, id: NodeId) -> Result<NodeId, NodeId> {
        let node = &self.source.nodes[id];
        let [rows, columns] = node.ty.shape[..] else { return Err(id) };
        let (rows, columns) = (rows / self.chips, columns / self.chips);
        if let Op::Constant(Constant { encoding, bytes: None }) = node.op {
            let absent = Op::Constant(Constant { encoding, bytes: None });
            let ty = TensorType::new(node.ty.element, [self.chips, rows, columns]);
            return Ok(self.graph.push_typed(absent, &[], ty, &node.origin));
        }
        let whole = self.whole_constant(id);
        let made = self.ahead_pieces(whole, rows, columns);
        made.map_err(|_| id)
    }

    fn ahead_pieces(&mut self, whole: NodeId, rows: usize, columns: usize) -> Result<NodeId, String> {
        let origin = self.graph.nodes[whole].origin.clone();
        let own = self.slice(whole, 0, self.rank * rows, rows)?;
        let mut pieces = Vec::new();
        for rank in self.ranks_ahead() {
            let piece = self.slice(own, 1, rank * columns, columns)?;
            pieces.push(self.graph.push(Op::Reshape { shape: vec![1, rows, columns] }, &[piece], &origin)?);
        }
        self.graph.push(Op::Concat { axis: 0 }, &pieces, &origin)
    }

    fn slice(&mut self, of: NodeId, axis: usize, start: usize, count: usize) -> Result<NodeId, String> {
        let origin = self.graph.nodes[of].origin.clone();
        self.graph.push(Op::Slice { axis, start, count, step: 1 }, &[of], &origin)
    }

    fn round_constant(&mut self, of: NodeId, axis: usize, padded: usize) -> Result<NodeId, String> {
        let origin = self.graph.nodes[of].origin.clone();
        let count = self.graph.shape(of)[axis] / self.chips;
        let mut parts = Vec::new();
        for rank in self.round_of_ranks() {
            let part = self.slice(of, axis, rank * count, count)?;
            let pad = Op::Pad { axis, before: 0, after: padded - count, value: 0 };
            parts.push(if padded > count { self.graph.push(pad, &[part], &origin)? } else { part });
        }
        self.graph.push(Op::Concat { axis }, &parts, &origin)
    }
}

//! Quotients that are rounded to whole numbers.

use crate::graph::{BinaryOp, ElementType, Graph, NodeId, Op, UnaryOp, eval};
use cranelift_entity::SecondaryMap;

/// Divisions by computed numbers, or of single ones, whose results are rounded to whole numbers become exact: half a unit in the last place decides there about a
/// whole one. Constant scales of whole tensors stay factors.
pub(super) fn exact(mut graph: Graph) -> Graph {
    let constant = eval::is_constant(&graph);
    let mut rounded: SecondaryMap<NodeId, bool> = SecondaryMap::with_capacity(graph.nodes.len());
    let ids: Vec<NodeId> = graph.nodes.keys().rev().collect();
    for id in ids {
        let node = &graph.nodes[id];
        let rounds = match node.op {
            Op::Unary(UnaryOp::Floor | UnaryOp::Round) => true,
            Op::Cast(ElementType::I32 | ElementType::I8) => {
                graph.ty(node.inputs[0]).element == ElementType::F32
            }
            _ => rounded[id] && gives_on(&node.op),
        };
        if rounds {
            node.inputs.clone().into_iter().for_each(|input| rounded[input] = true);
        }
        let real = graph.ty(id).element == ElementType::F32;
        let node = &mut graph.nodes[id];
        let alone = node.ty.elements() == 1 || node.inputs.last().is_some_and(|&divisor| !constant[divisor]);
        if rounded[id] && real && alone && node.op == Op::Binary(BinaryOp::Div) {
            node.op = Op::Binary(BinaryOp::Quotient);
        }
    }
    graph
}

/// Whether an operator's result is as exact as its operands.
fn gives_on(op: &Op) -> bool {
    match op {
        Op::Binary(op) => matches!(
            op,
            BinaryOp::Add
                | BinaryOp::Sub
                | BinaryOp::Mul
                | BinaryOp::Div
                | BinaryOp::Quotient
                | BinaryOp::Max
                | BinaryOp::Min
        ),
        Op::Unary(op) => matches!(op, UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Relu),
        Op::Select
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Expand { .. }
        | Op::Concat { .. } => true,
        _ => false,
    }
}

//! Looking into constants: small values that decide which form an operator takes.

use crate::graph::eval::{self, Data};
use crate::graph::{Encoding, Graph, NodeId, Op};
use half::f16;

/// Constants of more elements than this are not looked into.
const LOOKED_INTO: usize = 1 << 16;

/// Elements of a constant expression, row-major; nothing where it or one of its ancestors is large, or bytes are absent.
pub(super) fn values(graph: &Graph, node: NodeId) -> Option<Vec<f64>> {
    let small = eval::ancestors(graph, &[node]).iter().all(|&id| {
        graph.nodes[id].ty.elements() <= LOOKED_INTO && !matches!(graph.nodes[id].op, Op::Input(_))
    });
    if !small {
        return None;
    }
    // An expression without a value (an index out of range) is reported where it is evaluated.
    let tensor = eval::constant(graph, node).ok()??;
    Some(match tensor.data {
        Data::F32(values) => values.iter().map(|&x| x.into()).collect(),
        Data::I32(values) => values.iter().map(|&x| x.into()).collect(),
        Data::Bool(values) => values.iter().map(|&x| f64::from(u8::from(x))).collect(),
        Data::I8(values) => values.iter().map(|&x| x.into()).collect(),
        Data::F8(values) => values.iter().map(|x| x.to_f32().into()).collect(),
    })
}

/// The value that every element has.
pub(super) fn uniform(graph: &Graph, node: NodeId) -> Option<f64> {
    match &graph.nodes[node].op {
        Op::Expand { .. } | Op::Reshape { .. } => uniform(graph, graph.nodes[node].inputs[0]),
        _ => {
            let values = values(graph, node)?;
            let (&first, rest) = values.split_first()?;
            rest.iter().all(|x| *x == first).then_some(first)
        }
    }
}

/// Whether a constant is a square identity matrix.
pub(super) fn is_identity(graph: &Graph, node: NodeId) -> bool {
    let [n, m] = graph.nodes[node].ty.shape[..] else { return false };
    n == m && is_all(graph, node, |i| if i / n == i % n { f16::ONE } else { f16::ZERO })
}

/// Whether a constant of binary16 is one everywhere.
pub(super) fn is_ones(graph: &Graph, node: NodeId) -> bool {
    is_all(graph, node, |_| f16::ONE)
}

/// Whether a constant of binary16 has the given elements. Stops at the first that it has not, so weights cost nothing.
fn is_all(graph: &Graph, node: NodeId, element: impl Fn(usize) -> f16) -> bool {
    let Op::Constant(constant) = &graph.nodes[node].op else { return false };
    let (Encoding::F16, Some(bytes)) = (constant.encoding, &constant.bytes) else { return false };
    let own = bytes.as_chunks::<2>().0.iter().map(|&bytes| f16::from_le_bytes(bytes));
    own.enumerate().all(|(i, own)| own == element(i))
}

/// Whether binary16 holds every element of a constant expression exactly, told without reading elements.
pub(super) fn fits_f16(graph: &Graph, node: NodeId) -> bool {
    let inner = &graph.nodes[node];
    match &inner.op {
        Op::Constant(constant) => constant.encoding == Encoding::F16,
        Op::Cast(_) => match &graph.nodes[inner.inputs[0]].op {
            Op::Constant(constant) => {
                matches!(constant.encoding, Encoding::I8 | Encoding::U8 | Encoding::Bool)
            }
            _ => false,
        },
        Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Concat { .. }
        | Op::Expand { .. } => inner.inputs.iter().all(|&input| fits_f16(graph, input)),
        _ => false,
    }
}

//! Whether a graph is in legal form; the list of what is not is the compiler's answer to an unsupported model.

use super::columns::{RECENT, appends_columns};
use super::view::last;
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::{BinaryOp, ElementType, Graph, Node, NodeId, Op, ReduceOp, TensorType, UnaryOp, eval};

/// Checks that a graph is in legal form. The error lists every node that is not, by its name in the model.
pub fn check(graph: &Graph) -> Result<(), Diagnostic> {
    report(graph, illegal)
}

/// Refuses what has no legal form whatever is made of it: elements of eight bits that are not multiplied.
pub(super) fn refuse(graph: &Graph) -> Result<(), Diagnostic> {
    report(graph, |graph, id, _| {
        let node = &graph.nodes[id];
        match node.op {
            // Eight bits are for the planes: what is cast is multiplied.
            Op::Cast(_)
            | Op::MatMul { .. }
            | Op::Conv { .. }
            | Op::Input(_)
            | Op::Reshape { .. }
            | Op::Transpose { .. } => None,
            _ => {
                let narrow = |ty: &TensorType| ty.element.is_narrow();
                let found = narrow(&node.ty) || node.inputs.iter().any(|&input| narrow(graph.ty(input)));
                found.then(|| format!("{} of elements of eight bits is not lowered yet", node.op.name()))
            }
        }
    })
}

/// One error for all runtime nodes of which `illegal` says something. It is told which nodes are constant.
fn report(
    graph: &Graph,
    illegal: impl Fn(&Graph, NodeId, &dyn Fn(NodeId) -> bool) -> Option<String>,
) -> Result<(), Diagnostic> {
    let constant = eval::is_constant(graph);
    let runtime = graph.nodes.keys().filter(|&node| !constant[node]);
    let mut problems: Vec<String> = runtime
        .filter_map(|id| {
            let what = illegal(graph, id, &|node| constant[node])?;
            let node = &graph.nodes[id];
            let name = if node.origin.is_empty() { id.to_string() } else { node.origin.clone() };
            Some(format!("{name} ({} to {}): {what}", node.op.name(), node.ty))
        })
        .collect();
    problems.dedup();
    if problems.is_empty() {
        return Ok(());
    }
    let count = problems.len();
    let plural = if count == 1 { "operation is" } else { "operations are" };
    let message = format!("{count} {plural} not supported on values that are not constant");
    let mut diagnostic = Diagnostic::new(Kind::Unsupported, "cannot-lower", message);
    diagnostic.notes = problems;
    Err(diagnostic)
}

/// What is wrong with a runtime node.
fn illegal(graph: &Graph, id: NodeId, constant: &dyn Fn(NodeId) -> bool) -> Option<String> {
    let node = &graph.nodes[id];
    let shape = &node.ty.shape;
    let input = |i: usize| &graph.nodes[node.inputs[i]];
    let input_shape = |i: usize| &input(i).ty.shape[..];
    if shape.is_empty() || node.inputs.iter().any(|&input| graph.shape(input).is_empty()) {
        return Some("a scalar without axes".to_owned());
    }
    let empty = |id: &NodeId| graph.ty(*id).elements() == 0;
    if node.inputs.iter().any(empty) || empty(&id) && !matches!(node.op, Op::Input(_)) {
        return Some("a tensor without elements".to_owned());
    }
    let lanes = shape.len() - 1;
    let plain = |what: &str| Some(what.to_owned());
    match &node.op {
        Op::Input(_) | Op::Constant(_) | Op::Concat { .. } | Op::Select => None,
        Op::Append { axis } => {
            if input(2).ty.shape != [1] {
                return plain("the position must be one element");
            }
            (*axis + 2 != shape.len() && !appends_columns(node))
                .then(|| "a state must grow along its second to last axis".to_owned())
        }
        Op::MatMul { transpose_b } => {
            if !transpose_b {
                return plain("the right operand is not by rows");
            }
            (last(input_shape(0)) < 2 || last(shape) < 2)
                .then(|| "an outer product or one of one column".to_owned())
        }
        Op::Conv { channels_last, groups, .. } => {
            if !constant(node.inputs[1]) {
                return plain("a convolution with weights that are not constant");
            }
            (!channels_last
                || *groups != 1
                || shape.len() != 4
                || last(input_shape(0)) < 2
                || last(shape) < 2)
                .then(|| "a convolution that is not in legal form".to_owned())
        }
        Op::Unary(op) => unary(*op),
        Op::Binary(op) => binary(*op),
        Op::Cast(ElementType::I32) if input(0).ty.element == ElementType::F32 => {
            let whole = matches!(input(0).op, Op::Unary(UnaryOp::Floor | UnaryOp::Round));
            (!whole).then(|| "the machine rounds where this truncates".to_owned())
        }
        Op::Cast(_) => None,
        Op::Reduce { op, axis } => match op {
            ReduceOp::Min => plain("not decomposed"),
            ReduceOp::Sum | ReduceOp::Max if *axis != lanes => plain("not along the last axis"),
            ReduceOp::Sum | ReduceOp::Max => None,
        },
        Op::Reshape { .. } => reshape(input_shape(0), shape),
        Op::Slice { axis, .. } if *axis != lanes => None,
        Op::Transpose { permutation } => (permutation[lanes] != lanes && !is_recent(graph, input(0)))
            .then(|| format!("moves the last axis of a tensor of {}", node.ty.element)),
        Op::Slice { step, count, .. } => {
            if *step != 1 {
                return Some(format!("takes every {step}th lane of a tensor of {}", node.ty.element));
            }
            (*count == 1).then(|| "one lane".to_owned())
        }
        Op::Pad { value, .. } => (*value != 0).then(|| "not padded with zeros".to_owned()),
        Op::Expand { .. } => {
            (input_shape(0).len() != shape.len()).then(|| "new axes in an expansion".to_owned())
        }
        Op::Gather { axis } => {
            let table = *axis == 0 && constant(node.inputs[0]) && matches!(input_shape(0).len(), 2 | 3);
            (!table || last(input_shape(1)) != 1 || constant(node.inputs[1]))
                .then(|| "not rows of a constant table, nor few enough to compare each".to_owned())
        }
        Op::Softmax { .. } | Op::Blocks(_) => plain("not decomposed"),
        Op::AllGather { .. } | Op::AllToAll { .. } | Op::Cross { .. } | Op::FromGates(_) => {
            (last(input_shape(0)) < 2).then(|| "one lane".to_owned())
        }
    }
}

/// Whether a node is the recent rows of a state by columns, which the append to it transposes.
fn is_recent(graph: &Graph, node: &Node) -> bool {
    let state = node.inputs.first().map(|&input| &graph.nodes[input].op);
    matches!((&node.op, state), (Op::Append { .. }, Some(Op::Input(name))) if name.ends_with(RECENT))
}

fn unary(op: UnaryOp) -> Option<String> {
    match op {
        UnaryOp::Neg
        | UnaryOp::Abs
        | UnaryOp::Exp
        | UnaryOp::Tanh
        | UnaryOp::Rsqrt
        | UnaryOp::Relu
        | UnaryOp::Not
        | UnaryOp::Floor
        | UnaryOp::Round
        | UnaryOp::RoundF16
        | UnaryOp::Mantissa
        | UnaryOp::Exponent
        | UnaryOp::Bits => None,
        UnaryOp::Log
        | UnaryOp::Sqrt
        | UnaryOp::Recip
        | UnaryOp::Sigmoid
        | UnaryOp::Erf
        | UnaryOp::Sin
        | UnaryOp::Cos
        | UnaryOp::Atan => Some("not decomposed".to_owned()),
    }
}

fn binary(op: BinaryOp) -> Option<String> {
    match op {
        BinaryOp::Add
        | BinaryOp::Sub
        | BinaryOp::Mul
        | BinaryOp::Max
        | BinaryOp::Min
        | BinaryOp::Less
        | BinaryOp::LessEqual
        | BinaryOp::Equal
        | BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Xor
        | BinaryOp::ShiftLeft
        | BinaryOp::ShiftRight => None,
        BinaryOp::Div | BinaryOp::Quotient | BinaryOp::Mod | BinaryOp::Pow => {
            Some("not decomposed".to_owned())
        }
    }
}

/// Free where the last axis stays; else the last axis must be cut into two, or the last two joined to one.
fn reshape(from: &[usize], to: &[usize]) -> Option<String> {
    let (n, m) = (last(from), last(to));
    if n == m {
        return None;
    }
    let splits = to.len() == from.len() + 1 && to.starts_with(&from[..from.len() - 1]) && m != 1;
    let joins = from.len() == to.len() + 1 && from.starts_with(&to[..to.len() - 1]) && n != 1;
    (!splits && !joins).then(|| format!("moves the elements of lanes from {from:?}"))
}

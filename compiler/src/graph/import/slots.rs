//! The proof that a cache may be written in any order of slots.
//!
//! The model is imported with two lengths of its cache. Where the shapes of the two graphs differ is the axis of the cache's
//! slots, and everything else must be the same: a number that follows from the length (a position, say) would not be. And what
//! runs along the axis of slots must treat all slots alike: no cutting, no constants that differ from slot to slot.

use super::{POSITION, SLOTS, input_name};
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::eval::Tensor;
use crate::graph::{Graph, Node, NodeId, Op};
use cranelift_entity::SecondaryMap;

/// Checks two imports of one model, of caches of different length.
///
/// # Errors
///
/// `unsupported-cache`, with the model's node at which the order of the slots or the number of tokens matters.
pub(super) fn check(graph: &Graph, longer: &Graph) -> Result<(), Diagnostic> {
    let mut slots: SecondaryMap<NodeId, Option<usize>> = SecondaryMap::with_capacity(graph.nodes.len());
    for ((id, node), other) in graph.nodes.iter().zip(longer.nodes.values()) {
        slots[id] = slot_axis(graph, node, other, &slots).map_err(|why| unsupported(node, why))?;
    }
    if graph.nodes.len() != longer.nodes.len() {
        return Err(Diagnostic::new(
            Kind::Unsupported,
            "unsupported-cache",
            "the model computes differently at other lengths of its cache",
        ));
    }
    masked(graph, &slots)
}

fn unsupported(node: &Node, why: &str) -> Diagnostic {
    Diagnostic::new(
        Kind::Unsupported,
        "unsupported-cache",
        format!("node `{}` ({}) {why}, so its decode steps have no fixed schedule", node.origin, node.op.name()),
    )
    .note("export the model with position_ids and attention_mask as inputs, so that positions come from outside")
}

/// The axis of slots of a node's tensor, if it has one.
fn slot_axis(
    graph: &Graph,
    node: &Node,
    other: &Node,
    slots: &SecondaryMap<NodeId, Option<usize>>,
) -> Result<Option<usize>, &'static str> {
    const DIFFERS: &str = "computes something else at other lengths of the cache";
    if node.inputs != other.inputs
        || node.ty.shape.len() != other.ty.shape.len()
        || node.ty.element != other.ty.element
    {
        return Err(DIFFERS);
    }
    let differing: Vec<usize> =
        (0..node.ty.shape.len()).filter(|&axis| node.ty.shape[axis] != other.ty.shape[axis]).collect();
    let own = match differing[..] {
        [] => None,
        [axis] => Some(axis),
        _ => return Err("compares the tokens of the cache with each other"),
    };
    let of = |input: usize| slots[node.inputs[input]];
    match (&node.op, &other.op) {
        (Op::Constant(_), Op::Constant(_)) => constant(node, other, own)?,
        (Op::Reshape { .. }, Op::Reshape { .. }) => {
            let old = &graph.nodes[node.inputs[0]].ty.shape;
            let new = &node.ty.shape;
            let front = |shape: &[usize], axis: usize| (shape[..axis].iter().product::<usize>(), shape[axis]);
            match (of(0), own) {
                (None, None) => {}
                (Some(a), Some(b)) if front(old, a) == front(new, b) => {}
                _ => return Err("joins the tokens of the cache with another axis"),
            }
        }
        (Op::Expand { .. }, Op::Expand { .. }) => {}
        // Something behind all slots (a sink that takes part in a softmax), and the slots without it again.
        (Op::Concat { axis: a }, Op::Concat { axis: b })
            if a == b
                && own == Some(*a)
                && of(0) == own
                && node.inputs[1..].iter().all(|&input| slots[input] != own) => {}
        (
            Op::Slice { axis: a, start: 0, count: all, step: 1 },
            Op::Slice { axis: b, start: 0, count: more, step: 1 },
        ) if a == b
            && own == Some(*a)
            && of(0) == own
            && Some(*all) == capacity(graph)
            && *more == all + 1 => {}
        (a, b) if a != b => return Err(DIFFERS),
        (Op::Slice { axis, .. } | Op::Pad { axis, .. } | Op::Concat { axis } | Op::Gather { axis }, _) => {
            let read =
                node.inputs.iter().take(if matches!(node.op, Op::Gather { .. }) { 1 } else { usize::MAX });
            if read.into_iter().any(|&input| slots[input] == Some(*axis))
                || own == Some(*axis) && of(0).is_none() && !matches!(node.op, Op::Gather { .. })
            {
                return Err("depends on where in the cache a token is");
            }
        }
        _ => {}
    }
    Ok(own)
}

/// Slots of the caches.
fn capacity(graph: &Graph) -> Option<usize> {
    let state = graph.states.first()?;
    let Op::Append { axis } = graph.nodes[state.output].op else { return None };
    graph.shape(state.input).get(axis).copied()
}

/// Constants must be equal, or have one value all along the slots.
fn constant(node: &Node, other: &Node, own: Option<usize>) -> Result<(), &'static str> {
    const POSITION_DEPENDENT: &str = "takes a constant that follows from the number of tokens in the cache";
    let (Op::Constant(a), Op::Constant(b)) = (&node.op, &other.op) else { return Ok(()) };
    let Some(axis) = own else {
        return if a == b { Ok(()) } else { Err(POSITION_DEPENDENT) };
    };
    // Slots are numbered as they are, whatever the order of tokens in them.
    if node.origin == SLOTS {
        return Ok(());
    }
    let decode = |constant, ty| Tensor::decode(constant, ty).ok().flatten();
    let (Some(short), Some(long)) = (decode(a, &node.ty), decode(b, &other.ty)) else {
        return Err(POSITION_DEPENDENT);
    };
    // One slot's values, if all slots have the same.
    let slice = |tensor: &Tensor| {
        let (bits, inner) = (tensor.bits(), tensor.shape[axis + 1..].iter().product::<usize>().max(1));
        let length = tensor.shape[axis].max(1);
        let alike = (0..bits.len()).all(|i| (i / inner) % length == 0 || bits[i] == bits[i - inner]);
        alike.then(|| {
            let first = bits.iter().enumerate().filter(|(i, _)| (i / inner) % length == 0);
            first.map(|(_, &bits)| bits).collect::<Vec<u32>>()
        })
    };
    match (slice(&short), slice(&long)) {
        (Some(a), Some(b)) if a == b => Ok(()),
        _ => Err("takes a constant that differs from token to token of the cache"),
    }
}

/// Empty slots must be masked by something from outside.
fn masked(graph: &Graph, slots: &SecondaryMap<NodeId, Option<usize>>) -> Result<(), Diagnostic> {
    let mut depends: SecondaryMap<NodeId, bool> = SecondaryMap::with_capacity(graph.nodes.len());
    for (id, node) in graph.nodes.iter() {
        let is_mask = graph.inputs.contains(&id) && slots[id].is_some() && input_name(graph, id) != POSITION;
        depends[id] = is_mask || node.inputs.iter().any(|&input| depends[input]);
        if let (Op::Softmax { axis }, Some(slot)) = (&node.op, slots[id])
            && *axis == slot
            && !depends[node.inputs[0]]
        {
            return Err(unsupported(
                node,
                "attends to all slots of the cache without a mask for the empty ones",
            ));
        }
    }
    Ok(())
}

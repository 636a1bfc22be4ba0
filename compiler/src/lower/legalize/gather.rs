//! Gathers: rows of a constant table, slices for known indices, and a comparison with every index for the rest.

use super::builder::Builder;
use super::{constants, reduce, view};
use crate::graph::{BinaryOp, ElementType, NodeId, Op, ReduceOp};

/// Matrices [places, n, k] that an index chooses from a constant.
pub(super) struct Choice {
    /// The constant [v, n, k].
    pub(super) table: NodeId,
    /// The index [places, 1], at least 0.
    index: NodeId,
    places: Vec<usize>,
}

/// What chooses the matrices that a tensor is, if that is what it is.
pub(super) fn choice(b: &Builder, x: NodeId) -> Option<Choice> {
    let gather = if let Op::Reshape { .. } = b.op(x) { b.input(x) } else { x };
    let (table, index) = b.graph.choice(gather).filter(|_| !b.is_constant(gather))?;
    let places = b.shape(x).strip_suffix(&b.graph.shape(table)[1..])?.to_vec();
    Some(Choice { table, index, places })
}

impl Choice {
    /// The same choice of matrices [v, ..] that lie by rows.
    pub(super) fn matrices(&self, b: &mut Builder, table: NodeId) -> NodeId {
        let chosen = b.emit(Op::Gather { axis: 0 }, &[table, self.index]);
        let shape = [&self.places[..], &b.graph.shape(table)[1..]].concat();
        view::reshape(b, chosen, &shape)
    }

    /// The same choice of constant rows [v, 1, n]: [places, 1, n].
    pub(super) fn rows(&self, b: &mut Builder, table: NodeId) -> NodeId {
        let &[v, _, n] = b.graph.shape(table) else { return table };
        let flat = b.emit(Op::Reshape { shape: vec![v, n] }, &[table]);
        let rows = b.emit(Op::Gather { axis: 0 }, &[flat, self.index]);
        view::reshape(b, rows, &[&self.places[..], &[1, n]].concat())
    }
}

/// Matrices of a constant that an index chooses.
pub(super) fn matrices(b: &mut Builder, table: NodeId, indices: NodeId) -> NodeId {
    let places = b.shape(indices);
    let column = view::reshape(b, indices, &[&places[..], &[1]].concat());
    let index = counted_from_start(b, column, b.graph.shape(table)[0]);
    Choice { table, index, places }.matrices(b, table)
}

/// Known indices may make this many pieces.
const PIECES: usize = 256;
/// Unknown indices into a runtime tensor may be compared this often.
const COMPARISONS: usize = 1 << 14;

/// a with the elements of an axis that the indices name; any form that is not covered stays, for the check to refuse.
pub(super) fn gather(b: &mut Builder, axis: usize, a: NodeId, indices: NodeId) -> NodeId {
    let plain = Op::Gather { axis };
    if b.is_constant(indices) {
        if b.is_constant(a) {
            return b.emit(plain, &[a, indices]);
        }
        return match known(b, axis, a, indices) {
            Some(gathered) => gathered,
            None => b.emit(plain, &[a, indices]),
        };
    }
    if b.is_constant(a) {
        return table(b, axis, a, indices);
    }
    let comparisons = b.graph.shape(a)[axis] * b.graph.nodes[indices].ty.elements();
    if comparisons > COMPARISONS { b.emit(plain, &[a, indices]) } else { compared(b, axis, a, indices) }
}

/// Indices that are known now.
fn known(b: &mut Builder, axis: usize, a: NodeId, indices: NodeId) -> Option<NodeId> {
    let shape = b.shape(a);
    let length = shape[axis] as i64;
    let chosen: Vec<usize> = constants::values(&b.graph, indices)?
        .into_iter()
        .map(|index| if (index as i64) < 0 { index as i64 + length } else { index as i64 })
        .map(|index| usize::try_from(index).ok().filter(|_| index < length))
        .collect::<Option<_>>()?;
    let runs = runs(&chosen);
    let on_lanes = axis + 1 == shape.len();
    let gathered = match runs[..] {
        [] => return None,
        [(start, count, step)] => view::slice(b, a, axis, start, count, step),
        _ if on_lanes && b.element(a) == ElementType::F32 && length > 1 => view::columns(b, a, &chosen),
        _ if runs.len() > PIECES => {
            if !matches!(b.element(a), ElementType::F32 | ElementType::I32) {
                return None;
            }
            // On the lanes, and back.
            let mut order: Vec<usize> = (0..shape.len()).filter(|&other| other != axis).collect();
            order.push(axis);
            let turned = view::transpose(b, a, &order);
            let taken = view::columns(b, turned, &chosen);
            let back: Vec<usize> = (0..axis).chain([shape.len() - 1]).chain(axis..shape.len() - 1).collect();
            view::transpose(b, taken, &back)
        }
        _ => {
            let parts: Vec<NodeId> = runs
                .into_iter()
                .map(|(start, count, step)| view::slice(b, a, axis, start, count, step))
                .collect();
            view::concat(b, &parts, axis)
        }
    };
    let target = [&shape[..axis], b.graph.shape(indices), &shape[axis + 1..]].concat();
    Some(view::reshape(b, gathered, &target))
}

/// Cuts indices into (start, count, step) with step >= 1, longest first come.
fn runs(chosen: &[usize]) -> Vec<(usize, usize, usize)> {
    let mut runs: Vec<(usize, usize, usize)> = Vec::new();
    for &index in chosen {
        match runs.last_mut() {
            Some((start, count, step)) if *count == 1 && index > *start => {
                (*count, *step) = (2, index - *start);
            }
            Some((start, count, step)) if *count > 1 && index == *start + *count * *step => *count += 1,
            _ => runs.push((index, 1, 1)),
        }
    }
    runs
}

/// Rows of a constant: gathered by an index in all lanes.
fn table(b: &mut Builder, axis: usize, a: NodeId, indices: NodeId) -> NodeId {
    let shape = b.shape(a);
    let mut rest = shape.clone();
    rest.remove(axis);
    let mut front: Vec<usize> = (0..shape.len()).filter(|&other| other != axis).collect();
    front.insert(0, axis);
    let turned = view::transpose(b, a, &front);
    let width = rest.iter().product();
    let flat = view::reshape(b, turned, &[shape[axis], width]);

    let places = b.shape(indices);
    let column = view::reshape(b, indices, &[&places[..], &[1]].concat());
    let column = counted_from_start(b, column, shape[axis]);
    let rows = b.emit(Op::Gather { axis: 0 }, &[flat, column]);
    let gathered = view::reshape(b, rows, &[&places[..], &rest[..]].concat());
    if axis == 0 {
        return gathered;
    }
    // The axes of the indices go where the axis was.
    let n = places.len();
    let order: Vec<usize> = (n..n + axis).chain(0..n).chain(n + axis..n + rest.len()).collect();
    view::transpose(b, gathered, &order)
}

/// Negative indices count from the end. Those that the host gives are taken as they are: see the module's documentation.
fn counted_from_start(b: &mut Builder, indices: NodeId, length: usize) -> NodeId {
    if let Op::Input(_) = b.op(indices) {
        return indices;
    }
    if let Op::Reshape { .. } = b.op(indices)
        && let Op::Input(_) = b.op(b.input(indices))
    {
        return indices;
    }
    let zero = b.integer(0);
    let negative = b.binary(BinaryOp::Less, indices, zero);
    if *b.op(indices) == Op::Select && b.input(indices) == negative {
        return indices;
    }
    let length = b.integer(i32::try_from(length).unwrap_or(i32::MAX));
    let wrapped = b.binary(BinaryOp::Add, indices, length);
    b.select(negative, wrapped, indices)
}

/// Unknown indices into a runtime tensor: each index is compared with all of the axis, and what does not match is summed as zero.
fn compared(b: &mut Builder, axis: usize, a: NodeId, indices: NodeId) -> NodeId {
    if b.element(a) == ElementType::Bool {
        let real = b.cast(ElementType::F32, a);
        let gathered = compared(b, axis, real, indices);
        return b.cast(ElementType::Bool, gathered);
    }
    let shape = b.shape(a);
    let places = b.shape(indices);
    let count: usize = places.iter().product();
    let (before, after) = (&shape[..axis], &shape[axis + 1..]);
    let ones = vec![1; after.len()];
    let wide = view::reshape(b, a, &[before, &[1], &shape[axis..]].concat());
    let column = view::reshape(b, indices, &[&[count, 1], &ones[..]].concat());
    let column = counted_from_start(b, column, shape[axis]);
    let numbers = b.iota(shape[axis]);
    let numbers = view::reshape(b, numbers, &[&[shape[axis]], &ones[..]].concat());
    let hit = b.binary(BinaryOp::Equal, column, numbers);
    let zero = b.zero(b.element(a));
    let kept = b.select(hit, wide, zero);
    let summed = reduce::reduce(b, ReduceOp::Sum, axis + 1, kept);
    view::reshape(b, summed, &[before, &places[..], after].concat())
}

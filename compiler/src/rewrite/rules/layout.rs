//! Transposes, reshapes and other moves: merged, turned into flags of products, taken through pointwise operators.

use egg::Id;

use super::{BINARY, CONCAT, EXPAND, MATMUL, RESHAPE, Rule, SLICE, Site, TRANSPOSE, UNARY};
use crate::graph::Op;

/// The group.
pub(super) fn rules() -> Vec<Rule> {
    let rule = |name, on, apply| Rule { name, group: "layout", on, apply };
    vec![
        rule("transpose-twice", TRANSPOSE, transpose_twice),
        rule("transpose-of-units", TRANSPOSE, transpose_of_units),
        rule("transpose-of-product", TRANSPOSE, transpose_of_product),
        rule("product-of-transpose", MATMUL, product_of_transpose),
        rule("reshape-twice", RESHAPE, reshape_twice),
        rule("slice-of-all", SLICE, identity),
        rule("concat-of-one", CONCAT, identity),
        rule("expand-to-same", EXPAND, identity),
        rule("reshape-before-binary", RESHAPE, reshape_before_binary),
        rule("transpose-before-binary", TRANSPOSE, transpose_before_binary),
        rule("move-behind-binary", BINARY, move_behind_binary),
        rule("reshape-before-unary", RESHAPE, move_before_unary),
        rule("transpose-before-unary", TRANSPOSE, move_before_unary),
        rule("move-behind-unary", UNARY, move_behind_unary),
    ]
}

// (xᵖ)ᵠ = x^(p∘q), x^identity = x
fn transpose_twice(site: &mut Site<'_>) {
    let Op::Transpose { permutation: outer } = site.op().clone() else { return };
    let a = site.input(0);
    if outer.iter().copied().eq(0..outer.len()) {
        site.equal(Some(a));
    }
    for (op, inputs) in site.ops(a) {
        if let Op::Transpose { permutation: inner } = op {
            let both = outer.iter().map(|&axis| inner[axis]).collect();
            let once = site.transpose(inputs[0], both);
            site.equal(once);
        }
    }
}

// xᵖ = reshape(x) where only axes of length 1 change places
fn transpose_of_units(site: &mut Site<'_>) {
    let Op::Transpose { permutation } = site.op().clone() else { return };
    let from = site.shape(site.input(0));
    let long: Vec<usize> = permutation.iter().copied().filter(|&axis| from[axis] != 1).collect();
    if long.is_sorted() {
        let to = site.shape(site.class());
        let moved = site.reshape(site.input(0), to);
        site.equal(moved);
    }
}

/// The permutation that exchanges the last two axes.
fn exchange(rank: usize) -> Option<Vec<usize>> {
    let leading = rank.checked_sub(2)?;
    Some((0..leading).chain([leading + 1, leading]).collect())
}

// (A B)ᵀ = Bᵀ Aᵀ
fn transpose_of_product(site: &mut Site<'_>) {
    let Op::Transpose { permutation } = site.op().clone() else { return };
    if exchange(permutation.len()).as_ref() != Some(&permutation) {
        return;
    }
    for (op, inputs) in site.ops(site.input(0)) {
        let Op::MatMul { transpose_b } = op else { continue };
        let (a, b) = (inputs[0], inputs[1]);
        let left = if transpose_b {
            Some(b)
        } else {
            exchange(site.shape(b).len()).and_then(|permutation| site.transpose(b, permutation))
        };
        let product = left.and_then(|left| site.matmul(left, a, true));
        site.equal(product);
    }
}

// A · xᵖ = A (xᵠ)ᵀ, q = p with its last two exchanged
fn product_of_transpose(site: &mut Site<'_>) {
    let Op::MatMul { transpose_b } = *site.op() else { return };
    let (a, b) = (site.input(0), site.input(1));
    for (op, inputs) in site.ops(b) {
        let Op::Transpose { permutation } = op else { continue };
        // Only where the transpose moves lanes; the one that is left then does not.
        let rank = permutation.len();
        if rank >= 2 && permutation[rank - 1] != rank - 1 {
            let mut turned = permutation;
            turned.swap(rank - 2, rank - 1);
            let b = site.transpose(inputs[0], turned);
            let product = b.and_then(|b| site.matmul(a, b, !transpose_b));
            site.equal(product);
        }
    }
}

// reshape(reshape(x)) = reshape(x)
fn reshape_twice(site: &mut Site<'_>) {
    let Op::Reshape { shape } = site.op().clone() else { return };
    let a = site.input(0);
    if site.shape(a) == shape {
        site.equal(Some(a));
    }
    for inputs in site.find(a, |op| matches!(op, Op::Reshape { .. })) {
        let once = site.reshape(inputs[0], shape.clone());
        site.equal(once);
    }
}

// A slice of everything, a concatenation of one, an expansion to the same shape: x
fn identity(site: &mut Site<'_>) {
    let only = site.input(0);
    if site.inputs().len() == 1 && site.shape(only) == site.shape(site.class()) {
        site.equal(Some(only));
    }
}

/// How a reshape treats a tensor that broadcasts to its input: the reshape is cut into groups of axes of equal product, and
/// within each the tensor must be whole or of length 1. Gives the tensor's shape behind the reshape.
pub(super) fn through_reshape(from: &[usize], to: &[usize], operand: &[usize]) -> Option<Vec<usize>> {
    let mut full = vec![1; from.len().checked_sub(operand.len())?];
    full.extend(operand);
    if from.contains(&0) {
        return None;
    }
    let mut result = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        let (start_i, start_j) = (i, j);
        let (mut left, mut right) = (1, 1);
        // At least one axis of each side where there is one, then whatever evens the products out.
        if i < from.len() {
            left = from[i];
            i += 1;
        }
        if j < to.len() && (left != 1 || to[j] == 1 || i == from.len()) {
            right = to[j];
            j += 1;
        }
        while left != right {
            if left < right {
                left *= from.get(i)?;
                i += 1;
            } else {
                right *= to.get(j)?;
                j += 1;
            }
        }
        let (group, goal) = (&full[start_i..i], &to[start_j..j]);
        if *group == from[start_i..i] {
            result.extend(goal);
        } else if group.iter().all(|&axis| axis == 1) {
            result.extend(goal.iter().map(|_| 1));
        } else {
            return None;
        }
    }
    Some(result)
}

// reshape(a ∘ b) = reshape(a) ∘ reshape(b)
fn reshape_before_binary(site: &mut Site<'_>) {
    let Op::Reshape { shape: to } = site.op().clone() else { return };
    let y = site.input(0);
    let from = site.shape(y);
    for (op, inputs) in site.ops(y) {
        let Op::Binary(op) = op else { continue };
        let shapes = [0, 1].map(|i| {
            let shape = site.shape(inputs[i]);
            if shape.is_empty() { Some(shape) } else { through_reshape(&from, &to, &shape) }
        });
        if let [Some(a), Some(b)] = shapes {
            let a = site.reshape(inputs[0], a);
            let b = site.reshape(inputs[1], b);
            let result = a.zip(b).and_then(|(a, b)| site.binary(op, a, b));
            site.equal(result);
        }
    }
}

/// A tensor that broadcasts to rank `permutation.len()`, with its axes permuted.
pub(super) fn through_transpose(site: &mut Site<'_>, permutation: &[usize], operand: Id) -> Option<Id> {
    let shape = site.shape(operand);
    if shape.iter().all(|&axis| axis == 1) && shape.len() <= 1 {
        return Some(operand);
    }
    let mut full = vec![1; permutation.len().checked_sub(shape.len())?];
    full.extend(shape);
    let operand = site.reshape(operand, full)?;
    site.transpose(operand, permutation.to_vec())
}

// (a ∘ b)ᵖ = aᵖ ∘ bᵖ
fn transpose_before_binary(site: &mut Site<'_>) {
    let Op::Transpose { permutation } = site.op().clone() else { return };
    for (op, inputs) in site.ops(site.input(0)) {
        let Op::Binary(op) = op else { continue };
        let a = through_transpose(site, &permutation, inputs[0]);
        let b = through_transpose(site, &permutation, inputs[1]);
        let result = a.zip(b).and_then(|(a, b)| site.binary(op, a, b));
        site.equal(result);
    }
}

// move(a) ∘ move(b) = move(a ∘ b), move(a) ∘ s = move(a ∘ s): s one number
fn move_behind_binary(site: &mut Site<'_>) {
    let Op::Binary(op) = *site.op() else { return };
    let (a, b) = (site.input(0), site.input(1));
    if site.constant(site.class()) {
        return;
    }
    for (i, (moved, other)) in [(a, b), (b, a)].into_iter().enumerate() {
        for (movement, inputs) in site.ops(moved) {
            if !matches!(movement, Op::Reshape { .. } | Op::Transpose { .. }) {
                continue;
            }
            let mut others = site.find(other, |op| *op == movement);
            others.retain(|other| site.shape(other[0]) == site.shape(inputs[0]));
            let mut others: Vec<Id> = others.into_iter().map(|inputs| inputs[0]).collect();
            if site.constant(other) && site.shape(other).is_empty() {
                others.push(other);
            }
            for other in others {
                let (a, b) = if i == 0 { (inputs[0], other) } else { (other, inputs[0]) };
                let inside = site.binary(op, a, b);
                let result = inside.and_then(|inside| site.add(movement.clone(), &[inside]));
                site.equal(result);
            }
        }
    }
}

// move(f(x)) = f(move(x))
fn move_before_unary(site: &mut Site<'_>) {
    let movement = site.op().clone();
    for (op, inputs) in site.ops(site.input(0)) {
        if matches!(op, Op::Unary(_) | Op::Cast(_)) {
            let inside = site.add(movement.clone(), &inputs);
            let result = inside.and_then(|inside| site.add(op, &[inside]));
            site.equal(result);
        }
    }
}

// f(move(x)) = move(f(x))
fn move_behind_unary(site: &mut Site<'_>) {
    let op = site.op().clone();
    for (movement, inputs) in site.ops(site.input(0)) {
        if matches!(movement, Op::Reshape { .. } | Op::Transpose { .. }) {
            let inside = site.add(op.clone(), &inputs);
            let result = inside.and_then(|inside| site.add(movement, &[inside]));
            site.equal(result);
        }
    }
}

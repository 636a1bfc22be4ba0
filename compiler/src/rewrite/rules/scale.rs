//! Scales and offsets around matrix products: constants go into the weights, row scalars go behind the product, where they
//! are computed while it runs.

use egg::Id;

use super::{BINARY, MATMUL, Rule, Site};
use crate::graph::{BinaryOp, Op};

/// The group.
pub(super) fn rules() -> Vec<Rule> {
    let rule = |name, on, apply| Rule { name, group: "scale", on, apply };
    vec![
        rule("scale-into-rows", MATMUL, into_rows),
        rule("offset-behind", MATMUL, offset_behind),
        rule("row-scale-behind", MATMUL, row_scale_behind),
        rule("matrix-scale-behind", MATMUL, matrix_scale_behind),
        rule("scale-into-columns", BINARY, into_columns),
    ]
}

/// Operands of the e-node, if it is a product.
fn product(site: &Site<'_>) -> Option<(Id, Id, bool)> {
    match site.op() {
        Op::MatMul { transpose_b } => Some((site.input(0), site.input(1), *transpose_b)),
        _ => None,
    }
}

/// A vector along the last axis as a factor of the rows (the inner axis) of `b`.
fn along_inner(site: &mut Site<'_>, vector: Id, transpose_b: bool) -> Option<Id> {
    let k = site.ty(vector).elements();
    site.reshape(vector, if transpose_b { vec![k] } else { vec![k, 1] })
}

/// Whether a tensor varies along its last axis only.
fn is_vector(shape: &[usize]) -> bool {
    shape.split_last().is_none_or(|(_, leading)| leading.iter().all(|&axis| axis == 1))
}

// (x ∘ c) W = x (diag(c) W), c and W constant, c a vector or one number
fn into_rows(site: &mut Site<'_>) {
    let Some((a, b, transpose_b)) = product(site) else { return };
    if !site.constant(b) {
        return;
    }
    for (x, c) in site.binaries(a, BinaryOp::Mul) {
        if !site.constant(c) || site.shape(x) != site.shape(a) || !is_vector(&site.shape(c)) || site.wide(x) {
            continue;
        }
        let factor = along_inner(site, c, transpose_b);
        let weights = factor.and_then(|factor| site.mul(b, factor));
        let folded = weights.and_then(|weights| site.matmul(x, weights, transpose_b));
        site.equal(folded);
    }
}

// (x + c) W = x W + c W, c and W constant, c a vector
fn offset_behind(site: &mut Site<'_>) {
    let Some((a, b, transpose_b)) = product(site) else { return };
    if !site.constant(b) {
        return;
    }
    for (x, c) in site.binaries(a, BinaryOp::Add) {
        let (shape, k) = (site.shape(c), site.shape(a).last().copied());
        if !site.constant(c)
            || site.shape(x) != site.shape(a)
            || !is_vector(&shape)
            || shape.last().copied() != k
        {
            continue;
        }
        let row = site.reshape(c, vec![1, shape.iter().product()]);
        let offset = row.and_then(|row| site.matmul(row, b, transpose_b));
        let product = site.matmul(x, b, transpose_b);
        let sum =
            product.zip(offset).and_then(|(product, offset)| site.binary(BinaryOp::Add, product, offset));
        site.equal(sum);
    }
}

/// Whether a tensor is a product, perhaps seen in another shape.
fn is_product(site: &Site<'_>, id: Id) -> bool {
    let direct = |id| site.ops(id).into_iter();
    direct(id).any(|(op, inputs)| match op {
        Op::MatMul { .. } => true,
        Op::Reshape { .. } | Op::Transpose { .. } => {
            direct(inputs[0]).any(|(op, _)| matches!(op, Op::MatMul { .. }))
        }
        _ => false,
    })
}

// (x r) B = (x B) r, (x / r) B = (x B) / r, r one number a row, x no product itself: behind a second product, what a softmax
// has not yet divided could leave the range of binary16, in which the machine takes operands
fn row_scale_behind(site: &mut Site<'_>) {
    let Some((a, b, transpose_b)) = product(site) else { return };
    for op in [BinaryOp::Mul, BinaryOp::Div] {
        for (x, r) in site.binaries(a, op) {
            let by_row = site.shape(r).last().is_none_or(|&axis| axis == 1);
            // A number goes into constant weights, and not past them.
            if by_row
                && !(site.constant(r) && site.constant(b))
                && site.shape(x) == site.shape(a)
                && !is_product(site, x)
                && !site.wide(x)
            {
                let product = site.matmul(x, b, transpose_b);
                let scaled = product.and_then(|product| site.binary(op, product, r));
                site.equal(scaled);
            }
        }
    }
}

// A (B s) = (A B) s, s one number
fn matrix_scale_behind(site: &mut Site<'_>) {
    let Some((a, b, transpose_b)) = product(site) else { return };
    for (y, s) in site.binaries(b, BinaryOp::Mul) {
        let number = site.ty(s).elements() == 1 && site.shape(y) == site.shape(b);
        if number && !site.constant(b) && !site.wide(y) {
            let product = site.matmul(a, y, transpose_b);
            let s = site.reshape(s, vec![]);
            let scaled = product.zip(s).and_then(|(product, s)| site.mul(product, s));
            site.equal(scaled);
        }
    }
}

// (x W) ∘ c = x (W diag(c)), (A B) s = (A s) B: c and W constant, c a vector; s one constant number
fn into_columns(site: &mut Site<'_>) {
    if *site.op() != Op::Binary(BinaryOp::Mul) {
        return;
    }
    for (p, c) in [(site.input(0), site.input(1)), (site.input(1), site.input(0))] {
        let shape = site.shape(c);
        if !site.constant(c) || site.constant(p) || !is_vector(&shape) {
            continue;
        }
        for (op, operands) in site.ops(p) {
            let Op::MatMul { transpose_b } = op else { continue };
            let (a, b) = (operands[0], operands[1]);
            let count: usize = shape.iter().product();
            let folded = if site.constant(b) {
                let factor = site.reshape(c, if transpose_b { vec![count, 1] } else { vec![count] });
                let weights = factor.and_then(|factor| site.mul(b, factor));
                weights.and_then(|weights| site.matmul(a, weights, transpose_b))
            } else if count == 1 {
                let s = site.reshape(c, vec![]);
                let scaled = s.and_then(|s| site.mul(a, s));
                scaled.and_then(|scaled| site.matmul(scaled, b, transpose_b))
            } else {
                None
            };
            site.equal(folded);
        }
    }
}

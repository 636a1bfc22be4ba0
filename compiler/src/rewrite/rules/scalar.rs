//! Pointwise algebra: neutral operands, powers and divisions as products, constants gathered.

use egg::Id;

use super::{BINARY, REDUCE, Rule, Site, UNARY};
use crate::graph::{BinaryOp, Op, ReduceOp, UnaryOp};

/// The group.
pub(super) fn rules() -> Vec<Rule> {
    let rule = |name, on, apply| Rule { name, group: "scalar", on, apply };
    vec![
        rule("neutral", BINARY, neutral),
        rule("uniform", BINARY, uniform),
        rule("divide", BINARY, divide),
        rule("power", BINARY, power),
        rule("gather-constants", BINARY, gather_constants),
        rule("signs", BINARY, signs),
        rule("negation", UNARY, negation),
        rule("roots", UNARY, roots),
        rule("sum-of-scaled", REDUCE, sum_of_scaled),
    ]
}

/// The e-node's pointwise operator and operands, if it works on real numbers.
fn binary(site: &Site<'_>) -> Option<(BinaryOp, Id, Id)> {
    match site.op() {
        Op::Binary(op) if site.real(site.input(0)) => Some((*op, site.input(0), site.input(1))),
        _ => None,
    }
}

/// The operands of a commutative e-node in both orders.
fn both(site: &Site<'_>, wanted: BinaryOp) -> Vec<(Id, Id)> {
    match binary(site) {
        Some((op, a, b)) if op == wanted => vec![(a, b), (b, a)],
        _ => Vec::new(),
    }
}

// x 1 = x, x + 0 = x, x − 0 = x, x / 1 = x, x^1 = x
fn neutral(site: &mut Site<'_>) {
    let Some((op, a, b)) = binary(site) else { return };
    let is = |site: &Site<'_>, id, value: f32| site.uniform(id) == Some(value);
    let right = match op {
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Pow => is(site, b, 1.0),
        BinaryOp::Add | BinaryOp::Sub => is(site, b, 0.0),
        _ => false,
    };
    let left = match op {
        BinaryOp::Mul => is(site, a, 1.0),
        BinaryOp::Add => is(site, a, 0.0),
        _ => false,
    };
    if right {
        site.equal(Some(a));
    }
    if left {
        site.equal(Some(b));
    }
}

// x ∘ [c, …, c] = x ∘ c
fn uniform(site: &mut Site<'_>) {
    let Some((op, a, b)) = binary(site) else { return };
    for (i, id) in [a, b].into_iter().enumerate() {
        if let Some(value) = site.uniform(id)
            && !site.shape(id).is_empty()
        {
            let scalar = site.scalar(value);
            let other = if i == 0 { site.binary(op, scalar, b) } else { site.binary(op, a, scalar) };
            site.equal(other);
        }
    }
}

// x / y = x (1 / y)
fn divide(site: &mut Site<'_>) {
    if let Some((BinaryOp::Div, x, y)) = binary(site) {
        let reciprocal = site.unary(UnaryOp::Recip, y);
        let product = reciprocal.and_then(|reciprocal| site.mul(x, reciprocal));
        site.equal(product);
    }
}

// x^2 = x x, x^½ = √x, x^−½ = 1/√x, x^−1 = 1/x
fn power(site: &mut Site<'_>) {
    let Some((BinaryOp::Pow, x, y)) = binary(site) else { return };
    let simple = match site.uniform(y) {
        Some(2.0) => site.mul(x, x),
        Some(0.5) => site.unary(UnaryOp::Sqrt, x),
        Some(-0.5) => site.unary(UnaryOp::Rsqrt, x),
        Some(-1.0) => site.unary(UnaryOp::Recip, x),
        _ => None,
    };
    site.equal(simple);
}

// (x c) d = x (c d), (x + c) + d = x + (c + d): c and d constant
fn gather_constants(site: &mut Site<'_>) {
    for op in [BinaryOp::Mul, BinaryOp::Add] {
        for (y, d) in both(site, op) {
            if !site.constant(d) || site.constant(y) {
                continue;
            }
            for (x, c) in site.binaries(y, op) {
                if site.constant(c) && !site.constant(x) {
                    let gathered = site.binary(op, c, d);
                    let other = gathered.and_then(|gathered| site.binary(op, x, gathered));
                    site.equal(other);
                }
            }
        }
    }
}

// x + (−y) = x − y, x − (−y) = x + y, (−x) c = x (−c), c constant
fn signs(site: &mut Site<'_>) {
    for (x, n) in both(site, BinaryOp::Add) {
        for y in site.unaries(n, UnaryOp::Neg) {
            let difference = site.binary(BinaryOp::Sub, x, y);
            site.equal(difference);
        }
    }
    if let Some((BinaryOp::Sub, x, n)) = binary(site) {
        for y in site.unaries(n, UnaryOp::Neg) {
            let sum = site.binary(BinaryOp::Add, x, y);
            site.equal(sum);
        }
    }
    for (n, c) in both(site, BinaryOp::Mul) {
        if site.constant(c) && !site.constant(n) {
            for x in site.unaries(n, UnaryOp::Neg) {
                let negated = site.unary(UnaryOp::Neg, c);
                let product = negated.and_then(|negated| site.mul(x, negated));
                site.equal(product);
            }
        }
    }
}

// −(−x) = x, −(x c) = x (−c): c constant
fn negation(site: &mut Site<'_>) {
    if *site.op() != Op::Unary(UnaryOp::Neg) || !site.real(site.class()) {
        return;
    }
    let a = site.input(0);
    for x in site.unaries(a, UnaryOp::Neg) {
        site.equal(Some(x));
    }
    for (x, c) in site.binaries(a, BinaryOp::Mul) {
        if site.constant(c) && !site.constant(x) {
            let negated = site.unary(UnaryOp::Neg, c);
            let product = negated.and_then(|negated| site.mul(x, negated));
            site.equal(product);
        }
    }
}

// 1/√x: of a root the reciprocal, of a reciprocal the root
fn roots(site: &mut Site<'_>) {
    let inner = match site.op() {
        Op::Unary(UnaryOp::Recip) => UnaryOp::Sqrt,
        Op::Unary(UnaryOp::Sqrt) => UnaryOp::Recip,
        _ => return,
    };
    for x in site.unaries(site.input(0), inner) {
        let root = site.unary(UnaryOp::Rsqrt, x);
        site.equal(root);
    }
}

// Σ x s = (Σ x) s, s one number
fn sum_of_scaled(site: &mut Site<'_>) {
    let Op::Reduce { op: ReduceOp::Sum, axis } = *site.op() else { return };
    let a = site.input(0);
    if !site.real(a) {
        return;
    }
    for (x, s) in site.binaries(a, BinaryOp::Mul) {
        if site.ty(s).elements() == 1 && site.shape(x) == site.shape(a) {
            let sum = site.reduce(ReduceOp::Sum, x, axis);
            let s = site.reshape(s, vec![]);
            let scaled = sum.zip(s).and_then(|(sum, s)| site.mul(sum, s));
            site.equal(scaled);
        }
    }
}

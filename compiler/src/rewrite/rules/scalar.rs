//! Pointwise algebra: neutral operands, powers and divisions as products, constants gathered.

use std::collections::BTreeMap;

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
        rule("sigmoid-as-tanh", UNARY, sigmoid_as_tanh),
        rule("root-of-scaled", UNARY, root_of_scaled),
        rule("sum-of-scaled", REDUCE, sum_of_scaled),
        rule("number-out", BINARY, number_out),
        rule("number-in", BINARY, number_in),
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

// 1 / (1 + e^−x) = ½ (1 + tanh(½ x)): x σ(x) becomes h + h tanh h, and the half of h goes into weights
fn sigmoid_as_tanh(site: &mut Site<'_>) {
    if *site.op() != Op::Unary(UnaryOp::Sigmoid) {
        return;
    }
    let x = site.input(0);
    let (half, one) = (site.scalar(0.5), site.scalar(1.0));
    let result = (|| {
        let h = site.mul(x, half)?;
        let tanh = site.unary(UnaryOp::Tanh, h)?;
        let sum = site.binary(BinaryOp::Add, tanh, one)?;
        site.mul(sum, half)
    })();
    site.equal(result);
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

// 1/√(x s + e) = (1/√(x + e/s)) (1/√s), s and e numbers above zero
fn root_of_scaled(site: &mut Site<'_>) {
    if *site.op() != Op::Unary(UnaryOp::Rsqrt) {
        return;
    }
    for (y, e) in site.binaries(site.input(0), BinaryOp::Add) {
        for (x, s) in site.binaries(y, BinaryOp::Mul) {
            let (Some(e), Some(s)) = (site.uniform(e), site.uniform(s)) else { continue };
            let quotient = e / s;
            // Neither tiny nor huge, so that nothing overflows or vanishes on the way.
            if e <= 0.0 || !(1e-9..1e9).contains(&s) || site.constant(x) {
                continue;
            }
            let (e, s) = (site.scalar(quotient), site.scalar(1.0 / s.sqrt()));
            let sum = site.binary(BinaryOp::Add, x, e);
            let root = sum.and_then(|sum| site.unary(UnaryOp::Rsqrt, sum));
            let scaled = root.and_then(|root| site.mul(root, s));
            site.equal(scaled);
        }
    }
}

/// Whether a class is one constant number, of rank 0.
fn number(site: &Site<'_>, id: Id) -> bool {
    site.constant(id) && site.shape(id).is_empty()
}

// x (y s) = (x y) s, s a constant number
fn number_out(site: &mut Site<'_>) {
    for (x, scaled) in both(site, BinaryOp::Mul) {
        if site.constant(x) || site.constant(scaled) {
            continue;
        }
        for (y, s) in site.binaries(scaled, BinaryOp::Mul) {
            if number(site, s) && !site.constant(y) {
                let product = site.mul(x, y);
                let result = product.and_then(|product| site.mul(product, s));
                site.equal(result);
            }
        }
    }
}

/// How many operators may lie between a number and the constants that it goes into.
const DEPTH: usize = 8;

// x s = x with s in its constants, s a constant number: (a b) s = (a s) b, (a + b) s = a s + b s, (a W) s = a (W s). Nothing
// on the way becomes a term of its own: numbers that stop anywhere would multiply with all others in all places.
fn number_in(site: &mut Site<'_>) {
    for (y, s) in both(site, BinaryOp::Mul) {
        if number(site, s) && !site.constant(y) {
            let scaled = absorb(site, y, s, DEPTH, &mut BTreeMap::new());
            site.equal(scaled);
        }
    }
}

/// `x s`, where that reaches constants. Classes from which it does not, within a depth, are in `failed`: many ways lead to each of them.
fn absorb(site: &mut Site<'_>, x: Id, s: Id, depth: usize, failed: &mut BTreeMap<Id, usize>) -> Option<Id> {
    if site.constant(x) {
        return site.mul(x, s);
    }
    if failed.get(&x).is_some_and(|&within| depth <= within) {
        return None;
    }
    let below = depth.checked_sub(1)?;
    for (op, inputs) in site.ops(x) {
        let scaled = match op {
            Op::MatMul { .. } | Op::Binary(BinaryOp::Mul) => {
                // The constant operand if there is one, else whatever takes it.
                let order = if site.constant(inputs[1]) { [1, 0] } else { [0, 1] };
                order.into_iter().find_map(|i| {
                    let mut operands = [inputs[0], inputs[1]];
                    operands[i] = absorb(site, operands[i], s, below, failed)?;
                    site.add(op.clone(), &operands)
                })
            }
            Op::Binary(BinaryOp::Add | BinaryOp::Sub) => {
                let a = absorb(site, inputs[0], s, below, failed);
                let b = a.and_then(|_| absorb(site, inputs[1], s, below, failed));
                a.zip(b).and_then(|(a, b)| site.add(op, &[a, b]))
            }
            Op::Unary(UnaryOp::Neg) | Op::Reshape { .. } | Op::Transpose { .. } => {
                absorb(site, inputs[0], s, below, failed).and_then(|a| site.add(op, &[a]))
            }
            _ => None,
        };
        if scaled.is_some() {
            return scaled;
        }
    }
    failed.insert(x, depth);
    None
}

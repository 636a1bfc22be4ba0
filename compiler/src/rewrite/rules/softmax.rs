//! Softmax in parts, so that its division can go behind the product that follows.

use super::{Rule, SOFTMAX, Site};
use crate::graph::{BinaryOp, Op, ReduceOp, UnaryOp};

/// The group.
pub(super) fn rules() -> Vec<Rule> {
    vec![Rule { name: "softmax-parts", group: "softmax", on: SOFTMAX, apply: parts }]
}

// softmax(x) = e (1 / Σ e), e = exp(x − max x)
fn parts(site: &mut Site<'_>) {
    let Op::Softmax { axis } = *site.op() else { return };
    let x = site.input(0);
    let result = (|| {
        let max = site.reduce(ReduceOp::Max, x, axis)?;
        let shifted = site.binary(BinaryOp::Sub, x, max)?;
        let e = site.unary(UnaryOp::Exp, shifted)?;
        let sum = site.reduce(ReduceOp::Sum, e, axis)?;
        let reciprocal = site.unary(UnaryOp::Recip, sum)?;
        site.mul(e, reciprocal)
    })();
    site.equal(result);
}

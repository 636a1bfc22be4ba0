//! Attention heads as batches of products, instead of as stretches of lanes that have to be moved apart and together; and
//! keys and values that several heads share, read once.

use egg::Id;

use super::{MATMUL, RESHAPE, Rule, Site, TRANSPOSE};
use crate::graph::{Op, ReduceOp};

/// The group.
pub(super) fn rules() -> Vec<Rule> {
    let rule = |name, on, apply| Rule { name, group: "heads", on, apply };
    vec![
        rule("split-heads", TRANSPOSE, split_heads),
        rule("split-heads-of-one", RESHAPE, split_heads_of_one),
        // Its weights leave most lanes of each vector empty: a group of its own, so that it can be left out where SRAM is short.
        Rule { name: "merge-heads", group: "merge", on: MATMUL, apply: merge_heads },
        rule("shared-heads", MATMUL, shared_heads),
    ]
}

/// `[b, s, h, d] → [b, h, s, d]`, and back.
const HEADS_FIRST: [usize; 4] = [0, 2, 1, 3];

// heads(y W) = y W_h: transpose(reshape(y W, [b, s, h, d])) = y [h, k, d]
fn split_heads(site: &mut Site<'_>) {
    if !matches!(site.op(), Op::Transpose { permutation } if *permutation == HEADS_FIRST) {
        return;
    }
    let heads = site.input(0);
    let &[b, s, h, d] = site.shape(heads).as_slice() else { return };
    for inputs in site.find(heads, |op| matches!(op, Op::Reshape { .. })) {
        if site.shape(inputs[0]) == [b, s, h * d] {
            split(site, inputs[0], h, d);
        }
    }
}

// The same for one row, where the transpose is no more than a reshape: reshape(y W, [b, h, 1, d]) = y [h, k, d]
fn split_heads_of_one(site: &mut Site<'_>) {
    let &[b, h, 1, d] = site.shape(site.class()).as_slice() else { return };
    let product = site.input(0);
    if site.shape(product) == [b, 1, h * d] {
        split(site, product, h, d);
    }
}

/// Every product `y W` of a class `[b, s, h·d]`, as one product a head.
fn split(site: &mut Site<'_>, product: Id, h: usize, d: usize) {
    for (op, inputs) in site.ops(product) {
        let Op::MatMul { transpose_b } = op else { continue };
        let (y, weights) = (inputs[0], inputs[1]);
        let &[b, s, k] = site.shape(y).as_slice() else { continue };
        if h == 1 || !site.constant(weights) || site.shape(weights).len() != 2 {
            continue;
        }
        let result = (|| {
            let y = site.reshape(y, vec![b, 1, s, k])?;
            let weights = if transpose_b {
                site.reshape(weights, vec![h, d, k])?
            } else {
                let columns = site.reshape(weights, vec![k, h, d])?;
                site.transpose(columns, vec![1, 0, 2])?
            };
            site.matmul(y, weights, transpose_b)
        })();
        site.equal(result);
    }
}

// unheads(o) W = Σ_h o_h W_h
fn merge_heads(site: &mut Site<'_>) {
    let Op::MatMul { transpose_b } = *site.op() else { return };
    let (joined, weights) = (site.input(0), site.input(1));
    let (&[b, s, k], &[..]) = (site.shape(joined).as_slice(), site.shape(weights).as_slice()) else { return };
    if !site.constant(weights) || site.shape(weights).len() != 2 || site.constant(joined) {
        return;
    }
    for apart in site.find(joined, |op| matches!(op, Op::Reshape { .. })) {
        let mut heads: Vec<Id> = vec![];
        let turned = |op: &Op| matches!(op, Op::Transpose { permutation } if *permutation == HEADS_FIRST);
        heads.extend(site.find(apart[0], turned).into_iter().map(|inputs| inputs[0]));
        if s == 1 {
            heads.push(apart[0]);
        }
        for o in heads {
            let &[ob, h, os, d] = site.shape(o).as_slice() else { continue };
            if (ob, os, h * d) == (b, s, k) && h > 1 {
                let result = sum_of_heads(site, o, weights, transpose_b, [b, s, h, d]);
                site.equal(result);
            }
        }
    }
}

fn sum_of_heads(
    site: &mut Site<'_>,
    o: Id,
    weights: Id,
    transpose_b: bool,
    [b, s, h, d]: [usize; 4],
) -> Option<Id> {
    let n = site.shape(weights)[usize::from(!transpose_b)];
    let weights = if transpose_b {
        let rows = site.reshape(weights, vec![n, h, d])?;
        site.transpose(rows, vec![1, 0, 2])?
    } else {
        site.reshape(weights, vec![h, d, n])?
    };
    let products = site.matmul(o, weights, transpose_b)?;
    let sum = site.reduce(ReduceOp::Sum, products, 1)?;
    site.reshape(sum, vec![b, s, n])
}

// q_h · repeat(x)_h = (q_g,1; …; q_g,r) · x_g: heads that share a matrix become rows of one product
fn shared_heads(site: &mut Site<'_>) {
    let Op::MatMul { transpose_b } = *site.op() else { return };
    let (q, repeated) = (site.input(0), site.input(1));
    let (&[b, h, m, k], &[rb, rh, rows, columns]) =
        (site.shape(q).as_slice(), site.shape(repeated).as_slice())
    else {
        return;
    };
    if (b, h) != (rb, rh) {
        return;
    }
    for wide in site.find(repeated, |op| matches!(op, Op::Reshape { .. })) {
        let &[wb, g, r, wrows, wcolumns] = site.shape(wide[0]).as_slice() else { continue };
        if (wb, g * r, wrows, wcolumns) != (b, h, rows, columns) || r == 1 {
            continue;
        }
        for narrow in site.find(wide[0], |op| matches!(op, Op::Expand { .. })) {
            if site.shape(narrow[0]) != [b, g, 1, rows, columns] {
                continue;
            }
            let result = (|| {
                let once = site.reshape(narrow[0], vec![b, g, rows, columns])?;
                let stacked = site.reshape(q, vec![b, g, r * m, k])?;
                let product = site.matmul(stacked, once, transpose_b)?;
                let n = *site.shape(product).last()?;
                site.reshape(product, vec![b, h, m, n])
            })();
            site.equal(result);
        }
    }
}

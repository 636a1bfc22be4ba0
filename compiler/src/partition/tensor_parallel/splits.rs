//! Which part of a tensor a chip of a group has.

/// An axis that is cut into equal parts. The chip of rank r has part r / stride mod parts; chips that agree in that have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Split {
    /// Which axis.
    pub axis: usize,
    /// Into how many parts.
    pub parts: usize,
    /// Ranks from one part to the next.
    pub stride: usize,
}

impl Split {
    /// The part of a chip.
    pub fn part(&self, rank: usize) -> usize {
        rank / self.stride % self.parts
    }
}

/// The shape of a chip's part.
pub(super) fn local(shape: &[usize], splits: &[Split]) -> Vec<usize> {
    let mut shape = shape.to_vec();
    splits.iter().for_each(|split| shape[split.axis] /= split.parts);
    shape
}

/// The splits of an operand as those of a result that it broadcasts to.
pub(super) fn aligned(splits: &[Split], rank: usize, result_rank: usize) -> Vec<Split> {
    splits.iter().map(|split| Split { axis: split.axis + result_rank - rank, ..*split }).collect()
}

/// How an operand must be cut so that a result is: along those axes that it has in full length.
pub(super) fn projected(splits: &[Split], result: &[usize], operand: &[usize]) -> Vec<Split> {
    let ahead = result.len() - operand.len();
    let own = |split: &&Split| split.axis >= ahead && operand[split.axis - ahead] != 1;
    splits.iter().filter(own).map(|split| Split { axis: split.axis - ahead, ..*split }).collect()
}

/// Both lists of splits as one; nothing if they cut an axis differently, or two axes by the same digit of the rank.
pub(super) fn joined(one: &[Split], other: &[Split]) -> Option<Vec<Split>> {
    let mut all = [one, other].concat();
    all.sort_unstable();
    all.dedup();
    let independent = |a: &Split, b: &Split| {
        a.axis != b.axis && (a.stride >= b.stride * b.parts || b.stride >= a.stride * a.parts)
    };
    let clash = (0..all.len()).any(|at| all[..at].iter().any(|other| !independent(other, &all[at])));
    (!clash).then_some(all)
}

/// The splits of a tensor under another shape: a run of axes with as many elements is cut at its front, as before. Nothing if the parts are no
/// longer equal pieces of axes.
pub(super) fn reshaped(splits: &[Split], from: &[usize], to: &[usize]) -> Option<Vec<Split>> {
    let (mut at, mut new) = (0, 0);
    let mut result = Vec::new();
    while at < from.len() || new < to.len() {
        let (first, new_first) = (at, new);
        let (mut product, mut new_product) = (1, 1);
        loop {
            if product <= new_product && at < from.len() && (product < new_product || at == first) {
                product *= from[at];
                at += 1;
            } else if new < to.len() && (new_product < product || new == new_first) {
                new_product *= to[new];
                new += 1;
            } else {
                break;
            }
            if product == new_product && at > first && new > new_first {
                break;
            }
        }
        // Axes of one element at the end belong to this run.
        while at == from.len() && new < to.len() && to[new] == 1 {
            new += 1;
        }
        while new == to.len() && at < from.len() && from[at] == 1 {
            at += 1;
        }
        if product != new_product {
            return None;
        }
        let own: Vec<Split> =
            splits.iter().copied().filter(|split| (first..at).contains(&split.axis)).collect();
        result.extend(in_run(&own, (first, &from[first..at]), (new_first, &to[new_first..new]))?);
    }
    Some(result)
}

/// The splits of a run of axes, as another run of as many elements.
fn in_run(
    splits: &[Split],
    (first, from): (usize, &[usize]),
    (new, to): (usize, &[usize]),
) -> Option<Vec<Split>> {
    let Some(last) = splits.last() else { return Some(Vec::new()) };
    // The parts are equal pieces of the run if all axes before a cut one are cut to single elements.
    let parts_of =
        |axis: usize| splits.iter().find(|split| split.axis == axis + first).map_or(1, |split| split.parts);
    let mut stride = last.stride;
    for split in splits.iter().rev() {
        if split.stride != stride || (0..split.axis - first).any(|axis| parts_of(axis) != from[axis]) {
            return None;
        }
        stride *= split.parts;
    }
    let mut left: usize = splits.iter().map(|split| split.parts).product();
    let mut result = Vec::new();
    for (axis, &length) in to.iter().enumerate().filter(|(_, length)| **length > 1) {
        if left == 1 {
            break;
        }
        let parts = match (left.is_multiple_of(length), length.is_multiple_of(left)) {
            (true, _) => length,
            (false, true) => left,
            (false, false) => return None,
        };
        left /= parts;
        result.push(Split { axis: axis + new, parts, stride: left * last.stride });
    }
    (left == 1).then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(axis: usize, parts: usize, stride: usize) -> Split {
        Split { axis, parts, stride }
    }

    #[test]
    fn heads_are_cut_before_their_elements() {
        let heads = reshaped(&[split(2, 4, 1)], &[1, 1, 4096], &[1, 8, 4, 128]);
        assert_eq!(heads, Some(vec![split(1, 4, 1)]));
        assert_eq!(
            reshaped(&heads.expect("so it is"), &[1, 8, 4, 128], &[1, 1, 4096]),
            Some(vec![split(2, 4, 1)])
        );
        // Sixteen chips, four heads of keys: four chips share a group of queries.
        let groups = reshaped(&[split(2, 16, 1)], &[1, 1, 8192], &[1, 4, 16, 128]);
        assert_eq!(groups, Some(vec![split(1, 4, 4), split(2, 4, 1)]));
        assert_eq!(reshaped(&[split(1, 3, 1)], &[1, 6], &[2, 3]), None);
        assert_eq!(reshaped(&[split(0, 2, 1)], &[4, 1], &[4]), Some(vec![split(0, 2, 1)]));
        assert_eq!(reshaped(&[split(0, 2, 1)], &[4], &[1, 4, 1, 1]), Some(vec![split(1, 2, 1)]));
    }

    #[test]
    fn splits_of_two_operands_agree_or_are_independent() {
        let (heads, rows) = (split(1, 4, 4), split(2, 4, 1));
        assert_eq!(joined(&[heads, rows], &[heads]), Some(vec![heads, rows]));
        assert_eq!(joined(&[heads], &[split(1, 8, 2)]), None);
        assert_eq!(joined(&[rows], &[split(3, 4, 1)]), None);
    }
}

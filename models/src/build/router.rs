//! Which experts work for a token, and with what shares.
//!
//! What is chosen is found by counting: of n scores, the greatest k are those that fewer than k others beat. Of equal scores the first beats the
//! others. That is true for all scores, and needs no sorting. Of few scores each is compared with each; of many, k times the greatest of those that
//! are left is found, and products with constant matrices count those before it.

use compiler::graph::eval::Tensor;
use compiler::graph::{BinaryOp, ElementType, NodeId, Op, ReduceOp, UnaryOp};

use super::parts::{Made, Parts};
use crate::config::{Experts, Score};

/// Experts of a group whose scores make the group's.
const OF_A_GROUP: usize = 2;

/// The name of what finds the greatest scores.
const GREATEST: &str = "mlp.gate.greatest";

/// Up to so many scores for each that is chosen are compared each with each: on the presets that takes fewer cycles.
const FEW_A_CHOICE: usize = 10;

/// The least that a sum of shares is taken for.
const TINY: f32 = 1e-20;

/// The experts of each token, the one with the greatest score first.
pub(super) struct Routed {
    /// Their numbers: [batch, active, 1].
    pub(super) experts: NodeId,
    /// Their shares: [batch, active, 1].
    pub(super) shares: NodeId,
}

/// Scores [batch, experts].
struct Scores {
    /// What shares are made of.
    shares: NodeId,
    /// What experts are chosen by, lowest where they cannot be.
    choice: NodeId,
}

impl Parts<'_> {
    /// Each expert's share in each token, zero for those that are not chosen: [batch, experts].
    pub(super) fn shares(&mut self, h: NodeId, shape: Experts) -> Made {
        let scores = self.scores(h, shape)?;
        let chosen = self.greatest(scores.choice, shape.active)?;
        let nothing = self.real(0.0);
        let shares = self.push(Op::Select, &[chosen, scores.shares, nothing], "mlp.gate.chosen")?;
        self.over_their_sum(shares, shape)
    }

    /// The experts that work for each token, and their shares.
    pub(super) fn routed(&mut self, h: NodeId, shape: Experts) -> Result<Routed, String> {
        let name = "mlp.gate.slots";
        let scores = self.scores(h, shape)?;
        let (count, active) = (shape.experts, shape.active);
        let batch = self.graph.shape(scores.choice)[0];
        let ranks = self.ranks(scores.choice, active)?;
        let ranks = self.reshape(ranks, &[batch, 1, count], name)?;
        let number = |at: usize| at as f32;
        let places =
            self.constant(Tensor::f32([active, 1], (0..active).map(number).collect::<Vec<f32>>()), name);
        let here = self.binary(BinaryOp::Equal, ranks, places, name)?;
        let nothing = self.real(0.0);
        let of_slot = |parts: &mut Self, of_each: NodeId| {
            let own = parts.push(Op::Select, &[here, of_each, nothing], name)?;
            parts.reduce(ReduceOp::Sum, own, 2, name)
        };
        let numbers = self.constant(Tensor::f32([count], (0..count).map(number).collect::<Vec<f32>>()), name);
        let experts = of_slot(self, numbers)?;
        // They are whole already, which a chip cannot know.
        let experts = self.unary(UnaryOp::Round, experts, name)?;
        let experts = self.push(Op::Cast(ElementType::I32), &[experts], name)?;
        let shares = self.reshape(scores.shares, &[batch, 1, count], name)?;
        let shares = of_slot(self, shares)?;
        Ok(Routed { experts, shares: self.over_their_sum(shares, shape)? })
    }

    fn scores(&mut self, h: NodeId, shape: Experts) -> Result<Scores, String> {
        let (count, router) = (shape.experts, shape.router);
        let name = "mlp.gate";
        let batch = self.graph.shape(h)[0];
        let logits = self.linear(h, name, count)?;
        let logits = self.reshape(logits, &[batch, count], name)?;
        let (shares, choice) = match router.score {
            Score::Softmax => {
                let logits = match router.bias {
                    true => {
                        let bias = self.weight("mlp.gate.bias", &[count]);
                        self.binary(BinaryOp::Add, logits, bias, name)?
                    }
                    false => logits,
                };
                // The greatest of all is the greatest of those chosen, and so nothing grows beyond 1.
                let greatest = self.reduce(ReduceOp::Max, logits, 1, name)?;
                let below = self.binary(BinaryOp::Sub, logits, greatest, name)?;
                (self.unary(UnaryOp::Exp, below, name)?, logits)
            }
            Score::Sigmoid => {
                let scores = self.unary(UnaryOp::Sigmoid, logits, name)?;
                let choice = match router.bias {
                    true => {
                        let bias = self.weight("mlp.gate.e_score_correction_bias", &[count]);
                        self.binary(BinaryOp::Add, scores, bias, name)?
                    }
                    false => scores,
                };
                (scores, choice)
            }
        };
        Ok(Scores { shares, choice: self.open(choice, shape)? })
    }

    /// Shares [batch, n, ..] over their sum, times the router's scale.
    fn over_their_sum(&mut self, shares: NodeId, shape: Experts) -> Made {
        let name = "mlp.gate.shares";
        let sum = self.reduce(ReduceOp::Sum, shares, 1, name)?;
        let tiny = self.real(TINY);
        let sum = self.binary(BinaryOp::Add, sum, tiny, name)?;
        let part = self.unary(UnaryOp::Recip, sum, name)?;
        let shares = self.binary(BinaryOp::Mul, shares, part, name)?;
        match shape.router.scale {
            1.0 => Ok(shares),
            scale => self.scaled(shares, scale as f32, "mlp.gate.scale"),
        }
    }

    /// Scores [batch, experts] of those experts whose groups are open, which are those with the best experts; the others' are the lowest.
    fn open(&mut self, scores: NodeId, shape: Experts) -> Made {
        let (groups, active) = (shape.router.groups, shape.router.active_groups);
        let batch = self.graph.shape(scores)[0];
        let count = shape.experts;
        if groups == 0 || !count.is_multiple_of(groups) || active > groups {
            return Err(format!("{active} of {groups} groups of {count} experts cannot be chosen"));
        }
        let each = count / groups;
        if shape.active > active * each {
            return Err(format!("{} experts cannot be chosen of {active} groups of {each}", shape.active));
        }
        if active == groups {
            return Ok(scores);
        }
        let name = "mlp.gate.groups";
        let grouped = self.reshape(scores, &[batch * groups, each], name)?;
        let best = self.greatest(grouped, OF_A_GROUP.min(each))?;
        let nothing = self.real(0.0);
        let best = self.push(Op::Select, &[best, grouped, nothing], name)?;
        let of_group = self.reduce(ReduceOp::Sum, best, 1, name)?;
        let of_group = self.reshape(of_group, &[batch, groups], name)?;
        let open = self.greatest(of_group, active)?;
        let open = self.reshape(open, &[batch * groups, 1], name)?;
        let lowest = self.real(f32::MIN);
        let scores = self.push(Op::Select, &[open, grouped, lowest], name)?;
        self.reshape(scores, &[batch, count], name)
    }

    /// Which scores of each row [rows, n] are among the greatest `k`, as truths of that shape: those that fewer than k others beat.
    fn greatest(&mut self, scores: NodeId, k: usize) -> Made {
        let ranks = self.ranks(scores, k)?;
        // Ranks are whole numbers.
        let enough = self.real(k as f32 - 0.5);
        self.binary(BinaryOp::Less, ranks, enough, GREATEST)
    }

    /// How many others beat each score of each row [rows, n], for the `k` greatest; for the others, `k` or more.
    fn ranks(&mut self, scores: NodeId, k: usize) -> Made {
        let [_, n] = self.graph.shape(scores)[..] else { return Err("scores are not rows".to_owned()) };
        if n > FEW_A_CHOICE * k { self.ranks_by_maxima(scores, k) } else { self.ranks_of_all(scores) }
    }

    /// Ranks of the `k` greatest, and for the others more.
    fn ranks_by_maxima(&mut self, scores: NodeId, k: usize) -> Made {
        let [rows, n] = self.graph.shape(scores)[..] else { return Err("scores are not rows".to_owned()) };
        let name = GREATEST;
        let (one, nothing, lowest) = (self.real(1.0), self.real(0.0), self.real(f32::NEG_INFINITY));
        // [2, n, n]: a row times the first counts in each place those before it, times the second all.
        let counts: Vec<bool> = (0..2 * n * n).map(|at| at >= n * n || at / n < at % n).collect();
        let counts = self.constant(Tensor::bool([2, n, n], counts), "counts");
        let counts = self.push(Op::Cast(ElementType::F32), &[counts], name)?;
        let (mut ranks, mut greater, mut left) = (self.real(n as f32), nothing, scores);
        for turn in 0..k {
            let most = self.reduce(ReduceOp::Max, left, 1, name)?;
            let equal = self.binary(BinaryOp::Equal, scores, most, name)?;
            let ones = self.push(Op::Select, &[equal, one, nothing], name)?;
            let ones = self.reshape(ones, &[1, rows, n], name)?;
            let counted = self.matmul(ones, counts, name)?;
            let of = |parts: &mut Self, start: usize| {
                let own = Op::Slice { axis: 0, start, count: 1, step: 1 };
                let own = parts.push(own, &[counted], name)?;
                parts.reshape(own, &[rows, n], name)
            };
            let before = of(self, 0)?;
            let rank = self.binary(BinaryOp::Add, before, greater, name)?;
            ranks = self.push(Op::Select, &[equal, rank, ranks], name)?;
            if turn + 1 < k {
                let all = of(self, 1)?;
                greater = self.binary(BinaryOp::Add, greater, all, name)?;
                let less = self.binary(BinaryOp::Less, scores, most, name)?;
                left = self.push(Op::Select, &[less, scores, lowest], name)?;
            }
        }
        Ok(ranks)
    }

    /// How many others beat each score of each row [rows, n].
    fn ranks_of_all(&mut self, scores: NodeId) -> Made {
        let name = GREATEST;
        let [rows, n] = self.graph.shape(scores)[..] else { return Err("scores are not rows".to_owned()) };
        // Those along the last axis beat, those along the middle one are beaten.
        let others = self.reshape(scores, &[rows, 1, n], name)?;
        let own = self.reshape(scores, &[rows, n, 1], name)?;
        let greater = self.binary(BinaryOp::Less, own, others, name)?;
        let equal = self.binary(BinaryOp::Equal, own, others, name)?;
        let before: Vec<bool> = (0..n * n).map(|at| at % n < at / n).collect();
        let before = self.constant(Tensor::bool([n, n], before), "before");
        let equal = self.binary(BinaryOp::And, equal, before, name)?;
        let beats = self.binary(BinaryOp::Or, greater, equal, name)?;
        let (one, nothing) = (self.real(1.0), self.real(0.0));
        let beats = self.push(Op::Select, &[beats, one, nothing], name)?;
        let count = self.reduce(ReduceOp::Sum, beats, 2, name)?;
        self.reshape(count, &[rows, n], name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use compiler::graph::Graph;
    use compiler::graph::eval::{Data, evaluate};

    use super::*;
    use crate::Config;

    /// Scores [2, 30], many of which are equal: the greatest k by maxima, by comparing each with each, and by sorting.
    #[test]
    fn both_ways_choose_the_same_and_the_first_of_equal_scores() {
        const N: usize = 30;
        let config = Config::preset("mixtral-8x7b").expect("a preset");
        for (k, values) in [(1, 7), (2, 3), (4, 5), (8, 2), (3, 1), (5, 1000)] {
            let mut parts = Parts { config, graph: Graph::default() };
            let scores = parts.given("scores", ElementType::F32, &[2, N]);
            let ways = [parts.ranks_by_maxima(scores, k), parts.ranks_of_all(scores)];
            for (name, ranks) in ["maxima", "each"].into_iter().zip(ways) {
                parts.output(name, ranks.expect("ranks"));
            }
            let given: Vec<f32> = (0..2 * N).map(|at| (at * 7919 % 1009 % values) as f32 - 2.0).collect();
            let inputs = BTreeMap::from([("scores".to_owned(), Tensor::f32([2, N], given.clone()))]);
            let results = evaluate(&parts.graph, &inputs, None).expect("values");
            for row in 0..2 {
                let own = &given[row * N..][..N];
                let mut sorted: Vec<usize> = (0..N).collect();
                sorted.sort_by(|&a, &b| own[b].total_cmp(&own[a]));
                for name in ["maxima", "each"] {
                    let Data::F32(ranks) = &results[name].data else { panic!("{name} are no numbers") };
                    for (rank, &at) in sorted.iter().enumerate() {
                        let found = ranks[row * N + at];
                        let right = if rank < k { found == rank as f32 } else { found >= k as f32 };
                        assert!(right, "{name}, k {k}, row {row}: score {at} has rank {found}, not {rank}");
                    }
                }
            }
        }
    }
}

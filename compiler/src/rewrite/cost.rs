//! What a tensor operator costs on the machine, in cycles.
//!
//! Two numbers an operator: its *latency*, which the operators after it wait for, and its *work*, the time for which it
//! occupies the unit that limits it. A form's price is the longest chain of latencies and works, plus the sum of all works:
//! the machine overlaps whatever does not depend, but each unit does one thing at a time. The figures come from the chip's
//! description and follow the way of the data: out of a MEM slice, along the row to a unit, through it, and back.
//! They order forms; the cycles that are reported come from the schedule.

use super::analysis::{Fact, Tensors};
use super::language::Term;
use crate::graph::{Op, TensorType, UnaryOp};

/// Parts of a cycle that prices are counted in, so that less than a cycle of work is not lost.
pub(super) const TICKS: u64 = 16;

/// Bytes of a weight on its way to the MXM (binary16).
const WEIGHT_BYTES: u64 = 2;

/// Streams that weights leave free, for activations, results and vector work.
const OTHER_STREAMS: u64 = 8;

/// Price of one operator, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    /// What whoever takes the result waits, beside the work.
    pub(super) latency: u64,
    /// How long the limiting unit is busy.
    pub(super) work: u64,
}

/// The chip's figures that prices are made of; cycles unless said otherwise.
#[derive(Clone, Debug)]
pub(super) struct Model {
    lanes: u64,
    alus: u64,
    /// Rows of weights (one lane vector of bytes each) that reach the planes in a cycle.
    weight_streams: u64,
    /// Outputs of a plane.
    plane_rows: u64,
    /// Pairs of planes: each takes one binary16 vector per cycle.
    plane_pairs: u64,
    /// One ALU after another.
    alu: u64,
    /// From SRAM to the VXM and back to SRAM.
    pass: u64,
    /// From SRAM to the MXM, through it, to SRAM.
    product: u64,
    /// From SRAM through the SXM and back.
    lane_move: u64,
    /// Sum or maximum over the lanes of a vector: a rotation and an ALU for each halving.
    lane_reduction: u64,
}

impl Model {
    /// The prices of a chip.
    pub(super) fn new(chip: &isa::Chip) -> Model {
        let d = &chip.latency;
        let [read, write, vxm, product, accumulate, sxm] =
            [d.read, d.write, d.vxm, d.product, d.accumulate, d.sxm].map(u64::from);
        let across = u64::from(chip.mem.slices_per_hemisphere);
        let stagger = u64::from(chip.stagger());
        let lanes = chip.lanes.max(1) as u64;
        let halvings = u64::from(lanes.next_power_of_two().ilog2());
        // A word lies half-way out on average, so there and back is once across.
        let pass = read + across + vxm + write + stagger;
        Model {
            lanes,
            alus: u64::from(chip.vxm.alus).max(1),
            weight_streams: (2 * u64::from(chip.streams)).saturating_sub(OTHER_STREAMS).max(1),
            plane_rows: u64::from(chip.mxm.rows).max(1),
            plane_pairs: u64::from(chip.mxm.planes_per_hemisphere).max(1),
            alu: vxm,
            pass,
            product: pass + across + product + stagger + accumulate,
            lane_move: pass + across + 2 * (sxm + stagger),
            lane_reduction: pass + halvings * (sxm + stagger + vxm),
        }
    }

    /// Price of a term of the e-graph. Constant expressions cost next to nothing, so that the shortest is taken.
    pub(super) fn price(&self, tensors: &Tensors, term: &Term, fact: &Fact) -> Cost {
        let Term::Apply(op, inputs) = term else { return Cost { latency: 0, work: 0 } };
        if fact.constant {
            return Cost { latency: 1, work: 1 };
        }
        let facts: Vec<&Fact> = inputs.iter().map(|&id| &tensors[id].data).collect();
        let cost = self.operator(op, &facts, &fact.ty);
        // At least one tick, which keeps every form without cycles cheaper than one with.
        Cost { latency: (cost.latency * TICKS).max(1), work: cost.work }
    }

    /// Latency in cycles, work in ticks.
    fn operator(&self, op: &Op, inputs: &[&Fact], ty: &TensorType) -> Cost {
        let vectors = self.vectors(ty) * TICKS;
        let view = Cost { latency: 0, work: 0 };
        let pointwise = Cost { latency: self.alu, work: vectors / self.alus };
        let copy = Cost { latency: self.pass, work: vectors };
        let lane_move = Cost { latency: self.lane_move, work: vectors };
        match op {
            Op::Input(_) | Op::Constant(_) => view,
            Op::MatMul { transpose_b } => self.product(inputs, *transpose_b, ty),
            Op::Conv { groups, .. } => {
                let weights = &inputs[1].ty.shape;
                let sums = elements(&weights[1..]);
                let rows = elements(&ty.shape) / weights[0].max(1) as u64;
                let tiles = sums.div_ceil(self.lanes) * *groups as u64;
                let outputs = (weights[0] as u64 / (*groups).max(1) as u64).div_ceil(self.plane_rows);
                Cost { latency: self.product, work: rows * tiles * outputs * TICKS / self.plane_pairs }
            }
            Op::Unary(op) => {
                let steps = alu_steps(*op);
                Cost { latency: steps * self.alu, work: steps * pointwise.work }
            }
            Op::Binary(_) | Op::Select | Op::Cast(_) => pointwise,
            Op::Reduce { axis, .. } => self.reduction(&inputs[0].ty, *axis),
            Op::Softmax { axis } => {
                let reduction = self.reduction(&inputs[0].ty, *axis);
                let latency = 2 * reduction.latency + 4 * self.alu;
                Cost { latency, work: 2 * reduction.work + 4 * pointwise.work }
            }
            Op::Reshape { shape } => {
                let (from, to) = (last(&inputs[0].ty.shape), last(shape));
                if from == to || (self.whole(from) && self.whole(to)) { view } else { lane_move }
            }
            Op::Transpose { permutation } => {
                if permutation.last().is_none_or(|&axis| axis + 1 == permutation.len()) {
                    view
                } else {
                    lane_move
                }
            }
            Op::Slice { axis, start, step, .. } => {
                let lanes = is_last(*axis, ty);
                if !lanes || (*step == 1 && self.whole(*start as u64)) { view } else { lane_move }
            }
            Op::Concat { axis } => {
                let parts = &inputs[..inputs.len() - 1];
                if !is_last(*axis, ty) || parts.iter().all(|part| self.whole(last(&part.ty.shape))) {
                    Cost { latency: 0, work: vectors / self.alus }
                } else {
                    lane_move
                }
            }
            Op::Pad { axis, before, .. } => {
                if !is_last(*axis, ty) || *before == 0 {
                    copy
                } else {
                    lane_move
                }
            }
            Op::Expand { shape } => {
                if last(&inputs[0].ty.shape) == last(shape) {
                    view
                } else {
                    copy
                }
            }
            Op::Gather { axis } => {
                if axis + 1 == inputs[0].ty.shape.len() {
                    lane_move
                } else {
                    copy
                }
            }
            Op::Append { .. }
            | Op::AllGather { .. }
            | Op::AllToAll { .. }
            | Op::Cross { .. }
            | Op::FromGates(_)
            | Op::Blocks(_) => copy,
        }
    }

    /// Weights flow in, or the activations through, whichever takes longer. Constant weights are loaded ahead of the
    /// activations, others after they are made.
    fn product(&self, inputs: &[&Fact], transpose_b: bool, ty: &TensorType) -> Cost {
        let (a, b) = (&inputs[0].ty.shape, &inputs[1].ty.shape);
        let tiles = last(a).div_ceil(self.lanes);
        let (n, k) = (last(&ty.shape), last(a));
        let batches = elements(b) / (n * k).max(1);
        let vectors = elements(&ty.shape) / n.max(1);
        let loading = batches * n * tiles * WEIGHT_BYTES * TICKS / self.weight_streams;
        let flowing = vectors * tiles * n.div_ceil(self.plane_rows) * TICKS / self.plane_pairs;
        let mut latency = self.product;
        if !inputs[1].constant {
            latency += loading / TICKS;
            if !transpose_b {
                // The planes take weights by outputs; columns have to be turned.
                latency += self.lane_move - self.pass;
            }
        }
        Cost { latency, work: loading.max(flowing) }
    }

    fn reduction(&self, ty: &TensorType, axis: usize) -> Cost {
        let vectors = self.vectors(ty) * TICKS;
        if !is_last(axis, ty) {
            let halvings = u64::from((ty.shape[axis].max(1) as u64).next_power_of_two().ilog2());
            return Cost { latency: halvings * self.alu, work: vectors / self.alus };
        }
        let words = last(&ty.shape).div_ceil(self.lanes).next_power_of_two().ilog2();
        Cost { latency: self.lane_reduction + u64::from(words) * self.alu, work: vectors }
    }

    /// Whether a number of lanes fills words, so that a cut there is between addresses.
    fn whole(&self, lanes: u64) -> bool {
        lanes.is_multiple_of(self.lanes)
    }

    /// Words of lanes that a tensor fills.
    fn vectors(&self, ty: &TensorType) -> u64 {
        let lanes = last(&ty.shape);
        elements(&ty.shape) / lanes.max(1) * lanes.div_ceil(self.lanes)
    }
}

/// ALUs that a function takes, one after the other, about: what the VXM does not have is composed of what it has.
fn alu_steps(op: UnaryOp) -> u64 {
    match op {
        UnaryOp::Neg
        | UnaryOp::Abs
        | UnaryOp::Exp
        | UnaryOp::Tanh
        | UnaryOp::Rsqrt
        | UnaryOp::Relu
        | UnaryOp::Not
        | UnaryOp::Bits
        | UnaryOp::Floor
        | UnaryOp::Round
        | UnaryOp::RoundF16 => 1,
        UnaryOp::Mantissa | UnaryOp::Exponent => 3,
        UnaryOp::Sqrt | UnaryOp::Recip => 3,
        UnaryOp::Sigmoid => 5,
        UnaryOp::Log | UnaryOp::Erf | UnaryOp::Sin | UnaryOp::Cos | UnaryOp::Atan => 12,
    }
}

fn last(shape: &[usize]) -> u64 {
    shape.last().map_or(1, |&axis| axis as u64)
}

fn elements(shape: &[usize]) -> u64 {
    shape.iter().map(|&axis| axis as u64).product()
}

fn is_last(axis: usize, ty: &TensorType) -> bool {
    axis + 1 == ty.shape.len()
}

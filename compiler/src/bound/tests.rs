//! The bound of small graphs, with every cycle accounted for.

use super::*;
use crate::graph::{BinaryOp, Constant, ElementType, Encoding, ReduceOp, TensorType, UnaryOp};

/// A graph whose constants have no bytes: their values do not matter.
#[derive(Default)]
struct Builder(Graph);

impl Builder {
    fn typed(&mut self, op: Op, name: &str, shape: &[usize]) -> NodeId {
        let ty = TensorType { element: ElementType::F32, shape: shape.to_vec() };
        self.0.push_typed(op, &[], ty, name)
    }

    fn input(&mut self, name: &str, shape: &[usize]) -> NodeId {
        let node = self.typed(Op::Input(name.to_owned()), name, shape);
        self.0.inputs.push(node);
        node
    }

    fn constant(&mut self, name: &str, shape: &[usize]) -> NodeId {
        self.typed(Op::Constant(Constant { encoding: Encoding::F16, bytes: None }), name, shape)
    }

    fn push(&mut self, op: Op, inputs: &[NodeId], name: &str) -> NodeId {
        self.0.push(op, inputs, name).expect("types agree")
    }

    fn product(&mut self, a: NodeId, b: NodeId, name: &str) -> NodeId {
        self.push(Op::MatMul { transpose_b: true }, &[a, b], name)
    }

    fn bound(mut self, outputs: &[NodeId], chip: &Chip) -> Bound {
        self.0.outputs = outputs.iter().map(|&node| (node.to_string(), node)).collect();
        bound(&self.0, chip)
    }
}

fn chips() -> impl Iterator<Item = Chip> {
    ["lp30", "tsp-v1", "lp30-narrow", "lp30-wide"].into_iter().map(|name| Chip::preset(name).expect("preset"))
}

/// A chip's numbers, as the formulas of the book call them.
struct Numbers {
    read: u64,
    vxm: u64,
    install_only: u64,
    /// From a load to the installed weights.
    install: u64,
    /// From an activation to the sum.
    product: u64,
    /// From the last Write to the end.
    end: u64,
    /// From the VXM to the MXM.
    hops: u64,
    /// Vectors a cycle into both MXMs.
    rate: u64,
    held: u64,
}

fn numbers(chip: &Chip) -> Numbers {
    let d = &chip.latency;
    let stagger = (chip.lanes / chip.lanes_per_superlane) as u64;
    Numbers {
        read: u64::from(d.read),
        vxm: u64::from(d.vxm),
        install_only: u64::from(d.install),
        install: u64::from(d.load + d.install),
        product: u64::from(d.product + d.accumulate) + stagger,
        end: u64::from(d.write) + stagger,
        hops: u64::from(chip.mem.slices_per_hemisphere) + 2,
        rate: 2 * u64::from(chip.streams.min(2 * chip.mxm.load_streams_per_plane)),
        held: 2 * 2 * 2 * u64::from(chip.mxm.rows),
    }
}

fn candidate(bound: &Bound, limiter: Limiter) -> u64 {
    bound.candidates.iter().find(|candidate| candidate.limiter == limiter).expect("is listed").cycles
}

#[test]
fn a_lone_product_streams_its_weights() {
    for chip in chips() {
        let n = numbers(&chip);
        let mut b = Builder::default();
        let x = b.input("x", &[1, 4096]);
        let w = b.constant("w", &[4096, 4096]);
        let y = b.product(x, w, "y");
        let bound = b.bound(&[y], &chip);
        // 13 chunks of 320 lanes in each row, two bytes each.
        let vectors = 4096 * 13 * 2;
        // One more slice of each hemisphere arrives with every cycle, until the ports are full or there are no more.
        let most = n.rate.min(2 * u64::from(chip.mem.slices_per_hemisphere));
        let ramp = (1..most / 2).map(|slices| 2 * slices).sum::<u64>();
        let full = n.read + 2 + most / 2 - 1;
        let last_load = full + (vectors - ramp).div_ceil(most) - 1;
        let cycles = last_load + n.install + n.product + 2 + n.end;
        assert_eq!(candidate(&bound, Limiter::WeightStreaming), cycles, "{}", chip.name);
        assert_eq!((bound.cycles, bound.limiter), (cycles, Limiter::WeightStreaming), "{}", chip.name);
        // Alone, without what is before and after: on some chips the 13 · 13 activations take streams from the weights.
        let shared = (vectors + 13 * 13 * 2).div_ceil(2 * u64::from(chip.streams));
        assert_eq!(bound.nodes["y"].cycles, vectors.div_ceil(n.rate).max(shared));
    }
}

#[test]
fn a_chain_of_small_products_takes_their_latencies() {
    for chip in chips() {
        let n = numbers(&chip);
        let mut b = Builder::default();
        let x = b.input("x", &[1, 64]);
        let (w, v) = (b.constant("w", &[64, 64]), b.constant("v", &[64, 64]));
        let y = b.product(x, w, "y");
        let z = b.product(y, v, "z");
        let bound = b.bound(&[z], &chip);
        // The weights of the first must be installed; its sums go through the VXM to become binary16.
        let first = n.read + 2 + n.install + n.product;
        let second = first + n.hops + n.vxm + n.hops + n.product;
        assert_eq!(
            (bound.cycles, bound.limiter),
            (second + 2 + n.end, Limiter::Dependences),
            "{}",
            chip.name
        );
        let steps: Vec<&str> = bound.path.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(steps, ["w", "y", "z"]);
        assert_eq!(bound.path.iter().map(|(_, cycles)| cycles).sum::<u64>(), bound.cycles);
    }
}

#[test]
fn weights_are_loaded_after_what_they_wait_for_but_for_what_the_planes_hold() {
    for chip in chips() {
        let n = numbers(&chip);
        let mut b = Builder::default();
        let x = b.input("x", &[1, 64]);
        let (w, v) = (b.constant("w", &[640, 64]), b.constant("v", &[4096, 640]));
        let y = b.product(x, w, "y");
        let z = b.product(y, v, "z");
        let bound = b.bound(&[z], &chip);
        let release = n.read + 2 + n.install + n.product + n.hops + n.vxm + n.hops;
        let loads = (4096 * 2 * 2 - n.held).div_ceil(n.rate);
        let last_load = release - n.install_only + loads - 1;
        let cycles = last_load + n.install + n.product + 2 + n.end;
        assert_eq!((bound.cycles, bound.limiter), (cycles, Limiter::Dependences), "{}", chip.name);
        assert!(cycles > candidate(&bound, Limiter::WeightStreaming));
    }
}

#[test]
fn pointwise_work_is_bound_by_latency_or_by_alus() {
    for chip in chips() {
        let n = numbers(&chip);
        for (shape, vectors) in [([1, 320], 1), ([3200, 3200], 32_000)] {
            let mut b = Builder::default();
            let (x, y) = (b.input("x", &shape), b.input("y", &shape));
            let sum = b.push(Op::Binary(BinaryOp::Add), &[x, y], "sum");
            let exp = b.push(Op::Unary(UnaryOp::Exp), &[sum], "exp");
            // Absorbed.
            let minus = b.push(Op::Unary(UnaryOp::Neg), &[exp], "minus");
            let bound = b.bound(&[minus], &chip);
            let alus = u64::from(chip.vxm.alus);
            let latency = n.read + 1 + 2 * n.vxm + vectors / alus.min(vectors) - 1 + 1 + n.end;
            let busy = n.read + 1 + (2 * vectors).div_ceil(alus) - 1 + n.vxm + 1 + n.end;
            assert_eq!(candidate(&bound, Limiter::Dependences), latency, "{}", chip.name);
            assert_eq!(candidate(&bound, Limiter::VxmOperations), busy, "{}", chip.name);
        }
    }
}

#[test]
fn a_maximum_goes_to_the_sxm_and_a_sum_may_go_to_the_mxm() {
    let chip = Chip::preset("lp30").expect("preset");
    let n = numbers(&chip);
    let of = |op| {
        let mut b = Builder::default();
        let x = b.input("x", &[1, 100]);
        let exp = b.push(Op::Unary(UnaryOp::Exp), &[x], "exp");
        let reduced = b.push(Op::Reduce { op, axis: 1 }, &[exp], "reduced");
        b.bound(&[reduced], &chip).cycles
    };
    let exp = n.read + 1 + n.vxm;
    // 84 of 100 elements come from other superlanes, in seven levels.
    let max = exp + (n.hops - 1) + 4 + 20 + (n.hops - 1) + 7 * n.vxm;
    assert_eq!(of(ReduceOp::Max), max + 1 + n.end);
    assert_eq!(of(ReduceOp::Sum), exp + n.hops + n.product + 2 + n.end);
}

#[test]
fn weights_that_products_share_count_once() {
    let chip = Chip::preset("lp30").expect("preset");
    let mut b = Builder::default();
    let (x, y) = (b.input("x", &[1, 320]), b.input("y", &[4, 320]));
    let w = b.constant("w", &[6400, 320]);
    let part = b.push(Op::Slice { axis: 0, start: 10, count: 100, step: 1 }, &[w], "part");
    let all = [b.product(x, w, "a"), b.product(y, w, "b"), b.product(y, part, "c")];
    let shared = b.bound(&all, &chip);
    let mut b = Builder::default();
    let x = b.input("x", &[1, 320]);
    let w = b.constant("w", &[6400, 320]);
    let y = b.product(x, w, "a");
    let one = b.bound(&[y], &chip);
    let weights = |bound| candidate(bound, Limiter::WeightStreaming);
    assert_eq!(weights(&shared), weights(&one));
    // Five rows, 20 tiles, two cycles on a pair of planes of which there are two.
    let n = numbers(&chip);
    let passes = n.read + 2 + n.install + 5 * 20 - 2 + n.product + 2 + n.end;
    assert_eq!(candidate(&shared, Limiter::MxmPasses), passes);
}

#[test]
fn copies_cost_nothing_and_constants_make_nothing_larger() {
    let chip = Chip::preset("lp30").expect("preset");
    let mut b = Builder::default();
    let x = b.input("x", &[1, 320]);
    let wide = b.push(Op::Expand { shape: vec![1000, 320] }, &[x], "wide");
    let mask = b.constant("mask", &[1000, 320]);
    let exp = b.push(Op::Unary(UnaryOp::Exp), &[wide], "exp");
    let masked = b.push(Op::Binary(BinaryOp::Add), &[x, mask], "masked");
    let bound = b.bound(&[exp, masked], &chip);
    assert_eq!(bound.nodes["exp"], Candidate { limiter: Limiter::Dependences, cycles: 4 });
    assert_eq!(bound.nodes["masked"], Candidate { limiter: Limiter::Dependences, cycles: 4 });
    assert!(bound.cycles < 100, "{bound:?}");
}

#[test]
fn an_expanded_row_passes_once() {
    let chip = Chip::preset("lp30").expect("preset");
    let n = numbers(&chip);
    let mut b = Builder::default();
    let x = b.input("x", &[1, 64]);
    let wide = b.push(Op::Expand { shape: vec![10, 64] }, &[x], "wide");
    let w = b.constant("w", &[2560, 64]);
    let y = b.product(wide, w, "y");
    let bound = b.bound(&[y], &chip);
    // One row, eight tiles, two cycles on a pair of planes of which there are two.
    let passes = n.read + 2 + n.install + 8 - 2 + n.product + 2 + n.end;
    assert_eq!(candidate(&bound, Limiter::MxmPasses), passes);
}

#[test]
fn a_deep_chain_waits_for_every_layer() {
    let chip = Chip::preset("lp30").expect("preset");
    let n = numbers(&chip);
    let mut b = Builder::default();
    let mut x = b.input("x", &[1, 640]);
    for _ in 0..2000 {
        let w = b.constant("w", &[640, 640]);
        let y = b.product(x, w, "y");
        x = b.push(Op::Unary(UnaryOp::Tanh), &[y], "x");
    }
    let bound = b.bound(&[x], &chip);
    assert!(bound.cycles > 1999 * (2 * n.hops + n.product + n.vxm), "{}", bound.cycles);
}

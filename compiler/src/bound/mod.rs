//! A lower bound on the cycles of any program that computes a legal graph on a chip, whatever the lowering and the schedule.
//!
//! The greatest of the time of each resource, with what must pass before its first and after its last use, and of the longest dependence path,
//! with the loads of weights that cannot be made ahead of it. The book's chapter *The bound* states premises, formulas and proofs.

mod convolution;
mod cost;
mod machine;
mod path;
mod products;
mod rows;
mod step;
mod times;
mod window;
mod work;

use std::collections::BTreeMap;

use cranelift_entity::{PrimaryMap, SecondaryMap};
use isa::Chip;

use crate::graph::eval::is_constant;
use crate::graph::{Graph, NodeId, Op};
use machine::{Machine, Place};
use path::{Longest, Path};
use products::Products;
use work::Work;

/// What bounds the time from below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Limiter {
    /// Right operands of products enter the MXM over streams.
    WeightStreaming,
    /// Weights and activations share the streams to the MXM.
    MxmStreams,
    /// Activations pass through the planes.
    MxmPasses,
    /// The VXM's ALUs.
    VxmOperations,
    /// The SXM's instructions.
    SxmInstructions,
    /// Write ports of the SRAM.
    SramWrites,
    /// Latency of what depends on each other.
    #[default]
    Dependences,
}

impl Limiter {
    /// Name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Limiter::WeightStreaming => "weight streaming",
            Limiter::MxmStreams => "streams to the MXM",
            Limiter::MxmPasses => "MXM passes",
            Limiter::VxmOperations => "VXM operations",
            Limiter::SxmInstructions => "SXM instructions",
            Limiter::SramWrites => "SRAM writes",
            Limiter::Dependences => "dependences",
        }
    }

    /// Name in a narrow column.
    pub fn short(self) -> &'static str {
        match self {
            Limiter::WeightStreaming => "weights",
            Limiter::MxmStreams => "streams",
            Limiter::MxmPasses => "passes",
            Limiter::VxmOperations => "VXM",
            Limiter::SxmInstructions => "SXM",
            Limiter::SramWrites => "writes",
            Limiter::Dependences => "latency",
        }
    }
}

/// A bound on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// What it comes from.
    pub limiter: Limiter,
    /// Cycles.
    pub cycles: u64,
}

/// The bound of a graph and what it is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Cycles: the greatest candidate's.
    pub cycles: u64,
    /// What the greatest candidate comes from.
    pub limiter: Limiter,
    /// All candidates.
    pub candidates: Vec<Candidate>,
    /// What bounds each model node, by its name, were it alone on the machine and all its operands there.
    pub nodes: BTreeMap<String, Candidate>,
    /// Model nodes on the longest dependence path, with the cycles that they add, in order.
    pub path: Vec<(String, u64)>,
}

/// Bounds the cycles of every program that computes this legal graph on this chip.
pub fn bound(graph: &Graph, chip: &Chip) -> Bound {
    let machine = Machine { chip };
    let constant = is_constant(graph);
    let products = products::products(graph, &machine, &constant);
    let work = work::work(graph, &machine, &constant, &products);
    let longest = longest(graph, machine, &constant, &products, &work);
    let mut candidates = resources(graph, &machine, &constant, &products, &work);
    candidates.push(Candidate { limiter: Limiter::Dependences, cycles: longest.cycles });
    let best = greatest(&candidates);
    let mut path: Vec<(String, u64)> = Vec::new();
    for (node, cycles) in longest.steps {
        let name = graph.nodes[node].origin.as_str();
        match path.last_mut().filter(|(last, _)| last == name) {
            Some((_, sum)) => *sum += cycles,
            None => path.push((name.to_owned(), cycles)),
        }
    }
    let nodes = nodes(graph, &machine, &constant, &products, &work);
    Bound { cycles: best.cycles, limiter: best.limiter, candidates, nodes, path }
}

/// The first of the greatest, so that a bound by a resource is not blamed on dependences.
fn greatest(candidates: &[Candidate]) -> Candidate {
    let busy = candidates.iter().rev().copied().filter(|candidate| candidate.cycles > 0);
    busy.max_by_key(|candidate| candidate.cycles).unwrap_or_default()
}

fn longest(
    graph: &Graph,
    machine: Machine<'_>,
    constant: &SecondaryMap<NodeId, bool>,
    products: &Products,
    work: &Work,
) -> Longest {
    let path = Path {
        graph,
        machine,
        constant,
        products,
        elements: &work.elements,
        moments: PrimaryMap::with_capacity(graph.nodes.len()),
        releases: Vec::new(),
    };
    path.longest()
}

/// Port-cycles and the like that some work takes of each resource.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    stored: u64,
    made: u64,
    activations: u64,
    plane_cycles: u64,
    operations: u64,
    switched: u64,
    written: u64,
    latency: u64,
}

impl Use {
    fn add_passes(&mut self, operands: cost::Operands, passes: u64) {
        let (planes, cycles) = operands.planes();
        self.plane_cycles += passes * planes * cycles;
        // One vector may enter all planes of a hemisphere at once.
        let arrays = 2 / planes;
        self.activations += (passes * operands.bytes()).div_ceil(arrays.max(1));
    }

    /// Cycles that each resource is busy at least.
    fn cycles(&self, machine: &Machine<'_>) -> [Candidate; 6] {
        let chip = machine.chip;
        let weights = self.stored + self.made;
        let per = |amount: u64, rate: u64| amount.div_ceil(rate.max(1));
        let streams = 2 * u64::from(chip.streams);
        // Transpose takes a superlane's worth of streams, any other instruction at most four.
        let switched = u64::from(chip.sxm.queues_per_hemisphere) * 2 * chip.lanes_per_superlane.max(4) as u64;
        [
            (Limiter::WeightStreaming, per(weights, machine.load_rate())),
            (Limiter::MxmStreams, per(weights + self.activations, streams)),
            (Limiter::MxmPasses, per(self.plane_cycles, 2 * u64::from(chip.mxm.planes_per_hemisphere))),
            (Limiter::VxmOperations, per(self.operations, u64::from(chip.vxm.alus))),
            (Limiter::SxmInstructions, per(self.switched, switched)),
            (Limiter::SramWrites, per(self.written, 2 * u64::from(chip.mem.slices_per_hemisphere))),
        ]
        .map(|(limiter, cycles)| Candidate { limiter, cycles })
    }
}

/// Each resource's total time, with what must pass before its first and after its last use.
fn resources(
    graph: &Graph,
    machine: &Machine<'_>,
    constant: &SecondaryMap<NodeId, bool>,
    products: &Products,
    work: &Work,
) -> Vec<Candidate> {
    let mut total = Use::default();
    for product in &products.list {
        *if product.stored { &mut total.stored } else { &mut total.made } += product.fresh;
    }
    products.passes.iter().for_each(|&(operands, passes)| total.add_passes(operands, passes));
    for node in graph.nodes.keys() {
        total.operations += work.operations[node];
        total.switched += work.switched[node];
    }
    total.written = written(graph, machine, constant);
    let read = u64::from(machine.chip.latency.read);
    let summed = machine.product() + machine.distance(Place::Mxm, Place::Mem) + machine.finish();
    let to_mxm = read + machine.distance(Place::Mem, Place::Mxm);
    let around = |candidate: Candidate| {
        let busy = candidate.cycles.max(1) - 1;
        let cycles = match candidate.limiter {
            _ if candidate.cycles == 0 => 0,
            Limiter::WeightStreaming => {
                machine.last_load(total.stored, total.made) + machine.install() + summed
            }
            Limiter::MxmStreams => to_mxm + busy + summed,
            // The last pass takes the last of its cycles on its way through.
            Limiter::MxmPasses => to_mxm + machine.install() + busy.saturating_sub(1) + summed,
            Limiter::VxmOperations => read + 1 + busy + machine.vxm() + 1 + machine.finish(),
            Limiter::SxmInstructions => {
                read + 1 + busy + u64::from(machine.chip.latency.sxm) + 1 + machine.finish()
            }
            // Zeros may come from the VXM before anything is read.
            Limiter::SramWrites | Limiter::Dependences => busy + machine.finish(),
        };
        Candidate { cycles, ..candidate }
    };
    total.cycles(machine).map(around).to_vec()
}

/// Vectors of one byte per lane that outputs are written as.
fn written(graph: &Graph, machine: &Machine<'_>, constant: &SecondaryMap<NodeId, bool>) -> u64 {
    let mut shown: Vec<NodeId> = Vec::new();
    for &(_, output) in &graph.outputs {
        let mut base = output;
        while rows::is_view(graph, base) {
            base = graph.nodes[base].inputs[0];
        }
        if !constant[base] && !matches!(graph.nodes[base].op, Op::Input(_)) && base == output {
            shown.push(base);
        }
    }
    shown.sort_unstable();
    shown.dedup();
    shown.iter().map(|&node| machine.vectors(graph.ty(node).elements())).sum()
}

/// What bounds each model node on its own.
fn nodes(
    graph: &Graph,
    machine: &Machine<'_>,
    constant: &SecondaryMap<NodeId, bool>,
    products: &Products,
    work: &Work,
) -> BTreeMap<String, Candidate> {
    let mut uses: BTreeMap<&str, Use> = BTreeMap::new();
    for (node, data) in graph.nodes.iter().filter(|(node, _)| !constant[*node]) {
        let own = uses.entry(data.origin.as_str()).or_default();
        own.operations += work.operations[node];
        own.switched += work.switched[node];
        own.latency = own.latency.max(latency(graph, machine, node));
        if let Some(number) = products.of[node] {
            let product = &products.list[number as usize];
            own.stored += product.weights;
            own.add_passes(product.operands, product.passes);
        }
    }
    let own = |(name, own): (&str, Use)| {
        let mut candidates = own.cycles(machine).to_vec();
        candidates.push(Candidate { limiter: Limiter::Dependences, cycles: own.latency });
        (name.to_owned(), greatest(&candidates))
    };
    uses.into_iter().map(own).collect()
}

/// Cycles from a node's last operand to its first result, both where it is made.
fn latency(graph: &Graph, machine: &Machine<'_>, node: NodeId) -> u64 {
    let latency = &machine.chip.latency;
    let data = &graph.nodes[node];
    match &data.op {
        Op::MatMul { .. } | Op::Conv { .. } => machine.product(),
        Op::Reduce { .. } => machine.vxm(),
        Op::Gather { .. } => u64::from(latency.gather),
        Op::Append { .. } => u64::from(latency.write),
        Op::Unary(_) | Op::Binary(_) | Op::Select | Op::Cast(_) => {
            let from = data.inputs.get(usize::from(data.op == Op::Select));
            let from = from.map_or(data.ty.element, |&input| graph.ty(input).element);
            cost::pointwise(&data.op, from, &[true]).map_or(0, |alu| alu.depth * machine.vxm())
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;

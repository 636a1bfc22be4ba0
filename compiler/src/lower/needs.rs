//! What the consumers of each tensor ask for: its forms, and which arrays meet in one kernel.

use std::collections::BTreeSet;

use cranelift_entity::SecondaryMap;
use isa::Chip;

use super::alu::is_pointwise;
use super::context::{Context, is_f16};
use super::conv;
use super::floorplan::Floorplan;
use super::fuse::Groups;
use super::legalize::appends_columns;
use super::storage::{Frame, MaskKind, Storage};
use super::tiling::Pace;
use crate::Precision;
use crate::diagnostic::{Diagnostic, Kind};
use crate::graph::{ElementType, NodeId, Op, ReduceOp};

/// What the consumers of a base ask for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    /// 32-bit words.
    pub(super) plain: bool,
    /// Left operand of a product.
    pub(super) halves: bool,
    /// Striped evenly.
    pub(super) striped: bool,
    /// A state by columns: matrices that share a pack.
    pub(super) columns: Option<usize>,
    /// Cut for the planes that multiply that many activations.
    pub(super) tiles: Option<Pace>,
    /// Places of the window whose weights these are.
    pub(super) taps: Option<u32>,
    /// Zeros around the images that a left operand is.
    pub(super) frame: Option<Frame>,
    /// Indices: how many copies in each hemisphere.
    pub(super) indices: usize,
    /// Weights of which an index chooses a matrix.
    pub(super) chosen: bool,
    /// A gather table of 32 bits.
    pub(super) table: bool,
}

/// Every partly filled last chunk that some kernel may have to mask.
pub(super) fn masks(context: &Context<'_>, chip: &Chip) -> Vec<(usize, MaskKind)> {
    let mut masks = BTreeSet::new();
    for (node, data) in context.graph.nodes.iter() {
        if context.constant[node] {
            continue;
        }
        let lanes = match &data.op {
            Op::Reduce { .. } => context.columns(data.inputs[0]),
            _ => context.columns(node),
        } % chip.lanes;
        if lanes == 0 {
            continue;
        }
        match &data.op {
            Op::Reduce { op: ReduceOp::Max, .. } => {
                let integer = data.ty.element == ElementType::I32;
                let kind = if integer { MaskKind::LeastInteger } else { MaskKind::NegativeInfinity };
                masks.insert((lanes, kind));
            }
            Op::Reduce { .. } => {
                masks.insert((lanes, MaskKind::Zero));
            }
            op if is_pointwise(op) => {
                masks.insert((lanes, MaskKind::Zero));
            }
            _ => {}
        }
    }
    masks.into_iter().collect()
}

/// Streams of the index that chooses weights, which come on so many fewer.
pub(super) const INDEX_STREAMS: u32 = 4;

/// How many activations meet each tile of a product's weights.
fn pace(context: &Context<'_>, chip: &Chip, plan: &Floorplan, node: NodeId) -> Pace {
    let weights = context.graph.nodes[node].inputs[1];
    let batches = match context.graph.nodes[node].op {
        Op::Conv { .. } => 1,
        _ => {
            let shape = context.graph.shape(weights);
            context.rows(weights) / shape.iter().rev().nth(1).copied().unwrap_or(1).max(1)
        }
    };
    let all = (context.rows(node) / batches.max(1)).max(1) as u32;
    let vectors = all.min(chip.mxm.accumulators.into());
    let narrow = context.graph.nodes[weights].ty.element.is_narrow();
    let choice = context.choice(context.base(weights));
    // Weights of four bits come on twice as many streams as elements of binary16, which take two each.
    let shared = if context.few(choice.map_or(weights, |(table, _)| table)).is_some() { 2 } else { 1 };
    let width = if narrow { 1 } else { 2 };
    // An index takes some of the streams.
    let taken = if choice.is_some() { shared * INDEX_STREAMS / width } else { 0 };
    let lie = shared * u32::from(plan.stripes);
    Pace {
        stripes: lie - taken,
        lie,
        chosen: choice.is_some(),
        shared,
        vectors,
        all,
        cycles: width,
        crowded: false,
    }
}

/// Whether an operation's result is an array of 32-bit elements of its own.
fn is_computed(op: &Op) -> bool {
    matches!(
        op,
        Op::MatMul { .. }
            | Op::Conv { .. }
            | Op::Reduce { .. }
            | Op::Gather { .. }
            | Op::AllGather { .. }
            | Op::AllToAll { .. }
            | Op::Cross { .. }
            | Op::FromGates(_)
    )
}

/// What is asked for of each base.
pub(super) fn needs(
    context: &Context<'_>,
    groups: &Groups,
    (chip, plan): (&Chip, &Floorplan),
    precision: Precision,
) -> Result<SecondaryMap<NodeId, Needs>, Diagnostic> {
    let mut needs: SecondaryMap<NodeId, Needs> = SecondaryMap::new();
    for (node, data) in context.graph.nodes.iter() {
        if context.constant[node] || context.is_pure_view(node) {
            continue;
        }
        let base = |at: usize| context.base(data.inputs[at]);
        match &data.op {
            Op::MatMul { .. } | Op::Conv { .. } => {
                needs[base(0)].halves = true;
                if let Some(frame) = conv::frame(context, node) {
                    let whole = match needs[base(0)].frame {
                        Some(other) => frame.with(&other),
                        None => Some(frame),
                    };
                    let what = format!("{node} ({}): its images have two sizes", data.origin);
                    needs[base(0)].frame = Some(whole.ok_or_else(|| bad_node(what))?);
                }
                let weights = base(1);
                if let Some((table, index)) = context.choice(weights) {
                    let Needs { tiles, chosen, .. } = &mut needs[table];
                    *tiles = tiles.or(Some(pace(context, chip, plan, node)));
                    *chosen = true;
                    needs[context.base(index)].indices = usize::from(chip.mxm.planes_per_hemisphere.min(2));
                } else if context.constant[weights] {
                    needs[weights].taps = conv::places(context, node);
                    needs[weights].tiles = needs[weights].tiles.or(Some(pace(context, chip, plan, node)));
                } else {
                    needs[weights].striped = true;
                }
            }
            Op::Gather { .. } => gathered(context, node, precision, &mut needs),
            Op::Append { axis } => appended(context, *axis, node, &mut needs),
            // The recent rows of a state by columns, which the append to it turns.
            Op::Transpose { .. } => {}
            op if is_pointwise(op) => {}
            _ => {
                for at in 0..data.inputs.len() {
                    needs[base(at)].plain = true;
                }
            }
        }
        let computed = is_computed(&data.op) && context.choice(node).is_none();
        if computed || super::moves::is_move(context, node) {
            needs[node].plain = true;
        }
    }
    for input in groups.programs.iter().flat_map(|program| &program.inputs) {
        needs[context.base(input.node)].plain = true;
    }
    for (_, node) in &context.graph.outputs {
        needs[context.base(*node)].plain = true;
    }
    // Elements of eight bits are for the planes only.
    for (node, data) in context.graph.nodes.iter() {
        needs[node].plain &= !data.ty.element.is_narrow();
    }
    for state in &context.graph.states {
        let needs = &mut needs[state.input];
        needs.plain |= !needs.striped && needs.columns.is_none();
    }
    Ok(needs)
}

/// What a Gather asks for.
fn gathered(
    context: &Context<'_>,
    node: NodeId,
    precision: Precision,
    needs: &mut SecondaryMap<NodeId, Needs>,
) {
    if context.choice(node).is_some() {
        // The product that takes the chosen weights reads them where they lie.
        return;
    }
    let [table, index] = [0, 1].map(|at| context.base(context.graph.nodes[node].inputs[at]));
    let whole = context.graph.nodes[table].ty.element != ElementType::F32;
    let exact = precision == Precision::Fp32 || is_scale(context, table);
    if whole || exact && !is_f16(context.graph, table) {
        needs[table].table = true;
    } else {
        needs[table].striped = true;
    }
    let indices = &mut needs[index].indices;
    *indices = 1.max(*indices);
}

/// Weights that take more than this of their slices, in percent, are crowded.
const CROWDED: u64 = 88;

/// Whether tiles of weights nearly fill the slices that planes load from.
pub(super) fn is_crowded(
    context: &Context<'_>,
    needs: &SecondaryMap<NodeId, Needs>,
    (chip, plan): (&Chip, &Floorplan),
) -> bool {
    let words = |node: NodeId| {
        let few = context.few(node);
        let width = if few.is_some() || context.graph.nodes[node].ty.element.is_narrow() { 1 } else { 2 };
        let rows = Storage::rows_of(few, context.rows(node) as u32, chip) as usize;
        (rows * context.columns(node).div_ceil(chip.lanes) * width) as u64
    };
    let tiled =
        |node: &NodeId| context.constant[*node] && needs[*node].tiles.is_some() && !needs[*node].striped;
    let taken: u64 = context.graph.nodes.keys().filter(tiled).map(words).sum();
    let slices = 2 * u64::from(plan.sets) * 2 * u64::from(plan.stripes);
    100 * taken > CROWDED * slices * u64::from(chip.words_per_slice())
}

/// For each gather table whether its indices choose weights, too.
pub(super) fn beside_weights(
    context: &Context<'_>,
    needs: &SecondaryMap<NodeId, Needs>,
) -> SecondaryMap<NodeId, bool> {
    let mut beside = SecondaryMap::new();
    for (node, data) in context.graph.nodes.iter() {
        if matches!(data.op, Op::Gather { .. }) && !context.constant[node] {
            let [table, index] = [0, 1].map(|at| context.base(data.inputs[at]));
            beside[table] = needs[index].indices > 1;
        }
    }
    beside
}

/// Most elements of scales.
const SCALES: usize = 1 << 21;

/// Whether a gather table is scales of weights, which binary16 would round: it is computed, and small.
fn is_scale(context: &Context<'_>, table: NodeId) -> bool {
    let data = &context.graph.nodes[table];
    match data.op {
        Op::Reshape { .. } | Op::Transpose { .. } => is_scale(context, data.inputs[0]),
        Op::Binary(_) => data.ty.elements() <= SCALES,
        _ => false,
    }
}

/// What an Append along an axis asks for.
fn appended(context: &Context<'_>, axis: usize, node: NodeId, needs: &mut SecondaryMap<NodeId, Needs>) {
    let data = &context.graph.nodes[node];
    let base = |at: usize| context.base(data.inputs[at]);
    if !appends_columns(data) {
        needs[base(1)].plain = true;
        needs[base(2)].plain = true;
        return;
    }
    let (turned, matrices) = (base(1), context.rows(node) / data.ty.shape[axis - 1]);
    needs[base(0)].columns = Some(matrices / context.graph.shape(turned)[0]);
    needs[context.base(context.graph.nodes[turned].inputs[0])].striped = true;
    let indices = &mut needs[base(3)].indices;
    *indices = 1.max(*indices);
}

pub(super) fn bad_node(problem: String) -> Diagnostic {
    Diagnostic::new(Kind::Unsupported, "cannot-lower", problem)
}

/// For each base, the bases that some kernel reads in the same pass.
pub(super) fn read_together(context: &Context<'_>, groups: &Groups) -> SecondaryMap<NodeId, Vec<NodeId>> {
    let mut together: SecondaryMap<NodeId, Vec<NodeId>> = SecondaryMap::new();
    for program in &groups.programs {
        let bases: Vec<NodeId> = program.inputs.iter().map(|input| context.base(input.node)).collect();
        for &one in &bases {
            for &other in &bases {
                if one != other && !together[one].contains(&other) {
                    together[one].push(other);
                }
            }
        }
    }
    together
}

/// For each base, the bases that a kernel reads while it writes it, or writes while it reads it.
pub(super) fn read_and_written(context: &Context<'_>, groups: &Groups) -> SecondaryMap<NodeId, Vec<NodeId>> {
    let mut apart: SecondaryMap<NodeId, Vec<NodeId>> = SecondaryMap::new();
    let mut note = |written: NodeId, read: NodeId| {
        if written != read {
            apart[written].push(read);
            apart[read].push(written);
        }
    };
    for program in &groups.programs {
        for (at, (result, _)) in program.results.iter().enumerate() {
            program.results[..at].iter().for_each(|(other, _)| note(*result, *other));
            program.inputs.iter().for_each(|input| note(*result, context.base(input.node)));
        }
    }
    for (node, data) in context.graph.nodes.iter() {
        if context.constant[node] || context.is_pure_view(node) || is_pointwise(&data.op) {
            continue;
        }
        data.inputs.iter().for_each(|&input| note(context.base(node), context.base(input)));
    }
    apart
}

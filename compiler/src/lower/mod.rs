//! From the legal graph to kernels: every operator becomes flows of vectors through the slices.
//!
//! In order: [`legalize`] leaves only forms that the machine has; [`fuse`] groups pointwise nodes; [`arrays`] decides what lies where;
//! then each group and node is lowered by the file of its slice: [`vxm`] (through [`pass`]), [`mxm`] and [`conv`], [`reduce`] and [`moves`] (SXM), [`gather`],
//! [`append`] and [`append_columns`] (indirect memory), [`c2c`] (links).

pub mod legalize;
pub mod floorplan;
pub mod storage;
pub mod flow;
mod print;
pub mod compress;
pub mod alu;
pub mod view;
pub mod context;
pub mod materialize;
pub mod fuse;
pub mod tiling;
pub mod spread;
mod occupancy;
mod needs;
pub mod arrays;
pub mod pad;
pub mod maps;
pub mod pass;
pub mod vxm;
pub mod conveyor;
pub mod tiled;
pub mod conv;
pub mod mxm;
pub mod reduce;
pub mod moves;
pub mod gather;
pub mod append;
pub mod append_columns;
pub mod c2c;
pub mod order;

use std::collections::BTreeSet;

use isa::Chip;

use crate::Precision;
use crate::diagnostic::Diagnostic;
use crate::graph::{Graph, NodeId, Op};
use crate::links::Links;
use arrays::Arrays;
use context::Context;
use flow::{Flow, Kernels};
use maps::Maps;
use needs::bad_node;
use order::Work;
use pad::Pads;

/// How much room counts, beside cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Packing {
    /// Activations have streams of their own, at the price of a word in each stripe, as long as there is room.
    Loose,
    /// The same, with as many slices for activations as they need at once, in as many pieces as they are tall.
    Roomy,
    /// Each stripe holds its share of weights and no more.
    Tight,
    /// Weights lie in slices of other arrays, too, which wait for them.
    Crowded,
}

/// How arrays are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How far 32-bit arrays are spread.
    pub spread: spread::Spread,
    /// How weights are packed.
    pub packing: Packing,
}

/// Lowers a legal graph. Returns the kernels and the graph they refer to (with copies added where arrays need them).
pub fn kernels(graph: Graph, chip: &Chip, precision: Precision) -> Result<(Graph, Kernels), Diagnostic> {
    let layout = Layout { spread: spread::Spread::Hemispheres, packing: Packing::Loose };
    laid_out(graph, chip, (precision, &Links::default()), layout)
}

/// The same, with links to other chips, laid out as said.
pub fn laid_out(
    graph: Graph,
    chip: &Chip,
    (precision, links): (Precision, &Links),
    layout: Layout,
) -> Result<(Graph, Kernels), Diagnostic> {
    let graph = materialize::materialize(graph)?;
    let context = Context::new(&graph)?;
    let groups = fuse::groups(&context, chip).map_err(bad_node)?;
    let mut arrays = arrays::arrays(&context, &groups, (chip, links), (precision, layout))?;
    let mut pads = Pads::default();
    let mut maps = Maps::new(chip.lanes);
    let mut flows: Vec<Flow> = Vec::new();
    let mut framed: BTreeSet<NodeId> = BTreeSet::new();
    for (node, data) in context.graph.nodes.iter() {
        let Op::Input(name) = &data.op else { continue };
        if let Some(transfer) = links.arrival(name) {
            flows.push(c2c::arrive(&arrays, chip, node, transfer)?);
            flows.extend(vxm::convert(&context, &arrays, chip, node, &mut pads)?);
        }
    }
    for work in order::order(&context, &groups) {
        match work {
            Work::Group(group) => {
                let program = &groups.programs[group];
                if !program.results.is_empty() {
                    flows.extend(vxm::pointwise(&context, &arrays, chip, program, &mut pads)?);
                }
            }
            Work::Node(node) => {
                if let Op::Conv { .. } = context.graph.nodes[node].op {
                    let image = context.base(context.graph.nodes[node].inputs[0]);
                    if framed.insert(image) {
                        flows.extend(conv::zeros(&arrays, chip, node, image));
                    }
                }
                flows.extend(lower(&context, &mut arrays, (chip, links), &mut maps, node, &pads)?);
                flows.extend(vxm::convert(&context, &arrays, chip, node, &mut pads)?);
            }
        }
    }
    for (name, node) in &context.graph.outputs {
        if let Some(transfer) = links.departure(name) {
            flows.push(c2c::depart(&context, &arrays, chip, &pads, (*node, transfer))?);
        }
    }
    drop(context);
    Ok((graph, Kernels { storages: arrays.storages, flows, maps: maps.into_vec() }))
}

/// Lowers one node that is not pointwise.
fn lower(
    context: &Context<'_>,
    arrays: &mut Arrays,
    (chip, links): (&Chip, &Links),
    maps: &mut Maps,
    node: NodeId,
    pads: &Pads,
) -> Result<Vec<Flow>, Diagnostic> {
    match &context.graph.nodes[node].op {
        Op::MatMul { .. } => mxm::product(context, arrays, chip, node),
        Op::Conv { .. } => conv::convolution(context, arrays, chip, node),
        Op::Reduce { .. } => reduce::reduce(context, arrays, chip, maps, node, pads),
        // The product that takes chosen matrices reads them.
        Op::Gather { .. } if context.choice(node).is_some() => Ok(Vec::new()),
        Op::Gather { .. } => gather::gather(context, arrays, chip, node),
        Op::Append { .. } if legalize::appends_columns(&context.graph.nodes[node]) => {
            append_columns::append(context, arrays, chip, maps, node)
        }
        Op::Append { .. } => append::append(context, arrays, chip, node),
        Op::AllGather { .. } | Op::AllToAll { .. } => {
            Ok(vec![c2c::exchange(context, arrays, chip, (links, pads), node)?])
        }
        Op::Cross { .. } => Ok(vec![c2c::cross(context, arrays, chip, (links, pads), node)?]),
        Op::FromGates(_) => Ok(vec![c2c::from_gates(context, arrays, chip, (links, pads), node)?]),
        // The append to a state by columns turns its recent rows.
        Op::Transpose { .. } => Ok(Vec::new()),
        Op::Slice { .. } | Op::Concat { .. } | Op::Pad { .. } | Op::Reshape { .. } => {
            moves::movement(context, arrays, chip, maps, node)
        }
        other => {
            let origin = &context.graph.nodes[node].origin;
            Err(bad_node(format!("{node} ({origin}): {other:?} is not in legal form")))
        }
    }
}

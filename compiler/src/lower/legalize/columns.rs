//! Caches by columns: a state [.., t, d] that products only read with its last two axes exchanged is kept as [.., d, t].
//!
//! A vector in SRAM is written a superlane at a time, so a column cannot be written by itself. The rows of the superlane's columns that
//! the position lies in are therefore a second state, `NAME.recent` of shape [packs, columns of a superlane, rows of a pack]: the new row is
//! appended to it, and all of it, transposed, is appended to `NAME.columns`. Matrices of few rows share a pack, side by side on the lanes.

use std::collections::BTreeSet;

use isa::Chip;

use super::builder::Builder;
use super::view;
use crate::graph::{BinaryOp, ElementType, Graph, Node, NodeId, Op, State, TensorType, UnaryOp};
use crate::lower::floorplan::{Floorplan, Room};

/// What the name of a state kept by columns ends in.
pub const COLUMNS: &str = ".columns";
/// What the name of its most recent rows ends in.
pub const RECENT: &str = ".recent";

/// Stands in an index for rows that are not there; no sum with a position makes it an address.
const NOWHERE: i32 = i32::MIN / 2;

/// Whether a node of the legal graph appends to a state by columns.
pub fn appends_columns(node: &Node) -> bool {
    matches!(node.op, Op::Append { axis } if axis + 1 == node.ty.shape.len()) && node.inputs.len() == 4
}

/// The sizes that matter of a chip.
#[derive(Clone, Copy)]
pub(super) struct Lanes {
    /// Lanes of a vector.
    pub(super) all: usize,
    /// Lanes of a superlane.
    pub(super) superlane: usize,
}

/// A state by columns under construction.
pub(super) struct Columns {
    /// Both states, in the legal graph.
    pub(super) states: [State; 2],
    /// The state in the model's order: what products that want it otherwise take.
    pub(super) rows: NodeId,
}

/// Numbers of the states of a graph that could lie by columns: one new row at a time, which fills whole superlanes; on a chip that has
/// as many stripes as a superlane has lanes.
///
/// The rows that are written with the new one may be none that count: those behind it are not there yet. So the position must be the host's,
/// who counts up; one that is computed may come round, as in the ring of a window.
pub(super) fn candidates(graph: &Graph, chip: &Chip, lanes: Lanes) -> BTreeSet<usize> {
    let stripes = Floorplan::new(chip, Room::LEAST).map_or(0, |plan| usize::from(plan.stripes));
    if stripes < lanes.superlane {
        return BTreeSet::new();
    }
    let fits = |state: &State| {
        let shape = graph.shape(state.input);
        let node = &graph.nodes[state.output];
        let (Op::Append { axis }, [.., capacity, length]) = (&node.op, shape) else { return false };
        let new = graph.shape(node.inputs[1]);
        let uses = graph.nodes.values().filter(|node| node.inputs.contains(&state.input)).count();
        node.inputs[0] == state.input
            && uses == 1
            && is_given(graph, node.inputs[2])
            && axis + 2 == shape.len()
            && new[*axis] == 1
            && *capacity > 1
            && *length <= lanes.all
            && length.is_multiple_of(lanes.superlane)
            && graph.nodes[state.input].ty.element == ElementType::F32
            && graph.outputs.iter().all(|(_, output)| *output != state.output)
    };
    (0..graph.states.len()).filter(|&number| fits(&graph.states[number])).collect()
}

/// Whether a tensor is an input of the graph, in whatever shape.
fn is_given(graph: &Graph, id: NodeId) -> bool {
    match graph.nodes[id].op {
        Op::Input(_) => true,
        Op::Reshape { .. } => is_given(graph, graph.nodes[id].inputs[0]),
        _ => false,
    }
}

/// The input of a state by columns.
pub(super) fn input(b: &mut Builder, name: &str, shape: &[usize]) -> NodeId {
    let mut shape = shape.to_vec();
    let rank = shape.len();
    shape.swap(rank - 1, rank - 2);
    let name = format!("{name}{COLUMNS}");
    b.states.insert(name.clone());
    b.emit_typed(Op::Input(name), &[], TensorType::new(ElementType::F32, shape))
}

/// Appends a row `new` [.., 1, d] at a position to a state [.., d, t].
pub(super) fn append(
    b: &mut Builder,
    (columns, source): (NodeId, &State),
    new: NodeId,
    position: NodeId,
    lanes: Lanes,
) -> Columns {
    let shape = b.shape(columns);
    let (rows, capacity) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    let matrices: usize = shape[..shape.len() - 2].iter().product();
    let in_pack = (1..=lanes.all / rows).rev().find(|&n| matrices.is_multiple_of(n)).unwrap_or(1);
    let packs = matrices / in_pack;
    let recent_shape = vec![packs, lanes.superlane, in_pack * rows];
    let name = format!("{}{RECENT}", source.input_name);
    b.states.insert(name.clone());
    let recent = b.emit_typed(Op::Input(name.clone()), &[], TensorType::new(ElementType::F32, recent_shape));
    let new = view::reshape(b, new, &[packs, 1, in_pack * rows]);
    let place = Place::of(b, position, lanes);
    let block = b.emit(Op::Append { axis: 1 }, &[recent, new, place.in_block]);
    let turned = b.emit(Op::Transpose { permutation: vec![0, 2, 1] }, &[block]);
    let mut target = shape.clone();
    if let Some(last) = target.last_mut() {
        *last = lanes.superlane;
    }
    let turned = b.emit(Op::Reshape { shape: target }, &[turned]);
    let chunks = capacity.div_ceil(lanes.all);
    let index = place.index(b, in_pack * rows / lanes.superlane, chunks, lanes);
    let all = b.emit(Op::Append { axis: shape.len() - 1 }, &[columns, turned, place.block, index]);
    // For products, which take it as it lies. Whatever else takes it, the state cannot lie by columns.
    let rank = shape.len();
    let permutation = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
    let by_rows = b.emit(Op::Transpose { permutation }, &[all]);
    let state = |end: &str, input: NodeId, output: NodeId| State {
        input,
        output,
        input_name: format!("{}{end}", source.input_name),
        output_name: format!("{}{end}", source.output_name),
    };
    Columns { states: [state(COLUMNS, columns, all), state(RECENT, recent, block)], rows: by_rows }
}

/// A position, cut into the parts of an address.
struct Place {
    /// Number of its superlane, counted through all chunks.
    superlane: NodeId,
    /// The superlane's first position.
    block: NodeId,
    /// From there on.
    in_block: NodeId,
}

impl Place {
    fn of(b: &mut Builder, position: NodeId, lanes: Lanes) -> Place {
        let superlane = floor_of(b, position, 0.0, lanes.superlane);
        let width = b.integer(lanes.superlane as i32);
        let block = b.binary(BinaryOp::Mul, superlane, width);
        let in_block = b.binary(BinaryOp::Sub, position, block);
        Place { superlane, block, in_block }
    }

    /// For each rotation of a vector by so many superlanes, in each lane the row (by its superlane) and chunk that this lane then
    /// belongs to, where the position is in this superlane: their number in the words of a pack. [rotations, lanes].
    fn index(&self, b: &mut Builder, in_pack: usize, chunks: usize, lanes: Lanes) -> NodeId {
        let superlanes = lanes.all / lanes.superlane;
        let of_lane = |lane: usize| lane / lanes.superlane;
        let words = (0..superlanes).flat_map(|rotation| {
            (0..lanes.all).map(move |lane| {
                let from = (of_lane(lane) + rotation) % superlanes;
                if from < in_pack { (from * chunks) as i32 } else { NOWHERE }
            })
        });
        let words = b.integers(words.collect(), &[superlanes, lanes.all]);
        let own = b.integers((0..lanes.all).map(|lane| of_lane(lane) as i32).collect(), &[lanes.all]);
        let chunk = floor_of(b, self.superlane, 0.5, superlanes);
        let per_chunk = b.integer(superlanes as i32);
        let before = b.binary(BinaryOp::Mul, chunk, per_chunk);
        let in_chunk = b.binary(BinaryOp::Sub, self.superlane, before);
        let here = b.binary(BinaryOp::Equal, own, in_chunk);
        let words = b.binary(BinaryOp::Add, words, chunk);
        let nowhere = b.integer(NOWHERE);
        b.select(here, words, nowhere)
    }
}

/// floor((n + offset) / by) of an integer that binary32 holds; an offset of a half keeps quotients that have no exact inverse on their side.
fn floor_of(b: &mut Builder, n: NodeId, offset: f32, by: usize) -> NodeId {
    let mut real = b.cast(ElementType::F32, n);
    if offset != 0.0 {
        let offset = b.real(offset);
        real = b.binary(BinaryOp::Add, real, offset);
    }
    let share = b.real(1.0 / by as f32);
    let quotient = b.binary(BinaryOp::Mul, real, share);
    let whole = b.unary(UnaryOp::Floor, quotient);
    b.cast(ElementType::I32, whole)
}

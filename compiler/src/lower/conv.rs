//! Convolutions: products whose left operand is read once for each place of the window, at another distance.
//!
//! The image lies with zeros around it ([`Frame`]), so that from a window's first row each other one is equally far for all windows. A place of the
//! window and a chunk of channels is a chunk of k, whose sums add up like those of any other product. Nothing is copied.

use isa::{Chip, Hemisphere};

use super::arrays::Arrays;
use super::compress::Item;
use super::context::Context;
use super::flow::{Act, AluOperand, Flow, FlowQueue, StreamRef};
use super::needs::bad_node;
use super::pass::{Pass, emit};
use super::storage::{Frame, StorageId};
use super::tiled::{Sharing, Tiled};
use crate::diagnostic::Diagnostic;
use crate::graph::{NodeId, Op};

/// Where a chunk of k is read, relative to a window's first row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taps {
    /// Distance in rows of each place of the window.
    pub distances: Vec<u32>,
    /// Chunks of channels.
    pub chunks: u32,
}

impl Taps {
    /// Rows further, and chunk of the left operand, for a chunk of k.
    pub fn of(&self, chunk: u32) -> (u32, u32) {
        (self.distances[(chunk / self.chunks) as usize], chunk % self.chunks)
    }
}

/// Sizes of a convolution in legal form, by spatial axis.
struct Windows {
    images: u32,
    size: [u32; 2],
    out: [u32; 2],
    kernel: [u32; 2],
    strides: [u32; 2],
    before: [u32; 2],
    dilations: [u32; 2],
}

impl Windows {
    fn of(context: &Context<'_>, node: NodeId) -> Option<Windows> {
        let data = &context.graph.nodes[node];
        let Op::Conv { strides, padding, dilations, .. } = &data.op else { return None };
        let [x, weights] = [0, 1].map(|at| context.graph.shape(data.inputs[at]));
        let pair = |of: &[usize]| [0, 1].map(|axis| of[axis] as u32);
        Some(Windows {
            images: x[0] as u32,
            size: pair(&x[1..]),
            out: pair(&data.ty.shape[1..]),
            kernel: pair(&weights[1..]),
            strides: pair(strides),
            before: [0, 1].map(|axis| padding[axis][0] as u32),
            dilations: pair(dilations),
        })
    }
}

/// Places of the window of a convolution's weights; nothing for other products.
pub fn places(context: &Context<'_>, node: NodeId) -> Option<u32> {
    Windows::of(context, node).map(|windows| windows.kernel.iter().product())
}

/// The zeros that a convolution needs around its left operand; nothing for other products.
pub fn frame(context: &Context<'_>, node: NodeId) -> Option<Frame> {
    let windows = Windows::of(context, node)?;
    let after = [0, 1].map(|axis| {
        let end = (windows.out[axis] - 1) * windows.strides[axis]
            + (windows.kernel[axis] - 1) * windows.dilations[axis]
            + 1;
        end.saturating_sub(windows.before[axis] + windows.size[axis])
    });
    Some(Frame { size: windows.size, before: windows.before, after })
}

/// Lowers a convolution.
pub fn convolution(
    context: &Context<'_>,
    arrays: &mut Arrays,
    chip: &Chip,
    node: NodeId,
) -> Result<Vec<Flow>, Diagnostic> {
    let data = &context.graph.nodes[node];
    let base = context.base(data.inputs[0]);
    let forms = (
        arrays.forms[context.base(data.inputs[1])].tiles,
        arrays.forms[base].halves,
        arrays.forms[node].plain,
    );
    let ((Some(weights), Some(left), Some(out)), Some(windows)) = (forms, Windows::of(context, node)) else {
        return Err(bad_node(format!("{node} ({}): an operand has no array", data.origin)));
    };
    let array = &arrays.storages.arrays[left[0]];
    let format = super::pass::format(arrays.storages.arrays[weights].element);
    if let Some(problem) = chip.mxm.refuses(&chip.name, format) {
        return Err(bad_node(format!("{node} ({}): {problem}", data.origin)));
    }
    let frame = array.frame.unwrap_or(Frame { size: windows.size, ..Frame::default() });
    let [height, width] = frame.framed();
    let steps = [width, 1];
    let [before_y, before_x] = [0, 1].map(|axis| frame.before[axis] - windows.before[axis]);
    let mut rows = Vec::new();
    for image in 0..windows.images {
        for y in 0..windows.out[0] {
            let first = (image * height + y * windows.strides[0] + before_y) * width + before_x;
            rows.extend((0..windows.out[1]).map(|x| first + x * windows.strides[1]));
        }
    }
    let [of_y, of_x] = [0, 1].map(|axis| {
        (0..windows.kernel[axis])
            .map(move |at| at * windows.dilations[axis] * steps[axis])
            .collect::<Vec<_>>()
    });
    let distances = of_y.iter().flat_map(|y| of_x.iter().map(move |x| y + x)).collect();
    let taps = Taps { distances, chunks: array.chunks };
    let sharing = Sharing::from([(0, rows.into_iter().zip(0..).collect())]);
    Tiled { chip, node, weights, left, index: None, out, taps: Some(taps) }.flows(arrays, &sharing)
}

/// Zeros around the images of a left operand, where there are any.
pub fn zeros(arrays: &Arrays, chip: &Chip, node: NodeId, base: NodeId) -> Option<Flow> {
    let halves = arrays.forms[base].halves?;
    let array = &arrays.storages.arrays[halves[0]];
    let frame = array.frame?;
    let images = array.rows / frame.framed().iter().product::<u32>();
    let rows = frame.zeros(images);
    if rows.is_empty() {
        return None;
    }
    let space: Vec<(u32, u32)> =
        (0..array.chunks).flat_map(|chunk| rows.iter().map(move |&row| (row, chunk))).collect();
    let pass = Pass { chip, arrays, node, name: "zeros", space: &space };
    let mut flow = Flow::new(node, "zeros");
    for (storage, hemisphere) in halves.into_iter().zip(Hemisphere::BOTH) {
        put_zeros(&pass, &mut flow, storage, hemisphere);
    }
    Some(flow)
}

fn put_zeros(pass: &Pass<'_>, flow: &mut Flow, storage: StorageId, hemisphere: Hemisphere) {
    let vectors: Vec<(usize, (u32, u32))> = pass.space.iter().copied().enumerate().collect();
    let stream = pass.result(flow, storage, hemisphere, &vectors, 0, 1);
    let result = Some((StreamRef(stream, 0), pass.format(storage)));
    let alu = flow.alus.len();
    let items = (0..vectors.len() as i64).map(|cycle| Item::once(cycle, 0)).collect();
    let act = Act::Alu { op: isa::instruction::VxmOp::Pass, a: AluOperand::Immediate(0), b: None, result };
    let span = emit(flow, FlowQueue::Alu(alu), items, |_, _| act);
    flow.alus.push(span);
}

//! What a convolution asks of the MXM: each place of its image is a row that meets the weights of all windows that it is in.

use crate::graph::{Graph, NodeId, Op};

/// How places and windows of a convolution with channels last meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meetings {
    /// For each place of an image, the windows that it is in.
    pub(super) windows: Vec<u64>,
    /// Images.
    pub(super) images: u64,
    /// Output channels.
    pub(super) outputs: u64,
    /// For each place of a window, whether some window has it on the image.
    pub(super) used: Vec<bool>,
    /// Whether some window has only zeros in it.
    pub(super) hollow: bool,
}

impl Meetings {
    /// Those of a convolution in legal form.
    pub(super) fn of(graph: &Graph, node: NodeId) -> Option<Meetings> {
        let data = &graph.nodes[node];
        let Op::Conv { channels_last: true, strides, padding, dilations, groups: 1 } = &data.op else {
            return None;
        };
        let ([images, height, width, _], [outputs, kernel @ .., _]) =
            (graph.shape(data.inputs[0]), graph.shape(data.inputs[1]))
        else {
            return None;
        };
        let axis = |axis: usize, length: usize| {
            let mut places = vec![0u64; length];
            let mut used = vec![false; kernel[axis]];
            let mut hollow = false;
            for window in 0..data.ty.shape[1 + axis] {
                let at = |element: usize| {
                    let at = window * strides[axis] + element * dilations[axis];
                    at.checked_sub(padding[axis][0]).filter(|&at| at < length)
                };
                hollow |= !(0..kernel[axis]).any(|element| at(element).is_some());
                for (element, at) in (0..kernel[axis]).filter_map(|element| Some((element, at(element)?))) {
                    places[at] += 1;
                    used[element] = true;
                }
            }
            (places, used, hollow)
        };
        let (rows, columns) = (axis(0, *height), axis(1, *width));
        let windows = rows.0.iter().flat_map(|y| columns.0.iter().map(move |x| x * y)).collect();
        Some(Meetings {
            windows,
            images: *images as u64,
            outputs: *outputs as u64,
            used: rows.1.iter().flat_map(|y| columns.1.iter().map(move |x| x & y)).collect(),
            hollow: rows.2 || columns.2,
        })
    }

    /// Rows of the left operand that meet weights.
    pub(super) fn rows(&self) -> u64 {
        self.images * self.windows.iter().filter(|&&windows| windows > 0).count() as u64
    }

    /// Whether each place is in some window.
    pub(super) fn all(&self) -> bool {
        self.windows.iter().all(|&windows| windows > 0)
    }

    /// Pairs of a row of the left operand and a row of weights: in each window that a row is in, it has another place.
    pub(super) fn pairs(&self) -> u64 {
        self.images * self.outputs * self.windows.iter().sum::<u64>()
    }

    /// Passes for a chunk of channels through planes of so many rows.
    pub(super) fn passes(&self, rows: u64) -> u64 {
        let of = |&windows: &u64| (windows * self.outputs).div_ceil(rows);
        self.images * self.windows.iter().map(of).sum::<u64>()
    }
}

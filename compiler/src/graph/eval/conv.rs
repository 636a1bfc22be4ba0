//! Convolution: the windows written out as rows, times the weights.

use super::product::{Term, rows_by_rows};
use super::tensor::{Data, Tensor};

/// Sizes and places of windows, with two spatial axes.
struct Windows {
    /// Channels of a group, and the input's height and width.
    channels: usize,
    space: [usize; 2],
    kernel: [usize; 2],
    out: [usize; 2],
    strides: [usize; 2],
    /// Zeros before the first element.
    before: [usize; 2],
    dilations: [usize; 2],
}

/// A pair of spatial axes; one axis is the second of two.
fn pair(of: &[usize], missing: usize) -> [usize; 2] {
    match *of {
        [a, b] => [a, b],
        [b] => [missing, b],
        _ => [missing, missing],
    }
}

/// The convolution of a with weights; types and shapes have been checked. `windows`: strides, zeros before, dilations.
pub(super) fn conv(
    [a, weights]: [&Tensor; 2],
    [strides, before, dilations]: [&[usize]; 3],
    groups: usize,
    shape: Vec<usize>,
) -> Result<Tensor, String> {
    let windows = Windows {
        channels: weights.shape[1],
        space: pair(&a.shape[2..], 1),
        kernel: pair(&weights.shape[2..], 1),
        out: pair(&shape[2..], 1),
        strides: pair(strides, 1),
        before: pair(before, 0),
        dilations: pair(dilations, 1),
    };
    let sizes = [shape[0], groups, shape[1] / groups];
    let data = match (&a.data, &weights.data) {
        (Data::F32(a), Data::F32(w)) => Data::F32(windows.convolve(a, w, sizes)),
        (Data::I8(a), Data::I8(w)) => Data::I32(windows.convolve(a, w, sizes)),
        _ => return Err("conv: not defined for these element types".to_owned()),
    };
    Ok(Tensor { shape, data })
}

impl Windows {
    fn convolve<T: Term>(&self, a: &[T], weights: &[T], [n, groups, out]: [usize; 3]) -> Vec<T::Out> {
        let m = self.out.iter().product();
        let k = self.channels * self.kernel.iter().product::<usize>();
        let length = self.channels * self.space.iter().product::<usize>();
        let mut result = Vec::with_capacity(n * groups * out * m);
        for group in 0..n * groups {
            let rows = self.rows(&a[group * length..][..length]);
            let weights = &weights[group % groups * out * k..][..out * k];
            let sums = rows_by_rows(&rows, weights, [m, out, k]);
            for channel in 0..out {
                result.extend((0..m).map(|at| sums[at * out + channel]));
            }
        }
        result
    }

    /// A row for each window, of its elements in the order of the weights.
    fn rows<T: Term>(&self, a: &[T]) -> Vec<T> {
        let [height, width] = self.space;
        let mut rows = Vec::new();
        for y in 0..self.out[0] {
            for x in 0..self.out[1] {
                for channel in 0..self.channels {
                    for i in 0..self.kernel[0] {
                        for j in 0..self.kernel[1] {
                            let inside = self.place(0, y, i).zip(self.place(1, x, j));
                            rows.push(
                                inside
                                    .map_or_else(T::default, |(y, x)| a[(channel * height + y) * width + x]),
                            );
                        }
                    }
                }
            }
        }
        rows
    }

    /// Where an element of a window is on an axis; nothing on the zeros around.
    fn place(&self, axis: usize, window: usize, element: usize) -> Option<usize> {
        let at = window * self.strides[axis] + element * self.dilations[axis];
        at.checked_sub(self.before[axis]).filter(|&at| at < self.space[axis])
    }
}

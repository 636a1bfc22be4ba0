//! Operators that move elements and do not compute.

use super::pointwise;
use super::tensor::{Data, Tensor, each};
use crate::graph::f8::F8;

/// Row-major strides of a shape, in elements.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

/// Elements of a view: element (i, j, …) is `data[start + i * strides[0] + j * strides[1] + …]`, in row-major order.
fn view<T: Copy>(data: &[T], shape: &[usize], strides: &[usize], start: usize) -> Vec<T> {
    let total = shape.iter().product();
    let mut out = Vec::with_capacity(total);
    if total == 0 {
        return out;
    }
    let outer = shape.len().saturating_sub(1);
    let (count, step) = if shape.is_empty() { (1, 1) } else { (shape[outer], strides[outer]) };
    let mut index = vec![0; outer];
    let mut at = start;
    loop {
        match step {
            1 => out.extend_from_slice(&data[at..at + count]),
            0 => out.extend(std::iter::repeat_n(data[at], count)),
            step => out.extend((0..count).map(|i| data[at + i * step])),
        }
        // To the next row, as an odometer.
        let mut axis = outer;
        loop {
            if axis == 0 {
                return out;
            }
            axis -= 1;
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
}

/// Axis i of the result is axis `permutation[i]`.
pub(super) fn transpose(a: &Tensor, permutation: &[usize]) -> Tensor {
    let from = strides(&a.shape);
    let shape: Vec<usize> = permutation.iter().map(|&axis| a.shape[axis]).collect();
    let strides: Vec<usize> = permutation.iter().map(|&axis| from[axis]).collect();
    let data = each!(&a.data, d => view(d, &shape, &strides, 0));
    Tensor { shape, data }
}

/// Repeats axes of length 1 so that the tensor has the given shape.
pub(super) fn expand(a: &Tensor, shape: &[usize]) -> Tensor {
    let from = strides(&a.shape);
    let lead = shape.len() - a.shape.len();
    let stride = |axis: usize| if axis < lead || a.shape[axis - lead] == 1 { 0 } else { from[axis - lead] };
    let strides: Vec<usize> = (0..shape.len()).map(stride).collect();
    Tensor { shape: shape.to_vec(), data: each!(&a.data, d => view(d, shape, &strides, 0)) }
}

/// `count` elements of an axis.
pub(super) fn slice(a: &Tensor, axis: usize, start: usize, count: usize, step: usize) -> Tensor {
    let mut strides = strides(&a.shape);
    let mut shape = a.shape.clone();
    let start = start * strides[axis];
    shape[axis] = count;
    strides[axis] *= step;
    let data = each!(&a.data, d => view(d, &shape, &strides, start));
    Tensor { shape, data }
}

/// A tensor as blocks along an axis: (number of blocks, length of a block).
fn blocks(a: &Tensor, axis: usize) -> (usize, usize) {
    (a.shape[..axis].iter().product(), a.shape[axis..].iter().product())
}

/// One after the other along an axis; shapes have been inferred.
pub(super) fn concat(inputs: &[&Tensor], axis: usize, shape: Vec<usize>) -> Tensor {
    macro_rules! join {
        ($variant:ident) => {{
            let mut parts = Vec::new();
            for input in inputs {
                if let Data::$variant(d) = &input.data {
                    parts.push((d.as_slice(), blocks(input, axis).1));
                }
            }
            let mut out = Vec::with_capacity(shape.iter().product());
            for block in 0..blocks(inputs[0], axis).0 {
                for (data, length) in &parts {
                    out.extend_from_slice(&data[block * length..][..*length]);
                }
            }
            Data::$variant(out)
        }};
    }
    let data = match &inputs[0].data {
        Data::F32(_) => join!(F32),
        Data::I32(_) => join!(I32),
        Data::Bool(_) => join!(Bool),
        Data::I8(_) => join!(I8),
        Data::F8(_) => join!(F8),
    };
    Tensor { shape, data }
}

/// `value` (its bits) before and after an axis.
pub(super) fn pad(a: &Tensor, axis: usize, before: usize, after: usize, value: u32) -> Tensor {
    let (count, length) = blocks(a, axis);
    let inner: usize = a.shape[axis + 1..].iter().product();
    let mut shape = a.shape.clone();
    shape[axis] += before + after;
    fn fill<T: Copy>(data: &[T], value: T, count: usize, [before, length, after]: [usize; 3]) -> Vec<T> {
        let mut out = Vec::with_capacity(count * (before + length + after));
        for block in 0..count {
            out.extend(std::iter::repeat_n(value, before));
            out.extend_from_slice(&data[block * length..][..length]);
            out.extend(std::iter::repeat_n(value, after));
        }
        out
    }
    let parts = [before * inner, length, after * inner];
    let data = match &a.data {
        Data::F32(d) => Data::F32(fill(d, f32::from_bits(value), count, parts)),
        Data::I32(d) => Data::I32(fill(d, value.cast_signed(), count, parts)),
        Data::Bool(d) => Data::Bool(fill(d, value != 0, count, parts)),
        // Their padding is zero.
        Data::I8(d) => Data::I8(fill(d, 0, count, parts)),
        Data::F8(d) => Data::F8(fill(d, F8(0), count, parts)),
    };
    Tensor { shape, data }
}

/// Rows of `a` along an axis, by index; the error names an index out of range.
pub(super) fn gather(a: &Tensor, indices: &[i32], axis: usize, shape: Vec<usize>) -> Result<Tensor, String> {
    let length = a.shape[axis];
    let inner: usize = a.shape[axis + 1..].iter().product();
    let count = blocks(a, axis).0;
    let rows = indices
        .iter()
        .map(|&index| {
            let row = if index < 0 { i64::from(index) + length as i64 } else { i64::from(index) };
            usize::try_from(row).ok().filter(|&row| row < length).ok_or_else(|| {
                format!(
                    "gather: index {index} is out of range: axis {axis} of {} has length {length}",
                    a.ty()
                )
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let pick = |block: usize| rows.iter().map(move |row| (block * length + row) * inner);
    let data = each!(&a.data, d => {
        let mut out = Vec::with_capacity(shape.iter().product());
        for at in (0..count).flat_map(pick) {
            out.extend_from_slice(&d[at..at + inner]);
        }
        out
    });
    Ok(Tensor { shape, data })
}

/// `state` with `new` written at `position` of an axis; the error names a position that does not fit.
pub(super) fn append(state: &Tensor, new: &Tensor, position: i32, axis: usize) -> Result<Tensor, String> {
    let (capacity, added) = (state.shape[axis], new.shape[axis]);
    let place = usize::try_from(position).ok().filter(|&at| at <= capacity - added).ok_or_else(|| {
        format!(
            "append: position {position} does not fit: {added} elements into axis {axis} of {}",
            state.ty()
        )
    })?;
    let inner: usize = state.shape[axis + 1..].iter().product();
    let (count, length) = blocks(new, axis);
    fn write<T: Copy>(
        to: &[T],
        from: &[T],
        count: usize,
        length: usize,
        at: impl Fn(usize) -> usize,
    ) -> Vec<T> {
        let mut to = to.to_vec();
        for block in 0..count {
            to[at(block)..][..length].copy_from_slice(&from[block * length..][..length]);
        }
        to
    }
    let at = |block: usize| (block * capacity + place) * inner;
    let new = &pointwise::cast(new, state.ty().element);
    let data = match (&state.data, &new.data) {
        (Data::F32(s), Data::F32(n)) => Data::F32(write(s, n, count, length, at)),
        (Data::I32(s), Data::I32(n)) => Data::I32(write(s, n, count, length, at)),
        (Data::Bool(s), Data::Bool(n)) => Data::Bool(write(s, n, count, length, at)),
        (Data::I8(s), Data::I8(n)) => Data::I8(write(s, n, count, length, at)),
        (Data::F8(s), Data::F8(n)) => Data::F8(write(s, n, count, length, at)),
        _ => return Err("append: element types differ".to_owned()),
    };
    Ok(Tensor { shape: state.shape.clone(), data })
}

//! The matrix product, reasonably fast.
//!
//! Every dot product of reals is a sum in binary64 of exact products, rounded once to binary32, in an order that depends
//! only on its length: results do not depend on the number of threads, nor on which rows are computed together. Integers of
//! eight bits are summed modulo 2^32.

use super::tensor::{Data, Tensor};
use crate::graph::f8::F8;
use crate::graph::shape;
use std::ops::Range;

/// Columns that are summed together; their sums stay in the first-level cache.
const COLUMNS: usize = 256;
/// Partial sums of a dot product with both operands contiguous: element k goes to partial sum k mod LANES.
const LANES: usize = 8;
/// Products below this number of multiplications are not worth a thread.
const WORTH_THREADS: usize = 1 << 20;

/// Elements that can be multiplied and summed.
pub(super) trait Term: Copy + Sync + Default {
    /// A sum in the making.
    type Sum: Copy;
    /// A sum that is done.
    type Out: Copy + Default + Send;
    /// Of nothing.
    const ZERO: Self::Sum;
    /// `sum + a b`
    fn add(sum: Self::Sum, a: Self, b: Self) -> Self::Sum;
    /// Two sums as one.
    fn join(a: Self::Sum, b: Self::Sum) -> Self::Sum;
    /// Rounds, once.
    fn done(sum: Self::Sum) -> Self::Out;
}

impl Term for f32 {
    type Sum = f64;
    type Out = f32;
    const ZERO: f64 = 0.0;
    fn add(sum: f64, a: f32, b: f32) -> f64 {
        sum + f64::from(a) * f64::from(b)
    }
    fn join(a: f64, b: f64) -> f64 {
        a + b
    }
    fn done(sum: f64) -> f32 {
        sum as f32
    }
}

impl Term for i8 {
    type Sum = i32;
    type Out = i32;
    const ZERO: i32 = 0;
    fn add(sum: i32, a: i8, b: i8) -> i32 {
        sum.wrapping_add(i32::from(a) * i32::from(b))
    }
    fn join(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
    fn done(sum: i32) -> i32 {
        sum
    }
}

/// One product of a batch: b's rows are columns where `transposed`.
#[derive(Clone, Copy)]
struct Matrices<'a, T> {
    a: &'a [T],
    b: &'a [T],
    k: usize,
    n: usize,
    transposed: bool,
}

/// a × b with broadcast leading axes; types and shapes have been checked.
pub(super) fn matmul(a: &Tensor, b: &Tensor, transposed: bool) -> Result<Tensor, String> {
    let reals = |data: &[F8]| -> Vec<f32> { data.iter().map(|x| x.to_f32()).collect() };
    let (shape, data) = match (&a.data, &b.data) {
        (Data::F32(da), Data::F32(db)) => {
            let (shape, out) = typed((&a.shape, da), (&b.shape, db), transposed)?;
            (shape, Data::F32(out))
        }
        (Data::F8(da), Data::F8(db)) => {
            let (shape, out) = typed((&a.shape, &reals(da)), (&b.shape, &reals(db)), transposed)?;
            (shape, Data::F32(out))
        }
        (Data::I8(da), Data::I8(db)) => {
            let (shape, out) = typed((&a.shape, da), (&b.shape, db), transposed)?;
            (shape, Data::I32(out))
        }
        _ => return Err("matmul: not defined for these element types".to_owned()),
    };
    Ok(Tensor { shape, data })
}

/// The product's shape and elements, of operands by shape and elements.
fn typed<T: Term>(a: (&[usize], &[T]), b: (&[usize], &[T]), transposed: bool) -> Result<Typed<T>, String> {
    let ((shape_a, da), (shape_b, db)) = (a, b);
    let (lead_a, tail_a) = shape_a.split_at(shape_a.len() - 2);
    let (lead_b, tail_b) = shape_b.split_at(shape_b.len() - 2);
    let (m, k) = (tail_a[0], tail_a[1]);
    let n = if transposed { tail_b[0] } else { tail_b[1] };
    let mut shape = shape::broadcast(lead_a, lead_b)?;
    let batches: usize = shape.iter().product();
    let mut out = Vec::with_capacity(batches * m * n);
    let (mut batch, mut index) = (0, vec![0; shape.len()]);
    while batch < batches {
        let (at_a, at_b) = (place(lead_a, &index) * m * k, place(lead_b, &index) * k * n);
        // Where b is one matrix for all, the rows of all of a are one long matrix.
        let rows =
            if batches > 1 && lead_b.iter().all(|&x| x == 1) && lead_a == shape { batches * m } else { m };
        let matrices =
            Matrices { a: &da[at_a..at_a + rows * k], b: &db[at_b..at_b + k * n], k, n, transposed };
        one(matrices, rows, &mut out);
        batch += rows.checked_div(m).unwrap_or(batches);
        next(&mut index, &shape);
    }
    shape.extend([m, n]);
    Ok((shape, out))
}

/// Shape and elements of a product.
type Typed<T> = (Vec<usize>, Vec<<T as Term>::Out>);

/// Dot products of `m` rows of `a` with `n` rows of `b`, all of length `k`: [m, n].
pub(super) fn rows_by_rows<T: Term>(a: &[T], b: &[T], [m, n, k]: [usize; 3]) -> Vec<T::Out> {
    let mut out = Vec::with_capacity(m * n);
    one(Matrices { a, b, k, n, transposed: true }, m, &mut out);
    out
}

/// Number of the matrix at a broadcast index.
fn place(lead: &[usize], index: &[usize]) -> usize {
    let own = &index[index.len() - lead.len()..];
    lead.iter().zip(own).fold(0, |at, (&length, &i)| at * length + if length == 1 { 0 } else { i })
}

fn next(index: &mut [usize], shape: &[usize]) {
    for axis in (0..index.len()).rev() {
        index[axis] += 1;
        if index[axis] < shape[axis] {
            return;
        }
        index[axis] = 0;
    }
}

/// Appends an `m` × n product to `out`, shared among threads by rows or, where these are few, by columns.
fn one<T: Term>(matrices: Matrices<'_, T>, m: usize, out: &mut Vec<T::Out>) {
    let n = matrices.n;
    let work = m.saturating_mul(n).saturating_mul(matrices.k);
    let threads =
        if work < WORTH_THREADS { 1 } else { std::thread::available_parallelism().map_or(1, usize::from) };
    if threads == 1 {
        out.extend(part(matrices, 0..m, 0..n));
        return;
    }
    let by_rows = m >= 4 * threads;
    let ranges = if by_rows { split(m, threads) } else { split(n, threads) };
    let parts: Vec<Vec<T::Out>> = std::thread::scope(|scope| {
        let work = |range: Range<usize>| {
            let (rows, columns) = if by_rows { (range, 0..n) } else { (0..m, range) };
            scope.spawn(move || part(matrices, rows, columns))
        };
        let handles: Vec<_> = ranges.iter().cloned().map(work).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    if by_rows {
        parts.iter().for_each(|part| out.extend(part));
    } else {
        for row in 0..m {
            for (part, range) in parts.iter().zip(&ranges) {
                out.extend_from_slice(&part[row * range.len()..][..range.len()]);
            }
        }
    }
}

fn split(n: usize, parts: usize) -> Vec<Range<usize>> {
    (0..parts).map(|i| n * i / parts..n * (i + 1) / parts).collect()
}

/// The given rows and columns of the product, row-major.
fn part<T: Term>(matrices: Matrices<'_, T>, rows: Range<usize>, columns: Range<usize>) -> Vec<T::Out> {
    let mut out = vec![T::Out::default(); rows.len() * columns.len()];
    if matrices.transposed {
        for (j, column) in columns.clone().enumerate() {
            let b = &matrices.b[column * matrices.k..][..matrices.k];
            for (i, row) in rows.clone().enumerate() {
                out[i * columns.len() + j] = dot(&matrices.a[row * matrices.k..][..matrices.k], b);
            }
        }
        return out;
    }
    let mut sums = [T::ZERO; COLUMNS];
    for first in columns.clone().step_by(COLUMNS) {
        let width = COLUMNS.min(columns.end - first);
        for (i, row) in rows.clone().enumerate() {
            let sums = &mut sums[..width];
            sums.fill(T::ZERO);
            for (k, &a) in matrices.a[row * matrices.k..][..matrices.k].iter().enumerate() {
                let b = &matrices.b[k * matrices.n + first..][..width];
                sums.iter_mut().zip(b).for_each(|(sum, &b)| *sum = T::add(*sum, a, b));
            }
            let out = &mut out[i * columns.len() + first - columns.start..][..width];
            out.iter_mut().zip(sums.iter()).for_each(|(out, &sum)| *out = T::done(sum));
        }
    }
    out
}

fn dot<T: Term>(a: &[T], b: &[T]) -> T::Out {
    let (a, rest_a) = a.as_chunks::<LANES>();
    let (b, rest_b) = b.as_chunks::<LANES>();
    let mut sums = [T::ZERO; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] = T::add(sums[lane], a[lane], b[lane]);
        }
    }
    for (lane, (&a, &b)) in rest_a.iter().zip(rest_b).enumerate() {
        sums[lane] = T::add(sums[lane], a, b);
    }
    let pair = |i: usize| T::join(sums[i], sums[i + 4]);
    T::done(T::join(T::join(pair(0), pair(2)), T::join(pair(1), pair(3))))
}

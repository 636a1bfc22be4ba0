//! Matrix products.

use super::Translate;
use crate::graph::import::build::{Builder, Outcome, Value};
use crate::graph::import::call::Call;
use crate::graph::{BinaryOp, Op};

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "MatMul" => matmul,
        "Gemm" => gemm,
        _ => return None,
    })
}

/// numpy's product: a vector on the left is a row, one on the right a column, and the axis that this adds is dropped again.
fn matmul(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (a, b) = (c.input(0)?, c.input(1)?);
    with_vectors(c.build, &a, &b, product).map(|y| vec![y])
}

/// A product of tensors of any number of axes, by way of one of two axes or more.
pub(super) fn with_vectors(
    build: &mut Builder,
    a: &Value,
    b: &Value,
    product: impl Fn(&mut Builder, &Value, &Value) -> Outcome,
) -> Outcome {
    let (mut a, mut b) = (a.clone(), b.clone());
    let (row, column) = (build.shape(&a).len() == 1, build.shape(&b).len() == 1);
    if row {
        let shape = [vec![1], build.shape(&a)].concat();
        a = build.reshape(&a, shape)?;
    }
    if column {
        let shape = [build.shape(&b), vec![1]].concat();
        b = build.reshape(&b, shape)?;
    }
    let mut product = product(build, &a, &b)?;
    if row || column {
        let mut shape = build.shape(&product);
        let rank = shape.len();
        if column {
            shape.remove(rank - 1);
        }
        if row {
            shape.remove(rank - 2);
        }
        product = build.reshape(&product, shape)?;
    }
    Ok(product)
}

/// A product of tensors of two axes or more.
pub(super) fn product(build: &mut Builder, a: &Value, b: &Value) -> Outcome {
    let (left, right) = (build.shape(a), build.shape(b));
    // With nothing to sum over it is a pointwise product. Exporters write the angles of rotary positions like this, and positions
    // must not pass through the matrix unit's 16-bit operands.
    if left.len() >= 2 && right.len() >= 2 && left[left.len() - 1] == 1 && right[right.len() - 2] == 1 {
        return build.binary(BinaryOp::Mul, a, b);
    }
    if let Some(transposed) = untransposed(build, b) {
        return build.apply(Op::MatMul { transpose_b: true }, &[a.clone(), transposed]);
    }
    build.apply(Op::MatMul { transpose_b: false }, &[a.clone(), b.clone()])
}

/// The last two axes exchanged; fewer stay as they are.
pub(super) fn transposed(build: &mut Builder, a: &Value) -> Outcome {
    let rank = build.shape(a).len();
    let mut permutation: Vec<usize> = (0..rank).collect();
    if rank >= 2 {
        permutation.swap(rank - 2, rank - 1);
    }
    build.apply(Op::Transpose { permutation }, std::slice::from_ref(a))
}

/// What `b` is the transpose of, where that exchanges the last two axes only.
fn untransposed(build: &Builder, b: &Value) -> Option<Value> {
    let Value::Node(node) = b else { return None };
    let node = &build.graph.nodes[*node];
    let Op::Transpose { permutation } = &node.op else { return None };
    let rank = permutation.len();
    let exchanged = rank >= 2 && (0..rank - 2).chain([rank - 1, rank - 2]).eq(permutation.iter().copied());
    exchanged.then(|| Value::Node(node.inputs[0]))
}

/// alpha op(A) op(B) + beta C
fn gemm(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (mut a, b) = (c.input(0)?, c.input(1)?);
    if c.int("transA", 0) != 0 {
        a = transposed(c.build, &a)?;
    }
    let mut y = if c.int("transB", 0) != 0 {
        c.build.apply(Op::MatMul { transpose_b: true }, &[a, b])?
    } else {
        product(c.build, &a, &b)?
    };
    y = c.build.with_real(BinaryOp::Mul, &y, c.float("alpha", 1.0))?;
    if let Some(bias) = c.optional(2) {
        let bias = c.build.with_real(BinaryOp::Mul, &bias, c.float("beta", 1.0))?;
        y = c.build.binary(BinaryOp::Add, &y, &bias)?;
    }
    Ok(vec![y])
}

/// An axis of x times a matrix [n, k]: k elements become n.
pub(super) fn along(build: &mut Builder, x: &Value, axis: usize, matrix: &Value) -> Outcome {
    let mut shape = build.shape(x);
    let (outer, inner) = (shape[..axis].iter().product(), shape[axis + 1..].iter().product());
    let length = std::mem::replace(&mut shape[axis], build.shape(matrix)[0]);
    let y = if inner == 1 {
        let rows = build.reshape(x, vec![outer, length])?;
        build.apply(Op::MatMul { transpose_b: true }, &[rows, matrix.clone()])?
    } else {
        let columns = build.reshape(x, vec![outer, length, inner])?;
        build.apply(Op::MatMul { transpose_b: false }, &[matrix.clone(), columns])?
    };
    build.reshape(&y, shape)
}

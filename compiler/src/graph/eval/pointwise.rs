//! Pointwise operators, reductions and softmax.
//!
//! Functions that are not exact in binary32 are computed in binary64 with portable code and rounded once, so that results
//! are the same on every machine. Integers wrap modulo 2^32.

use super::layout::expand;
use super::tensor::{Data, Tensor};
use crate::graph::f8::F8;
use crate::graph::{BinaryOp, ElementType, ReduceOp, UnaryOp, shape};
use half::f16;

/// One-operand functions; the type has been checked.
pub(super) fn unary(op: UnaryOp, a: &Tensor) -> Result<Tensor, String> {
    let data = match &a.data {
        Data::F32(d) if op == UnaryOp::Bits => {
            Data::I32(d.iter().map(|x| x.to_bits().cast_signed()).collect())
        }
        Data::I32(d) if op == UnaryOp::Bits => {
            Data::F32(d.iter().map(|x| f32::from_bits(x.cast_unsigned())).collect())
        }
        Data::F32(d) => Data::F32(real(op, d)?),
        Data::I32(d) => Data::I32(match op {
            UnaryOp::Neg => d.iter().map(|x| x.wrapping_neg()).collect(),
            UnaryOp::Abs => d.iter().map(|x| x.wrapping_abs()).collect(),
            _ => return Err(untyped(op.name())),
        }),
        Data::Bool(d) if op == UnaryOp::Not => Data::Bool(d.iter().map(|x| !x).collect()),
        Data::Bool(_) | Data::I8(_) | Data::F8(_) => return Err(untyped(op.name())),
    };
    Ok(Tensor { shape: a.shape.clone(), data })
}

fn untyped(name: &str) -> String {
    format!("{name}: not defined for these element types")
}

/// Of a normal positive number the power of two that leaves it from √½ on and below √2.
fn exponent(x: f32) -> i32 {
    x.to_bits().wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits()).cast_signed() >> 23
}

fn real(op: UnaryOp, d: &[f32]) -> Result<Vec<f32>, String> {
    fn wide(d: &[f32], f: impl Fn(f64) -> f64) -> Vec<f32> {
        d.iter().map(|&x| f(f64::from(x)) as f32).collect()
    }
    fn exact(d: &[f32], f: impl Fn(f32) -> f32) -> Vec<f32> {
        d.iter().map(|&x| f(x)).collect()
    }
    Ok(match op {
        UnaryOp::Neg => exact(d, |x| -x),
        UnaryOp::Abs => exact(d, f32::abs),
        UnaryOp::Sqrt => exact(d, f32::sqrt),
        UnaryOp::Recip => exact(d, |x| 1.0 / x),
        UnaryOp::Floor => exact(d, f32::floor),
        UnaryOp::Round => exact(d, f32::round_ties_even),
        UnaryOp::Relu => exact(d, |x| if x > 0.0 || x.is_nan() { x } else { 0.0 }),
        UnaryOp::RoundF16 => exact(d, |x| f16::from_f32(x).to_f32()),
        UnaryOp::Mantissa => {
            exact(d, |x| f32::from_bits(x.to_bits().wrapping_sub((exponent(x) << 23).cast_unsigned())))
        }
        UnaryOp::Exponent => exact(d, |x| exponent(x) as f32),
        UnaryOp::Exp => wide(d, libm::exp),
        UnaryOp::Log => wide(d, libm::log),
        UnaryOp::Rsqrt => wide(d, |x| 1.0 / x.sqrt()),
        UnaryOp::Tanh => wide(d, libm::tanh),
        UnaryOp::Sigmoid => wide(d, |x| 1.0 / (1.0 + libm::exp(-x))),
        UnaryOp::Erf => wide(d, libm::erf),
        UnaryOp::Sin => wide(d, libm::sin),
        UnaryOp::Cos => wide(d, libm::cos),
        UnaryOp::Atan => wide(d, libm::atan),
        UnaryOp::Not | UnaryOp::Bits => return Err(untyped(op.name())),
    })
}

/// `f` on pairs of elements, of which one side may be a scalar.
fn zip<T: Copy, U>(a: &[T], b: &[T], f: impl Fn(T, T) -> U) -> Vec<U> {
    match (a, b) {
        (&[a], b) => b.iter().map(|&b| f(a, b)).collect(),
        (a, &[b]) => a.iter().map(|&a| f(a, b)).collect(),
        (a, b) => a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect(),
    }
}

/// Two-operand functions; types have been checked, shapes broadcast.
pub(super) fn binary(op: BinaryOp, a: &Tensor, b: &Tensor) -> Result<Tensor, String> {
    let shape = shape::broadcast(&a.shape, &b.shape)?;
    let elements: usize = shape.iter().product();
    // Single elements are broadcast by `zip`, everything else that differs is written out.
    let widen =
        |t: &Tensor| (t.shape != shape && (t.data.len() != 1 || elements == 0)).then(|| expand(t, &shape));
    let (wide_a, wide_b) = (widen(a), widen(b));
    let (a, b) = (wide_a.as_ref().unwrap_or(a), wide_b.as_ref().unwrap_or(b));
    let data = match (&a.data, &b.data) {
        (Data::F32(a), Data::F32(b)) => reals(op, a, b)?,
        (Data::I32(a), Data::I32(b)) => integers(op, a, b)?,
        (Data::Bool(a), Data::Bool(b)) => Data::Bool(match op {
            BinaryOp::Equal => zip(a, b, |a, b| a == b),
            BinaryOp::And => zip(a, b, |a, b| a & b),
            BinaryOp::Or => zip(a, b, |a, b| a | b),
            BinaryOp::Xor => zip(a, b, |a, b| a ^ b),
            _ => return Err(untyped(op.name())),
        }),
        _ => return Err(untyped(op.name())),
    };
    Ok(Tensor { shape, data })
}

fn reals(op: BinaryOp, a: &[f32], b: &[f32]) -> Result<Data, String> {
    Ok(Data::F32(match op {
        BinaryOp::Add => zip(a, b, |a, b| a + b),
        BinaryOp::Sub => zip(a, b, |a, b| a - b),
        BinaryOp::Mul => zip(a, b, |a, b| a * b),
        BinaryOp::Div | BinaryOp::Quotient => zip(a, b, |a, b| a / b),
        BinaryOp::Mod => zip(a, b, |a, b| {
            let r = a % b;
            if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
        }),
        BinaryOp::Pow => zip(a, b, |a, b| libm::pow(f64::from(a), f64::from(b)) as f32),
        BinaryOp::Max => zip(a, b, greater),
        BinaryOp::Min => zip(a, b, lesser),
        BinaryOp::Less => return Ok(Data::Bool(zip(a, b, |a, b| a < b))),
        BinaryOp::LessEqual => return Ok(Data::Bool(zip(a, b, |a, b| a <= b))),
        BinaryOp::Equal => return Ok(Data::Bool(zip(a, b, |a, b| a == b))),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::ShiftLeft | BinaryOp::ShiftRight => {
            return Err(untyped(op.name()));
        }
    }))
}

/// Greater; a NaN operand gives NaN.
fn greater(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// Lesser; a NaN operand gives NaN.
fn lesser(a: f32, b: f32) -> f32 {
    if a < b || a.is_nan() { a } else { b }
}

fn integers(op: BinaryOp, a: &[i32], b: &[i32]) -> Result<Data, String> {
    // Without pairs nothing is divided.
    if matches!(op, BinaryOp::Div | BinaryOp::Mod) && !a.is_empty() && b.contains(&0) {
        return Err(format!("{}: integer division by zero", op.name()));
    }
    Ok(Data::I32(match op {
        BinaryOp::Add => zip(a, b, i32::wrapping_add),
        BinaryOp::Sub => zip(a, b, i32::wrapping_sub),
        BinaryOp::Mul => zip(a, b, i32::wrapping_mul),
        BinaryOp::Div => zip(a, b, i32::wrapping_div),
        BinaryOp::Mod => zip(a, b, |a, b| {
            let r = a.wrapping_rem(b);
            if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
        }),
        BinaryOp::Max => zip(a, b, i32::max),
        BinaryOp::Min => zip(a, b, i32::min),
        BinaryOp::Less => return Ok(Data::Bool(zip(a, b, |a, b| a < b))),
        BinaryOp::LessEqual => return Ok(Data::Bool(zip(a, b, |a, b| a <= b))),
        BinaryOp::Equal => return Ok(Data::Bool(zip(a, b, |a, b| a == b))),
        BinaryOp::And => zip(a, b, |a, b| a & b),
        BinaryOp::Or => zip(a, b, |a, b| a | b),
        BinaryOp::Xor => zip(a, b, |a, b| a ^ b),
        BinaryOp::ShiftLeft => zip(a, b, |a, b| a.wrapping_shl(b.cast_unsigned())),
        BinaryOp::ShiftRight => zip(a, b, |a, b| a.wrapping_shr(b.cast_unsigned())),
        BinaryOp::Pow | BinaryOp::Quotient => return Err(untyped(op.name())),
    }))
}

/// `a` where the condition holds, else `b`, all broadcast to `shape`.
pub(super) fn select(condition: &Tensor, a: &Tensor, b: &Tensor, shape: &[usize]) -> Result<Tensor, String> {
    fn pick<T: Copy>(c: &[bool], a: &[T], b: &[T]) -> Vec<T> {
        c.iter().zip(a.iter().zip(b)).map(|(&c, (&a, &b))| if c { a } else { b }).collect()
    }
    let [c, a, b] = [condition, a, b].map(|t| expand(t, shape));
    let data = match (&c.data, &a.data, &b.data) {
        (Data::Bool(c), Data::F32(a), Data::F32(b)) => Data::F32(pick(c, a, b)),
        (Data::Bool(c), Data::I32(a), Data::I32(b)) => Data::I32(pick(c, a, b)),
        (Data::Bool(c), Data::Bool(a), Data::Bool(b)) => Data::Bool(pick(c, a, b)),
        _ => return Err(untyped("select")),
    };
    Ok(Tensor { shape: shape.to_vec(), data })
}

/// To another element type.
pub(super) fn cast(a: &Tensor, to: ElementType) -> Tensor {
    macro_rules! map {
        ($d:expr, $f:expr) => {
            $d.iter().map($f).collect()
        };
    }
    let wide = match &a.data {
        Data::I8(d) => Some(Data::I32(map!(d, |&x| i32::from(x)))),
        Data::F8(d) => Some(Data::F32(map!(d, |x| x.to_f32()))),
        Data::F32(_) | Data::I32(_) | Data::Bool(_) => None,
    };
    let data = match (wide.as_ref().unwrap_or(&a.data), to) {
        (Data::I8(_) | Data::F8(_), _) => a.data.clone(),
        // `as` saturates; NaN gives 0.
        (Data::F32(d), ElementType::I8) => Data::I8(map!(d, |x| x.round_ties_even() as i8)),
        (Data::I32(d), ElementType::I8) => {
            Data::I8(map!(d, |&x| x.clamp(i8::MIN.into(), i8::MAX.into()) as i8))
        }
        (Data::Bool(d), ElementType::I8) => Data::I8(map!(d, |&x| i8::from(x))),
        (Data::F32(d), ElementType::F8) => Data::F8(map!(d, |&x| F8::from_f32(x))),
        // What binary32 rounds saturates.
        (Data::I32(d), ElementType::F8) => Data::F8(map!(d, |&x| F8::from_f32(x as f32))),
        (Data::Bool(d), ElementType::F8) => Data::F8(map!(d, |&x| F8::from_f32(u8::from(x).into()))),
        (Data::F32(d), ElementType::F32) => Data::F32(d.clone()),
        // `as` truncates toward zero and saturates; NaN gives 0.
        (Data::F32(d), ElementType::I32) => Data::I32(map!(d, |&x| x as i32)),
        (Data::F32(d), ElementType::Bool) => Data::Bool(map!(d, |&x| x != 0.0)),
        (Data::I32(d), ElementType::F32) => Data::F32(map!(d, |&x| x as f32)),
        (Data::I32(d), ElementType::I32) => Data::I32(d.clone()),
        (Data::I32(d), ElementType::Bool) => Data::Bool(map!(d, |&x| x != 0)),
        (Data::Bool(d), ElementType::F32) => Data::F32(map!(d, |&x| f32::from(u8::from(x)))),
        (Data::Bool(d), ElementType::I32) => Data::I32(map!(d, |&x| i32::from(x))),
        (Data::Bool(d), ElementType::Bool) => Data::Bool(d.clone()),
    };
    Tensor { shape: a.shape.clone(), data }
}

/// Calls `f` with each row along an axis: (index of the row, its elements).
fn rows<T: Copy>(data: &[T], shape: &[usize], axis: usize, mut f: impl FnMut(usize, &[T])) {
    let outer: usize = shape[..axis].iter().product();
    let inner: usize = shape[axis + 1..].iter().product();
    let length = shape[axis];
    let mut row = Vec::with_capacity(length);
    for o in 0..outer {
        for i in 0..inner {
            row.clear();
            row.extend((0..length).map(|k| data[(o * length + k) * inner + i]));
            f(o * inner + i, &row);
        }
    }
}

/// One axis to length 1; sums of reals are taken in binary64 and rounded once.
pub(super) fn reduce(op: ReduceOp, a: &Tensor, axis: usize) -> Result<Tensor, String> {
    let data = match &a.data {
        Data::F32(d) => {
            let mut out = Vec::new();
            rows(d, &a.shape, axis, |_, row| {
                out.push(match op {
                    ReduceOp::Sum => row.iter().map(|&x| f64::from(x)).sum::<f64>() as f32,
                    ReduceOp::Max => row.iter().copied().fold(f32::NEG_INFINITY, greater),
                    ReduceOp::Min => row.iter().copied().fold(f32::INFINITY, lesser),
                });
            });
            Data::F32(out)
        }
        Data::I32(d) => {
            let mut out = Vec::new();
            rows(d, &a.shape, axis, |_, row| {
                out.push(match op {
                    ReduceOp::Sum => row.iter().fold(0i32, |sum, &x| sum.wrapping_add(x)),
                    ReduceOp::Max => row.iter().copied().fold(i32::MIN, i32::max),
                    ReduceOp::Min => row.iter().copied().fold(i32::MAX, i32::min),
                });
            });
            Data::I32(out)
        }
        Data::Bool(_) | Data::I8(_) | Data::F8(_) => return Err(untyped(op.name())),
    };
    let mut shape = a.shape.clone();
    shape[axis] = 1;
    Ok(Tensor { shape, data })
}

/// e^(a − max) / sum along an axis, in binary64, rounded once. A row that is −∞ throughout gives NaN.
pub(super) fn softmax(a: &Tensor, axis: usize) -> Result<Tensor, String> {
    let Data::F32(d) = &a.data else { return Err(untyped("softmax")) };
    let inner: usize = a.shape[axis + 1..].iter().product();
    let length = a.shape[axis];
    let mut out = vec![0.0; d.len()];
    rows(d, &a.shape, axis, |row, values| {
        let max = f64::from(values.iter().copied().fold(f32::NEG_INFINITY, greater));
        let powers: Vec<f64> = values.iter().map(|&x| libm::exp(f64::from(x) - max)).collect();
        let sum: f64 = powers.iter().sum();
        let (o, i) = (row / inner, row % inner);
        for (k, power) in powers.iter().enumerate() {
            out[(o * length + k) * inner + i] = (power / sum) as f32;
        }
    });
    Ok(Tensor { shape: a.shape.clone(), data: Data::F32(out) })
}

//! Classical machine learning: ONNX's domain ai.onnx.ml, but for trees.

use super::index::take;
use super::reduce::{first_of_greatest, sequence};
use super::{Translate, one, trees};
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::{Call, length};
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp, UnaryOp};

/// Operators of the domain ai.onnx.ml.
pub(super) fn contributed(operator: &str) -> Option<Translate> {
    Some(match operator {
        "ArrayFeatureExtractor" => extract,
        "Binarizer" => binarize,
        "LinearClassifier" => classify,
        "LinearRegressor" => regress,
        "Normalizer" => normalize,
        "Scaler" => scale,
        _ => return trees::translator(operator),
    })
}

/// Real numbers of an attribute.
pub(super) fn reals(c: &Call<'_>, name: &str) -> Vec<f32> {
    c.attribute(name).map(|attribute| attribute.floats.clone()).unwrap_or_default()
}

fn vector(values: Vec<f32>) -> Value {
    Value::known(Tensor::f32([values.len()], values))
}

/// The input as rows of real numbers, and how many there are in one.
pub(super) fn rows(c: &mut Call<'_>) -> Outcome<(Value, usize)> {
    let x = c.input(0)?;
    let x = c.build.cast(&x, ElementType::F32)?;
    match c.ty(&x).shape[..] {
        [features] => Ok((c.build.reshape(&x, vec![1, features])?, features)),
        [_, features] => Ok((x, features)),
        ref shape => Err(Issue::Invalid(format!("its input has shape {shape:?}, not rows of numbers"))),
    }
}

/// (x − offset) · scale
fn scale(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
    let mut x = c.build.cast(&x, ElementType::F32)?;
    let features = c.ty(&x).shape.last().copied().unwrap_or(1);
    for (name, op) in [("offset", BinaryOp::Sub), ("scale", BinaryOp::Mul)] {
        let values = reals(c, name);
        match values.len() {
            0 => {}
            n if n == 1 || n == features => x = c.build.binary(op, &x, &vector(values))?,
            n => return Err(Issue::Invalid(format!("{n} elements of `{name}` for {features} numbers"))),
        }
    }
    Ok(vec![x])
}

/// Rows over their norm; one of zeros stays.
fn normalize(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (x, _) = rows(c)?;
    let (shape, axis) = (c.ty(&c.input(0)?).shape, 1);
    let norm = match c.text("norm", "MAX").as_str() {
        "MAX" => sequence(c.build, ReduceOp::Max, &x, &[axis])?,
        "L1" => {
            let sizes = c.build.unary(UnaryOp::Abs, &x)?;
            sequence(c.build, ReduceOp::Sum, &sizes, &[axis])?
        }
        "L2" => {
            let squares = c.build.binary(BinaryOp::Mul, &x, &x)?;
            let sum = sequence(c.build, ReduceOp::Sum, &squares, &[axis])?;
            c.build.unary(UnaryOp::Sqrt, &sum)?
        }
        other => return Err(Issue::Invalid(format!("norm is `{other}`, not MAX, L1 or L2"))),
    };
    let none = c.build.with_real(BinaryOp::Equal, &norm, 0.0)?;
    let norm = c.build.apply(Op::Select, &[none, Value::real(1.0), norm])?;
    let y = c.build.binary(BinaryOp::Div, &x, &norm)?;
    c.build.reshape(&y, shape).map(one)
}

/// Whether x is greater than a threshold, as a number of x's type.
fn binarize(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let x = c.input(0)?;
    let element = c.ty(&x).element;
    let threshold = Value::real(c.float("threshold", 0.0));
    let x = c.build.cast(&x, ElementType::F32)?;
    let greater = c.build.binary(BinaryOp::Less, &threshold, &x)?;
    c.build.cast(&greater, element).map(one)
}

/// Numbers of the last axis by their place; a vector is a row.
fn extract(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let (mut x, places) = (c.input(0)?, c.input(1)?);
    let mut shape = c.ty(&x).shape;
    if shape.len() == 1 {
        shape.insert(0, 1);
        x = c.build.reshape(&x, shape.clone())?;
    }
    let Some(axis) = shape.len().checked_sub(1) else {
        return Err(Issue::Invalid("its input is a scalar".to_owned()));
    };
    let count = c.ty(&places).elements();
    let places = c.build.reshape(&places, vec![count])?;
    take(c.build, &x, &places, axis).map(one)
}

/// Rows [n, features] times coefficients [outputs, features], and intercepts.
fn linear(c: &mut Call<'_>, outputs: usize) -> Outcome {
    let (x, features) = rows(c)?;
    let (coefficients, intercepts) = (reals(c, "coefficients"), reals(c, "intercepts"));
    if coefficients.len() != outputs.saturating_mul(features)
        || !matches!(intercepts.len(), 0 | 1) && intercepts.len() != outputs
    {
        return Err(Issue::Invalid(format!(
            "{} coefficients and {} intercepts for {outputs} outputs of {features} numbers",
            coefficients.len(),
            intercepts.len()
        )));
    }
    let matrix = Value::known(Tensor::f32([outputs, features], coefficients));
    let y = c.build.apply(Op::MatMul { transpose_b: true }, &[x, matrix])?;
    if intercepts.is_empty() { Ok(y) } else { c.build.binary(BinaryOp::Add, &y, &vector(intercepts)) }
}

/// What becomes of scores [n, outputs].
pub(super) fn shown(build: &mut Builder, scores: &Value, how: &str) -> Outcome {
    match how {
        "NONE" => Ok(scores.clone()),
        "LOGISTIC" => build.unary(UnaryOp::Sigmoid, scores),
        "SOFTMAX" => build.apply(Op::Softmax { axis: 1 }, std::slice::from_ref(scores)),
        other => Err(Issue::Unsupported(format!("post_transform `{other}`"))),
    }
}

fn regress(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let y = linear(c, length(c.int("targets", 1))?)?;
    let how = c.text("post_transform", "NONE");
    shown(c.build, &y, &how).map(one)
}

/// The label of the greatest score, and the scores. Of two labels that share one score the second is that of a positive one.
fn classify(c: &mut Call<'_>) -> Outcome<Vec<Value>> {
    let Some(labels) = c.ints("classlabels_ints").filter(|labels| !labels.is_empty()) else {
        return Err(Issue::Unsupported("labels that are text, which the machine has no type for".to_owned()));
    };
    let labels: Vec<i32> =
        labels.iter().map(|&label| label.clamp(i32::MIN.into(), i32::MAX.into()) as i32).collect();
    let outputs = reals(c, "intercepts").len();
    let scores = linear(c, outputs)?;
    let count = c.ty(&scores).shape[0];
    let how = c.text("post_transform", "NONE");
    if let ([first, second], 1) = (&labels[..], outputs) {
        let positive = c.build.binary(BinaryOp::Less, &Value::real(0.0), &scores)?;
        let chosen =
            c.build.apply(Op::Select, &[positive, Value::integer(*second), Value::integer(*first)])?;
        let chosen = c.build.reshape(&chosen, vec![count])?;
        // Only this makes a probability of one score.
        let own = if how == "LOGISTIC" { shown(c.build, &scores, &how)? } else { scores };
        let other = c.build.binary(BinaryOp::Sub, &Value::real(1.0), &own)?;
        return Ok(vec![chosen, c.build.apply(Op::Concat { axis: 1 }, &[other, own])?]);
    }
    if labels.len() != outputs || outputs < 2 {
        return Err(Issue::Invalid(format!("{} labels for {outputs} scores", labels.len())));
    }
    let greatest = first_of_greatest(c.build, &scores, 1)?;
    let labels = Value::known(Tensor::i32([1, outputs], labels));
    let chosen = c.build.apply(Op::Select, &[greatest, labels, Value::integer(0)])?;
    let chosen = c.build.apply(Op::Reduce { op: ReduceOp::Sum, axis: 1 }, &[chosen])?;
    let chosen = c.build.reshape(&chosen, vec![count])?;
    Ok(vec![chosen, shown(c.build, &scores, &how)?])
}

//! Losses of classes: NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss.

use super::Translate;
use super::reduce::log_softmax;
use crate::graph::eval::Tensor;
use crate::graph::import::build::{Builder, Issue, Outcome, Value};
use crate::graph::import::call::Call;
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp, UnaryOp};

/// The axis of classes.
const CLASSES: usize = 1;

pub(super) fn translator(operator: &str) -> Option<Translate> {
    Some(match operator {
        "NegativeLogLikelihoodLoss" => |c| {
            let logarithms = c.input(0)?;
            loss(c, &logarithms).map(|loss| vec![loss])
        },
        "SoftmaxCrossEntropyLoss" => |c| {
            let scores = c.input(0)?;
            if c.ty(&scores).shape.len() < 2 {
                return Err(Issue::Invalid("its scores have no axis of classes".to_owned()));
            }
            let shape = c.ty(&scores).shape;
            let flat = joined(c.build, &scores)?;
            let logarithms = log_softmax(c.build, &flat, CLASSES)?;
            let logarithms = c.build.reshape(&logarithms, shape)?;
            Ok(vec![loss(c, &logarithms)?, logarithms])
        },
        _ => return None,
    })
}

/// All axes after the classes as one: vectors of one long axis fill the lanes.
fn joined(build: &mut Builder, a: &Value) -> Outcome {
    match &build.shape(a)[..] {
        &[batch, classes, _, _, ..] => {
            let rest = build.shape(a)[2..].iter().product();
            build.reshape(a, vec![batch, classes, rest])
        }
        _ => Ok(a.clone()),
    }
}

/// −log p[n, t] w[t] for logarithms [N, C, ..] and targets t [N, ..]: of all, their sum, or that over the sum of the weights.
fn loss(c: &mut Call<'_>, logarithms: &Value) -> Outcome {
    let (shape, target) = (c.ty(logarithms).shape, c.input(1)?);
    let own = c.ty(&target).shape;
    let [batch, classes, rest @ ..] = &shape[..] else {
        return Err(Issue::Invalid(format!("its scores have shape {shape:?}, without an axis of classes")));
    };
    if own != [&[*batch], rest].concat() {
        return Err(Issue::Invalid(format!("targets of shape {own:?} for scores of shape {shape:?}")));
    }
    let logarithms = joined(c.build, logarithms)?;
    let flat = c.ty(&logarithms).shape;
    let mut lengths = flat.clone();
    lengths[CLASSES] = 1;
    let target = c.build.reshape(&target, lengths)?;
    let hit = hits(c, &target, *classes, flat.len())?;
    let mut along = vec![1; flat.len()];
    along[CLASSES] = *classes;
    let weight = match c.optional(2) {
        Some(weight) => Some(c.build.reshape(&weight, along)?),
        None => None,
    };
    let build = &mut *c.build;
    let mut costs = build.unary(UnaryOp::Neg, &logarithms)?;
    if let Some(weight) = &weight {
        costs = build.binary(BinaryOp::Mul, &costs, weight)?;
    }
    let chosen = |build: &mut Builder, of: Value| {
        let only = build.apply(Op::Select, &[hit.clone(), of, Value::real(0.0)])?;
        build.apply(Op::Reduce { op: ReduceOp::Sum, axis: CLASSES }, &[only])
    };
    let costs = chosen(build, costs)?;
    match c.text("reduction", "mean").as_str() {
        "none" => c.build.reshape(&costs, own),
        "sum" => total(c.build, &costs),
        "mean" => {
            let weights = chosen(c.build, weight.unwrap_or_else(|| Value::real(1.0)))?;
            let (sum, weights) = (total(c.build, &costs)?, total(c.build, &weights)?);
            c.build.binary(BinaryOp::Div, &sum, &weights)
        }
        other => Err(Issue::Invalid(format!("reduction is `{other}`, not none, sum or mean"))),
    }
}

/// [N, C, ..]: whether a class is the target [N, 1, ..], and not the one to ignore.
fn hits(c: &mut Call<'_>, target: &Value, classes: usize, rank: usize) -> Outcome {
    let target = c.build.cast(target, ElementType::I32)?;
    let mut along = vec![1; rank];
    along[CLASSES] = classes;
    // The class to ignore is none.
    let ignored = c.attribute("ignore_index").and_then(|ignored| ignored.i);
    let number = |class: usize| if ignored == Some(class as i64) { i32::MIN } else { class as i32 };
    let classes = Value::known(Tensor::i32(along, (0..classes).map(number).collect::<Vec<i32>>()));
    c.build.binary(BinaryOp::Equal, &classes, &target)
}

/// The sum of all elements, without axes.
fn total(build: &mut Builder, a: &Value) -> Outcome {
    let axes = (0..build.shape(a).len()).rev();
    let sum = axes
        .into_iter()
        .try_fold(a.clone(), |a, axis| build.apply(Op::Reduce { op: ReduceOp::Sum, axis }, &[a]))?;
    build.reshape(&sum, vec![])
}

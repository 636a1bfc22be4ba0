//! Finding the caches: inputs that come back as outputs with new tokens at their end.

use super::ops::{CACHES, is_pass_through};
use crate::onnx::Model;
use crate::onnx::proto::{GraphProto, NodeProto};
use crate::onnx::shape_of;
use std::collections::{BTreeMap, BTreeSet};

/// An input and the output that continues it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// Name of the input (`past_key_values.0.key`).
    pub(super) input: String,
    /// Name of the output (`present.0.key`).
    pub(super) output: String,
    /// The axis that grows.
    pub(super) axis: usize,
}

/// Every output that is an input with new tokens after it, in the order of the inputs.
pub(super) fn pairs(model: &Model) -> Vec<Pair> {
    let graph = &model.graph;
    let constants = model.constants();
    let ranks: BTreeMap<&str, usize> = graph
        .input
        .iter()
        .filter(|input| !constants.contains(input.name()))
        .filter_map(|input| Some((input.name(), shape_of(input)?.dim.len())))
        .collect();
    let producers = producers(graph);
    let mut taken = BTreeSet::new();
    let mut pairs = Vec::new();
    for output in &graph.output {
        let Some(node) = producers.get(origin(&producers, output.name())) else { continue };
        let Some((past, axis)) = grows(node, origin(&producers, output.name())) else { continue };
        let input = origin(&producers, past);
        let Some(&rank) = ranks.get(input) else { continue };
        let axis = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
        // A cache has more than the growing axis; concatenated masks and token lists are no caches.
        if let Some(axis) = usize::try_from(axis).ok().filter(|&axis| axis < rank)
            && rank >= 3
            && taken.insert(input)
        {
            pairs.push(Pair { input: input.to_owned(), output: output.name().to_owned(), axis });
        }
    }
    let order: BTreeMap<&str, usize> =
        graph.input.iter().enumerate().map(|(i, input)| (input.name(), i)).collect();
    pairs.sort_by_key(|pair| order.get(pair.input.as_str()).copied());
    pairs
}

/// The value that an output of a node continues, and the axis along which.
fn grows<'m>(node: &'m NodeProto, output: &str) -> Option<(&'m str, i64)> {
    if node.op_type() == "Concat" && node.input.len() == 2 {
        let axis = node.attribute.iter().find(|attribute| attribute.name() == "axis")?;
        return Some((&node.input[0], axis.i()));
    }
    let place = node.output.iter().position(|own| own == output)?;
    let (_, pasts, presents) = CACHES.iter().find(|(operator, ..)| *operator == node.op_type())?;
    let which = presents.iter().position(|&present| present == place)?;
    node.input.get(pasts[which]).filter(|past| !past.is_empty()).map(|past| (past.as_str(), 2))
}

/// The node that makes each value.
pub(super) fn producers(graph: &GraphProto) -> BTreeMap<&str, &NodeProto> {
    graph.node.iter().flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node))).collect()
}

/// Where a value comes from, behind nodes that only pass it on.
fn origin<'a>(producers: &BTreeMap<&'a str, &'a NodeProto>, value: &'a str) -> &'a str {
    let mut value = value;
    // A chain is at most as long as there are nodes, unless the model goes in circles.
    for _ in 0..producers.len() {
        match producers.get(value) {
            Some(node) if is_pass_through(node.op_type()) && !node.input.is_empty() => value = &node.input[0],
            _ => break,
        }
    }
    value
}

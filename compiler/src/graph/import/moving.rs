//! Positions that a model counts by itself: whole numbers that follow from the length of its cache.
//!
//! A model without an input of positions takes the length of the past, and counts on from there. In a program that steps through its cache that
//! length is what [`POSITION`](super::POSITION) says, not the length that the shapes were bound to. Which numbers these are shows a second import
//! with one more old token: they are one more there. Only where they become data are they counted by the host (a table's rows, reals); shapes and
//! masks are as bound, which the module `slots` checks.

use super::bind::Bound;
use super::build::{Builder, Outcome, Value};
use super::translate;
use crate::diagnostic::Diagnostic;
use crate::graph::eval::{Data, Tensor};
use crate::graph::{BinaryOp, NodeId};
use crate::onnx::Model;
use crate::onnx::proto::NodeProto;
use crate::onnx::proto::tensor_proto::DataType;
use std::collections::BTreeMap;

/// Values that are positions, by name, as they are over an empty cache.
pub(super) type Moving = BTreeMap<String, Tensor>;

/// The positions among a model's known values, from two imports of which the second has one more old token.
///
/// # Errors
///
/// As importing has.
pub(super) fn names(model: &Model, [short, long]: [&Bound; 2]) -> Result<Moving, Diagnostic> {
    let Some(decoder) = &short.decoder else { return Ok(Moving::new()) };
    let old = i32::try_from(decoder.context - decoder.sequence).unwrap_or(i32::MAX);
    let longer = translate::whole_numbers(model, long)?;
    let at_start = |(name, here): (String, Tensor)| {
        let there = longer.get(&name)?;
        let (Data::I32(a), Data::I32(b)) = (&here.data, &there.data) else { return None };
        let moves = here.shape == there.shape
            && !a.is_empty()
            && a.iter().zip(b).all(|(a, b)| a.checked_add(1) == Some(*b));
        let first: Vec<i32> = a.iter().map(|a| a.wrapping_sub(old)).collect();
        moves.then(|| (name, Tensor::i32(here.shape.clone(), first)))
    };
    Ok(translate::whole_numbers(model, short)?.into_iter().filter_map(at_start).collect())
}

/// The input of a node at which whole numbers become data.
pub(super) fn place(node: &NodeProto) -> Option<usize> {
    match (node.domain(), node.op_type()) {
        ("" | "ai.onnx", "Gather") => Some(1),
        ("" | "ai.onnx", "RotaryEmbedding") => Some(3),
        ("com.microsoft", "RotaryEmbedding") => Some(1),
        ("" | "ai.onnx", "Cast") => {
            let to = node.attribute.iter().find(|attribute| attribute.name() == "to")?.i();
            let to = DataType::try_from(i32::try_from(to).ok()?).ok()?;
            let real = [DataType::Float, DataType::Float16, DataType::Bfloat16, DataType::Double];
            real.contains(&to).then_some(0)
        }
        _ => None,
    }
}

/// Positions at the place in the cache that the host gives.
pub(super) fn counted(build: &mut Builder, at_start: &Tensor, position: NodeId) -> Outcome {
    build.binary(BinaryOp::Add, &Value::known(at_start.clone()), &Value::Node(position))
}

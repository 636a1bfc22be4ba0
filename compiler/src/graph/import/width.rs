//! The width of a cache's heads, where an exporter leaves even that free (onnxruntime-genai calls it `kv_cache_dim`): it follows from how wide the
//! attention's values are.

use super::state::{Pair, producers};
use crate::onnx::Model;
use crate::onnx::proto::NodeProto;
use std::collections::BTreeMap;

/// Elements of a head in the cache of a pair, where weights tell.
pub(super) fn of_heads(model: &Model, pair: &Pair) -> Option<usize> {
    let producers = producers(&model.graph);
    let attention = producers.get(pair.output.as_str())?;
    let heads = |name: &str| {
        let attribute = attention.attribute.iter().find(|attribute| attribute.name() == name)?;
        usize::try_from(attribute.i()).ok().filter(|&heads| heads > 0)
    };
    let cached = heads("kv_num_heads").or_else(|| heads("num_heads"))?;
    let given = |place: usize| attention.input.get(place).filter(|name| !name.is_empty());
    let (input, all) = match (given(2), given(1), given(0)) {
        (Some(value), ..) => (value, cached),
        (None, Some(key), _) => (key, cached),
        // Queries, keys and values in one.
        (None, None, Some(packed)) => (packed, heads("num_heads")? + 2 * cached),
        (None, None, None) => return None,
    };
    let width = width(model, &producers, input, 8)?;
    (width % all == 0).then_some(width / all)
}

/// Length of a value's last axis, as the weights say that make it; looked for at most `steps` nodes back.
fn width(model: &Model, producers: &BTreeMap<&str, &NodeProto>, value: &str, steps: usize) -> Option<usize> {
    let weight = |name: &str| {
        let tensor = model.initializers.iter().find(|tensor| tensor.name == name)?;
        tensor.shape.last().copied()
    };
    let node = producers.get(value)?;
    let input = |place: usize| node.input.get(place).map(String::as_str).unwrap_or_default();
    match node.op_type() {
        "MatMul" | "FusedMatMul" => weight(input(1)),
        "MatMulNBits" => {
            let columns = node.attribute.iter().find(|attribute| attribute.name() == "N")?;
            usize::try_from(columns.i()).ok()
        }
        "Add" => weight(input(1)).filter(|&width| width > 1).or_else(|| weight(input(0))),
        "Cast" | "Identity" | "RotaryEmbedding" if steps > 0 => width(model, producers, input(0), steps - 1),
        _ => None,
    }
}

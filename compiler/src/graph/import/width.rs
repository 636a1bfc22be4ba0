//! The width of a cache's heads, where an exporter leaves even that free (onnxruntime-genai calls it `kv_cache_dim`): it follows from how wide the
//! queries are.

use super::state::{Pair, producers};
use crate::onnx::Model;
use crate::onnx::proto::NodeProto;
use std::collections::BTreeMap;

/// Elements of a head in the cache of a pair, where weights tell.
pub(super) fn of_heads(model: &Model, pair: &Pair) -> Option<usize> {
    let producers = producers(&model.graph);
    let is_attention = |node: &&NodeProto| {
        node.op_type().ends_with("Attention") && node.attribute.iter().any(|a| a.name() == "num_heads")
    };
    // The operator that grows the cache, or else any: a model that grows it by itself has heads of one width.
    let own = producers.get(pair.output.as_str()).copied().filter(is_attention);
    let attention = own.or_else(|| model.graph.node.iter().find(is_attention))?;
    let heads = |name: &str| {
        let attribute = attention.attribute.iter().find(|attribute| attribute.name() == name)?;
        usize::try_from(attribute.i()).ok().filter(|&heads| heads > 0)
    };
    let queries = heads("num_heads")?;
    let found = width(model, &producers, attention.input.first()?)?;
    // Queries, keys and values that come as one, or that one product made.
    let packed = found.cut || attention.input.get(1).is_none_or(String::is_empty);
    let all = if packed { queries + 2 * heads("kv_num_heads").unwrap_or(queries) } else { queries };
    (found.elements % all == 0).then_some(found.elements / all)
}

/// How wide what a product makes is.
struct Width {
    elements: usize,
    /// Whether the value is one of the parts that it was cut into.
    cut: bool,
}

/// Nodes that are looked back at from an attention's queries.
const STEPS: usize = 8;

/// Elements of a token in what a value comes from, as the weights say that make it.
fn width(model: &Model, producers: &BTreeMap<&str, &NodeProto>, value: &str) -> Option<Width> {
    let weight = |name: &str| {
        let tensor = model.initializers.iter().find(|tensor| tensor.name == name)?;
        tensor.shape.last().copied()
    };
    let (mut value, mut cut) = (value, false);
    for _ in 0..STEPS {
        let node = producers.get(value)?;
        let input = |place: usize| node.input.get(place).map(String::as_str).unwrap_or_default();
        let elements = match node.op_type() {
            "MatMul" | "FusedMatMul" => weight(input(1)),
            "MatMulNBits" => {
                let columns = node.attribute.iter().find(|attribute| attribute.name() == "N")?;
                usize::try_from(columns.i()).ok()
            }
            "Add" => weight(input(1)).filter(|&width| width > 1).or_else(|| weight(input(0))),
            "Cast"
            | "Identity"
            | "Reshape"
            | "RotaryEmbedding"
            | "SimplifiedLayerNormalization"
            | "Split" => {
                cut |= node.op_type() == "Split";
                value = input(0);
                continue;
            }
            _ => None,
        };
        return Some(Width { elements: elements?, cut });
    }
    None
}

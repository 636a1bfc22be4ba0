//! Translation of ONNX operators into the graph's closed set, by family.

mod activation;
mod arithmetic;
mod attention;
mod bits;
mod blocks;
mod cells;
mod choose;
mod convolution;
mod einsum;
mod elements;
mod experts;
mod formats;
mod fused;
mod heads;
mod index;
mod integer;
mod learned;
mod loss;
mod matrix;
mod ngrams;
mod normalize;
mod pad;
mod patches;
mod pointwise;
mod pool;
mod quantize;
mod recurrent;
mod reduce;
mod regions;
mod resize;
mod rotary;
mod running;
mod sample;
mod sequence;
mod shape;
mod signal;
mod top;
mod transposed;
mod trees;

use super::build::{Outcome, Value};
use super::call::Call;
use crate::onnx::proto::NodeProto;
use crate::onnx::proto::tensor_proto::DataType;

/// Translates one node: values of its outputs, in order; fewer where the rest is not asked for.
pub(super) type Translate = fn(&mut Call<'_>) -> Outcome<Vec<Value>>;

/// The translator of an operator of the default domain.
pub(super) fn translator(operator: &str) -> Option<Translate> {
    let families: [fn(&str) -> Option<Translate>; 30] = [
        attention::translator,
        rotary::translator,
        fused::translator,
        pointwise::translator,
        arithmetic::translator,
        activation::translator,
        bits::translator,
        reduce::translator,
        shape::translator,
        signal::translator,
        index::translator,
        elements::translator,
        running::translator,
        top::translator,
        resize::translator,
        sample::translator,
        regions::translator,
        pad::translator,
        einsum::translator,
        transposed::translator,
        matrix::translator,
        normalize::translator,
        quantize::translator,
        integer::translator,
        convolution::translator,
        pool::translator,
        recurrent::translator,
        loss::translator,
        ngrams::translator,
        sequence::translator,
    ];
    families.iter().find_map(|family| family(operator))
}

/// ONNX Runtime's own domain, and ONNX's of classical machine learning.
pub(super) const MICROSOFT: &str = "com.microsoft";
pub(super) const LEARNED: &str = "ai.onnx.ml";

/// The translator of an operator of another domain.
pub(super) fn foreign(domain: &str, operator: &str) -> Option<Translate> {
    let families: [fn(&str) -> Option<Translate>; 7] = [
        attention::contributed,
        blocks::contributed,
        experts::contributed,
        fused::contributed,
        integer::contributed,
        recurrent::contributed,
        rotary::contributed,
    ];
    match domain {
        MICROSOFT => families.iter().find_map(|family| family(operator)),
        LEARNED => learned::contributed(operator),
        _ => None,
    }
}

/// The outputs of an operator that has one.
fn one(value: Value) -> Vec<Value> {
    vec![value]
}

/// The model's element type of a node's output, from those of its inputs. Exact where it matters: for tensors of few bits.
pub(super) fn output_type(node: &NodeProto, inputs: &[Option<DataType>], output: usize) -> Option<DataType> {
    let input = |index: usize| inputs.get(index).copied().flatten();
    let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name() == name);
    let named = |name: &str| {
        let value = i32::try_from(attribute(name)?.i()).ok()?;
        DataType::try_from(value).ok().filter(|named| *named != DataType::Undefined)
    };
    let tensor = || DataType::try_from(attribute("value")?.t.as_ref()?.data_type()).ok();
    match (node.op_type(), output) {
        ("Constant" | "ConstantOfShape", _) => tensor(),
        ("EyeLike", _) => named("dtype").or(input(0)),
        ("OneHot", _) => input(2),
        ("TopK" | "MaxPool", 1) => None,
        ("TfIdfVectorizer" | "Scaler" | "Normalizer" | "LinearRegressor", _) => Some(DataType::Float),
        ("TreeEnsemble" | "TreeEnsembleRegressor" | "LinearClassifier", _) => None,
        ("Cast" | "BitCast", _) => named("to"),
        ("CastLike" | "Where", _) => input(1),
        ("QuantizeLinear", _) => input(2).or(named("output_dtype")).or(Some(DataType::Uint8)),
        ("DynamicQuantizeLinear", 0 | 2) => Some(DataType::Uint8),
        ("QLinearMatMul" | "QLinearConv", _) => input(7),
        ("MatMulInteger" | "ConvInteger", _) => Some(DataType::Int32),
        ("DequantizeLinear" | "DynamicQuantizeLinear", _) => Some(DataType::Float),
        ("Shape" | "Size" | "NonZero" | "ArgMax" | "ArgMin" | "If", _) => None,
        _ => input(0),
    }
}

/// Whether an operator gives its first input on, up to its element type.
pub(super) fn is_pass_through(operator: &str) -> bool {
    matches!(operator, "Identity" | "Cast" | "CastLike" | "Dropout")
}

pub(super) use attention::CACHES;
pub(super) use convolution::Convolution;
pub(super) use index::from_tensor;
use index::take;
pub(super) use pointwise::element;

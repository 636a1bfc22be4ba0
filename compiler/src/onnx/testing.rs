//! Small models for tests.

use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::{Dimension, dimension};
use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};
use super::{Model, decode};
use crate::diagnostic::Diagnostic;
use crate::graph::eval::{Data, Tensor};
use prost::Message;

/// An axis of an input: a number, or text for a free one.
pub(crate) enum Dim {
    N(i64),
    S(&'static str),
}

pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), i: Some(value), ..Default::default() }
}

pub(crate) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), f: Some(value), ..Default::default() }
}

pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), ints: values.to_vec(), ..Default::default() }
}

pub(crate) fn floats(name: &str, values: &[f32]) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), floats: values.to_vec(), ..Default::default() }
}

pub(crate) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), s: Some(value.as_bytes().to_vec()), ..Default::default() }
}

pub(crate) fn tensor(name: &str, value: &Tensor) -> TensorProto {
    let mut proto = TensorProto {
        name: Some(name.to_owned()),
        dims: value.shape.iter().map(|&axis| axis as i64).collect(),
        ..Default::default()
    };
    match &value.data {
        Data::F32(data) => {
            proto.data_type = Some(DataType::Float as i32);
            proto.raw_data = Some(data.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into());
        }
        Data::I32(data) => {
            proto.data_type = Some(DataType::Int64 as i32);
            proto.int64_data = data.iter().map(|&v| i64::from(v)).collect();
        }
        Data::I8(data) => {
            proto.data_type = Some(DataType::Int8 as i32);
            proto.int32_data = data.iter().map(|&v| i32::from(v)).collect();
        }
        Data::F8(data) => {
            proto.data_type = Some(DataType::Float8e4m3fn as i32);
            proto.int32_data = data.iter().map(|v| i32::from(v.0)).collect();
        }
        Data::Bool(data) => {
            proto.data_type = Some(DataType::Bool as i32);
            proto.int32_data = data.iter().map(|&v| i32::from(v)).collect();
        }
    }
    proto
}

/// A node; inputs and outputs separated by spaces, `_` for one that is left out.
pub(crate) fn node(op: &str, inputs: &str, outputs: &str, attributes: Vec<AttributeProto>) -> NodeProto {
    let names = |list: &str| {
        list.split_whitespace()
            .map(|name| if name == "_" { String::new() } else { name.to_owned() })
            .collect()
    };
    NodeProto {
        op_type: Some(op.to_owned()),
        input: names(inputs),
        output: names(outputs),
        attribute: attributes,
        ..Default::default()
    }
}

pub(crate) fn value(name: &str, data_type: DataType, dims: &[Dim]) -> ValueInfoProto {
    let dims = dims.iter().map(|dim| Dimension {
        value: Some(match dim {
            Dim::N(n) => dimension::Value::DimValue(*n),
            Dim::S(s) => dimension::Value::DimParam((*s).to_owned()),
        }),
    });
    let tensor = type_proto::Tensor {
        elem_type: Some(data_type as i32),
        shape: Some(TensorShapeProto { dim: dims.collect() }),
    };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)) }),
    }
}

pub(crate) fn model(opset: i64, graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(opset) }],
        graph: Some(graph),
        ..Default::default()
    }
}

/// Through bytes and back, without side files.
pub(crate) fn round(model: &ModelProto) -> Result<Model, Diagnostic> {
    decode(model.encode_to_vec().into(), &|_, _, _| Ok(None))
}

//! ONNX files as structs: protobuf in, tensors as views of the file's bytes out. What the operators mean is not known here.

mod cut;
mod sparse;
mod tensor;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

/// The protobuf messages; fields as in ONNX's own `onnx.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated from onnx.proto")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

pub use cut::cut;
pub use tensor::{Error as TensorError, External, Tensor, tensor};

use crate::diagnostic::{Diagnostic, Kind};
use bytes::Bytes;
use prost::Message;
use proto::{FunctionProto, GraphProto, NodeProto};
use std::collections::{BTreeMap, BTreeSet};

/// Versions of the default operator set that are understood.
pub const OPSETS: std::ops::RangeInclusive<i64> = 1..=28;

/// Names that are spelled out in an error before it only counts the rest.
const MAX_LISTED: usize = 20;

/// A decoded model.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Version of the file format.
    pub ir_version: i64,
    /// Who wrote the file (`pytorch`), and its version; may be empty.
    pub producer: String,
    /// Version of the default operator set (`""`, also called `ai.onnx`), within [`OPSETS`].
    pub opset: i64,
    /// Versions of the other operator sets, by domain.
    pub domains: BTreeMap<String, i64>,
    /// Nodes, inputs and outputs. Its `initializer` list is empty: see [`Model::initializers`].
    pub graph: GraphProto,
    /// Named constants, in the file's order.
    pub initializers: Vec<Tensor>,
    /// Named constants of kinds that are not known, and what they are: who reads one cannot be compiled.
    pub refused: BTreeMap<String, String>,
    /// Operators that the model defines itself.
    pub functions: Vec<FunctionProto>,
    /// Free-form properties.
    pub metadata: BTreeMap<String, String>,
    /// What a user should know although it is no error, such as weights that are not there.
    pub notes: Vec<String>,
}

impl Model {
    /// Names of all constants, those of kinds that are not known among them.
    pub fn constants(&self) -> BTreeSet<&str> {
        let known = self.initializers.iter().map(|tensor| &tensor.name);
        known.chain(self.refused.keys()).map(String::as_str).collect()
    }

    /// Names of the free dimensions of the model's inputs, sorted; expressions (`past + 1`) as they are written.
    pub fn symbols(&self) -> Vec<String> {
        let mut symbols: Vec<String> = self
            .graph
            .input
            .iter()
            .filter_map(shape_of)
            .flat_map(|shape| &shape.dim)
            .filter_map(|dim| match &dim.value {
                Some(proto::tensor_shape_proto::dimension::Value::DimParam(name)) if !name.is_empty() => {
                    Some(name.clone())
                }
                _ => None,
            })
            .collect();
        symbols.sort();
        symbols.dedup();
        symbols
    }
}

/// Shape of a tensor value, where the file gives one.
pub fn shape_of(value: &proto::ValueInfoProto) -> Option<&proto::TensorShapeProto> {
    let proto::type_proto::Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    tensor.shape.as_ref()
}

/// Decodes a model. `external` finds the bytes of a side file: (location, offset, length or to the end) to bytes, to nothing where
/// there is no such file (the model then has no weights, and a note), or to what is wrong.
///
/// Weights stay views of `bytes` where the file holds them in raw form.
///
/// # Errors
///
/// Kind Input: `not-onnx` where the bytes are no model, `bad-model` for a damaged one, `bad-tensor` for a tensor whose bytes and shape
/// do not agree. Kind Unsupported: `unsupported-opset`.
pub fn decode(bytes: Bytes, external: &External<'_>) -> Result<Model, Diagnostic> {
    let hint = not_a_model(&bytes);
    let not_onnx =
        |why: String| Diagnostic::new(Kind::Input, "not-onnx", format!("this is not an ONNX model: {why}"));
    if let Some(hint) = hint {
        return Err(not_onnx(hint.to_owned()));
    }
    let mut model = proto::ModelProto::decode(bytes).map_err(|error| {
        not_onnx(format!("it does not decode ({error}); the file may be cut short or of another kind"))
    })?;
    let Some(mut graph) = model.graph.take() else {
        return Err(not_onnx("it holds no graph".to_owned()));
    };
    if graph.node.is_empty() && graph.output.is_empty() {
        return Err(not_onnx("its graph has no nodes and no outputs".to_owned()));
    }
    let (opset, domains) = opsets(&model)?;
    cut::drop_unneeded(&mut graph);
    let mut check = Check { external, refused: BTreeMap::new(), absent: Vec::new() };
    let initializers = check.graph(&mut graph, true)?;
    let mut functions = std::mem::take(&mut model.functions);
    functions.iter_mut().try_for_each(|function| check.nodes(&mut function.node))?;
    let Check { refused, absent, .. } = check;
    let mut all_notes = Vec::new();
    if !absent.is_empty() {
        all_notes.push(format!("{} tensor(s) have no data: only shapes are known", absent.len()));
        all_notes.extend(list(&absent));
    }
    let producer = [model.producer_name.unwrap_or_default(), model.producer_version.unwrap_or_default()];
    Ok(Model {
        ir_version: model.ir_version.unwrap_or_default(),
        producer: producer.join(" ").trim().to_owned(),
        opset,
        domains,
        graph,
        initializers,
        refused,
        functions,
        metadata: model
            .metadata_props
            .into_iter()
            .map(|entry| (entry.key.unwrap_or_default(), entry.value.unwrap_or_default()))
            .collect(),
        notes: all_notes,
    })
}

/// Why bytes are plainly something else, for the kinds of file that people mistake for a model.
fn not_a_model(bytes: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 7] = [
        (b"version https://git-lfs", "it is a Git LFS pointer; fetch the file itself with `git lfs pull`"),
        (b"PK\x03\x04", "it is a zip archive (a PyTorch checkpoint?); export the model to ONNX first"),
        (b"GGUF", "it is a GGUF file; export the model to ONNX first"),
        (b"\x89HDF", "it is an HDF5 file; export the model to ONNX first"),
        (b"<!DOCTYPE", "it is an HTML page; the download went wrong"),
        (b"<html", "it is an HTML page; the download went wrong"),
        (b"\x1f\x8b", "it is gzip-compressed; unpack it first"),
    ];
    if bytes.is_empty() {
        return Some("it is empty");
    }
    kinds.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|&(_, what)| what)
}

fn opsets(model: &proto::ModelProto) -> Result<(i64, BTreeMap<String, i64>), Diagnostic> {
    let mut domains = BTreeMap::new();
    let mut default = None;
    // Exporters write a domain twice now and then; the greatest version counts.
    for import in &model.opset_import {
        let version = import.version();
        match import.domain() {
            "" | "ai.onnx" => default = default.max(Some(version)),
            domain => {
                let known = domains.entry(domain.to_owned()).or_insert(version);
                *known = (*known).max(version);
            }
        }
    }
    match default {
        Some(version) if OPSETS.contains(&version) => Ok((version, domains)),
        Some(version) => Err(Diagnostic::new(
            Kind::Unsupported,
            "unsupported-opset",
            format!(
                "the model uses version {version} of the ONNX operator set; versions {} to {} are supported",
                OPSETS.start(),
                OPSETS.end()
            ),
        )
        .note("export it again with another opset_version, or convert it with onnx.version_converter")),
        // A model of other domains' operators only need not name the default one.
        None if !domains.is_empty() => Ok((*OPSETS.end(), domains)),
        None => Err(Diagnostic::new(
            Kind::Input,
            "bad-model",
            "the model does not say which version of the ONNX operator set it uses (opset_import is missing)",
        )),
    }
}

/// The first of many lines, and how many more there are.
fn list(lines: &[String]) -> Vec<String> {
    let mut listed: Vec<String> = lines.iter().take(MAX_LISTED).cloned().collect();
    if lines.len() > MAX_LISTED {
        listed.push(format!("… and {} more", lines.len() - MAX_LISTED));
    }
    listed
}

/// One walk over all tensors of a model.
struct Check<'a> {
    external: &'a External<'a>,
    refused: BTreeMap<String, String>,
    absent: Vec<String>,
}

impl Check<'_> {
    /// Converts the initializers of a graph, and checks the tensors in its attributes. `take`: the initializers leave the graph.
    fn graph(&mut self, graph: &mut GraphProto, take: bool) -> Result<Vec<Tensor>, Diagnostic> {
        for sparse in std::mem::take(&mut graph.sparse_initializer) {
            let name = sparse.values.as_ref().map(|values| values.name().to_owned()).unwrap_or_default();
            match known(sparse::dense(&sparse, self.external), "sparse initializer", &name)? {
                Ok(dense) => graph.initializer.push(dense),
                Err(what) => drop(self.refused.insert(name, what)),
            }
        }
        let mut tensors = Vec::new();
        for proto in &mut graph.initializer {
            self.resolve(proto, "initializer")?;
            if take {
                match self.tensor(proto, "initializer")? {
                    Ok(tensor) => tensors.push(tensor),
                    Err(what) => drop(self.refused.insert(proto.name().to_owned(), what)),
                }
            }
        }
        if take {
            graph.initializer = Vec::new();
        }
        self.nodes(&mut graph.node)?;
        Ok(tensors)
    }

    /// Checks the tensors in the attributes of nodes.
    fn nodes(&mut self, nodes: &mut [NodeProto]) -> Result<(), Diagnostic> {
        for (index, node) in nodes.iter_mut().enumerate() {
            let node_name = display_name(node, index);
            for attribute in &mut node.attribute {
                if let Some(proto) = &mut attribute.t {
                    let place = format!(
                        "attribute `{}` of node `{node_name}`",
                        attribute.name.as_deref().unwrap_or_default()
                    );
                    self.resolve(proto, &place)?;
                    drop(self.tensor(proto, &place)?);
                }
                if let Some(inner) = &mut attribute.g {
                    self.graph(inner, false)?;
                    for proto in &inner.initializer {
                        drop(self.tensor(proto, "initializer")?);
                    }
                }
            }
        }
        Ok(())
    }

    /// Brings the bytes of a side file into the message, so that the message alone says all.
    fn resolve(&mut self, proto: &mut proto::TensorProto, place: &str) -> Result<(), Diagnostic> {
        tensor::resolve(proto, self.external).map_err(|what| bad_tensor(place, proto.name(), &what))
    }

    /// A tensor, or what it is where that is not known.
    fn tensor(
        &mut self,
        proto: &proto::TensorProto,
        place: &str,
    ) -> Result<Result<Tensor, String>, Diagnostic> {
        let read = known(tensor(proto), place, proto.name())?;
        if let Ok(tensor) = &read
            && tensor.bytes.is_none()
        {
            self.absent.push(format!("{place} `{}`, shape {:?}", tensor.name, tensor.shape));
        }
        Ok(read)
    }
}

/// A tensor that is damaged ends the reading; one of a kind that is not known is told of where it is read, with all else that cannot be compiled.
fn known<T>(
    read: Result<T, tensor::Error>,
    place: &str,
    name: &str,
) -> Result<Result<T, String>, Diagnostic> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(tensor::Error::Unsupported(what)) => Ok(Err(what)),
        Err(tensor::Error::Damaged(what)) => Err(bad_tensor(place, name, &what)),
    }
}

fn bad_tensor(place: &str, name: &str, what: &str) -> Diagnostic {
    Diagnostic::new(Kind::Input, "bad-tensor", format!("{place} `{name}`: {what}"))
}

/// What a node is called in messages: its own name, else its operator and its place in the list.
pub fn display_name(node: &NodeProto, index: usize) -> String {
    match node.name() {
        "" => format!("{}_{index}", node.op_type()),
        name => name.to_owned(),
    }
}

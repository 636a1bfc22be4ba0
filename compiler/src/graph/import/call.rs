//! One node of the model, as the operators' translators see it.

use super::build::{Builder, Issue, Outcome, Value};
use crate::graph::TensorType;
use crate::graph::eval::Tensor;
use crate::onnx::proto::tensor_proto::DataType;
use crate::onnx::proto::{AttributeProto, NodeProto, TensorProto};

/// A node with the values of its inputs.
pub(super) struct Call<'a> {
    pub(super) node: &'a NodeProto,
    /// Values by place; nothing where an optional input is left out.
    pub(super) inputs: Vec<Option<Value>>,
    /// The model's element types of the inputs, where they are known.
    pub(super) types: Vec<Option<DataType>>,
    /// Version of the default operator set.
    pub(super) opset: i64,
    pub(super) build: &'a mut Builder,
}

impl<'a> Call<'a> {
    /// An input that must be there.
    pub(super) fn input(&self, index: usize) -> Outcome {
        self.optional(index).ok_or_else(|| Issue::Invalid(format!("input {index} is missing")))
    }

    /// An input that may be left out.
    pub(super) fn optional(&self, index: usize) -> Option<Value> {
        self.inputs.get(index).cloned().flatten()
    }

    /// All inputs of a variadic operator.
    pub(super) fn all(&self) -> Outcome<Vec<Value>> {
        if self.inputs.is_empty() {
            return Err(Issue::Invalid("it has no inputs".to_owned()));
        }
        (0..self.inputs.len()).map(|index| self.input(index)).collect()
    }

    /// Type of a value.
    pub(super) fn ty(&self, value: &Value) -> TensorType {
        self.build.ty(value)
    }

    /// The model's element type of an input.
    pub(super) fn kind(&self, index: usize) -> Outcome<DataType> {
        let unknown = || Issue::Unsupported(format!("the element type of its input {index} is not known"));
        self.types.get(index).copied().flatten().ok_or_else(unknown)
    }

    /// Whether an output is asked for.
    pub(super) fn wants(&self, output: usize) -> bool {
        self.node.output.get(output).is_some_and(|name| !name.is_empty())
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name() == name)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).and_then(|attribute| attribute.i).unwrap_or(default)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).and_then(|attribute| attribute.f).unwrap_or(default)
    }

    pub(super) fn ints(&self, name: &str) -> Option<&'a [i64]> {
        self.attribute(name).map(|attribute| attribute.ints.as_slice())
    }

    pub(super) fn text(&self, name: &str, default: &str) -> String {
        let bytes = self.attribute(name).and_then(|attribute| attribute.s.as_deref());
        bytes.map_or(default.to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    pub(super) fn tensor(&self, name: &str) -> Option<&'a TensorProto> {
        self.attribute(name).and_then(|attribute| attribute.t.as_ref())
    }

    /// The integers of an input that must be known at compile time; `what` names it in the message.
    pub(super) fn known_ints(&self, index: usize, what: &str) -> Outcome<Vec<i64>> {
        let value = self.input(index)?;
        let Some(tensor) = value.tensor() else {
            return Err(Issue::Unsupported(format!("its {what} depend on the data of the model's inputs")));
        };
        match (tensor.as_i32(), tensor.as_f32()) {
            (Some(ints), _) => Ok(ints.iter().map(|&v| i64::from(v)).collect()),
            (None, Some(reals)) => Ok(reals.iter().map(|&v| v as i64).collect()),
            (None, None) => Err(Issue::Invalid(format!("its {what} are truth values"))),
        }
    }

    /// Real numbers of an input that may be left out, or empty, which is the same; they must be known.
    pub(super) fn known_reals(&self, index: usize, what: &str) -> Outcome<Option<Vec<f32>>> {
        let Some(value) = self.optional(index).filter(|value| self.ty(value).elements() > 0) else {
            return Ok(None);
        };
        let reals = value.tensor().and_then(Tensor::as_f32).map(<[f32]>::to_vec);
        reals
            .map(Some)
            .ok_or_else(|| Issue::Unsupported(format!("its {what} depend on the data of the model's inputs")))
    }

    /// As [`Call::known_ints`], for an input that may be left out.
    pub(super) fn optional_ints(&self, index: usize, what: &str) -> Outcome<Option<Vec<i64>>> {
        match self.optional(index) {
            Some(_) => self.known_ints(index, what).map(Some),
            None => Ok(None),
        }
    }

    /// Integers that an attribute gives in older operator sets, and an input in newer ones.
    pub(super) fn ints_or_input(&self, name: &str, index: usize) -> Outcome<Vec<i64>> {
        self.ints(name).map_or_else(|| self.known_ints(index, name), |ints| Ok(ints.to_vec()))
    }

    /// Axes given by an attribute (older operator sets) or by an input (newer ones); what is absent is nothing.
    pub(super) fn axes(&self, input: usize, rank: usize) -> Outcome<Option<Vec<usize>>> {
        let axes = match self.ints("axes") {
            Some(axes) => Some(axes.to_vec()),
            None => self.optional_ints(input, "axes")?,
        };
        axes.map(|axes| axes.iter().map(|&axis| normalize(axis, rank)).collect()).transpose()
    }

    /// The attribute `axis`, counted from the front.
    pub(super) fn axis(&self, default: i64, rank: usize) -> Outcome<usize> {
        normalize(self.int("axis", default), rank)
    }
}

/// An axis that may be counted from the end, as one counted from the front.
pub(super) fn normalize(axis: i64, rank: usize) -> Outcome<usize> {
    let length = rank as i64;
    let from_front = if axis < 0 { axis.checked_add(length) } else { Some(axis) };
    from_front
        .and_then(|axis| usize::try_from(axis).ok())
        .filter(|&axis| axis < rank)
        .ok_or_else(|| Issue::Invalid(format!("axis {axis} does not exist in a tensor of {rank} axes")))
}

/// A nonnegative length.
pub(super) fn length(value: i64) -> Outcome<usize> {
    usize::try_from(value).map_err(|_| Issue::Invalid(format!("{value} is no length")))
}

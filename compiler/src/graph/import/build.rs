//! Building a graph while computing what is known already.
//!
//! A [`Value`] is either known at import (shapes, masks, positions: the plumbing that exporters write as operators) or a node. An
//! operator whose inputs are all known is computed here and leaves no node.

use super::ops::Convolution;
use crate::graph::eval::{self, Data, Tensor};
use crate::graph::{
    BinaryOp, Constant, ElementType, Graph, Node, NodeId, Op, ReduceOp, TensorType, UnaryOp, shape,
};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Known tensors larger than this are computed at run time instead.
const MAX_KNOWN_ELEMENTS: usize = 1 << 22;
/// Real constants with more elements than this are weights: kept as they are, under their own name and in their own encoding.
const MAX_KNOWN_REALS: usize = 16;

/// Why a node cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Issue {
    /// Valid ONNX, but not something this compiler does.
    Unsupported(String),
    /// The model contradicts itself.
    Invalid(String),
    /// An input is missing because the node that makes it had an issue, which has been reported.
    Poisoned,
}

impl From<String> for Issue {
    fn from(what: String) -> Self {
        Issue::Invalid(what)
    }
}

/// Result of translating something.
pub(super) type Outcome<T = Value> = Result<T, Issue>;

/// A tensor during import.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Its content is known.
    Known(Rc<Known>),
    /// It is computed at run time.
    Node(NodeId),
    /// The old content of a state, by its place in [`Builder::pasts`]; it may only be appended to.
    Past(usize),
}

/// A tensor whose content is known.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) tensor: Tensor,
    /// The initializer this is, with its name.
    source: Option<(String, Constant)>,
    /// The constant node made of it, if it was needed at run time.
    node: Cell<Option<NodeId>>,
}

/// A state, as its operators see it.
#[derive(Clone, Debug)]
pub(super) struct Past {
    /// Name of the model's input.
    pub(super) name: String,
    /// Type that the model's input has: the axis holds the tokens of earlier steps only.
    pub(super) ty: TensorType,
    /// The axis that grows.
    pub(super) axis: usize,
    /// The graph's input of the full capacity.
    pub(super) input: NodeId,
}

impl Value {
    /// A known tensor.
    pub(super) fn known(tensor: Tensor) -> Value {
        Value::Known(Rc::new(Known { tensor, source: None, node: Cell::new(None) }))
    }

    /// A known real scalar.
    pub(super) fn real(value: f32) -> Value {
        Value::known(Tensor::f32([], [value]))
    }

    /// A known integer scalar.
    pub(super) fn integer(value: i32) -> Value {
        Value::known(Tensor::i32([], [value]))
    }

    /// A known vector of integers; what does not fit 32 bits saturates.
    pub(super) fn integers(values: &[usize]) -> Value {
        let values: Vec<i32> = values.iter().map(|&v| i32::try_from(v).unwrap_or(i32::MAX)).collect();
        Value::known(Tensor::i32([values.len()], values))
    }

    /// The content, where it is known.
    pub(super) fn tensor(&self) -> Option<&Tensor> {
        match self {
            Value::Known(known) => Some(&known.tensor),
            Value::Node(_) | Value::Past(_) => None,
        }
    }
}

/// A graph in the making.
#[derive(Debug, Default)]
pub(super) struct Builder {
    pub(super) graph: Graph,
    pub(super) pasts: Vec<Past>,
    /// The input that says how many tokens the states hold.
    pub(super) position: Option<NodeId>,
    /// Convolutions by their results.
    pub(super) convolutions: BTreeMap<NodeId, Convolution>,
    /// Name of the model's node that is being imported.
    pub(super) origin: String,
}

impl Builder {
    /// A constant of the model: known where it is integers, truth values or a few reals, else a node that views the model's bytes.
    pub(super) fn constant(&mut self, name: &str, ty: TensorType, constant: Constant) -> Outcome {
        let elements = shape::count(&ty.shape)?;
        let limit = if ty.element == ElementType::F32 { MAX_KNOWN_REALS } else { MAX_KNOWN_ELEMENTS };
        if elements <= limit
            && let Some(tensor) = Tensor::decode(&constant, &ty)?
        {
            let source = (!name.is_empty()).then(|| (name.to_owned(), constant));
            return Ok(Value::Known(Rc::new(Known { tensor, source, node: Cell::new(None) })));
        }
        let origin = if name.is_empty() { self.origin.clone() } else { name.to_owned() };
        Ok(Value::Node(self.graph.push_typed(Op::Constant(constant), &[], ty, &origin)))
    }

    /// The constant of the model that a value is.
    pub(super) fn source<'v>(&'v self, value: &'v Value) -> Option<&'v Constant> {
        match value {
            Value::Known(known) => known.source.as_ref().map(|(_, constant)| constant),
            Value::Node(node) => match &self.graph.nodes[*node].op {
                Op::Constant(constant) => Some(constant),
                _ => None,
            },
            Value::Past(_) => None,
        }
    }

    /// Type of a value.
    pub(super) fn ty(&self, value: &Value) -> TensorType {
        match value {
            Value::Known(known) => known.tensor.ty(),
            Value::Node(node) => self.graph.nodes[*node].ty.clone(),
            Value::Past(past) => self.pasts[*past].ty.clone(),
        }
    }

    /// Shape of a value.
    pub(super) fn shape(&self, value: &Value) -> Vec<usize> {
        self.ty(value).shape
    }

    /// The node that holds a value at run time.
    pub(super) fn node(&mut self, value: &Value) -> Outcome<NodeId> {
        match value {
            Value::Node(node) => Ok(*node),
            Value::Past(past) => Err(Issue::Unsupported(format!(
                "it reads the cache `{}` other than by appending to it along axis {}",
                self.pasts[*past].name, self.pasts[*past].axis
            ))),
            Value::Known(known) => {
                if let Some(node) = known.node.get() {
                    return Ok(node);
                }
                let (origin, constant) = match &known.source {
                    Some((name, constant)) => (name.clone(), constant.clone()),
                    None => (self.origin.clone(), known.tensor.to_constant()),
                };
                let ty = known.tensor.ty();
                let held = TensorType { element: constant.encoding.element(), shape: ty.shape.clone() };
                let mut node = self.graph.push_typed(Op::Constant(constant), &[], held, &origin);
                // There are no constants of eight bits but by a cast.
                if ty.element.is_narrow() {
                    node = self.graph.push_typed(Op::Cast(ty.element), &[node], ty, &origin);
                }
                known.node.set(Some(node));
                Ok(node)
            }
        }
    }

    /// An operator on values: computed now if everything is known, dropped if it changes nothing, else a node.
    pub(super) fn apply(&mut self, op: Op, inputs: &[Value]) -> Outcome {
        let mut inputs = inputs.to_vec();
        let ty = self.infer(&op, &inputs)?;
        if ty.elements() == 0 {
            return Ok(Value::known(Tensor::zeros(&ty)));
        }
        if let Op::Concat { .. } = op {
            inputs.retain(|input| self.ty(input).elements() > 0);
        }
        let known: Option<Vec<&Tensor>> = inputs.iter().map(Value::tensor).collect();
        if let Some(known) = known
            && ty.elements() <= MAX_KNOWN_ELEMENTS
        {
            return Ok(Value::known(eval::apply(&op, &known)?));
        }
        if let Some(value) = self.simplify(&op, &inputs, &ty)? {
            return Ok(value);
        }
        if matches!(op, Op::Binary(_) | Op::Select) {
            self.shrink(&op, &mut inputs, &ty);
        }
        let nodes: Vec<NodeId> = inputs.iter().map(|input| self.node(input)).collect::<Result<_, _>>()?;
        Ok(Value::Node(self.graph.push(op, &nodes, &self.origin.clone())?))
    }

    fn infer(&self, op: &Op, inputs: &[Value]) -> Outcome<TensorType> {
        let types: Vec<TensorType> = inputs.iter().map(|input| self.ty(input)).collect();
        Ok(shape::infer(op, &types.iter().collect::<Vec<_>>())?)
    }

    /// Operators that give one of their inputs back.
    fn simplify(&mut self, op: &Op, inputs: &[Value], ty: &TensorType) -> Outcome<Option<Value>> {
        let same_type = |value: &Value| self.ty(value) == *ty;
        match op {
            // Bytes are the same reals, whether they have been integers in between or not.
            Op::Cast(ElementType::F32) if let Some(bytes) = self.widened(&inputs[0]) => {
                self.apply(op.clone(), &[Value::Node(bytes)]).map(Some)
            }
            Op::Cast(_) | Op::Reshape { .. } | Op::Expand { .. } | Op::Pad { .. }
                if same_type(&inputs[0]) =>
            {
                Ok(Some(inputs[0].clone()))
            }
            Op::Slice { step: 1, .. } if same_type(&inputs[0]) => Ok(Some(inputs[0].clone())),
            Op::Reduce { op, axis } => self.reduced_stack(*op, *axis, &inputs[0], ty),
            Op::Concat { .. } if inputs.len() == 1 => Ok(Some(inputs[0].clone())),
            Op::Transpose { permutation } if permutation.iter().copied().eq(0..permutation.len()) => {
                Ok(Some(inputs[0].clone()))
            }
            Op::Binary(op) => {
                for (this, other, right) in [(0, 1, false), (1, 0, true)] {
                    if same_type(&inputs[other])
                        && let Some(bits) = inputs[this].tensor().and_then(uniform)
                        && neutral(*op, ty.element, bits, right)
                    {
                        return Ok(Some(inputs[other].clone()));
                    }
                }
                Ok(self.absorbed(*op, inputs, ty))
            }
            Op::Select => match inputs[0].tensor().and_then(uniform) {
                Some(bits) => {
                    let chosen = inputs[if bits != 0 { 1 } else { 2 }].clone();
                    self.apply(Op::Expand { shape: ty.shape.clone() }, &[chosen]).map(Some)
                }
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// The reduction of tensors that were stacked along its axis: they go together element by element, and are never stacked.
    fn reduced_stack(
        &mut self,
        op: ReduceOp,
        axis: usize,
        stack: &Value,
        ty: &TensorType,
    ) -> Outcome<Option<Value>> {
        let Value::Node(id) = stack else { return Ok(None) };
        let node = &self.graph.nodes[*id];
        let apart = |&part: &NodeId| self.graph.shape(part)[axis] == 1;
        if node.op != (Op::Concat { axis }) || !node.inputs.iter().all(apart) {
            return Ok(None);
        }
        let mut parts = node.inputs.clone();
        // What was given an axis to be stacked along is taken without it.
        let before = |&part: &NodeId| match &self.graph.nodes[part] {
            Node { op: Op::Reshape { .. }, inputs, .. } => Some(inputs[0]),
            _ => None,
        };
        if let Some(bare) = parts.iter().map(before).collect::<Option<Vec<_>>>()
            && bare.windows(2).all(|pair| self.graph.shape(pair[0]) == self.graph.shape(pair[1]))
        {
            parts = bare;
        }
        let op = match op {
            ReduceOp::Sum => BinaryOp::Add,
            ReduceOp::Max => BinaryOp::Max,
            ReduceOp::Min => BinaryOp::Min,
        };
        let mut parts = parts.into_iter().map(Value::Node);
        let Some(first) = parts.next() else { return Ok(None) };
        let together = parts.try_fold(first, |a, b| self.binary(op, &a, &b))?;
        self.reshape(&together, ty.shape.clone()).map(Some)
    }

    /// The bytes that a tensor of integers is made of.
    fn widened(&self, value: &Value) -> Option<NodeId> {
        let Value::Node(id) = value else { return None };
        let node = &self.graph.nodes[*id];
        let input = *node.inputs.first()?;
        let is = node.op == Op::Cast(ElementType::I32) && self.graph.ty(input).element == ElementType::I8;
        is.then_some(input)
    }

    /// `x and false`, `x or true`: known although x is not.
    fn absorbed(&self, op: BinaryOp, inputs: &[Value], ty: &TensorType) -> Option<Value> {
        if ty.element != ElementType::Bool {
            return None;
        }
        let absorbing = match op {
            BinaryOp::And => 0,
            BinaryOp::Or => 1,
            _ => return None,
        };
        let hit = inputs.iter().any(|input| input.tensor().and_then(uniform) == Some(absorbing));
        (hit && ty.elements() <= MAX_KNOWN_ELEMENTS)
            .then(|| Value::known(Tensor::bool(ty.shape.clone(), vec![absorbing == 1; ty.elements()])))
    }

    /// Known operands with one value throughout become scalars, where broadcasting brings their shape back.
    fn shrink(&self, op: &Op, inputs: &mut [Value], ty: &TensorType) {
        for i in 0..inputs.len() {
            let Some(tensor) = inputs[i].tensor().filter(|tensor| tensor.data.len() > 1) else { continue };
            if uniform(tensor).is_none() {
                continue;
            }
            let scalar = Value::known(Tensor { shape: vec![], data: first(&tensor.data) });
            let mut smaller = inputs.to_vec();
            smaller[i] = scalar;
            if self.infer(op, &smaller).as_ref() == Ok(ty) {
                inputs.clone_from_slice(&smaller);
            }
        }
    }

    /// A one-operand pointwise operator.
    pub(super) fn unary(&mut self, op: UnaryOp, a: &Value) -> Outcome {
        self.apply(Op::Unary(op), std::slice::from_ref(a))
    }

    /// A two-operand pointwise operator.
    pub(super) fn binary(&mut self, op: BinaryOp, a: &Value, b: &Value) -> Outcome {
        self.apply(Op::Binary(op), &[a.clone(), b.clone()])
    }

    /// `a op b` with a real scalar b.
    pub(super) fn with_real(&mut self, op: BinaryOp, a: &Value, b: f32) -> Outcome {
        self.binary(op, a, &Value::real(b))
    }

    /// Same elements, other shape.
    pub(super) fn reshape(&mut self, a: &Value, shape: Vec<usize>) -> Outcome {
        self.apply(Op::Reshape { shape }, std::slice::from_ref(a))
    }

    /// x with a new axis of length 1.
    pub(super) fn with_axis(&mut self, x: &Value, axis: usize) -> Outcome {
        let mut shape = self.shape(x);
        shape.insert(axis, 1);
        self.reshape(x, shape)
    }

    /// x without an axis of length 1.
    pub(super) fn without_axis(&mut self, x: &Value, axis: usize) -> Outcome {
        let mut shape = self.shape(x);
        shape.remove(axis);
        self.reshape(x, shape)
    }

    /// Element `at` of an axis, which stays with length 1.
    pub(super) fn one_of(&mut self, x: &Value, axis: usize, at: usize) -> Outcome {
        self.apply(Op::Slice { axis, start: at, count: 1, step: 1 }, std::slice::from_ref(x))
    }

    /// Element `at` of an axis, which goes.
    pub(super) fn element(&mut self, x: &Value, axis: usize, at: usize) -> Outcome {
        let one = self.one_of(x, axis, at)?;
        self.without_axis(&one, axis)
    }

    /// Same values, other element type.
    pub(super) fn cast(&mut self, a: &Value, element: ElementType) -> Outcome {
        if let Value::Past(past) = a
            && self.pasts[*past].ty.element == element
        {
            return Ok(a.clone());
        }
        self.apply(Op::Cast(element), std::slice::from_ref(a))
    }
}

/// Bits of the one value that all elements of a tensor have.
pub(super) fn uniform(tensor: &Tensor) -> Option<u32> {
    fn same<T: Copy + PartialEq>(data: &[T]) -> Option<T> {
        let (&first, rest) = data.split_first()?;
        rest.iter().all(|&x| x == first).then_some(first)
    }
    match &tensor.data {
        Data::F32(data) => same(data).map(f32::to_bits),
        Data::I32(data) => same(data).map(i32::cast_unsigned),
        Data::Bool(data) => same(data).map(u32::from),
        Data::I8(data) => same(data).map(|x| u32::from(x.cast_unsigned())),
        Data::F8(data) => same(data).map(|x| u32::from(x.0)),
    }
}

fn first(data: &Data) -> Data {
    match data {
        Data::F32(data) => Data::F32(data[..1].to_vec()),
        Data::I32(data) => Data::I32(data[..1].to_vec()),
        Data::Bool(data) => Data::Bool(data[..1].to_vec()),
        Data::I8(data) => Data::I8(data[..1].to_vec()),
        Data::F8(data) => Data::F8(data[..1].to_vec()),
    }
}

/// Whether `x op b` (or `b op x` unless `right`) is x for the b of these bits.
fn neutral(op: BinaryOp, element: ElementType, bits: u32, right: bool) -> bool {
    let is = |value: i32| match element {
        ElementType::F32 => f32::from_bits(bits) == value as f32,
        ElementType::I32 => bits.cast_signed() == value,
        ElementType::Bool | ElementType::I8 | ElementType::F8 => false,
    };
    match op {
        BinaryOp::Add => is(0),
        BinaryOp::Sub => right && is(0),
        BinaryOp::Mul => is(1),
        BinaryOp::Div | BinaryOp::Quotient | BinaryOp::Pow => right && is(1),
        BinaryOp::And if element == ElementType::Bool => bits == 1,
        BinaryOp::And => is(-1),
        BinaryOp::Or | BinaryOp::Xor => bits == 0,
        BinaryOp::ShiftLeft | BinaryOp::ShiftRight => right && is(0),
        BinaryOp::Max
        | BinaryOp::Min
        | BinaryOp::Mod
        | BinaryOp::Less
        | BinaryOp::LessEqual
        | BinaryOp::Equal => false,
    }
}

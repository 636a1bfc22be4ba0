//! Shape and type inference.
//!
//! [`infer`] is the only place that decides which operand types an operator takes. Everything else (the verifier, the text
//! form, the evaluator) asks it.

use super::blocks::BLOCK;
use super::{BinaryOp, ElementType, Encoding, Few, Gates, Op, TensorType, UnaryOp};
use std::fmt;

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Prints as `f32[1, 64]`; a scalar as `f32[]`.
impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.element, self.shape)
    }
}

impl TensorType {
    /// A type of an element and a shape.
    pub fn new(element: ElementType, shape: impl Into<Vec<usize>>) -> Self {
        TensorType { element, shape: shape.into() }
    }

    /// Number of elements. Types in a graph have been through [`count`], so this does not overflow for them.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Encoding {
    /// Blocks of four bits that a constant is written in, with their scales; none if each element stands for itself.
    pub fn blocks(self) -> Option<Few> {
        match self {
            Encoding::Int4 => Some(Few::Int4),
            Encoding::Mxfp4 => Some(Few::Mxfp4),
            _ => None,
        }
    }

    /// Bits of one element, without scales.
    pub fn element_bits(self) -> usize {
        match self {
            Encoding::F64 | Encoding::I64 => 64,
            Encoding::F32 | Encoding::I32 => 32,
            Encoding::F16 | Encoding::Bf16 | Encoding::I16 => 16,
            Encoding::I8 | Encoding::U8 | Encoding::Bool | Encoding::F8E4M3 => 8,
            Encoding::I4 | Encoding::U4 | Encoding::Int4 | Encoding::Mxfp4 => 4,
        }
    }

    /// Bytes of so many elements, with their scales; the number of elements must have been through [`count`].
    pub fn bytes(self, elements: usize) -> usize {
        let scales = self.blocks().map_or(0, |few| elements / BLOCK * few.scale_bytes());
        match self.element_bits() {
            4 => elements.div_ceil(2) + scales,
            bits => elements * (bits / 8),
        }
    }

    /// Element type that decoding gives.
    pub fn element(self) -> ElementType {
        match self {
            Encoding::I64
            | Encoding::I32
            | Encoding::I16
            | Encoding::I8
            | Encoding::U8
            | Encoding::I4
            | Encoding::U4 => ElementType::I32,
            Encoding::Bool => ElementType::Bool,
            _ => ElementType::F32,
        }
    }
}

/// Number of elements of a shape; an error where it, or eight times it (the bytes of the widest encoding), overflows.
pub fn count(shape: &[usize]) -> Result<usize, String> {
    // Zero axes do not excuse the others: partial products must not overflow anywhere.
    let bound = shape.iter().try_fold(8usize, |n, &axis| n.checked_mul(axis.max(1)));
    match bound {
        Some(_) if bound <= Some(isize::MAX as usize) => Ok(shape.iter().product()),
        Some(_) | None => Err(format!("shape {shape:?} has too many elements")),
    }
}

/// numpy's broadcast of two shapes.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let axis = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|i| match (axis(a, i), axis(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            (x, y) => Err(format!(
                "shapes {a:?} and {b:?} do not broadcast: axis {i} of the result would be {x} and {y}"
            )),
        })
        .collect()
}

/// Type of an operator's result. The error names the operator and what does not agree. Input and Constant have no inputs
/// that they could follow from, and are errors here.
pub fn infer(op: &Op, inputs: &[&TensorType]) -> Result<TensorType, String> {
    let name = op.name();
    if let Some(arity) = op.arity()
        && arity != inputs.len()
    {
        let plural = if arity == 1 { "" } else { "s" };
        return Err(format!("{name} takes {arity} input{plural}, not {}", inputs.len()));
    }
    let ty = result(op, inputs).map_err(|what| format!("{name}: {what}"))?;
    count(&ty.shape).map_err(|what| format!("{name}: {what}"))?;
    Ok(ty)
}

fn result(op: &Op, inputs: &[&TensorType]) -> Result<TensorType, String> {
    match op {
        Op::Input(_) | Op::Constant(_) => {
            Err("its type does not follow from other nodes and must be given".to_owned())
        }
        Op::MatMul { transpose_b } => matmul(inputs[0], inputs[1], *transpose_b),
        Op::Conv { channels_last, strides, padding, dilations, groups } => {
            let conv = |a: &TensorType, b: &TensorType| conv(a, b, [strides, dilations], padding, *groups);
            if *channels_last { turned(inputs[0], inputs[1], conv) } else { conv(inputs[0], inputs[1]) }
        }
        Op::Unary(op) => {
            element(inputs[0], "the input", unary_elements(*op))?;
            let own = inputs[0].element;
            let other = if own == ElementType::F32 { ElementType::I32 } else { ElementType::F32 };
            let element = if *op == UnaryOp::Bits { other } else { own };
            Ok(TensorType { element, shape: inputs[0].shape.clone() })
        }
        Op::Binary(op) => binary(*op, inputs[0], inputs[1]),
        Op::Select => {
            element(inputs[0], "the condition", &[ElementType::Bool])?;
            same_element(inputs[1], inputs[2])?;
            element(inputs[1], "an input", &[ElementType::F32, ElementType::I32, ElementType::Bool])?;
            let shape = broadcast(&inputs[0].shape, &broadcast(&inputs[1].shape, &inputs[2].shape)?)?;
            Ok(TensorType { element: inputs[1].element, shape })
        }
        Op::Reduce { axis, .. } => {
            element(inputs[0], "the input", &[ElementType::F32, ElementType::I32])?;
            axis_length(inputs[0], *axis)?;
            Ok(with_axis(inputs[0], *axis, 1))
        }
        Op::Reshape { shape } => {
            if count(shape)? != inputs[0].elements() {
                return Err(format!(
                    "{} has {} elements, shape {shape:?} has {}",
                    inputs[0],
                    inputs[0].elements(),
                    count(shape)?
                ));
            }
            Ok(TensorType::new(inputs[0].element, shape.clone()))
        }
        Op::Transpose { permutation } => transpose(inputs[0], permutation),
        Op::Slice { axis, start, count, step } => slice(inputs[0], *axis, *start, *count, *step),
        Op::Concat { axis } => concat(inputs, *axis),
        Op::Pad { axis, before, after, value } => {
            let length = axis_length(inputs[0], *axis)?;
            if inputs[0].element == ElementType::Bool && *value > 1 {
                return Err(format!("padding value {value:#x} is no bool (0 or 1)"));
            }
            if inputs[0].element.is_narrow() && *value != 0 {
                return Err(format!("{} is padded with zeros only, not {value:#x}", inputs[0].element));
            }
            let padded = before.checked_add(*after).and_then(|n| n.checked_add(length));
            Ok(with_axis(inputs[0], *axis, padded.ok_or("the padded axis is too long")?))
        }
        Op::Expand { shape } => {
            if broadcast(&inputs[0].shape, shape).as_deref() != Ok(shape) {
                return Err(format!("{} does not broadcast to shape {shape:?}", inputs[0]));
            }
            Ok(TensorType::new(inputs[0].element, shape.clone()))
        }
        Op::Gather { axis } => gather(inputs[0], inputs[1], *axis),
        Op::Softmax { axis } => {
            axis_length(inputs[0], *axis)?;
            real(inputs[0])
        }
        Op::Cast(element) => Ok(TensorType::new(*element, inputs[0].shape.clone())),
        Op::Append { axis } => append(inputs, *axis),
        Op::AllGather { chips, padded, .. } => gathered(inputs[0], *chips, *padded),
        Op::AllToAll { .. } => exchanged(inputs[0]),
        Op::Cross { gates, .. } => crossed(inputs[0], gates),
        Op::FromGates(gates) => served(inputs[0], gates),
        Op::Blocks(_) => real(inputs[0]),
    }
}

/// Of the input's own type, which must be real.
fn real(a: &TensorType) -> Result<TensorType, String> {
    element(a, "the input", &[ElementType::F32])?;
    Ok(a.clone())
}

fn gather(table: &TensorType, indices: &TensorType, axis: usize) -> Result<TensorType, String> {
    element(indices, "the indices", &[ElementType::I32])?;
    axis_length(table, axis)?;
    let shape = [&table.shape[..axis], &indices.shape, &table.shape[axis + 1..]].concat();
    Ok(TensorType { element: table.element, shape })
}

/// Parts for several chips.
fn exchanged(parts: &TensorType) -> Result<TensorType, String> {
    element(parts, "the input", &[ElementType::F32])?;
    axis_length(parts, 1).map_err(|_| "all-to-all takes [chips, ..]".to_owned())?;
    Ok(parts.clone())
}

/// The parts that go over the gates, of those gathered in a node.
fn crossed(gathered: &TensorType, gates: &Gates) -> Result<TensorType, String> {
    element(gathered, "the input", &[ElementType::F32])?;
    match gathered.shape[..] {
        [node, ref rest @ ..] if node == gates.node && gates.each <= node && gates.shift < node => {
            Ok(TensorType::new(gathered.element, [&[gates.each], rest].concat()))
        }
        _ => Err(format!("cross takes [{}, ..]", gates.node)),
    }
}

/// The part of one chip.
fn served(brought: &TensorType, gates: &Gates) -> Result<TensorType, String> {
    element(brought, "the input", &[ElementType::F32])?;
    match brought.shape[..] {
        [each, ref rest @ ..] if each == gates.each && each <= gates.node && !rest.is_empty() => {
            Ok(TensorType::new(brought.element, rest.to_vec()))
        }
        _ => Err(format!("from_gates takes [{}, ..]", gates.each)),
    }
}

/// What some chips have, one after the other along the last axis.
fn gathered(own: &TensorType, chips: usize, padded: Option<usize>) -> Result<TensorType, String> {
    element(own, "the input", &[ElementType::F32])?;
    let Some(padded) = padded else {
        return Ok(TensorType::new(own.element, [&[chips], &own.shape[..]].concat()));
    };
    let axis = own.shape.len().checked_sub(1).ok_or("a scalar has no axis to gather along")?;
    if chips == 0 || padded < own.shape[axis] {
        let length = own.shape[axis];
        return Err(format!("{chips} chips with {padded} elements each cannot have {length} each"));
    }
    let all = chips.checked_mul(padded).ok_or("the gathered axis is too long")?;
    Ok(with_axis(own, axis, all))
}

/// A convolution with channels last, as if they came second.
fn turned(
    a: &TensorType,
    b: &TensorType,
    conv: impl Fn(&TensorType, &TensorType) -> Result<TensorType, String>,
) -> Result<TensorType, String> {
    let rank = a.shape.len().max(2);
    let [a, b] = [a, b].map(|ty| {
        let mut shape = ty.shape.clone();
        shape[1.min(ty.shape.len())..].rotate_right(1.min(ty.shape.len().saturating_sub(1)));
        TensorType::new(ty.element, shape)
    });
    let mut ty = conv(&a, &b)?;
    ty.shape[1..rank].rotate_left(1);
    Ok(ty)
}

fn unary_elements(op: UnaryOp) -> &'static [ElementType] {
    match op {
        UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Bits => &[ElementType::F32, ElementType::I32],
        UnaryOp::Not => &[ElementType::Bool],
        UnaryOp::Exp
        | UnaryOp::Log
        | UnaryOp::Sqrt
        | UnaryOp::Rsqrt
        | UnaryOp::Recip
        | UnaryOp::Tanh
        | UnaryOp::Sigmoid
        | UnaryOp::Erf
        | UnaryOp::Sin
        | UnaryOp::Cos
        | UnaryOp::Atan
        | UnaryOp::Relu
        | UnaryOp::Floor
        | UnaryOp::Round
        | UnaryOp::RoundF16
        | UnaryOp::Mantissa
        | UnaryOp::Exponent => &[ElementType::F32],
    }
}

/// Operand elements that an operator takes, and whether it answers Bool.
fn binary_elements(op: BinaryOp) -> (&'static [ElementType], bool) {
    use ElementType::{Bool, F32, I32};
    match op {
        BinaryOp::Add
        | BinaryOp::Sub
        | BinaryOp::Mul
        | BinaryOp::Div
        | BinaryOp::Mod
        | BinaryOp::Max
        | BinaryOp::Min => (&[F32, I32], false),
        BinaryOp::Pow | BinaryOp::Quotient => (&[F32], false),
        BinaryOp::ShiftLeft | BinaryOp::ShiftRight => (&[I32], false),
        BinaryOp::Less | BinaryOp::LessEqual => (&[F32, I32], true),
        BinaryOp::Equal => (&[F32, I32, Bool], true),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => (&[Bool, I32], false),
    }
}

fn binary(op: BinaryOp, a: &TensorType, b: &TensorType) -> Result<TensorType, String> {
    same_element(a, b)?;
    let (elements, truth) = binary_elements(op);
    element(a, "an input", elements)?;
    let element = if truth { ElementType::Bool } else { a.element };
    Ok(TensorType { element, shape: broadcast(&a.shape, &b.shape)? })
}

fn matmul(a: &TensorType, b: &TensorType, transpose_b: bool) -> Result<TensorType, String> {
    same_element(a, b)?;
    for ty in [a, b] {
        element(ty, "an input", &[ElementType::F32, ElementType::I8, ElementType::F8])?;
        if ty.shape.len() < 2 {
            return Err(format!("both inputs must have at least two axes, one is {ty}"));
        }
    }
    let (lead_a, tail_a) = a.shape.split_at(a.shape.len() - 2);
    let (lead_b, tail_b) = b.shape.split_at(b.shape.len() - 2);
    let (k, n) = if transpose_b { (tail_b[1], tail_b[0]) } else { (tail_b[0], tail_b[1]) };
    if tail_a[1] != k {
        let how = if transpose_b { " transposed" } else { "" };
        return Err(format!("{a} has rows of {}, {b}{how} has columns of {k}", tail_a[1]));
    }
    let mut shape = broadcast(lead_a, lead_b)?;
    shape.extend([tail_a[0], n]);
    Ok(TensorType::new(product_element(a.element), shape))
}

fn conv(
    a: &TensorType,
    weights: &TensorType,
    [strides, dilations]: [&[usize]; 2],
    padding: &[[usize; 2]],
    groups: usize,
) -> Result<TensorType, String> {
    same_element(a, weights)?;
    element(a, "an input", &[ElementType::F32, ElementType::I8])?;
    let ([n, channels, space @ ..], [out, per_group, kernel @ ..]) = (&a.shape[..], &weights.shape[..])
    else {
        return Err(format!("{a} and {weights} must have three or four axes"));
    };
    let axes = space.len();
    if !matches!(axes, 1 | 2) || [kernel.len(), strides.len(), dilations.len(), padding.len()] != [axes; 4] {
        return Err(format!(
            "{a}, {weights}, {} strides, {} dilations and {} pairs of padding do not have the same one or two spatial axes",
            strides.len(),
            dilations.len(),
            padding.len()
        ));
    }
    if groups == 0 || channels % groups != 0 || out % groups != 0 || channels / groups != *per_group {
        return Err(format!("{a} and {weights} do not have {groups} groups of channels"));
    }
    let mut shape = vec![*n, *out];
    for axis in 0..axes {
        let [before, after] = padding[axis];
        let padded = space[axis].checked_add(before).and_then(|n| n.checked_add(after));
        let reach = kernel[axis].checked_sub(1).and_then(|n| n.checked_mul(dilations[axis]));
        let last = padded.zip(reach).and_then(|(padded, reach)| padded.checked_sub(reach)?.checked_sub(1));
        let last = last.filter(|_| dilations[axis] > 0);
        let windows = last.and_then(|last| last.checked_div(strides[axis])).and_then(|n| n.checked_add(1));
        let windows =
            windows.ok_or_else(|| format!("no window of {weights} fits on spatial axis {axis} of {a}"))?;
        shape.push(windows);
    }
    Ok(TensorType::new(product_element(a.element), shape))
}

/// What a sum of products of an element type is.
fn product_element(operand: ElementType) -> ElementType {
    if operand == ElementType::I8 { ElementType::I32 } else { ElementType::F32 }
}

fn transpose(a: &TensorType, permutation: &[usize]) -> Result<TensorType, String> {
    let mut sorted = permutation.to_vec();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..a.shape.len()) {
        return Err(format!("{permutation:?} is not a permutation of the {} axes of {a}", a.shape.len()));
    }
    Ok(TensorType::new(a.element, permutation.iter().map(|&axis| a.shape[axis]).collect::<Vec<_>>()))
}

fn slice(a: &TensorType, axis: usize, start: usize, count: usize, step: usize) -> Result<TensorType, String> {
    let length = axis_length(a, axis)?;
    if step == 0 {
        return Err("a step of 0; steps are at least 1".to_owned());
    }
    let end = match count {
        0 => Some(start),
        _ => (count - 1).checked_mul(step).and_then(|n| n.checked_add(start)).and_then(|n| n.checked_add(1)),
    };
    if end.is_none_or(|end| end > length) {
        return Err(format!(
            "{count} elements from {start} in steps of {step} reach past the {length} of axis {axis} of {a}"
        ));
    }
    Ok(with_axis(a, axis, count))
}

fn concat(inputs: &[&TensorType], axis: usize) -> Result<TensorType, String> {
    let first = *inputs.first().ok_or("takes at least one input, not 0")?;
    axis_length(first, axis)?;
    let mut length = 0usize;
    for &input in inputs {
        same_element(first, input)?;
        let own = axis_length(input, axis)?;
        if with_axis(input, axis, 0) != with_axis(first, axis, 0) {
            return Err(format!("{first} and {input} differ elsewhere than on axis {axis}"));
        }
        length = length.checked_add(own).ok_or("the result's axis is too long")?;
    }
    Ok(with_axis(first, axis, length))
}

fn append(inputs: &[&TensorType], axis: usize) -> Result<TensorType, String> {
    let ([state, new, position] | [state, new, position, _]) = inputs else {
        return Err(format!("takes 3 inputs, not {}", inputs.len()));
    };
    // A state of eight bits rounds what it gets.
    if (state.element, new.element) != (ElementType::F8, ElementType::F32) {
        same_element(state, new)?;
    }
    let new = &TensorType::new(state.element, new.shape.clone());
    let capacity = axis_length(state, axis)?;
    let added = axis_length(new, axis)?;
    if with_axis(state, axis, 0) != with_axis(new, axis, 0) {
        return Err(format!("state {state} and new {new} differ elsewhere than on axis {axis}"));
    }
    if added > capacity {
        return Err(format!("new {new} is longer than state {state} on axis {axis}"));
    }
    if position.element != ElementType::I32 || !matches!(position.shape[..], [] | [1]) {
        return Err(format!("the position must be i32[] or i32[1], it is {position}"));
    }
    Ok((*state).clone())
}

fn element(ty: &TensorType, what: &str, allowed: &[ElementType]) -> Result<(), String> {
    if allowed.contains(&ty.element) {
        return Ok(());
    }
    let allowed: Vec<String> = allowed.iter().map(ElementType::to_string).collect();
    Err(format!("{what} must be {}, it is {ty}", allowed.join(" or ")))
}

fn same_element(a: &TensorType, b: &TensorType) -> Result<(), String> {
    if a.element == b.element {
        Ok(())
    } else {
        Err(format!("element types of {a} and {b} differ; cast one"))
    }
}

fn axis_length(ty: &TensorType, axis: usize) -> Result<usize, String> {
    ty.shape.get(axis).copied().ok_or_else(|| format!("axis {axis} does not exist in {ty}"))
}

fn with_axis(ty: &TensorType, axis: usize, length: usize) -> TensorType {
    let mut ty = ty.clone();
    ty.shape[axis] = length;
    ty
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ReduceOp;

    fn ty(shape: &[usize]) -> TensorType {
        TensorType::new(ElementType::F32, shape)
    }

    fn of(element: ElementType, shape: &[usize]) -> TensorType {
        TensorType::new(element, shape)
    }

    #[test]
    fn inferred() {
        let index = TensorType::new(ElementType::I32, [4, 1]);
        let truth = TensorType::new(ElementType::Bool, [3, 1]);
        let table: Vec<(Op, Vec<TensorType>, &str)> = vec![
            (Op::MatMul { transpose_b: false }, vec![ty(&[5, 1, 2, 3]), ty(&[4, 3, 7])], "f32[5, 4, 2, 7]"),
            (Op::MatMul { transpose_b: true }, vec![ty(&[2, 3]), ty(&[7, 3])], "f32[2, 7]"),
            (Op::Binary(BinaryOp::Less), vec![ty(&[2, 1]), ty(&[3])], "bool[2, 3]"),
            (Op::Select, vec![truth, ty(&[]), ty(&[2])], "f32[3, 2]"),
            (Op::Gather { axis: 1 }, vec![ty(&[2, 3, 5]), index], "f32[2, 4, 1, 5]"),
            (Op::Slice { axis: 0, start: 1, count: 3, step: 2 }, vec![ty(&[6])], "f32[3]"),
            (Op::Pad { axis: 0, before: 1, after: 2, value: 0 }, vec![ty(&[6])], "f32[9]"),
            (Op::Concat { axis: 1 }, vec![ty(&[2, 3]), ty(&[2, 0])], "f32[2, 3]"),
            (Op::Cast(ElementType::Bool), vec![ty(&[2])], "bool[2]"),
            (Op::Cast(ElementType::I8), vec![ty(&[2])], "i8[2]"),
            (Op::MatMul { transpose_b: true }, vec![of(ElementType::I8, &[2, 3]); 2], "i32[2, 2]"),
            (Op::MatMul { transpose_b: true }, vec![of(ElementType::F8, &[2, 3]); 2], "f32[2, 2]"),
            (Op::Concat { axis: 0 }, vec![of(ElementType::I8, &[2]); 2], "i8[4]"),
            (Op::Pad { axis: 0, before: 1, after: 2, value: 0 }, vec![of(ElementType::F8, &[6])], "f8[9]"),
        ];
        for (op, inputs, expected) in table {
            let result = infer(&op, &inputs.iter().collect::<Vec<_>>());
            assert_eq!(result.map(|ty| ty.to_string()), Ok(expected.to_owned()), "{op:?}");
        }
    }

    /// Nothing but products, casts and moves takes elements of eight bits.
    #[test]
    fn narrow_elements() {
        for element in [ElementType::I8, ElementType::F8] {
            let a = of(element, &[2, 2]);
            let truth = of(ElementType::Bool, &[2, 2]);
            let mut refused: Vec<(Op, Vec<&TensorType>)> = vec![
                (Op::Softmax { axis: 0 }, vec![&a]),
                (Op::Select, vec![&truth, &a, &a]),
                (Op::Select, vec![&a, &a, &a]),
            ];
            refused.extend(UnaryOp::ALL.map(|(op, _)| (Op::Unary(op), vec![&a])));
            refused.extend(BinaryOp::ALL.map(|(op, _)| (Op::Binary(op), vec![&a, &a])));
            refused.extend(ReduceOp::ALL.map(|(op, _)| (Op::Reduce { op, axis: 0 }, vec![&a])));
            for (op, inputs) in refused {
                let error = infer(&op, &inputs).unwrap_err();
                assert!(error.contains(&format!("it is {a}")), "{op:?}: {error}");
            }
        }
    }

    #[test]
    fn refused() {
        let table: Vec<(Op, Vec<TensorType>, &str)> = vec![
            (Op::Select, vec![ty(&[])], "select takes 3 inputs, not 1"),
            (Op::Concat { axis: 0 }, vec![], "concat: takes at least one input, not 0"),
            (
                Op::MatMul { transpose_b: false },
                vec![ty(&[2, 3]), ty(&[4, 5])],
                "matmul: f32[2, 3] has rows of 3, f32[4, 5] has columns of 4",
            ),
            (
                Op::Binary(BinaryOp::And),
                vec![ty(&[]), ty(&[])],
                "and: an input must be bool or i32, it is f32[]",
            ),
            (
                Op::Binary(BinaryOp::Add),
                vec![ty(&[2]), ty(&[3])],
                "add: shapes [2] and [3] do not broadcast: axis 0 of the result would be 2 and 3",
            ),
            (
                Op::Reshape { shape: vec![5] },
                vec![ty(&[2, 3])],
                "reshape: f32[2, 3] has 6 elements, shape [5] has 5",
            ),
            (
                Op::Reshape { shape: vec![usize::MAX, 0] },
                vec![ty(&[0])],
                "reshape: shape [18446744073709551615, 0] has too many elements",
            ),
            (
                Op::Slice { axis: 0, start: 2, count: usize::MAX, step: 3 },
                vec![ty(&[9])],
                "slice: 18446744073709551615 elements from 2 in steps of 3 reach past the 9 of axis 0 of f32[9]",
            ),
            (
                Op::Transpose { permutation: vec![0, 0] },
                vec![ty(&[1, 1])],
                "transpose: [0, 0] is not a permutation of the 2 axes of f32[1, 1]",
            ),
            (
                Op::Expand { shape: vec![2] },
                vec![ty(&[2, 2])],
                "expand: f32[2, 2] does not broadcast to shape [2]",
            ),
            (Op::Softmax { axis: 1 }, vec![ty(&[2])], "softmax: axis 1 does not exist in f32[2]"),
            (
                Op::MatMul { transpose_b: false },
                vec![ty(&[2, 2]), of(ElementType::I8, &[2, 2])],
                "matmul: element types of f32[2, 2] and i8[2, 2] differ; cast one",
            ),
            (
                Op::Pad { axis: 0, before: 1, after: 0, value: 1 },
                vec![of(ElementType::I8, &[2])],
                "pad: i8 is padded with zeros only, not 0x1",
            ),
        ];
        for (op, inputs, expected) in table {
            assert_eq!(infer(&op, &inputs.iter().collect::<Vec<_>>()), Err(expected.to_owned()), "{op:?}");
        }
    }
}

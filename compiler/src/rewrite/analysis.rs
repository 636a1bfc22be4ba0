//! What is known of every e-class: its type, whether it is constant, its value if that is one number, and where it came from.

use egg::{Analysis, DidMerge, EGraph, Id};

use super::history::Entry;
use super::language::Term;
use super::segment::Leaf;
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp, TensorType, UnaryOp, shape};

/// The e-graph of one segment.
pub(super) type Tensors = EGraph<Term, Facts>;

/// What every member of an e-class shares.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    /// Type of the tensor.
    pub(super) ty: TensorType,
    /// Known at compile time.
    pub(super) constant: bool,
    /// The value of every element, where that is known, constant and F32.
    pub(super) uniform: Option<f32>,
    /// See [`wide`].
    pub(super) wide: bool,
    /// The segment's term that this stands for, or that it was made to replace.
    pub(super) origin: u32,
}

/// The analysis, with what it consults.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// The segment's leaves.
    pub(super) leaves: Vec<Leaf>,
    /// Origin given to e-nodes that are made now.
    pub(super) origin: u32,
    /// Every operator's term, in the order in which they were added.
    pub(super) made: Vec<Entry>,
}

impl Analysis<Term> for Facts {
    type Data = Fact;

    fn make(egraph: &mut Tensors, term: &Term, _id: Id) -> Fact {
        let origin = egraph.analysis.origin;
        match term {
            Term::Leaf(index) => {
                let leaf = &egraph.analysis.leaves[*index as usize];
                let uniform = leaf.uniform.map(f32::from_bits);
                Fact {
                    ty: leaf.ty.clone(),
                    constant: leaf.constant,
                    uniform,
                    wide: leaf.wide,
                    origin: *index,
                }
            }
            Term::Scalar(bits) => Fact {
                ty: TensorType::new(ElementType::F32, []),
                constant: true,
                uniform: Some(f32::from_bits(*bits)),
                wide: false,
                origin,
            },
            Term::Apply(op, inputs) => {
                let facts: Vec<&Fact> = inputs.iter().map(|&id| &egraph[id].data).collect();
                let types: Vec<&TensorType> = facts.iter().map(|fact| &fact.ty).collect();
                // Whoever adds a term has inferred its type before; an error here is a bug of the rewriter.
                let ty = shape::infer(op, &types).expect("terms are checked before they are added");
                let constant = facts.iter().all(|fact| fact.constant);
                let uniform = if constant { uniform(op, &facts) } else { None };
                let wide = wide(op, facts.iter().map(|fact| (fact.ty.element, fact.wide)));
                Fact { ty, constant, uniform, wide, origin }
            }
        }
    }

    fn merge(&mut self, a: &mut Fact, b: Fact) -> DidMerge {
        debug_assert_eq!(a.ty, b.ty, "equal tensors have one type");
        let constant = a.constant || b.constant;
        let uniform = a.uniform.or(b.uniform);
        let wide = a.wide || b.wide;
        let origin = a.origin.min(b.origin);
        let changed = |fact: &Fact| {
            constant != fact.constant
                || uniform.is_some() != fact.uniform.is_some()
                || wide != fact.wide
                || origin != fact.origin
        };
        let changed = DidMerge(changed(a), changed(&b));
        (a.constant, a.uniform, a.wide, a.origin) = (constant, uniform, wide, origin);
        changed
    }

    fn modify(egraph: &mut Tensors, id: Id) {
        let fact = &egraph[id].data;
        if let Some(value) = fact.uniform
            && fact.ty.shape.is_empty()
        {
            let scalar = egraph.add(Term::Scalar(value.to_bits()));
            egraph.union(id, scalar);
        }
    }
}

/// Whether this is a sum over an axis, or whole numbers made real, with nothing done to it but scaling and moving: the sums of a mean
/// and those of bytes are beyond the range of binary16 until all of their scales have brought them back.
pub(super) fn wide(op: &Op, mut inputs: impl Iterator<Item = (ElementType, bool)>) -> bool {
    match op {
        Op::Reduce { op: ReduceOp::Sum, .. } => true,
        Op::Cast(ElementType::F32) => inputs.any(|(element, wide)| element == ElementType::I32 || wide),
        Op::Binary(BinaryOp::Mul | BinaryOp::Div)
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Expand { .. }
        | Op::Concat { .. } => inputs.any(|(_, wide)| wide),
        _ => false,
    }
}

/// Value of every element of a constant expression, where that is easy to say.
fn uniform(op: &Op, inputs: &[&Fact]) -> Option<f32> {
    let value = |i: usize| inputs[i].uniform;
    let result = match op {
        Op::Reshape { .. } | Op::Transpose { .. } | Op::Expand { .. } => value(0),
        Op::Unary(UnaryOp::Neg) => value(0).map(|a| -a),
        Op::Unary(UnaryOp::Recip) => value(0).map(|a| 1.0 / a),
        Op::Unary(UnaryOp::Sqrt) => value(0).map(f32::sqrt),
        Op::Unary(UnaryOp::Rsqrt) => value(0).map(|a| 1.0 / a.sqrt()),
        Op::Binary(op) => {
            let (a, b) = (value(0)?, value(1)?);
            match op {
                BinaryOp::Add => Some(a + b),
                BinaryOp::Sub => Some(a - b),
                BinaryOp::Mul => Some(a * b),
                BinaryOp::Div | BinaryOp::Quotient => Some(a / b),
                BinaryOp::Pow
                | BinaryOp::Max
                | BinaryOp::Min
                | BinaryOp::Mod
                | BinaryOp::Less
                | BinaryOp::LessEqual
                | BinaryOp::Equal
                | BinaryOp::And
                | BinaryOp::Or
                | BinaryOp::Xor
                | BinaryOp::ShiftLeft
                | BinaryOp::ShiftRight => None,
            }
        }
        _ => None,
    };
    result.filter(|value| value.is_finite())
}

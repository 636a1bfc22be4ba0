//! A place in the e-graph where a rule is tried: what the rule may read there, and how it adds what it knows to be equal.

use egg::Id;

use super::TERMS;
use super::analysis::Tensors;
use super::language::Term;
use crate::graph::{BinaryOp, ElementType, Op, ReduceOp, TensorType, UnaryOp, shape};

/// One e-node of one e-class, with the e-graph around it.
pub(super) struct Site<'a> {
    egraph: &'a mut Tensors,
    rule: &'static str,
    class: Id,
    op: Op,
    inputs: Vec<Id>,
    changed: bool,
}

impl<'a> Site<'a> {
    /// The site of an operator's e-node in a class, for a rule.
    pub(super) fn new(
        egraph: &'a mut Tensors,
        rule: &'static str,
        class: Id,
        op: Op,
        inputs: Vec<Id>,
    ) -> Self {
        egraph.analysis.origin = egraph[class].data.origin;
        Site { egraph, rule, class, op, inputs, changed: false }
    }

    /// Whether the rule found anything new.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    /// The e-node's operator.
    pub(super) fn op(&self) -> &Op {
        &self.op
    }

    /// The e-node's class.
    pub(super) fn class(&self) -> Id {
        self.class
    }

    /// The e-node's input `i`.
    pub(super) fn input(&self, i: usize) -> Id {
        self.inputs[i]
    }

    /// All inputs of the e-node.
    pub(super) fn inputs(&self) -> Vec<Id> {
        self.inputs.clone()
    }

    /// Type of a class.
    pub(super) fn ty(&self, id: Id) -> &TensorType {
        &self.egraph[id].data.ty
    }

    /// Shape of a class.
    pub(super) fn shape(&self, id: Id) -> Vec<usize> {
        self.ty(id).shape.clone()
    }

    /// Whether a class holds real numbers.
    pub(super) fn real(&self, id: Id) -> bool {
        self.ty(id).element == ElementType::F32
    }

    /// Whether a class is known at compile time.
    pub(super) fn constant(&self, id: Id) -> bool {
        self.egraph[id].data.constant
    }

    /// Whether a class is sums that lack scales, perhaps: beyond the range of binary16.
    pub(super) fn wide(&self, id: Id) -> bool {
        self.egraph[id].data.wide
    }

    /// The one value of all elements of a class, if known.
    pub(super) fn uniform(&self, id: Id) -> Option<f32> {
        self.egraph[id].data.uniform
    }

    /// Every operator of a class with its inputs, in the e-graph's order.
    pub(super) fn ops(&self, id: Id) -> Vec<(Op, Vec<Id>)> {
        let apply = |term: &Term| match term {
            Term::Apply(op, inputs) => Some((op.clone(), inputs.clone())),
            Term::Leaf(_) | Term::Scalar(_) => None,
        };
        self.egraph[id].nodes.iter().filter_map(apply).collect()
    }

    /// The operands of every `op` in a class.
    pub(super) fn unaries(&self, id: Id, op: UnaryOp) -> Vec<Id> {
        self.find(id, |other| *other == Op::Unary(op)).into_iter().map(|inputs| inputs[0]).collect()
    }

    /// The operands of every `op` in a class, and for commutative operators also exchanged.
    pub(super) fn binaries(&self, id: Id, op: BinaryOp) -> Vec<(Id, Id)> {
        let commutes = matches!(op, BinaryOp::Add | BinaryOp::Mul);
        let found = self.find(id, |other| *other == Op::Binary(op)).into_iter();
        found
            .flat_map(|inputs| {
                let (a, b) = (inputs[0], inputs[1]);
                if commutes && a != b { vec![(a, b), (b, a)] } else { vec![(a, b)] }
            })
            .collect()
    }

    /// The inputs of every operator in a class that `wanted` accepts.
    pub(super) fn find(&self, id: Id, wanted: impl Fn(&Op) -> bool) -> Vec<Vec<Id>> {
        self.ops(id).into_iter().filter(|(op, _)| wanted(op)).map(|(_, inputs)| inputs).collect()
    }

    /// A term; nothing where the operands do not fit the operator, or where the e-graph has no room for more terms.
    pub(super) fn add(&mut self, op: Op, inputs: &[Id]) -> Option<Id> {
        if self.egraph.total_size() >= TERMS {
            return None;
        }
        let types: Vec<&TensorType> = inputs.iter().map(|&id| &self.egraph[id].data.ty).collect();
        shape::infer(&op, &types).ok()?;
        let term = Term::Apply(op, inputs.to_vec());
        let before = self.egraph.total_size();
        let id = self.egraph.add(term.clone());
        if self.egraph.total_size() > before {
            let from = Term::Apply(self.op.clone(), self.inputs.clone());
            self.egraph.analysis.made.push((term, Some((self.rule, from))));
        }
        Some(id)
    }

    /// A scalar constant.
    pub(super) fn scalar(&mut self, value: f32) -> Id {
        self.egraph.add(Term::Scalar(value.to_bits()))
    }

    /// `op a`.
    pub(super) fn unary(&mut self, op: UnaryOp, a: Id) -> Option<Id> {
        self.add(Op::Unary(op), &[a])
    }

    /// `a op b`.
    pub(super) fn binary(&mut self, op: BinaryOp, a: Id, b: Id) -> Option<Id> {
        self.add(Op::Binary(op), &[a, b])
    }

    /// `a × b`.
    pub(super) fn mul(&mut self, a: Id, b: Id) -> Option<Id> {
        self.binary(BinaryOp::Mul, a, b)
    }

    /// The matrix product.
    pub(super) fn matmul(&mut self, a: Id, b: Id, transpose_b: bool) -> Option<Id> {
        self.add(Op::MatMul { transpose_b }, &[a, b])
    }

    /// A reduction.
    pub(super) fn reduce(&mut self, op: ReduceOp, a: Id, axis: usize) -> Option<Id> {
        self.add(Op::Reduce { op, axis }, &[a])
    }

    /// `a` in another shape; `a` itself where the shape is the same.
    pub(super) fn reshape(&mut self, a: Id, shape: Vec<usize>) -> Option<Id> {
        if self.ty(a).shape == shape { Some(a) } else { self.add(Op::Reshape { shape }, &[a]) }
    }

    /// `a` with its axes permuted; `a` itself where nothing moves.
    pub(super) fn transpose(&mut self, a: Id, permutation: Vec<usize>) -> Option<Id> {
        if permutation.iter().copied().eq(0..permutation.len()) {
            Some(a)
        } else {
            self.add(Op::Transpose { permutation }, &[a])
        }
    }

    /// Says that the e-node equals `other`. Not believed where the types differ, so that a rule may leave shapes to this check.
    pub(super) fn equal(&mut self, other: Option<Id>) {
        if let Some(other) = other
            && self.ty(self.class) == self.ty(other)
        {
            self.changed |= self.egraph.union(self.class, other);
        }
    }
}

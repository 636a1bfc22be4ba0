//! The tensor language as the e-graph sees it.

use std::mem::{Discriminant, discriminant};

use egg::{Id, Language};

use crate::graph::Op;

/// One e-node: an operator of the graph over e-classes, or a leaf.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Term {
    /// A tensor from outside the segment, by its index there.
    Leaf(u32),
    /// A binary32 scalar of rank 0, by its bits.
    Scalar(u32),
    /// An operator over its inputs. Never Input or Constant.
    Apply(Op, Vec<Id>),
}

/// What kind of e-node: the operator's variant without its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Family {
    /// A leaf.
    Leaf,
    /// A scalar.
    Scalar,
    /// An operator.
    Apply(Discriminant<Op>),
}

impl Family {
    /// The family of an operator.
    pub(super) fn of(op: &Op) -> Family {
        Family::Apply(discriminant(op))
    }
}

impl Language for Term {
    type Discriminant = Family;

    fn discriminant(&self) -> Family {
        match self {
            Term::Leaf(_) => Family::Leaf,
            Term::Scalar(_) => Family::Scalar,
            Term::Apply(op, _) => Family::of(op),
        }
    }

    fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Term::Leaf(a), Term::Leaf(b)) | (Term::Scalar(a), Term::Scalar(b)) => a == b,
            (Term::Apply(a, x), Term::Apply(b, y)) => a == b && x.len() == y.len(),
            (Term::Leaf(_) | Term::Scalar(_) | Term::Apply(..), _) => false,
        }
    }

    fn children(&self) -> &[Id] {
        match self {
            Term::Leaf(_) | Term::Scalar(_) => &[],
            Term::Apply(_, inputs) => inputs,
        }
    }

    fn children_mut(&mut self) -> &mut [Id] {
        match self {
            Term::Leaf(_) | Term::Scalar(_) => &mut [],
            Term::Apply(_, inputs) => inputs,
        }
    }
}

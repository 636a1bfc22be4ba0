//! The rules: each a function that looks at one e-node and says what else it equals.
//!
//! 1. A rule is stated in one line of algebra above its function, over real numbers; it may change rounding, not more.
//! 2. It builds terms through [`Site::add`], which refuses what does not fit, and leaves the comparison of types to
//!    [`Site::equal`]; what the types do not say it must check itself.
//! 3. It is directed, or its other direction cannot grow: there is no commutativity and no general associativity. Operands in
//!    either order are matched by [`Site::binaries`].
//! 4. The machine rounds operands of products to binary16, so a rule must keep them within 65504. Rows that a normalisation has
//!    not yet scaled are as large as the residual stream; weights with gains in them as large as the two together. Models
//!    that run in binary16 elsewhere stay far from the limit in both. A second product is never fed with
//!    unscaled sums, nor any with those of a mean or of whole numbers ([`Site::wide`]).

mod scale;
mod scalar;
mod layout;
mod softmax;
mod lanes;
mod heads;

use egg::{Applier, Id, SearchMatches, Searcher, Subst, Symbol, Var};

use super::analysis::{Facts, Tensors};
use super::language::{Family, Term};
use super::site::Site;
use super::{FORMS, TERMS};
use crate::graph::Op;

/// One rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Its name, unique.
    pub(super) name: &'static str,
    /// The group it is switched off with.
    pub(super) group: &'static str,
    /// Which operator's e-nodes it looks at (attributes and the kind of pointwise function do not matter).
    on: Op,
    apply: fn(&mut Site<'_>),
}

/// Names of the groups, for switching them off.
pub const GROUPS: [&str; 7] = ["heads", "merge", "lanes", "layout", "scalar", "scale", "softmax"];

/// All rules but those of the given groups.
pub(super) fn rules(disabled: &[String]) -> Vec<Rule> {
    let groups =
        [scale::rules(), scalar::rules(), layout::rules(), softmax::rules(), lanes::rules(), heads::rules()];
    let rules = groups.into_iter().flatten();
    rules.filter(|rule| !disabled.iter().any(|group| group == rule.group)).collect()
}

impl Rule {
    /// The rule in egg's form.
    pub(super) fn rewrite(self) -> egg::Rewrite<Term, Facts> {
        let family = Family::of(&self.on);
        egg::Rewrite::new(self.name, Sites(family), self).expect("a rule has no variables to be unbound")
    }
}

/// Finds the classes that have an e-node of a family.
struct Sites(Family);

impl Sites {
    fn matches(class: Id) -> SearchMatches<'static, Term> {
        SearchMatches { eclass: class, substs: vec![Subst::with_capacity(0)], ast: None }
    }
}

impl Searcher<Term, Facts> for Sites {
    fn search_eclass_with_limit(
        &self,
        tensors: &Tensors,
        class: Id,
        _limit: usize,
    ) -> Option<SearchMatches<'_, Term>> {
        let here = tensors[class].nodes.iter().any(|term| egg::Language::discriminant(term) == self.0);
        here.then(|| Sites::matches(class))
    }

    fn search_with_limit(&self, tensors: &Tensors, limit: usize) -> Vec<SearchMatches<'_, Term>> {
        let classes = tensors.classes_for_op(&self.0).into_iter().flatten();
        classes.take(limit).map(Sites::matches).collect()
    }

    fn vars(&self) -> Vec<Var> {
        Vec::new()
    }
}

impl Applier<Term, Facts> for Rule {
    fn apply_one(
        &self,
        tensors: &mut Tensors,
        class: Id,
        _subst: &Subst,
        _ast: Option<&egg::PatternAst<Term>>,
        _name: Symbol,
    ) -> Vec<Id> {
        // Rules look at pairs of forms, so that what is not bounded here takes time beyond all measure.
        if tensors.total_size() >= TERMS || tensors[class].len() >= FORMS {
            return Vec::new();
        }
        let family = Family::of(&self.on);
        let mut changed = Vec::new();
        for term in tensors[class].nodes.clone() {
            let Term::Apply(op, inputs) = term else { continue };
            if Family::of(&op) == family {
                let mut site = Site::new(tensors, self.name, class, op, inputs);
                (self.apply)(&mut site);
                if site.changed() {
                    changed.push(class);
                }
            }
        }
        changed
    }
}

/// An operator of each family that rules look at.
const MATMUL: Op = Op::MatMul { transpose_b: false };
const UNARY: Op = Op::Unary(crate::graph::UnaryOp::Neg);
const BINARY: Op = Op::Binary(crate::graph::BinaryOp::Add);
const REDUCE: Op = Op::Reduce { op: crate::graph::ReduceOp::Sum, axis: 0 };
const RESHAPE: Op = Op::Reshape { shape: Vec::new() };
const TRANSPOSE: Op = Op::Transpose { permutation: Vec::new() };
const SLICE: Op = Op::Slice { axis: 0, start: 0, count: 0, step: 1 };
const CONCAT: Op = Op::Concat { axis: 0 };
const EXPAND: Op = Op::Expand { shape: Vec::new() };
const SOFTMAX: Op = Op::Softmax { axis: 0 };

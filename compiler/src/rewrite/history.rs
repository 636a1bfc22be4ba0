//! Which rules made which terms.

use std::collections::BTreeMap;

use egg::Language;

use super::analysis::Tensors;
use super::language::Term;

/// A term as it was when it was added, with the rule that added it and the term that the rule looked at; none for the segment's own.
pub(super) type Entry = (Term, Option<(&'static str, Term)>);

/// The terms of a grown e-graph, with the first entry about each.
pub(super) struct History<'a> {
    tensors: &'a Tensors,
    first: BTreeMap<Term, usize>,
}

impl<'a> History<'a> {
    /// Of all terms in the order in which they were added. Terms that have become equal since are one, and the first counts.
    pub(super) fn new(tensors: &'a Tensors) -> History<'a> {
        let mut first = BTreeMap::new();
        for (index, (term, _)) in tensors.analysis.made.iter().enumerate() {
            first.entry(now(tensors, term)).or_insert(index);
        }
        History { tensors, first }
    }

    /// The rules that lead from the segment's own terms to this one, the last made it. The same rule twice running is told once.
    pub(super) fn rules(&self, term: &Term) -> Vec<&'static str> {
        let mut rules = Vec::new();
        let mut at = self.first.get(term);
        while let Some(&index) = at {
            let Some((rule, from)) = &self.tensors.analysis.made[index].1 else { break };
            rules.push(*rule);
            // What a rule looked at was there before what it added, so this comes to an end.
            at = self.first.get(&now(self.tensors, from)).filter(|&&earlier| earlier < index);
        }
        rules.reverse();
        rules.dedup();
        rules
    }
}

/// A term with its inputs as the e-graph names them now.
fn now(tensors: &Tensors, term: &Term) -> Term {
    term.clone().map_children(|input| tensors.find(input))
}

//! Nodes that cannot be imported, and the one error that tells of all of them.

use crate::diagnostic::{Diagnostic, Kind};
use std::collections::BTreeMap;

/// Nodes that an error names for each operator before it only counts the rest.
const MAX_NAMED: usize = 5;

/// What becomes of a node of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is computed on the chip.
    Supported,
    /// Its outputs are known beforehand.
    Folded,
    /// It cannot be compiled: why not. Empty where the operator as such is not understood.
    Refused(String),
    /// It could be, but what it reads is made by a node that cannot.
    Waiting,
}

/// A node of a model, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its operator, with the domain where that is not ONNX's own.
    pub operator: String,
    /// Its name; one inside others has theirs in front.
    pub node: String,
    /// What becomes of it.
    pub state: State,
}

/// One error for all problems, by operator.
pub(super) fn report(nodes: &[Checked]) -> Diagnostic {
    let mut groups: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for checked in nodes {
        if let State::Refused(reason) = &checked.state {
            groups.entry((&checked.operator, reason)).or_default().push(&checked.node);
        }
    }
    let count = groups.values().map(Vec::len).sum();
    let nodes = |n: usize| if n == 1 { "1 node".to_owned() } else { format!("{n} nodes") };
    let mut error = Diagnostic::new(
        Kind::Unsupported,
        "unsupported-operator",
        format!("{} of the model cannot be compiled", nodes(count)),
    );
    for ((operator, reason), names) in groups {
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let mut named: Vec<String> = names.iter().take(MAX_NAMED).map(|name| format!("`{name}`")).collect();
        if names.len() > MAX_NAMED {
            named.push(format!("and {} more", names.len() - MAX_NAMED));
        }
        error = error.note(format!("{operator} ({}){why}: {}", nodes(names.len()), named.join(", ")));
    }
    error
}

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
    /// What it reads of what others compute on the chip: where the model could end before it.
    pub reads: Vec<String>,
}

/// One error for all nodes that cannot be compiled, by operator; nothing where all can. `outputs`: those of the model that could be computed.
pub(super) fn report(nodes: &[Checked], outputs: &[&str]) -> Option<Diagnostic> {
    let mut groups: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for checked in nodes {
        if let State::Refused(reason) = &checked.state {
            groups.entry((&checked.operator, reason)).or_default().push(&checked.node);
        }
    }
    if groups.is_empty() {
        return None;
    }
    let count = groups.values().map(Vec::len).sum();
    let counted = |n: usize| if n == 1 { "1 node".to_owned() } else { format!("{n} nodes") };
    let mut error = Diagnostic::new(
        Kind::Unsupported,
        "unsupported-operator",
        format!("{} of the model cannot be compiled", counted(count)),
    );
    for ((operator, reason), names) in groups {
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let mut named: Vec<String> = names.iter().take(MAX_NAMED).map(|name| format!("`{name}`")).collect();
        if names.len() > MAX_NAMED {
            named.push(format!("and {} more", names.len() - MAX_NAMED));
        }
        error = error.note(format!("{operator} ({}){why}: {}", counted(names.len()), named.join(", ")));
    }
    let refused = nodes.iter().filter(|node| matches!(node.state, State::Refused(_)));
    let mut before: Vec<&str> = refused.flat_map(|node| &node.reads).map(String::as_str).collect();
    if !before.is_empty() {
        before.extend(outputs);
        before.sort_unstable();
        before.dedup();
        error = error.note(format!("to compile what comes before: --outputs-at {}", before.join(",")));
    }
    Some(error)
}

//! Nodes that cannot be imported, and the one error that tells of all of them.

use crate::diagnostic::{Diagnostic, Kind};
use std::collections::BTreeMap;

/// Nodes that an error names for each operator before it only counts the rest.
const MAX_NAMED: usize = 5;

/// A node that is not supported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// With its domain, where that is not ONNX's own.
    pub(super) operator: String,
    pub(super) node: String,
    /// Empty where the operator as such is not supported.
    pub(super) reason: String,
}

/// One error for all problems, by operator.
pub(super) fn report(problems: &[Problem]) -> Diagnostic {
    let mut groups: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for problem in problems {
        groups.entry((&problem.operator, &problem.reason)).or_default().push(&problem.node);
    }
    let nodes = |n: usize| if n == 1 { "1 node".to_owned() } else { format!("{n} nodes") };
    let mut error = Diagnostic::new(
        Kind::Unsupported,
        "unsupported-operator",
        format!("{} of the model cannot be compiled", nodes(problems.len())),
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

//! `lpuc check`: what becomes of each node of a model, without compiling it.

use std::collections::BTreeMap;
use std::fmt::Write;

use compiler::diagnostic::Diagnostic;
use compiler::graph::import::{self, Checked, NodeState};
use compiler::lower::legalize;
use compiler::onnx;
use serde_json::{Value, json};

use crate::cli::Subject;
use crate::failure::{Failure, UNSUPPORTED};
use crate::report::json::SCHEMA;
use crate::{Console, chips, model, print};

/// Nodes of an operator, by what becomes of them.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    supported: usize,
    folded: usize,
    refused: usize,
    waiting: usize,
}

impl Tally {
    fn add(&mut self, state: &NodeState) {
        *match state {
            NodeState::Supported => &mut self.supported,
            NodeState::Folded => &mut self.folded,
            NodeState::Refused(_) => &mut self.refused,
            NodeState::Waiting => &mut self.waiting,
        } += 1;
    }
}

/// Checks a model; exit code 3 where something cannot be compiled.
pub(crate) fn run(subject: &Subject, console: &mut Console<'_>) -> Result<(), Failure> {
    let path = &subject.model;
    let arrays = model::arrays(subject)?;
    let model = model::decoded(subject)?;
    let bindings = model::bindings(subject, arrays.as_deref());
    let failed = |error| Failure::from(error).about(path);
    let (nodes, mut refusals) = import::check(&model, &bindings).map_err(failed)?;
    if refusals.is_none() {
        let chip = chips::load(&subject.chip)?;
        let graph = import::import(&model, &bindings).map_err(failed)?.graph;
        refusals = legalize::legalize(graph, subject.precision.into(), &chip).err();
    }
    let text = if subject.json {
        format!("{:#}\n", json_of(subject, &model, &nodes, refusals.as_ref()))
    } else {
        text_of(subject, &model, &nodes, refusals.as_ref())
    };
    print(console, &text)?;
    match refusals {
        Some(error) => Err(Failure { code: UNSUPPORTED, text: format!("{}: {error}", path.display()) }),
        None => Ok(()),
    }
}

fn by_operator(nodes: &[Checked]) -> BTreeMap<&str, Tally> {
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for node in nodes {
        tallies.entry(&node.operator).or_default().add(&node.state);
    }
    tallies
}

fn text_of(
    subject: &Subject,
    model: &onnx::Model,
    nodes: &[Checked],
    refusals: Option<&Diagnostic>,
) -> String {
    let tallies = by_operator(nodes);
    let mut out = format!(
        "{}: version {} of the operator set, {} nodes of {} operators\n\n",
        subject.model.display(),
        model.opset,
        nodes.len(),
        tallies.len()
    );
    let width = tallies.keys().map(|name| name.len()).max().unwrap_or(0).max("operator".len());
    let _ = writeln!(out, "{:<width$}  on the chip  known before  refused  waiting", "operator");
    let count = |n: usize| if n == 0 { "-".to_owned() } else { n.to_string() };
    let mut row = |name: &str, tally: &Tally| {
        let Tally { supported, folded, refused, waiting } = *tally;
        let _ = writeln!(
            out,
            "{name:<width$}  {:>11}  {:>12}  {:>7}  {:>7}",
            count(supported),
            count(folded),
            count(refused),
            count(waiting)
        );
    };
    tallies.iter().for_each(|(name, tally)| row(name, tally));
    let mut all = Tally::default();
    nodes.iter().for_each(|node| all.add(&node.state));
    row("together", &all);
    if refusals.is_none() {
        out += "\nall of it can be lowered; whether it fits, `lpuc` says\n";
    }
    out
}

fn json_of(
    subject: &Subject,
    model: &onnx::Model,
    nodes: &[Checked],
    refusals: Option<&Diagnostic>,
) -> Value {
    let operators: Vec<Value> = by_operator(nodes)
        .iter()
        .map(|(name, tally)| {
            let Tally { supported, folded, refused, waiting } = tally;
            json!({"operator": name, "supported": supported, "folded": folded, "refused": refused, "waiting": waiting})
        })
        .collect();
    let each = |node: &Checked| {
        let (state, reason) = match &node.state {
            NodeState::Supported => ("supported", None),
            NodeState::Folded => ("folded", None),
            NodeState::Refused(reason) if reason.is_empty() => ("refused", Some("not supported yet")),
            NodeState::Refused(reason) => ("refused", Some(reason.as_str())),
            NodeState::Waiting => ("waiting", None),
        };
        json!({"node": node.node, "operator": node.operator, "state": state, "reason": reason})
    };
    json!({
        "schema": SCHEMA,
        "model": subject.model.display().to_string(),
        "opset": model.opset,
        "operators": operators,
        "nodes": nodes.iter().map(each).collect::<Vec<_>>(),
        "error": refusals.map(|error| json!({"code": error.code, "message": error.message, "notes": error.notes})),
    })
}

//! A model that ends earlier: other outputs, and only the nodes that they need.

use super::Model;
use super::proto::{GraphProto, NodeProto, ValueInfoProto};
use crate::diagnostic::{Diagnostic, Kind};
use std::collections::{BTreeMap, BTreeSet};

/// Names that an error proposes.
const MAX_PROPOSED: usize = 5;

/// Makes these values the model's outputs; a node's name stands for all that it makes. What they do not need goes.
///
/// # Errors
///
/// Kind Input: `unknown-output`, with all names that nothing in the model has.
pub fn cut(model: &mut Model, names: &[String]) -> Result<(), Diagnostic> {
    let graph = &model.graph;
    let made: BTreeSet<&str> = graph.node.iter().flat_map(outputs).collect();
    let mut wanted: Vec<&str> = Vec::new();
    let mut unknown = Vec::new();
    for name in names {
        let found: Vec<&str> = match made.get(name.as_str()) {
            Some(value) => vec![value],
            None => graph.node.iter().filter(|node| node.name() == name).flat_map(outputs).collect(),
        };
        match found[..] {
            [] => unknown.push(name),
            _ => wanted.extend(found.iter().filter(|found| !wanted.contains(found)).collect::<Vec<_>>()),
        }
    }
    if !unknown.is_empty() {
        return Err(unknown_output(&made, &unknown));
    }
    let declared =
        |name: &str| graph.output.iter().chain(&graph.value_info).find(|value| value.name() == name);
    let output = |&name: &&str| {
        declared(name)
            .cloned()
            .unwrap_or(ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() })
    };
    model.graph.output = wanted.iter().map(output).collect();
    drop_unneeded(&mut model.graph);
    Ok(())
}

fn unknown_output(made: &BTreeSet<&str>, unknown: &[&String]) -> Diagnostic {
    let mut error = Diagnostic::new(
        Kind::Input,
        "unknown-output",
        format!("{} name(s) of --outputs-at are of no node and no value of the model", unknown.len()),
    );
    for name in unknown {
        let lower = name.to_lowercase();
        let alike = made.iter().filter(|own| own.to_lowercase().contains(&lower)).take(MAX_PROPOSED);
        let alike: Vec<String> = alike.map(|own| format!("`{own}`")).collect();
        let hint = if alike.is_empty() { String::new() } else { format!("; there is {}", alike.join(", ")) };
        error = error.note(format!("`{name}`{hint}"));
    }
    error
}

fn outputs(node: &NodeProto) -> impl Iterator<Item = &str> {
    node.output.iter().map(String::as_str).filter(|output| !output.is_empty())
}

/// Leaves only the nodes that the outputs need.
pub(super) fn drop_unneeded(graph: &mut GraphProto) {
    let makers: BTreeMap<&str, usize> = (graph.node.iter().enumerate())
        .flat_map(|(place, node)| outputs(node).map(move |output| (output, place)))
        .collect();
    let mut needed = vec![false; graph.node.len()];
    let mut work: Vec<&str> = graph.output.iter().map(ValueInfoProto::name).collect();
    while let Some(name) = work.pop() {
        if let Some(&place) = makers.get(name)
            && !std::mem::replace(&mut needed[place], true)
        {
            reads(&graph.node[place], &mut work);
        }
    }
    let mut needed = needed.into_iter();
    graph.node.retain(|_| needed.next().unwrap_or(true));
}

/// Adds the names that a node reads, those in its bodies included.
fn reads<'n>(node: &'n NodeProto, names: &mut Vec<&'n str>) {
    names.extend(node.input.iter().map(String::as_str));
    for graph in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
        names.extend(graph.output.iter().map(ValueInfoProto::name));
        graph.node.iter().for_each(|inner| reads(inner, names));
    }
}

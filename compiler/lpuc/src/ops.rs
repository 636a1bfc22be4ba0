//! `lpuc ops`: the operators that are understood.

use std::fmt::Write;

use compiler::graph::import::{Operator, operators};
use compiler::onnx::OPSETS;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::report::json::SCHEMA;
use crate::{Console, print};

/// Lists all operators.
pub(crate) fn run(as_json: bool, console: &mut Console<'_>) -> Result<(), Failure> {
    let all = operators();
    let text = if as_json { format!("{:#}\n", json_of(&all)) } else { text_of(&all) };
    print(console, &text)
}

fn name(operator: &Operator) -> String {
    match operator.domain {
        "" => operator.name.to_owned(),
        domain => format!("{domain}:{}", operator.name),
    }
}

fn text_of(all: &[Operator]) -> String {
    let own = all.iter().filter(|operator| operator.domain.is_empty());
    let (count, understood) =
        (own.clone().count(), own.filter(|operator| operator.versions.is_some()).count());
    let mut out = format!(
        "{understood} of the {count} operators of ONNX are understood, in versions {} to {} of the operator set\n\n",
        OPSETS.start(),
        OPSETS.end()
    );
    let width = all.iter().map(|operator| name(operator).len()).max().unwrap_or(0);
    for operator in all {
        let state = match (&operator.versions, operator.reason) {
            (Some(versions), _) => format!("{} to {}", versions.start(), versions.end()),
            (None, reason) => format!("no: {}", reason.unwrap_or_default()),
        };
        let _ = writeln!(out, "{:<width$}  {state}", name(operator));
    }
    out
}

fn json_of(all: &[Operator]) -> Value {
    let each = |operator: &Operator| {
        let versions = operator.versions.as_ref().map(|versions| [*versions.start(), *versions.end()]);
        json!({"operator": operator.name, "domain": operator.domain, "versions": versions, "reason": operator.reason})
    };
    json!({"schema": SCHEMA, "operators": all.iter().map(each).collect::<Vec<_>>()})
}

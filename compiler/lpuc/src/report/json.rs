//! The report for programs: one JSON object. The schema is described in the book, chapter *Command line*.

use serde_json::{Map, Value, json};

use compiler::summary::{NodeCycles, SliceBytes};

use super::Report;

/// Version of the schema: grows when a key changes its meaning or goes away.
pub(crate) const SCHEMA: u32 = 1;

/// The report as one object; its keys stand in the order of the book.
pub(crate) fn value(report: &Report) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("schema", json!(SCHEMA));
    put("model", json!(report.model));
    put("chip", json!(report.chip));
    put("chips", json!(1));
    put("system", Value::Null);
    put("batch", json!(report.batch));
    put("context", json!(report.context));
    put("precision", json!(report.precision));
    put("kv", json!(report.kv));
    put("rewritten", json!(report.rewritten));
    put("without_rules", json!(report.without_rules));
    let (cycles, latency_us, rate) = (report.simulated_cycles, report.latency_us(), report.runs_per_second());
    if report.decoder {
        let step = json!({
            "cycles": cycles,
            "latency_us": latency_us,
            "tokens_per_second_per_user": rate,
            "tokens_per_second": rate * report.batch as f64,
        });
        put("decode", step);
    } else {
        let inferences = rate * report.batch as f64;
        put(
            "inference",
            json!({ "cycles": cycles, "latency_us": latency_us, "inferences_per_second": inferences }),
        );
    }
    let summary = &report.summary;
    put("bound", bound(report));
    let sram = json!({
        "capacity_bytes": summary.capacity_bytes,
        "weights_bytes": summary.weights_bytes,
        "kv_bytes": summary.kv_bytes,
        "activation_bytes": summary.activation_bytes,
        "instruction_bytes": summary.instruction_bytes,
        "instruction_pages": summary.instruction_pages,
        "peak_fraction": report.peak_fraction(),
        "slices": summary.slices.iter().map(slice).collect::<Vec<_>>(),
    });
    put("sram", sram);
    put("units", report.units.iter().map(|(kind, fraction)| (kind.to_string(), json!(fraction))).collect());
    put("nodes", nodes(report));
    put("distinct_programs", json!(1));
    put("instructions", json!(report.instructions));
    put("runs", json!(report.runs));
    put("schedule_hash", json!(report.schedule_hash));
    put("predicted_cycles", json!(report.predicted_cycles));
    put("simulated_cycles", json!(report.simulated_cycles));
    if let Some(generated) = &report.generated {
        let text = generated.text.as_ref().map(|(_, text)| text);
        let steps = generated.steps;
        let ids = (&generated.prompt_ids, &generated.token_ids);
        put("generated", json!({ "prompt_ids": ids.0, "token_ids": ids.1, "text": text, "steps": steps }));
    }
    put("tool_seconds", report.tool.json());
    Value::Object(object)
}

/// The lower bound: each candidate, and what lies on the longest path.
fn bound(report: &Report) -> Value {
    let bound = &report.summary.bound;
    let candidates = bound.candidates.iter();
    let candidates = candidates.map(|it| json!({ "limiter": it.limiter.name(), "cycles": it.cycles }));
    let path = bound.path.iter().map(|(name, cycles)| json!({ "name": name, "cycles": cycles }));
    json!({
        "cycles": bound.cycles,
        "limiter": bound.limiter.name(),
        "ratio": report.bound_ratio(),
        "candidates": candidates.collect::<Value>(),
        "path": path.collect::<Value>(),
    })
}

/// Model nodes with the cycles that they had and those that they need.
fn nodes(report: &Report) -> Value {
    let node = |node: &NodeCycles| {
        json!({
            "name": node.name,
            "cycles": node.cycles,
            "bound_cycles": node.bound_cycles,
            "bound_limiter": node.bound_limiter.name(),
        })
    };
    report.summary.nodes.iter().map(node).collect()
}

/// What a MEM slice holds.
fn slice(slice: &SliceBytes) -> Value {
    json!({
        "slice": isa::place::Slice::Mem(slice.hemisphere, slice.slice).to_string(),
        "weights_bytes": slice.weights_bytes,
        "kv_bytes": slice.kv_bytes,
        "activation_bytes": slice.activation_bytes,
        "text_bytes": slice.text_bytes,
    })
}

#[cfg(test)]
mod tests {
    use crate::report::sample;

    #[test]
    fn keys_and_their_order_are_pinned() {
        let mut report = sample();
        report.summary.nodes.truncate(1);
        insta::assert_snapshot!(serde_json::to_string_pretty(&super::value(&report)).expect("plain values"));
    }
}

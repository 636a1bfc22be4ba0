//! The report for people: one screen.

use std::fmt::Write;

use compiler::summary::SliceBytes;

use super::Report;

/// Nodes listed.
const NODES: usize = 10;
/// Columns that a node's name may take.
const NAME_COLUMNS: usize = 48;
/// Columns of a full bar.
const BAR_COLUMNS: f64 = 40.0;

/// At most 40 lines of at most 100 columns (generated text aside).
pub(crate) fn print(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_generated(&mut out, report)
        .and_then(|()| write_time(&mut out, report))
        .and_then(|()| write_sram(&mut out, report))
        .and_then(|()| write_busy(&mut out, report))
        .and_then(|()| write_nodes(&mut out, report))
        .and_then(|()| write_program(&mut out, report));
    out.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn write_generated(out: &mut String, report: &Report) -> std::fmt::Result {
    let Some(generated) = &report.generated else { return Ok(()) };
    let list = |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    writeln!(out, "prompt ids     {}", list(&generated.prompt_ids))?;
    writeln!(out, "generated ids  {}", list(&generated.token_ids))?;
    if let Some((prompt, text)) = &generated.text {
        writeln!(out, "text           {prompt}|{text}")?;
    }
    writeln!(out)
}

fn write_time(out: &mut String, report: &Report) -> std::fmt::Result {
    let rewriting = match report.without_rules.as_slice() {
        _ if !report.rewritten => ", not rewritten".to_owned(),
        [] => String::new(),
        groups => format!(", without the rules {}", groups.join(" ")),
    };
    let context = report.context.map_or(String::new(), |context| format!(", context {context}"));
    let Report { model, chip, batch, precision, .. } = report;
    writeln!(out, "{model} on one {chip}: fits. batch {batch}{context}, {precision}{rewriting}")?;
    writeln!(out)?;
    let (what, rate) =
        if report.decoder { ("decode step", "tokens/s per user") } else { ("inference", "inferences/s") };
    writeln!(
        out,
        "{what:<14}{:>14} cycles {:>14} us {:>12} {rate}",
        grouped(report.simulated_cycles),
        format!("{:.3}", report.latency_us()),
        grouped(report.runs_per_second().round() as u64)
    )?;
    let summary = &report.summary;
    writeln!(
        out,
        "{:<14}{:>14} cycles, ratio {:.2}, limited by {}",
        "lower bound",
        grouped(summary.bound.cycles),
        report.bound_ratio(),
        summary.bound.limiter.name()
    )?;
    writeln!(
        out,
        "{:<14}{:>14} cycles, equal to the simulated",
        "predicted",
        grouped(report.predicted_cycles)
    )?;
    writeln!(out)
}

fn write_sram(out: &mut String, report: &Report) -> std::fmt::Result {
    let summary = &report.summary;
    let capacity = summary.capacity_bytes.max(1) as f64;
    let kinds = [
        ("weights", summary.weights_bytes),
        ("KV cache", summary.kv_bytes),
        ("activations", summary.activation_bytes),
        ("instructions", summary.instruction_bytes),
        ("in all", report.peak_bytes()),
    ];
    writeln!(out, "SRAM, of {} bytes", grouped(summary.capacity_bytes))?;
    for (kind, bytes) in kinds {
        let fraction = bytes as f64 / capacity;
        writeln!(
            out,
            "  {kind:<14}{:>14} bytes {:>6.2} %  {}",
            grouped(bytes),
            fraction * 100.0,
            bar(fraction)
        )?;
    }
    write_slices(out, report)?;
    writeln!(out)
}

/// How full each MEM slice is, a character each, from the VXM outward.
fn write_slices(out: &mut String, report: &Report) -> std::fmt::Result {
    let slices = &report.summary.slices;
    let each = (report.summary.capacity_bytes / slices.len().max(1) as u64).max(1) as f64;
    for half in slices.chunk_by(|one, other| one.hemisphere == other.hemisphere) {
        let levels = half.iter().map(|slice| level(slice.bytes() as f64 / each)).collect::<String>();
        let fullest = half.iter().map(SliceBytes::bytes).max().unwrap_or(0) as f64 / each * 100.0;
        writeln!(out, "  {} [{levels}] {fullest:.0} %", half[0].hemisphere)?;
    }
    Ok(())
}

/// A block as high as a fraction.
fn level(fraction: f64) -> char {
    const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    // What is there is seen.
    LEVELS[((fraction * 8.0).ceil().max(0.0) as usize).min(8)]
}

fn write_busy(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "busy")?;
    for (kind, fraction) in &report.units {
        writeln!(out, "  {:<28}{:>12.2} %  {}", kind.to_uppercase(), fraction * 100.0, bar(*fraction))?;
    }
    writeln!(out)
}

fn write_nodes(out: &mut String, report: &Report) -> std::fmt::Result {
    let title = "costliest nodes (cycles with work under way; nodes overlap)";
    writeln!(out, "{title:<76} alone at least")?;
    for node in report.summary.nodes.iter().take(NODES) {
        let share = node.cycles as f64 / report.simulated_cycles.max(1) as f64 * 100.0;
        let (name, cycles) = (shortened(&node.name), grouped(node.cycles));
        let (bound, limiter) = (grouped(node.bound_cycles), node.bound_limiter.short());
        writeln!(out, "  {name:<NAME_COLUMNS$}{cycles:>14} {share:>7.1} % {bound:>12} {limiter}")?;
    }
    writeln!(out)
}

fn write_program(out: &mut String, report: &Report) -> std::fmt::Result {
    let tool = &report.tool;
    let speed = if tool.simulate > 0.0 { tool.simulated_cycles as f64 / tool.simulate } else { 0.0 };
    let hash = report.schedule_hash.get(..16).unwrap_or(&report.schedule_hash);
    writeln!(
        out,
        "program {hash}: {} instructions in {} runs",
        grouped(report.instructions),
        grouped(report.runs)
    )?;
    writeln!(
        out,
        "tool: {:.2} s, of which simulating {:.2} s at {} cycles/s",
        tool.total,
        tool.simulate,
        grouped(speed.round() as u64)
    )
}

/// Digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(super) fn bar(fraction: f64) -> String {
    "#".repeat((fraction.clamp(0.0, 1.0) * BAR_COLUMNS).round() as usize)
}

/// A long name keeps its end, which tells nodes apart.
fn shortened(name: &str) -> String {
    let length = name.chars().count();
    if length < NAME_COLUMNS {
        return name.to_owned();
    }
    let tail: String = name.chars().skip(length - (NAME_COLUMNS - 4)).collect();
    format!("...{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Generated, sample};

    #[test]
    fn the_report_fits_one_screen() {
        let mut report = sample();
        report.summary.nodes[0].name = "/a_very_long_prefix".repeat(7) + "/MatMul";
        let text = print(&report);
        insta::assert_snapshot!(text);
        report.generated = Some(Generated {
            prompt_ids: vec![1, 2],
            token_ids: vec![3],
            text: Some(("ab".to_owned(), "c".to_owned())),
            logits: Vec::new(),
            steps: 2,
        });
        let text = print(&report);
        assert!(text.starts_with("prompt ids     1,2\ngenerated ids  3\ntext           ab|c\n\n"), "{text}");
        assert!(text.lines().count() <= 40, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}

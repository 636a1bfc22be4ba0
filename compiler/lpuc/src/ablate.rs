//! Ablation: what each group of rewrite rules is worth on a model, in simulated cycles.

use std::fmt::Write;

use compiler::Options;
use compiler::links::Links;
use compiler::rewrite::{GROUPS, RewriteOptions};
use isa::Chip;
use serde_json::{Value, json};
use simulator::{Engine, Machine};

use crate::cli::Subject;
use crate::failure::Failure;
use crate::model::{self, Loaded};
use crate::progress::Progress;
use crate::report::json::SCHEMA;
use crate::report::text::grouped;
use crate::{Console, chips, job, print};

/// One program for the model.
#[derive(Clone, Copy, Debug)]
struct Timing {
    cycles: u64,
    bound_cycles: u64,
}

/// What was measured. A way to do without rules may end in a program that does not fit: it has no timing.
struct Ablation {
    all: Timing,
    none: Option<Timing>,
    without: Vec<(&'static str, Option<Timing>)>,
}

/// Compiles and simulates the model with all rules, with none, and without each group.
pub(crate) fn run(subject: &Subject, console: &mut Console<'_>) -> Result<(), Failure> {
    job::supported(subject)?;
    let chip = chips::load(&subject.chip)?;
    let arrays = model::arrays(subject)?;
    let loaded = model::load(subject, arrays.as_deref())?;
    job::tell(&loaded.notes, console);
    let progress = Progress::new(console.progress);
    let time = |disabled: Option<&[&str]>| {
        let rewrite = disabled.map(|groups| RewriteOptions {
            disabled: groups.iter().map(|&group| group.to_owned()).collect(),
        });
        timing(
            &loaded,
            &chip,
            &Options {
                precision: subject.precision.into(),
                rewrite,
                links: Links::default(),
                caches: subject.kv.into(),
                dense: false,
            },
        )
    };
    progress.stage("with all rules");
    let all = time(Some(&[]))?;
    progress.stage("without rules");
    let none = if_it_fits(time(None))?;
    let without = GROUPS.iter().map(|&group| {
        progress.stage(format!("without {group}"));
        Ok((group, if_it_fits(time(Some(&[group])))?))
    });
    let ablation = Ablation { all, none, without: without.collect::<Result<_, Failure>>()? };
    drop(progress);
    let text = if subject.json {
        format!("{:#}\n", ablation.json(subject, &chip, &loaded))
    } else {
        ablation.table(subject, &chip, &loaded)
    };
    print(console, &text)
}

fn timing(loaded: &Loaded, chip: &Chip, options: &Options) -> Result<Timing, Failure> {
    let compiled = compiler::compile(loaded.graph.clone(), chip, options, &mut |_, _| ())?;
    let mut machine = Machine::load(Engine::Fast, chip, &compiled.program).map_err(job::refused)?;
    let cycles = machine.time().map_err(|fault| job::fault_of(&fault))?.cycles;
    job::as_predicted(&compiled, cycles)?;
    Ok(Timing { cycles, bound_cycles: compiled.summary.bound.cycles })
}

/// Without some rules a model may not fit any more, or hold what is not supported; that is a result here.
fn if_it_fits(timing: Result<Timing, Failure>) -> Result<Option<Timing>, Failure> {
    match timing {
        Ok(timing) => Ok(Some(timing)),
        Err(failure) if failure.code == 3 => Ok(None),
        Err(failure) => Err(failure),
    }
}

impl Ablation {
    /// Cycles that rules save: those of the program without them, less those of the program with all.
    fn gain(&self, without: Timing) -> (i64, f64) {
        let gain = without.cycles as i64 - self.all.cycles as i64;
        (gain, gain as f64 / without.cycles.max(1) as f64)
    }

    fn table(&self, subject: &Subject, chip: &Chip, loaded: &Loaded) -> String {
        let context = loaded.context.map_or(String::new(), |context| format!(", context {context}"));
        let mut out = format!(
            "{} on one {}: batch {}{context}, {}\n\n{:<18}{:>14} {:>14} {:>14} {:>9}\n",
            subject.name(),
            chip.name,
            loaded.batch,
            subject.precision.name(),
            "rules",
            "bound",
            "cycles",
            "gain of rules",
            ""
        );
        let rows = self.without.iter().map(|(group, timing)| (format!("without {group}"), *timing));
        for (name, timing) in [("none".to_owned(), self.none)].into_iter().chain(rows) {
            // Writing to a string does not fail.
            let _ = match timing {
                Some(timing) => {
                    let (bound, cycles) = (grouped(timing.bound_cycles), grouped(timing.cycles));
                    let (gain, fraction) = self.gain(timing);
                    let gain = format!("{}{}", if gain < 0 { "-" } else { "" }, grouped(gain.unsigned_abs()));
                    writeln!(out, "{name:<18}{bound:>14} {cycles:>14} {gain:>14} {:>7.2} %", fraction * 100.0)
                }
                None => writeln!(out, "{name:<18}{:>14} {:>14}", "-", "does not fit"),
            };
        }
        let (bound, cycles) = (grouped(self.all.bound_cycles), grouped(self.all.cycles));
        out + &format!("{:<18}{bound:>14} {cycles:>14}\n", "all")
    }

    fn json(&self, subject: &Subject, chip: &Chip, loaded: &Loaded) -> Value {
        let timing = |timing: Timing| {
            let (gain, fraction) = self.gain(timing);
            json!({
                "cycles": timing.cycles,
                "bound_cycles": timing.bound_cycles,
                "gain_cycles": gain,
                "gain_fraction": fraction,
            })
        };
        let without =
            self.without.iter().map(|(group, without)| ((*group).to_owned(), json!(without.map(timing))));
        json!({
            "schema": SCHEMA,
            "model": subject.name(),
            "chip": chip.name,
            "batch": loaded.batch,
            "context": loaded.context,
            "precision": subject.precision.name(),
            "all": { "cycles": self.all.cycles, "bound_cycles": self.all.bound_cycles },
            "none": self.none.map(timing),
            "without": without.collect::<serde_json::Map<_, _>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let timing = |cycles| Some(Timing { cycles, bound_cycles: cycles / 2 });
        let ablation = Ablation {
            all: Timing { cycles: 9_000, bound_cycles: 5_000 },
            none: timing(12_000),
            without: vec![("heads", timing(10_000)), ("lanes", timing(8_955)), ("scale", None)],
        };
        let subject = crate::cli::Subject {
            embedding: crate::cli::Embedding::Chip,
            experts: crate::cli::Experts::Auto,
            model: "folder/tiny.onnx".into(),
            chip: "lp30".to_owned(),
            system: None,
            tensor_parallel: None,
            pipeline: None,
            objective: crate::cli::Objective::Chips,
            chips: "auto".to_owned(),
            batch: None,
            context: None,
            dims: Vec::new(),
            fixed: Vec::new(),
            outputs_at: Vec::new(),
            precision: crate::cli::Precision::Fp16,
            kv: crate::cli::Kv::Fp16,
            inputs: None,
            json: false,
        };
        let loaded = Loaded {
            graph: compiler::graph::Graph::default(),
            interface: crate::step::Interface::of(&compiler::graph::Graph::default(), None),
            batch: 1,
            context: Some(256),
            metadata: std::collections::BTreeMap::new(),
            notes: Vec::new(),
        };
        let chip = Chip::preset("lp30").expect("a preset");
        insta::assert_snapshot!(ablation.table(&subject, &chip, &loaded));
    }
}

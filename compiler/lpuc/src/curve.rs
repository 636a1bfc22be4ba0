//! What more sequences at once cost a user and bring a chip: one line for each size of batch.

use compiler::rewrite::RewriteOptions;

use crate::cli::Subject;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::report::system::SystemReport;
use crate::report::text::grouped;
use crate::{Console, chained, print};

/// A size of batch, and what it amounts to; nothing if it does not fit.
type Row = (usize, Option<SystemReport>);

/// Runs a published model with each size of batch, and prints a table or comma-separated values.
pub(crate) fn run(
    subject: &Subject,
    batches: &[usize],
    csv: bool,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let config = chained::model(subject)?.ok_or_else(|| {
        let model = subject.model.display();
        Failure::input(format!(
            "error[unknown-model]: {model} is no published model\n  `lpuc models` lists them; a published configuration ends in .json"
        ))
    })?;
    let progress = Progress::new(console.progress);
    let mut rows: Vec<Row> = Vec::new();
    for &batch in batches {
        progress.stage(format!("batch {batch}"));
        let rewrite = Some(RewriteOptions::default());
        match chained::measured(&config, subject, rewrite, batch, &progress) {
            Ok(report) => rows.push((batch, Some(report))),
            Err(failure) if failure.text.starts_with("error[does-not-fit]") => rows.push((batch, None)),
            Err(failure) => return Err(failure),
        }
    }
    drop(progress);
    print(console, &if csv { values(&rows) } else { table(&rows) })
}

fn values(rows: &[Row]) -> String {
    let mut out =
        "batch,chips,cycles,tokens_per_second_per_user,tokens_per_second,tokens_per_second_per_chip\n"
            .to_owned();
    for (batch, report) in rows {
        out += &match report {
            Some(report) => {
                let (user, all) = (report.per_user(), report.tokens_per_second());
                let (chips, cycles) = (report.chips(), report.simulated_cycles);
                format!("{batch},{chips},{cycles},{user:.3},{all:.3},{:.3}\n", all / chips.max(1) as f64)
            }
            None => format!("{batch},,,,,\n"),
        };
    }
    out
}

fn table(rows: &[Row]) -> String {
    let mut out = format!(
        "{:>7}{:>8}{:>14}{:>18}{:>12}{:>18}\n",
        "batch", "chips", "cycles", "tokens/s a user", "in all", "tokens/s a chip"
    );
    for (batch, report) in rows {
        out += &match report {
            Some(report) => {
                let (chips, cycles) = (report.chips(), grouped(report.simulated_cycles));
                let (user, all) = (report.per_user().round() as u64, report.tokens_per_second());
                let chip = format!("{:.1}", all / chips.max(1) as f64);
                let (user, all) = (grouped(user), grouped(all.round() as u64));
                format!("{batch:>7}{chips:>8}{cycles:>14}{user:>18}{all:>12}{chip:>18}\n")
            }
            None => format!("{batch:>7}{:>8}  does not fit\n", ""),
        };
    }
    out
}

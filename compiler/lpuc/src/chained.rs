//! The main job for a published model by name: put on a system of chips, compiled stage by stage, composed, reported.

use compiler::links::Links;
use compiler::rewrite::RewriteOptions;
use compiler::system::{Chained, Model, Objective, Wishes, compile_planned};
use isa::Chip;
use isa::system::System;
use models::Config;
use models::config::{FeedForward, Run};
use simulator::ComposeError;

use crate::cli::{Embedding, Job, Subject};
use crate::clock::{Stopwatch, ToolSeconds};
use crate::failure::{Failure, UNSUPPORTED};
use crate::progress::Progress;
use crate::report::system::{StageRow, SystemReport};
use crate::{Console, chips, models as published, print, systems};

/// Tokens of a cache, if nothing is said.
const CONTEXT: usize = 4096;

/// The model of a subject, if it is a published one as a whole.
pub(crate) fn model(subject: &Subject) -> Result<Option<Config>, Failure> {
    let name = subject.model.to_str().filter(|_| !subject.model.exists() || is_config(subject));
    name.map_or(Ok(None), published::shape)
}

fn is_config(subject: &Subject) -> bool {
    subject.model.extension().is_some_and(|extension| extension == "json")
}

/// Runs the job.
pub(crate) fn run(
    config: &Config,
    subject: &Subject,
    job: &Job,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    refuse(subject, job)?;
    let progress = Progress::new(console.progress);
    let rewrite = (!job.no_rewrite).then(|| RewriteOptions { disabled: job.without_rules.clone() });
    let report = measured(config, subject, rewrite, subject.batch.unwrap_or(1), &progress)?;
    drop(progress);
    let text = if subject.json { format!("{:#}\n", report.json()) } else { report.text() };
    print(console, &text)
}

/// Compiles and composes a step of so many sequences.
pub(crate) fn measured(
    config: &Config,
    subject: &Subject,
    rewrite: Option<RewriteOptions>,
    batch: usize,
    progress: &Progress,
) -> Result<SystemReport, Failure> {
    let (total, mut lap) = (Stopwatch::start(), Stopwatch::start());
    let mut tool = ToolSeconds::default();
    let chip = chips::load(&subject.chip)?;
    let system = match &subject.system {
        Some(name) => systems::load(name)?,
        None => systems::usual(&chip)?,
    };
    let context = subject.context.unwrap_or(CONTEXT);
    let model = |run: Run| {
        let model = models::whole::model(&config.running(run), batch, context);
        let model = model.map_err(crate::model::not_built)?;
        Ok::<Model, Failure>(match subject.embedding {
            Embedding::Chip => model,
            Embedding::Host => models::whole::without_embedding(model),
        })
    };
    tool.import = lap.lap();

    progress.stage("compiling");
    let options = compiler::Options {
        precision: subject.precision.into(),
        rewrite,
        links: Links::default(),
        caches: subject.kv.into(),
        dense: false,
    };
    let wishes = Wishes {
        objective: subject.objective.into(),
        tensor_parallel: subject.tensor_parallel,
        pipeline: subject.pipeline,
        chips: chips_at_most(subject)?,
    };
    let mut watch = |name: &'static str, _: &dyn std::fmt::Display| {
        let seconds = lap.lap();
        match name {
            "graph" => tool.partition += seconds,
            "rewritten" => tool.rewrite += seconds,
            "legal" | "kernels" => tool.lower += seconds,
            _ => tool.schedule += seconds,
        }
    };
    let made = |run: Run| {
        let model = model(run)?;
        let (_, chained) = compile_planned(&model, &wishes, (&system, &chip), &options, &mut watch)?;
        Ok((run, model, chained))
    };
    let (run, model, chained) = best(wishes.objective, subject.experts.ways(config, batch), made)?;
    tool.schedule += lap.lap();
    progress.stage("simulating");
    let composed = simulator::compose(&system, &chip, &chained.program).map_err(refused)?;
    tool.simulate = lap.lap();
    tool.simulated_cycles = composed.cycles;
    equal(chained.predicted_cycles, composed.cycles)?;
    tool.total = total.elapsed();
    let mut report = report(subject, (&system, &chip), &model, &chained, (batch, context), tool);
    let bits = models::count::matrix_bits(config, options.precision.weight_bits());
    if let FeedForward::Experts(_) = config.feed_forward {
        report.experts = Some(if run == Run::Gather { "gather" } else { "resident" });
    }
    report.least_chips = models::count::chips(bits, 1, chip.sram_bytes());
    Ok(report)
}

/// The way to run experts that is best by the objective. Of what does not fit, the last one says what is missing.
fn best(
    objective: Objective,
    ways: Vec<Run>,
    mut made: impl FnMut(Run) -> Result<(Run, Model, Chained), Failure>,
) -> Result<(Run, Model, Chained), Failure> {
    let mut ways = ways.into_iter();
    let mut best = made(ways.next().unwrap_or_default());
    for run in ways {
        let other = made(run);
        let better = match (&best, &other) {
            (Ok((.., best)), Ok((.., other))) => objective.order(&other.amount(), &best.amount()).is_lt(),
            (Ok(_), Err(problem)) => problem.code != UNSUPPORTED,
            (Err(_), _) => true,
        };
        best = if better { other } else { best };
    }
    best
}

/// Fails where the simulator does not say what the compiler did.
pub(crate) fn equal(predicted: u64, composed: u64) -> Result<(), Failure> {
    if predicted == composed {
        return Ok(());
    }
    Err(Failure::check(format!(
        "error[prediction]: the compiler predicted {predicted} cycles, the simulator composed {composed}\n  this is a bug; please report it"
    )))
}

/// What the simulator says of a program that it does not run to its end.
pub(crate) fn refused(error: ComposeError) -> Failure {
    match error {
        ComposeError::IllFormed(problems) => crate::job::refused(problems),
        ComposeError::Fault(fault) => Failure::check(format!("error[hazard]: {fault}")),
    }
}

/// What the command line can say already, but this job cannot do yet.
fn refuse(subject: &Subject, job: &Job) -> Result<(), Failure> {
    let asked = [
        (subject.inputs.is_some(), "--inputs"),
        (job.outputs.is_some(), "--outputs"),
        (!job.emit.is_empty(), "--emit"),
        (job.generate.is_some(), "--generate"),
    ];
    let asked: Vec<&str> = asked.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
    if asked.is_empty() {
        return Ok(());
    }
    Err(Failure::unsupported(format!(
        "error[unsupported-option]: {} on a published model over many chips\n  such models have no weights; name one layer (NAME/layer), or an ONNX file",
        asked.join(", ")
    )))
}

fn chips_at_most(subject: &Subject) -> Result<Option<usize>, Failure> {
    match subject.chips.as_str() {
        "auto" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            Failure::input(format!(
                "error[usage]: --chips {text}: neither a number of chips nor `auto`\n  use --chips auto"
            ))
        }),
    }
}

fn report(
    subject: &Subject,
    (system, chip): (&System, &Chip),
    model: &Model,
    chained: &Chained,
    (batch, context): (usize, usize),
    tool: ToolSeconds,
) -> SystemReport {
    let rows = chained.kinds.iter().enumerate().map(|(number, kind)| {
        let mut own = chained.stages.iter().filter(|stage| stage.kind == number);
        let pieces = own.next().map_or(0..0, |stage| stage.pieces.clone());
        StageRow {
            pieces: pieces_of(model, &model.order[pieces.clone()]),
            names: model.order[pieces].iter().map(|&piece| model.pieces[piece].name.clone()).collect(),
            count: own.count() + 1,
            cycles: kind.compiled.predicted.cycles,
            summary: kind.compiled.summary.clone(),
        }
    });
    let bound = |stage: &compiler::system::Stage| chained.kinds[stage.kind].compiled.summary.bound.cycles;
    let handing = |stages: &[compiler::system::Stage]| {
        let kinds = [0, 1].map(|at: usize| &chained.kinds[stages[at].kind]);
        let sent = stages[0].start_cycle + kinds[0].handed_cycle.1;
        let received = stages[1].start_cycle + kinds[1].handed_cycle.0;
        received - sent
    };
    SystemReport {
        model: model.name.clone(),
        chip: chip.name.clone(),
        system: system.name.clone(),
        clock_hz: chip.clock_hz,
        host_us: system.host_us,
        batch: batch as u64,
        context: context as u64,
        precision: subject.precision.name(),
        kv: subject.kv.name(),
        embedding: subject.embedding.name(),
        experts: None,
        least_chips: 0,
        tensor_parallel: chained.chips.first().map_or(0, Vec::len),
        stages: rows.collect(),
        handing_cycles: chained.stages.windows(2).map(handing).sum(),
        predicted_cycles: chained.predicted_cycles,
        simulated_cycles: tool.simulated_cycles,
        bound_cycles: chained.stages.iter().map(bound).sum(),
        programs: chained.program.program.chips.len(),
        schedule_hash: blake3::hash(&isa::encode::encode(&chained.program.program)).to_hex().to_string(),
        tool,
    }
}

/// Pieces in words: `embedding, 3 x (attention, feed-forward)`.
fn pieces_of(model: &Model, pieces: &[usize]) -> String {
    let mut words: Vec<(usize, &[usize])> = Vec::new();
    let mut rest = pieces;
    while !rest.is_empty() {
        // A pattern of some pieces that repeats, or one piece.
        let times = |length: usize| rest.chunks(length).take_while(|chunk| *chunk == &rest[..length]).count();
        let repeated = (1..=rest.len() / 2).find(|&length| times(length) > 1);
        let length = repeated.unwrap_or(1);
        words.push((times(length), &rest[..length]));
        rest = &rest[times(length) * length..];
    }
    let name = |&piece: &usize| model.pieces[piece].name.as_str();
    let said = |(times, pattern): (usize, &[usize])| {
        let names: Vec<&str> = pattern.iter().map(name).collect();
        match (times, &names[..]) {
            (1, names) => names.join(", "),
            (times, [name]) => format!("{times} x {name}"),
            (times, names) => format!("{times} x ({})", names.join(", ")),
        }
    };
    words.into_iter().map(said).collect::<Vec<_>>().join(", ")
}

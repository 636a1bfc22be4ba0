//! The main job: model in, compiled, simulated, reported.

use std::collections::BTreeMap;
use std::path::Path;

use compiler::Compiled;
use compiler::links::Links;
use compiler::rewrite::RewriteOptions;
use isa::Chip;
use simulator::{Array as Data, FaultKind, Machine};

use crate::cli::{Emit, Job, Subject};
use crate::clock::{Stopwatch, ToolSeconds};
use crate::failure::Failure;
use crate::files::Outputs;
use crate::model::{self, Loaded};
use crate::npz::{self, Array};
use crate::progress::Progress;
use crate::report::{self, Generated, Report};
use crate::step;
use crate::vocabulary::Vocabulary;
use crate::{Console, caches, chips, generate, print};

/// Runs the job. Files are written and results printed only if all of it goes well.
pub(crate) fn run(subject: &Subject, job: &Job, console: &mut Console<'_>) -> Result<(), Failure> {
    supported(subject)?;
    let (total, mut lap) = (Stopwatch::start(), Stopwatch::start());
    let mut tool = ToolSeconds::default();
    let progress = Progress::new(console.progress);
    let chip = chips::load(&subject.chip)?;
    progress.stage("importing");
    let arrays = model::arrays(subject)?;
    let loaded = model::load(subject, arrays.as_deref())?;
    let prompt = prompt(job, &loaded)?;
    tool.import = lap.lap();
    tell(&loaded.notes, console);

    let (compiled, emitted) = compile(subject, job, &chip, &loaded, &mut tool, &progress)?;
    progress.stage("simulating");
    let mut lap = Stopwatch::start();
    let mut machine = Machine::load(job.simulator.engine(), &chip, &compiled.program).map_err(refused)?;
    let mut files = Outputs::default();
    let (simulated_cycles, generated) = match (job.generate, &prompt) {
        (Some(count), Some(prompt)) => {
            let generated = generate::run(&mut machine, &loaded, prompt, count, &progress)?;
            tool.simulated_cycles = generated.0 * generated.1.steps;
            if let Some(path) = &job.outputs {
                generated_arrays(path, &generated.1, &mut files)?;
            }
            (generated.0, Some(generated.1))
        }
        _ => {
            let (cycles, notes) = once(job, &mut machine, &loaded, arrays.as_deref(), &mut files)?;
            tell(&notes, console);
            tool.simulated_cycles = cycles;
            (cycles, None)
        }
    };
    tool.simulate = lap.lap();
    as_predicted(&compiled, simulated_cycles)?;
    let text = emissions(job, emitted, &compiled, &mut files);
    tool.total = total.elapsed();
    let report = report(subject, job, &chip, &loaded, &compiled, (simulated_cycles, generated), tool);
    drop(progress);
    files.write()?;
    let report = if subject.json { json(&report) } else { report::text::print(&report) };
    print(console, &(text + &report))
}

/// Prints what the user may want to know of a model.
pub(crate) fn tell(notes: &[String], console: &mut Console<'_>) {
    for note in notes {
        // If standard error is gone there is nobody to tell.
        let _ = writeln!(console.err, "note: {note}");
    }
}

/// Compiler and simulator must agree.
pub(crate) fn as_predicted(compiled: &Compiled, simulated_cycles: u64) -> Result<(), Failure> {
    if simulated_cycles == compiled.predicted.cycles {
        return Ok(());
    }
    Err(Failure::check(format!(
        "error[prediction]: the compiler predicted {} cycles, the simulator measured {simulated_cycles}\n  this is a bug; \
         please report it with the model",
        compiled.predicted.cycles
    )))
}

/// What was generated, as an archive: `prompt_ids`, `generated_ids` [n] and `logits` [n, vocabulary].
fn generated_arrays(path: &Path, generated: &Generated, files: &mut Outputs) -> Result<(), Failure> {
    let count = generated.token_ids.len();
    let ids = |ids: &[u32]| Array {
        shape: vec![ids.len()],
        data: Data::I32(ids.iter().map(|&id| id as i32).collect()),
    };
    let shape = vec![count, generated.logits.len() / count.max(1)];
    let arrays = [
        ("prompt_ids".to_owned(), ids(&generated.prompt_ids)),
        ("generated_ids".to_owned(), ids(&generated.token_ids)),
        ("logits".to_owned(), Array { shape, data: Data::F32(generated.logits.clone()) }),
    ];
    let content = npz::write(&arrays).map_err(|error| Failure::unwritable(path, &error))?;
    files.add(path, content);
    Ok(())
}

/// What the command line can say already, but the program cannot do yet.
pub(crate) fn supported(subject: &Subject) -> Result<(), Failure> {
    let mapped = subject.system.is_some() || subject.tensor_parallel.is_some() || subject.pipeline.is_some();
    if mapped {
        return Err(Failure::unsupported(
            "error[unsupported-option]: --system, --tensor-parallel and --pipeline are for published models by name
  \
             an ONNX model and a single layer are compiled for one chip",
        ));
    }
    match subject.chips.as_str() {
        "auto" | "1" => Ok(()),
        text if text.parse::<u32>().is_ok_and(|chips| chips > 1) => Err(Failure::unsupported(format!(
            "error[unsupported-chips]: {text} chips were asked for, and chains of chips are not supported yet\n  use --chips 1"
        ))),
        text => Err(Failure::input(format!(
            "error[usage]: --chips {text}: neither a number of chips nor `auto`\n  use --chips auto"
        ))),
    }
}

/// The prompt's token ids, if tokens are to be generated.
fn prompt(job: &Job, loaded: &Loaded) -> Result<Option<Vec<u32>>, Failure> {
    if job.generate.is_none() {
        return Ok(None);
    }
    let Some(text) = &job.prompt else {
        if job.prompt_ids.is_empty() {
            return Err(Failure::input(
                "error[usage]: --generate needs a prompt\n  give --prompt-ids 1,2,3 or --prompt TEXT",
            ));
        }
        return Ok(Some(job.prompt_ids.clone()));
    };
    let vocabulary = Vocabulary::of(&loaded.metadata).ok_or_else(|| {
        Failure::input(
            "error[no-vocabulary]: the model ships no vocabulary (metadata `tokenizer.vocabulary`), so it cannot read text\n  \
             give --prompt-ids 1,2,3",
        )
    })?;
    let ids = vocabulary.encode(text).map_err(|what| {
        Failure::input(format!("error[bad-prompt]: {what}\n  change the text, or give --prompt-ids 1,2,3"))
    })?;
    if ids.is_empty() {
        return Err(Failure::input("error[bad-prompt]: the prompt is empty\n  give at least one token"));
    }
    Ok(Some(ids))
}

type Emitted = BTreeMap<&'static str, String>;

/// Compiles, keeping the forms that are asked for and the time of each stage.
fn compile(
    subject: &Subject,
    job: &Job,
    chip: &Chip,
    loaded: &Loaded,
    tool: &mut ToolSeconds,
    progress: &Progress,
) -> Result<(Compiled, Emitted), Failure> {
    let rewrite = (!job.no_rewrite).then(|| RewriteOptions { disabled: job.without_rules.clone() });
    let options = compiler::Options {
        precision: subject.precision.into(),
        rewrite,
        links: Links::default(),
        caches: subject.kv.into(),
        dense: false,
    };
    let mut emitted = Emitted::new();
    let mut lap = Stopwatch::start();
    progress.stage("compiling");
    let mut watch = |name: &'static str, form: &dyn std::fmt::Display| {
        let seconds = lap.lap();
        match name {
            "graph" => tool.import += seconds,
            "rewritten" => tool.rewrite += seconds,
            "legal" | "kernels" => tool.lower += seconds,
            _ => tool.schedule += seconds,
        }
        if job.emit.iter().any(|(kind, _)| kind.name() == name) {
            emitted.insert(name, format!("{}\n", form.to_string().trim_end()));
        }
        lap.lap();
    };
    let compiled = compiler::compile(loaded.graph.clone(), chip, &options, &mut watch)?;
    tool.schedule += lap.lap();
    Ok((compiled, emitted))
}

/// One run of the program, on the given arrays or on made-up ones; fills in the output file. Its cycles, and what is odd about its values.
fn once(
    job: &Job,
    machine: &mut Machine,
    loaded: &Loaded,
    arrays: Option<&[(String, Array)]>,
    files: &mut Outputs,
) -> Result<(u64, Vec<String>), Failure> {
    let interface = &loaded.interface;
    let last = interface
        .decoder
        .as_ref()
        .map_or(0, |decoder| decoder.context - decoder.sequence.min(decoder.context));
    let (writes, position) = match arrays {
        Some(arrays) => {
            let given = interface.given(arrays)?;
            (given.writes, given.position)
        }
        None => (interface.step(0, last), last),
    };
    write_inputs(machine, &writes, position)?;
    let Some(path) = &job.outputs else {
        // Nobody asks for values.
        return Ok((machine.time().map_err(|fault| fault_of(&fault))?.cycles, Vec::new()));
    };
    let report = machine.run().map_err(|fault| fault_of(&fault))?;
    if !machine.values_known() {
        return Err(no_values());
    }
    let mut outputs = Vec::new();
    for (name, shape) in &interface.outputs {
        let data = machine.read(name).map_err(port)?;
        outputs.push((name.clone(), Array { shape: shape.clone(), data }));
    }
    let new_tokens = interface.decoder.as_ref().map_or(0, |decoder| decoder.sequence);
    for state in &interface.states {
        let data = caches::read(machine, &state.input_name).map_err(port)?;
        outputs.push((state.output_name.clone(), step::used_part(state, &data, position + new_tokens)));
    }
    let content = npz::write(&outputs).map_err(|error| Failure::unwritable(path, &error))?;
    files.add(path, content);
    Ok((report.cycles, outputs.iter().filter_map(|(name, array)| not_numbers(name, array)).collect()))
}

/// A note on an output that holds NaN: products overflow where the model's own arithmetic would not.
fn not_numbers(name: &str, array: &Array) -> Option<String> {
    let Data::F32(values) = &array.data else { return None };
    let count = values.iter().filter(|value| value.is_nan()).count();
    (count > 0).then(|| {
        format!(
            "output `{name}`: {count} of {} elements are NaN; if not by the model's own doing, an operand of a product is beyond 65504, the greatest number of binary16: scale the inputs down",
            values.len()
        )
    })
}

/// Writes what the program wants to have before the step at a position; an input that nothing needs has no place in it.
pub(crate) fn write_inputs(
    machine: &mut Machine,
    writes: &[(String, simulator::Array)],
    position: usize,
) -> Result<(), Failure> {
    writes.iter().try_for_each(|(name, data)| caches::write(machine, name, data, position).map_err(port))
}

/// Sends each emitted form to its file; what has no file is returned, to be printed.
fn emissions(job: &Job, mut emitted: Emitted, compiled: &Compiled, files: &mut Outputs) -> String {
    let mut printed = String::new();
    for (kind, path) in &job.emit {
        let content = match kind {
            Emit::Asm => isa::asm::print_with(&compiled.program, &|node| {
                let rules = compiled.rules.get(node).map(|rules| rules.join(", "));
                rules.map_or(String::new(), |rules| format!(" by {rules}"))
            })
            .into_bytes(),
            Emit::Program => isa::encode::encode(&compiled.program),
            Emit::Graph | Emit::Rewritten | Emit::Legal | Emit::Kernels | Emit::Schedule => {
                emitted.get_mut(kind.name()).cloned().unwrap_or_default().into_bytes()
            }
        };
        match path {
            Some(path) => files.add(path, content),
            None => printed += &String::from_utf8_lossy(&content),
        }
    }
    printed
}

fn report(
    subject: &Subject,
    job: &Job,
    chip: &Chip,
    loaded: &Loaded,
    compiled: &Compiled,
    (simulated_cycles, generated): (u64, Option<Generated>),
    tool: ToolSeconds,
) -> Report {
    let program = &compiled.program;
    let runs = program.chips.iter().flat_map(|chip| chip.queues.values());
    Report {
        model: subject.name(),
        chip: chip.name.clone(),
        clock_hz: chip.clock_hz,
        decoder: !loaded.interface.states.is_empty(),
        batch: loaded.batch,
        context: loaded.context,
        precision: subject.precision.name(),
        kv: subject.kv.name(),
        rewritten: !job.no_rewrite,
        without_rules: job.without_rules.clone(),
        predicted_cycles: compiled.predicted.cycles,
        simulated_cycles,
        summary: compiled.summary.clone(),
        units: report::busy::fractions(chip, program, simulated_cycles),
        instructions: compiled.predicted.dispatched.values().sum(),
        runs: runs.map(|runs| runs.len() as u64).sum(),
        schedule_hash: blake3::hash(&isa::encode::encode(program)).to_hex().to_string(),
        generated,
        tool,
    }
}

fn json(report: &Report) -> String {
    format!("{:#}\n", report::json::value(report))
}

/// The simulator will not load a program of ours.
pub(crate) fn refused(problems: Vec<String>) -> Failure {
    let list = problems.join("\n  ");
    Failure::check(format!(
        "error[refused]: the simulator refuses the compiled program; this is a bug\n  {list}"
    ))
}

/// A port of the program is not what the model says.
pub(crate) fn port(what: String) -> Failure {
    Failure::check(format!("error[port]: {what}"))
}

/// A hazard; or, in tandem, a difference between the simulators.
pub(crate) fn fault_of(fault: &simulator::Fault) -> Failure {
    if fault.kind == FaultKind::EnginesDiffer {
        return Failure { code: 101, text: format!("error[simulators-differ]: {fault}") };
    }
    Failure::check(format!("error[hazard]: {fault}"))
}

/// Values were asked for where there are none.
pub(crate) fn no_values() -> Failure {
    Failure::input(
        "error[no-values]: the model comes without weights, so it has a time but no values\n  \
         bring its weight file, or leave --outputs and --generate out",
    )
}

//! How fast programs are simulated: one run after loading, with values, and of cycles alone where an engine can do that.
//!
//! ```text
//! cargo bench -p lpu-tests --bench simulator
//! LPUC_BENCH_SMOLLM2=smollm2-135m.onnx cargo bench -p lpu-tests --bench simulator -- smollm2
//! ```
//!
//! Criterion's throughput counts simulated cycles as elements: `elem/s` is cycles per second.
#![allow(missing_docs, reason = "criterion's macro makes public functions")]

mod models;
mod synthetic;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use isa::{Chip, Program};
use models::Model;
use simulator::{Engine, Machine};

/// What is measured. Tandem is for finding bugs, not for speed.
const ENGINES: &[(&str, Engine)] = &[("reference", Engine::Reference), ("fast", Engine::Fast)];

fn run(criterion: &mut Criterion, name: &str, engines: &[(&str, Engine)], chip: &Chip, model: &Model) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    group.throughput(Throughput::Elements(isa::report::predict(chip, &model.program).cycles));
    for (engine_name, engine) in engines {
        let mut machine = load(*engine, chip, &model.program);
        for (port, array) in &model.inputs {
            machine.write(port, array).expect("an input");
        }
        group.bench_function(*engine_name, |bencher| {
            bencher.iter(|| black_box(machine.run().unwrap_or_else(|fault| panic!("{fault}"))));
        });
    }
    group.finish();
}

fn load(engine: Engine, chip: &Chip, program: &Program) -> Machine {
    Machine::load(engine, chip, program).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A gated feed-forward block of SmolLM2's size, for one token and for a prompt.
fn swiglu(criterion: &mut Criterion) {
    let chip = Chip::preset("lp30").expect("a preset");
    for tokens in [1, 128] {
        let model = models::swiglu(&chip, tokens, 576, 1536);
        run(criterion, &format!("swiglu-576-1536/{tokens} tokens"), ENGINES, &chip, &model);
    }
}

/// A decode step of the example.
fn licence_decoder(criterion: &mut Criterion) {
    let chip = Chip::preset("lp30").expect("a preset");
    let file = lpu_tests::root().join("examples/licence-decoder.onnx");
    run(criterion, "licence-decoder", ENGINES, &chip, &models::decoder(&chip, &file, 256));
}

/// A decode step of SmolLM2, if `LPUC_BENCH_SMOLLM2` says where `models/smollm2.py` wrote it.
fn smollm2(criterion: &mut Criterion) {
    let Some(file) = std::env::var_os("LPUC_BENCH_SMOLLM2") else { return };
    let chip = Chip::preset("lp30").expect("a preset");
    run(criterion, "smollm2-135m", ENGINES, &chip, &models::decoder(&chip, file.as_ref(), 256));
}

/// The time of 10^9 cycles in 10^5 runs, without values. The fast engine checks it when it loads a program; the others would take days.
fn long(criterion: &mut Criterion) {
    let mut chip = Chip::preset("lp30").expect("a preset");
    // Nothing in it fetches text.
    chip.icu.queue_bytes = 1 << 30;
    let program = synthetic::program(&chip);
    let mut group = criterion.benchmark_group("10^9 cycles in 10^5 runs");
    group.sample_size(10).throughput(Throughput::Elements(isa::report::predict(&chip, &program).cycles));
    group.bench_function("fast", |bencher| {
        bencher.iter(|| load(Engine::Fast, &chip, &program).time().unwrap_or_else(|fault| panic!("{fault}")));
    });
    group.finish();
}

criterion_group!(benches, swiglu, licence_decoder, smollm2, long);
criterion_main!(benches);

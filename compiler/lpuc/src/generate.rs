//! Greedy decoding on the simulated machine: one run of the program per token, the KV cache staying in its SRAM.

use simulator::{Array as Data, Machine};

use crate::failure::Failure;
use crate::job::{fault_of, no_values, port, write_inputs};
use crate::model::Loaded;
use crate::progress::Progress;
use crate::report::Generated;
use crate::vocabulary::Vocabulary;

/// Feeds the prompt token by token, then each best token, until `count` tokens are there. Returns the cycles of a step,
/// the same in every step, and what was generated.
pub(crate) fn run(
    machine: &mut Machine,
    loaded: &Loaded,
    prompt: &[u32],
    count: usize,
    progress: &Progress,
) -> Result<(u64, Generated), Failure> {
    let (logits, vocabulary_size) = fit(machine, loaded, prompt, count)?;
    let mut tokens = prompt.to_vec();
    let mut step_cycles = None;
    let mut all_logits = Vec::new();
    let steps = prompt.len() + count.saturating_sub(1);
    for position in 0..steps {
        progress.stage(format!("simulating step {} of {steps}", position + 1));
        write_inputs(machine, &loaded.interface.step(tokens[position] as i32, position), position)?;
        let report = machine.run().map_err(|fault| fault_of(&fault))?;
        if !machine.values_known() {
            return Err(no_values());
        }
        match step_cycles {
            Some(cycles) if cycles != report.cycles => {
                return Err(Failure::check(format!(
                    "error[unequal-steps]: step {position} took {} cycles, the steps before it {cycles}\n  this is a bug; please report it",
                    report.cycles
                )));
            }
            _ => step_cycles = Some(report.cycles),
        }
        if position + 1 >= prompt.len() && count > 0 {
            let last = last(&machine.read(&logits).map_err(port)?, vocabulary_size)?;
            tokens.push(best(&last));
            all_logits.extend(last);
        }
    }
    let token_ids = tokens.split_off(prompt.len());
    let text = Vocabulary::of(&loaded.metadata).map(|words| (words.decode(prompt), words.decode(&token_ids)));
    let prompt_ids = prompt.to_vec();
    let generated = Generated { prompt_ids, token_ids, text, steps: steps as u64, logits: all_logits };
    Ok((step_cycles.unwrap_or(0), generated))
}

/// Whether the model can do it at all; its output of logits, and their number.
fn fit(machine: &Machine, loaded: &Loaded, prompt: &[u32], count: usize) -> Result<(String, usize), Failure> {
    let Some(decoder) = &loaded.interface.decoder else {
        return Err(Failure::unsupported(
            "error[no-cache]: --generate needs a decoder with a KV cache, and this model has no `past_*` inputs",
        ));
    };
    if decoder.batch != 1 || decoder.sequence != 1 {
        return Err(Failure::unsupported(format!(
            "error[unsupported-batch]: --generate feeds one token of one sequence a step; this model takes {} of {}\n  \
             leave --batch out",
            decoder.sequence, decoder.batch
        )));
    }
    if !decoder.generates {
        return Err(Failure::unsupported(
            "error[fixed-cache]: --generate needs a cache that can grow, and the length of this model's cache is fixed\n  \
             export the model with a symbolic length of the past",
        ));
    }
    let capacity = decoder.context;
    let steps = prompt.len() + count.saturating_sub(1);
    if steps > capacity {
        return Err(Failure::input(format!(
            "error[context]: {} prompt tokens and {count} more take {steps} slots of the KV cache, which has {capacity}\n  \
             use --context {steps} or more",
            prompt.len()
        )));
    }
    let name = decoder.logits_output.clone();
    let size =
        machine.ports().iter().find(|port| port.name == name).and_then(|port| port.shape.last().copied());
    let size = size.ok_or_else(|| port(format!("the program has no output `{name}`")))? as usize;
    if let Some(id) = prompt.iter().find(|&&id| id as usize >= size) {
        let last = size.saturating_sub(1);
        return Err(Failure::input(format!(
            "error[bad-prompt]: token {id} does not exist\n  the model's tokens are 0 to {last}"
        )));
    }
    Ok((name, size))
}

/// The logits of the last position.
fn last(logits: &Data, size: usize) -> Result<Vec<f32>, Failure> {
    let Data::F32(values) = logits else {
        return Err(Failure::unsupported("error[no-logits]: the model's logits are not real numbers"));
    };
    let last = &values[values.len().saturating_sub(size)..];
    if last.iter().any(|value| value.is_nan()) {
        return Err(Failure::check("error[not-a-number]: the model's logits hold NaN"));
    }
    Ok(last.to_vec())
}

/// The first of the greatest.
fn best(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (id, value) in logits.iter().enumerate() {
        if *value > logits[best] {
            best = id;
        }
    }
    best as u32
}

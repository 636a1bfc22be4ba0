//! What a run says about a model on a machine: gathered here, printed by [`text`] or [`json`].

pub(crate) mod busy;
pub(crate) mod json;
pub(crate) mod system;
pub(crate) mod text;

use compiler::summary::Summary;

use crate::clock::ToolSeconds;

/// Everything that is reported.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// The model's file name.
    pub model: String,
    /// The chip's name.
    pub chip: String,
    /// Its clock, Hz.
    pub clock_hz: f64,
    /// Whether a run is a decode step.
    pub decoder: bool,
    /// Sequences at once.
    pub batch: u64,
    /// Slots of the KV cache, or sequence length; nothing where the model has neither.
    pub context: Option<u64>,
    /// `fp16` or `fp32`.
    pub precision: &'static str,
    /// How caches are kept.
    pub kv: &'static str,
    /// Whether the e-graph ran.
    pub rewritten: bool,
    /// Groups of rules that it did without, because the user said so.
    pub without_rules: Vec<String>,
    /// Cycles that the compiler predicted.
    pub predicted_cycles: u64,
    /// Cycles that the simulator measured.
    pub simulated_cycles: u64,
    /// Bytes, bound, costliest nodes.
    pub summary: Summary,
    /// Busy fraction by kind of slice, in the order of the schema.
    pub units: Vec<(&'static str, f64)>,
    /// Instructions dispatched in a run of the program.
    pub instructions: u64,
    /// Runs that they are folded into.
    pub runs: u64,
    /// BLAKE3 of the binary program, in hexadecimal.
    pub schedule_hash: String,
    /// What was generated, if that was asked for.
    pub generated: Option<Generated>,
    /// Time that the tool itself took.
    pub tool: ToolSeconds,
}

/// The outcome of `--generate`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Generated {
    /// Tokens given.
    pub prompt_ids: Vec<u32>,
    /// Tokens made.
    pub token_ids: Vec<u32>,
    /// Text of prompt and tokens, where the model ships its vocabulary.
    pub text: Option<(String, String)>,
    /// Logits that each token made was chosen from, one after the other.
    pub logits: Vec<f32>,
    /// Runs of the program that it took.
    pub steps: u64,
}

impl Report {
    /// Machine time of one run.
    pub(crate) fn latency_us(&self) -> f64 {
        self.simulated_cycles as f64 * 1e6 / self.clock_hz
    }

    /// Runs per second, one after the other.
    pub(crate) fn runs_per_second(&self) -> f64 {
        if self.simulated_cycles == 0 { 0.0 } else { self.clock_hz / self.simulated_cycles as f64 }
    }

    /// Simulated cycles over the lower bound.
    pub(crate) fn bound_ratio(&self) -> f64 {
        if self.summary.bound.cycles == 0 {
            0.0
        } else {
            self.simulated_cycles as f64 / self.summary.bound.cycles as f64
        }
    }

    /// SRAM in use at the fullest moment.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let summary = &self.summary;
        summary.weights_bytes + summary.kv_bytes + summary.activation_bytes + summary.instruction_bytes
    }

    /// [`Report::peak_bytes`] as a fraction of the chip's SRAM.
    pub(crate) fn peak_fraction(&self) -> f64 {
        if self.summary.capacity_bytes == 0 {
            0.0
        } else {
            self.peak_bytes() as f64 / self.summary.capacity_bytes as f64
        }
    }
}

#[cfg(test)]
pub(crate) fn sample() -> Report {
    use compiler::bound::{Bound, Candidate, Limiter};
    use compiler::summary::NodeCycles;
    Report {
        model: "tiny.onnx".to_owned(),
        chip: "lp30".to_owned(),
        clock_hz: 1.0e9,
        decoder: true,
        batch: 1,
        context: Some(256),
        precision: "fp16",
        kv: "fp16",
        rewritten: true,
        without_rules: Vec::new(),
        predicted_cycles: 12_345,
        simulated_cycles: 12_345,
        summary: Summary {
            capacity_bytes: 500_000_000,
            weights_bytes: 900_000,
            kv_bytes: 262_144,
            activation_bytes: 12_800,
            instruction_bytes: 45_678,
            slices: slices(),
            instruction_pages: 9,
            bound: Bound {
                cycles: 10_000,
                limiter: Limiter::WeightStreaming,
                candidates: vec![
                    Candidate { limiter: Limiter::WeightStreaming, cycles: 10_000 },
                    Candidate { limiter: Limiter::Dependences, cycles: 9_000 },
                ],
                path: vec![("/model/Add".to_owned(), 4_000), ("/lm_head/MatMul".to_owned(), 5_000)],
                ..Bound::default()
            },
            nodes: (0..12)
                .map(|i| NodeCycles {
                    name: format!("/model/layers.{i}/mlp/gate_proj/MatMul"),
                    cycles: 900 - 50 * i,
                    bound_cycles: 450,
                    bound_limiter: Limiter::WeightStreaming,
                })
                .collect(),
            spent: std::collections::BTreeMap::new(),
        },
        units: vec![("mxm", 0.25), ("vxm", 0.031), ("sxm", 0.02), ("mem", 0.007), ("c2c", 0.0)],
        instructions: 123_456,
        runs: 789,
        schedule_hash: "00ff".to_owned(),
        generated: None,
        tool: ToolSeconds::default(),
    }
}

#[cfg(test)]
fn slices() -> Vec<compiler::summary::SliceBytes> {
    let slice = |hemisphere, slice: u16| compiler::summary::SliceBytes {
        hemisphere,
        slice,
        weights_bytes: 780_000 * u64::from(slice),
        kv_bytes: 100_000,
        activation_bytes: 12_800,
        text_bytes: 640,
    };
    let all = |hemisphere| (0..4).map(move |number| slice(hemisphere, number));
    isa::Hemisphere::BOTH.into_iter().flat_map(all).collect()
}

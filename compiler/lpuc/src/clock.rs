//! The only clock of the project: how long the tool's own stages take. No result depends on it.

use std::time::Instant;

use serde_json::{Value, json};

/// Seconds that the stages of the tool took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ToolSeconds {
    /// Reading and importing the model.
    pub import: f64,
    /// The e-graph.
    pub rewrite: f64,
    /// Assigning to chips (one chip: nothing to do).
    pub partition: f64,
    /// Operators to kernels.
    pub lower: f64,
    /// Kernels to cycles, and cycles to queues.
    pub schedule: f64,
    /// Simulating, all steps together.
    pub simulate: f64,
    /// Everything.
    pub total: f64,
    /// Cycles simulated, all steps together; for the speed.
    pub simulated_cycles: u64,
}

impl ToolSeconds {
    /// The object under `tool_seconds`.
    pub(crate) fn json(&self) -> Value {
        json!({
            "import": self.import,
            "rewrite": self.rewrite,
            "partition": self.partition,
            "lower": self.lower,
            "schedule": self.schedule,
            "simulate": self.simulate,
            "total": self.total,
        })
    }
}

/// Measures one stage after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts.
    #[allow(clippy::disallowed_methods, reason = "the tool times its own stages, apart from all results")]
    pub(crate) fn start() -> Self {
        Stopwatch(Instant::now())
    }

    /// Seconds since the start or the last lap.
    pub(crate) fn lap(&mut self) -> f64 {
        let seconds = self.0.elapsed().as_secs_f64();
        *self = Stopwatch::start();
        seconds
    }

    /// Seconds since the start or the last lap, which goes on.
    pub(crate) fn elapsed(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

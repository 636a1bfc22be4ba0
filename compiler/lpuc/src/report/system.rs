//! The report on a model over many chips: one screen, or one JSON object.

use std::fmt::Write;

use compiler::summary::{Summary, Work};
use serde_json::{Map, Value, json};

use super::json::SCHEMA;
use super::text::{bar, grouped};
use crate::clock::ToolSeconds;

/// Stages that run the same programs.
#[derive(Clone, Debug)]
pub(crate) struct StageRow {
    /// What it holds: `embedding`, `3 x layer`.
    pub pieces: String,
    /// The same one by one.
    pub names: Vec<String>,
    /// How many there are.
    pub count: usize,
    /// Cycles of its program.
    pub cycles: u64,
    /// Bytes, bound and what its cycles are spent on.
    pub summary: Summary,
}

impl StageRow {
    /// Its pieces, with the cycles of each in the order of [`Work::ALL`]. What has no part of its own goes with the piece before.
    fn pieces(&self) -> Vec<(String, [u64; Work::ALL.len()])> {
        let mut pieces: Vec<(String, [u64; Work::ALL.len()])> = Vec::new();
        for (at, name) in self.names.iter().enumerate() {
            // What is not of one piece, the position for instance, counts for the first.
            let part = format!("{at}.{name}");
            let own = |of: &str| *of == part || at == 0 && of.is_empty();
            let mut spent = [0; Work::ALL.len()];
            for ((_, work), cycles) in self.summary.spent.iter().filter(|((of, _), _)| own(of)) {
                spent[*work as usize] += cycles;
            }
            match pieces.last_mut() {
                Some((before, _)) if spent.iter().all(|&cycles| cycles == 0) => {
                    *before = format!("{before}, {name}")
                }
                _ => pieces.push((name.clone(), spent)),
            }
        }
        pieces
    }
}

/// Everything that is reported.
#[derive(Clone, Debug)]
pub(crate) struct SystemReport {
    /// The model's name.
    pub model: String,
    /// The chip's name.
    pub chip: String,
    /// The system's name.
    pub system: String,
    /// Clock, Hz.
    pub clock_hz: f64,
    /// Time of the host in each step, which is not in the latency, us.
    pub host_us: f64,
    /// Sequences at once.
    pub batch: u64,
    /// Slots of each cache.
    pub context: u64,
    /// How products are computed.
    pub precision: &'static str,
    /// How caches are kept.
    pub kv: &'static str,
    /// Where the embedding is.
    pub embedding: &'static str,
    /// How experts run, if there are any.
    pub experts: Option<&'static str>,
    /// Chips that the model's matrices fill by themselves, at the precision's bits.
    pub least_chips: u64,
    /// Chips of a group.
    pub tensor_parallel: usize,
    /// Distinct stages, in the order in which they first come.
    pub stages: Vec<StageRow>,
    /// Cycles from one stage to the next, all together.
    pub handing_cycles: u64,
    /// Cycles of a step, predicted by the compiler.
    pub predicted_cycles: u64,
    /// Cycles of a step, composed from the simulated programs.
    pub simulated_cycles: u64,
    /// Sum of the stages' lower bounds.
    pub bound_cycles: u64,
    /// Distinct chip programs.
    pub programs: usize,
    /// BLAKE3 of the programs, in hexadecimal.
    pub schedule_hash: String,
    /// Time of the tool itself.
    pub tool: ToolSeconds,
}

/// A distinct piece of the model: a kind of layer, or of half a layer.
struct PieceRow {
    name: String,
    /// How often the model has it.
    count: usize,
    /// Cycles of all of them, in the order of [`Work::ALL`].
    spent: [u64; Work::ALL.len()],
}

impl SystemReport {
    fn stage_count(&self) -> usize {
        self.stages.iter().map(|stage| stage.count).sum()
    }

    /// Chips at work.
    pub(crate) fn chips(&self) -> usize {
        self.stage_count() * self.tensor_parallel
    }

    fn seconds(&self) -> f64 {
        self.simulated_cycles as f64 / self.clock_hz
    }

    /// Tokens a second of one user.
    pub(crate) fn per_user(&self) -> f64 {
        if self.simulated_cycles == 0 { 0.0 } else { 1.0 / self.seconds() }
    }

    /// Cycles from one step to the next in a full pipeline: those of the longest stage.
    fn interval_cycles(&self) -> u64 {
        self.stages.iter().map(|stage| stage.cycles).max().unwrap_or(0)
    }

    /// Batches whose steps are under way at once in a full pipeline.
    fn wanted_batches(&self) -> u64 {
        self.simulated_cycles.div_ceil(self.interval_cycles().max(1)).max(1)
    }

    /// Batches that the fullest chip has caches for; none where there are no caches.
    fn held_batches(&self) -> Option<u64> {
        let held = |stage: &StageRow| {
            let summary = &stage.summary;
            let free = summary.capacity_bytes.saturating_sub(used(summary));
            (summary.kv_bytes > 0).then(|| 1 + free / summary.kv_bytes)
        };
        self.stages.iter().filter_map(held).min()
    }

    /// Tokens a second of the system, with as many batches under way as there are caches for.
    pub(crate) fn tokens_per_second(&self) -> f64 {
        let wanted = self.wanted_batches();
        let batches = self.held_batches().unwrap_or(wanted).min(wanted);
        let interval = (self.simulated_cycles as f64 / batches as f64).max(self.interval_cycles() as f64);
        if interval == 0.0 { 0.0 } else { self.batch as f64 * self.clock_hz / interval }
    }

    /// Simulated cycles over the lower bound.
    fn ratio(&self) -> f64 {
        if self.bound_cycles == 0 { 0.0 } else { self.simulated_cycles as f64 / self.bound_cycles as f64 }
    }

    /// Cycles of all stages by what they are spent on, and those between stages.
    fn spent(&self) -> Vec<(&'static str, u64)> {
        let cycles = |work: Work| {
            let of = |stage: &StageRow| {
                let own = stage.summary.spent.iter().filter(|((_, kind), _)| *kind == work);
                own.map(|(_, cycles)| cycles).sum::<u64>() * stage.count as u64
            };
            self.stages.iter().map(of).sum::<u64>()
        };
        let works = Work::ALL.into_iter().map(|work| (work.name(), cycles(work)));
        works.chain([("between stages", self.handing_cycles)]).collect()
    }

    /// Distinct pieces of the model, in the order in which they first come. Of pieces that rewriting made one, there is one row.
    fn pieces(&self) -> Vec<PieceRow> {
        let mut rows: Vec<PieceRow> = Vec::new();
        for stage in &self.stages {
            for (name, spent) in stage.pieces() {
                let row = rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
                    rows.push(PieceRow { name, count: 0, spent: [0; Work::ALL.len()] });
                    rows.len() - 1
                });
                rows[row].count += stage.count;
                let own = rows[row].spent.iter_mut().zip(spent);
                own.for_each(|(all, cycles)| *all += cycles * stage.count as u64);
            }
        }
        rows
    }

    /// Bytes of a kind: on the fullest chip, and on all together.
    fn bytes(&self, kind: impl Fn(&Summary) -> u64) -> (u64, u64) {
        let fullest = self.stages.iter().map(|stage| kind(&stage.summary)).max().unwrap_or(0);
        let each = self.stages.iter().map(|stage| kind(&stage.summary) * stage.count as u64);
        (fullest, each.sum::<u64>() * self.tensor_parallel as u64)
    }

    fn kinds(&self) -> [(&'static str, (u64, u64)); 5] {
        [
            ("weights", self.bytes(|summary| summary.weights_bytes)),
            ("kv", self.bytes(|summary| summary.kv_bytes)),
            ("activation", self.bytes(|summary| summary.activation_bytes)),
            ("instruction", self.bytes(|summary| summary.instruction_bytes)),
            ("in_all", self.bytes(used)),
        ]
    }

    fn capacity(&self) -> u64 {
        self.stages.first().map_or(0, |stage| stage.summary.capacity_bytes)
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self
            .write_time(&mut out)
            .and_then(|()| self.write_stages(&mut out))
            .and_then(|()| self.write_sram(&mut out));
        out.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    fn write_time(&self, out: &mut String) -> std::fmt::Result {
        let SystemReport { model, chip, system, batch, context, precision, embedding, experts, .. } = self;
        let experts = match experts {
            Some("gather") => ", chosen experts gathered",
            Some(_) => ", all experts at work",
            None => "",
        };
        let host = if *embedding == "host" { ", the host looks up embeddings" } else { "" };
        let chips = self.chips();
        writeln!(
            out,
            "{model} on {chips} {chip} of {system}: fits. batch {batch}, context {context}, {precision}{experts}{host}"
        )?;
        writeln!(out)?;
        let us = format!("{:.3}", self.seconds() * 1e6);
        let (cycles, rate) = (grouped(self.simulated_cycles), grouped(self.per_user().round() as u64));
        writeln!(out, "{:<14}{cycles:>14} cycles {us:>14} us {rate:>12} tokens/s per user", "decode step")?;
        let (bound, ratio) = (grouped(self.bound_cycles), self.ratio());
        writeln!(
            out,
            "{:<14}{bound:>14} cycles, ratio {ratio:.2}, the stages' own bounds added",
            "lower bound"
        )?;
        let predicted = grouped(self.predicted_cycles);
        writeln!(out, "{:<14}{predicted:>14} cycles, equal to the simulated", "predicted")?;
        let interval = grouped(self.interval_cycles());
        let rate = self.tokens_per_second();
        writeln!(
            out,
            "{:<14}{interval:>14} cycles a step {:>32} tokens/s, {:.1} a chip",
            "pipeline full",
            grouped(rate.round() as u64),
            rate / chips.max(1) as f64
        )?;
        let wanted = self.wanted_batches();
        match self.held_batches() {
            Some(held) => writeln!(
                out,
                "{:<14}{wanted:>14} batches fill it; the fullest chip has caches for {}",
                "",
                grouped(held)
            )?,
            None => writeln!(out, "{:<14}{wanted:>14} batches fill it", "")?,
        }
        writeln!(out, "{:<14}{:>14} us a step more for the host (assumed)", "", self.host_us)?;
        writeln!(out)
    }

    fn write_stages(&self, out: &mut String) -> std::fmt::Result {
        let (stages, chips) = (self.stage_count(), self.tensor_parallel);
        let least = grouped(self.least_chips);
        let plural =
            |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let (stages, chips) = (plural(stages, "stage"), plural(chips, "chip"));
        writeln!(out, "{stages} of {chips} each (matrices alone would fill {least})")?;
        for stage in &self.stages {
            let (cycles, all) = (grouped(stage.cycles), grouped(stage.cycles * stage.count as u64));
            writeln!(out, "  {:>3} x {:<36}{cycles:>12} cycles {all:>14} in all", stage.count, stage.pieces)?;
        }
        writeln!(out)?;
        writeln!(out, "where a step's cycles go (each counted once)")?;
        let spent = self.spent();
        let all = spent.iter().map(|(_, cycles)| cycles).sum::<u64>().max(1) as f64;
        for (name, cycles) in spent {
            let share = cycles as f64 / all;
            writeln!(out, "  {name:<14}{:>14} {:>6.1} %  {}", grouped(cycles), share * 100.0, bar(share))?;
        }
        writeln!(out)?;
        write!(out, "{:<32}{:>12}", "cycles of each piece", "in all")?;
        Work::ALL.iter().try_for_each(|work| write!(out, "{:>10}", work.name()))?;
        writeln!(out)?;
        for PieceRow { name, count, spent } in self.pieces() {
            let each = |cycles: u64| grouped((cycles as f64 / count.max(1) as f64).round() as u64);
            write!(out, "  {count:>3} x {name:<24}{:>12}", each(spent.iter().sum()))?;
            spent.iter().try_for_each(|cycles| write!(out, "{:>10}", each(*cycles)))?;
            writeln!(out)?;
        }
        writeln!(out)
    }

    fn write_sram(&self, out: &mut String) -> std::fmt::Result {
        let capacity = self.capacity();
        writeln!(out, "SRAM, of {} bytes a chip{:>17}{:>18}", grouped(capacity), "fullest", "mean")?;
        let names = ["weights", "KV cache", "activations", "instructions", "in all"];
        for (name, (_, (fullest, all))) in names.iter().zip(self.kinds()) {
            let (mean, share) = (all / self.chips().max(1) as u64, fullest as f64 / capacity.max(1) as f64);
            writeln!(out, "  {name:<26}{:>18}{:>18}  {}", grouped(fullest), grouped(mean), bar(share / 2.0))?;
        }
        writeln!(out)?;
        let hash = self.schedule_hash.get(..16).unwrap_or(&self.schedule_hash);
        writeln!(out, "programs {hash}: {} distinct for {} chips", self.programs, self.chips())?;
        let tool = &self.tool;
        writeln!(out, "tool: {:.2} s, of which simulating {:.2} s", tool.total, tool.simulate)
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("schema", json!(SCHEMA));
        put("model", json!(self.model));
        put("chip", json!(self.chip));
        put("chips", json!(self.chips()));
        put("system", json!(self.system));
        put("batch", json!(self.batch));
        put("context", json!(self.context));
        put("precision", json!(self.precision));
        put("kv", json!(self.kv));
        put("embedding", json!(self.embedding));
        put("experts", json!(self.experts));
        let decode = json!({
            "cycles": self.simulated_cycles,
            "latency_us": self.seconds() * 1e6,
            "tokens_per_second_per_user": self.per_user(),
            "tokens_per_second": self.tokens_per_second(),
            "interval_cycles": self.interval_cycles(),
            "host_us": self.host_us,
        });
        put("decode", decode);
        put("bound", json!({ "cycles": self.bound_cycles, "ratio": self.ratio() }));
        let mut sram = Map::new();
        sram.insert("capacity_bytes".to_owned(), json!(self.capacity()));
        for (kind, (fullest, all)) in self.kinds() {
            sram.insert(format!("{kind}_bytes"), json!(fullest));
            sram.insert(format!("{kind}_bytes_of_all_chips"), json!(all));
        }
        put("sram", Value::Object(sram));
        put(
            "batches",
            json!({ "fill_the_pipeline": self.wanted_batches(), "have_caches": self.held_batches() }),
        );
        put("least_chips", json!(self.least_chips));
        put("tensor_parallel", json!(self.tensor_parallel));
        let stage = |stage: &StageRow| {
            json!({
                "pieces": stage.pieces,
                "count": stage.count,
                "cycles": stage.cycles,
                "bound_cycles": stage.summary.bound.cycles,
                "limiter": stage.summary.bound.limiter.name(),
                "used_bytes": used(&stage.summary),
            })
        };
        put("stages", self.stages.iter().map(stage).collect());
        let spent = self.spent().into_iter().map(|(name, cycles)| (name.to_owned(), json!(cycles)));
        put("spent_cycles", Value::Object(spent.collect()));
        let piece = |PieceRow { name, count, spent }: PieceRow| {
            let spent = Work::ALL.iter().zip(spent);
            let spent = spent.map(|(work, cycles)| (work.name().to_owned(), json!(cycles)));
            json!({ "name": name, "count": count, "spent_cycles": spent.collect::<Map<_, _>>() })
        };
        put("pieces", self.pieces().into_iter().map(piece).collect());
        put("distinct_programs", json!(self.programs));
        put("schedule_hash", json!(self.schedule_hash));
        put("predicted_cycles", json!(self.predicted_cycles));
        put("simulated_cycles", json!(self.simulated_cycles));
        put("tool_seconds", self.tool.json());
        Value::Object(object)
    }
}

/// SRAM in use at the fullest moment.
fn used(summary: &Summary) -> u64 {
    summary.weights_bytes + summary.kv_bytes + summary.activation_bytes + summary.instruction_bytes
}

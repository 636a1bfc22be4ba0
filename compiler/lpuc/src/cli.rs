//! The command line: what may be asked for.

use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use compiler::rewrite::GROUPS;
use models::Config;
use models::config::Run;
use simulator::Engine;

/// Compiles a neural network for an LPU, simulates the program to the cycle, and says how fast it is and why.
#[derive(Debug, Parser)]
#[command(name = "lpuc", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub part: Option<Part>,
    #[command(flatten)]
    pub subject: Option<Subject>,
    #[command(flatten)]
    pub job: Job,
}

/// What is compiled and for which chip.
#[derive(Args, Debug)]
pub(crate) struct Subject {
    /// The model: an ONNX file; NAME or CONFIG.json, a published model over many chips; or NAME/layer or CONFIG.json/layer, one layer of it. (A file
    /// that is named like a subcommand: `./asm`.)
    #[arg(value_name = "MODEL", required = true)]
    pub model: PathBuf,
    /// Chip: a preset (see `lpuc chips`) or a description file ending in .toml.
    #[arg(long, value_name = "NAME|FILE.toml", default_value = "lp30")]
    pub chip: String,
    /// Number of chips at most, or `auto` for as many as it takes.
    #[arg(long, value_name = "N|auto", default_value = "auto")]
    pub chips: String,
    /// System that a published model is put on: a preset (see `lpuc systems`) or a description file ending in .toml.
    #[arg(long, value_name = "NAME|FILE.toml")]
    pub system: Option<String>,
    /// Chips that compute each layer together; the best number if not given.
    #[arg(long, value_name = "N")]
    pub tensor_parallel: Option<usize>,
    /// Stages of the pipeline; as few as fit if not given.
    #[arg(long, value_name = "N")]
    pub pipeline: Option<usize>,
    /// What the mapping of a published model is to be best at.
    #[arg(long, value_enum, default_value = "chips")]
    pub objective: Objective,
    /// Sequences computed at once: binds the model's batch dimension.
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Slots of the KV cache of a decoder, or the sequence length of an encoder.
    #[arg(long, value_name = "N")]
    pub context: Option<usize>,
    /// Binds another symbolic dimension of the model; may be repeated.
    #[arg(long = "dim", value_name = "NAME=N", value_parser = dimension)]
    pub dims: Vec<(String, usize)>,
    /// Makes an input of the model a constant, of whose elements all have this value; may be repeated.
    #[arg(long = "fix", value_name = "INPUT=VALUE", value_parser = fixed)]
    pub fixed: Vec<(String, f32)>,
    /// How matrix products are computed.
    #[arg(long, value_enum, default_value = "fp16")]
    pub precision: Precision,
    /// How the KV cache is kept.
    #[arg(long, value_enum, default_value = "fp16")]
    pub kv: Kv,
    /// Where a published model's embedding table is: on the first stage's chips, or in the host's memory, and the host gives the token's vector.
    #[arg(long, value_enum, default_value = "chip")]
    pub embedding: Embedding,
    /// How a published model's experts run: all of them, the shares of most being zero; or those that are chosen, whose weights are gathered.
    #[arg(long, value_enum, default_value = "auto")]
    pub experts: Experts,
    /// Arrays to run the model on, under the model's input names; their shapes bind symbolic dimensions.
    #[arg(long, value_name = "IN.npz")]
    pub inputs: Option<PathBuf>,
    /// Ends the model at these values, or at what these nodes make, instead of at its own outputs; separated by commas.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub outputs_at: Vec<String>,
    /// Print the report as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// The main job: compile, simulate, report.
#[derive(Args, Debug)]
pub(crate) struct Job {
    /// Compile the graph as it was imported, without the e-graph.
    #[arg(long)]
    pub no_rewrite: bool,
    /// Rewrite without a group of rules; may be repeated. See `lpuc ablate` for what each is worth.
    #[arg(long, value_name = "GROUP", value_parser = PossibleValuesParser::new(GROUPS), conflicts_with = "no_rewrite")]
    pub without_rules: Vec<String>,
    /// Where to write every output of the model, under its name.
    #[arg(long, value_name = "OUT.npz")]
    pub outputs: Option<PathBuf>,
    /// Which simulator judges the program; all give the same answer.
    #[arg(long, value_enum, default_value = "fast")]
    pub simulator: Simulator,
    /// Write an intermediate form, to a file or (without PATH) to standard output; may be repeated.
    /// KIND is one of: graph rewritten legal kernels schedule asm program.
    #[arg(long, value_name = "KIND[=PATH]", value_parser = emission)]
    pub emit: Vec<(Emit, Option<PathBuf>)>,
    /// Run greedy decode steps on the simulated machine until N tokens after the prompt are there. With --outputs: prompt_ids,
    /// generated_ids, and the logits that each was chosen from.
    #[arg(long, value_name = "N", conflicts_with = "inputs")]
    pub generate: Option<usize>,
    /// The prompt as token ids, separated by commas.
    #[arg(long, value_name = "IDS", value_delimiter = ',', requires = "generate", conflicts_with = "prompt")]
    pub prompt_ids: Vec<u32>,
    /// The prompt as text, for models that ship their vocabulary.
    #[arg(long, value_name = "TEXT", requires = "generate")]
    pub prompt: Option<String>,
}

/// One part of the way by itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Translate assembly text to a binary program.
    Asm {
        /// Assembly text.
        file: PathBuf,
        /// Where the binary program goes.
        #[arg(short, long, value_name = "PATH")]
        output: PathBuf,
    },
    /// Print a binary program as assembly text.
    Dis {
        /// Binary program.
        file: PathBuf,
        /// Where the text goes; standard output if not given.
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Simulate a program.
    Sim {
        /// A program, binary or assembly text.
        program: PathBuf,
        /// Chip: a preset or a description file; the one that the program names if not given.
        #[arg(long, value_name = "NAME|FILE.toml")]
        chip: Option<String>,
        /// Arrays for the program's input and state ports, by port name; ports not named hold zeros.
        #[arg(long, value_name = "IN.npz")]
        inputs: Option<PathBuf>,
        /// Where to write the output and state ports.
        #[arg(long, value_name = "OUT.npz")]
        outputs: Option<PathBuf>,
        /// Which simulator judges the program; all give the same answer.
        #[arg(long, value_enum, default_value = "fast")]
        simulator: Simulator,
    },
    /// Say what becomes of each node of a model, without compiling it.
    Check(Subject),
    /// List the operators of ONNX that are understood, and why others are not.
    Ops {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Say what each group of rewrite rules is worth, in simulated cycles.
    Ablate(Subject),
    /// Say what more sequences at once cost a user and bring a chip, for a published model.
    Curve {
        #[command(flatten)]
        subject: Subject,
        /// Sizes of batch, separated by commas.
        #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,2,4,8,16")]
        batches: Vec<usize>,
        /// Print comma-separated values.
        #[arg(long)]
        csv: bool,
    },
    /// Say what adding up an array that every chip of a group has takes, for several sizes of it.
    AllReduce {
        /// System: a preset, or a description file; `NAME:N` is one of N nodes (or racks, of a system of racks).
        #[arg(long, value_name = "NAME|FILE.toml", default_value = "tsp-v1-node")]
        system: String,
        /// Chips of the group: whole nodes, or a divisor of a node's; all of the system if not given.
        #[arg(long, value_name = "N")]
        chips: Option<usize>,
        /// Sizes of the array in bytes, separated by commas.
        #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1024, 4096, 10_240, 20_480, 40_960, 81_920, 163_840, 327_680, 655_360, 1_310_720])]
        bytes: Vec<usize>,
        /// Print comma-separated values.
        #[arg(long)]
        csv: bool,
    },
    /// List the chip presets, or print one description file.
    Chips {
        /// A preset, or a description file to check.
        name: Option<String>,
    },
    /// List the system presets, or tell of one.
    Systems {
        /// A preset, or a description file to check.
        name: Option<String>,
    },
    /// List published models with what they weigh, or tell of one.
    Models {
        /// A preset, or a published configuration: the weights of each part.
        #[arg(value_name = "NAME|CONFIG.json")]
        model: Option<String>,
        /// Chip: a preset or a description file; says the least number whose SRAM holds the weights.
        #[arg(long, value_name = "NAME|FILE.toml")]
        chip: Option<String>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// What a mapping is to be best at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Objective {
    /// Few chips.
    Chips,
    /// Little time for a step.
    Latency,
    /// Many tokens a second for each chip.
    Throughput,
}

impl From<Objective> for compiler::system::Objective {
    fn from(objective: Objective) -> Self {
        match objective {
            Objective::Chips => compiler::system::Objective::Chips,
            Objective::Latency => compiler::system::Objective::Latency,
            Objective::Throughput => compiler::system::Objective::Throughput,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    /// Operands rounded to binary16, sums in binary32.
    Fp16,
    /// Operands split into binary16 parts.
    Fp32,
    /// Constant weights in signed bytes, activations in two parts of a byte.
    Int8,
    /// Constant weights and activations in e4m3.
    Fp8,
    /// Constant weights in blocks of four bits with a scale each.
    Int4,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kv {
    /// In binary16.
    Fp16,
    /// In e4m3, of which the planes make binary16; half the room.
    Fp8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Embedding {
    /// On chips.
    Chip,
    /// With the host.
    Host,
}

impl Embedding {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Embedding::Chip => "chip",
            Embedding::Host => "host",
        }
    }
}

/// How experts run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Experts {
    /// As the objective has it better.
    Auto,
    /// All of them, the shares of most being zero.
    Resident,
    /// Those that are chosen, whose weights are gathered.
    Gather,
}

impl Experts {
    /// The ways to be tried of a model for so many tokens at once.
    pub(crate) fn ways(self, config: &Config, tokens: usize) -> Vec<Run> {
        let models::config::FeedForward::Experts(shape) = config.feed_forward else {
            return vec![Run::Resident];
        };
        match self {
            Experts::Resident => vec![Run::Resident],
            Experts::Gather => vec![Run::Gather],
            // What gathers each expert for some token reads more weights than there are.
            Experts::Auto if tokens * shape.active < shape.experts => vec![Run::Gather, Run::Resident],
            Experts::Auto => vec![Run::Resident],
        }
    }
}

impl Subject {
    /// The model's file name; of a layer of a published model, that model's with it.
    pub(crate) fn name(&self) -> String {
        let last = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self.model.parent().map(last) {
            Some(model) if self.model.ends_with("layer") && !self.model.exists() => format!("{model}/layer"),
            _ => last(&self.model),
        }
    }
}

impl Precision {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Precision::Fp16 => "fp16",
            Precision::Fp32 => "fp32",
            Precision::Int8 => "int8",
            Precision::Fp8 => "fp8",
            Precision::Int4 => "int4",
        }
    }
}

impl Kv {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kv::Fp16 => "fp16",
            Kv::Fp8 => "fp8",
        }
    }
}

impl From<Kv> for compiler::Caches {
    fn from(kv: Kv) -> Self {
        match kv {
            Kv::Fp16 => compiler::Caches::Fp16,
            Kv::Fp8 => compiler::Caches::Fp8,
        }
    }
}

impl From<Precision> for compiler::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::Fp16 => compiler::Precision::Fp16,
            Precision::Fp32 => compiler::Precision::Fp32,
            Precision::Int8 => compiler::Precision::Int8,
            Precision::Fp8 => compiler::Precision::Fp8,
            Precision::Int4 => compiler::Precision::Int4,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Simulator {
    /// Checks runs of instructions, not cycles, and computes values by native code.
    Fast,
    /// Every queue and every register in every cycle, in plain code; slow.
    Reference,
    /// Both, compared write by write; a difference is a bug of ours.
    Tandem,
}

impl Simulator {
    /// The engine that does it.
    pub(crate) fn engine(self) -> Engine {
        match self {
            Simulator::Fast => Engine::Fast,
            Simulator::Reference => Engine::Reference,
            Simulator::Tandem => Engine::Tandem,
        }
    }
}

/// A form that can be written; the name is the word on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Emit {
    /// The imported graph.
    Graph,
    /// The graph after the e-graph.
    Rewritten,
    /// The graph in the form that the machine's slices compute.
    Legal,
    /// The lowered kernels.
    Kernels,
    /// The schedule.
    Schedule,
    /// Assembly text.
    Asm,
    /// The binary program.
    Program,
}

impl Emit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Emit::Graph => "graph",
            Emit::Rewritten => "rewritten",
            Emit::Legal => "legal",
            Emit::Kernels => "kernels",
            Emit::Schedule => "schedule",
            Emit::Asm => "asm",
            Emit::Program => "program",
        }
    }
}

fn dimension(text: &str) -> Result<(String, usize), String> {
    let (name, length) = text.split_once('=').ok_or("write NAME=N, for example `sequence=128`")?;
    let length = length.parse().map_err(|_| format!("`{length}` is not a whole number"))?;
    Ok((name.to_owned(), length))
}

fn fixed(text: &str) -> Result<(String, f32), String> {
    let (name, value) = text.rsplit_once('=').ok_or("write INPUT=VALUE, for example `sr=16000`")?;
    let number = match value {
        "true" => 1.0,
        "false" => 0.0,
        _ => value.parse().map_err(|_| format!("`{value}` is not a number"))?,
    };
    Ok((name.to_owned(), number))
}

fn emission(text: &str) -> Result<(Emit, Option<PathBuf>), String> {
    let (kind, path) = match text.split_once('=') {
        Some((kind, path)) => (kind, Some(PathBuf::from(path))),
        None => (text, None),
    };
    let names: Vec<&str> = Emit::value_variants().iter().map(|kind| kind.name()).collect();
    let kind = Emit::value_variants().iter().find(|emit| emit.name() == kind);
    let kind = *kind.ok_or_else(|| format!("the kinds are: {}", names.join(" ")))?;
    match path {
        Some(path) if path.as_os_str().is_empty() => Err("the path after `=` is empty".to_owned()),
        None if kind == Emit::Program => Err("a binary program needs a path: program=PATH".to_owned()),
        path => Ok((kind, path)),
    }
}

//! Published models: their shapes, what they weigh, and the least number of chips that holds their weights.

use std::fmt::Write;
use std::path::Path;

use isa::Chip;
use models::config::{Attention, FeedForward, Grouped};
use models::count::{self, Cache, Count};
use models::{Config, json, presets};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::report::json::SCHEMA;
use crate::report::text::grouped;
use crate::{Console, chips, files, print};

/// One model with what was counted.
struct Row<'a> {
    config: &'a Config,
    /// Where a preset's numbers are from.
    source: Option<&'static str>,
    count: Count,
    cache: Cache,
    /// Least chips at 8 and at 4 bits a weight, if a chip was named.
    chips: Option<[u64; 2]>,
}

/// Lists the presets, or tells of one model.
pub(crate) fn run(
    model: Option<&str>,
    chip: Option<&str>,
    as_json: bool,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let chip = chip.map(chips::load).transpose()?;
    let one = model.map(|name| shape(name)?.ok_or_else(|| unknown(name))).transpose()?;
    let rows: Vec<Row<'_>> = match &one {
        Some(config) => vec![Row::of(config, chip.as_ref())],
        None => presets::all().map(|preset| Row::of(&preset.config, chip.as_ref())).collect(),
    };
    let text = match (as_json, &rows[..]) {
        (true, _) => format!("{:#}\n", json_of(&rows, chip.as_ref())),
        (false, [row]) if one.is_some() => row.parts(chip.as_ref()),
        (false, _) => table(&rows, chip.as_ref()),
    };
    print(console, &text)
}

/// The shape of a model that is named: a preset, or a published configuration (anything that ends in `.json`).
pub(crate) fn shape(name: &str) -> Result<Option<Config>, Failure> {
    if !name.ends_with(".json") {
        return Ok(Config::preset(name).cloned());
    }
    let path = Path::new(name);
    let text = files::text(path)?;
    let problems = |problems: Vec<String>| {
        let list = problems.join("\n  ");
        Failure::input(format!("error[config]: the configuration is not understood\n  {list}")).about(path)
    };
    json::config(&called(path), &text).map(Some).map_err(problems)
}

/// A model's name, from its file's; most are called `config.json`, and then it is the folder's.
fn called(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    let folder = path.parent().and_then(Path::file_name);
    let name = if stem == "config" { folder.unwrap_or(stem) } else { stem };
    name.to_string_lossy().into_owned()
}

fn unknown(name: &str) -> Failure {
    Failure::input(format!(
        "error[unknown-model]: there is no model preset `{name}`\n  `lpuc models` lists the presets; a published configuration ends in .json"
    ))
}

/// The models whose layers can be compiled.
pub(crate) fn built() -> String {
    let built = presets::all().filter(|preset| preset.config.not_built().is_empty());
    built.map(|preset| preset.config.name.as_ref()).collect::<Vec<_>>().join(", ")
}

fn table(rows: &[Row<'_>], chip: Option<&Chip>) -> String {
    let titles = ["model", "layers", "hidden", "attention", "feed-forward"];
    let counts = ["parameters", "read a token", "KV elements a token", "layers built"];
    let mut lines: Vec<Vec<String>> = vec![titles.into_iter().chain(counts).map(str::to_owned).collect()];
    if chip.is_some() {
        lines[0].extend(["chips at 8 bits".to_owned(), "at 4 bits".to_owned()]);
    }
    lines.extend(rows.iter().map(Row::cells));
    let columns = lines[0].len();
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let mut text = String::new();
        for (at, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            // Words to the left, numbers to the right. Writing to a string does not fail.
            let _ = match at {
                0 | 3 | 4 => write!(text, "{cell:<width$}  "),
                _ => write!(text, "{cell:>width$}  "),
            };
        }
        out += text.trim_end();
        out.push('\n');
    }
    if let Some(chip) = chip {
        out += &format!("{}\n", full_of_weights(chip));
    }
    out + "`lpuc models NAME` shows the weights of each part; `lpuc NAME/layer` compiles a layer that is built\n"
}

fn full_of_weights(chip: &Chip) -> String {
    let megabytes = chip.sram_bytes() as f64 / 1e6;
    format!(
        "chips: the least number of {} whose SRAM ({megabytes:.1} MB) holds the matrices and nothing else",
        chip.name
    )
}

fn json_of(rows: &[Row<'_>], chip: Option<&Chip>) -> Value {
    json!({
        "schema": SCHEMA,
        "chip": chip.map(|chip| &chip.name),
        "models": rows.iter().map(Row::json).collect::<Vec<_>>(),
    })
}

impl<'a> Row<'a> {
    fn of(config: &'a Config, chip: Option<&Chip>) -> Row<'a> {
        let count = count::count(config);
        let matrices = count.total().matrices;
        Row {
            config,
            source: presets::all().find(|preset| preset.config == *config).map(|preset| preset.source),
            count,
            cache: count::cache(config),
            chips: chip.map(|chip| [8, 4].map(|bits| count::chips(matrices, bits, chip.sram_bytes()))),
        }
    }

    fn cells(&self) -> Vec<String> {
        let config = self.config;
        let total = self.count.total();
        let built = if config.not_built().is_empty() { "yes" } else { "no" };
        let mut cells = vec![
            config.name.to_string(),
            config.layers.to_string(),
            config.hidden.to_string(),
            attention(config),
            feed_forward(config),
            amount(total.all()),
            amount(total.read),
            cache(&self.cache),
            built.to_owned(),
        ];
        cells.extend(self.chips.into_iter().flatten().map(grouped));
        cells
    }

    /// The weights of each part.
    fn parts(&self, chip: Option<&Chip>) -> String {
        let config = self.config;
        let mut out = format!(
            "{}: {} layers of {}, vocabulary {}\nattention {}; feed-forward {}\n\n{:<16}{:>20} {:>15} {:>18}\n",
            config.name,
            config.layers,
            config.hidden,
            grouped(config.vocabulary as u64),
            attention(config),
            feed_forward(config),
            "part",
            "matrices",
            "vectors",
            "read a token"
        );
        let parts = self.count.parts().into_iter().filter(|(_, part)| part.all() + part.read > 0);
        for (name, part) in parts.chain([("all", self.count.total())]) {
            let [matrices, vectors, read] = [part.matrices, part.vectors, part.read].map(grouped);
            // Writing to a string does not fail.
            let _ = writeln!(out, "{name:<16}{matrices:>20} {vectors:>15} {read:>18}");
        }
        out += &format!("\nparameters: {}\n", grouped(self.count.total().all()));
        out += &format!("KV elements a token: {}\n", cache(&self.cache));
        if let (Some(chip), Some([at_8, at_4])) = (chip, self.chips) {
            let (at_8, at_4) = (grouped(at_8), grouped(at_4));
            out += &format!("{}: {at_8} at 8 bits, {at_4} at 4\n", full_of_weights(chip));
        }
        let missing = config.not_built();
        let built = if missing.is_empty() { "yes".to_owned() } else { format!("no: {}", missing.join(", ")) };
        out += &format!("layers built: {built}\n");
        out + &self.source.map_or(String::new(), |source| format!("source: config.json of {source}\n"))
    }

    fn json(&self) -> Value {
        let total = self.count.total();
        let part = |(name, part): (&str, count::Weights)| {
            json!({
                "name": name,
                "matrices": part.matrices,
                "vectors": part.vectors,
                "read_per_token": part.read,
            })
        };
        json!({
            "name": self.config.name,
            "source": self.source,
            "layers": self.config.layers,
            "hidden": self.config.hidden,
            "vocabulary": self.config.vocabulary,
            "attention": attention(self.config),
            "feed_forward": feed_forward(self.config),
            "parameters": total.all(),
            "matrices": total.matrices,
            "read_per_token": total.read,
            "kv_elements_per_token": {
                "full": self.cache.full,
                "windowed": self.cache.windowed,
                "window": self.cache.window,
            },
            "parts": self.count.parts().into_iter().map(part).collect::<Vec<_>>(),
            "not_built": self.config.not_built(),
            "chips": self.chips.map(|[at_8, at_4]| json!({ "at_8_bits": at_8, "at_4_bits": at_4 })),
        })
    }
}

/// Query heads / key heads × elements of a head; of a latent vector, its elements with those that are turned.
fn attention(config: &Config) -> String {
    match config.attention {
        Attention::Latent(latent) => {
            format!("{} over latent {} + {}", latent.heads, latent.kv_rank, latent.rope)
        }
        Attention::Grouped(Grouped { heads, kv_heads, head_dim, window, .. }) => {
            let mut text = format!("{heads}/{kv_heads} × {head_dim}");
            if let Some(window) = window {
                let full = (0..config.layers).filter(|&layer| window.sees_all(layer)).count();
                text += &format!(", window {} in {}", window.size, config.layers - full);
                if let Some(heads_there) = window.full {
                    text += &format!("; {heads}/{} × {}", heads_there.kv_heads, heads_there.head_dim);
                }
            }
            text
        }
    }
}

/// Elements between the products; of experts, those that work of those there are, and those that always work.
fn feed_forward(config: &Config) -> String {
    match config.feed_forward {
        FeedForward::Gated { inner } => inner.to_string(),
        FeedForward::Plain { inner } => format!("{inner}, no gate"),
        FeedForward::Experts(experts) => {
            let shared = if experts.shared > 0 { format!(" + {}", experts.shared) } else { String::new() };
            let mut text = format!("{} of {}{shared} × {}", experts.active, experts.experts, experts.inner);
            if experts.dense_layers > 0 {
                text += &format!("; first {}: {}", experts.dense_layers, experts.dense_inner);
            }
            text
        }
    }
}

/// A number with the unit that suits it.
fn amount(number: u64) -> String {
    if number >= 1_000_000_000 {
        format!("{:.2} B", number as f64 / 1e9)
    } else {
        format!("{:.2} M", number as f64 / 1e6)
    }
}

fn cache(cache: &Cache) -> String {
    match (cache.full, cache.windowed) {
        (0, 0) => "none".to_owned(),
        (full, 0) => grouped(full),
        (0, windowed) => format!("{} up to {}", grouped(windowed), cache.window),
        (full, windowed) => format!("{} + {} up to {}", grouped(full), grouped(windowed), cache.window),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let chip = Chip::preset("lp30").expect("a preset");
        let rows: Vec<Row<'_>> = presets::all().map(|preset| Row::of(&preset.config, Some(&chip))).collect();
        insta::assert_snapshot!(table(&rows, Some(&chip)));
    }

    #[test]
    fn the_parts_of_one() {
        let chip = Chip::preset("tsp-v1").expect("a preset");
        let config = Config::preset("deepseek-v3").expect("a preset");
        insta::assert_snapshot!(Row::of(config, Some(&chip)).parts(Some(&chip)));
    }

    #[test]
    fn a_file_called_config_has_its_folders_name() {
        for (path, name) in
            [("a/mine.json", "mine"), ("a/llama/config.json", "llama"), ("config.json", "config")]
        {
            assert_eq!(called(Path::new(path)), name);
        }
    }
}

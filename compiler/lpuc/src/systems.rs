//! System descriptions by name or by file.

use std::path::Path;

use isa::Chip;
use isa::system::System;

use crate::chips;
use crate::failure::Failure;
use crate::files;

/// The system that `--system` names: a preset, or a description file (anything that ends in `.toml`); with `:N` after it, of so many units of its
/// outermost level.
pub(crate) fn load(name: &str) -> Result<System, Failure> {
    let Some((plain, count)) = name.rsplit_once(':').filter(|(_, count)| count.parse::<u32>().is_ok()) else {
        return described(name);
    };
    let system = described(plain)?.with_count(count.parse().unwrap_or(0));
    system.map_err(|what| Failure::input(format!("error[bad-system]: {name}: {what}")))
}

fn described(name: &str) -> Result<System, Failure> {
    if !name.ends_with(".toml") {
        return System::preset(name).ok_or_else(|| unknown(name));
    }
    let path = Path::new(name);
    let text = files::text(path)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    System::parse(&stem, &text).map_err(|errors| chips::description(path, &text, &errors))
}

/// The system that a model of many chips is put on if none is named: the largest of that chip whose nodes are joined chip by chip.
pub(crate) fn usual(chip: &Chip) -> Result<System, Failure> {
    let family = if chip.name.starts_with("tsp") { "tsp-v1-node" } else { "lp30-rack" };
    load(family)
}

fn unknown(name: &str) -> Failure {
    let presets = System::presets().join(", ");
    Failure::input(format!(
        "error[unknown-system]: there is no system preset `{name}`\n  the presets are {presets}; a description file ends in .toml"
    ))
}

/// One line for each preset.
pub(crate) fn list() -> String {
    let mut out = String::new();
    for name in System::presets() {
        let Some(system) = System::preset(name) else { continue };
        let levels: Vec<String> = (system.levels.iter())
            .map(|level| format!("{} x {} ({})", level.count, level.name, level.wiring))
            .collect();
        out += &format!("{name:<18}{:>6} {:<8} {}\n", system.chips(), system.chip, levels.join(", "));
    }
    out + "`lpuc systems NAME` shows every field with its source\n"
}

/// Every field of a system with its source.
pub(crate) fn describe(system: &System) -> String {
    let source = |field: &str| system.sources.get(field).map_or("", String::as_str).to_owned();
    let mut out = format!("{}: {} chips of {}\n", system.name, system.chips(), system.chip);
    let mut line = |field: &str, value: String| {
        out += &format!("  {field:<28}{value:>14}  {}\n", source(field));
    };
    line("chip", system.chip.clone());
    line("host_us", system.host_us.to_string());
    for level in &system.levels {
        let name = &level.name;
        line(&format!("{name}.count"), level.count.to_string());
        line(&format!("{name}.wiring"), level.wiring.to_string());
        line(&format!("{name}.ports_per_chip"), level.ports_per_chip.to_string());
        line(&format!("{name}.gigabits_per_second"), level.link.gigabits_per_second.to_string());
        line(&format!("{name}.packet_bytes"), level.link.packet_bytes.to_string());
        line(&format!("{name}.hop_ns"), level.link.hop_ns.to_string());
        line(&format!("{name}.buffer_vectors"), level.link.buffer_vectors.to_string());
    }
    out
}

//! Chip descriptions by name or by file.

use std::path::Path;

use isa::Chip;

use crate::failure::Failure;
use crate::files;

/// The chip that `--chip` names: a preset, or a description file (anything that ends in `.toml`).
pub(crate) fn load(name: &str) -> Result<Chip, Failure> {
    if !name.ends_with(".toml") {
        return Chip::preset(name).ok_or_else(|| unknown(name));
    }
    let path = Path::new(name);
    let text = files::text(path)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    Chip::parse(&stem, &text).map_err(|errors| description(path, &text, &errors))
}

/// What is wrong with a description file.
pub(crate) fn description(path: &Path, text: &str, errors: &[isa::DescriptionError]) -> Failure {
    let problem = |error: &isa::DescriptionError| {
        let field = if error.field.is_empty() { String::new() } else { format!("{}: ", error.field) };
        (error.span.clone().unwrap_or(0..0), format!("{field}{}", error.message))
    };
    Failure::in_text(path, text, &errors.iter().map(problem).collect::<Vec<_>>())
}

fn unknown(name: &str) -> Failure {
    let presets = Chip::presets().join(", ");
    Failure::input(format!(
        "error[unknown-chip]: there is no chip preset `{name}`\n  the presets are {presets}; a description file ends in .toml"
    ))
}

/// One line for each preset.
pub(crate) fn list() -> String {
    let mut out = String::new();
    for name in Chip::presets() {
        let Some(chip) = Chip::preset(name) else { continue };
        let peaks = chip.peaks();
        out += &format!(
            "{name:<12} {:>5.0} MHz {:>6.1} MB SRAM {:>6.1} TB/s SRAM {:>6.1} TB/s into the planes {:>7.1} TOPS int8\n",
            chip.clock_hz / 1e6,
            peaks.sram_bytes as f64 / 1e6,
            peaks.sram_bytes_per_second / 1e12,
            peaks.load_bytes_per_second / 1e12,
            peaks.ops_per_second / 1e12,
        );
    }
    out + "`lpuc chips NAME` shows every field with its source\n"
}

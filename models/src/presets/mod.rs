//! Configurations of published models, a file for each family. Every number is of the `config.json` that the model was published with;
//! what that file does not say (a bias on the router, a norm of the latent vector) is of the code published beside it.

mod bert;
mod deepseek;
mod gemma;
mod gpt_oss;
mod llama;
mod mixtral;
mod qwen;

use crate::Config;

/// A configuration and where it is from.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// The shape.
    pub config: Config,
    /// The repository on Hugging Face whose `config.json` holds these numbers.
    pub source: &'static str,
}

/// All, family by family.
pub fn all() -> impl Iterator<Item = &'static Preset> {
    let families: [&'static [Preset]; 7] = [
        &llama::PRESETS,
        &mixtral::PRESETS,
        &qwen::PRESETS,
        &gpt_oss::PRESETS,
        &deepseek::PRESETS,
        &gemma::PRESETS,
        &bert::PRESETS,
    ];
    families.into_iter().flatten()
}

//! Published LLM configurations as data, what they weigh, and the builders that turn them into graphs without weights.

pub mod config;
pub mod layers;
pub mod count;
pub mod build;
pub mod whole;
pub mod json;
pub mod presets;

pub use config::Config;

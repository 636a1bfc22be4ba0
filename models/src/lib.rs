//! Published LLM configurations as data, and the builders that turn them into graphs without weights.

pub mod config;
pub mod decoder;

pub use config::Config;

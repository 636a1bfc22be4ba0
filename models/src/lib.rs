//! Published LLM configurations as data, and the builders that turn them into graphs (not begun).

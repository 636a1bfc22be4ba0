//! From one graph to a graph for each chip.
//!
//! [`tensor_parallel`] cuts the graph of a stage for a group of chips that compute it together.

pub mod tensor_parallel;

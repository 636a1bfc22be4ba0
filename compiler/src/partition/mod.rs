//! From one graph to a graph for each chip.
//!
//! [`tensor_parallel`] cuts the graph of a stage for a group of chips that compute it together; [`groups`] says where the groups are and which links
//! they have.

pub mod tensor_parallel;
pub mod groups;

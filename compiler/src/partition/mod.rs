//! From one graph to a graph for each chip.
//!
//! [`tensor_parallel`] cuts the graph of a stage for a group of chips that compute it together; [`groups`] says where the groups are and which links
//! they have, and [`gates`] puts what is exchanged on its way where only some chips have links.

pub mod tensor_parallel;
pub mod gates;
pub mod groups;
mod ways;

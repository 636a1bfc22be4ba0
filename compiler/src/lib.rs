//! From a model to a program for a described chip.

pub mod diagnostic;
pub mod onnx;
pub mod graph;
pub mod rewrite;
pub mod lower;
pub mod schedule;
pub mod emit;

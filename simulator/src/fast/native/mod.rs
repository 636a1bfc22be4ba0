//! Native code for vectors: chains of ALU operations, moves between lanes, matrix tiles.
//!
//! Vectors live in one arena of *words*: word i is the [`stride`] bytes from byte i·stride on. A vector of a stream is one word, one
//! byte per lane; lanes past the last may hold anything. A *wide* vector is 4 consecutive words: 32 bits per lane, little endian, lane
//! after lane.
//!
//! Everything here gives the bits that `isa::numeric` gives, on any host.
#![allow(unsafe_code, reason = "compiled code is called, and vectors of the host's processor are used")]

#[cfg(test)]
mod bench;
mod chain;
mod half;
mod lanes;
mod library;
mod math;
mod tile;

pub(crate) use chain::{Chain, ChainCode, Node, Operand, Source};
pub(crate) use lanes::{LaneCode, LaneMove};
pub(crate) use library::{Library, stride};
pub(crate) use tile::Tile;

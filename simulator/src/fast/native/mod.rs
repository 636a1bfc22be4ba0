//! Native code for vectors: chains of ALU operations, moves between lanes, matrix tiles.

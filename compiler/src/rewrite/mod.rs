//! E-graph rewriting.

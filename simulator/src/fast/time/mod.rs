//! Time, checked on runs: no instruction is stepped through.

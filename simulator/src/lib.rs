//! Executes programs on described chips, and judges them.

//! The cost grows with the runs, not with what they repeat.

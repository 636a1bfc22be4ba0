//! Whole-project tests; see the files beside this one.

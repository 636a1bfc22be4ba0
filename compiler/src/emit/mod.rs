//! From a schedule to a program.

//! The arithmetic of the machine, bit by bit.

//! From kernels to a schedule.

//! How fast products are; to be run by hand, and read.

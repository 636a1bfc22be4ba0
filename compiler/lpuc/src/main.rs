//! The command `lpuc`.
fn main() {}

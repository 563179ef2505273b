//! The `lx` command.
fn main() {}

//! The kernel image (placeholder until host-linux lands).
fn main() {}

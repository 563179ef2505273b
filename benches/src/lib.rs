//! lx-benches.

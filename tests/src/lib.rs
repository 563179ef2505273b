//! lx-tests.

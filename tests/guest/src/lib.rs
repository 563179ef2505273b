//! lx-guest-tests.

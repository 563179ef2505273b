//! A deterministic Host for tests.

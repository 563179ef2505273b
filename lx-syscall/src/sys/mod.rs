//! Handlers, one file per family of man pages.

pub(crate) mod id;

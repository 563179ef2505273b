//! The page from which the guests' vDSO reads the clocks: one static of the image, hence shared.
//!
//! Init compares it with the host's clocks several times a second, so it follows their rate.

use core::sync::atomic::{AtomicU64, Ordering};

use lx_x86::context::read_tsc;

use crate::clock;

/// How often init's loop comes by.
pub(crate) const INTERVAL_MS: usize = 500;

//! Randomness.

/// The host's random numbers.
pub trait HostEntropy {
    /// Fills `bytes` with cryptographically strong random bytes (seeded ones on a deterministic
    /// host).
    fn fill(&self, bytes: &mut [u8]);
}

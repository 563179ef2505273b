//! How long random tests go on.

use std::env;
use std::time::{Duration, Instant};

/// The environment variable with a number of seconds: each random test goes on for so long.
pub const VARIABLE: &str = "LX_SOAK_SECONDS";

/// Runs `cases` cases, or batches of so many until the time that [`VARIABLE`] gives is over. Then
/// the number of operations is printed, which is what `run` returns of all batches so far.
///
/// # Errors
/// What `run` fails with.
pub fn repeat<E>(
    what: &str,
    cases: u32,
    mut run: impl FnMut(u32) -> Result<u64, E>,
) -> Result<(), E> {
    let seconds = env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    loop {
        let operations = run(cases)?;
        if Instant::now() >= end {
            if seconds.is_some() {
                println!("soak: {what}: {operations} operations without a difference");
            }
            return Ok(());
        }
    }
}

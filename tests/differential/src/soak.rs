//! How long random tests go on.

use std::env;
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngSeed};

/// What the cases of the ordinary tests are made from: the same ones each time, so that a change is
/// told that it has broken something, and not that somebody else has.
const SEED: u64 = 1;

/// How `cases` cases are made: the same ones each time, or others each time while a soak goes on.
pub fn config(cases: u32) -> Config {
    let rng_seed = match env::var_os(VARIABLE) {
        Some(_) => RngSeed::Random,
        None => RngSeed::Fixed(SEED),
    };
    Config { cases, rng_seed, failure_persistence: None, ..Config::default() }
}

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

//! Many processes and many interrupts: nothing fails, nothing is lost, nothing is forgotten.
//!
//! What could be forgotten is counted: `--stats` says how many handles and thread blocks there are
//! and how much of the region is in use. A run of a tenth of the size comes first; the full run may
//! not have more than [`SLACK`] above it.
//!
//! Under Wine a fork takes some milliseconds, so that CI runs a part of the sizes;
//! `cargo xtask test-windows --stress` runs them in full.

use std::env;
use std::fs;
use std::path::Path;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use lx_tests::Outcome;

use crate::{expectations, rootfs, wine};

/// Set by `--stress`.
pub(crate) const VARIABLE: &str = "LX_STRESS";

/// Part of the program `stress`, size in CI, full size.
const PARTS: [(&str, u32, u32); 4] =
    [("forks", 400, 2000), ("threaded", 50, 500), ("large", 10, 50), ("many", 40, 200)];

/// Interrupts of a thread with data in its red zone, losses of the FS base: in CI and in full.
const INTERRUPTS: (u32, u32) = (1000, 10_000);

/// How much more there may be after the long run than after the short one, by counter.
const SLACK: [(&str, u64); 3] = [
    ("host handles of init", 40),
    ("host handles of a waiting process, at most", 16),
    ("kernel memory in use, bytes", 16 << 20),
];

/// One test for each part, and the two of the registers.
pub(crate) fn trials() -> Result<Vec<Trial>, String> {
    let Some(folder) = env::var_os("LX_GUESTS") else { return Ok(Vec::new()) };
    let programs = ["stress", "red_zone", "tls"].map(|name| Path::new(&folder).join(name));
    let root = rootfs::stress(&programs)?;
    let full = env::var_os(VARIABLE).is_some();
    let size = move |part: u32, whole: u32| if full { whole } else { part };
    let parts = PARTS.into_iter().map(move |(name, part, whole)| {
        let count = size(part, whole);
        expectations::trial(format!("stress::{name}"), move || leaves_nothing(root, name, count))
    });
    let interrupts = size(INTERRUPTS.0, INTERRUPTS.1);
    let registers = [
        expectations::trial("stress::red_zone", move || {
            run(root, &["/bin/red_zone", &interrupts.to_string()], 0).map(drop)
        }),
        expectations::trial("stress::lost_fs", move || loses_fs(root, u64::from(interrupts))),
    ];
    Ok(parts.chain(registers).collect())
}

/// The counters of a run that must succeed.
fn run(root: &Path, args: &[&str], losses: u32) -> Result<String, Failed> {
    let scratch = tempfile::tempdir()?;
    let stats = scratch.path().join("stats");
    let root = format!("Z:{}", root.display());
    let option = format!("--stats=Z:{}", stats.display());
    let fixed = ["run", &option, "--rootfs", &root, "--"];
    let mut run = wine::lx(fixed.iter().chain(args), scratch.path())?;
    if losses > 0 {
        run = run.env("LX_TEST_LOSE_FS", losses.to_string());
    }
    let outcome: Outcome = run.limit(Duration::from_secs(400)).outcome()?;
    if outcome.status != 0 || outcome.defect.is_some() {
        return Err(format!("{args:?}: {outcome:#?}").into());
    }
    Ok(fs::read_to_string(stats)?)
}

fn counter(stats: &str, name: &str) -> Result<u64, Failed> {
    let line = stats.lines().find_map(|line| line.trim().strip_suffix(name)?.trim().parse().ok());
    line.ok_or_else(|| format!("no {name:?} in {stats}").into())
}

fn leaves_nothing(root: &Path, part: &str, count: u32) -> Result<(), Failed> {
    // As many processes at once as in the long run: what they need is kept for the next ones, and
    // each thread block keeps some free objects.
    let (few, short, long) =
        if part == "many" { (count, "3", "6") } else { (count.div_ceil(10), "1", "1") };
    let short = run(root, &["/bin/stress", part, &few.to_string(), short], 0)?;
    let long = run(root, &["/bin/stress", part, &count.to_string(), long], 0)?;
    for (name, slack) in SLACK {
        let (before, after) = (counter(&short, name)?, counter(&long, name)?);
        eprintln!("{part} {few}, {count}: {before}, {after} {name}");
        if after > before + slack {
            return Err(format!("{before} after {few}, {after} after {count}: {name}").into());
        }
    }
    Ok(())
}

/// Runs of the program until its threads have lost their FS base often enough.
fn loses_fs(root: &Path, wanted: u64) -> Result<(), Failed> {
    const RUNS: u32 = 30;
    let mut lost = 0;
    for _ in 0..RUNS {
        let stats = run(root, &["/bin/tls", "5000"], 1_000_000)?;
        lost += counter(&stats, "host FS bases lost by order")?;
        if lost >= wanted {
            return Ok(());
        }
    }
    Err(format!("the FS base was lost {lost} times only").into())
}

//! Where the `lx` command is, and how to run a program on it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use crate::Run;

/// The environment variable that names another `lx` command to test.
pub const VARIABLE: &str = "LX_BIN";

/// The `lx` command under test: `$LX_BIN`, or `release/lx` in the folder that this test was
/// built into.
///
/// # Errors
///
/// A sentence that says what is missing and how to build it.
pub fn command() -> Result<PathBuf, String> {
    let path = match env::var_os(VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => built("lx").ok_or("cannot tell where this test was built")?,
    };
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} is missing; build it: cargo build --release -p lx", path.display()))
}

/// A guest program of `tests/guest`.
///
/// # Errors
///
/// A sentence that says what is missing and how to build it.
pub fn guest(name: &str) -> Result<PathBuf, String> {
    let path = built(name).ok_or("cannot tell where this test was built")?;
    if path.is_file() {
        return Ok(path);
    }
    let build = "cargo build --release -p lx-guest-tests";
    Err(format!("{} is missing; build it: {build}", path.display()))
}

/// `target/<profile>/deps/<test>` stands beside `target/release/<program>`.
fn built(program: &str) -> Option<PathBuf> {
    let test = env::current_exe().ok()?;
    Some(test.parent()?.parent()?.parent()?.join("release").join(program))
}

/// A run of `program` on lx that writes its statistics to `stats`.
///
/// # Errors
///
/// As [`command`].
pub fn run<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = S>,
    scratch: &Path,
    stats: &Path,
) -> Result<Run, String> {
    let mut option = OsString::from("--stats=");
    option.push(stats);
    Ok(Run::new(command()?, scratch)
        .args([OsStr::new("run"), &option, OsStr::new("--"), program.as_ref()])
        .args(args))
}

/// The number behind `trapped system calls:` in a statistics file.
///
/// # Errors
///
/// A sentence when the file or its line is missing.
pub fn trapped(stats: &Path) -> Result<u64, String> {
    let text = fs::read_to_string(stats)
        .map_err(|error| format!("no statistics in {}: {error}", stats.display()))?;
    text.lines()
        .find_map(|line| line.trim().strip_prefix("trapped system calls:")?.trim().parse().ok())
        .ok_or_else(|| format!("no line \"trapped system calls: N\" in the statistics:\n{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_trapped_calls_is_found_in_the_statistics() {
        let dir = tempfile::tempdir().unwrap();
        let stats = dir.path().join("stats");
        assert!(trapped(&stats).unwrap_err().contains("no statistics"));
        fs::write(&stats, "calls: 10\ntrapped system calls: 12\n").unwrap();
        assert_eq!(trapped(&stats), Ok(12));
        fs::write(&stats, "calls: 10\n").unwrap();
        assert!(trapped(&stats).unwrap_err().contains("calls: 10"));
    }
}

//! How a program for Windows is started here.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lx_tests::Run;

/// How long one run may take: Wine itself takes a second on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// What the task set for Wine.
const PASSED_ON: &[&str] = &["WINEPREFIX", "WINEDEBUG", "WINEDLLOVERRIDES", "LX_WINE_FS_SLOT"];

/// A run of `lx.exe` with these arguments.
///
/// # Errors
/// A sentence if the environment of `cargo xtask test-windows` is missing.
pub(crate) fn lx<S: AsRef<OsStr>>(
    args: impl IntoIterator<Item = S>,
    scratch: &Path,
) -> Result<Run, String> {
    run("lx.exe", args, scratch)
}

/// A run of a program in the folder of `lx.exe`.
fn run<S: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = S>,
    scratch: &Path,
) -> Result<Run, String> {
    let program = PathBuf::from(variable("LX_WINDOWS")?).join(program);
    let mut run = match env::var_os("LX_WINE") {
        Some(wine) => Run::new(wine, scratch).args([program]),
        None => Run::new(program, scratch),
    };
    for name in PASSED_ON {
        if let Some(value) = env::var_os(name) {
            run = run.env(name, value);
        }
    }
    if let Some(library) = env::var_os("LX_WINE_PRELOAD") {
        run = run.env("LD_PRELOAD", library);
    }
    Ok(run.args(args).limit(LIMIT))
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set; run: cargo xtask test-windows"))
}

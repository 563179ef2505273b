//! How a program for Windows is started here.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use lx_tests::Run;

/// How long one run may take: Wine itself takes a second on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// What the task set for Wine. `TMPDIR` is where its server is found: with one of its own, a run would
/// get a server of its own, and with that all of Wine's services.
const PASSED_ON: &[&str] =
    &["WINEPREFIX", "WINEDEBUG", "WINEDLLOVERRIDES", "LX_WINE_FS_SLOT", "TMPDIR"];

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

/// The same as a command, for tests that end it in their own way.
///
/// # Errors
/// As [`lx`].
pub(crate) fn command<S: AsRef<OsStr>>(
    args: impl IntoIterator<Item = S>,
) -> Result<Command, String> {
    let (program, first) = program("lx.exe")?;
    let mut command = Command::new(program);
    command.args(first).args(args).env_clear().envs(environment());
    Ok(command)
}

/// One of the tests' own programs of Windows as a command.
///
/// # Errors
/// As [`lx`].
pub(crate) fn program_of<S: AsRef<OsStr>>(
    program: &Path,
    args: impl IntoIterator<Item = S>,
) -> Result<Command, String> {
    let mut command = match env::var_os("LX_WINE") {
        Some(wine) => Command::new(wine),
        None => return Err("there is no program of Windows for the tests on Windows".to_owned()),
    };
    command.arg(program).args(args).env_clear().envs(environment());
    Ok(command)
}

/// A run of a program in the folder of `lx.exe`.
fn run<S: AsRef<OsStr>>(
    name: &str,
    args: impl IntoIterator<Item = S>,
    scratch: &Path,
) -> Result<Run, String> {
    let (program, first) = program(name)?;
    let run = Run::new(program, scratch).args(first).args(args).limit(LIMIT);
    let run = with_status(run, scratch)?;
    Ok(environment().into_iter().fold(run, |run, (name, value)| run.env(name, value)))
}

/// The same, with a file for the exit status: Wine's server kills processes that end slowly.
fn with_status(run: Run, scratch: &Path) -> Result<Run, String> {
    let file = scratch.join("wine-status");
    fs::write(&file, "").map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(run.env("LX_WINE_STATUS", &file).status_file(file))
}

/// A run of one of Windows' own programs.
///
/// # Errors
/// As [`lx`].
pub(crate) fn windows<S: AsRef<OsStr>>(
    name: &str,
    args: impl IntoIterator<Item = S>,
    scratch: &Path,
) -> Result<Run, String> {
    let run = match env::var_os("LX_WINE") {
        Some(wine) => Run::new(wine, scratch).args([name]),
        None => Run::new(name, scratch),
    };
    let run = with_status(run, scratch)?;
    let run = run.args(args).limit(LIMIT);
    Ok(environment().into_iter().fold(run, |run, (name, value)| run.env(name, value)))
}

/// Whether Wine plays Windows.
pub(crate) fn is_wine() -> bool {
    env::var_os("LX_WINE").is_some()
}

/// The path of a program in the folder of `lx.exe`, as programs of Windows take it.
///
/// # Errors
/// As [`lx`].
pub(crate) fn path_of(name: &str) -> Result<String, String> {
    let path = PathBuf::from(variable("LX_WINDOWS")?).join(name);
    let drive = if is_wine() { "Z:" } else { "" };
    Ok(format!("{drive}{}", path.display()).replace('/', "\\"))
}

/// The same as this machine names it.
///
/// # Errors
/// As [`lx`].
pub(crate) fn unix_path_of(name: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(variable("LX_WINDOWS")?).join(name))
}

/// What to start for a program in the folder of `lx.exe`, and its first argument.
fn program(name: &str) -> Result<(PathBuf, Option<PathBuf>), String> {
    let program = PathBuf::from(variable("LX_WINDOWS")?).join(name);
    Ok(match env::var_os("LX_WINE") {
        Some(wine) => (wine.into(), Some(program)),
        None => (program, None),
    })
}

fn environment() -> Vec<(&'static str, OsString)> {
    let passed_on = PASSED_ON.iter().filter_map(|name| Some((*name, env::var_os(name)?)));
    let preload = env::var_os("LX_WINE_PRELOAD").map(|library| ("LD_PRELOAD", library));
    // Names of files with letters beyond ASCII need it.
    let locale = Some(("LC_ALL", OsString::from("C.UTF-8"))).filter(|_| is_wine());
    passed_on.chain(preload).chain(locale).collect()
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set; run: cargo xtask test-windows"))
}

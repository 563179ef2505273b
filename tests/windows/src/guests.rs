//! The guest programs of `tests/guest`: every check that holds natively holds on Windows too.

use std::env;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use lx_tests::{Outcome, Run, programs};

use crate::{expectations, rootfs, wine};

/// Checks that cannot hold under Wine.
const WINE: &str = include_str!("../wine.toml");

/// Programs that other tests run.
const OTHERS: &[&str] = &["faults", "random"];

/// One test for each program.
pub(crate) fn trials() -> Result<Vec<Trial>, String> {
    let Some(folder) = env::var_os("LX_GUESTS").map(PathBuf::from) else { return Ok(Vec::new()) };
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest/src/bin");
    let sources = programs::discover(&sources).map_err(|error| error.to_string())?;
    let names = sources.iter().filter_map(|path| path.file_stem()?.to_str());
    let names: Vec<_> = names.filter(|name| !OTHERS.contains(name)).map(str::to_owned).collect();
    let programs: Vec<_> = names.iter().map(|name| folder.join(name)).collect();
    let root = rootfs::guests(&programs)?;
    let trials = names.into_iter().zip(programs).map(|(name, program)| {
        expectations::trial(format!("guest::{name}"), move || same(root, &program))
    });
    let on_host = ["shared_file", "xattrs"].map(|name| {
        let program = folder.join(name);
        expectations::trial(format!("guest::{name}_of_the_host"), move || {
            in_folder_of_the_host(root, &program)
        })
    });
    Ok(trials.chain(on_host).collect())
}

/// The program in a folder of the host instead of a file system in memory.
fn in_folder_of_the_host(root: &Path, program: &Path) -> Result<(), Failed> {
    let (scratch, folder) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let native = Run::new(program, scratch.path()).outcome()?;
    let drive = if wine::is_wine() { "Z:" } else { "" };
    let root = format!("{drive}{}", root.display());
    let volume = format!("{drive}{}:/host", folder.path().display());
    let args = ["run", "--rootfs", &root, "-v", &volume, "-e", "TMPDIR=/host", "--"];
    let name = program.file_name().and_then(|name| name.to_str()).ok_or("a strange name")?;
    let program = format!("/bin/{name}");
    let args = args.into_iter().chain([program.as_str()]);
    let on_lx = wine::lx(args, scratch.path())?.outcome()?;
    if on_lx.status != 0 || on_lx.stdout != native.stdout {
        return Err(report(&on_lx));
    }
    Ok(())
}

fn same(root: &Path, program: &Path) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let native = Run::new(program, scratch.path()).outcome()?;
    let name = program.file_name().and_then(|name| name.to_str()).ok_or("a strange name")?;
    let root = format!("Z:{}", root.display());
    let args = ["run", "--rootfs", &root, "-e", "TMPDIR=/tmp", "--", &format!("/bin/{name}")];
    let on_lx = wine::lx(args, scratch.path())?.outcome()?;
    if on_lx.status > 1 || on_lx.defect.is_some() {
        return Err(report(&on_lx));
    }
    let text = |outcome: &Outcome| String::from_utf8_lossy(&outcome.stdout).into_owned();
    let gaps = if wine::is_wine() { WINE } else { "" };
    let (native, on_lx) = (text(&native), text(&on_lx));
    Ok(lx_tests::expectations::compare_beside(gaps, name, &native, &on_lx)?)
}

/// How far the program came, and what it said.
fn report(outcome: &Outcome) -> Failed {
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    let failed: Vec<&str> = stdout.lines().filter(|line| !line.starts_with("ok ")).collect();
    Failed::from(format!(
        "status {}, {}\n{}\nlast line: {}\n{}",
        outcome.status,
        outcome.defect.as_deref().unwrap_or("came to its end"),
        failed.join("\n"),
        stdout.lines().last().unwrap_or("nothing"),
        String::from_utf8_lossy(&outcome.stderr)
    ))
}

//! The scripts of `tests/programs`, in a Debian tree: same output and status as natively, and no system
//! call that trapped because its site was not rewritten.

use std::path::Path;

use libtest_mimic::{Failed, Trial};
use lx_tests::{Run, compare, lx, programs};

use crate::{expectations, rootfs, wine};

/// What `Run` sets natively, for a guest.
const ENVIRONMENT: &[&str] =
    &["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LC_ALL=C", "TZ=UTC", "TMPDIR=/tmp"];

/// One test for each script; none where the tree cannot be made, which is on Windows.
pub(crate) fn trials() -> Result<Vec<Trial>, String> {
    if cfg!(windows) {
        return Ok(Vec::new());
    }
    let scripts = programs::discover(&programs::folder()).map_err(|error| error.to_string())?;
    let trials = scripts.into_iter().filter_map(|script| {
        let name = script.file_stem()?.to_str()?.to_owned();
        Some(expectations::trial(format!("script::{name}"), move || same(&script)))
    });
    Ok(trials.collect())
}

fn same(script: &Path) -> Result<(), Failed> {
    programs::required()?;
    let scratch = tempfile::tempdir()?;
    let native = Run::new(script, scratch.path()).outcome()?;
    let root = format!("Z:{}", rootfs::debian()?.display());
    // At the same place, because shells name it in their messages.
    let path = script.to_str().ok_or("a strange name")?;
    let stats = scratch.path().join("stats");
    let option = format!("--stats=Z:{}", stats.display());
    let mut args = vec!["run", &option, "--rootfs", &root];
    for variable in ENVIRONMENT {
        args.extend(["-e", variable]);
    }
    args.extend(["--", path]);
    let on_lx = wine::lx(args, scratch.path())?.outcome()?;
    compare::outcomes(&native, "lx.exe", &on_lx)?;
    match lx::trapped(&stats)? {
        0 => Ok(()),
        count => Err(format!("{count} system calls trapped").into()),
    }
}

//! The scripts of `tests/programs` and the programs that they need.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Run, compare, lx};

/// Programs that the scripts use, with the Debian package that installs each.
const REQUIRED: &[(&str, &str)] = &[
    ("/bin/bash", "bash"),
    ("/bin/busybox", "busybox-static"),
    ("/bin/dash", "dash"),
    ("/bin/grep", "grep"),
    ("/bin/gzip", "gzip"),
    ("/bin/sed", "sed"),
    ("/bin/tar", "tar"),
    ("/usr/bin/cmp", "diffutils"),
    ("/usr/bin/find", "findutils"),
    ("/usr/bin/less", "less"),
    ("/usr/bin/mawk", "mawk"),
    ("/usr/bin/perl", "perl"),
    ("/usr/bin/python3", "python3"),
    ("/usr/bin/setsid", "util-linux"),
    ("/usr/bin/sort", "coreutils"),
    ("/usr/bin/tmux", "tmux"),
    ("/usr/bin/top", "procps"),
    ("/usr/bin/vim.tiny", "vim-tiny"),
];

/// The folder of the scripts.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// The scripts in `folder`, by name.
///
/// # Errors
///
/// The folder cannot be read.
pub fn discover(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut scripts = Vec::new();
    for entry in fs::read_dir(folder)? {
        scripts.push(entry?.path());
    }
    scripts.sort();
    Ok(scripts)
}

/// Says that every required program is there.
///
/// # Errors
///
/// The programs that are missing and the command that installs them.
pub fn required() -> Result<(), String> {
    missing(|program| Path::new(program).exists())
}

fn missing(exists: impl Fn(&str) -> bool) -> Result<(), String> {
    let missing = || REQUIRED.iter().filter(|(program, _)| !exists(program));
    let programs: Vec<&str> = missing().map(|(program, _)| *program).collect();
    if programs.is_empty() {
        return Ok(());
    }
    let packages: BTreeSet<&str> = missing().map(|(_, package)| *package).collect();
    let packages: Vec<&str> = packages.into_iter().collect();
    Err(format!(
        "missing: {}; install: apt-get install -y {}",
        programs.join(" "),
        packages.join(" ")
    ))
}

/// Runs `script` natively and on lx: output and exit status must be equal, no system call may
/// have trapped, and nothing may stay behind in the temporary folder.
///
/// # Errors
///
/// What differs or is missing.
pub fn same_on_lx(script: &Path) -> Result<(), String> {
    let stats = tempfile::tempdir().map_err(|error| error.to_string())?;
    let stats = stats.path().join("stats");
    let no_args: [&str; 0] = [];
    both(script, "lx", |scratch| lx::run(script, no_args, scratch, &stats))?;
    match lx::trapped(&stats)? {
        0 => Ok(()),
        trapped => Err(format!("trapped system calls: {trapped}")),
    }
}

/// Runs `script` natively twice, which shows that nothing in it depends on time or numbers.
///
/// # Errors
///
/// What differs.
pub fn same_natively(script: &Path) -> Result<(), String> {
    both(script, "native again", |scratch| Ok(Run::new(script, scratch)))
}

fn both(
    script: &Path,
    name: &str,
    other: impl Fn(&Path) -> Result<Run, String>,
) -> Result<(), String> {
    required()?;
    let run = |who: &str, run: &dyn Fn(&Path) -> Result<Run, String>| {
        let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
        let outcome = run(scratch.path())?
            .outcome()
            .map_err(|error| format!("{who}: {} cannot be run: {error}", script.display()))?;
        let left = discover(scratch.path()).map_err(|error| error.to_string())?;
        if left.is_empty() { Ok(outcome) } else { Err(format!("{who}: left behind: {left:?}")) }
    };
    let native = run("native", &|scratch| Ok(Run::new(script, scratch)))?;
    compare::outcomes(&native, name, &run(name, &other)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_are_named_with_the_command_that_installs_them() {
        assert_eq!(missing(|_| true), Ok(()));
        assert_eq!(
            missing(|program| !program.ends_with("sed") && !program.ends_with("mawk")),
            Err("missing: /bin/sed /usr/bin/mawk; install: apt-get install -y mawk sed".to_owned())
        );
    }

    #[test]
    fn every_script_names_a_required_interpreter_and_says_what_it_is_about() {
        let scripts = discover(&folder()).unwrap();
        assert!(scripts.len() >= 60, "only {} scripts", scripts.len());
        for script in scripts {
            let text = fs::read_to_string(&script).unwrap();
            let mut lines = text.lines();
            let interpreter = lines.next().and_then(|line| line.strip_prefix("#!"));
            let program = interpreter.and_then(|line| line.split(' ').next());
            assert!(
                REQUIRED.iter().any(|(required, _)| Some(*required) == program),
                "{}: interpreter {program:?}",
                script.display()
            );
            let subject = lines.next().or(Some("")).filter(|line| !line.is_empty());
            assert!(
                subject.is_some_and(|line| line.starts_with('#') || line.starts_with('"')),
                "{}: no comment on line 2",
                script.display()
            );
        }
    }
}

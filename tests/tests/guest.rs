//! Every guest program of `tests/guest` passes natively and, but for known gaps, on lx.

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use lx_tests::{Outcome, Run, expectations, lx, programs};

/// Programs that other tests run.
const OTHERS: &[&str] = &["faults", "random"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest/src/bin");
    let sources = match programs::discover(&folder) {
        Ok(sources) => sources,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    };
    let names = sources.iter().filter_map(|path| path.file_stem()?.to_str());
    let trials = names
        .filter(|name| !OTHERS.contains(name))
        .flat_map(|name| {
            let (native, on_lx) = (name.to_owned(), name.to_owned());
            [
                Trial::test(name, move || passes_natively(&native).map(|_| ())).with_kind("native"),
                Trial::test(name, move || passes_on_lx(&on_lx)).with_kind("lx"),
            ]
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn passes_natively(name: &str) -> Result<Outcome, Failed> {
    let program = lx::guest(name)?;
    let outcome = run(|scratch, _| Ok(Run::new(&program, scratch)))?;
    if outcome.status == 0 { Ok(outcome) } else { Err(report(&outcome)) }
}

fn passes_on_lx(name: &str) -> Result<(), Failed> {
    let native = passes_natively(name)?;
    let program = lx::guest(name)?;
    let no_args: [&str; 0] = [];
    let on_lx = run(|scratch, stats| lx::run(&program, no_args, scratch, stats))?;
    // A program with a check that did not hold ends with 1; more than that is a failure of its own.
    if on_lx.status > 1 {
        return Err(report(&on_lx));
    }
    let text = |outcome: &Outcome| String::from_utf8_lossy(&outcome.stdout).into_owned();
    Ok(expectations::compare(name, &text(&native), &text(&on_lx))?)
}

/// A run that came to its end and left nothing in its temporary folder.
fn run(start: impl Fn(&Path, &Path) -> Result<Run, String>) -> Result<Outcome, Failed> {
    let scratch = tempfile::tempdir()?;
    let stats = tempfile::tempdir()?;
    let outcome = start(scratch.path(), &stats.path().join("stats"))?.outcome()?;
    if outcome.defect.is_some() {
        return Err(report(&outcome));
    }
    let left = programs::discover(scratch.path())?;
    if left.is_empty() { Ok(outcome) } else { Err(format!("left behind: {left:?}").into()) }
}

/// The checks that did not hold, how far the program came, and what it said.
fn report(outcome: &Outcome) -> Failed {
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    let failed: Vec<&str> = stdout.lines().filter(|line| !line.starts_with("ok ")).collect();
    let failed = failed.join("\n");
    let last = stdout.lines().last().unwrap_or("nothing");
    Failed::from(format!(
        "status {}, {}\n{failed}\nlast line: {last}\n{}",
        outcome.status,
        outcome.defect.as_deref().unwrap_or("came to its end"),
        String::from_utf8_lossy(&outcome.stderr)
    ))
}

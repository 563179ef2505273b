//! Every guest program of `tests/guest` passes natively and, with the same output, on lx.

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use lx_tests::{Outcome, Run, compare, lx, programs};

/// Programs that other tests run.
const OTHERS: &[&str] = &["faults"];

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
    passed(|scratch, _| Ok(Run::new(&program, scratch)))
}

fn passes_on_lx(name: &str) -> Result<(), Failed> {
    let program = lx::guest(name)?;
    let no_args: [&str; 0] = [];
    let on_lx = passed(|scratch, stats| lx::run(&program, no_args, scratch, stats))?;
    Ok(compare::outcomes(&passes_natively(name)?, "lx", &on_lx)?)
}

/// The run ended with 0 and left nothing in its temporary folder. Otherwise the failure names
/// the checks that did not hold.
fn passed(run: impl Fn(&Path, &Path) -> Result<Run, String>) -> Result<Outcome, Failed> {
    let scratch = tempfile::tempdir()?;
    let stats = tempfile::tempdir()?;
    let outcome = run(scratch.path(), &stats.path().join("stats"))?.outcome()?;
    let left = programs::discover(scratch.path())?;
    if outcome.status == 0 && outcome.defect.is_none() && left.is_empty() {
        return Ok(outcome);
    }
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    let mut report = String::new();
    for line in stdout.lines().filter(|line| !line.starts_with("ok ")) {
        report.push_str(line);
        report.push('\n');
    }
    let last = stdout.lines().last().unwrap_or("nothing");
    Err(Failed::from(format!(
        "status {}, {:?}, left behind {left:?}\n{report}last line: {last}\n{}",
        outcome.status,
        outcome.defect,
        String::from_utf8_lossy(&outcome.stderr)
    )))
}

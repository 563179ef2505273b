//! Random steps do the same on the native kernel and on lx.
//!
//! With `LX_TWINS=native` both sides are native: an area must not differ from itself.
//!
//! Each area of `lx_guest_tests::random` is a test. It performs the kept cases of `cases/AREA.txt`
//! first: a sequence in each line, as a failure prints it; `#` starts a remark.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use lx_differential_tests::twins::Twins;
use lx_differential_tests::{native, soak};
use lx_guest_tests::random::{AREAS, Area, NEED_ROOT, Step, from_line};
use proptest::prelude::{Strategy, TestCaseError, any};
use proptest::sample::select;
use proptest::test_runner::{TestError, TestRunner};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = AREAS.iter().map(|area| Trial::test(area.name, || check(area))).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn check(area: &'static Area) -> Result<(), Failed> {
    if NEED_ROOT.contains(&area.name) && !native::is_possible() {
        eprintln!("skipped: {} takes root", area.name);
        return Ok(());
    }
    let twins = RefCell::new(Twins::start(area)?);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("cases/{}.txt", area.name));
    let kept = fs::read_to_string(&file).unwrap_or_default();
    for line in kept.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let steps = from_line(line).ok_or_else(|| format!("no sequence: {line}"))?;
        if let Some(difference) = twins.borrow_mut().compare(&steps)? {
            return Err(difference.into());
        }
    }
    let operations = Cell::new(0);
    soak::repeat(area.name, area.cases, |cases| {
        let mut runner = TestRunner::new(soak::config(cases));
        let run = runner.run(&sequence(area), |steps| {
            operations.set(operations.get() + steps.len() as u64);
            let compared = twins.borrow_mut().compare(&steps);
            match compared {
                Ok(None) => Ok(()),
                Ok(Some(difference)) => Err(TestCaseError::fail(difference)),
                Err(gone) => {
                    // The next try needs programs that answer.
                    *twins.borrow_mut() = Twins::start(area).map_err(TestCaseError::fail)?;
                    Err(TestCaseError::fail(gone))
                }
            }
        });
        match run {
            Ok(()) => Ok(operations.get()),
            Err(TestError::Fail(reason, _)) => Err(reason.to_string()),
            Err(other) => Err(other.to_string()),
        }
    })?;
    Ok(())
}

/// A sequence of an area's steps, chosen by their weights.
fn sequence(area: &Area) -> impl Strategy<Value = Vec<Step>> + use<> {
    let names = area.steps.iter().flat_map(|(name, weight)| (0..*weight).map(|_| *name));
    let name = select(names.collect::<Vec<_>>()).prop_map(str::to_owned);
    let args = [(); 4].map(|()| any::<u16>().prop_map(u32::from));
    let step = (name, args).prop_map(|(name, args)| Step { name, args });
    proptest::collection::vec(step, 1..=area.length)
}

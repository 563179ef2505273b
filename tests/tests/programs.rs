//! Every script of `tests/programs` prints and returns on lx what it does natively.
//!
//! `LX_TESTS=native cargo test --test programs` compares two native runs instead, which is how
//! a new script is checked before lx comes into play.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use lx_tests::programs;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let check = if env::var_os("LX_TESTS").is_some_and(|mode| mode == "native") {
        programs::same_natively
    } else {
        programs::same_on_lx
    };
    let scripts = match programs::discover(&programs::folder()) {
        Ok(scripts) => scripts,
        Err(error) => {
            eprintln!("{}: {error}", programs::folder().display());
            return ExitCode::FAILURE;
        }
    };
    let mut trials = vec![Trial::test("required_programs", || Ok(programs::required()?))];
    trials.extend(scripts.into_iter().map(|script| {
        let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Trial::test(name, move || checked(check, &script))
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn checked(check: fn(&Path) -> Result<(), String>, script: &Path) -> Result<(), Failed> {
    Ok(check(script)?)
}

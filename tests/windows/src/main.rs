//! Runs `lx.exe`, by Wine, and compares what guests do with what they do natively.
//!
//! `cargo xtask test-windows` prepares Wine and starts this program. Each test is one run of
//! `lx.exe` with a time limit. What a run leaves behind is killed: its process group, and in the
//! end everything of the Wine prefix, by the task that made it.

mod cases;
mod command_line;
mod ends;
mod environment;
mod expectations;
mod guests;
mod interop;
mod keyboard;
mod rootfs;
mod scripts;
mod started;
mod stress;
mod terminal;
mod troubles;
mod wine;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Wine kills a process that takes half a second to end, and its exit status is lost, where another
    // test has the processor. Some tests have several machines at once themselves.
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let status = match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    };
    rootfs::remove();
    status
}

fn trials() -> Result<Vec<Trial>, String> {
    let mut trials = command_line::trials();
    trials.extend(cases::trials()?);
    trials.extend(ends::trials());
    trials.extend(troubles::trials());
    trials.extend(keyboard::trials());
    trials.extend(terminal::trials());
    trials.extend(environment::trials());
    trials.extend(guests::trials()?);
    trials.extend(scripts::trials()?);
    trials.extend(interop::trials()?);
    trials.extend(stress::trials()?);
    Ok(trials)
}

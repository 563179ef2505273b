//! The `lx` command.

use std::io::{self, Write};
use std::process::ExitCode;

mod cli;
mod doctor;
mod forward;
mod host_terminal;
mod names;
mod paths;
mod run;

/// Exit status when lx itself failed; the others come from the guest.
const OWN_FAILURE: u8 = 125;

fn main() -> ExitCode {
    #[cfg(windows)]
    prepare_console();
    let result = match cli::parse(std::env::args_os()) {
        Ok(cli::Action::Run(options)) => run::run(&options),
        Ok(cli::Action::Syscalls) => print(&lx_syscall::support::table()),
        Ok(cli::Action::Path(options)) => path(&options),
        Ok(cli::Action::Doctor(questions)) => doctor(&questions),
        Ok(cli::Action::Print(text)) => print(&text),
        Err(sentence) => Err(run::Failure { sentence, status: OWN_FAILURE }),
    };
    // Before the sentence, which a guest's settings could garble.
    #[cfg(windows)]
    lx_windows::restore_console();
    #[cfg(unix)]
    host_terminal::restore();
    ExitCode::from(result.unwrap_or_else(|failure| {
        eprintln!("lx: {}", failure.sentence);
        failure.status
    }))
}

/// Prepares the console, and has it restored even if lx panics.
#[cfg(windows)]
fn prepare_console() {
    lx_windows::prepare_console();
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        lx_windows::restore_console();
        report(info);
    }));
}

fn path(options: &cli::PathOptions) -> Result<u8, run::Failure> {
    match paths::translate(&options.path, options.direction(), options.absolute) {
        Ok(path) => print(&format!("{path}\n")),
        Err(sentence) => Err(run::Failure { sentence, status: 1 }),
    }
}

/// 1 says that lx cannot work on this host.
fn doctor(questions: &[String]) -> Result<u8, run::Failure> {
    if !questions.is_empty() {
        return match doctor::answers(questions) {
            Ok(text) => print(&text),
            Err(sentence) => Err(run::Failure { sentence, status: OWN_FAILURE }),
        };
    }
    let (text, works) = doctor::report();
    print(&text).map(|_| u8::from(!works))
}

fn print(text: &str) -> Result<u8, run::Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        // The reader, such as `head`, has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        result => Ok(result.map(|()| 0)?),
    }
}

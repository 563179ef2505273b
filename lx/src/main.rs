//! The `lx` command.

use std::io::{self, Write};
use std::process::ExitCode;

mod cli;
mod forward;
mod names;
mod run;

/// Exit status when lx itself failed; the others come from the guest.
const OWN_FAILURE: u8 = 125;

fn main() -> ExitCode {
    #[cfg(windows)]
    lx_windows::prepare_console();
    let result = match cli::parse(std::env::args_os()) {
        Ok(cli::Action::Run(options)) => run::run(&options),
        Ok(cli::Action::Syscalls) => print(&lx_syscall::support::table()),
        Ok(cli::Action::Print(text)) => print(&text),
        Err(sentence) => Err(run::Failure { sentence, status: OWN_FAILURE }),
    };
    ExitCode::from(result.unwrap_or_else(|failure| {
        eprintln!("lx: {}", failure.sentence);
        failure.status
    }))
}

fn print(text: &str) -> Result<u8, run::Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        // The reader, such as `head`, has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        result => Ok(result.map(|()| 0)?),
    }
}

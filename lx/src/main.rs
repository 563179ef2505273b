//! The `lx` command.

use std::io::{self, Write};
use std::process::ExitCode;

mod cli;
mod doctor;
mod forward;
mod names;
mod paths;
mod run;

/// Exit status when lx itself failed; the others come from the guest.
const OWN_FAILURE: u8 = 125;

fn main() -> ExitCode {
    #[cfg(windows)]
    lx_windows::prepare_console();
    let result = match cli::parse(std::env::args_os()) {
        Ok(cli::Action::Run(options)) => run::run(&options),
        Ok(cli::Action::Syscalls) => print(&lx_syscall::support::table()),
        Ok(cli::Action::Path(options)) => path(&options),
        Ok(cli::Action::Doctor) => doctor(),
        Ok(cli::Action::Print(text)) => print(&text),
        Err(sentence) => Err(run::Failure { sentence, status: OWN_FAILURE }),
    };
    ExitCode::from(result.unwrap_or_else(|failure| {
        eprintln!("lx: {}", failure.sentence);
        failure.status
    }))
}

fn path(options: &cli::PathOptions) -> Result<u8, run::Failure> {
    match paths::translate(&options.path, options.direction(), options.absolute) {
        Ok(path) => print(&format!("{path}\n")),
        Err(sentence) => Err(run::Failure { sentence, status: 1 }),
    }
}

/// 1 says that lx cannot work on this host.
fn doctor() -> Result<u8, run::Failure> {
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

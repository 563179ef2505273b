//! The `lx` command.

use std::process::ExitCode;

mod cli;
mod forward;
mod run;

/// Exit status when lx itself failed; the others come from the guest.
const OWN_FAILURE: u8 = 125;

fn main() -> ExitCode {
    let result = match cli::parse(std::env::args_os()) {
        Ok(cli::Action::Run(options)) => run::run(&options),
        Ok(cli::Action::Print(text)) => {
            print!("{text}");
            Ok(0)
        }
        Err(sentence) => Err(run::Failure { sentence, status: OWN_FAILURE }),
    };
    ExitCode::from(result.unwrap_or_else(|failure| {
        eprintln!("lx: {}", failure.sentence);
        failure.status
    }))
}

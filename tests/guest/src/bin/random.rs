//! Performs random steps of one area, see `lx_guest_tests::random`.

use std::process::ExitCode;

use lx_guest_tests::random;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if let Some(code) = random::executed(&words) {
        return code;
    }
    let name = words.first().cloned().unwrap_or_default();
    let Some(area) = random::AREAS.iter().find(|area| area.name == name) else {
        eprintln!("random: there is no area \"{name}\"");
        return ExitCode::FAILURE;
    };
    match random::serve(area) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("random: {error}");
            ExitCode::FAILURE
        }
    }
}

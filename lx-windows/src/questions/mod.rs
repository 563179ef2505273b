//! Questions about Windows that nobody could answer before lx ran on it, as measurements: R1 to R12
//! of `docs/windows.md`. Each takes a second at most and says what it found in one line.

mod files;
mod memory;
mod processes;
mod registers;
mod stack;
mod time;

use std::path::Path;

pub use time::answer_pings;

/// A question's answer.
type Answer = std::io::Result<String>;

/// The questions.
pub const QUESTIONS: [u32; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// Those that may end the process that asks, so they are asked in one of their own.
pub const DANGEROUS: [u32; 5] = [1, 2, 4, 8, 9];

/// Asks a question. `host` is `lx-host.exe`, `folder` one for files that are removed again.
pub fn ask(question: u32, host: &Path, folder: &Path) -> String {
    let answer = match question {
        1 => Ok(registers::lost_fs()),
        2 => stack::overwritten(),
        3 => processes::start_time(host),
        4 => Ok(processes::clone()),
        5 => processes::mitigations(host),
        6 => memory::commit(),
        7 => processes::low_range(host),
        8 => Ok(registers::raw_syscall()),
        9 => registers::vectors(),
        10 => processes::inheritance(host),
        11 => files::features(folder),
        12 => time::wakes(),
        _ => Ok("there is no such question".to_owned()),
    };
    answer.unwrap_or_else(|error| format!("cannot be asked: {error}"))
}

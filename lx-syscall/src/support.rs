//! The list of what is implemented, for `lx syscalls` and `docs/syscalls.md`.

use alloc::string::String;
use core::fmt::Write;

use crate::table::{Support, TABLE};

/// The list as a Markdown table.
pub fn table() -> String {
    let mut text = String::from("| number | call | arguments | support |\n|---|---|---|---|\n");
    let mut count = 0;
    for (number, entry) in TABLE.iter().enumerate() {
        let Some(entry) = entry else { continue };
        count += 1;
        // Writing to a String cannot fail.
        let _ = match entry.support {
            Support::Full => {
                writeln!(
                    text,
                    "| {number} | {} | {} | full |",
                    entry.name,
                    (entry.pointers)().len()
                )
            }
            Support::Partial(note) => {
                writeln!(
                    text,
                    "| {number} | {} | {} | partial: {note} |",
                    entry.name,
                    (entry.pointers)().len()
                )
            }
        };
    }
    let _ = writeln!(text, "\n{count} calls are implemented; every other number gives `ENOSYS`.");
    text
}

/// Every pointer argument of every call: the call's name and the argument's place.
pub fn pointers() -> impl Iterator<Item = (&'static str, usize)> {
    TABLE.iter().flatten().flat_map(|entry| {
        let places = (entry.pointers)().iter().enumerate().filter(|(_, is_pointer)| **is_pointer);
        places.map(|(at, _)| (entry.name, at))
    })
}

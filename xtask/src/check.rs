//! `cargo xtask check`: the gates, one line for each.

use std::process::Command;
use std::time::Instant;

use crate::command::cargo;
use crate::{Failure, docs, layers, lints};

/// A gate's name and check; the check returns what to say beside `ok`.
type Gate = (&'static str, fn() -> Result<String, Failure>);

const GATES: &[Gate] = &[
    ("formatting", formatting),
    ("layering", layers::check),
    ("unsafe code", lints::check),
    ("clippy", clippy),
    ("clippy, image", clippy_image),
    ("rustdoc", rustdoc),
    ("generated documents", docs::check),
    ("dependencies", deny),
];

/// Runs every gate, even after a failure, and reports each on one line.
pub(crate) fn run() -> Result<(), Failure> {
    let mut failed = Vec::new();
    for (name, gate) in GATES {
        let started = Instant::now();
        let result = gate();
        let seconds = started.elapsed().as_secs();
        match result {
            Ok(note) if note.is_empty() => println!("ok      {name} ({seconds} s)"),
            Ok(note) => println!("ok      {name}: {note} ({seconds} s)"),
            Err(failure) => {
                println!("FAILED  {name} ({seconds} s)");
                println!("{}", failure.trim_end());
                failed.push(*name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn formatting() -> Result<String, Failure> {
    cargo(&["fmt", "--all", "--check", "--", "--files-with-diff"]).output().map(|_| String::new())
}

/// Every target of every crate that is an ordinary program or library.
fn clippy() -> Result<String, Failure> {
    let scope = ["--workspace", "--exclude", "lx-image", "--all-targets", "--keep-going"];
    cargo(&[&["clippy", "--quiet"], &scope[..], &["--", "--deny", "warnings"]].concat())
        .output()
        .map(|_| String::new())
}

/// The image has no test target: it is freestanding and carries its own panic handler.
fn clippy_image() -> Result<String, Failure> {
    cargo(&["clippy", "--quiet", "--package", "lx-image", "--bins", "--", "--deny", "warnings"])
        .output()
        .map(|_| String::new())
}

fn rustdoc() -> Result<String, Failure> {
    let scope = ["--workspace", "--exclude", "lx-image", "--no-deps", "--keep-going"];
    cargo(&[&["doc", "--quiet"], &scope[..]].concat())
        .env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links")
        .output()
        .map(|_| String::new())
}

/// Licences and bans of the dependencies, where cargo-deny is installed.
pub(crate) fn deny() -> Result<String, Failure> {
    let installed = Command::new("cargo-deny")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !installed {
        let install = "cargo install cargo-deny --locked";
        return Ok(format!("not checked, cargo-deny is not installed ({install})"));
    }
    cargo(&["deny", "check", "licenses", "bans"])
        .output()
        .map(|_| "licences and bans hold".to_owned())
}

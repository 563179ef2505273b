//! Documents that are generated from the code.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::command::cargo;

/// A document, relative to the root of the repository, and the arguments of the `lx` command
/// that prints it.
const DOCUMENTS: &[(&str, &[&str])] = &[("docs/syscalls.md", &["syscalls"])];

/// Writes every document.
pub(crate) fn write() -> Result<(), Failure> {
    for (name, args) in DOCUMENTS {
        let path = path(name);
        fs::write(&path, print(args)?).map_err(|error| format!("{name}: {error}"))?;
        println!("wrote {name}");
    }
    Ok(())
}

/// Compares every document with what the code says now.
pub(crate) fn check() -> Result<String, Failure> {
    for (name, args) in DOCUMENTS {
        let kept = fs::read(path(name)).map_err(|error| format!("{name}: {error}"))?;
        if kept != print(args)? {
            return Err(format!("{name} is out of date; run: cargo xtask docs"));
        }
    }
    Ok(format!("{} up to date", DOCUMENTS.len()))
}

/// `release`, because the tests need that build of lx too.
fn print(args: &[&str]) -> Result<Vec<u8>, Failure> {
    cargo(&[&["run", "--quiet", "--release", "--package", "lx", "--"], args].concat()).output()
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

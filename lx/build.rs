//! Builds the kernel image and hands it to `src/image.rs`.
//!
//! The image is a freestanding program with a profile and linker arguments of its own, so a second
//! cargo builds it, in a folder inside `OUT_DIR`. `LX_IMAGE=FILE` takes a ready one instead;
//! `LX_IMAGE=none` builds the library without it, for quick checks.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// The crates that make up the image.
const CRATES: [&str; 10] = [
    "lx-core",
    "lx-vfs",
    "lx-net",
    "lx-proc",
    "lx-syscall",
    "lx-machine",
    "lx-x86",
    "host-linux",
    "lx-image",
    "Cargo.toml",
];

const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LX_IMAGE");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let workspace = manifest.parent().unwrap_or(&manifest);
    let embedded = out.join("lx-image.bin");

    let result = match env::var("LX_IMAGE") {
        Ok(choice) if choice == "none" => fs::write(&embedded, []),
        Ok(file) if !file.is_empty() => {
            println!("cargo::rerun-if-changed={file}");
            fs::copy(file, &embedded).map(drop)
        }
        _ => fs::copy(build(workspace, &out), &embedded).map(drop),
    };
    if let Err(error) = result {
        fail(&format!("cannot embed the kernel image: {error}"));
    }
}

/// Runs the second cargo; the image's path.
fn build(workspace: &Path, out: &Path) -> PathBuf {
    for name in CRATES {
        let path = workspace.join(name);
        if path.is_dir() {
            for part in ["src", "Cargo.toml", "build.rs", "image.ld"] {
                let part = path.join(part);
                if part.exists() {
                    println!("cargo::rerun-if-changed={}", part.display());
                }
            }
        } else {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let folder = out.join("image");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(workspace)
        .args(["build", "--quiet", "--package", "lx-image", "--profile", "image"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&folder);
    // What was chosen for the outer build must not change the image.
    for name in [
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
    ] {
        cargo.env_remove(name);
    }
    match cargo.status() {
        Ok(status) if status.success() => folder.join(TARGET).join("image").join("lx-image"),
        Ok(status) => fail(&format!("building the kernel image failed: {status}")),
        Err(error) => fail(&format!("cannot run cargo for the kernel image: {error}")),
    }
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1)
}

//! Builds the kernel image and hands it to `src/image.rs`.
//!
//! The image is a freestanding program with a profile and linker arguments of its own, so a second
//! cargo builds it, in a folder inside `OUT_DIR`. `LX_IMAGE=FILE` takes a ready one instead;
//! `LX_IMAGE=none` builds the library without it, for quick checks. For Windows, the same holds for
//! the loader, `lx-host.exe`, and `LX_LOADER`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// What the image and the loader are made of.
const SOURCES: [&str; 12] = [
    "lx-core",
    "lx-vfs",
    "lx-net",
    "lx-proc",
    "lx-syscall",
    "lx-machine",
    "lx-x86",
    "host-linux",
    "host-windows",
    "lx-loader",
    "lx-image",
    "Cargo.toml",
];

/// The image is an ELF program on every host.
const IMAGE_TARGET: &str = "x86_64-unknown-linux-gnu";

/// A program that is embedded.
struct Program {
    /// The name that `src/image.rs` knows it by.
    embedded: &'static str,
    /// The variable that names a ready one.
    variable: &'static str,
    /// How it is built.
    arguments: Vec<String>,
    /// Where it is then, inside the target directory.
    built: String,
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let workspace = manifest.parent().unwrap_or(&manifest);
    let windows = env::var_os("CARGO_CFG_WINDOWS").is_some();
    embed(&image(windows), workspace, &out);
    if windows {
        embed(&loader(), workspace, &out);
    }
}

fn image(windows: bool) -> Program {
    let host = if windows { "host-windows" } else { "host-linux" };
    let arguments = format!(
        "--package lx-image --profile image --no-default-features --features {host} \
         --target {IMAGE_TARGET}"
    );
    Program {
        embedded: "lx-image.bin",
        variable: "LX_IMAGE",
        arguments: arguments.split_whitespace().map(str::to_owned).collect(),
        built: format!("{IMAGE_TARGET}/image/lx-image"),
    }
}

fn loader() -> Program {
    let target = env::var("TARGET").unwrap_or_default();
    let arguments = format!("--package lx-loader --release --target {target}");
    Program {
        embedded: "lx-host.exe",
        variable: "LX_LOADER",
        arguments: arguments.split_whitespace().map(str::to_owned).collect(),
        built: format!("{target}/release/lx-host.exe"),
    }
}

/// Puts a program into `OUT_DIR`.
fn embed(program: &Program, workspace: &Path, out: &Path) {
    println!("cargo::rerun-if-env-changed={}", program.variable);
    let embedded = out.join(program.embedded);
    let result = match env::var(program.variable) {
        Ok(choice) if choice == "none" => fs::write(&embedded, []),
        Ok(file) if !file.is_empty() => {
            println!("cargo::rerun-if-changed={file}");
            fs::copy(file, &embedded).map(drop)
        }
        _ => fs::copy(build(program, workspace, out), &embedded).map(drop),
    };
    if let Err(error) = result {
        fail(&format!("cannot embed {}: {error}", program.embedded));
    }
}

/// Runs the second cargo; the program's path.
fn build(program: &Program, workspace: &Path, out: &Path) -> PathBuf {
    for name in SOURCES {
        let path = workspace.join(name);
        if path.is_dir() {
            for part in ["src", "Cargo.toml", "build.rs", "image.ld"] {
                let part = path.join(part);
                if part.exists() {
                    println!("cargo::rerun-if-changed={}", part.display());
                }
            }
        } else if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let folder = out.join("image");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(workspace)
        .args(["build", "--quiet"])
        .args(&program.arguments)
        .arg("--target-dir")
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
        Ok(status) if status.success() => folder.join(&program.built),
        Ok(status) => fail(&format!("building {} failed: {status}", program.embedded)),
        Err(error) => fail(&format!("cannot run cargo for {}: {error}", program.embedded)),
    }
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    exit(1)
}

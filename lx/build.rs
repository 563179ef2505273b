//! Builds the kernel image and hands it to `src/image.rs`.
//!
//! The image is a freestanding program with a profile and linker arguments of its own, so a second
//! cargo builds it, in a folder inside `OUT_DIR`. `LX_IMAGE=FILE` takes a ready one instead;
//! `LX_IMAGE=none` builds the library without it, for quick checks. For Windows, the same holds for
//! the loader, `lx-host.exe`, and `LX_LOADER`.
//!
//! A system call saves only the vector registers that the image's code uses. The image is built
//! without the optimisations that use many; what the compiler has made of it is then read, and if it
//! needs more than the usual ones, it is built again with an entry that saves all.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

#[path = "src/image/rules.rs"]
mod rules;

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

/// Vectorised code uses registers that every system call would have to save.
const IMAGE_FLAGS: &str = "-C no-vectorize-loops -C no-vectorize-slp";

/// A program that is embedded.
struct Program {
    /// The name that `src/image.rs` knows it by.
    embedded: &'static str,
    /// The variable that names a ready one.
    variable: &'static str,
    /// How it is built.
    arguments: Vec<String>,
    /// The compiler's flags.
    flags: String,
    /// Where it is then, inside the target directory.
    built: String,
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let workspace = manifest.parent().unwrap_or(&manifest);
    let windows = env::var_os("CARGO_CFG_WINDOWS").is_some();
    watch(workspace);
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
        flags: if windows { format!("{IMAGE_FLAGS} --cfg lx_teb") } else { IMAGE_FLAGS.into() },
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
        flags: String::new(),
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
        _ => fs::copy(build_checked(program, workspace, out), &embedded).map(drop),
    };
    if let Err(error) = result {
        fail(&format!("cannot embed {}: {error}", program.embedded));
    }
}

/// Builds a program; an image so that its entry saves every vector register that its code uses.
fn build_checked(program: &Program, workspace: &Path, out: &Path) -> PathBuf {
    let built = build(program, workspace, out, &[]);
    if program.flags.is_empty() {
        return built;
    }
    let bytes = fs::read(&built).map_err(|error| error.to_string());
    match bytes.and_then(|bytes| rules::examine(&bytes)) {
        Ok(found) if found.high_xmm.is_empty() => built,
        Ok(_) => {
            println!("cargo::warning=this compiler's kernel image needs all vector registers");
            build(program, workspace, out, &["--features", "save-all-xmm"])
        }
        Err(error) => fail(&format!("cannot read {}: {error}", program.embedded)),
    }
}

/// Tells cargo what the programs are made of.
fn watch(workspace: &Path) {
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
}

/// Runs the second cargo; the program's path.
fn build(program: &Program, workspace: &Path, out: &Path, features: &[&str]) -> PathBuf {
    let folder = out.join("image");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(workspace)
        .args(["build", "--quiet"])
        .args(&program.arguments)
        .args(features)
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
    if !program.flags.is_empty() {
        cargo.env("RUSTFLAGS", &program.flags);
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

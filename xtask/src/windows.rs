//! `cargo xtask build-windows`: what a person on Windows needs, in `target/windows/`.
//!
//! The kernel image is an ELF program like that of the Linux host, so the ordinary toolchain builds
//! it. Only the programs that Windows starts need the target `x86_64-pc-windows-gnu`: rustup's,
//! where it is installed, else Debian's compiler, which builds the standard library from source.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::command::{Task, cargo};

const TARGET: &str = "x86_64-pc-windows-gnu";
const IMAGE_TARGET: &str = "x86_64-unknown-linux-gnu";

/// As in `lx/build.rs`; GS belongs to Windows, so the engine's fields are in the TEB.
const IMAGE_FLAGS: &str = "-C no-vectorize-loops -C no-vectorize-slp --cfg lx_teb";

/// The linker for the target, on hosts other than Windows.
const LINKER: &str = "x86_64-w64-mingw32-gcc";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_STD: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";

/// Where the finished programs are, from the root of the repository.
pub(crate) const FOLDER: &str = "target/windows";

/// Who builds the programs for Windows.
#[derive(Debug, PartialEq, Eq)]
enum Toolchain {
    /// The one that runs this task has the target's standard library.
    Ordinary,
    /// Debian's, which has the library's source.
    Debian,
}

/// Builds everything.
pub(crate) fn build() -> Result<(), Failure> {
    let toolchain = toolchain()?;
    let folder = root().join(FOLDER);
    make_folder(&folder)?;
    let image = image()?;
    copy(&image, &folder.join("lx-image.bin"))?;
    let loader = program(&toolchain, "lx-loader", "lx-host.exe", &[])?;
    copy(&loader, &folder.join("lx-host.exe"))?;
    // The library carries both, for programs that are not started from this folder.
    let embedded = [("LX_IMAGE", image.as_path()), ("LX_LOADER", loader.as_path())];
    let lx = program(&toolchain, "lx", "lx.exe", &embedded)?;
    copy(&lx, &folder.join("lx.exe"))?;
    println!("lx.exe, lx-host.exe and lx-image.bin are in {FOLDER}/");
    Ok(())
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Makes a folder with those above it.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::copy(from, to).map(drop).map_err(|error| format!("{}: {error}", to.display()))
}

/// Builds the kernel image for the Windows host, as `lx/build.rs` does where nobody gives it one.
fn image() -> Result<PathBuf, Failure> {
    let folder = root().join("target/windows-image");
    task(&Toolchain::Ordinary, &["build", "--quiet", "--package", "lx-image", "--bin", "lx-image"])
        .args(&["--profile", "image", "--no-default-features", "--features", "host-windows"])
        .args(&["--target", IMAGE_TARGET, "--target-dir"])
        .arg(&folder)
        .env("RUSTFLAGS", image_flags())
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", image_linker())
        .run()?;
    Ok(folder.join(IMAGE_TARGET).join("image/lx-image"))
}

/// Windows has no compiler that links ELF programs: there it is Rust's own lld.
fn image_linker() -> &'static str {
    if cfg!(windows) { "rust-lld" } else { "cc" }
}

fn image_flags() -> String {
    let linker = if cfg!(windows) { " -C linker-flavor=ld.lld" } else { "" };
    format!("{IMAGE_FLAGS}{linker}")
}

/// Builds a program that Windows starts.
fn program(
    toolchain: &Toolchain,
    package: &str,
    file: &str,
    variables: &[(&str, &Path)],
) -> Result<PathBuf, Failure> {
    // One folder for all, so that the standard library is built once.
    let folder = root().join("target/windows-build");
    let mut task = task(toolchain, &["build", "--release", "--package", package])
        .args(&["--target", TARGET, "--target-dir"])
        .arg(&folder)
        // What debuggers of Windows read is another format.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    for (name, value) in variables {
        task = task.env(name, value);
    }
    task.run()?;
    Ok(folder.join(TARGET).join("release").join(file))
}

/// A cargo of this toolchain. What cargo set for this task must not reach it.
fn task(toolchain: &Toolchain, args: &[&str]) -> Task {
    let task = match toolchain {
        Toolchain::Ordinary => cargo(args),
        Toolchain::Debian => Task::new(DEBIAN_CARGO, args)
            .env("RUSTC", DEBIAN_RUSTC)
            // Building the standard library is an unstable feature of cargo.
            .env("RUSTC_BOOTSTRAP", "1")
            // The loader is linked without the C library's `memcpy`.
            .args(&["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=compiler-builtins-mem"]),
    };
    ["RUSTUP_TOOLCHAIN", "CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"]
        .iter()
        .filter(|_| *toolchain == Toolchain::Debian)
        .fold(task, |task, name| task.env_remove(name))
}

/// Finds a toolchain, or says what to install.
fn toolchain() -> Result<Toolchain, Failure> {
    if cfg!(windows) {
        return Ok(Toolchain::Ordinary);
    }
    if version(LINKER).is_none() {
        return Err(format!(
            "{LINKER} is missing, which links programs for Windows; on Debian: \
             apt-get install gcc-mingw-w64-x86-64"
        ));
    }
    if has_target() {
        return Ok(Toolchain::Ordinary);
    }
    let rustc = version(DEBIAN_RUSTC).filter(|_| Path::new(DEBIAN_STD).exists());
    match (rustc, version(DEBIAN_CARGO)) {
        (Some(rustc), Some(cargo)) if number(&rustc) == number(&cargo) => Ok(Toolchain::Debian),
        _ => Err(format!(
            "there is no Rust for {TARGET}; run `rustup target add {TARGET}`, or on Debian: \
             apt-get install rustc-web cargo-web rust-web-src (all of one version)"
        )),
    }
}

/// Whether the toolchain that runs this task has the standard library for Windows.
fn has_target() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output =
        Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    output.is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success() && Path::new(&folder).is_dir()
    })
}

/// The first line that a program prints about its version.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

/// `1.96` of `rustc 1.96.0 (…)`: rustc and cargo differ in the last number.
fn number(version: &str) -> Option<&str> {
    version.split_whitespace().nth(1)?.rsplit_once('.').map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_without_their_last_number() {
        assert_eq!(number("rustc 1.96.0 (ac68faa20 2026-05-25)"), Some("1.96"));
        assert_eq!(number("cargo 1.96.1"), Some("1.96"));
        assert_eq!(number("rustc"), None);
    }
}

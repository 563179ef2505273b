//! Linker arguments of the freestanding image.

use std::env;
use std::path::PathBuf;

/// For the linker itself.
const LINKER: &[&str] =
    &["-znorelro", "--build-id=none", "--no-dynamic-linker", "--no-eh-frame-hdr"];

/// For a compiler that starts the linker.
const COMPILER: &[&str] = &["-nostdlib", "-nostartfiles", "-static", "-no-pie"];

fn main() {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let script = folder.join("image.ld");
    println!("cargo::rerun-if-changed={}", script.display());
    println!("cargo::rerun-if-changed=build.rs");
    let script = format!("-T{}", script.display());
    let arguments = LINKER.iter().copied().chain([script.as_str()]);
    // Windows has no compiler that links ELF programs: there it is Rust's own lld.
    if env::var("RUSTC_LINKER").is_ok_and(|linker| linker.contains("lld")) {
        for argument in arguments.chain(["-static", "--no-pie"]) {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    } else {
        for argument in arguments {
            println!("cargo::rustc-link-arg-bins=-Wl,{argument}");
        }
        for argument in COMPILER {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}

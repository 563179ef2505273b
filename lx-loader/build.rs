//! Linker arguments of the loader.

use std::env;

/// As `lx_nt::LOADER_BASE`.
const BASE: &str = "0x720000000000";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("windows") {
        return;
    }
    // No C runtime: processes for guests start faster, and nothing but ntdll and kernel32 is
    // loaded. No relocations: the address is fixed.
    let base = format!("-Wl,--image-base,{BASE}");
    for argument in [
        "-nostdlib",
        "-nostartfiles",
        "-Wl,-e,start",
        base.as_str(),
        "-Wl,--disable-dynamicbase",
        "-Wl,--disable-high-entropy-va",
        "-Wl,--disable-reloc-section",
        "-Wl,--stack=131072",
        "-Wl,--subsystem,console",
        "-lkernel32",
        "-lntdll",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}

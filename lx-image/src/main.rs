//! The kernel image for the Linux host: a freestanding program that holds the whole kernel.
//!
//! It is linked at the start of the shared region (`image.ld`). `lx` starts it from memory; it
//! then becomes the init process of a machine, see [`host_linux`].
#![no_std]
#![no_main]

extern crate alloc;

mod mem;

use core::panic::PanicInfo;

#[global_allocator]
static ALLOCATOR: host_linux::RegionAllocator = host_linux::RegionAllocator;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    host_linux::report_panic(info)
}

/// Referenced by the precompiled `core`, never called: the image is built with `panic = "abort"`.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// As [`rust_eh_personality`].
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() {}

mod demo;

//! The kernel image for the Linux host: a freestanding program that holds the whole kernel.
//!
//! It is linked at the start of the shared region (`image.ld`). `lx` starts it from memory; it
//! then becomes the init process of a machine, see [`host_linux`].
#![no_std]
#![no_main]

extern crate alloc;

mod mem;

use core::arch::naked_asm;
use core::panic::PanicInfo;

use host_linux::ImageLayout;

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

unsafe extern "C" {
    static __text_start: u8;
    static __text_end: u8;
    static __data_start: u8;
    static __image_end: u8;
}

/// The first code that runs: passes the stack on.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {start}", "ud2", start = sym start)
}

unsafe extern "C" fn start(stack: *const u64) -> ! {
    let layout = ImageLayout {
        text_start: (&raw const __text_start) as u64,
        text_end: (&raw const __text_end) as u64,
        data_start: (&raw const __data_start) as u64,
        image_end: (&raw const __image_end) as u64,
    };
    // SAFETY: this is the first code, on the stack of a new program.
    unsafe { host_linux::boot(stack, &layout, lx_machine::make) }
}

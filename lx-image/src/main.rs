//! The kernel image: a freestanding program that holds the whole kernel and one host backend.
//!
//! It is linked at the start of the shared region (`image.ld`). On Linux, `lx` starts it from memory;
//! on Windows, `lx-host.exe` maps it. It then becomes the init process of a machine.
#![no_std]
#![no_main]

extern crate alloc;

mod mem;

use core::arch::naked_asm;
use core::panic::PanicInfo;

#[cfg(not(feature = "host-windows"))]
use host_linux as host;
#[cfg(feature = "host-windows")]
use host_windows as host;

use host::ImageLayout;

#[global_allocator]
static ALLOCATOR: host::RegionAllocator = host::RegionAllocator::new();

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    host::report_panic(info)
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

fn layout() -> ImageLayout {
    ImageLayout {
        text_start: (&raw const __text_start) as u64,
        text_end: (&raw const __text_end) as u64,
        data_start: (&raw const __data_start) as u64,
        image_end: (&raw const __image_end) as u64,
        #[cfg(feature = "host-windows")]
        entry: _start as *const () as u64,
    }
}

/// The first code that runs: passes the stack on.
#[cfg(not(feature = "host-windows"))]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {start}", "ud2", start = sym start)
}

#[cfg(not(feature = "host-windows"))]
unsafe extern "C" fn start(stack: *const u64) -> ! {
    // SAFETY: this is the first code, on the stack of a new program.
    unsafe { host::boot(stack, &layout(), lx_machine::make) }
}

/// What the loader calls for each thread, with its [`Boot`](host::Boot).
#[cfg(feature = "host-windows")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start(_boot: *const host::Boot) {
    naked_asm!("jmp {start}", start = sym start)
}

#[cfg(feature = "host-windows")]
unsafe extern "C" fn start(boot: *const host::Boot) {
    // SAFETY: the loader's, for a thread that is new here.
    unsafe { host::boot(&*boot, &layout(), lx_machine::make) }
}

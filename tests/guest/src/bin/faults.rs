//! Does one bad thing, named by its argument; `tests/tests/faults.rs` runs it.

use std::env;
use std::process::ExitCode;

use lx_guest_tests::{NOWHERE, call};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["null"] => null(),
        ["unknown-call", number] => unknown(number),
        ["jump"] => jump(),
        ["illegal"] => illegal(),
        ["divide"] => divide(),
        ["stack"] => ExitCode::from(stack(1) as u8),
        _ => {
            eprintln!("usage: faults null | jump | illegal | divide | stack | unknown-call NUMBER");
            ExitCode::from(2)
        }
    }
}

fn null() -> ExitCode {
    // SAFETY: none: the fault is what the program is for.
    let value = unsafe { std::ptr::with_exposed_provenance::<u8>(NOWHERE).read_volatile() };
    ExitCode::from(value)
}

fn jump() -> ExitCode {
    // SAFETY: none: the fault is what the program is for.
    unsafe { std::arch::asm!("jmp {}", in(reg) NOWHERE, options(noreturn)) }
}

fn illegal() -> ExitCode {
    // SAFETY: raises an exception and nothing else.
    unsafe { std::arch::asm!("ud2", options(noreturn)) }
}

fn divide() -> ExitCode {
    // SAFETY: raises an exception and nothing else.
    unsafe {
        std::arch::asm!(
            "xor edx, edx", "mov eax, 1", "xor ecx, ecx", "div ecx",
            out("eax") _, out("edx") _, out("ecx") _
        );
    }
    ExitCode::SUCCESS
}

#[expect(unconditional_recursion, reason = "the stack must overflow")]
fn stack(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 512]);
    stack(depth + 1) + frame[3]
}

/// Prints the error number that the call gave.
fn unknown(number: &str) -> ExitCode {
    let result = call!(syscall(number.parse().unwrap_or(-1), 0, 0, 0, 0, 0, 0));
    println!("{result:?}");
    ExitCode::SUCCESS
}

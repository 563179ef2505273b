//! R2: what an exception overwrites below the stack pointer.

use std::arch::asm;
use std::sync::atomic::{AtomicU64, Ordering};

use windows_sys::Win32::System::Diagnostics::Debug::{
    AddVectoredExceptionHandler, EXCEPTION_POINTERS, RemoveVectoredExceptionHandler,
};

use super::Answer;

/// How far below the stack pointer is looked.
const LOOKED_AT: usize = 16 * 1024;
/// Linux' programs may keep data in so many bytes below it.
const RED_ZONE: usize = 128;
const PATTERN: u8 = 0xa5;

/// Where the instruction that faults is, to be skipped; 0 if none is about to.
static FAULT_AT: AtomicU64 = AtomicU64::new(0);

/// A stack of our own, which Windows knows nothing of.
#[repr(align(64))]
struct Stack([u8; 64 * 1024]);

unsafe extern "system" fn skip(exception: *mut EXCEPTION_POINTERS) -> i32 {
    const CONTINUE: i32 = -1;
    const SEARCH: i32 = 0;
    const UD2: u64 = 2;
    // SAFETY: Windows hands over whole structures.
    unsafe {
        let context = (*exception).ContextRecord;
        let at = FAULT_AT.swap(0, Ordering::SeqCst);
        if at == 0 || (*context).Rip != at {
            return SEARCH;
        }
        (*context).Rip += UD2;
    }
    CONTINUE
}

/// What a fault at this stack pointer has changed: first and last byte below it, and how many in the
/// red zone.
struct Changed {
    nearest: usize,
    farthest: usize,
    red_zone: usize,
}

/// Faults with the stack pointer at the end of `area`, which is filled before.
fn fault(area: &mut [u8], with_avx: bool) -> Changed {
    let len = area.len();
    area.fill(PATTERN);
    let top = area.as_mut_ptr_range().end;
    // SAFETY: the area is ours, the handler skips the instruction, and the stack pointer comes
    // back. Registers that change are declared.
    unsafe {
        if with_avx {
            asm!("vpcmpeqb xmm0, xmm0, xmm0", "vinsertf128 ymm0, ymm0, xmm0, 1", out("xmm0") _);
        }
        asm!(
            "lea {at}, [rip + 2f]",
            "xchg [{fault}], {at}",
            "mov {old}, rsp",
            "mov rsp, {top}",
            "2: ud2",
            "mov rsp, {old}",
            at = out(reg) _,
            fault = in(reg) FAULT_AT.as_ptr(),
            old = out(reg) _,
            top = in(reg) top,
        );
        if with_avx {
            asm!("vzeroupper", out("xmm0") _);
        }
    }
    let changed = |&at: &usize| area.get(len - at).is_some_and(|&byte| byte != PATTERN);
    Changed {
        nearest: (1..=len).find(changed).unwrap_or(0),
        farthest: (1..=len).rev().find(changed).unwrap_or(0),
        red_zone: (1..=RED_ZONE).filter(changed).count(),
    }
}

/// R2: how much an exception overwrites, and whether it may happen on a stack of ours.
pub(super) fn overwritten() -> Answer {
    // SAFETY: the function has the type that the call wants and lives forever.
    let handler = unsafe { AddVectoredExceptionHandler(1, Some(skip)) };
    let mut stack = Box::new(Stack([0; 64 * 1024]));
    let start = stack.0.len() - LOOKED_AT;
    let area = stack.0.get_mut(start..).unwrap_or_default();
    let plain = fault(area, false);
    let avx = is_x86_feature_detected!("avx").then(|| fault(area, true));
    // SAFETY: the handler was added above.
    unsafe { RemoveVectoredExceptionHandler(handler) };
    let say = |changed: &Changed| {
        format!(
            "{} of {RED_ZONE} bytes of the red zone, from {} to {} below RSP",
            changed.red_zone, changed.nearest, changed.farthest
        )
    };
    let avx = avx.map_or_else(|| "no AVX here".to_owned(), |avx| say(&avx));
    Ok(format!(
        "an exception with RSP outside the TEB's stack limits works, and overwrites {}; with AVX \
         state {avx}",
        say(&plain)
    ))
}

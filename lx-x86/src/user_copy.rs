//! Access to memory that may fault.
//!
//! Each routine is a short piece of assembly whose instructions are listed in a table. When one of
//! them faults, the host's handler looks its RIP up ([`fixup`]) and continues at the given address,
//! where the routine returns what it has done so far. There is no cost unless a fault happens.

use core::arch::global_asm;
use core::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8,
};

use lx_core::host::Fault;

use crate::{stub, vectors};

/// From this length on a copy is left to `rep movsb`, which takes up to 20 ns to start.
const STRING: usize = 2048;

global_asm!(
    ".pushsection .text.lx_user, \"ax\", @progbits",
    // lx_user_copy(dst, src, len) -> bytes that were not copied. At every access rdx bytes are left
    // to be copied from rsi to rdi, so that after a fault they can be tried one by one. The first
    // and the last part of a copy may overlap: what is stored twice is the same, unless the source
    // changes meanwhile.
    ".balign 64",
    ".globl lx_user_copy",
    "lx_user_copy:",
    "cmp rdx, 16",
    "ja 5f",
    "cmp edx, 8",
    "jae 4f",
    "cmp edx, 4",
    "jae 3f",
    "test edx, edx",
    "je 9f",
    "lx_user_copy_a:",
    // 1 to 3 bytes: the first, the one in the middle, the last.
    "mov eax, edx",
    "shr eax, 1",
    "movzx ecx, byte ptr [rsi]",
    "movzx r8d, byte ptr [rsi + rax]",
    "movzx r9d, byte ptr [rsi + rdx - 1]",
    "mov [rdi], cl",
    "mov [rdi + rax], r8b",
    "mov [rdi + rdx - 1], r9b",
    "9:",
    "xor eax, eax",
    "ret",
    "3:",
    "mov ecx, [rsi]",
    "mov r8d, [rsi + rdx - 4]",
    "mov [rdi], ecx",
    "mov [rdi + rdx - 4], r8d",
    "xor eax, eax",
    "ret",
    "4:",
    "mov rcx, [rsi]",
    "mov r8, [rsi + rdx - 8]",
    "mov [rdi], rcx",
    "mov [rdi + rdx - 8], r8",
    "xor eax, eax",
    "ret",
    "5:",
    "cmp rdx, 32",
    "ja 6f",
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + rdx - 16]",
    "movups [rdi], xmm0",
    "movups [rdi + rdx - 16], xmm1",
    "xor eax, eax",
    "ret",
    "6:",
    "cmp rdx, {STRING}",
    "jae 8f",
    // Blocks of 64 bytes, then the last 64.
    "cmp edx, 64",
    "jbe 3f",
    "2:",
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + 16]",
    "movups xmm2, [rsi + 32]",
    "movups xmm3, [rsi + 48]",
    "movups [rdi], xmm0",
    "movups [rdi + 16], xmm1",
    "movups [rdi + 32], xmm2",
    "movups [rdi + 48], xmm3",
    "add rsi, 64",
    "add rdi, 64",
    "sub edx, 64",
    "cmp edx, 64",
    "ja 2b",
    "movups xmm0, [rsi + rdx - 64]",
    "movups xmm1, [rsi + rdx - 48]",
    "movups xmm2, [rsi + rdx - 32]",
    "movups xmm3, [rsi + rdx - 16]",
    "movups [rdi + rdx - 64], xmm0",
    "movups [rdi + rdx - 48], xmm1",
    "movups [rdi + rdx - 32], xmm2",
    "movups [rdi + rdx - 16], xmm3",
    "xor eax, eax",
    "ret",
    "3:",
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + 16]",
    "movups xmm2, [rsi + rdx - 32]",
    "movups xmm3, [rsi + rdx - 16]",
    "movups [rdi], xmm0",
    "movups [rdi + 16], xmm1",
    "movups [rdi + rdx - 32], xmm2",
    "movups [rdi + rdx - 16], xmm3",
    "xor eax, eax",
    "ret",
    // The string instruction is the fastest for long copies, by a quarter more so if its
    // destination begins with a line of the cache.
    "8:",
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + 16]",
    "movups xmm2, [rsi + 32]",
    "movups xmm3, [rsi + 48]",
    "movups [rdi], xmm0",
    "movups [rdi + 16], xmm1",
    "movups [rdi + 32], xmm2",
    "movups [rdi + 48], xmm3",
    "lx_user_copy_a_end:",
    "mov eax, edi",
    "neg eax",
    "and eax, 63",
    "add rdi, rax",
    "add rsi, rax",
    "sub rdx, rax",
    "lx_user_copy_a_failed:",
    "mov rcx, rdx",
    "lx_user_copy_b:",
    "rep movsb",
    "lx_user_copy_b_end:",
    "lx_user_copy_done:",
    "mov rax, rcx",
    "ret",
    // lx_user_zero(dst, len) -> bytes that were not zeroed.
    ".balign 16",
    ".globl lx_user_zero",
    "lx_user_zero:",
    "mov rcx, rsi",
    "xor eax, eax",
    "lx_user_zero_a:",
    "rep stosb",
    "lx_user_zero_a_end:",
    "mov rax, rcx",
    "ret",
    // lx_user_str(dst, src, max) -> length without NUL, max if there is no NUL, -1 at a fault.
    ".balign 16",
    ".globl lx_user_str",
    "lx_user_str:",
    "mov r11, rdi",
    "mov r9, 0x0101010101010101",
    "mov r10, 0x8080808080808080",
    "2:",
    "cmp rdx, 8",
    "jb 3f",
    "lx_user_str_a:",
    "mov rax, [rsi]",
    "lx_user_str_a_end:",
    // Does the word hold a zero byte?
    "mov rcx, rax",
    "sub rcx, r9",
    "mov r8, rax",
    "not r8",
    "and rcx, r8",
    "and rcx, r10",
    "jne 3f",
    "mov [rdi], rax",
    "add rdi, 8",
    "add rsi, 8",
    "sub rdx, 8",
    "jmp 2b",
    "3:",
    "lx_user_str_bytes:",
    "test rdx, rdx",
    "je 4f",
    "lx_user_str_b:",
    "mov al, [rsi]",
    "lx_user_str_b_end:",
    "test al, al",
    "je 4f",
    "mov [rdi], al",
    "inc rdi",
    "inc rsi",
    "dec rdx",
    "jmp 3b",
    "4:",
    "mov rax, rdi",
    "sub rax, r11",
    "ret",
    // lx_user_load32(src, out) -> 0.
    ".balign 16",
    ".globl lx_user_load32",
    "lx_user_load32:",
    "lx_user_load32_a:",
    "mov eax, [rdi]",
    "lx_user_load32_a_end:",
    "mov [rsi], eax",
    "xor eax, eax",
    "ret",
    // lx_user_cas32(dst, current, new, out) -> 0.
    ".balign 16",
    ".globl lx_user_cas32",
    "lx_user_cas32:",
    "mov eax, esi",
    "lx_user_cas32_a:",
    "lock cmpxchg [rdi], edx",
    "lx_user_cas32_a_end:",
    "mov [rcx], eax",
    "xor eax, eax",
    "ret",
    "lx_user_failed:",
    "mov rax, -1",
    "ret",
    ".popsection",
    STRING = const STRING,
);

macro_rules! labels {
    ($($label:ident),* $(,)?) => {
        unsafe extern "C" { $(fn $label();)* }
    };
}
labels!(
    lx_user_copy_a,
    lx_user_copy_a_end,
    lx_user_copy_a_failed,
    lx_user_copy_b,
    lx_user_copy_b_end,
    lx_user_copy_done,
    lx_user_zero_a,
    lx_user_zero_a_end,
    lx_user_str_a,
    lx_user_str_a_end,
    lx_user_str_bytes,
    lx_user_str_b,
    lx_user_str_b_end,
    lx_user_load32_a,
    lx_user_load32_a_end,
    lx_user_cas32_a,
    lx_user_cas32_a_end,
    lx_user_failed,
);

unsafe extern "C" {
    fn lx_user_copy(dst: u64, src: u64, len: usize) -> usize;
    fn lx_user_zero(dst: u64, len: usize) -> usize;
    fn lx_user_str(dst: *mut u8, src: u64, max: usize) -> isize;
    fn lx_user_load32(src: u64, out: *mut u32) -> isize;
    fn lx_user_cas32(dst: u64, current: u32, new: u32, out: *mut u32) -> isize;
}

type Label = unsafe extern "C" fn();

/// First instruction, end, and where to go on.
static FIXUPS: [(Label, Label, Label); 7] = [
    (lx_user_copy_a, lx_user_copy_a_end, lx_user_copy_a_failed),
    (lx_user_copy_b, lx_user_copy_b_end, lx_user_copy_done),
    (lx_user_zero_a, lx_user_zero_a_end, lx_user_copy_done),
    (lx_user_str_a, lx_user_str_a_end, lx_user_str_bytes),
    (lx_user_str_b, lx_user_str_b_end, lx_user_failed),
    (lx_user_load32_a, lx_user_load32_a_end, lx_user_failed),
    (lx_user_cas32_a, lx_user_cas32_a_end, lx_user_failed),
];

/// Where to continue after a fault at `rip`, if that is one of this module's accesses.
#[must_use]
pub fn fixup(rip: u64) -> Option<u64> {
    if (vectors::start()..vectors::end()).contains(&rip) {
        return Some(vectors::failed());
    }
    FIXUPS.iter().find_map(|&(start, end, target)| {
        (start as *const () as u64..end as *const () as u64)
            .contains(&rip)
            .then_some(target as *const () as u64)
    })
}

/// Copies and says how many bytes arrived.
///
/// # Safety
///
/// Each side is either kernel memory that is valid for the access, or an address that belongs to
/// the guest. A fault handler that uses [`fixup`] is installed.
pub unsafe fn copy(dst: u64, src: u64, len: usize) -> usize {
    // SAFETY: the caller's promise.
    let rest = unsafe { lx_user_copy(dst, src, len) };
    len.saturating_sub(rest)
}

/// Zeroes and says how many bytes were zeroed.
///
/// # Safety
///
/// As [`copy`].
pub unsafe fn zero(dst: u64, len: usize) -> usize {
    // SAFETY: the caller's promise.
    let rest = unsafe { lx_user_zero(dst, len) };
    len.saturating_sub(rest)
}

/// Copies a string up to its NUL byte: `Ok(None)` if `dst` is too short.
///
/// # Safety
///
/// As [`copy`].
pub unsafe fn copy_str(dst: &mut [u8], src: u64) -> Result<Option<usize>, Fault> {
    // SAFETY: the caller's promise; `dst` is valid for its length.
    let len = unsafe { lx_user_str(dst.as_mut_ptr(), src, dst.len()) };
    match usize::try_from(len) {
        Ok(len) => Ok((len < dst.len()).then_some(len)),
        Err(_) => Err(Fault),
    }
}

/// Loads an aligned word.
///
/// # Safety
///
/// As [`copy`].
pub unsafe fn load_u32(src: u64) -> Option<u32> {
    let mut value = 0;
    // SAFETY: the caller's promise.
    let status = unsafe { lx_user_load32(src, &mut value) };
    (status == 0).then_some(value)
}

/// Compares and exchanges an aligned word; what it held before.
///
/// # Safety
///
/// As [`copy`].
pub unsafe fn compare_exchange_u32(dst: u64, current: u32, new: u32) -> Option<u32> {
    let mut value = 0;
    // SAFETY: the caller's promise.
    let status = unsafe { lx_user_cas32(dst, current, new, &mut value) };
    (status == 0).then_some(value)
}

/// Opcode of the jump from a site to its stub.
const JUMP: u8 = 0xe9;

/// How far before an instruction that was moved that jump can begin.
const BEFORE: usize = stub::MAX_WINDOW as usize;
const _: () = assert!(BEFORE == 32);

/// End of the addresses that code of a guest can have.
const GUEST_END: u64 = 0x7000_0000_0000;

/// Reads guest code; `false` unless all of it was readable.
pub fn read_code(address: u64, bytes: &mut [u8]) -> bool {
    let in_guest = address.checked_add(bytes.len() as u64).is_some_and(|end| end <= GUEST_END);
    // SAFETY: `bytes` is kernel memory, the address belongs to the guest.
    in_guest && unsafe { copy(bytes.as_mut_ptr() as u64, address, bytes.len()) } == bytes.len()
}

/// Which bytes of `code` are the opcode of a jump to a stub, as a bit set.
fn jumps_in(code: &[u8; BEFORE]) -> u32 {
    #[target_feature(enable = "sse2")]
    fn compare(code: &[u8; BEFORE]) -> u32 {
        let opcode = _mm_set1_epi8(JUMP.cast_signed());
        let (low, high) = (code.as_ptr().cast::<__m128i>(), code.as_ptr().wrapping_add(16).cast());
        // SAFETY: both halves lie in the array, and these loads need no alignment.
        let [low, high] = [low, high].map(|half| unsafe { _mm_loadu_si128(half) });
        let low = _mm_movemask_epi8(_mm_cmpeq_epi8(low, opcode)).cast_unsigned();
        let high = _mm_movemask_epi8(_mm_cmpeq_epi8(high, opcode)).cast_unsigned();
        high << 16 | low
    }
    // SAFETY: every x86-64 processor has SSE2.
    unsafe { compare(code) }
}

/// [`stub::resume_rip`] on the guest's memory, with one look at the bytes around `rip`.
pub(crate) fn resume_rip(rip: u64) -> Option<u64> {
    const AFTER: usize = 4;
    const PAGE: u64 = 4096;
    let start = rip.checked_sub(BEFORE as u64)?;
    let page = rip & !(PAGE - 1);
    let mut bytes = [0u8; BEFORE + AFTER];
    if start >= page && rip.wrapping_add(AFTER as u64) <= page.wrapping_add(PAGE) {
        if !read_code(start, &mut bytes) {
            return None;
        }
        let mut jumps = jumps_in(bytes.first_chunk()?);
        while jumps != 0 {
            let at = jumps.trailing_zeros() as usize;
            jumps &= jumps.wrapping_sub(1);
            let jump = bytes.get(at..)?.first_chunk::<5>()?;
            let found = stub::resume_behind(start.wrapping_add(at as u64), *jump, rip, &read_code);
            if found.is_some() {
                return found;
            }
        }
        return None;
    }
    // The page before may be unreadable: find that out once, as each fault is expensive.
    let first = if start < page && !read_code(start, bytes.get_mut(..1)?) { page } else { start };
    stub::resume_rip(rip, |address, bytes| address >= first && read_code(address, bytes))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::{FIXUPS, compare_exchange_u32, copy, copy_str, fixup, jumps_in, load_u32, zero};

    #[test]
    fn copies_of_every_length_and_nothing_else() {
        let source: Vec<u8> = (0..5000u32).map(|n| (n * 7 % 251) as u8).collect();
        for len in (0..300).chain(2000..2300).chain([4096, 4900]) {
            let mut target = [0xeeu8; 5000];
            // SAFETY: both are valid for `len` bytes from these offsets.
            let copied =
                unsafe { copy(target.as_mut_ptr() as u64 + 3, source.as_ptr() as u64 + 1, len) };
            assert_eq!(copied, len);
            assert_eq!(target[3..3 + len], source[1..=len]);
            assert!(target[..3].iter().chain(&target[3 + len..]).all(|&byte| byte == 0xee));
        }
    }

    #[test]
    fn jumps_are_found_at_every_place() {
        for at in 0..32 {
            let mut code = [0x90; 32];
            code[at] = 0xe9;
            assert_eq!(jumps_in(&code), 1 << at);
        }
        assert_eq!(jumps_in(&[0xe8; 32]), 0);
        assert_eq!(jumps_in(&[0xe9; 32]), u32::MAX);
    }

    #[test]
    fn strings_end_at_their_nul() {
        for len in 0..40 {
            let mut source = [b'x'; 64];
            source[len] = 0;
            let mut target = [0xeeu8; 48];
            // SAFETY: the string ends inside the array.
            let found = unsafe { copy_str(&mut target[..32], source.as_ptr() as u64) };
            assert_eq!(found, Ok((len < 32).then_some(len)));
            assert!(target[..len.min(32)].iter().all(|&byte| byte == b'x'));
            assert!(target[32..].iter().all(|&byte| byte == 0xee));
        }
    }

    #[test]
    fn words() {
        let mut word = 5u32;
        let address = (&raw mut word) as u64;
        // SAFETY: the word is valid.
        unsafe {
            assert_eq!(load_u32(address), Some(5));
            assert_eq!(compare_exchange_u32(address, 4, 9), Some(5));
            assert_eq!(compare_exchange_u32(address, 5, 9), Some(5));
            assert_eq!(load_u32(address), Some(9));
            assert_eq!(zero(address, 4), 4);
            assert_eq!(load_u32(address), Some(0));
        }
    }

    #[test]
    fn only_the_listed_instructions_have_a_fixup() {
        for &(start, end, target) in &FIXUPS {
            let [start, end, target] = [start, end, target].map(|label| label as *const () as u64);
            assert_eq!(fixup(start), Some(target));
            assert_eq!(fixup(end - 1), Some(target));
            assert_ne!(fixup(end), Some(target));
        }
    }
}

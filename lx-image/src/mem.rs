//! The memory routines that compiled code calls.
//!
//! The image must not touch vector registers beyond what the entry saves, and small copies are
//! what a kernel does most: general and low vector registers below 2 KB, `rep` string instructions
//! above, which cost up to 20 ns to start and are the fastest afterwards.

use core::arch::naked_asm;

/// `memcpy(3)`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(_dst: *mut u8, _src: *const u8, _len: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "2:",
        "cmp rdx, 16",
        "ja 5f",
        "cmp edx, 8",
        "jae 4f",
        "cmp edx, 4",
        "jae 3f",
        "test edx, edx",
        "je 9f",
        // 1 to 3 bytes: first, middle and last overlap.
        "movzx ecx, byte ptr [rsi]",
        "movzx r8d, byte ptr [rsi + rdx - 1]",
        "mov r9d, edx",
        "shr r9d, 1",
        "movzx r10d, byte ptr [rsi + r9]",
        "mov [rdi], cl",
        "mov [rdi + r9], r10b",
        "mov [rdi + rdx - 1], r8b",
        "9:",
        "ret",
        "3:",
        "mov ecx, [rsi]",
        "mov r8d, [rsi + rdx - 4]",
        "mov [rdi], ecx",
        "mov [rdi + rdx - 4], r8d",
        "ret",
        "4:",
        "mov rcx, [rsi]",
        "mov r8, [rsi + rdx - 8]",
        "mov [rdi], rcx",
        "mov [rdi + rdx - 8], r8",
        "ret",
        "5:",
        "cmp rdx, 32",
        "ja 6f",
        "mov rcx, [rsi]",
        "mov r8, [rsi + 8]",
        "mov r9, [rsi + rdx - 16]",
        "mov r10, [rsi + rdx - 8]",
        "mov [rdi], rcx",
        "mov [rdi + 8], r8",
        "mov [rdi + rdx - 16], r9",
        "mov [rdi + rdx - 8], r10",
        "ret",
        "6:",
        "cmp rdx, 2048",
        "jae 8f",
        // Blocks of 32 bytes, then the last 32, which may overlap them.
        "7:",
        "movups xmm0, [rsi]",
        "movups xmm1, [rsi + 16]",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm1",
        "add rsi, 32",
        "add rdi, 32",
        "sub edx, 32",
        "cmp edx, 32",
        "ja 7b",
        "movups xmm0, [rsi + rdx - 32]",
        "movups xmm1, [rsi + rdx - 16]",
        "movups [rdi + rdx - 32], xmm0",
        "movups [rdi + rdx - 16], xmm1",
        "ret",
        "8:",
        "mov rcx, rdx",
        "rep movsb",
        "ret",
    )
}

/// `memmove(3)`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(_dst: *mut u8, _src: *const u8, _len: usize) -> *mut u8 {
    naked_asm!(
        "mov rax, rdi",
        "mov rcx, rdi",
        "sub rcx, rsi",
        // Up to 32 bytes are loaded before any is stored; and a destination below the source, or
        // past its end, can be filled upwards.
        "cmp rcx, rdx",
        "jae 5f",
        "cmp rdx, 32",
        "jbe 5f",
        // Downwards by 8 bytes.
        "2:",
        "mov rcx, [rsi + rdx - 8]",
        "mov [rdi + rdx - 8], rcx",
        "sub rdx, 8",
        "cmp rdx, 8",
        "jae 2b",
        "test edx, edx",
        "je 4f",
        "3:",
        "movzx ecx, byte ptr [rsi + rdx - 1]",
        "mov [rdi + rdx - 1], cl",
        "dec edx",
        "jne 3b",
        "4:",
        "ret",
        // A destination shortly below the source must not use the overlapping tail of `memcpy`.
        "5:",
        "mov rcx, rsi",
        "sub rcx, rdi",
        "cmp rcx, rdx",
        "jae {memcpy}",
        "cmp rdx, 32",
        "jbe {memcpy}",
        "mov rcx, rdx",
        "rep movsb",
        "ret",
        memcpy = sym memcpy,
    )
}

/// `memset(3)`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(_dst: *mut u8, _byte: i32, _len: usize) -> *mut u8 {
    naked_asm!(
        "mov r8, rdi",
        "movzx eax, sil",
        "mov rcx, 0x0101010101010101",
        "imul rax, rcx",
        "cmp rdx, 16",
        "ja 5f",
        "cmp edx, 8",
        "jae 3f",
        "cmp edx, 4",
        "jae 2f",
        "test edx, edx",
        "je 9f",
        // 1 to 3 bytes: the first, the one in the middle, the last.
        "mov ecx, edx",
        "shr ecx, 1",
        "mov [rdi], al",
        "mov [rdi + rcx], al",
        "mov [rdi + rdx - 1], al",
        "9:",
        "mov rax, r8",
        "ret",
        "2:",
        "mov [rdi], eax",
        "mov [rdi + rdx - 4], eax",
        "mov rax, r8",
        "ret",
        "3:",
        "mov [rdi], rax",
        "mov [rdi + rdx - 8], rax",
        "mov rax, r8",
        "ret",
        "5:",
        "cmp rdx, 1024",
        "jae 8f",
        "movq xmm0, rax",
        "punpcklqdq xmm0, xmm0",
        "cmp edx, 32",
        "jbe 7f",
        // Blocks of 32 bytes, then the last 32, which may overlap them.
        "6:",
        "movups [rdi], xmm0",
        "movups [rdi + 16], xmm0",
        "add rdi, 32",
        "sub edx, 32",
        "cmp edx, 32",
        "ja 6b",
        "movups [rdi + rdx - 32], xmm0",
        "movups [rdi + rdx - 16], xmm0",
        "mov rax, r8",
        "ret",
        "7:",
        "movups [rdi], xmm0",
        "movups [rdi + rdx - 16], xmm0",
        "mov rax, r8",
        "ret",
        "8:",
        "mov rcx, rdx",
        "rep stosb",
        "mov rax, r8",
        "ret",
    )
}

/// `memcmp(3)`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(_a: *const u8, _b: *const u8, _len: usize) -> i32 {
    naked_asm!(
        "2:",
        "cmp rdx, 8",
        "jb 4f",
        "mov rax, [rdi]",
        "mov rcx, [rsi]",
        "cmp rax, rcx",
        "jne 3f",
        "add rdi, 8",
        "add rsi, 8",
        "sub rdx, 8",
        "jmp 2b",
        "3:",
        // The first byte that differs decides: compare as big endian.
        "bswap rax",
        "bswap rcx",
        "cmp rax, rcx",
        "sbb eax, eax",
        "or eax, 1",
        "ret",
        "4:",
        "test edx, edx",
        "je 6f",
        "5:",
        "movzx eax, byte ptr [rdi]",
        "movzx ecx, byte ptr [rsi]",
        "sub eax, ecx",
        "jne 7f",
        "inc rdi",
        "inc rsi",
        "dec edx",
        "jne 5b",
        "6:",
        "xor eax, eax",
        "7:",
        "ret",
    )
}

/// `bcmp(3)`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(_a: *const u8, _b: *const u8, _len: usize) -> i32 {
    naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
}

/// `strlen(3)`.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(_string: *const u8) -> usize {
    naked_asm!(
        "mov rax, rdi",
        "2:",
        "cmp byte ptr [rax], 0",
        "je 3f",
        "inc rax",
        "jmp 2b",
        "3:",
        "sub rax, rdi",
        "ret",
    )
}

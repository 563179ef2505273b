//! Core files: `elf.h` and `linux/elfcore.h`.

use super::GuestRegs;
use super::time::Timeval;

/// `e_type` of a core file.
pub const ET_CORE: u16 = 4;
pub const EM_X86_64: u16 = 62;
pub const PT_LOAD: u32 = 1;
pub const PT_NOTE: u32 = 4;
pub const PF_X: u32 = 1;
pub const PF_W: u32 = 2;
pub const PF_R: u32 = 4;

pub const NT_PRSTATUS: u32 = 1;
pub const NT_PRFPREG: u32 = 2;
pub const NT_PRPSINFO: u32 = 3;
pub const NT_AUXV: u32 = 6;
pub const NT_X86_XSTATE: u32 = 0x202;
pub const NT_SIGINFO: u32 = 0x5349_4749;
pub const NT_FILE: u32 = 0x4649_4c45;

abi_struct! {
    /// `Elf64_Ehdr`.
    pub struct ElfHeader [size 64] {
        @0 pub e_ident: [u8; 16],
        @16 pub e_type: u16,
        @18 pub e_machine: u16,
        @20 pub e_version: u32,
        @24 pub e_entry: u64,
        @32 pub e_phoff: u64,
        @40 pub e_shoff: u64,
        @48 pub e_flags: u32,
        @52 pub e_ehsize: u16,
        @54 pub e_phentsize: u16,
        @56 pub e_phnum: u16,
        @58 pub e_shentsize: u16,
        @60 pub e_shnum: u16,
        @62 pub e_shstrndx: u16,
    }
}

abi_struct! {
    /// `Elf64_Phdr`.
    pub struct ProgramHeader [size 56] {
        @0 pub p_type: u32,
        @4 pub p_flags: u32,
        @8 pub p_offset: u64,
        @16 pub p_vaddr: u64,
        @24 pub p_paddr: u64,
        @32 pub p_filesz: u64,
        @40 pub p_memsz: u64,
        @48 pub p_align: u64,
    }
}

abi_struct! {
    /// `user_regs_struct`: what `pt_regs` has, and the segments.
    pub struct UserRegs [size 216] {
        @0 pub general: GuestRegs,
        @168 pub fs_base: u64,
        @176 pub gs_base: u64,
        @184 pub ds: u64,
        @192 pub es: u64,
        @200 pub fs: u64,
        @208 pub gs: u64,
    }
}

abi_struct! {
    /// `struct elf_prstatus`: a thread.
    pub struct PrStatus [size 336] {
        @0 pub si_signo: i32,
        @4 pub si_code: i32,
        @8 pub si_errno: i32,
        @12 pub pr_cursig: u16,
        @14 pub pad1: u16,
        @16 pub pr_sigpend: u64,
        @24 pub pr_sighold: u64,
        @32 pub pr_pid: i32,
        @36 pub pr_ppid: i32,
        @40 pub pr_pgrp: i32,
        @44 pub pr_sid: i32,
        @48 pub pr_utime: Timeval,
        @64 pub pr_stime: Timeval,
        @80 pub pr_cutime: Timeval,
        @96 pub pr_cstime: Timeval,
        @112 pub pr_reg: UserRegs,
        @328 pub pr_fpvalid: i32,
        @332 pub pad2: u32,
    }
}

abi_struct! {
    /// `struct elf_prpsinfo`: the process.
    pub struct PrPsInfo [size 136] {
        @0 pub pr_state: u8,
        @1 pub pr_sname: u8,
        @2 pub pr_zomb: u8,
        @3 pub pr_nice: i8,
        @4 pub pad: u32,
        @8 pub pr_flag: u64,
        @16 pub pr_uid: u32,
        @20 pub pr_gid: u32,
        @24 pub pr_pid: i32,
        @28 pub pr_ppid: i32,
        @32 pub pr_pgrp: i32,
        @36 pub pr_sid: i32,
        @40 pub pr_fname: [u8; 16],
        @56 pub pr_psargs: [u8; 80],
    }
}

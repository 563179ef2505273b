//! The guest's integer registers: `struct pt_regs` of `arch/x86/include/uapi/asm/ptrace.h`.

use super::{Errno, Sysno};

abi_struct! {
    /// The guest's registers in the order of `pt_regs` (and of `user_regs_struct`'s first part).
    ///
    /// The system call entry stores this layout by hand-written code; the offsets are fixed.
    #[derive(PartialEq, Eq)]
    pub struct GuestRegs [size 168] {
        @0 pub r15: u64,
        @8 pub r14: u64,
        @16 pub r13: u64,
        @24 pub r12: u64,
        @32 pub rbp: u64,
        @40 pub rbx: u64,
        @48 pub r11: u64,
        @56 pub r10: u64,
        @64 pub r9: u64,
        @72 pub r8: u64,
        @80 pub rax: u64,
        @88 pub rcx: u64,
        @96 pub rdx: u64,
        @104 pub rsi: u64,
        @112 pub rdi: u64,
        /// The system call number at entry, or -1 outside a system call.
        @120 pub orig_rax: u64,
        @128 pub rip: u64,
        @136 pub cs: u64,
        @144 pub eflags: u64,
        @152 pub rsp: u64,
        @160 pub ss: u64,
    }
}

impl GuestRegs {
    /// The value of `orig_rax` outside a system call.
    pub const NO_SYSCALL: u64 = u64::MAX;
    /// The code segment selector of 64-bit user code.
    pub const USER_CS: u64 = 0x33;
    /// The stack segment selector of user code.
    pub const USER_SS: u64 = 0x2b;
    /// Flags of a fresh program: interrupts on, and the bit that is always set.
    pub const INITIAL_EFLAGS: u64 = 0x202;

    /// The number of the call being made (the kernel looks at 32 bits only).
    #[must_use]
    pub const fn sysno(&self) -> Sysno {
        Sysno(self.orig_rax as u32)
    }

    /// System call argument `n`, counted from 0: rdi, rsi, rdx, r10, r8, r9. Zero beyond those.
    #[must_use]
    pub const fn arg(&self, n: usize) -> u64 {
        match n {
            0 => self.rdi,
            1 => self.rsi,
            2 => self.rdx,
            3 => self.r10,
            4 => self.r8,
            5 => self.r9,
            _ => 0,
        }
    }

    /// All six system call arguments.
    #[must_use]
    pub const fn args(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    /// Stores a result in `rax`.
    pub const fn set_return(&mut self, value: u64) {
        self.rax = value;
    }

    /// Stores an error in `rax`.
    pub const fn set_error(&mut self, errno: Errno) {
        self.rax = errno.as_return();
    }
}

#[cfg(test)]
mod tests {
    use super::GuestRegs;
    use crate::abi::Errno;

    #[test]
    fn arguments_follow_the_calling_convention() {
        let mut regs =
            GuestRegs { rdi: 1, rsi: 2, rdx: 3, r10: 4, r8: 5, r9: 6, ..GuestRegs::default() };
        assert_eq!(regs.args(), [1, 2, 3, 4, 5, 6]);
        assert!((0..6).all(|n| regs.arg(n) == n as u64 + 1));
        assert_eq!(regs.arg(6), 0);
        regs.set_error(Errno::EFAULT);
        assert_eq!(regs.rax as i64, -14);
    }
}

//! Futexes: `include/uapi/linux/futex.h`, futex(2).

use super::{Errno, FromArg, TraceArg};
use core::fmt;

abi_values! {
    /// The command of futex(2), without its option bits.
    pub struct FutexCmd: u32, checked by general {
        FUTEX_WAIT = 0,
        FUTEX_WAKE = 1,
        FUTEX_FD = 2,
        FUTEX_REQUEUE = 3,
        FUTEX_CMP_REQUEUE = 4,
        FUTEX_WAKE_OP = 5,
        FUTEX_LOCK_PI = 6,
        FUTEX_UNLOCK_PI = 7,
        FUTEX_TRYLOCK_PI = 8,
        FUTEX_WAIT_BITSET = 9,
        FUTEX_WAKE_BITSET = 10,
        FUTEX_WAIT_REQUEUE_PI = 11,
        FUTEX_CMP_REQUEUE_PI = 12,
        FUTEX_LOCK_PI2 = 13,
    }
}

abi_consts!(u32, checked by general {
    /// The futex is used by one process only.
    FUTEX_PRIVATE_FLAG = 128,
    /// The timeout is measured by `CLOCK_REALTIME`.
    FUTEX_CLOCK_REALTIME = 256,
    /// In the futex word: there are waiters.
    FUTEX_WAITERS = 0x8000_0000,
    /// In the futex word: the owner died.
    FUTEX_OWNER_DIED = 0x4000_0000,
    /// In the futex word: the owner's thread id.
    FUTEX_TID_MASK = 0x3fff_ffff,
    /// The mask that matches every waiter.
    FUTEX_BITSET_MATCH_ANY = 0xffff_ffff,
    FUTEX_OP_SET = 0,
    FUTEX_OP_ADD = 1,
    FUTEX_OP_OR = 2,
    FUTEX_OP_ANDN = 3,
    FUTEX_OP_XOR = 4,
    /// The operand is a shift count.
    FUTEX_OP_OPARG_SHIFT = 8,
    FUTEX_OP_CMP_EQ = 0,
    FUTEX_OP_CMP_NE = 1,
    FUTEX_OP_CMP_LT = 2,
    FUTEX_OP_CMP_LE = 3,
    FUTEX_OP_CMP_GT = 4,
    FUTEX_OP_CMP_GE = 5,
    /// futex_waitv: the word has 32 bits.
    FUTEX_32 = 2,
    /// futex_wait and others: the bits that tell the size of the word.
    FUTEX2_SIZE_MASK = 3,
    /// A word behind the futex names a node of memory.
    FUTEX2_NUMA = 4,
    /// The memory policy tells the node.
    FUTEX2_MPOL = 8,
    /// futex_waitv: the most words one call waits for.
    FUTEX_WAITV_MAX = 128,
});

/// The operation argument of futex(2): command and options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct FutexOp(pub u32);

impl FutexOp {
    /// The command.
    #[must_use]
    pub const fn cmd(self) -> FutexCmd {
        FutexCmd(self.0 & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME))
    }

    /// Whether only one process uses the futex.
    #[must_use]
    pub const fn is_private(self) -> bool {
        self.0 & FUTEX_PRIVATE_FLAG != 0
    }

    /// Whether the timeout is measured by `CLOCK_REALTIME`.
    #[must_use]
    pub const fn is_realtime(self) -> bool {
        self.0 & FUTEX_CLOCK_REALTIME != 0
    }
}

impl FromArg for FutexOp {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self(raw as u32))
    }
}

impl TraceArg for FutexOp {
    fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cmd().trace(f)?;
        if self.is_private() {
            f.write_str("_PRIVATE")?;
        }
        if self.is_realtime() {
            f.write_str("|FUTEX_CLOCK_REALTIME")?;
        }
        Ok(())
    }
}

/// The encoded operation of `FUTEX_WAKE_OP`: `*uaddr2 op= oparg`, then compare the old value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct FutexWakeOp(pub u32);

impl FutexWakeOp {
    /// One of `FUTEX_OP_SET` to `FUTEX_OP_XOR`.
    #[must_use]
    pub const fn op(self) -> u32 {
        self.0 >> 28 & 7
    }

    /// Whether the operand is a shift count.
    #[must_use]
    pub const fn is_shift(self) -> bool {
        self.0 >> 28 & FUTEX_OP_OPARG_SHIFT != 0
    }

    /// One of `FUTEX_OP_CMP_EQ` to `FUTEX_OP_CMP_GE`.
    #[must_use]
    pub const fn cmp(self) -> u32 {
        self.0 >> 24 & 0xf
    }

    /// The operand, sign-extended from 12 bits.
    #[must_use]
    pub const fn oparg(self) -> i32 {
        (self.0 << 8) as i32 >> 20
    }

    /// The value to compare with, sign-extended from 12 bits.
    #[must_use]
    pub const fn cmparg(self) -> i32 {
        (self.0 << 20) as i32 >> 20
    }
}

impl FromArg for FutexWakeOp {
    fn from_arg(raw: u64) -> Result<Self, Errno> {
        Ok(Self(raw as u32))
    }
}

abi_struct! {
    /// `struct futex_waitv`
    pub struct FutexWaitv = linux_raw_sys::general::futex_waitv {
        pub val: u64,
        pub uaddr: u64,
        pub flags: u32,
        pub __reserved: u32,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::abi::arg::Traced;
    use std::string::ToString;

    #[test]
    fn operations() {
        let op = FutexOp(9 | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
        assert_eq!(op.cmd(), FutexCmd::FUTEX_WAIT_BITSET);
        assert!(op.is_private() && op.is_realtime());
        assert_eq!(Traced(&op).to_string(), "FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME");
        // The default of glibc's condition variables: set *uaddr2 to 0, wake if it was > 1.
        let wake = FutexWakeOp(0x0400_0001);
        assert_eq!((wake.op(), wake.cmp()), (FUTEX_OP_SET, FUTEX_OP_CMP_GT));
        assert_eq!((wake.oparg(), wake.cmparg()), (0, 1));
        assert_eq!(FutexWakeOp(0x00ff_ffff).oparg(), -1);
        assert_eq!(FutexWakeOp(0x00ff_ffff).cmparg(), -1);
        assert!(FutexWakeOp(0x9000_0000).is_shift());
    }
}

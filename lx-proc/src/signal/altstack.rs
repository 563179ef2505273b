//! The alternate signal stack, `sigaltstack(2)`.

use lx_core::abi::Errno;
use lx_core::abi::signal::{MINSIGSTKSZ, StackFlags, StackT};
use lx_core::error::Result;

use super::TaskSignals;

/// Whether `sp` lies on the stack. With `SS_AUTODISARM` the stack is given up while a handler runs,
/// so nobody is ever on it.
pub(super) fn is_on(stack: &StackT, sp: u64) -> bool {
    !StackFlags::from_bits_retain(stack.ss_flags).contains(StackFlags::SS_AUTODISARM)
        && contains(stack, sp)
}

/// Whether `sp` lies in the stack's memory.
pub(super) fn contains(stack: &StackT, sp: u64) -> bool {
    sp > stack.ss_sp && sp.wrapping_sub(stack.ss_sp) <= stack.ss_size
}

/// The stack as `sigaltstack(2)` reports it to a task whose stack pointer is `sp`.
fn reported(stack: &StackT, sp: u64) -> StackT {
    let kept = stack.ss_flags & StackFlags::SS_AUTODISARM.bits();
    let state = if stack.ss_size == 0 {
        StackFlags::SS_DISABLE.bits()
    } else if is_on(stack, sp) {
        StackFlags::SS_ONSTACK.bits()
    } else {
        0
    };
    StackT { ss_flags: kept | state, ..*stack }
}

/// `sigaltstack(2)`: sets the alternate stack, if one is given; the former one is returned. `sp` is
/// the guest's stack pointer.
///
/// # Errors
/// `EPERM` on the stack itself, `EINVAL` for bad flags, `ENOMEM` if it is too small.
pub fn set_alternate_stack(signals: &TaskSignals, new: Option<&StackT>, sp: u64) -> Result<StackT> {
    let stack = signals.alternate_stack();
    let old = reported(&stack, sp);
    let Some(new) = new else { return Ok(old) };
    if is_on(&stack, sp) {
        return Err(Errno::EPERM.into());
    }
    let mode = new.ss_flags & !StackFlags::SS_AUTODISARM.bits();
    let disable = mode == StackFlags::SS_DISABLE.bits();
    if !disable && mode != 0 && mode != StackFlags::SS_ONSTACK.bits() {
        return Err(Errno::EINVAL.into());
    }
    let mut stack = StackT { pad: 0, ..*new };
    if disable {
        (stack.ss_sp, stack.ss_size) = (0, 0);
    } else if stack.ss_size < MINSIGSTKSZ {
        return Err(Errno::ENOMEM.into());
    }
    signals.set_alternate_stack(&stack);
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::{TaskSignals, set_alternate_stack};
    use lx_core::abi::Errno;
    use lx_core::abi::signal::{StackFlags, StackT};

    fn stack(flags: StackFlags, size: u64) -> StackT {
        StackT { ss_sp: 0x10000, ss_flags: flags.bits(), ss_size: size, pad: 0 }
    }

    #[test]
    fn sets_and_reports() {
        let signals = TaskSignals::default();
        let set = |new: &StackT, sp| set_alternate_stack(&signals, Some(new), sp);
        let flags = |sp| set_alternate_stack(&signals, None, sp).unwrap().ss_flags;
        assert_eq!(flags(0), StackFlags::SS_DISABLE.bits());
        assert_eq!(set(&stack(StackFlags::empty(), 100), 0), Err(Errno::ENOMEM.into()));
        assert_eq!(set(&stack(StackFlags::all(), 8192), 0), Err(Errno::EINVAL.into()));
        assert!(set(&stack(StackFlags::empty(), 8192), 0).is_ok());
        assert_eq!(flags(0x10100), StackFlags::SS_ONSTACK.bits());
        assert_eq!(flags(0x10000), 0);
        assert_eq!(set(&stack(StackFlags::SS_DISABLE, 0), 0x10100), Err(Errno::EPERM.into()));
        assert!(set(&stack(StackFlags::SS_AUTODISARM, 8192), 0).is_ok());
        assert_eq!(flags(0x10100), StackFlags::SS_AUTODISARM.bits());
    }
}

//! Robust futexes: what a task that ends leaves to those who wait for its locks.

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::UserPtr;
use lx_core::abi::futex::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};
use lx_core::abi::robust_list::{ROBUST_LIST_LIMIT, RobustListHead};

use crate::current::CurrentTask;
use crate::futex;

/// The guest memory that a walk works on. A trait, so that the walk is tested without a guest.
pub trait RobustMemory {
    /// Reads the head.
    ///
    /// # Errors
    /// `EFAULT`.
    fn head(&self, addr: u64) -> Result<RobustListHead>;
    /// Reads a link.
    ///
    /// # Errors
    /// `EFAULT`.
    fn link(&self, addr: u64) -> Result<u64>;
    /// Loads a futex word.
    ///
    /// # Errors
    /// `EFAULT`, `EINVAL`.
    fn load(&self, word: UserPtr<u32>) -> Result<u32>;
    /// Compares and exchanges a futex word; the value found.
    ///
    /// # Errors
    /// `EFAULT`, `EINVAL`.
    fn compare_exchange(&self, word: UserPtr<u32>, current: u32, new: u32) -> Result<u32>;
    /// Wakes one waiter.
    fn wake_one(&self, word: UserPtr<u32>);
}

impl RobustMemory for CurrentTask<'_> {
    fn head(&self, addr: u64) -> Result<RobustListHead> {
        self.memory().read(UserPtr::new(addr))
    }

    fn link(&self, addr: u64) -> Result<u64> {
        self.memory().read(UserPtr::new(addr))
    }

    fn load(&self, word: UserPtr<u32>) -> Result<u32> {
        self.memory().load_u32(word)
    }

    fn compare_exchange(&self, word: UserPtr<u32>, current: u32, new: u32) -> Result<u32> {
        self.memory().compare_exchange_u32(word, current, new)
    }

    fn wake_one(&self, word: UserPtr<u32>) {
        futex::wake_one(self, word.addr());
    }
}

/// Bit 0 of a link: the futex it leads to is a PI futex.
fn split(link: u64) -> (u64, bool) {
    (link & !1, link & 1 != 0)
}

/// Marks the locks that task `tid` holds as orphaned and wakes a waiter of each. Ends at the first
/// sign of a broken list, as Linux does.
pub fn walk(memory: &impl RobustMemory, head_addr: u64, tid: i32) {
    // A list that cannot be read any more has no one to report to.
    let _ = try_walk(memory, head_addr, tid);
}

fn try_walk(memory: &impl RobustMemory, head_addr: u64, tid: i32) -> Result<()> {
    let head = memory.head(head_addr)?;
    let word = |entry: u64| UserPtr::new(entry.wrapping_add_signed(head.futex_offset));
    let (pending, pending_pi) = split(head.list_op_pending);
    let (mut entry, mut pi) = split(head.list);
    for _ in 0..ROBUST_LIST_LIMIT {
        if entry == head_addr {
            break;
        }
        // The link is read before the lock is given up: its next owner may free the entry.
        let next = memory.link(entry);
        if entry != pending {
            orphan(memory, word(entry), tid, pi, false)?;
        }
        (entry, pi) = split(next?);
    }
    if pending != 0 {
        orphan(memory, word(pending), tid, pending_pi, true)?;
    }
    Ok(())
}

/// `handle_futex_death`: sets `FUTEX_OWNER_DIED` if `tid` holds the lock.
fn orphan(
    memory: &impl RobustMemory,
    word: UserPtr<u32>,
    tid: i32,
    pi: bool,
    pending: bool,
) -> Result<()> {
    if word.addr() & 3 != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut value = memory.load(word)?;
    loop {
        let owner = value & FUTEX_TID_MASK;
        if pending && !pi && owner == 0 {
            // Died between giving the lock up and waking: whoever waits must look again.
            memory.wake_one(word);
            return Ok(());
        }
        if owner != tid.cast_unsigned() & FUTEX_TID_MASK {
            return Ok(());
        }
        let orphaned = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        let found = memory.compare_exchange(word, value, orphaned)?;
        if found == value {
            if !pi && value & FUTEX_WAITERS != 0 {
                memory.wake_one(word);
            }
            return Ok(());
        }
        value = found;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    /// Links at their addresses, words at link + 16.
    struct Fake {
        head: RobustListHead,
        links: BTreeMap<u64, u64>,
        words: RefCell<BTreeMap<u64, u32>>,
        woken: RefCell<Vec<u64>>,
    }

    impl RobustMemory for Fake {
        fn head(&self, _addr: u64) -> Result<RobustListHead> {
            Ok(self.head)
        }
        fn link(&self, addr: u64) -> Result<u64> {
            self.links.get(&addr).copied().ok_or(Errno::EFAULT.into())
        }
        fn load(&self, word: UserPtr<u32>) -> Result<u32> {
            self.words.borrow().get(&word.addr()).copied().ok_or(Errno::EFAULT.into())
        }
        fn compare_exchange(&self, word: UserPtr<u32>, current: u32, new: u32) -> Result<u32> {
            let found = self.load(word)?;
            if found == current {
                self.words.borrow_mut().insert(word.addr(), new);
            }
            Ok(found)
        }
        fn wake_one(&self, word: UserPtr<u32>) {
            self.woken.borrow_mut().push(word.addr());
        }
    }

    const HEAD: u64 = 0x1000;

    fn fake(links: &[(u64, u64)], words: &[(u64, u32)], first: u64, pending: u64) -> Fake {
        Fake {
            head: RobustListHead { list: first, futex_offset: 16, list_op_pending: pending },
            links: links.iter().copied().collect(),
            words: RefCell::new(words.iter().copied().collect()),
            woken: RefCell::default(),
        }
    }

    #[test]
    fn orphans_the_locks_that_the_task_holds() {
        let memory = fake(
            &[(0x2000, 0x3000), (0x3000, HEAD)],
            &[(0x2010, 7 | FUTEX_WAITERS), (0x3010, 8)],
            0x2000,
            0,
        );
        walk(&memory, HEAD, 7);
        assert_eq!(memory.words.borrow()[&0x2010], FUTEX_WAITERS | FUTEX_OWNER_DIED);
        assert_eq!(memory.words.borrow()[&0x3010], 8);
        assert_eq!(*memory.woken.borrow(), [0x2010]);
    }

    #[test]
    fn a_pending_unlock_wakes() {
        let memory = fake(&[], &[(0x2010, 0)], HEAD, 0x2000);
        walk(&memory, HEAD, 7);
        assert_eq!(*memory.woken.borrow(), [0x2010]);
    }

    #[test]
    fn a_ring_and_a_broken_list_end() {
        let memory = fake(&[(0x2000, 0x2000)], &[(0x2010, 0)], 0x2000, 0);
        walk(&memory, HEAD, 7);
        let memory = fake(&[], &[(0x2010, 7)], 0x2000, 0x2000);
        walk(&memory, HEAD, 7);
        assert_eq!(memory.words.borrow()[&0x2010], 7);
    }
}

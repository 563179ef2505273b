//! Address spaces over the mock host: the tree and the host must agree.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use host_mock::{FaultPlan, HostCall, MockHost};
use lx_core::abi::mman::{Madvice, MapFlags, MremapFlags, ProtFlags};
use lx_core::abi::{Errno, PAGE_SIZE, USER_END};
use lx_core::caller::Caller;
use lx_core::cred::Credentials;
use lx_core::error::SysError;
use lx_core::host::{Host, HostMemory, Prot};
use lx_core::rlimit::{Resource, Rlimits};
use lx_core::sync::Waiter;
use lx_proc::mm::{AddressSpace, MapRequest, WordLocation};

const P: u64 = PAGE_SIZE;
const RW: Prot = Prot::READ.union(Prot::WRITE);

struct World {
    host: &'static MockHost,
    cred: Credentials,
    waiter: Arc<Waiter>,
    rlimits: Rlimits,
    space: Arc<AddressSpace>,
}

impl World {
    fn new() -> Self {
        Self {
            host: MockHost::new(1),
            cred: Credentials::new(0, 0, Vec::new()),
            waiter: Arc::new(Waiter::new()),
            rlimits: Rlimits::new(),
            space: AddressSpace::new(Arc::default()),
        }
    }

    fn caller(&self) -> Caller<'_> {
        Caller {
            host: self.host as &'static dyn Host,
            identity: &self.cred,
            waiter: &self.waiter,
            rlimits: &self.rlimits,
            tid: 2,
            tgid: 2,
        }
    }

    fn map_at(&self, addr: u64, len: u64, prot: Prot, flags: MapFlags) -> Result<u64, SysError> {
        let flags = flags | MapFlags::MAP_ANONYMOUS;
        let request = MapRequest { addr, len, prot, flags, file: None, offset: 0, stubs: None };
        self.space.map(&self.caller(), &request)
    }

    fn map(&self, len: u64) -> u64 {
        self.map_at(0, len, RW, MapFlags::MAP_PRIVATE).unwrap()
    }

    fn unmap(&self, addr: u64, len: u64) {
        self.space.unmap(&self.caller(), addr, len).unwrap();
    }

    fn put(&self, addr: u64, byte: u8) -> bool {
        self.host.copy_out(addr, &[byte]).is_ok()
    }

    fn get(&self, addr: u64) -> Option<u8> {
        let mut byte = [0];
        self.host.copy_in(addr, &mut byte).ok().map(|()| byte[0])
    }

    fn lines(&self) -> Vec<(u64, u64)> {
        self.space.map_lines().iter().map(|line| (line.start, line.end)).collect()
    }
}

fn errno<T>(result: Result<T, SysError>) -> Option<Errno> {
    result.err().map(SysError::errno)
}

#[test]
fn maps_and_unmaps() {
    let w = World::new();
    let addr = w.map(40 * P);
    assert!(addr.is_multiple_of(P) && addr + 40 * P <= USER_END);
    assert!(w.put(addr + 39 * P, 1));
    w.unmap(addr + P, 8 * P);
    assert_eq!(w.lines(), [(addr, addr + P), (addr + 9 * P, addr + 40 * P)]);
    assert_eq!(w.get(addr + P), None);
    w.unmap(addr, 64 * P);
    assert!(w.lines().is_empty());
    assert_eq!(w.get(addr + 39 * P), None);
    assert_eq!(errno(w.space.unmap(&w.caller(), addr + 1, P)), Some(Errno::EINVAL));
    assert_eq!(errno(w.space.unmap(&w.caller(), addr, 0)), Some(Errno::EINVAL));
}

#[test]
fn recycles_small_ranges_zeroed() {
    let w = World::new();
    let addr = w.map(P);
    assert!(w.put(addr, 7));
    w.unmap(addr, P);
    assert!(w.lines().is_empty());
    assert_eq!(errno(w.space.residency(addr, P)), Some(Errno::ENOMEM));
    assert_eq!(w.map(P), addr);
    assert_eq!(w.get(addr), Some(0));
    w.unmap(addr, P);
    // The range is free for the guest.
    let fixed = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED_NOREPLACE;
    assert_eq!(w.map_at(addr - P, 3 * P, Prot::READ, fixed), Ok(addr - P));
    assert_ne!(w.map(P), addr);
}

#[test]
fn keeps_few_recycled_ranges() {
    let w = World::new();
    let all: Vec<u64> = (0..20).map(|_| w.map(P)).collect();
    for &addr in &all {
        w.unmap(addr, P);
    }
    assert!(w.lines().is_empty());
    // The first ones were given back to the host.
    assert_eq!((w.get(all[0]), w.get(all[3])), (None, None));
    assert_eq!((w.get(all[4]), w.get(all[19])), (Some(0), Some(0)));
}

#[test]
fn parts_are_not_recycled() {
    let w = World::new();
    let addr = w.map(3 * P);
    w.unmap(addr + P, P);
    assert_eq!((w.get(addr), w.get(addr + P), w.get(addr + 2 * P)), (Some(0), None, Some(0)));
}

#[test]
fn fixed_mappings_replace() {
    let w = World::new();
    let addr = w.map(8 * P);
    assert!(w.put(addr + 2 * P, 3));
    let fixed = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
    assert_eq!(w.map_at(addr + 2 * P, P, RW, fixed), Ok(addr + 2 * P));
    assert_eq!(w.get(addr + 2 * P), Some(0));
    let careful = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED_NOREPLACE;
    assert_eq!(errno(w.map_at(addr, P, RW, careful)), Some(Errno::EEXIST));
    assert_eq!(errno(w.map_at(addr + 1, P, RW, fixed)), Some(Errno::EINVAL));
    assert_eq!(errno(w.map_at(0, P, RW, fixed)), Some(Errno::EPERM));
    assert_eq!(errno(w.map_at(USER_END, P, RW, fixed)), Some(Errno::ENOMEM));
    assert_eq!(errno(w.map_at(0, 0, RW, MapFlags::MAP_PRIVATE)), Some(Errno::EINVAL));
    assert_eq!(errno(w.map_at(0, P, RW, MapFlags::empty())), Some(Errno::EINVAL));
    assert_eq!(errno(w.map_at(0, u64::MAX - 5, RW, MapFlags::MAP_PRIVATE)), Some(Errno::ENOMEM));
}

#[test]
fn a_failing_host_leaves_no_mapping() {
    let w = World::new();
    w.host.set_faults(FaultPlan::default().fail(HostCall::Map, 0, 1, Errno::ENOMEM));
    assert_eq!(errno(w.map_at(0, 8 * P, RW, MapFlags::MAP_PRIVATE)), Some(Errno::ENOMEM));
    assert!(w.lines().is_empty());
}

#[test]
fn protects_parts() {
    let w = World::new();
    let addr = w.map(8 * P);
    let protect = |start, len, prot| w.space.protect(&w.caller(), start, len, prot);
    protect(addr + P, P, ProtFlags::PROT_READ).unwrap();
    assert!(!w.put(addr + P, 1) && w.put(addr + 2 * P, 1));
    assert_eq!(w.lines().len(), 3);
    protect(addr + P, P, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE).unwrap();
    assert_eq!(w.lines().len(), 1);
    w.unmap(addr + 4 * P, P);
    let none = ProtFlags::PROT_NONE;
    assert_eq!(errno(protect(addr, 8 * P, none)), Some(Errno::ENOMEM));
    assert_eq!(errno(protect(addr + 1, P, none)), Some(Errno::EINVAL));
    assert_eq!(protect(addr, 0, none), Ok(()));
}

#[test]
fn remaps() {
    let w = World::new();
    let may_move = MremapFlags::MREMAP_MAYMOVE;
    let addr = w.map(8 * P);
    assert!(w.put(addr, 9) && w.put(addr + 7 * P, 8));
    let remap = |old, old_len, new_len, flags, new| {
        w.space.remap(&w.caller(), old, old_len, new_len, flags, new)
    };
    // Something above, so that it cannot grow where it is.
    let fixed_map = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
    w.map_at(addr + 8 * P, P, Prot::READ, fixed_map).unwrap();
    assert_eq!(errno(remap(addr, 8 * P, 16 * P, MremapFlags::empty(), 0)), Some(Errno::ENOMEM));
    let moved = remap(addr, 8 * P, 16 * P, may_move, 0).unwrap();
    assert_ne!(moved, addr);
    assert_eq!((w.get(moved), w.get(moved + 7 * P)), (Some(9), Some(8)));
    assert_eq!((w.get(moved + 15 * P), w.get(addr)), (Some(0), None));
    w.unmap(addr + 8 * P, P);
    assert_eq!(w.lines(), [(moved, moved + 16 * P)]);
    assert_eq!(remap(moved, 16 * P, 4 * P, may_move, 0), Ok(moved));
    // In place, into what has become free.
    assert_eq!(remap(moved, 4 * P, 10 * P, MremapFlags::empty(), 0), Ok(moved));
    assert_eq!(w.get(moved + 7 * P), Some(0));
    assert_eq!(w.lines(), [(moved, moved + 10 * P)]);
    let fixed = may_move | MremapFlags::MREMAP_FIXED;
    let target = moved - 0x100_0000;
    assert_eq!(remap(moved, 10 * P, 2 * P, fixed, target), Ok(target));
    assert_eq!(w.lines(), [(target, target + 2 * P)]);
    assert_eq!(w.get(target), Some(9));
    assert_eq!(errno(remap(moved, P, 2 * P, may_move, 0)), Some(Errno::EFAULT));
    assert_eq!(errno(remap(target, P, 0, may_move, 0)), Some(Errno::EINVAL));
    assert_eq!(errno(remap(target, P, P, fixed, target)), Some(Errno::EINVAL));
}

#[test]
fn shared_memory_is_the_same_everywhere() {
    let w = World::new();
    let addr = w.map_at(0, 40 * P, RW, MapFlags::MAP_SHARED).unwrap();
    assert!(w.put(addr + 20 * P, 5));
    // A second view of the same memory.
    let may_move = MremapFlags::MREMAP_MAYMOVE;
    let again = w.space.remap(&w.caller(), addr, 0, 40 * P, may_move, 0).unwrap();
    assert_eq!(w.get(again + 20 * P), Some(5));
    let word = |addr| w.space.locate_word(addr);
    assert!(matches!(word(addr + 20 * P), Ok(WordLocation::Region(_))));
    assert_eq!(word(addr + 20 * P), word(again + 20 * P));
    assert_ne!(word(addr), word(addr + 4));
    let private = w.map(P);
    assert_eq!(word(private), Ok(WordLocation::Private));
    w.space.advise(&w.caller(), addr, 40 * P, Madvice::MADV_DONTNEED).unwrap();
    assert_eq!(w.get(again + 20 * P), Some(5));
    w.space.advise(&w.caller(), addr, 40 * P, Madvice::MADV_REMOVE).unwrap();
    assert_eq!(w.get(again + 20 * P), Some(0));
}

#[test]
fn copies_for_children_leave_marked_ranges_behind() {
    let w = World::new();
    let a = w.map(8 * P);
    let b = w.map_at(0, 8 * P, Prot::READ, MapFlags::MAP_PRIVATE).unwrap();
    w.space.lock_memory(&w.caller(), a, 8 * P, true).unwrap();
    w.space.advise(&w.caller(), b, 8 * P, Madvice::MADV_DONTFORK).unwrap();
    let child = w.space.duplicate();
    assert_ne!(child.id(), w.space.id());
    let lines = child.map_lines();
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].start, lines[0].locked), (a, false));
    assert_eq!(w.space.map_lines().len(), 2);
}

#[test]
fn limits_hold() {
    let w = World::new();
    w.rlimits.set(Resource::As, 10 * P, 10 * P);
    let addr = w.map(8 * P);
    assert_eq!(errno(w.map_at(0, 3 * P, RW, MapFlags::MAP_PRIVATE)), Some(Errno::ENOMEM));
    let fixed = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
    assert_eq!(w.map_at(addr, 8 * P, RW, fixed), Ok(addr));
    w.unmap(addr, 8 * P);
    w.map(3 * P);
}

//! The kernel's heap, in the shared region.
//!
//! Small objects come from size classes. Each thread block keeps a magazine per class, a list of
//! free objects that only its thread uses, so the steady state takes no lock; magazines are filled
//! from and emptied into one list per class. Large objects are runs of blocks. Memory of a class
//! stays with the class.

use core::alloc::{GlobalAlloc, Layout};
use core::marker::PhantomData;
use core::ptr::null_mut;

use lx_core::host::BLOCK_SIZE;
use lx_core::sync::Mutex;

/// Number of size classes: 16 in steps of 16 bytes, then 4 per doubling up to 32 KB.
pub const CLASSES: usize = 44;
const SMALL_CLASSES: usize = 16;
const LARGEST: usize = 32 * 1024;
/// Objects above this come in spans of several blocks, to waste less of them.
const SPAN_BLOCKS_ABOVE: usize = 4096;

/// Lock level of the classes' lists: above only the region's.
const LEVEL: u8 = 61;

/// Where the heap's memory comes from; a host implements it.
///
/// # Safety
///
/// Runs do not overlap, are as long as they were asked for and aligned to [`BLOCK_SIZE`], and stay
/// until they are freed. A magazine is the calling thread's own.
pub unsafe trait Region {
    /// A run of at least `bytes` bytes with arbitrary contents.
    fn alloc_run(bytes: usize) -> Option<u64>;
    /// Length in bytes of the run that begins at `address`.
    fn run_size(address: u64) -> usize;
    /// Takes a run back.
    fn free_run(address: u64);
    /// The calling thread's magazine of a class; `None` before it has any.
    ///
    /// # Safety
    ///
    /// The reference is given up before the next call.
    unsafe fn magazine(class: usize) -> Option<&'static mut Magazine>;
}

/// A free object.
struct Free {
    next: *mut Free,
}

/// One thread's free objects of one class.
#[derive(Clone, Copy, Debug)]
pub struct Magazine {
    head: *mut Free,
    len: u32,
}

impl Magazine {
    /// One without objects.
    pub const EMPTY: Self = Self { head: null_mut(), len: 0 };

    fn push(&mut self, object: *mut u8) {
        let object: *mut Free = object.cast();
        // SAFETY: a free object is ours, at least 16 bytes long and aligned to 16.
        unsafe { (*object).next = self.head };
        self.head = object;
        self.len += 1;
    }

    fn pop(&mut self) -> *mut u8 {
        let object = self.head;
        if object.is_null() {
            return null_mut();
        }
        // SAFETY: objects in the list are free and were written by `push`.
        self.head = unsafe { (*object).next };
        self.len -= 1;
        object.cast()
    }
}

/// What all threads share of one class.
struct Central {
    free: Magazine,
    /// The unused rest of the newest span.
    next: u64,
    end: u64,
}

// SAFETY: the lists own their objects.
unsafe impl Send for Central {}

fn class_of(size: usize) -> usize {
    if size <= 256 {
        return size.max(1).div_ceil(16) - 1;
    }
    let last = size - 1;
    let power = last.ilog2() as usize;
    SMALL_CLASSES + (power - 8) * 4 + ((last >> (power - 2)) & 3)
}

fn class_size(class: usize) -> usize {
    if class < SMALL_CLASSES {
        return (class + 1) * 16;
    }
    let (doubling, quarter) = ((class - SMALL_CLASSES) / 4, (class - SMALL_CLASSES) % 4);
    let base = 256 << doubling;
    base + (quarter + 1) * (base / 4)
}

/// How many objects move between a magazine and the shared list at a time.
fn batch(size: usize) -> u32 {
    (8192 / size).clamp(1, 32) as u32
}

/// The size that a layout is served with: powers of two are aligned to themselves.
fn effective_size(layout: Layout) -> usize {
    if layout.align() > 16 {
        layout.size().max(layout.align()).next_power_of_two()
    } else {
        layout.size()
    }
}

/// The global allocator of the kernel image.
pub struct Heap<R> {
    central: [Mutex<Central, LEVEL>; CLASSES],
    region: PhantomData<R>,
}

impl<R> core::fmt::Debug for Heap<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Heap").finish_non_exhaustive()
    }
}

impl<R: Region> Heap<R> {
    /// A heap that has no memory yet.
    #[expect(clippy::new_without_default, reason = "made once, as a static")]
    pub const fn new() -> Self {
        Self {
            central: [const { Mutex::new(Central { free: Magazine::EMPTY, next: 0, end: 0 }) };
                CLASSES],
            region: PhantomData,
        }
    }

    #[cold]
    fn refill(&self, class: usize, magazine: &mut Magazine) -> *mut u8 {
        let size = class_size(class);
        let Some(central) = self.central.get(class) else { return null_mut() };
        let mut central = central.lock();
        for _ in 0..batch(size) {
            let mut object = central.free.pop();
            if object.is_null() {
                if central.end - central.next < size as u64 {
                    let blocks = if size > SPAN_BLOCKS_ABOVE { 4 } else { 1 };
                    let Some(span) = R::alloc_run(blocks * BLOCK_SIZE) else { break };
                    central.next = span;
                    central.end = span + (blocks * BLOCK_SIZE) as u64;
                }
                object = central.next as *mut u8;
                central.next += size as u64;
            }
            magazine.push(object);
        }
        drop(central);
        magazine.pop()
    }

    #[cold]
    fn flush(&self, class: usize, magazine: &mut Magazine) {
        let Some(central) = self.central.get(class) else { return };
        let mut central = central.lock();
        for _ in 0..batch(class_size(class)) {
            let object = magazine.pop();
            if object.is_null() {
                return;
            }
            central.free.push(object);
        }
    }
}

// SAFETY: objects of a class do not overlap, are as large as the class says, and aligned to 16 or,
// for powers of two, to their size, because spans are aligned to 64 KB; runs are too.
unsafe impl<R: Region> GlobalAlloc for Heap<R> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = effective_size(layout);
        if size > LARGEST {
            if layout.align() > BLOCK_SIZE {
                return null_mut();
            }
            return R::alloc_run(size).map_or(null_mut(), |at| at as *mut u8);
        }
        let class = class_of(size);
        // SAFETY: only this thread uses its magazines, and no signal handler allocates.
        let Some(magazine) = (unsafe { R::magazine(class) }) else { return null_mut() };
        let object = magazine.pop();
        if object.is_null() { self.refill(class, magazine) } else { object }
    }

    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        let size = effective_size(layout);
        if size > LARGEST {
            R::free_run(object as u64);
            return;
        }
        let class = class_of(size);
        // SAFETY: as in `alloc`.
        let Some(magazine) = (unsafe { R::magazine(class) }) else { return };
        magazine.push(object);
        if magazine.len > 2 * batch(class_size(class)) {
            self.flush(class, magazine);
        }
    }

    unsafe fn realloc(&self, object: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
            return null_mut();
        };
        let (old, new) = (effective_size(layout), effective_size(new_layout));
        let fits = if old > LARGEST {
            new > LARGEST && new <= R::run_size(object as u64) && new >= old / 2
        } else {
            new <= LARGEST && class_of(old) == class_of(new)
        };
        if fits {
            return object;
        }
        // SAFETY: the caller's promise for `object`; the new one is as large as `new_size`.
        unsafe {
            let to = self.alloc(new_layout);
            if !to.is_null() {
                core::ptr::copy_nonoverlapping(object, to, layout.size().min(new_size));
                self.dealloc(object, layout);
            }
            to
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CLASSES, LARGEST, class_of, class_size};

    #[test]
    fn every_size_has_the_smallest_class_that_holds_it() {
        for size in 1..=LARGEST {
            let class = class_of(size);
            assert!(class < CLASSES);
            assert!(class_size(class) >= size, "{size}");
            assert!(class == 0 || class_size(class - 1) < size, "{size}");
        }
        assert_eq!(class_size(CLASSES - 1), LARGEST);
    }

    #[test]
    fn powers_of_two_are_classes_of_their_own() {
        for power in 4..=15 {
            assert_eq!(class_size(class_of(1 << power)), 1 << power);
        }
    }
}

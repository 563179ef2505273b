//! Memory of the region that the processes of a machine share: runs of blocks, and the kernel's heap
//! on top of them. Hosts give it memory; below it there is only `lx-core`.

#![cfg_attr(not(test), no_std)]

mod heap;
mod runs;

pub use heap::{CLASSES, Heap, Magazine, Region};
pub use runs::{BlockList, Entry, Runs, Table};

//! Mappings of files: what the processor reads and writes there.

use std::arch::asm;
use std::ptr::{null_mut, read_volatile};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libc::{
    MAP_PRIVATE, MAP_SHARED, MS_ASYNC, MS_INVALIDATE, MS_SYNC, PROT_READ, PROT_WRITE, c_int,
};

use super::{Contents, LENGTHS, OFFSETS, checksum, descriptor};
use crate::random::pick;
use crate::{Called, call, called};

const PAGE: usize = 4096;

/// A mapping that is in a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapping {
    address: usize,
    length: usize,
    /// The file, by its inode number.
    file: Option<u64>,
}

/// Where the processor goes on after a fault.
static GO_ON: AtomicUsize = AtomicUsize::new(0);
static FAULTED: AtomicBool = AtomicBool::new(false);

extern "C" fn on_fault(_signal: c_int, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    FAULTED.store(true, Ordering::Relaxed);
    // SAFETY: the kernel passes a valid context to a handler with `SA_SIGINFO`.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    registers[libc::REG_RIP as usize] = GO_ON.load(Ordering::Relaxed) as i64;
}

/// Catches the faults of [`load`] and [`store`].
pub(super) fn catch_faults() {
    // SAFETY: zeroes are a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_fault as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        let _ = call!(sigaction(signal, &action, null_mut()));
    }
}

/// Whether the processor can read the byte.
fn load(address: usize) -> bool {
    FAULTED.store(false, Ordering::Relaxed);
    // SAFETY: a fault of the load goes on behind it; the byte is not used.
    unsafe {
        asm!(
            "lea {place}, [rip + 2f]",
            "mov [{go_on}], {place}",
            "mov {byte}, byte ptr [{address}]",
            "2:",
            place = out(reg) _,
            byte = out(reg_byte) _,
            go_on = in(reg) GO_ON.as_ptr(),
            address = in(reg) address,
        );
    }
    !FAULTED.load(Ordering::Relaxed)
}

/// Writes the byte; whether the processor could.
fn store(address: usize, byte: u8) -> bool {
    FAULTED.store(false, Ordering::Relaxed);
    // SAFETY: a fault of the store goes on behind it; the mapping belongs to nobody else.
    unsafe {
        asm!(
            "lea {place}, [rip + 2f]",
            "mov [{go_on}], {place}",
            "mov byte ptr [{address}], {byte}",
            "2:",
            place = out(reg) _,
            byte = in(reg_byte) byte,
            go_on = in(reg) GO_ON.as_ptr(),
            address = in(reg) address,
        );
    }
    !FAULTED.load(Ordering::Relaxed)
}

impl Mapping {
    /// The pages as the processor reads them; `!` where there are none.
    fn show(&self) -> String {
        let page = |at: usize| {
            let address = self.address + at;
            if !load(address) {
                return "!".to_owned();
            }
            // SAFETY: the processor could just read this page; nothing was done since.
            let bytes: Vec<u8> =
                (0..PAGE).map(|at| unsafe { read_volatile((address + at) as *const u8) }).collect();
            if bytes.iter().all(|byte| *byte == 0) {
                "0".to_owned()
            } else {
                format!("{:08x}", checksum(&bytes))
            }
        };
        let pages: Vec<_> = (0..self.length).step_by(PAGE).map(page).collect();
        pages.join(" ")
    }

    /// Writes some bytes, to the end of the page at most; whether they could be written.
    pub(super) fn poke(&self, at: usize, kind: u8) -> bool {
        let address = self.address + at % self.length;
        let length = (PAGE - address % PAGE).min(9);
        (0..length).all(|at| store(address + at, kind ^ at as u8))
    }

    /// The place and what a call may do there: the rest of a page that the processor can read.
    fn part(&self, at: usize) -> Option<(usize, usize)> {
        let address = self.address + at % self.length;
        load(address).then_some((address, PAGE - address % PAGE))
    }
}

impl Contents {
    /// Steps on mappings.
    pub(super) fn mapping_step(&mut self, name: &str, [a, b, c, d]: [u32; 4]) -> String {
        let slot = d as usize % self.mappings.len();
        if name == "map" {
            self.unmap(slot);
            return self.map(slot, [a, b, c, d / 4]);
        }
        let Some(mapping) = self.mappings[slot] else { return "no mapping".to_owned() };
        match name {
            "peek" => mapping.show(),
            "poke" => {
                let at = pick(b, LENGTHS);
                // By the processor, or by a call that reads from a file into it, or writes it to
                // one.
                if a % 3 == 0 {
                    return format!("{}", mapping.poke(at, self.writes));
                }
                // From a file to itself the order of the bytes would matter.
                if super::inode(descriptor(c)) == mapping.file {
                    return "the same file".to_owned();
                }
                let Some((address, length)) = mapping.part(at) else {
                    return "nothing there".to_owned();
                };
                let place = address as *mut libc::c_void;
                let done = match a % 3 {
                    1 => call!(pwrite(descriptor(c), place, length, 20)),
                    _ => call!(pread(descriptor(c), place, length, 10)),
                };
                format!("{done:?}")
            }
            "msync" => {
                let kinds = [MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE, MS_SYNC | MS_ASYNC, 0, 8];
                let start = pick(a, &[0, 0, PAGE, 1]);
                let address = (mapping.address + start) as *mut libc::c_void;
                // What lies behind the mapping is nobody's choice.
                let room = mapping.length.next_multiple_of(PAGE).saturating_sub(start);
                format!("{:?}", call!(msync(address, pick(b, LENGTHS).min(room), pick(c, &kinds))))
            }
            _ => {
                self.unmap(slot);
                "unmapped".to_owned()
            }
        }
    }

    fn unmap(&mut self, slot: usize) {
        if let Some(mapping) = self.mappings[slot].take() {
            let _ = call!(munmap(mapping.address as *mut libc::c_void, mapping.length));
        }
    }

    fn map(&mut self, slot: usize, [a, b, c, d]: [u32; 4]) -> String {
        let length = pick(b, LENGTHS);
        let prot: c_int =
            pick(d, &[PROT_READ | PROT_WRITE, PROT_READ, PROT_READ | PROT_WRITE, 0, PROT_WRITE]);
        let kind = pick(
            d / 8,
            &[
                MAP_SHARED,
                MAP_PRIVATE,
                MAP_SHARED | libc::MAP_POPULATE,
                libc::MAP_SHARED_VALIDATE,
                0,
            ],
        );
        let offset = pick(c, OFFSETS);
        // SAFETY: the kernel chooses a place where nothing is.
        let address = unsafe { libc::mmap(null_mut(), length, prot, kind, descriptor(a), offset) };
        let mapped: Called = called(address as i64);
        match mapped {
            Ok(address) => {
                let file = super::inode(descriptor(a));
                self.mapped.extend(file);
                self.mappings[slot] = Some(Mapping { address: address as usize, length, file });
                "mapped".to_owned()
            }
            Err(errno) => format!("Err({errno})"),
        }
    }
}

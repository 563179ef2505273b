//! Handles of host files that work in every process.
//!
//! Init holds a duplicate of each; a process that has none of its own yet takes one from there.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::host::{HostError, HostFd, HostResult};
use lx_core::sync::Mutex;
use lx_nt::{Handle, IoStatus};

use crate::nt::{self, nt};
use crate::{aside, feed, host, net, process, terminal, thread};

/// Lock level of the table.
const LEVEL: u8 = 57;
/// Lock level of a process's cache.
const CACHE_LEVEL: u8 = 56;

/// What kind of thing a handle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file or directory.
    Disk,
    /// A pipe.
    Pipe,
    /// The input of the console.
    Keyboard,
    /// The output of the console.
    Screen,
    /// A process: readable when it has ended.
    Process,
    /// A pipe to a program of Windows, which is written without waiting.
    Feed,
    /// A socket of Winsock.
    Socket,
    /// Anything else.
    Other,
}

#[derive(Clone, Copy)]
struct Entry {
    /// Init's handle; 0 for a free entry.
    handle: Handle,
    kind: Kind,
    /// Tells the users of an entry apart.
    generation: u32,
}

struct Table {
    entries: Vec<Entry>,
    free: Vec<u32>,
}

static TABLE: Mutex<Table, LEVEL> = Mutex::new(Table { entries: Vec::new(), free: Vec::new() });

/// A handle of a process.
#[derive(Clone, Copy)]
struct Own {
    /// That of the entry that it belongs to.
    generation: u32,
    handle: Handle,
    kind: Kind,
}

impl Own {
    /// Closes it; it must be one of the calling process.
    fn close(self) {
        match self.kind {
            Kind::Socket => net::close_handle(self.handle),
            _ => nt::close(self.handle),
        }
    }
}

/// A process's own handles, by entry.
pub(crate) struct HandleCache {
    map: Mutex<BTreeMap<u32, Own>, CACHE_LEVEL>,
    /// Values of sockets that other processes have closed here. Winsock still knows something of
    /// them, so no socket that is taken over may have one of these.
    tainted: Mutex<Vec<Handle>, CACHE_LEVEL>,
}

impl Kind {
    /// Whether it is a terminal.
    pub(crate) fn is_console(self) -> bool {
        matches!(self, Self::Keyboard | Self::Screen)
    }
}

impl HandleCache {
    pub(crate) fn new() -> Self {
        Self { map: Mutex::new(BTreeMap::new()), tainted: Mutex::new(Vec::new()) }
    }

    /// Closes all of them: the process gets another guest.
    pub(crate) fn clear(&self) {
        let handles = core::mem::take(&mut *self.map.lock());
        handles.into_values().for_each(Own::close);
    }

    /// The handle of an entry.
    fn get(&self, index: u32, generation: u32) -> Option<Own> {
        self.map.lock().get(&index).copied().filter(|own| own.generation == generation)
    }

    /// The same, which is not in the cache any more.
    fn remove(&self, index: u32, generation: u32) -> Option<Own> {
        let mut map = self.map.lock();
        map.get(&index).filter(|own| own.generation == generation)?;
        map.remove(&index)
    }

    /// Remembers a handle; the one of a former user of the entry is closed. If another thread was
    /// faster, its handle is the one to use.
    fn put(&self, index: u32, own: Own) -> Handle {
        let mut map = self.map.lock();
        let known = map.get(&index).copied();
        let (used, other) = match known {
            Some(known) if known.generation == own.generation => (known.handle, Some(own)),
            old => {
                map.insert(index, own);
                (own.handle, old)
            }
        };
        drop(map);
        if let Some(other) = other {
            other.close();
        }
        used
    }

    /// A duplicate of init's handle of a socket, whose value Winsock does not know.
    fn take_socket(&self, in_init: Handle) -> HostResult<Handle> {
        let mut refused = Vec::new();
        let result = loop {
            match nt::take_from_init(in_init) {
                Ok(handle) if self.tainted.lock().contains(&handle) => refused.push(handle),
                result => break result,
            }
        };
        refused.into_iter().for_each(nt::close);
        let handle = result?;
        net::adopt_handle(handle).inspect_err(|_| nt::close(handle))?;
        Ok(handle)
    }
}

fn split(raw: u64) -> (u32, u32) {
    (raw as u32, (raw >> 32) as u32)
}

fn entry(raw: u64) -> HostResult<Entry> {
    let (index, generation) = split(raw);
    let entry = TABLE.lock().entries.get(index as usize).copied();
    entry
        .filter(|entry| entry.generation == generation && entry.handle != 0)
        .ok_or(HostError(Errno::EBADF))
}

/// Enters init's handle of a file.
fn enter(handle: Handle, kind: Kind) -> u64 {
    let mut table = TABLE.lock();
    if let Some(index) = table.free.pop()
        && let Some(entry) = table.entries.get_mut(index as usize)
    {
        let generation = entry.generation.wrapping_add(1);
        *entry = Entry { handle, kind, generation };
        return u64::from(index) | u64::from(generation) << 32;
    }
    let index = table.entries.len() as u64;
    table.entries.push(Entry { handle, kind, generation: 0 });
    index
}

/// A handle that `lx` has put into init.
pub(crate) fn adopt(handle: Handle) -> HostFd {
    let kind = terminal::kind(handle).unwrap_or_else(|| kind_of(handle));
    terminal::prepare(handle, kind);
    HostFd::from_raw(enter(handle, kind), host())
}

/// A handle that the calling process has opened.
pub(crate) fn register(handle: Handle, kind: Kind) -> HostResult<HostFd> {
    let Some(process) = process::current() else {
        return Ok(HostFd::from_raw(enter(handle, kind), host()));
    };
    let raw = match nt::give_to_init(handle) {
        Ok(in_init) => enter(in_init, kind),
        Err(error) => {
            nt::close(handle);
            return Err(error);
        }
    };
    let (index, generation) = split(raw);
    if kind == Kind::Socket {
        // Winsock has made it here, and knows it.
        process.files.tainted.lock().retain(|tainted| *tainted != handle);
    }
    process.files.put(index, Own { generation, handle, kind });
    Ok(HostFd::from_raw(raw, host()))
}

/// The calling process's handle of a file.
pub(crate) fn local(fd: &HostFd) -> HostResult<Handle> {
    local_by_number(fd.raw())
}

/// The same for a file that somebody else keeps open.
pub(crate) fn local_by_number(raw: u64) -> HostResult<Handle> {
    let (index, generation) = split(raw);
    let Some(process) = process::current() else { return entry(raw).map(|entry| entry.handle) };
    if let Some(own) = process.files.get(index, generation) {
        return Ok(own.handle);
    }
    let entry = entry(raw)?;
    let handle = match entry.kind {
        Kind::Keyboard | Kind::Screen => terminal::open(entry.kind)?,
        Kind::Socket => process.files.take_socket(entry.handle)?,
        _ => nt::take_from_init(entry.handle)?,
    };
    Ok(process.files.put(index, Own { generation, handle, kind: entry.kind }))
}

/// Init's handle of a file.
pub(crate) fn of_init(fd: &HostFd) -> HostResult<Handle> {
    entry(fd.raw()).map(|entry| entry.handle)
}

/// What kind of thing it is.
pub(crate) fn kind(fd: &HostFd) -> Kind {
    entry(fd.raw()).map_or(Kind::Other, |entry| entry.kind)
}

/// Nobody uses the file any more.
pub(crate) fn close(raw: u64) {
    let (index, generation) = split(raw);
    let Ok(entry) = entry(raw) else { return };
    match entry.kind {
        Kind::Feed => feed::forget(raw),
        Kind::Socket => {
            if net::forget(raw) {
                // Closed below. If there is none, the connection ends in the ordinary way.
                let _ = local_by_number(raw);
            }
            close_elsewhere(index, generation);
        }
        Kind::Pipe => aside::forget(raw),
        _ => {}
    }
    if let Some(process) = process::current()
        && let Some(own) = process.files.remove(index, generation)
    {
        own.close();
    }
    if thread::is_init() {
        nt::close(entry.handle);
    } else {
        nt::close_in_init(entry.handle);
    }
    let mut table = TABLE.lock();
    if let Some(entry) = table.entries.get_mut(index as usize) {
        entry.handle = 0;
        table.free.push(index);
    }
}

/// Closes what other processes have of a socket: the peer hears of its end with the last handle.
fn close_elsewhere(index: u32, generation: u32) {
    let own = process::current();
    for process in process::all() {
        if own.is_some_and(|own| Arc::ptr_eq(own, &process)) {
            continue;
        }
        let Some(theirs) = process.files.remove(index, generation) else { continue };
        process.files.tainted.lock().push(theirs.handle);
        process.with_handle(|process| nt::close_in(process, theirs.handle));
    }
}

/// Asks the host what a handle names.
fn kind_of(handle: Handle) -> Kind {
    const DEVICE_INFORMATION: u32 = 4;
    const DISK: [u32; 4] = [0x02, 0x07, 0x08, 0x14];
    const PIPE: u32 = 0x11;
    let mut io = IoStatus::default();
    let mut device = [0u32; 2];
    // SAFETY: the call writes the structure.
    let status = unsafe {
        nt!(
            query_volume,
            handle,
            &mut io,
            device.as_mut_ptr().cast(),
            size_of_val(&device) as u32,
            DEVICE_INFORMATION
        )
    };
    match device[0] {
        _ if status < 0 => Kind::Other,
        PIPE => Kind::Pipe,
        device if DISK.contains(&device) => Kind::Disk,
        _ => Kind::Other,
    }
}

//! The loader against files that are wrong in every way.

extern crate std;

use alloc::sync::Arc;
use std::vec;
use std::vec::Vec;

use host_mock::MockHost;
use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::stat::Stat;
use lx_core::caller::Caller;
use lx_core::cred::Credentials;
use lx_core::file::{FileOps, MapSource, OpenFile};
use lx_core::host::{HostMemory, Prot};
use lx_core::io::IoDst;
use lx_core::rlimit::Rlimits;
use lx_core::sync::Waiter;
use proptest::prelude::{any, proptest};

use super::{Elf, Head};
use crate::exec::load::{bias_at, map_elf};
use crate::exec::{ExecFailure, script};
use crate::mm::AddressSpace;

/// A file in memory. Its mappings show zeros: what matters is where they are.
struct Bytes(Vec<u8>);

impl FileOps for Bytes {
    fn is_seekable(&self) -> bool {
        true
    }

    fn read_at(
        &self,
        _: &Caller<'_>,
        _: &OpenFile,
        offset: u64,
        dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        dst.put_behind(offset, &self.0)
    }

    fn map_source(&self, _: &Caller<'_>, _: &OpenFile, _: bool) -> Result<MapSource> {
        Ok(MapSource::Anonymous)
    }

    fn stat(&self, _: &Caller<'_>, _: &OpenFile) -> Result<Stat> {
        Ok(Stat { st_size: self.0.len() as i64, ..Stat::default() })
    }
}

struct World {
    host: &'static MockHost,
    cred: Credentials,
    waiter: Arc<Waiter>,
    rlimits: Rlimits,
}

impl World {
    fn new() -> Self {
        Self {
            host: MockHost::new(1),
            cred: Credentials::new(0, 0, Vec::new()),
            waiter: Arc::new(Waiter::new()),
            rlimits: Rlimits::new(),
        }
    }

    fn caller(&self) -> Caller<'_> {
        Caller {
            host: self.host,
            identity: &self.cred,
            waiter: &self.waiter,
            rlimits: &self.rlimits,
            tid: 2,
            tgid: 2,
        }
    }

    fn parse(&self, bytes: &[u8]) -> core::result::Result<Elf, ExecFailure> {
        let file = OpenFile::new(Arc::new(Bytes(bytes.to_vec())), OpenFlags::O_RDONLY, None);
        let caller = self.caller();
        let head = Head::read(&caller, &file)?;
        Elf::parse(&caller, file, &head, Errno::ENOEXEC)?.with_segments(Errno::ENOEXEC)
    }

    fn error(&self, bytes: &[u8]) -> Option<Errno> {
        self.parse(bytes).err().map(|failure| failure.error.errno())
    }

    /// Maps a program that has passed the checks, if it is small enough for the mock.
    fn load(&self, elf: &Elf) -> Option<Result<u64>> {
        let (low, high) = elf.span();
        if high.checked_sub(low)? > 1 << 20 || elf.align > 1 << 30 {
            return None;
        }
        let bias = if elf.relocatable { bias_at(elf, 0x5555_0000_0000) } else { 0 };
        let space = AddressSpace::new(Arc::default());
        Some(map_elf(&self.caller(), &space, elf, bias).map(|()| low.wrapping_add(bias)))
    }
}

fn header(kind: u32, flags: u32, offset: u64, addr: u64, file_len: u64, memory: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(kind.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    for field in [offset, addr, addr, file_len, memory, 4096] {
        bytes.extend(field.to_le_bytes());
    }
    bytes
}

/// A program with an interpreter, text and data.
fn program() -> Vec<u8> {
    let headers = [
        header(3, 4, 0x200, 0x200, 16, 16),
        header(1, 5, 0, 0, 0x1800, 0x1800),
        header(1, 6, 0x1800, 0x2800, 0x100, 0x1900),
        header(0x6474_e551, 6, 0, 0, 0, 0),
    ];
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    bytes.resize(16, 0);
    bytes.extend(3_u16.to_le_bytes());
    bytes.extend(62_u16.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(0x1000_u64.to_le_bytes());
    bytes.extend(64_u64.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    for field in [64_u16, 56, headers.len() as u16, 0, 0, 0] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(headers.concat());
    bytes.resize(0x200, 0);
    bytes.extend(b"/lib/ld-test.so\0");
    bytes.resize(0x1900, 1);
    bytes
}

#[test]
fn reads_what_a_loader_needs() {
    let w = World::new();
    let elf = w.parse(&program()).unwrap();
    assert!(elf.relocatable && !elf.stack_exec);
    assert_eq!((elf.entry, elf.headers, elf.header_count), (0x1000, 64, 4));
    assert_eq!(elf.interpreter.as_deref(), Some(&b"/lib/ld-test.so"[..]));
    assert_eq!(elf.span(), (0, 0x5000));
    assert_eq!(elf.segments[1].prot, Prot::READ | Prot::WRITE);
    let base = w.load(&elf).unwrap().unwrap();
    let mut byte = [9];
    assert!(w.host.copy_in(base + 0x4fff, &mut byte).is_ok());
    assert_eq!(byte, [0]);
    assert!(w.host.copy_in(base + 0x5000, &mut byte).is_err());
}

#[test]
fn refuses_what_is_no_program() {
    let w = World::new();
    let good = program();
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        w.error(&bytes)
    };
    assert_eq!(w.error(b""), Some(Errno::ENOEXEC));
    assert_eq!(w.error(&good[..40]), Some(Errno::ENOEXEC));
    assert_eq!(w.error(&good[..100]), Some(Errno::ENOEXEC));
    assert_eq!(with(4, 1), Some(Errno::ENOEXEC));
    assert_eq!(with(5, 2), Some(Errno::ENOEXEC));
    assert_eq!(with(16, 1), Some(Errno::ENOEXEC));
    assert_eq!(with(18, 3), Some(Errno::ENOEXEC));
    assert_eq!(with(54, 55), Some(Errno::ENOEXEC));
    assert_eq!(with(56, 0), Some(Errno::ENOEXEC));
    // The interpreter's name has no end.
    assert_eq!(with(0x20f, b'x'), Some(Errno::ENOEXEC));
}

proptest! {
    #[test]
    fn no_header_is_too_wrong(
        changes in proptest::collection::vec((0..0x120_usize, any::<u8>()), 1..12),
        len in 0..0x1900_usize,
        cut in any::<bool>(),
    ) {
        let w = World::new();
        let mut bytes = program();
        for (at, value) in changes {
            bytes[at] = value;
        }
        if cut {
            bytes.truncate(len);
        }
        if let Ok(elf) = w.parse(&bytes) {
            let _ = w.load(&elf);
        }
    }

    #[test]
    fn no_first_line_is_too_wrong(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut line = b"#!".to_vec();
        line.extend(&bytes);
        if let Ok(shebang) = script::parse(&line) {
            assert!(!shebang.interpreter.is_empty());
        }
    }
}

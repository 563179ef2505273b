//! Devices without hardware: `null(4)`, `full(4)`, `random(4)`.

use alloc::sync::Arc;

use lx_core::Caller;
use lx_core::abi::stat::Stat;
use lx_core::abi::{Errno, UserPtr};
use lx_core::error::Result;
use lx_core::file::{FileOps, MapSource, OpenFile};
use lx_core::io::{IoDst, IoSrc, partial};

use crate::inode::InodeOps;

/// Number of the `RNDGETENTCNT` request.
const RNDGETENTCNT: u32 = 0x8004_5200;
/// Bits of entropy that a pool reports, as Linux since 5.18.
const ENTROPY_BITS: i32 = 256;

/// Which device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryDevice {
    /// Empty; takes everything.
    Null,
    /// Zeros; takes everything.
    Zero,
    /// Zeros; takes nothing.
    Full,
    /// Random bytes; takes everything.
    Random,
}

/// An open device.
pub struct MemoryFile {
    device: MemoryDevice,
    inode: Arc<dyn InodeOps>,
}

impl MemoryFile {
    /// The device, opened through the node `inode`.
    pub fn new(device: MemoryDevice, inode: Arc<dyn InodeOps>) -> Self {
        Self { device, inode }
    }

    /// Which device it is.
    pub fn device(&self) -> MemoryDevice {
        self.device
    }
}

fn put_random(caller: &Caller<'_>, dst: &mut IoDst<'_>) -> Result<usize> {
    let mut chunk = [0_u8; 256];
    let mut done = 0;
    while dst.remaining() > 0 {
        let len = chunk.len().min(dst.remaining());
        let Some(bytes) = chunk.get_mut(..len) else { break };
        caller.host.fill(bytes);
        match dst.put(bytes) {
            Ok(count) => done += count,
            Err(error) => return partial(done, error),
        }
        // A long read may be given up for a signal.
        if caller.waiter.is_interrupted() {
            break;
        }
    }
    Ok(done)
}

impl FileOps for MemoryFile {
    fn can_skip_waiting(&self, _writes: bool) -> bool {
        true
    }

    fn read(&self, caller: &Caller<'_>, _file: &OpenFile, dst: &mut IoDst<'_>) -> Result<usize> {
        match self.device {
            MemoryDevice::Null => Ok(0),
            MemoryDevice::Zero | MemoryDevice::Full => dst.put_zeros(dst.remaining()),
            MemoryDevice::Random => put_random(caller, dst),
        }
    }

    fn write(&self, _caller: &Caller<'_>, _file: &OpenFile, src: &mut IoSrc<'_>) -> Result<usize> {
        let count = src.remaining();
        if self.device == MemoryDevice::Full && count > 0 {
            return Err(Errno::ENOSPC.into());
        }
        // Linux does not look at the bytes either, but for the random pool, which wants them.
        src.advance(count);
        Ok(count)
    }

    fn read_at(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        _offset: u64,
        dst: &mut IoDst<'_>,
    ) -> Result<usize> {
        self.read(caller, file, dst)
    }

    fn write_at(
        &self,
        caller: &Caller<'_>,
        file: &OpenFile,
        offset: u64,
        _append: bool,
        src: &mut IoSrc<'_>,
    ) -> Result<(usize, u64)> {
        Ok((self.write(caller, file, src)?, offset))
    }

    fn seek(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        _position: u64,
        _offset: i64,
        _whence: u32,
    ) -> Result<u64> {
        Ok(0)
    }

    fn can_poll(&self) -> bool {
        self.device == MemoryDevice::Random
    }

    fn ioctl(&self, caller: &Caller<'_>, _file: &OpenFile, request: u32, arg: u64) -> Result<u64> {
        if self.device == MemoryDevice::Random && request == RNDGETENTCNT {
            caller.memory().write(UserPtr::new(arg), &ENTROPY_BITS)?;
            return Ok(0);
        }
        Err(Errno::ENOTTY.into())
    }

    fn map_source(
        &self,
        _caller: &Caller<'_>,
        _file: &OpenFile,
        _shared: bool,
    ) -> Result<MapSource> {
        match self.device {
            MemoryDevice::Zero => Ok(MapSource::Anonymous),
            _ => Err(Errno::ENODEV.into()),
        }
    }

    fn stat(&self, caller: &Caller<'_>, _file: &OpenFile) -> Result<Stat> {
        Ok(self.inode.attr(caller)?.to_stat())
    }
}

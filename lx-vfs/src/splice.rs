//! Moving bytes between files inside of the kernel: `sendfile(2)`, `copy_file_range(2)`,
//! `splice(2)`, `tee(2)`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Caller;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{OpenFlags, Whence};
use lx_core::abi::stat::{S_IFDIR, S_IFMT, S_IFREG};
use lx_core::abi::uio::MAX_RW_COUNT;
use lx_core::error::Result;
use lx_core::file::{OpenFile, check_range};
use lx_core::io::{IoDst, IoSrc, partial};
use lx_core::rlimit::Resource;

use crate::location::Path;
use crate::pipe::{PIPE_BUF, Parcel, Pipe, PipeEnd};

/// Bytes that are moved at a time.
const CHUNK: usize = 64 << 10;

/// One side of a transfer: a file, and the offset to use instead of its position.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The file.
    pub file: &'a Arc<OpenFile>,
    /// Where to begin; `None` uses and moves the file's position.
    pub offset: Option<u64>,
}

impl Side<'_> {
    fn pipe(&self) -> Option<&Arc<Pipe>> {
        self.file.ops_as::<PipeEnd>().map(PipeEnd::pipe)
    }

    /// The pipe and whether not to wait for it.
    fn pipe_mode(&self, nonblocking: bool) -> Option<(&Arc<Pipe>, bool)> {
        Some((self.pipe()?, nonblocking || self.file.is_nonblocking()))
    }

    /// Where it begins. A file may keep its position elsewhere than in the description.
    fn position(&self, caller: &Caller<'_>) -> Result<u64> {
        match self.offset {
            Some(offset) => Ok(offset),
            None => self.file.seek(caller, 0, Whence::SEEK_CUR.0),
        }
    }

    /// That the side has offsets as far as `count` bytes on, if it has any.
    fn check_range(&self, count: usize) -> Result<()> {
        match self.offset {
            Some(offset) => check_range(offset, count),
            None if self.file.is_seekable() => check_range(self.file.position(), count),
            None => Ok(()),
        }
    }

    fn check(&self, write: bool) -> Result<()> {
        let allowed = if write { self.file.is_writable() } else { self.file.is_readable() };
        if allowed { Ok(()) } else { Err(Errno::EBADF.into()) }
    }
}

fn buffer(len: usize) -> Result<Vec<u8>> {
    let len = len.min(CHUNK);
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
    buffer.resize(len, 0);
    Ok(buffer)
}

/// Reads from a file with positions, without moving the file's own.
struct Positional<'a> {
    side: Side<'a>,
    at: u64,
}

impl<'a> Positional<'a> {
    fn new(caller: &Caller<'_>, side: Side<'a>) -> Result<Self> {
        Ok(Self { side, at: side.position(caller)? })
    }

    fn read(&self, caller: &Caller<'_>, buffer: &mut [u8]) -> Result<usize> {
        self.side.file.read_at(caller, self.at, &mut IoDst::kernel(buffer))
    }

    /// Notes that bytes were used: moves the file's position, if that is what counts.
    fn advance(&mut self, caller: &Caller<'_>, count: usize) -> Result<()> {
        self.at = self.at.saturating_add(count as u64);
        if self.side.offset.is_none() {
            self.side.file.seek(caller, self.at.cast_signed(), Whence::SEEK_SET.0)?;
        }
        Ok(())
    }
}

/// Writes to a side; `at` is its offset, if it has one, and moves on.
fn write(
    caller: &Caller<'_>,
    file: &OpenFile,
    at: &mut Option<u64>,
    bytes: &[u8],
) -> Result<usize> {
    let mut src = IoSrc::kernel(bytes);
    match at {
        None => file.write(caller, &mut src),
        Some(offset) => {
            let count = file.write_at(caller, *offset, &mut src)?;
            *offset = offset.saturating_add(count as u64);
            Ok(count)
        }
    }
}

/// Copies from a file with positions to any file, until the end, `count` or a short write.
fn copy(caller: &Caller<'_>, from: Side<'_>, to: Side<'_>, count: usize) -> Result<usize> {
    let mut source = Positional::new(caller, from)?;
    let mut at = to.offset;
    let mut buffer = buffer(count)?;
    let mut done = 0;
    while done < count {
        let want = buffer.len().min(count - done);
        let Some(chunk) = buffer.get_mut(..want) else { break };
        let step = source.read(caller, chunk).and_then(|got| {
            let bytes = chunk.get(..got).unwrap_or_default();
            let written =
                if bytes.is_empty() { 0 } else { write(caller, to.file, &mut at, bytes)? };
            source.advance(caller, written)?;
            Ok((got, written))
        });
        match step {
            Ok((got, written)) => {
                done += written;
                if written < got || got == 0 {
                    break;
                }
            }
            Err(error) => return partial(done, error),
        }
        if caller.waiter.is_interrupted() {
            break;
        }
    }
    Ok(done)
}

fn is_regular(caller: &Caller<'_>, file: &OpenFile) -> Result<bool> {
    Ok(file.ops().stat(caller, file)?.st_mode & S_IFMT == S_IFREG)
}

/// Whether a file can be read at an offset, which devices without positions can be, too.
fn has_offsets(caller: &Caller<'_>, file: &OpenFile) -> bool {
    file.is_seekable() || file.ops().read_at(caller, file, 0, &mut IoDst::kernel(&mut [])).is_ok()
}

/// The end of what a file can hold.
fn max_size(file: &OpenFile) -> u64 {
    Path::of(file).map_or(i64::MAX as u64, |path| path.mount.fs().max_file_size())
}

/// Refuses what is no stream of bytes: directories, and the files without a type that event
/// counters, timers and the like are.
fn check_stream(caller: &Caller<'_>, file: &OpenFile) -> Result<()> {
    match file.ops().stat(caller, file)?.st_mode & S_IFMT {
        S_IFDIR | 0 => Err(Errno::EINVAL.into()),
        _ => Ok(()),
    }
}

/// What Linux finds out about the source of `sendfile(2)` before it looks at the target.
///
/// # Errors
/// `EBADF` if it is not open for reading; `ESPIPE` for an offset into what has none; `EINVAL` for
/// offsets that cannot be.
pub fn check_source(caller: &Caller<'_>, from: Side<'_>, count: usize) -> Result<()> {
    from.check(false)?;
    if from.offset.is_some() && !has_offsets(caller, from.file) {
        return Err(Errno::ESPIPE.into());
    }
    from.check_range(count)
}

/// `sendfile(2)`, from what [`check_source`] allows.
///
/// # Errors
/// `EINVAL` if the source has no positions, which it needs unless the target is a pipe, or the
/// target appends; `EOVERFLOW` beyond what its file system has files for; `EBADF`, and the files'.
pub fn send_file(caller: &Caller<'_>, from: Side<'_>, to: Side<'_>, count: usize) -> Result<usize> {
    let has_offsets = has_offsets(caller, from.file);
    let start = if has_offsets { from.position(caller)? } else { 0 };
    to.check(true)?;
    to.check_range(count)?;
    let count = count.min(MAX_RW_COUNT);
    let max = max_size(from.file);
    if start.saturating_add(count as u64) > max && start >= max {
        return Err(Errno::EOVERFLOW.into());
    }
    check_stream(caller, from.file)?;
    if let (None, Some((target, wait_not))) = (from.pipe(), to.pipe_mode(false)) {
        // Any stream will do, and a pipe takes what it has room for, as with splice.
        return feed(caller, from, target, wait_not, count);
    }
    if !has_offsets || to.file.flags().contains(OpenFlags::O_APPEND) {
        return Err(Errno::EINVAL.into());
    }
    copy(caller, from, to, count)
}

/// `copy_file_range(2)`.
///
/// # Errors
/// `EISDIR`, `EINVAL` for files that are not regular or ranges of one file that overlap; `EBADF`
/// if the target appends; `EXDEV` for files of two file systems; `EOVERFLOW` for a range that
/// cannot be counted, `EFBIG` for one beyond the largest file.
pub fn copy_file_range(
    caller: &Caller<'_>,
    from: Side<'_>,
    to: Side<'_>,
    count: usize,
) -> Result<usize> {
    let stats = [from.file.ops().stat(caller, from.file)?, to.file.ops().stat(caller, to.file)?];
    for stat in &stats {
        match stat.st_mode & S_IFMT {
            S_IFREG => {}
            S_IFDIR => return Err(Errno::EISDIR.into()),
            _ => return Err(Errno::EINVAL.into()),
        }
    }
    from.check(false)?;
    to.check(true)?;
    if to.file.flags().contains(OpenFlags::O_APPEND) {
        return Err(Errno::EBADF.into());
    }
    let [source, target] = stats;
    if source.st_dev != target.st_dev {
        return Err(Errno::EXDEV.into());
    }
    let (begin, end) = (from.position(caller)?, to.position(caller)?);
    if begin.checked_add(count as u64).is_none() || end.checked_add(count as u64).is_none() {
        return Err(Errno::EOVERFLOW.into());
    }
    let limit = max_size(to.file).min(caller.rlimits.soft(Resource::Fsize));
    // A negative place fails below.
    let room = match limit.checked_sub(end) {
        None | Some(0) if end <= i64::MAX as u64 => return Err(Errno::EFBIG.into()),
        room => room.unwrap_or(0),
    };
    let left = source.st_size.cast_unsigned().saturating_sub(begin);
    let len = (count.min(MAX_RW_COUNT) as u64).min(left).min(room);
    if source.st_ino == target.st_ino
        && begin < end.saturating_add(len)
        && end < begin.saturating_add(len)
    {
        return Err(Errno::EINVAL.into());
    }
    check_range(begin, len as usize)?;
    check_range(end, len as usize)?;
    copy(caller, from, to, len as usize)
}

/// `splice(2)`: moves bytes between a pipe and another file, or two pipes.
///
/// # Errors
/// `EINVAL` if neither is a pipe or both are the same; `ESPIPE` for an offset into a pipe.
pub fn splice(
    caller: &Caller<'_>,
    from: Side<'_>,
    to: Side<'_>,
    count: usize,
    nonblocking: bool,
) -> Result<usize> {
    from.check(false)?;
    to.check(true)?;
    let (source, target) = (from.pipe_mode(nonblocking), to.pipe_mode(nonblocking));
    if (source.is_some() && from.offset.is_some()) || (target.is_some() && to.offset.is_some()) {
        return Err(Errno::ESPIPE.into());
    }
    let aimed = |side: Side<'_>| side.offset.is_some() && !side.file.is_seekable();
    if aimed(from) || aimed(to) {
        return Err(Errno::EINVAL.into());
    }
    match (source, target) {
        (None, None) => Err(Errno::EINVAL.into()),
        (Some((source, _)), Some((target, _))) if Arc::ptr_eq(source, target) => {
            Err(Errno::EINVAL.into())
        }
        (Some((source, wait_not)), None) => {
            check_stream(caller, to.file)?;
            if to.file.flags().contains(OpenFlags::O_APPEND) {
                return Err(Errno::EINVAL.into());
            }
            to.check_range(count)?;
            drain(caller, source, wait_not, to, count.min(MAX_RW_COUNT))
        }
        (Some((source, no_bytes)), Some((target, no_room))) => {
            let count = count.min(MAX_RW_COUNT);
            transfer(caller, source, target, no_bytes || no_room, count, false)
        }
        (None, Some((target, wait_not))) => {
            from.check_range(count)?;
            feed(caller, from, target, wait_not, count.min(MAX_RW_COUNT))
        }
    }
}

/// From a pipe to another file: what is in the pipe now.
fn drain(
    caller: &Caller<'_>,
    source: &Pipe,
    nonblocking: bool,
    to: Side<'_>,
    count: usize,
) -> Result<usize> {
    let mut at = to.offset;
    let mut buffer = buffer(count)?;
    let mut done = 0;
    while done < count {
        let want = buffer.len().min(count - done);
        let Some(chunk) = buffer.get_mut(..want) else { break };
        let got = match source.take(caller, nonblocking || done > 0, chunk) {
            Ok(got) => got,
            Err(error) => return partial(done, error),
        };
        if got == 0 {
            break;
        }
        let mut bytes = chunk.get(..got).unwrap_or_default();
        while !bytes.is_empty() {
            let result = write(caller, to.file, &mut at, bytes);
            let written = *result.as_ref().unwrap_or(&0);
            done += written;
            bytes = bytes.get(written..).unwrap_or_default();
            if written == 0 {
                let _ = source.put_back(bytes);
                return match result {
                    Ok(_) => Ok(done),
                    Err(error) => partial(done, error),
                };
            }
        }
    }
    Ok(done)
}

/// From a file to a pipe: as much as it has room for.
fn feed(
    caller: &Caller<'_>,
    from: Side<'_>,
    target: &Pipe,
    nonblocking: bool,
    count: usize,
) -> Result<usize> {
    let slots = target.wait_slots(caller, nonblocking)?;
    check_stream(caller, from.file)?;
    let positional = from.offset.is_some() || is_regular(caller, from.file)?;
    let start = if positional { from.position(caller)? as usize % PIPE_BUF } else { 0 };
    let mut buffer = buffer(count.min(slots.saturating_mul(PIPE_BUF) - start))?;
    let got = if positional {
        let mut source = Positional::new(caller, from)?;
        let got = source.read(caller, &mut buffer)?;
        source.advance(caller, got)?;
        got
    } else {
        from.file.read(caller, &mut IoDst::kernel(&mut buffer))?
    };
    buffer.truncate(got);
    target.unpack(caller, &Parcel::of_pages(buffer, start)?)
}

/// From a pipe to another pipe: what is there now and has room. Packets stay packets.
fn transfer(
    caller: &Caller<'_>,
    source: &Pipe,
    target: &Pipe,
    nonblocking: bool,
    count: usize,
    keep: bool,
) -> Result<usize> {
    loop {
        let any = source.wait_bytes(caller, nonblocking)?;
        let slots = target.wait_slots(caller, nonblocking)?;
        let parcel = source.pack(caller, count, slots, keep)?;
        if !any || !parcel.is_empty() {
            return target.unpack(caller, &parcel);
        }
        // Another reader was faster.
    }
}

/// `tee(2)`: copies bytes from one pipe to another and leaves them where they are.
///
/// # Errors
/// `EINVAL` unless they are two pipes; `EAGAIN`, `EPIPE`.
pub fn tee(
    caller: &Caller<'_>,
    from: Side<'_>,
    to: Side<'_>,
    count: usize,
    nonblocking: bool,
) -> Result<usize> {
    from.check(false)?;
    to.check(true)?;
    let (Some((source, no_bytes)), Some((target, no_room))) =
        (from.pipe_mode(nonblocking), to.pipe_mode(nonblocking))
    else {
        return Err(Errno::EINVAL.into());
    };
    if Arc::ptr_eq(source, target) {
        return Err(Errno::EINVAL.into());
    }
    transfer(caller, source, target, no_bytes || no_room, count, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipe::new_pair;
    use crate::test_support::Tester;

    fn side(file: &Arc<OpenFile>) -> Side<'_> {
        Side { file, offset: None }
    }

    #[test]
    fn splice_moves_and_tee_copies() {
        let t = Tester::new();
        let caller = t.caller();
        let (from_r, from_w) = new_pair(&caller, OpenFlags::empty()).unwrap();
        let (to_r, to_w) = new_pair(&caller, OpenFlags::empty()).unwrap();
        t.write(&from_w, b"hello world").unwrap();
        assert_eq!(tee(&caller, side(&from_r), side(&to_w), 5, true), Ok(5));
        assert_eq!(splice(&caller, side(&from_r), side(&to_w), 100, true), Ok(11));
        assert_eq!(t.read(&to_r, 100), Ok(b"hellohello world".to_vec()));
        let again = splice(&caller, side(&from_r), side(&to_w), 100, true);
        assert_eq!(again, Err(Errno::EAGAIN.into()));
        drop(from_w);
        assert_eq!(splice(&caller, side(&from_r), side(&to_w), 100, true), Ok(0));
    }

    #[test]
    fn splice_leaves_bytes_in_the_pages_that_they_have() {
        let t = Tester::new();
        let caller = t.caller();
        let nonblocking = OpenFlags::O_NONBLOCK;
        let (from_r, from_w) = new_pair(&caller, nonblocking).unwrap();
        let (to_r, to_w) = new_pair(&caller, nonblocking).unwrap();
        t.write(&from_w, b"ab").unwrap();
        // Each part takes a page of the target.
        for _ in 0..15 {
            assert_eq!(tee(&caller, side(&from_r), side(&to_w), 1, true), Ok(1));
        }
        assert_eq!(t.write(&to_w, &[2; 8192]), Ok(4096));
        assert_eq!(t.write(&to_w, b"x"), Err(Errno::EAGAIN.into()));
        assert_eq!(t.read(&to_r, 15), Ok(b"aaaaaaaaaaaaaaa".to_vec()));
    }

    #[test]
    fn splice_takes_no_more_than_the_target_has_room_for() {
        let t = Tester::new();
        let caller = t.caller();
        let (from_r, from_w) = new_pair(&caller, OpenFlags::empty()).unwrap();
        let (_to_r, to_w) = new_pair(&caller, OpenFlags::empty()).unwrap();
        t.write(&from_w, &[1; 20_000]).unwrap();
        t.write(&to_w, &[2; 60_000]).unwrap();
        assert_eq!(splice(&caller, side(&from_r), side(&to_w), 20_000, true), Ok(4096));
        let full = splice(&caller, side(&from_r), side(&to_w), 20_000, true);
        assert_eq!(full, Err(Errno::EAGAIN.into()));
        assert_eq!(t.read(&from_r, 20_000).map(|bytes| bytes.len()), Ok(20_000 - 4096));
    }

    #[test]
    fn splice_needs_a_pipe_and_sendfile_a_file_with_positions() {
        let t = Tester::new();
        let caller = t.caller();
        let (r, w) = new_pair(&caller, OpenFlags::empty()).unwrap();
        let event = crate::eventfd::open(0, false, OpenFlags::empty());
        let einval = Err(Errno::EINVAL.into());
        assert_eq!(splice(&caller, side(&r), side(&w), 1, true), einval);
        assert_eq!(splice(&caller, side(&event), side(&event), 1, true), einval);
        assert_eq!(send_file(&caller, side(&r), side(&event), 1), einval);
        let offset = Side { file: &r, offset: Some(1) };
        assert_eq!(splice(&caller, offset, side(&event), 1, true), Err(Errno::ESPIPE.into()));
        assert_eq!(splice(&caller, side(&w), side(&event), 1, true), Err(Errno::EBADF.into()));
    }
}

//! Reading directories: `getdents(2)`, `getdents64(2)`.

use lx_core::Result;
use lx_core::abi::dirent::{dirent_len, dirent64_len};
use lx_core::abi::{Errno, Fd, UserPtr, UserSlice};
use lx_core::file::DirSink;
use lx_core::user_memory::UserMemory;
use lx_proc::CurrentTask;
use lx_vfs::inode::NAME_MAX;

/// Room for the longest record.
const RECORD_MAX: usize = dirent64_len(NAME_MAX);

/// How a record is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `struct linux_dirent`: the type is the last byte.
    Old,
    /// `struct linux_dirent64`.
    New,
}

impl Format {
    const fn len(self, name_len: usize) -> usize {
        match self {
            Self::Old => dirent_len(name_len),
            Self::New => dirent64_len(name_len),
        }
    }
}

const _: () = assert!(Format::Old.len(NAME_MAX) <= RECORD_MAX);

/// Stores records in guest memory, one after the other.
struct Records {
    memory: UserMemory,
    format: Format,
    /// What is left of the guest's buffer.
    room: UserSlice,
    /// Why an entry was not stored.
    error: Option<Errno>,
}

impl DirSink for Records {
    fn entry(&mut self, ino: u64, next: u64, file_type: u8, name: &[u8]) -> bool {
        let len = self.format.len(name.len());
        let mut record = [0_u8; RECORD_MAX];
        let Some(record) = record.get_mut(..len) else {
            self.error = Some(Errno::EIO);
            return false;
        };
        if len as u64 > self.room.len() {
            self.error = Some(Errno::EINVAL);
            return false;
        }
        let mut put = |at: usize, bytes: &[u8]| {
            let place = at.checked_add(bytes.len()).and_then(|end| record.get_mut(at..end));
            if let Some(place) = place {
                place.copy_from_slice(bytes);
            }
        };
        put(0, &ino.to_le_bytes());
        put(8, &next.to_le_bytes());
        put(16, &(len as u16).to_le_bytes());
        match self.format {
            Format::Old => {
                put(18, name);
                put(len.saturating_sub(1), &[file_type]);
            }
            Format::New => {
                put(18, &[file_type]);
                put(19, name);
            }
        }
        if self.memory.write_bytes(self.room.addr(), record).is_err() {
            self.error = Some(Errno::EFAULT);
            return false;
        }
        self.room = self.room.skip(len as u64);
        true
    }
}

/// `getdents(2)`.
pub(crate) fn sys_getdents(
    task: &CurrentTask<'_>,
    fd: Fd,
    out: UserPtr<u8>,
    size: u32,
) -> Result<u64> {
    read_dir(task, fd, out, size, Format::Old)
}

/// `getdents64(2)`.
pub(crate) fn sys_getdents64(
    task: &CurrentTask<'_>,
    fd: Fd,
    out: UserPtr<u8>,
    size: u32,
) -> Result<u64> {
    read_dir(task, fd, out, size, Format::New)
}

fn read_dir(
    task: &CurrentTask<'_>,
    fd: Fd,
    out: UserPtr<u8>,
    size: u32,
    format: Format,
) -> Result<u64> {
    let file = task.files().get(fd)?;
    let room = UserSlice::new(out.addr(), u64::from(size));
    let mut records = Records { memory: task.memory(), format, room, error: None };
    file.read_dir(&task.caller(), &mut records)?;
    let stored = u64::from(size).saturating_sub(records.room.len());
    match records.error {
        // An entry that finds no room or no memory is an error only if it is the first.
        Some(errno) if stored == 0 => Err(errno.into()),
        _ => Ok(stored),
    }
}

//! What can be seen of files.

use std::ffi::CStr;
use std::mem::zeroed;

use libc::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, c_int};

use super::{PATHS, Paths, at, descriptor};
use crate::random::pick;
use crate::{Called, c, call};

/// Times above this many seconds are the present.
const NOW: i64 = 1_000_000;

fn stat(start: c_int, path: &CStr, flags: c_int) -> Result<libc::stat, i32> {
    // SAFETY: zeroes are a valid structure.
    let mut stat: libc::stat = unsafe { zeroed() };
    call!(fstatat(start, path.as_ptr(), &mut stat, flags)).map(|_| stat)
}

fn time(seconds: i64, nanoseconds: i64) -> String {
    if seconds > NOW { "now".to_owned() } else { format!("{seconds}.{nanoseconds:09}") }
}

/// The link's text.
fn target(start: c_int, path: &CStr) -> Result<String, i32> {
    let mut text = [0u8; 64];
    let length = call!(readlinkat(start, path.as_ptr(), text.as_mut_ptr().cast(), text.len()))?;
    Ok(String::from_utf8_lossy(&text[..length as usize]).into_owned())
}

/// The names in the folder of a descriptor, in order, with their types.
fn names(fd: c_int) -> Result<Vec<String>, i32> {
    let mut names = Vec::new();
    let mut records = [0u8; 2048];
    let room = records.len();
    loop {
        let got = call!(syscall(libc::SYS_getdents64, fd, records.as_mut_ptr(), room))?;
        if got == 0 {
            break;
        }
        let mut rest = &records[..got as usize];
        while let [.., _] = rest {
            let (length, kind) = (u16::from_ne_bytes([rest[16], rest[17]]), rest[18]);
            let name = CStr::from_bytes_until_nul(&rest[19..]).unwrap_or_default();
            names.push(format!("{} {kind}", name.to_string_lossy()));
            rest = &rest[length.into()..];
        }
    }
    names.sort();
    Ok(names)
}

/// The names of a folder, and where it is.
pub(super) fn list(a: u32) -> String {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let opened = at(a, |start, path| call!(openat(start, path, flags)));
    let mut folder = [0u8; 256];
    let cwd = call!(syscall(libc::SYS_getcwd, folder.as_mut_ptr(), folder.len()));
    let cwd = cwd.map(|length| {
        let text = String::from_utf8_lossy(&folder[..length as usize - 1]).into_owned();
        match text.rsplit_once("/outside") {
            // How far it is to the top outside is not the sequence's affair.
            Some((_, rest)) => format!("outside{rest}"),
            None => text,
        }
    });
    let names = opened.and_then(|fd| {
        let names = names(fd as c_int);
        let _ = call!(close(fd as c_int));
        names
    });
    format!("{names:?} in {cwd:?}")
}

/// What is in a file, from the position of its descriptor.
pub(super) fn read(a: u32) -> String {
    let bytes = crate::read::<12>(descriptor(a));
    format!("{:?}", bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

impl Paths {
    /// An inode's number, by the order of appearance.
    fn number(&mut self, stat: &libc::stat) -> usize {
        let key = (stat.st_dev, stat.st_ino);
        self.inodes.iter().position(|known| *known == key).unwrap_or_else(|| {
            self.inodes.push(key);
            self.inodes.len() - 1
        })
    }

    fn describe(&mut self, stat: &libc::stat) -> String {
        let atime = match stat.st_mode & libc::S_IFMT {
            // When a link was followed is not noted on lx.
            libc::S_IFLNK => String::new(),
            _ => time(stat.st_atime, stat.st_atime_nsec),
        };
        format!(
            "#{} {:o} {} {}:{} size {} blocks {} {} {}",
            self.number(stat),
            stat.st_mode,
            stat.st_nlink,
            stat.st_uid,
            stat.st_gid,
            stat.st_size,
            stat.st_blocks,
            atime,
            time(stat.st_mtime, stat.st_mtime_nsec),
        )
    }

    /// The file of a descriptor.
    pub(super) fn file(&mut self, fd: c_int) -> String {
        match stat(fd, c"", AT_EMPTY_PATH) {
            Ok(stat) => self.describe(&stat),
            Err(errno) => format!("Err({errno})"),
        }
    }

    /// The file of a path, followed or not, or of a descriptor.
    pub(super) fn stat(&mut self, a: u32, b: u32) -> String {
        let path = c(pick(a, PATHS));
        let stat = match b % 4 {
            0 => stat(descriptor(a), c"", AT_EMPTY_PATH),
            1 => stat(AT_FDCWD, &path, 0),
            _ => stat(AT_FDCWD, &path, AT_SYMLINK_NOFOLLOW),
        };
        match stat {
            Ok(stat) => format!("{} {:?}", self.describe(&stat), target(AT_FDCWD, &path)),
            Err(errno) => format!("Err({errno})"),
        }
    }

    /// Everything that the process sees below the root.
    pub(super) fn tree(&mut self) -> String {
        let mut text = String::new();
        self.below("/", 0, &mut text);
        text
    }

    fn below(&mut self, folder: &str, depth: u32, text: &mut String) {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NOATIME;
        let opened: Called = call!(open(c(folder).as_ptr(), flags))
            .or_else(|_| call!(open(c(folder).as_ptr(), flags & !libc::O_NOATIME)));
        let names = opened.and_then(|fd| {
            let names = names(fd as c_int);
            let _ = call!(close(fd as c_int));
            names
        });
        let names = match names {
            Ok(names) => names,
            Err(errno) => {
                text.push_str(&format!("{folder}: {errno}; "));
                return;
            }
        };
        for name in names {
            let name = name.split(' ').next().unwrap_or_default();
            if name == "." || name == ".." {
                continue;
            }
            let path = format!("{folder}{name}");
            match stat(AT_FDCWD, &c(&path), AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    text.push_str(&format!("{path}: {}; ", self.describe(&stat)));
                    if stat.st_mode & libc::S_IFMT == libc::S_IFDIR && depth < 4 {
                        self.below(&format!("{path}/"), depth + 1, text);
                    }
                }
                Err(errno) => text.push_str(&format!("{path}: {errno}; ")),
            }
        }
    }
}

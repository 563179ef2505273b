//! What must be equal: results without what may differ from kernel to kernel.

use std::collections::HashMap;
use std::fmt::Write;

use crate::call::{Call, Raw, Shape};
use crate::mock::Root;

/// Times above this many seconds are the present.
const NOW: i64 = 1_000_000;

/// Makes the results of one run comparable.
#[derive(Debug, Default)]
pub struct Normal {
    inodes: HashMap<u64, usize>,
    /// Directories of an overlay have the size and link count of the lower file system's, and its
    /// host files no time of birth.
    overlay: bool,
}

fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    let mut word = [0; 8];
    if let (Some(from), Some(to)) = (bytes.get(at..at + len), word.get_mut(..len)) {
        to.copy_from_slice(from);
    }
    u64::from_le_bytes(word)
}

fn time(secs: u64, nanos: u64) -> String {
    let secs = secs.cast_signed();
    if secs > NOW { "now".into() } else { format!("{secs}.{nanos:09}") }
}

impl Normal {
    /// The results of a run, one line each.
    pub fn lines(root: Root, calls: &[Call], results: &[Raw]) -> Vec<String> {
        let mut normal = Self { overlay: root == Root::Overlay, ..Self::default() };
        calls.iter().zip(results).map(|(call, raw)| normal.line(call, raw)).collect()
    }

    fn line(&mut self, call: &Call, raw: &Raw) -> String {
        let mut line = raw.value.to_string();
        let Some((shape, _)) = call.output().filter(|_| raw.value >= 0) else { return line };
        let returned = raw.stored.get(..raw.value as usize).unwrap_or(&[]);
        // Writing to a String cannot fail.
        let _ = match shape {
            Shape::Bytes => write!(line, " {:?}", String::from_utf8_lossy(returned)),
            Shape::Names => write!(line, " {:?}", names(returned)),
            Shape::Stat => write!(line, " {}", self.stat(&raw.stored)),
            Shape::Statx => write!(line, " {}", self.statx(&raw.stored)),
            Shape::Dirents => write!(line, " {:?}", self.dirents(returned)),
        };
        line
    }

    fn inode(&mut self, ino: u64) -> usize {
        let next = self.inodes.len();
        *self.inodes.entry(ino).or_insert(next)
    }

    /// Whether size and links of an inode are left out.
    fn hides(&self, mode: u64) -> bool {
        self.overlay && mode & 0o170_000 == 0o040_000
    }

    fn stat(&mut self, stat: &[u8]) -> String {
        let hide = self.hides(number(stat, 24, 4));
        let field = |at, len| match at {
            16 | 48 if hide => 0,
            _ => number(stat, at, len),
        };
        format!(
            "ino {} nlink {} mode {:o} uid {} gid {} rdev {:x} size {} blksize {} \
             atime {} mtime {} ctime {}",
            self.inode(field(8, 8)),
            field(16, 8),
            field(24, 4),
            field(28, 4),
            field(32, 4),
            field(40, 8),
            field(48, 8),
            field(56, 8),
            time(field(72, 8), field(80, 8)),
            time(field(88, 8), field(96, 8)),
            time(field(104, 8), field(112, 8)),
        )
    }

    fn statx(&mut self, statx: &[u8]) -> String {
        let hide = self.hides(number(statx, 28, 2));
        let field = |at, len| match at {
            16 | 40 if hide => 0,
            _ => number(statx, at, len),
        };
        // What Linux may answer beyond what was asked for is not compared.
        format!(
            "mask {:x} ino {} nlink {} mode {:o} uid {} gid {} size {} blksize {} \
             atime {} btime {} mtime {} mount root {}",
            field(0, 4) & if self.overlay { 0x17ff } else { 0x1fff },
            self.inode(field(32, 8)),
            field(16, 4),
            field(28, 2),
            field(20, 4),
            field(24, 4),
            field(40, 8),
            field(4, 4),
            time(field(64, 8), field(72, 4)),
            if self.overlay { String::new() } else { time(field(80, 8), field(88, 4)) },
            time(field(112, 8), field(120, 4)),
            field(8, 8) & 0x2000,
        )
    }

    fn dirents(&mut self, records: &[u8]) -> Vec<String> {
        let mut entries = Vec::new();
        let mut at = 0;
        while at + 19 <= records.len() {
            let len = number(records, at + 16, 2) as usize;
            if len < 19 || at + len > records.len() {
                break;
            }
            let name = &records[at + 19..at + len];
            let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
            entries.push((String::from_utf8_lossy(name).into_owned(), at));
            at += len;
        }
        // The order of entries is the file system's; numbers are given in the order of names.
        entries.sort();
        let line = |(name, at): (String, usize)| {
            let ino = self.inode(number(records, at, 8));
            format!(
                "{name} ino {ino} type {} len {}",
                records[at + 18],
                number(records, at + 16, 2)
            )
        };
        entries.into_iter().map(line).collect()
    }
}

fn names(list: &[u8]) -> Vec<String> {
    let mut names: Vec<_> = list
        .split_inclusive(|&byte| byte == 0)
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    names.sort();
    names
}

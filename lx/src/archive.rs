//! Root file systems from archives: reads a tar file and sends what is in it to init.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::mem;
use std::path::{Path, PathBuf};

use lx_core::control::{Entry, EntryKind, Piece, Request};
use tar::EntryType;

use crate::users::Users;

/// Most bytes of file contents in one message: messages should be sent inside their packets.
const CHUNK: usize = 32 * 1024;
/// A message is sent when its pieces have about this many bytes.
const MESSAGE: usize = 24 * 1024;
/// Longest path that Linux takes.
const PATH_MAX: usize = 4095;
/// User databases that are longer are not looked into.
const DATABASE_MAX: u64 = 1 << 20;

/// A tar file, plain or compressed by gzip, xz or zstd.
#[derive(Debug)]
pub(crate) struct Archive {
    path: PathBuf,
    file: File,
    compression: Compression,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

impl Archive {
    /// Opens an archive; its first bytes tell the compression.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let fail = |error: io::Error| wrong(path, &error);
        let mut file = File::open(path).map_err(fail)?;
        let mut start = Vec::new();
        file.by_ref().take(512).read_to_end(&mut start).map_err(fail)?;
        file.rewind().map_err(fail)?;
        let compression = Compression::of(&start);
        if compression == Compression::None && !is_tar(&start) {
            return Err(fail(invalid(
                "it is neither a directory nor a tar archive, plain or compressed by gzip, xz or zstd",
            )));
        }
        Ok(Self { path: path.to_owned(), file, compression })
    }

    /// Sends everything that is in the archive; the user database in it.
    ///
    /// # Errors
    ///
    /// The archive is damaged or wants to put files elsewhere, or `send` fails.
    pub(crate) fn send(self, send: impl FnMut(Request) -> io::Result<()>) -> io::Result<Users> {
        let file = BufReader::with_capacity(1 << 16, self.file);
        let stream: Box<dyn Read> = match self.compression {
            Compression::None => Box::new(file),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Compression::Xz => Box::new(lzma_rust2::XzReader::new(file, true)),
            Compression::Zstd => Box::new(Zstd { frame: None, rest: Some(file) }),
        };
        let mut sender = Sender { send, pieces: Vec::new(), len: 0, failed: false };
        read(stream, &mut sender).map_err(|error| {
            // What the machine says is a sentence of its own.
            if sender.failed { error } else { wrong(&self.path, &error) }
        })
    }
}

impl Compression {
    fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// Whether a file that starts so is a tar archive: the checksum of its first header is right.
fn is_tar(start: &[u8]) -> bool {
    let Ok(block) = <&[u8; 512]>::try_from(start) else { return false };
    let header = tar::Header::from_byte_slice(block);
    let mut spaces = header.clone();
    spaces.as_old_mut().cksum = [b' '; 8];
    let sum: u32 = spaces.as_bytes().iter().map(|&byte| u32::from(byte)).sum();
    header.cksum().is_ok_and(|found| found == sum)
}

fn wrong(path: &Path, error: &io::Error) -> io::Error {
    let sentence = format!("'{}': cannot use it as root file system: {error}", path.display());
    io::Error::new(error.kind(), sentence)
}

/// Collects pieces into messages.
struct Sender<S> {
    send: S,
    pieces: Vec<Piece>,
    /// About how many bytes the pieces take.
    len: usize,
    /// An error came from `send`.
    failed: bool,
}

impl<S: FnMut(Request) -> io::Result<()>> Sender<S> {
    fn push(&mut self, piece: Piece) -> io::Result<()> {
        self.len += match &piece {
            Piece::Entry(entry) => 64 + entry.path.len(),
            Piece::Data(bytes) => bytes.len(),
        };
        self.pieces.push(piece);
        if self.len < MESSAGE { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.len = 0;
        let result = (self.send)(Request::Populate(mem::take(&mut self.pieces)));
        self.failed = result.is_err();
        result
    }
}

fn read(
    stream: impl Read,
    sender: &mut Sender<impl FnMut(Request) -> io::Result<()>>,
) -> io::Result<Users> {
    let (mut passwd, mut group) = (Vec::new(), Vec::new());
    let mut archive = tar::Archive::new(stream);
    let mut is_empty = true;
    for entry in archive.entries()? {
        let mut entry = entry?;
        is_empty = false;
        let Some(piece) = translate(&mut entry)? else { continue };
        let kept = match piece.path.as_slice() {
            b"etc/passwd" => Some(&mut passwd),
            b"etc/group" => Some(&mut group),
            _ => None,
        };
        let kept = kept.filter(|_| entry.size() <= DATABASE_MAX);
        let has_data = piece.kind == EntryKind::Regular;
        sender.push(Piece::Entry(piece))?;
        if has_data {
            contents(&mut entry, kept, sender)?;
        }
    }
    if is_empty {
        return Err(invalid("it is empty, or no tar archive"));
    }
    sender.flush()?;
    Ok(Users::new(passwd, group))
}

/// Sends the contents of a file.
fn contents(
    entry: &mut tar::Entry<'_, impl Read>,
    mut kept: Option<&mut Vec<u8>>,
    sender: &mut Sender<impl FnMut(Request) -> io::Result<()>>,
) -> io::Result<()> {
    let mut left = entry.size();
    while left > 0 {
        let mut chunk = Vec::new();
        let want = left.min(CHUNK as u64);
        entry.by_ref().take(want).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut off"));
        }
        left -= chunk.len() as u64;
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(&chunk);
        }
        sender.push(Piece::Data(chunk))?;
    }
    Ok(())
}

/// What init is told of an entry; nothing for entries that are no files.
fn translate(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Option<Entry>> {
    let path = clean(&entry.path_bytes())?;
    let target = entry.link_name_bytes().map(|name| name.into_owned());
    let target = || target.clone().ok_or_else(|| named(&path, "is a link to nothing"));
    let header = entry.header();
    let device = || -> io::Result<(u32, u32)> {
        let (major, minor) = (header.device_major()?, header.device_minor()?);
        major.zip(minor).ok_or_else(|| named(&path, "is a device without numbers"))
    };
    let kind = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => EntryKind::Regular,
        EntryType::Directory => EntryKind::Directory,
        EntryType::Symlink => EntryKind::Symlink { target: target()? },
        EntryType::Link => EntryKind::HardLink { target: clean(&target()?)? },
        EntryType::Char => device().map(|(major, minor)| EntryKind::CharDevice { major, minor })?,
        EntryType::Block => {
            device().map(|(major, minor)| EntryKind::BlockDevice { major, minor })?
        }
        EntryType::Fifo => EntryKind::Fifo,
        EntryType::XGlobalHeader => return Ok(None),
        other => {
            let kind = other.as_byte().escape_ascii();
            return Err(named(&path, &format!("is of the unknown kind '{kind}'")));
        }
    };
    if path.is_empty() && kind != EntryKind::Directory {
        return Err(invalid("its root is no directory"));
    }
    let id = |id: u64| u32::try_from(id).map_err(|_| named(&path, "has an owner beyond 32 bits"));
    let (mode, uid, gid) = (header.mode()? & 0o7777, id(header.uid()?)?, id(header.gid()?)?);
    let seconds = i64::try_from(header.mtime()?).unwrap_or(i64::MAX);
    let mtime = fine_time(entry)?.unwrap_or(seconds.saturating_mul(1_000_000_000));
    Ok(Some(Entry { path, kind, mode, uid, gid, mtime }))
}

/// The time of modification with its fraction, which only extended headers have; nanoseconds.
fn fine_time(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Option<i64>> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(None) };
    let mut time = None;
    for extension in extensions {
        let extension = extension?;
        if extension.key_bytes() == b"mtime" {
            time = extension.value().ok().and_then(nanoseconds);
        }
    }
    Ok(time)
}

/// `12.5` as nanoseconds.
fn nanoseconds(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let (whole, rest) = (seconds.parse::<i64>().ok()?, fraction.parse::<i64>().ok()?);
    // The fraction counts away from zero.
    let rest = if seconds.starts_with('-') { -rest } else { rest };
    whole.checked_mul(1_000_000_000)?.checked_add(rest)
}

/// A path from the root, as `usr/bin/env`. A slash in front is dropped, as tar does.
fn clean(path: &[u8]) -> io::Result<Vec<u8>> {
    if path.contains(&0) {
        return Err(named(path, "has a zero byte in its name"));
    }
    if path.len() > PATH_MAX {
        return Err(named(path.get(..64).unwrap_or_default(), "… has a name that is too long"));
    }
    let mut parts = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(named(path, "leads out of the archive")),
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

fn named(path: &[u8], what: &str) -> io::Error {
    invalid(&format!("'{}' in it {what}", path.escape_ascii()))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

type Frame<R> = ruzstd::decoding::StreamingDecoder<R, ruzstd::decoding::FrameDecoder>;

/// Reads frames of zstd one after the other, as compressors with several threads write them.
struct Zstd<R: Read> {
    frame: Option<Frame<R>>,
    /// What follows, between two frames.
    rest: Option<R>,
}

impl<R: io::BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let count = frame.read(buffer)?;
                if count > 0 || buffer.is_empty() {
                    return Ok(count);
                }
                self.rest = self.frame.take().map(Frame::into_inner);
            }
            let Some(mut rest) = self.rest.take() else { return Ok(0) };
            if rest.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.frame = Some(Frame::new(rest).map_err(io::Error::other)?);
        }
    }
}

#[cfg(test)]
mod tests;

//! Programs of Windows that guests start.
//!
//! They are started by the loader in the host process of the guest that executes them, so they are in
//! the machine's job and end with it.

use alloc::format;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::abi::Errno;
use lx_core::host::{
    HostError, HostFd, HostNative, HostResult, NativeChild, NativeStart, NativeStream,
};
use lx_nt::{CURRENT_PROCESS, Handle, IoStatus, ObjectAttributes, Program, Status, UnicodeString};

use crate::files::{self, Kind};
use crate::nt::{self, nt};
use crate::storage::{OBJ_CASE_INSENSITIVE, access, create_file, disposition, option, u32_at};
use crate::{WindowsHost, names, quote, thread};

/// Bytes that a pipe holds.
const PIPE_SIZE: u32 = 64 * 1024;
/// Tells pipes apart.
static NEXT_PIPE: AtomicU32 = AtomicU32::new(0);

/// A handle that is closed when it goes out of scope.
struct Owned(Handle);

impl Drop for Owned {
    fn drop(&mut self) {
        nt::close(self.0);
    }
}

/// The same file by a handle that programs inherit.
fn inheritable(handle: Handle) -> HostResult<Owned> {
    const OBJ_INHERIT: u32 = 2;
    const SAME_ACCESS: u32 = 2;
    let mut new = 0;
    // SAFETY: the call writes the new handle.
    nt::check(unsafe {
        nt!(
            duplicate,
            CURRENT_PROCESS,
            handle,
            CURRENT_PROCESS,
            &mut new,
            0,
            OBJ_INHERIT,
            SAME_ACCESS
        )
    })?;
    Ok(Owned(new))
}

/// A new pipe: the kernel's end and the program's. `input` goes to the program.
fn pipe(input: bool) -> HostResult<(HostFd, Owned)> {
    let number = NEXT_PIPE.fetch_add(1, Ordering::Relaxed);
    let pid = thread::current().pid.load(Ordering::Relaxed);
    let now = lx_x86::context::read_tsc();
    let name = names::path(format!("\\??\\pipe\\lx-{pid}-{now:x}-{number}").as_bytes())?;
    let ours = Owned(create_pipe(&name, input)?);
    let rights = match input {
        true => access::READ_DATA | access::READ_EA | access::READ_CONTROL,
        false => access::WRITE_DATA | access::APPEND_DATA | access::READ_CONTROL,
    };
    let rights = rights | access::READ_ATTRIBUTES;
    let theirs = Owned(create_file(0, &name, rights, disposition::OPEN, option::NON_DIRECTORY)?);
    let theirs = inheritable(theirs.0)?;
    let kind = if input { Kind::Feed } else { Kind::Pipe };
    let handle = ours.0;
    core::mem::forget(ours);
    Ok((files::register(handle, kind)?, theirs))
}

/// The end that makes a pipe.
fn create_pipe(name: &[u16], input: bool) -> HostResult<Handle> {
    const SHARE_READ: u32 = 1;
    const SHARE_WRITE: u32 = 2;
    const BYTES: u32 = 0;
    const WAITING: u32 = 0;
    const TIMEOUT: i64 = -500_000;
    let bytes = name.len() as u16 * 2;
    let name = UnicodeString { length: bytes, maximum_length: bytes, buffer: name.as_ptr() };
    let attributes = ObjectAttributes {
        name: &raw const name,
        attributes: OBJ_CASE_INSENSITIVE,
        ..nt::no_attributes()
    };
    let (rights, share, options) = match input {
        true => (access::WRITE_DATA, SHARE_READ, 0),
        false => (access::READ_DATA, SHARE_WRITE, option::SYNCHRONOUS),
    };
    let rights = rights | access::SYNCHRONIZE | access::READ_ATTRIBUTES | access::WRITE_ATTRIBUTES;
    let mut handle = 0;
    let mut io = IoStatus::default();
    // SAFETY: the call reads the structures and writes handle and result.
    nt::check(unsafe {
        nt!(
            create_pipe,
            &mut handle,
            rights,
            &attributes,
            &mut io,
            share,
            disposition::CREATE,
            options,
            BYTES,
            BYTES,
            WAITING,
            1,
            PIPE_SIZE,
            PIPE_SIZE,
            &TIMEOUT
        )
    })?;
    Ok(handle)
}

/// The exit status of a process that has ended.
pub(crate) fn status(process: Handle) -> Option<u32> {
    const BASIC_INFORMATION: u32 = 0;
    const NOT_YET: i64 = 0;
    // SAFETY: the call reads the timeout.
    let waited: Status = unsafe { nt!(wait, process, 0, &NOT_YET) };
    if waited != 0 {
        return None;
    }
    let mut out = [0u8; 48];
    // SAFETY: the call writes the buffer.
    let result = unsafe {
        nt!(
            query_process,
            process,
            BASIC_INFORMATION,
            out.as_mut_ptr(),
            out.len() as u32,
            core::ptr::null_mut()
        )
    };
    Some(if result < 0 { 1 } else { u32_at(&out, 0) })
}

/// Zero-terminated UTF-16.
fn text(bytes: &[u8]) -> HostResult<Vec<u16>> {
    let text = core::str::from_utf8(bytes).map_err(|_| HostError(Errno::EILSEQ))?;
    Ok(text.encode_utf16().chain([0]).collect())
}

/// The block of variables that are added.
fn variables(env: &[(&[u8], &[u8])]) -> HostResult<Vec<u16>> {
    let mut block = Vec::new();
    for (name, value) in env {
        // What is no text in the guest is none for Windows.
        let line = [*name, b"=", *value].concat();
        if let Ok(line) = text(&line) {
            block.extend(line);
        }
    }
    block.extend([0, 0]);
    Ok(block)
}

/// What an error of `CreateProcessW` means.
fn start_error(error: u32) -> Errno {
    match error {
        2 | 3 | 267 => Errno::ENOENT,
        5 | 32 | 740 | 1260 => Errno::EACCES,
        8 | 14 | 1450 | 1455 => Errno::ENOMEM,
        193 | 216 | 11 => Errno::ENOEXEC,
        206 => Errno::E2BIG,
        _ => Errno::EIO,
    }
}

impl HostNative for WindowsHost {
    fn native_path(&self, root: &[u8], names: &[&[u8]]) -> Option<Vec<u8>> {
        names::native_path(root, names)
    }

    fn start_native(&self, start: &NativeStart<'_>) -> HostResult<NativeChild> {
        const MOST: usize = 32_766;
        let mut pipes = [const { None }; 3];
        let mut standard = [const { None }; 3];
        for (number, stream) in start.streams.iter().enumerate() {
            let theirs = match stream {
                NativeStream::Host(fd) => inheritable(files::local(fd)?)?,
                NativeStream::Pipe => {
                    let (ours, theirs) = pipe(number == 0)?;
                    if let Some(slot) = pipes.get_mut(number) {
                        *slot = Some(ours);
                    }
                    theirs
                }
            };
            if let Some(slot) = standard.get_mut(number) {
                *slot = Some(theirs);
            }
        }
        let path = text(start.program)?;
        let mut command = text(&quote::command_line(start.program, start.args))?;
        if command.len() > MOST {
            return Err(HostError(Errno::E2BIG));
        }
        let directory = start.directory.map(text).transpose()?;
        let environment = variables(start.env)?;
        let mut program = Program {
            path: path.as_ptr(),
            command: command.as_mut_ptr(),
            directory: directory.as_ref().map_or(core::ptr::null(), |text| text.as_ptr()),
            environment: environment.as_ptr(),
            standard: standard.each_ref().map(|end| end.as_ref().map_or(0, |end| end.0)),
            process: 0,
        };
        // SAFETY: all texts end with zeros and live until the call is over.
        let error = unsafe { nt!(start_program, &raw mut program) };
        if error != 0 {
            return Err(HostError(start_error(error)));
        }
        let process = files::register(program.process, Kind::Process)?;
        Ok(NativeChild { process, pipes })
    }

    fn native_status(&self, process: &HostFd) -> Option<u32> {
        files::local(process).ok().and_then(status)
    }

    fn kill_native(&self, process: &HostFd) {
        if let Ok(handle) = files::local(process) {
            // SAFETY: a process that is not ours.
            let _ = unsafe { nt!(terminate, handle, 1) };
        }
    }
}

//! Input of the console while programs want it key by key.
//!
//! Whoever reads or asks whether there is something to read takes the keys that have come, and the
//! bytes that they make wait here. Lines are the console's own business.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use lx_core::abi::Errno;
use lx_core::abi::tty::{InputFlags, LocalFlags, Termios};
use lx_core::host::{BufMut, HostError, HostResult};
use lx_core::sync::Mutex;
use lx_nt::keys::Keys;
use lx_nt::{Handle, IoStatus, KeyEvent};
use lx_x86::user_copy;

use crate::files::Kind;
use crate::nt::{self, nt};
use crate::terminal;

/// Lock level of the bytes.
const LEVEL: u8 = 57;
/// Events that are taken at once.
const MOST: usize = 64;

struct Typed {
    keys: Keys,
    bytes: Vec<u8>,
}

static TYPED: Mutex<Typed, LEVEL> = Mutex::new(Typed { keys: Keys::new(), bytes: Vec::new() });
/// Whether somebody is taking keys: two at once would mix them up.
static TAKING: AtomicBool = AtomicBool::new(false);

/// How many bytes can be read; takes keys if programs want them one by one.
pub(crate) fn pending(console: Handle) -> usize {
    let settings = terminal::settings();
    if terminal::is_raw(&settings) && !TAKING.swap(true, Ordering::AcqRel) {
        take(console, &settings);
        TAKING.store(false, Ordering::Release);
    }
    TYPED.lock().bytes.len()
}

/// Reads what was typed; `None` if nothing was and the console's own lines are wanted.
pub(crate) fn read(console: Handle, dst: &mut BufMut<'_>) -> Option<HostResult<usize>> {
    if pending(console) == 0 {
        let raw = terminal::is_raw(&terminal::settings());
        return raw.then_some(Err(HostError(Errno::EAGAIN)));
    }
    let len = match dst {
        BufMut::Kernel(bytes) => bytes.len(),
        BufMut::Guest { len, .. } => *len,
    };
    let mut typed = TYPED.lock();
    let count = len.min(typed.bytes.len());
    let bytes: Vec<u8> = typed.bytes.drain(..count).collect();
    drop(typed);
    match dst {
        BufMut::Kernel(to) => to.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from),
        BufMut::Guest { addr, .. } => {
            if !crate::memory::in_guest(*addr, count) {
                return Some(Err(HostError(Errno::EFAULT)));
            }
            // SAFETY: the other side is the guest's.
            let copied = unsafe { user_copy::copy(*addr, bytes.as_ptr() as u64, count) };
            if copied < count {
                return Some(Err(HostError(Errno::EFAULT)));
            }
        }
    }
    Some(Ok(count))
}

/// Forgets what was typed, `TCSAFLUSH`.
pub(crate) fn flush() {
    TYPED.lock().bytes.clear();
}

fn take(console: Handle, settings: &Termios) {
    let mut events = [KeyEvent::default(); MOST];
    loop {
        // SAFETY: the loader writes as many events as there is room for.
        let count = unsafe { nt!(console_keys, console, events.as_mut_ptr(), MOST as u32) };
        let mut typed = TYPED.lock();
        let before = typed.bytes.len();
        let Typed { keys, bytes } = &mut *typed;
        for event in events.iter().take(count as usize) {
            keys.take(event, bytes);
        }
        let new = typed.bytes.split_off(before);
        let new = translate(new, settings.input());
        typed.bytes.extend_from_slice(&new);
        drop(typed);
        echo(&new, settings);
        if (count as usize) < MOST {
            return;
        }
    }
}

/// What the settings make of carriage returns and line feeds.
fn translate(bytes: Vec<u8>, flags: InputFlags) -> Vec<u8> {
    let one = |byte| match byte {
        b'\r' if flags.contains(InputFlags::IGNCR) => None,
        b'\r' if flags.contains(InputFlags::ICRNL) => Some(b'\n'),
        b'\n' if flags.contains(InputFlags::INLCR) => Some(b'\r'),
        byte => Some(byte),
    };
    bytes.into_iter().filter_map(one).collect()
}

/// What the screen shows of bytes that were typed.
fn shown(bytes: &[u8], settings: &Termios) -> Vec<u8> {
    let local = settings.local();
    let mut out = Vec::new();
    if !local.contains(LocalFlags::ECHO) {
        return out;
    }
    for &byte in bytes {
        match byte {
            b'\n' => out.extend(b"\r\n"),
            0..0x20 | 0x7f if byte != b'\t' && local.contains(LocalFlags::ECHOCTL) => {
                out.extend([b'^', byte ^ 0x40]);
            }
            byte => out.push(byte),
        }
    }
    out
}

fn echo(bytes: &[u8], settings: &Termios) {
    let out = shown(bytes, settings);
    if out.is_empty() {
        return;
    }
    let Ok(screen) = terminal::open(Kind::Screen) else { return };
    let mut io = IoStatus::default();
    // SAFETY: the call reads the bytes.
    let _ = unsafe {
        nt!(
            write_file,
            screen,
            0,
            0,
            0,
            &mut io,
            out.as_ptr(),
            out.len() as u32,
            core::ptr::null(),
            0
        )
    };
    nt::close(screen);
}

#[cfg(test)]
mod tests {
    use super::{shown, translate};
    use lx_core::abi::tty::{InputFlags, LocalFlags, Termios};

    #[test]
    fn line_ends_are_translated() {
        let translated = |flags| translate(b"a\r\n".to_vec(), flags);
        assert_eq!(translated(InputFlags::ICRNL), b"a\n\n");
        assert_eq!(translated(InputFlags::IGNCR), b"a\n");
        assert_eq!(translated(InputFlags::INLCR), b"a\r\r");
        assert_eq!(translated(InputFlags::empty()), b"a\r\n");
    }

    #[test]
    fn what_is_typed_is_shown_if_wanted() {
        let mut settings = Termios::INITIAL;
        assert_eq!(shown(b"a\x01\t\n\x7f", &settings), b"a^A\t\r\n^?");
        settings.c_lflag &= !LocalFlags::ECHO.bits();
        assert_eq!(shown(b"a", &settings), b"");
    }
}

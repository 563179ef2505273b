//! The console as a Linux terminal.
//!
//! Windows' console has a line discipline of its own, with less to choose. What programs set is
//! remembered as they set it; what the console can do of it becomes its mode.

use lx_core::abi::Errno;
use lx_core::abi::tty::{LocalFlags, OutputFlags, Termios};
use lx_core::host::{HostError, HostResult};
use lx_core::sync::Mutex;
use lx_nt::Handle;
use zerocopy::{FromBytes, IntoBytes};

use crate::files::Kind;
use crate::keyboard;
use crate::nt::nt;

/// Lock level of the settings.
const LEVEL: u8 = 57;

/// Modes of a console's input.
mod input {
    pub(super) const PROCESSED: u32 = 0x1;
    pub(super) const LINE: u32 = 0x2;
    pub(super) const ECHO: u32 = 0x4;
    pub(super) const EXTENDED: u32 = 0x80;
    pub(super) const VIRTUAL_TERMINAL: u32 = 0x200;
}

/// Modes of a console's output.
mod output {
    pub(super) const PROCESSED: u32 = 0x1;
    pub(super) const WRAP: u32 = 0x2;
    pub(super) const VIRTUAL_TERMINAL: u32 = 0x4;
    pub(super) const NO_AUTO_RETURN: u32 = 0x8;
}

/// Lines and columns of a console that does not tell.
const USUAL_SIZE: [u16; 2] = [25, 80];

/// What programs have set.
static SETTINGS: Mutex<Termios, LEVEL> = Mutex::new(Termios::INITIAL);

/// What programs have set last.
pub(crate) fn settings() -> Termios {
    *SETTINGS.lock()
}

/// Whether programs want input as it is typed, and not in lines.
pub(crate) fn is_raw(settings: &Termios) -> bool {
    !settings.local().contains(LocalFlags::ICANON)
}

/// The mode of a console handle, if it is one.
fn mode(handle: Handle) -> Option<u32> {
    let mut mode = 0;
    // SAFETY: the loader writes the variable.
    (unsafe { nt!(console_mode, handle, &mut mode, 0) } != 0).then_some(mode)
}

/// What a handle is, if it is that of a console.
pub(crate) fn kind(handle: Handle) -> Option<Kind> {
    mode(handle)?;
    Some(if size(handle).is_some() { Kind::Screen } else { Kind::Keyboard })
}

/// The calling process's own handle.
pub(crate) fn open(kind: Kind) -> HostResult<Handle> {
    // SAFETY: touches no memory of ours.
    let handle = unsafe { nt!(console_open, u32::from(kind == Kind::Keyboard)) };
    if handle == 0 { Err(HostError(Errno::EIO)) } else { Ok(handle) }
}

fn set_mode(handle: Handle, mode: u32) {
    let mut mode = mode;
    // SAFETY: the loader reads the variable.
    let _ = unsafe { nt!(console_mode, handle, &mut mode, 1) };
}

/// Lines and columns, if the handle is that of a console's output.
fn size(handle: Handle) -> Option<[u16; 2]> {
    let mut size = [0; 2];
    // SAFETY: the loader writes the two numbers.
    (unsafe { nt!(console_size, handle, size.as_mut_ptr()) } != 0).then_some(size)
}

/// Makes a console that programs get behave as a new terminal.
pub(crate) fn prepare(handle: Handle, kind: Kind) {
    if kind.is_console() {
        apply(handle, kind, &Termios::INITIAL);
    }
}

/// Makes the console do what the settings say.
fn apply(handle: Handle, kind: Kind, settings: &Termios) {
    if kind == Kind::Keyboard {
        let local = LocalFlags::from_bits_truncate(settings.c_lflag);
        let line = local.contains(LocalFlags::ICANON);
        let choices = [
            (true, input::EXTENDED),
            (local.contains(LocalFlags::ISIG), input::PROCESSED),
            (line, input::LINE),
            (line && local.contains(LocalFlags::ECHO), input::ECHO),
            (!line, input::VIRTUAL_TERMINAL),
        ];
        let chosen = choices.iter().filter(|(wanted, _)| *wanted);
        set_mode(handle, chosen.fold(0, |mode, (_, bit)| mode | bit));
    } else {
        let cooked = OutputFlags::from_bits_truncate(settings.c_oflag).contains(OutputFlags::OPOST);
        let raw = if cooked { 0 } else { output::NO_AUTO_RETURN };
        set_mode(handle, output::PROCESSED | output::WRAP | output::VIRTUAL_TERMINAL | raw);
    }
}

/// How many bytes, or letters, can be read.
pub(crate) fn pending(keyboard: Handle) -> u32 {
    let typed = keyboard::pending(keyboard) as u32;
    if typed > 0 || is_raw(&settings()) {
        return typed;
    }
    // SAFETY: touches no memory of ours.
    unsafe { nt!(console_pending, keyboard) }
}

/// A request of `ioctl(2)`; see
/// [`HostConsole::terminal_ioctl`](lx_core::host::HostConsole::terminal_ioctl).
pub(crate) fn request(
    handle: Handle,
    kind: Kind,
    request: u32,
    arg: &mut [u8],
) -> Result<i32, Errno> {
    const TCGETS: u32 = 0x5401;
    const TCSETS: [u32; 3] = [0x5402, 0x5403, TCSETSF];
    const TCSETSF: u32 = 0x5404;
    const TIOCGWINSZ: u32 = 0x5413;
    const FIONREAD: u32 = 0x541b;
    /// `TCSBRK`, `TCXONC`, `TCFLSH`, `TCSBRKP`: there is no line that could break.
    const HARMLESS: [u32; 4] = [0x5409, 0x540a, 0x540b, 0x5425];
    match request {
        TCGETS => {
            let settings = *SETTINGS.lock();
            settings.write_to_prefix(arg).map_err(|_| Errno::EINVAL)?;
        }
        _ if TCSETS.contains(&request) => {
            let (settings, _) = Termios::read_from_prefix(arg).map_err(|_| Errno::EINVAL)?;
            *SETTINGS.lock() = settings;
            apply(handle, kind, &settings);
            // It is one terminal, whichever end was named.
            let other = if kind == Kind::Keyboard { Kind::Screen } else { Kind::Keyboard };
            if let Ok(handle) = open(other) {
                apply(handle, other, &settings);
                crate::nt::close(handle);
            }
            if request == TCSETSF {
                keyboard::flush();
            }
        }
        TIOCGWINSZ => {
            let screen = open(Kind::Screen).map_err(Errno::from)?;
            let found = size(screen);
            crate::nt::close(screen);
            let [rows, columns] = found.unwrap_or(USUAL_SIZE);
            let numbers = [rows, columns, 0, 0].map(u16::to_le_bytes);
            let to = arg.get_mut(..8).ok_or(Errno::EINVAL)?;
            to.copy_from_slice(numbers.as_flattened());
        }
        FIONREAD if kind == Kind::Keyboard => {
            let count = pending(handle);
            let to = arg.first_chunk_mut::<4>().ok_or(Errno::EINVAL)?;
            *to = count.to_le_bytes();
        }
        _ if HARMLESS.contains(&request) => {}
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

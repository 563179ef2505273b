//! The console, which only Win32 functions can talk to.

use lx_nt::{Handle, KeyEvent};

use crate::api::{self, InputRecord, ScreenBuffer};

/// Reads the mode of a console's input or output, or sets it.
pub(crate) unsafe extern "win64" fn mode(handle: Handle, mode: *mut u32, set: u32) -> u32 {
    const UTF8: u32 = 65001;
    // SAFETY: the caller's variable.
    unsafe {
        if set == 0 {
            return u32::from(api::GetConsoleMode(handle, mode) != 0);
        }
        // Linux programs speak UTF-8.
        api::SetConsoleCP(UTF8);
        api::SetConsoleOutputCP(UTF8);
        u32::from(api::SetConsoleMode(handle, mode.read()) != 0)
    }
}

/// Opens the console that the process is attached to: its input, or its screen.
pub(crate) unsafe extern "win64" fn open(input: u32) -> Handle {
    const READ_WRITE: u32 = 0xc000_0000;
    const SHARE: u32 = 3;
    const OPEN_EXISTING: u32 = 3;
    const INPUT: [u16; 7] = [0x43, 0x4f, 0x4e, 0x49, 0x4e, 0x24, 0];
    const SCREEN: [u16; 8] = [0x43, 0x4f, 0x4e, 0x4f, 0x55, 0x54, 0x24, 0];
    let name = if input != 0 { INPUT.as_ptr() } else { SCREEN.as_ptr() };
    // SAFETY: the names end with NULs.
    let handle = unsafe { api::CreateFileW(name, READ_WRITE, SHARE, 0, OPEN_EXISTING, 0, 0) };
    if handle == usize::MAX { 0 } else { handle }
}

/// Gives the console back the modes and code pages of its input and of its screen, unless somebody
/// else has set it meanwhile: a shell that saw lx die.
pub(crate) unsafe extern "win64" fn restore(settings: *const [u32; 4]) {
    const PROCESSED_LINE_ECHO: u32 = 7;
    // SAFETY: the caller's numbers.
    let [input_mode, screen_mode, input_page, output_page] = unsafe { settings.read() };
    let mut mode = 0;
    // SAFETY: calls with our own handles and variables.
    unsafe {
        let (input, screen) = (open(1), open(0));
        if api::GetConsoleMode(input, &mut mode) != 0 && mode & PROCESSED_LINE_ECHO == 0 {
            api::SetConsoleMode(input, input_mode);
            api::SetConsoleMode(screen, screen_mode);
            api::SetConsoleCP(input_page);
            api::SetConsoleOutputCP(output_page);
        }
    }
}

/// Lines and columns of the window.
pub(crate) unsafe extern "win64" fn size(handle: Handle, size: *mut u16) -> u32 {
    let mut buffer = ScreenBuffer::default();
    // SAFETY: the call writes the structure; the caller has room for two numbers.
    unsafe {
        if api::GetConsoleScreenBufferInfo(handle, &mut buffer) == 0 {
            return 0;
        }
        let [left, top, right, bottom] = buffer.window;
        size.write((bottom - top + 1) as u16);
        size.add(1).write((right - left + 1) as u16);
    }
    1
}

/// What an event is about, if it is a key.
const KEY: u16 = 1;

/// Takes the events that there are; the keys among them.
pub(crate) unsafe extern "win64" fn keys(handle: Handle, keys: *mut KeyEvent, len: u32) -> u32 {
    let mut records = [InputRecord::default(); 64];
    let mut found = 0;
    loop {
        let room = (len - found).min(records.len() as u32);
        let mut count = 0;
        // SAFETY: the calls write the records. Reading waits only if there is none.
        let good = room > 0
            && unsafe {
                api::PeekConsoleInputW(handle, records.as_mut_ptr(), room, &mut count) != 0
                    && count > 0
                    && api::ReadConsoleInputW(handle, records.as_mut_ptr(), count, &mut count) != 0
            };
        if !good {
            return found;
        }
        for record in records.iter().take(count as usize).filter(|record| record.kind == KEY) {
            let key = KeyEvent {
                key: record.key,
                letter: record.letter,
                repeat: record.repeat,
                down: u16::from(record.key_down != 0),
                state: record.state,
            };
            // SAFETY: the caller has room for `len` events.
            unsafe { keys.add(found as usize).write(key) };
            found += 1;
        }
    }
}

/// Characters that a read would find. What is none, such as a key that goes up, would make a read
/// wait, so it is taken away from the front.
pub(crate) unsafe extern "win64" fn pending(handle: Handle) -> u32 {
    loop {
        let mut records = [InputRecord::default(); 64];
        let mut count = 0;
        // SAFETY: the call writes the records.
        let good = unsafe {
            api::PeekConsoleInputW(handle, records.as_mut_ptr(), records.len() as u32, &mut count)
        };
        if good == 0 || count == 0 {
            return 0;
        }
        let is_letter =
            |record: &InputRecord| record.kind == KEY && record.key_down != 0 && record.letter != 0;
        let seen = records.get(..count as usize).unwrap_or_default();
        let others = seen.iter().take_while(|record| !is_letter(record)).count();
        if others == 0 {
            return seen.iter().filter(|record| is_letter(record)).count() as u32;
        }
        // SAFETY: as above; as many records as were seen are there.
        unsafe {
            api::ReadConsoleInputW(handle, records.as_mut_ptr(), others as u32, &mut count);
        }
    }
}

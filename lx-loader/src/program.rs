//! Programs of Windows that guests start.

use core::ffi::c_void;

use lx_nt::{Handle, Program};

use crate::api::{self, ProcessInfo, StartupInfo};

/// `STARTUPINFOEXW`.
#[repr(C)]
struct StartupInfoEx {
    plain: StartupInfo,
    attributes: *mut c_void,
}

/// Room for a list of one attribute; Windows needs 48 bytes.
type AttributeList = [usize; 32];

/// Starts a program: 0, or why not. It inherits its standard streams and no other handle.
pub(crate) unsafe extern "win64" fn start(start: *mut Program) -> u32 {
    // SAFETY: the image's structure, with texts that end.
    unsafe {
        let start = &mut *start;
        let mut list: AttributeList = [0; 32];
        let attributes = (&raw mut list).cast::<c_void>();
        if !restrict_handles(attributes, &start.standard) {
            return api::GetLastError();
        }
        let environment = environment(start.environment);
        let result = create(start, attributes, environment);
        if !environment.is_null() {
            api::HeapFree(api::GetProcessHeap(), 0, environment.cast_mut().cast());
        }
        api::DeleteProcThreadAttributeList(attributes);
        result
    }
}

unsafe fn create(start: &mut Program, attributes: *mut c_void, environment: *const u16) -> u32 {
    const STARTF_USESTDHANDLES: u32 = 0x100;
    const FLAGS: usize = 7;
    const CREATE_UNICODE_ENVIRONMENT: u32 = 0x400;
    const EXTENDED_STARTUPINFO_PRESENT: u32 = 0x8_0000;
    let mut startup = StartupInfoEx {
        plain: StartupInfo {
            size: size_of::<StartupInfoEx>() as u32,
            strings: [0; 3],
            position: [0; 8],
            show: 0,
            reserved: 0,
            reserved2: 0,
            standard: start.standard,
        },
        attributes,
    };
    startup.plain.position[FLAGS] = STARTF_USESTDHANDLES;
    let mut made = ProcessInfo::default();
    // SAFETY: the call reads and writes the given variables.
    unsafe {
        let good = api::CreateProcessW(
            start.path,
            start.command,
            0,
            0,
            1,
            CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT,
            environment,
            start.directory,
            (&raw const startup).cast(),
            &mut made,
        );
        if good == 0 {
            return api::GetLastError().max(1);
        }
        api::CloseHandle(made.thread);
    }
    start.process = made.process;
    0
}

/// Names the handles that the program inherits.
unsafe fn restrict_handles(attributes: *mut c_void, handles: &[Handle; 3]) -> bool {
    const HANDLE_LIST: usize = 0x2_0002;
    let mut size = size_of::<AttributeList>();
    // SAFETY: the list is as large as it says; the handles outlive it.
    unsafe {
        api::InitializeProcThreadAttributeList(attributes, 1, 0, &mut size) != 0
            && api::UpdateProcThreadAttribute(
                attributes,
                0,
                HANDLE_LIST,
                handles.as_ptr().cast(),
                size_of_val(handles),
                0,
                0,
            ) != 0
    }
}

/// The strings of a block of variables, each with its zero.
struct Strings {
    at: *const u16,
}

impl Iterator for Strings {
    type Item = (*const u16, usize);

    fn next(&mut self) -> Option<Self::Item> {
        let mut len = 0;
        // SAFETY: each string ends with a zero, and an empty one is the last.
        unsafe {
            while *self.at.add(len) != 0 {
                len += 1;
            }
            let string = (self.at, len + 1);
            self.at = self.at.add(len + 1);
            (len != 0).then_some(string)
        }
    }
}

/// This process's variables with others added; to be freed. Null if there is no memory, which
/// leaves the program with this process's.
unsafe fn environment(added: *const u16) -> *const u16 {
    // SAFETY: both blocks are whole, and the copy has room for both.
    unsafe {
        let own = api::GetEnvironmentStringsW();
        if own.is_null() {
            return core::ptr::null();
        }
        let all = || Strings { at: own }.chain(Strings { at: added });
        let len: usize = all().map(|(_, len)| len).sum();
        let block = api::HeapAlloc(api::GetProcessHeap(), 0, (len + 2) * 2).cast::<u16>();
        if !block.is_null() {
            let mut end = block;
            let mut put = |(string, len): (*const u16, usize)| {
                core::ptr::copy_nonoverlapping(string, end, len);
                end = end.add(len);
            };
            let replaced = |string| Strings { at: added }.any(|other| same_name(string, other));
            Strings { at: own }.filter(|string| !replaced(*string)).for_each(&mut put);
            Strings { at: added }.for_each(&mut put);
            end.write(0);
            end.add(1).write(0);
        }
        api::FreeEnvironmentStringsW(own);
        block
    }
}

/// Whether two strings `NAME=value` have one name.
unsafe fn same_name((one, _): (*const u16, usize), (other, _): (*const u16, usize)) -> bool {
    const EQUAL: i32 = 2;
    // SAFETY: as in `name_len`.
    unsafe {
        let (one_len, other_len) = (name_len(one), name_len(other));
        one_len == other_len
            && api::CompareStringOrdinal(one, one_len, other, other_len, 1) == EQUAL
    }
}

/// Length of the name, which may begin with `=`.
unsafe fn name_len(string: *const u16) -> i32 {
    const EQUALS: u16 = b'=' as u16;
    let mut len = 1;
    // SAFETY: a string of at least one character, with a zero at its end.
    unsafe {
        while ![0, EQUALS].contains(&*string.add(len)) {
            len += 1;
        }
    }
    len as i32
}

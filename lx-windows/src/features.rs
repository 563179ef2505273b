//! What this Windows has, asked without using it.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use windows_sys::Win32::Foundation::{FARPROC, NTSTATUS};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleA, GetProcAddress};
use windows_sys::Win32::System::Memory::{
    MEM_RELEASE, MEM_RESERVE, PAGE_NOACCESS, VirtualAlloc, VirtualFree,
};
use windows_sys::Win32::System::SystemInformation::OSVERSIONINFOW;
use windows_sys::Win32::System::Threading::IsProcessorFeaturePresent;

/// `PF_RDWRFSGSBASE_AVAILABLE`.
const FSGSBASE: u32 = 22;

/// Whether a library that is always loaded exports this function.
pub fn has_export(library: &str, name: &str) -> bool {
    export(library, name).is_some()
}

/// The address of such a function.
pub(crate) fn export_address(library: &str, name: &str) -> Option<usize> {
    export(library, name).map(|function| function as usize)
}

fn export(library: &str, name: &str) -> FARPROC {
    let (library, name) = (CString::new(library).ok()?, CString::new(name).ok()?);
    // SAFETY: the name is a C string.
    let library = unsafe { GetModuleHandleA(library.as_ptr().cast()) };
    if library.is_null() {
        return None;
    }
    // SAFETY: the library is loaded and stays so, the name is a C string.
    unsafe { GetProcAddress(library, name.as_ptr().cast()) }
}

/// Major and minor version and build number, whatever version the program claims to be for.
pub fn version() -> (u32, u32, u32) {
    type GetVersion = unsafe extern "system" fn(*mut OSVERSIONINFOW) -> NTSTATUS;
    let mut info = OSVERSIONINFOW::default();
    info.dwOSVersionInfoSize = u32::try_from(size_of_val(&info)).unwrap_or_default();
    if let Some(function) = export("ntdll", "RtlGetVersion") {
        // SAFETY: this is the type of RtlGetVersion.
        let function: GetVersion = unsafe { std::mem::transmute(function) };
        // SAFETY: the structure says its size; the function never fails.
        unsafe { function(&raw mut info) };
    }
    (info.dwMajorVersion, info.dwMinorVersion, info.dwBuildNumber)
}

/// Wine's version, if this is Wine.
pub fn wine_version() -> Option<String> {
    type GetVersion = unsafe extern "C" fn() -> *const c_char;
    let function = export("ntdll", "wine_get_version")?;
    // SAFETY: this is the type of Wine's function.
    let function: GetVersion = unsafe { std::mem::transmute(function) };
    // SAFETY: the function has no preconditions, and returns a C string that lives forever.
    let text = unsafe { CStr::from_ptr(function()) };
    Some(text.to_string_lossy().into_owned())
}

/// Whether the processor has `wrfsbase` and its kin.
pub fn cpu_has_fsgsbase() -> bool {
    std::arch::x86_64::__cpuid_count(7, 0).ebx & 1 == 1
}

/// Whether Windows says that programs may use them.
pub fn windows_allows_fsgsbase() -> bool {
    // SAFETY: the call has no preconditions.
    unsafe { IsProcessorFeaturePresent(FSGSBASE) != 0 }
}

/// Whether this range of addresses is free.
pub fn can_reserve(address: usize, len: usize) -> bool {
    let address = ptr::without_provenance_mut(address);
    // SAFETY: a reservation that overlaps anything fails, and a new one is nobody else's.
    let reserved = unsafe { VirtualAlloc(address, len, MEM_RESERVE, PAGE_NOACCESS) };
    if reserved.is_null() {
        return false;
    }
    // SAFETY: it was reserved just now.
    unsafe { VirtualFree(reserved, 0, MEM_RELEASE) };
    reserved == address
}
